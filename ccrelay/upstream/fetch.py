"""Single requests to a provider over a connection of their own, with h11.

For requests made a few times an hour; exchanges use the compiled connections. h11 is imported on
first use, because most workers never need it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from ccrelay.errors import UpstreamFailed
from ccrelay.upstream.dial import Dialer
from ccrelay.upstream.tls import SocketStream, Stream, TlsStream
from ccrelay.wire.decoders import ContentDecoder, coding_of, decoder_for

Fields = Sequence[tuple[bytes, bytes]]
"""Header fields, name and value; `host` is one of them."""

# Response heads are 1-3 KB; h11's own default limit is 16 KB.
HEAD_BYTES_MAX = 65_536


class FetchFailed(UpstreamFailed):
    """No usable response: no connection, a status other than 200, not HTTP, too large or late.

    The message is the reason as a clause; it never quotes what the provider sent.
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
    """GET `path` (including its query) and return the body of the 200 response.

    Args:
        dialer: opens the connection, which is closed afterwards.
        loop: the running loop.
        path: the request target.
        fields: the request's header fields.
        bytes_max: limit of the body, bytes.
        limit_s: time limit of the whole fetch, seconds.

    Raises:
        FetchFailed: no usable response.
    """
    try:
        async with asyncio.timeout(limit_s), _connected(dialer, loop) as stream:
            return await ask(stream, path, fields, bytes_max)
    except TimeoutError:
        raise FetchFailed(f"no complete response within {limit_s:g} s", status=504) from None


async def post_status(
    dialer: Dialer, loop: asyncio.AbstractEventLoop, path: bytes, fields: Fields, body: bytes
) -> int:
    """POST a body and return the status of the response, without reading its body.

    Raises:
        FetchFailed: no response.
    """
    async with _connected(dialer, loop) as stream:
        return await status_of(stream, path, fields, body)


@contextlib.asynccontextmanager
async def _connected(dialer: Dialer, loop: asyncio.AbstractEventLoop) -> AsyncIterator[Stream]:
    try:
        dialed = await dialer.dial()
    except UpstreamFailed as error:
        failed = FetchFailed(error.message.rstrip("."), status=error.status)
        failed.is_own = error.is_own
        raise failed from error
    try:
        stream: Stream = SocketStream(loop, dialed.sock)
        if dialed.tls is not None:
            stream = TlsStream(stream, dialed.tls)
        yield stream
        if dialed.tls is not None:
            dialer.remember(dialed.tls)
    except OSError as error:  # ssl.SSLError too
        raise FetchFailed("the connection failed") from error
    finally:
        dialed.sock.close()


async def ask(stream: Stream, path: bytes, fields: Fields, bytes_max: int) -> bytes:
    """GET `path` over an open stream and return the body of the 200, at most `bytes_max` bytes.

    Raises:
        FetchFailed: another status, a content coding without decoder, too long, or not HTTP.
        OSError: the connection failed.
    """
    import h11

    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    request = h11.Request(method=b"GET", target=path, headers=list(fields))
    sent = (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b"")
    await stream.send(sent)
    body = bytearray()
    decoder: ContentDecoder | None = None
    while True:
        try:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive())
        except h11.RemoteProtocolError:
            # h11's message quotes the provider's bytes, which must not reach a log.
            raise FetchFailed("the response is incomplete or not valid HTTP/1.1") from None
        if isinstance(event, h11.Response):
            decoder = _checked(event)
        elif isinstance(event, h11.Data):
            _add(body, bytes(event.data), decoder, bytes_max)
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)


async def status_of(stream: Stream, path: bytes, fields: Fields, body: bytes) -> int:
    """POST `body` over an open stream and return the status of the response.

    Raises:
        FetchFailed: not HTTP, or no response.
        OSError: the connection failed.
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
            raise FetchFailed("the response is not valid HTTP/1.1") from None
        if isinstance(event, h11.Response):
            return int(event.status_code)
        if isinstance(event, h11.ConnectionClosed):
            raise FetchFailed("the connection was closed without a response")


def _checked(response: Any) -> ContentDecoder | None:
    # Redirects are failures: a credential goes only to the configured origin.
    if response.status_code != 200:
        raise FetchFailed(f"the response has status {response.status_code}")
    coding = coding_of(b",".join(v for name, v in response.headers if name == b"content-encoding"))
    decoder = decoder_for(coding) if coding else None
    if coding and decoder is None:
        raise FetchFailed("the response has a content coding that cannot be undone here")
    return decoder


def _add(body: bytearray, data: bytes, decoder: ContentDecoder | None, bytes_max: int) -> None:
    """Append a piece, decoded. Raises FetchFailed."""
    while data:
        piece, rest = data, b""
        if decoder is not None:
            try:
                piece, rest = decoder.decode(data, bytes_max + 1)
            except ValueError:
                raise FetchFailed("the response is not in the coding that it names") from None
        body += piece
        if len(body) > bytes_max:
            raise FetchFailed(f"the response is longer than {bytes_max} bytes")
        data = rest
