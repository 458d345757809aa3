"""One small document from a provider: a connection of its own, one GET, h11, and the end.

For what is asked a few times an hour. Exchanges never come here: their bytes are the hot part's.
h11 is imported by the first fetch, because most workers never make one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ccrelay.errors import UpstreamFailed
from ccrelay.upstream.dial import Dialer
from ccrelay.upstream.tls import SocketStream, Stream, TlsStream

Fields = Sequence[tuple[bytes, bytes]]
"""Header fields, name and value; `host` is one of them."""

# Answers have heads of 1-3 KB; h11's own default of 16 KB is what it would stop at.
HEAD_BYTES_MAX = 65_536


class FetchFailed(UpstreamFailed):
    """There is no document: no connection, another status than 200, no HTTP, too large or late.

    The message is the reason as half a sentence; it never repeats what the provider sent.
    """


async def fetch(
    dialer: Dialer,
    loop: asyncio.AbstractEventLoop,
    path: bytes,
    fields: Fields,
    *,
    bytes_max: int,
    limit_s: float,
) -> bytes:
    """GET `path` (with its query) and return the body of the 200.

    Args:
        dialer: how the connection is made; it is not kept.
        loop: the running loop.
        path: what stands in the request line.
        fields: the request's header fields.
        bytes_max: bound on the body, bytes.
        limit_s: bound on everything together, seconds.

    Raises:
        FetchFailed: there is no document.
    """
    try:
        async with asyncio.timeout(limit_s), _connected(dialer, loop) as stream:
            return await ask(stream, path, fields, bytes_max)
    except TimeoutError:
        raise FetchFailed(f"no whole answer came within {limit_s:g} s", status=504) from None


async def post_status(
    dialer: Dialer, loop: asyncio.AbstractEventLoop, path: bytes, fields: Fields, body: bytes
) -> int:
    """POST a body and return the status of the answer, whose own body is not waited for.

    Raises:
        FetchFailed: there is no answer.
    """
    async with _connected(dialer, loop) as stream:
        return await status_of(stream, path, fields, body)


@contextlib.asynccontextmanager
async def _connected(dialer: Dialer, loop: asyncio.AbstractEventLoop) -> AsyncIterator[Stream]:
    try:
        dialed = await dialer.dial()
    except UpstreamFailed as error:
        raise FetchFailed(error.message.rstrip("."), status=error.status) from error
    try:
        stream: Stream = SocketStream(loop, dialed.sock)
        if dialed.tls is not None:
            stream = TlsStream(stream, dialed.tls)
        yield stream
        if dialed.tls is not None:
            dialer.remember(dialed.tls)
    except OSError as error:  # ssl.SSLError too
        raise FetchFailed("the connection broke") from error
    finally:
        dialed.sock.close()


async def ask(stream: Stream, path: bytes, fields: Fields, bytes_max: int) -> bytes:
    """GET `path` over an open stream and return the body of the 200, at most `bytes_max` bytes.

    Raises:
        FetchFailed: another status, another coding, too long, or not HTTP.
        OSError: the connection broke.
    """
    import h11

    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    request = h11.Request(method=b"GET", target=path, headers=list(fields))
    sent = (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    await stream.send(sent)
    body = bytearray()
    while True:
        try:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive())
        except h11.RemoteProtocolError:
            # Its text holds the provider's bytes; nothing of those goes into a log.
            raise FetchFailed("the answer is not whole, or not valid HTTP/1.1") from None
        if isinstance(event, h11.Response):
            _check(event)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > bytes_max:
                raise FetchFailed(f"the answer is longer than {bytes_max} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)


async def status_of(stream: Stream, path: bytes, fields: Fields, body: bytes) -> int:
    """POST `body` over an open stream and return the status of the answer.

    Raises:
        FetchFailed: what came is not HTTP.
        OSError: the connection broke.
    """
    import h11

    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    request = h11.Request(method=b"POST", target=path, headers=list(fields))
    sent = (connection.send(request) or b"") + (connection.send(h11.Data(data=body)) or b"")
    await stream.send(sent + (connection.send(h11.EndOfMessage()) or b""))
    while True:
        try:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive())
        except h11.RemoteProtocolError:
            raise FetchFailed("the answer is not valid HTTP/1.1") from None
        if isinstance(event, h11.Response):
            return int(event.status_code)
        if isinstance(event, h11.ConnectionClosed):
            raise FetchFailed("the connection was closed without an answer")


def _check(response: Any) -> None:
    # Redirects count as failures: a credential goes where the configuration says, nowhere else.
    if response.status_code != 200:
        raise FetchFailed(f"the answer has status {response.status_code}")
    coding = dict(response.headers).get(b"content-encoding", b"identity")
    if coding.lower() != b"identity":
        raise FetchFailed("the answer is compressed although that was not asked for")
