"""HTTP/1.1 for the doors, by h11: requests with limits, answers, and who gives them.

A POST of gRPC-web is a call (`ccrelay.control.bridge`); everything else is a route. No answer
allows the page of another site anything (no CORS).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import h11

from ccrelay.control.authorise import Right, right_of
from ccrelay.control.streams import READ_SIZE, Stream

HEAD_MAX = 16 * 1024
BODY_MAX = 4 * 1024 * 1024
OPEN_BODY_MAX = 4 * 1024  # of a path that needs no token
FIRST_BYTE_S = 10.0
IDLE_S = 60.0  # between requests
HEAD_S = 10.0
BODY_S = 30.0

Lines = Sequence[tuple[str, str]]
_BODILESS = (204, 304)
_ALWAYS = (("cache-control", "no-store"), ("x-content-type-options", "nosniff"))


class HttpRequest(NamedTuple):
    """The head of a request.

    Args:
        method: `GET`.
        path: `/metrics`, as sent.
        query: after `?`, as sent.
        headers: names in lower case.
    """

    method: str
    path: str
    query: str = ""
    headers: Lines = ()

    def header(self, name: str) -> str:
        """Return the first value of a header, name in lower case; "" where there is none."""
        return next((value for key, value in self.headers if key == name), "")


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer.

    Args:
        body: whole.
        status: HTTP status.
        content_type: of the body.
        headers: others.
    """

    body: bytes = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Lines = ()


HttpHandler = Callable[[HttpRequest], Awaitable[HttpResponse]]
Routes = Mapping[str, HttpHandler]


class BadRequest(Exception):
    """The request cannot be read, or is over a limit; `status` is the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Exchange:
    """One connection, request after request.

    Args:
        stream: of the client.
        first: bytes that were read already.
    """

    def __init__(self, stream: Stream, first: bytes) -> None:
        self.stream = stream
        self.request = HttpRequest("", "")
        self.is_begun = False  # the head of the answer was sent
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_MAX)
        self._first = first
        self._unsent = b""
        self._is_used = False

    # ---- the request

    async def next_request(self) -> bool:
        """Read a head; whether there is one. Raises BadRequest, OSError."""
        if self._is_used:
            if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
                return False
            self._h11.start_next_cycle()
        self.is_begun = False
        try:
            event = await self._head()
        except TimeoutError:
            if not self._h11.trailing_data[0]:
                return False  # idle: no answer is due
            raise BadRequest(408, "The head of the request came too slowly.") from None
        except h11.RemoteProtocolError as error:
            raise _unreadable(error) from None
        if event is None:
            return False
        self._is_used = True
        self.request = _request(event)
        return True

    async def _head(self) -> h11.Request | None:
        wait_s = IDLE_S if self._is_used else FIRST_BYTE_S
        data, self._first = self._first, b""
        if not data and not self._h11.trailing_data[0]:
            data = await self.stream.read(wait_s)
            if not data:
                return None
        ends_at = time.monotonic() + HEAD_S
        while True:
            if data:
                self._h11.receive_data(data)
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                return None  # ConnectionClosed
            data = await self.stream.read(max(0.0, ends_at - time.monotonic()))
            if not data:
                self._h11.receive_data(b"")

    async def body(self) -> bytes:
        """Read the whole body. Raises BadRequest, OSError.

        Callers who need not show who they are may send little: they could come in numbers.
        """
        is_open = right_of(self.request.path) in (Right.OPEN, Right.SIGN_IN)
        limit = OPEN_BODY_MAX if is_open else BODY_MAX
        if int(self.request.header("content-length") or 0) > limit:
            raise _too_long(limit)
        if self._h11.they_are_waiting_for_100_continue:
            head = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            await self.stream.write(self._h11.send(head))
        data = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                await self._read_body(data, limit)
        except TimeoutError:
            raise BadRequest(408, "The body of the request came too slowly.") from None
        except h11.RemoteProtocolError as error:
            raise _unreadable(error) from None
        return bytes(data)

    async def _read_body(self, data: bytearray, limit: int) -> None:
        while True:
            event = self._h11.next_event()
            if event is h11.NEED_DATA:
                # A moment for others: data that is there is read without waiting.
                await asyncio.sleep(0)
                self._h11.receive_data(await self.stream.reader.read(READ_SIZE))
            elif isinstance(event, h11.Data):
                data += event.data
                if len(data) > limit:
                    raise _too_long(limit)
            else:
                return

    # ---- the answer

    def begin(self, status: int, headers: Lines) -> None:
        """Begin an answer; without `content-length`, the body is chunked.

        The head is sent with the first piece, or by `flush`.
        """
        own = {name for name, _ in headers}
        lines = [*headers, *(line for line in _ALWAYS if line[0] not in own)]
        if self._h11.their_state is not h11.DONE:
            lines.append(("connection", "close"))  # there is a body that is not wanted
        head = h11.Response(status_code=status, headers=lines)
        self.is_begun = True
        self._unsent = self._h11.send(head) or b""

    async def send(self, data: bytes) -> None:
        """Send a piece of the body; waits while the client does not read."""
        if data:
            self._unsent += self._h11.send(h11.Data(data=data)) or b""
            await self.flush()

    async def flush(self) -> None:
        """Send the head, if it is not sent."""
        data, self._unsent = self._unsent, b""
        if data:
            await self.stream.write(data)

    async def end(self, last: bytes = b"") -> None:
        """End the answer, with a last piece of the body."""
        if last:
            self._unsent += self._h11.send(h11.Data(data=last)) or b""
        self._unsent += self._h11.send(h11.EndOfMessage()) or b""
        await self.flush()
        if self._h11.their_state not in (h11.DONE, h11.CLOSED):
            await self.stream.linger()

    async def respond(self, response: HttpResponse) -> None:
        """Send a whole answer."""
        headers = [*response.headers]
        if response.status not in _BODILESS:
            headers.append(("content-type", response.content_type))
            headers.append(("content-length", str(len(response.body))))
        self.begin(response.status, headers)
        await self.end(b"" if self.request.method == "HEAD" else response.body)

    async def refuse(self, error: BadRequest) -> None:
        """Answer what cannot be read, and be done with the connection."""
        if self._h11.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = f"{error}\n".encode()
        headers = (("connection", "close"),)
        try:
            await self.respond(HttpResponse(body, error.status, headers=headers))
        except h11.LocalProtocolError:  # not even a head was read
            await self.stream.write(_bare(error.status, body))
            await self.stream.linger()


def _too_long(limit: int) -> BadRequest:
    return BadRequest(413, f"A request may have {limit} bytes.")


def _request(event: h11.Request) -> HttpRequest:
    headers = tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in event.headers
    )
    if sum(len(name) + len(value) for name, value in headers) > HEAD_MAX:
        raise BadRequest(431, f"The head of a request may have {HEAD_MAX} bytes.")
    path, _, query = event.target.decode("latin-1").partition("?")
    if not path.startswith("/"):
        raise BadRequest(400, "The target of a request is a path.")
    return HttpRequest(event.method.decode("latin-1"), path, query, headers)


def _unreadable(error: h11.RemoteProtocolError) -> BadRequest:
    status = error.error_status_hint
    if status == 431:
        return BadRequest(431, f"The head of a request may have {HEAD_MAX} bytes.")
    return BadRequest(status, "This is no HTTP/1.1 request, and no HTTP/2 either.")


def _bare(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} \r\ncontent-type: text/plain; charset=utf-8\r\n"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body
