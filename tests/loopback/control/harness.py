"""A ControlServer with fake servicers, on one event loop of the process, in a thread.

grpc.aio wants one loop per process, and tests call with blocking clients: so all servers of a
process run on one loop beside them.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ccrelay.control.http import HttpRequest, HttpResponse
from ccrelay.control.methods import Service
from ccrelay.control.page import Page
from ccrelay.control.server import ControlServer
from ccrelay.v1 import (
    config_pb2,
    config_pb2_grpc,
    exchanges_pb2,
    exchanges_pb2_grpc,
    providers_pb2,
    providers_pb2_grpc,
    relay_pb2,
    relay_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
    setup_pb2,
    setup_pb2_grpc,
    usage_pb2,
    usage_pb2_grpc,
)

TOKEN = "t" * 43
MODULES = (
    (relay_pb2, relay_pb2_grpc),
    (providers_pb2, providers_pb2_grpc),
    (exchanges_pb2, exchanges_pb2_grpc),
    (usage_pb2, usage_pb2_grpc),
    (routing_pb2, routing_pb2_grpc),
    (config_pb2, config_pb2_grpc),
    (setup_pb2, setup_pb2_grpc),
)
Behaviour = Callable[[Any, Any], Any]


class Log:
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append((level, name, fields))

    def exchange(self, entry: Any) -> None:
        raise AssertionError

    def names(self) -> list[str]:
        return [name for _, name, _ in self.events]


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coro: Coroutine[Any, Any, Any], timeout_s: float = 30) -> Any:
        return asyncio.run_coroutine_threadsafe(coro, self.loop).result(timeout_s)

    def call(self, function: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return function()

        return self.run(run())


_LOOP: list[Loop] = []


def the_loop() -> Loop:
    if not _LOOP:
        _LOOP.append(Loop())
    return _LOOP[0]


def services(behaviours: dict[str, Behaviour]) -> list[Service]:
    """All services of ccrelay.v1. A method without a behaviour answers with an empty message."""
    found = []
    for pb2, pb2_grpc in MODULES:
        for name, descriptor in pb2.DESCRIPTOR.services_by_name.items():
            members = {
                method.name: _method(descriptor, method, behaviours)
                for method in descriptor.methods
            }
            servicer = type(name, (getattr(pb2_grpc, f"{name}Servicer"),), members)()
            add = getattr(pb2_grpc, f"add_{name}Servicer_to_server")
            found.append(Service(descriptor.full_name, servicer, add, descriptor))
    return found


def _method(service: Any, method: Any, behaviours: dict[str, Behaviour]) -> Any:
    from google.protobuf.message_factory import GetMessageClass

    own = behaviours.get(f"{service.name}/{method.name}")
    empty = GetMessageClass(method.output_type)
    if own is not None:
        return lambda self, request, context: own(request, context)
    if method.server_streaming:

        async def stream(self: Any, request: Any, context: Any) -> Any:
            yield empty()

        return stream

    async def unary(self: Any, request: Any, context: Any) -> Any:
        return empty()

    return unary


async def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"up 1\n")


class Served:
    """A running server, and where it is."""

    def __init__(
        self,
        folder: Path,
        behaviours: dict[str, Behaviour] | None = None,
        *,
        routes: dict[str, Callable[[HttpRequest], Awaitable[HttpResponse]]] | None = None,
        tls: tuple[str, str] | None = None,
        allowed_hosts: tuple[str, ...] = (),
        page: Callable[[int], Page] | None = None,
    ) -> None:
        self.log = Log()
        self.path = folder / "relay.sock"
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.path))
        self.unix.listen(256)
        self.tcp = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.tcp.getsockname()[1]
        self.loop = the_loop()
        self.services = services(behaviours or {})
        self.server = self.loop.call(
            lambda: ControlServer(
                self.services,
                unix=self.unix,
                tcp=self.tcp,
                token=TOKEN,
                allowed_hosts=allowed_hosts,
                tls=tls,
                routes={"/metrics": metrics, **(routes or {})},
                log=self.log,
                page=None if page is None else page(self.port),
            )
        )
        self.loop.run(self.server.start())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connections(self) -> int:
        return self.loop.call(lambda: sum(len(door) for door in self.server._doors))

    def close(self, grace_s: float = 0.0) -> None:
        self.loop.run(self.server.close(grace_s))
        self.unix.close()
        self.tcp.close()

    def failures(self) -> list[Any]:
        return [event for event in self.log.events if event[0] == "error"]


@contextlib.contextmanager
def serve(
    folder: Path, behaviours: dict[str, Behaviour] | None = None, **kwargs: Any
) -> Iterator[Served]:
    """Run a server; at its end nothing of it has failed."""
    served = Served(folder, behaviours, **kwargs)
    try:
        yield served
    finally:
        served.close()
    assert [fields for _, _, fields in served.log.events if "task" in fields] == []


class Raw:
    """A client that sends bytes."""

    def __init__(self, served: Served, *, unix: bool = False, timeout_s: float = 10) -> None:
        family = socket.AF_UNIX if unix else socket.AF_INET
        self.sock = socket.socket(family)
        self.sock.settimeout(timeout_s)
        self.sock.connect(str(served.path) if unix else ("127.0.0.1", served.port))

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def all(self) -> bytes:
        """Return all that comes until the end."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := self.sock.recv(65536):
                data += piece
        return data

    def until(self, mark: bytes) -> bytes:
        data = b""
        while mark not in data:
            piece = self.sock.recv(65536)
            assert piece, data
            data += piece
        return data


def json_of(data: bytes) -> Any:
    return msgspec.json.decode(data)
