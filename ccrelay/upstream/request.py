"""One request over a connection of its own, answered with status, header fields and body.

For what is asked by hand, such as the checks of `ccrelay doctor`. h11 is imported on first use.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from ccrelay.upstream.dial import Dialer
from ccrelay.upstream.fetch import HEAD_BYTES_MAX, FetchFailed
from ccrelay.upstream.tls import SocketStream, Stream, TlsStream
from ccrelay.wire.decoders import coding_of, decoder_for


class Response(NamedTuple):
    """Status, header fields, and the beginning of the body, without its content coding."""

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes


async def send_request(
    dialer: Dialer,
    loop: asyncio.AbstractEventLoop,
    method: bytes,
    path: bytes,
    fields: Sequence[tuple[bytes, bytes]],
    body: bytes,
    *,
    bytes_max: int,
) -> Response:
    """Send a request and return its response, whatever the status. Redirects are not followed.

    Args:
        dialer: opens the connection, which is closed afterwards.
        loop: the running loop.
        method: such as `POST`.
        path: the request target.
        fields: header fields, `host` and those of the framing among them.
        body: may be empty.
        bytes_max: so much of the response's body is read.

    Raises:
        UpstreamFailed: no connection, or no HTTP response.
    """
    dialed = await dialer.dial()
    try:
        stream: Stream = SocketStream(loop, dialed.sock)
        if dialed.tls is not None:
            stream = TlsStream(stream, dialed.tls)
        return await _exchange(stream, method, path, fields, body, bytes_max)
    except OSError as error:  # ssl.SSLError too
        raise FetchFailed("the connection failed") from error
    finally:
        dialed.sock.close()


async def _exchange(
    stream: Stream,
    method: bytes,
    path: bytes,
    fields: Sequence[tuple[bytes, bytes]],
    body: bytes,
    bytes_max: int,
) -> Response:
    import h11

    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    request = h11.Request(method=method, target=path, headers=list(fields))
    sent = connection.send(request) or b""
    if body:
        sent += connection.send(h11.Data(data=body)) or b""
    await stream.send(sent + (connection.send(h11.EndOfMessage()) or b""))
    response: h11.Response | None = None
    found = bytearray()
    while True:
        try:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await stream.receive())
                continue
        except h11.RemoteProtocolError:
            if response is None:
                # h11's message quotes the provider's bytes, which must not reach a terminal.
                raise FetchFailed("the response is not valid HTTP/1.1") from None
            event = h11.EndOfMessage()  # broken off: what came is the answer
        if isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            found += bytes(event.data)
        elif isinstance(event, h11.ConnectionClosed) and response is None:
            raise FetchFailed("the connection was closed without a response")
        is_over = isinstance(event, h11.EndOfMessage | h11.ConnectionClosed)
        if response is not None and (is_over or len(found) >= bytes_max):
            named = [(bytes(name), bytes(value)) for name, value in response.headers]
            body = _undone(named, bytes(found[:bytes_max]), bytes_max)
            return Response(int(response.status_code), named, body)


def _undone(fields: Sequence[tuple[bytes, bytes]], data: bytes, bytes_max: int) -> bytes:
    """The body without its content coding, as far as that can be undone."""
    coding = coding_of(b",".join(value for name, value in fields if name == b"content-encoding"))
    decoder = decoder_for(coding) if coding else None
    if decoder is None:
        return data
    try:
        return decoder.decode(data, bytes_max)[0]
    except ValueError:
        return b""
