"""A client over plain sockets, with h11 as the judge of what comes back.

An answer keeps when each piece came, so that what happened to a stream, and when, can be told from
the outside: whole, cut, refused, silent.
"""

import asyncio
import contextlib
import enum
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import h11

TOKEN = "bench-relay-token"
READ_BYTES = 1 << 16
# The first event that is content; from here on nothing can be run again.
CONTENT = b"event: content_block_start"
_DELTA = re.compile(rb'"type":"text_delta","text":"(\d+) "')


class Ending(enum.Enum):
    """How an exchange ended, as the client saw it."""

    WHOLE = "whole"
    CUT = "cut"  # the connection ended or broke before the answer did
    REFUSED = "refused"  # no connection could be made
    SILENT = "silent"  # our patience ended


@dataclass
class Request:
    """What is sent; host, length and token are added."""

    method: str
    target: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


@dataclass
class Answer:
    """What came back. Instants are monotonic seconds; 0.0: that did not happen."""

    asked_at: float
    ending: Ending = Ending.SILENT
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    first_at: float = 0.0  # the first content event
    reads: list[tuple[float, int]] = field(default_factory=list)  # instant, bytes so far
    ended_at: float = 0.0
    port: int = 0  # ours

    @property
    def has_content(self) -> bool:
        """Whether a content event of a stream came."""
        return self.first_at > 0

    @property
    def is_complete(self) -> bool:
        """Whether it came through: a document whole, a stream to its last event and byte."""
        if self.status != 200 or self.ending is not Ending.WHOLE:
            return False
        return b"event: message_stop" in self.body if self._is_stream else True

    @property
    def is_in_order(self) -> bool:
        """Whether nothing is missing, doubled or made up: numbered deltas from 0 on."""
        numbers = [int(number) for number in _DELTA.findall(self.body)]
        starts = self.body.count(b"event: message_start")
        return numbers == list(range(len(numbers))) and starts <= 1

    @property
    def last_at(self) -> float:
        """When the last piece came."""
        return self.reads[-1][0] if self.reads else 0.0

    def came_at(self, marker: bytes) -> float:
        """When the piece came that completes a marker; 0.0: never."""
        end = self.body.find(marker) + len(marker)
        if end < len(marker):
            return 0.0
        return next(at for at, size in self.reads if size >= end)

    @property
    def _is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    def __str__(self) -> str:
        size = len(self.body)
        return f"{self.status} {self.ending.value} {size} bytes {bytes(self.body[-200:])!r}"


class Connection:
    """One connection; may be used again while `is_open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)
        self.port: int = writer.get_extra_info("sockname")[1]

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect. Raises OSError."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent, as far as can be known."""
        done = (self._http.our_state, self._http.their_state) == (h11.DONE, h11.DONE)
        return done and not self._reader.at_eof() and not self._writer.is_closing()

    async def exchange(
        self, request: Request, answer: Answer, on_content: Callable[[], None] | None = None
    ) -> None:
        """Send a request and fill in the answer. Raises OSError, h11.RemoteProtocolError."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        answer.port = self.port
        head = h11.Request(method=request.method, target=request.target, headers=_fields(request))
        self._writer.write(self._http.send(head) or b"")
        if request.body:
            self._writer.write(self._http.send(h11.Data(data=request.body)) or b"")
        self._http.send(h11.EndOfMessage())
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self._reader.read(READ_BYTES)
                self._http.receive_data(data)
            elif isinstance(event, h11.Response):
                answer.status = event.status_code
                answer.headers = {n.decode(): v.decode() for n, v in event.headers}
            elif isinstance(event, h11.Data):
                _note(answer, event.data, on_content)
            elif isinstance(event, h11.EndOfMessage):
                answer.ending = Ending.WHOLE
                return
            elif isinstance(event, h11.ConnectionClosed):
                answer.ending = Ending.CUT
                return

    async def close(self) -> None:
        """Close, without a wait for the other side."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def ask(
    port: int,
    request: Request,
    *,
    on_content: Callable[[], None] | None = None,
    patience_s: float = 90.0,
) -> Answer:
    """One request on a connection of its own. Does not raise for what the other side does."""
    answer = Answer(time.monotonic())
    try:
        connection = await Connection.open(port)
    except OSError:
        answer.ending, answer.ended_at = Ending.REFUSED, time.monotonic()
        return answer
    try:
        await attempt(connection, request, answer, on_content=on_content, patience_s=patience_s)
    finally:
        await connection.close()
    return answer


async def attempt(
    connection: Connection,
    request: Request,
    answer: Answer,
    *,
    on_content: Callable[[], None] | None = None,
    patience_s: float = 90.0,
) -> None:
    """One request on a connection that is there; a break becomes the answer's ending."""
    try:
        async with asyncio.timeout(patience_s):
            await connection.exchange(request, answer, on_content)
    except TimeoutError:
        answer.ending = Ending.SILENT
    except (OSError, h11.RemoteProtocolError):
        answer.ending = Ending.CUT
    answer.ended_at = time.monotonic()


def message(
    prompt: str, *, session: str | None = None, stream: bool = True, fault: str | None = None
) -> Request:
    """`POST /v1/messages` as Claude Code would send it, much shortened."""
    turns = [{"role": "user", "content": prompt}]
    plain = {"model": "claude-bench-1", "max_tokens": 64, "stream": stream, "messages": turns}
    headers = [("content-type", "application/json"), ("anthropic-version", "2023-06-01")]
    if session is not None:
        headers.append(("x-claude-code-session-id", session))
    if fault is not None:
        headers.append(("x-demo-fault", fault))
    return Request("POST", "/v1/messages", headers, json.dumps(plain).encode())


def _fields(request: Request) -> list[tuple[str, str]]:
    fields = [("host", "127.0.0.1"), ("x-api-key", TOKEN), *request.headers]
    if request.body or request.method == "POST":
        fields.append(("content-length", str(len(request.body))))
    return fields


def _note(answer: Answer, data: bytes, on_content: Callable[[], None] | None) -> None:
    now = time.monotonic()
    answer.body += data
    answer.reads.append((now, len(answer.body)))
    if not answer.first_at and CONTENT in answer.body:
        answer.first_at = now
        if on_content is not None:
            on_content()
