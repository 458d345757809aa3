"""Passes the bytes of an HTTP/2 connection on to grpc and back, at the pace of who reads."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable

from ccrelay.control.streams import BUFFER_MAX, Stream

Watch = Callable[[bytes], None]
"""Told of bytes before they go on."""


async def splice(client: Stream, first: bytes, path: str, own_path: str, watch: Watch) -> None:
    """Pass bytes on until both sides have ended, or one breaks.

    Args:
        client: the accepted connection.
        first: bytes that were read already.
        path: socket of grpc.
        own_path: what our end of that connection is bound to, so that grpc tells it as the peer.
        watch: sees what the client sends.

    Raises OSError where grpc does not listen.
    """
    inner = await _connect(path, own_path)
    try:
        watch(first)
        await inner.write(first)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(client, inner, watch))
                pumps.create_task(_pump(inner, client, _unwatched))
        except* OSError:
            pass  # one side has gone, and the other must go
    finally:
        inner.abort()
        with contextlib.suppress(OSError):
            os.unlink(own_path)


async def _connect(path: str, own_path: str) -> Stream:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.bind(own_path)
        await asyncio.get_running_loop().sock_connect(sock, path)
        return await Stream.accepted(sock, None)
    except BaseException:
        sock.close()
        with contextlib.suppress(OSError):
            os.unlink(own_path)
        raise


async def _pump(source: Stream, sink: Stream, watch: Watch) -> None:
    """Pass on what one side sends, and that it has ended."""
    while data := await source.reader.read(BUFFER_MAX):
        watch(data)
        await sink.write(data)
    if not sink.writer.can_write_eof():  # TLS: an end is of both directions
        raise ConnectionResetError
    sink.writer.write_eof()


def _unwatched(_: bytes) -> None:
    pass
