"""What can be called: the methods of servicers, as the generated code registers them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import grpc

Behaviour = Callable[[Any, Any], Any]


class Service(NamedTuple):
    """One service.

    Args:
        name: full, `ccrelay.v1.Relay`.
        servicer: written for grpc.aio: async methods, and async generators for streams.
        add_to_server: of the generated code, `add_RelayServicer_to_server`.
        descriptor: of the service, for reflection.
    """

    name: str
    servicer: Any
    add_to_server: Callable[[Any, Any], None]
    descriptor: Any = None


class Method(NamedTuple):
    """One method.

    Args:
        path: `/ccrelay.v1.Relay/GetStatus`.
        behaviour: the servicer's method.
        parse: request from its bytes.
        serialize: bytes of an answer.
        takes_stream: whether there are many requests.
        gives_stream: whether there are many answers.
    """

    path: str
    behaviour: Behaviour
    parse: Callable[[bytes], Any]
    serialize: Callable[[Any], bytes]
    takes_stream: bool
    gives_stream: bool


class Handler(Protocol):
    """What `grpc.unary_unary_rpc_method_handler` and its like return."""

    request_streaming: bool
    response_streaming: bool
    request_deserializer: Callable[[bytes], Any]
    response_serializer: Callable[[Any], bytes]
    unary_unary: Behaviour | None
    unary_stream: Behaviour | None
    stream_unary: Behaviour | None
    stream_stream: Behaviour | None


class _Recorder:
    """In place of a grpc.Server: keeps what the generated code registers."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Nothing: the same methods are registered by name."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Handler]) -> None:
        for name, handler in handlers.items():
            self.handlers[f"/{service}/{name}"] = handler


def methods_of(services: Iterable[Service]) -> dict[str, Method]:
    """Return all methods of services by path.

    Raises:
        ValueError: a servicer is of another service than it says, or a method is there twice.
    """
    found: dict[str, Method] = {}
    for service in services:
        recorder = _Recorder()
        service.add_to_server(service.servicer, recorder)
        for path, handler in recorder.handlers.items():
            if not path.startswith(f"/{service.name}/") or path in found:
                raise ValueError(f"{path} does not belong to {service.name}, or is there twice")
            found[path] = _method(path, handler)
    return found


def _method(path: str, handler: Handler) -> Method:
    behaviour = (
        handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
    )
    assert behaviour is not None
    return Method(
        path,
        behaviour,
        handler.request_deserializer,
        handler.response_serializer,
        handler.request_streaming,
        handler.response_streaming,
    )
