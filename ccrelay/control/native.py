"""gRPC as grpc.aio speaks it, behind a Unix socket that only this process knows.

Connections come from `ccrelay.control.splice`, each from a socket that is bound to a path of its
own: grpc tells it as the peer, and so a call is known to come through which door.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from grpc import StatusCode

from ccrelay.control.authorise import Metadata
from ccrelay.control.calls import Calls
from ccrelay.control.connections import Connection
from ccrelay.control.methods import Method

MESSAGE_MAX = 4 * 1024 * 1024  # of a request
METADATA_MAX = 16 * 1024
STREAMS_MAX = 100  # of one connection
IDLE_MS = 300_000
HANDSHAKE_MS = 10_000
SOCKET = "grpc"

OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MESSAGE_MAX),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.bdp_probe", 0),  # windows stay at 64 KiB: requests are small
    ("grpc.max_metadata_size", METADATA_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_MAX),
    ("grpc.max_concurrent_streams", STREAMS_MAX),
    ("grpc.max_connection_idle_ms", IDLE_MS),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
    # Clients of long streams may ask whether we live, every ten seconds.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

Find = Callable[[str], Connection | None]
"""The connection of that name; None: there is none."""


class NativeServer:
    """The inner server.

    Args:
        folder: private, for its socket.
        calls: what can be called.
        find: a connection.
    """

    def __init__(self, folder: str, calls: Calls, find: Find) -> None:
        self.path = os.path.join(folder, SOCKET)
        self._calls = calls
        self._find = find
        self._server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((_Handlers(self),))

    async def start(self) -> None:
        """Listen. Raises RuntimeError where it cannot."""
        self._server.add_insecure_port(f"unix:{self.path}")
        await self._server.start()
        with contextlib.suppress(FileNotFoundError):
            os.chmod(self.path, 0o600)

    async def stop(self, grace_s: float) -> None:
        """Take no more calls, let those under way end, then cancel them."""
        await self._server.stop(grace_s)

    async def check(self, path: str, context: Any) -> None:
        """Abort a call that may not be made."""
        name = context.peer().rpartition("/")[2]
        connection = self._find(name)
        if connection is None:
            await context.abort(StatusCode.PERMISSION_DENIED, "Not through a door of the relay.")
            return  # unreachable: `abort` raises
        authority = (":authority", connection.authority or "")  # "" is no host of ours
        metadata: Metadata = [authority, *context.invocation_metadata()]
        await self._calls.check(connection.door, path, metadata, context)
        context.add_done_callback(connection.begin(path))

    def handler(self, path: str) -> Any:
        """Return what grpc runs for a path; unknown ones are authorised, too.

        To grpc all of them take a stream: so that it reads no request before the caller may call.
        """
        method = self._calls.methods.get(path)
        if method is None or not (method.takes_stream or method.gives_stream):
            return grpc.stream_unary_rpc_method_handler(self._unary(path, method))
        return grpc.stream_stream_rpc_method_handler(self._stream(method))

    def _unary(self, path: str, method: Method | None) -> Any:
        async def run(requests: AsyncIterator[bytes], context: Any) -> bytes:
            await self.check(path, context)
            if method is None:  # an entry of the table without a servicer
                await context.abort(StatusCode.UNIMPLEMENTED, "There is no such method.")
            assert method is not None
            return await self._calls.unary(method, await _only(requests, context), context)

        return run

    def _stream(self, method: Method) -> Any:
        async def run(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            await self.check(method.path, context)
            data = requests if method.takes_stream else await _only(requests, context)
            writer = context if method.takes_stream else _Writer(method, context)
            async with contextlib.aclosing(self._calls.stream(method, data, writer)) as answers:
                async for answer in answers:
                    yield answer

        return run


async def _only(requests: AsyncIterator[bytes], context: Any) -> bytes:
    """Return the one request of a call."""
    data = await anext(requests, None)
    if data is None:
        await context.abort(StatusCode.INVALID_ARGUMENT, "The call has no request.")
    assert data is not None
    return data


class _Writer:
    """A context whose `write` takes messages: to grpc our handlers are of bytes."""

    def __init__(self, method: Method, context: Any) -> None:
        self._method = method
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, answer: Any) -> None:
        """Send an answer."""
        await self._context.write(self._method.serialize(answer))


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # no types
    def __init__(self, native: NativeServer) -> None:
        self._native = native

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call."""
        return self._native.handler(handler_call_details.method)
