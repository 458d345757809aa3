"""HTTP as bytes: what tests send, and what h11 makes of what came back."""

import enum
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import h11


class Ended(enum.Enum):
    """How a connection ended."""

    CLOSED = "closed"
    RESET = "reset"


@dataclass
class Request:
    """One request as it came to a provider."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    raw_head: bytes

    def get(self, name: bytes) -> bytes | None:
        return next((v for n, v in self.headers if n.lower() == name), None)

    def all(self, name: bytes) -> list[bytes]:
        return [v for n, v in self.headers if n.lower() == name]


@dataclass
class Answer:
    """One answer as it came to a client. `cut`: it ended before it was whole."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    cut: bool = False
    end: Ended | None = None

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def get(self, name: bytes) -> bytes | None:
        return next((v for n, v in self.headers if n.lower() == name), None)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, str]:
        """The error of an Anthropic-shaped body, whose shape is checked."""
        body = self.json()
        assert body["type"] == "error", body
        assert set(body["error"]) == {"type", "message"}, body
        assert isinstance(body["request_id"], str)
        return dict(body["error"])


def parse_request(data: bytes) -> tuple[Request, int] | None:
    """The first request in `data` and its size; None while it is not whole."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return None
    head = data[:end]
    line, *rest = head[:-4].split(b"\r\n")
    headers = [(n, v.strip(b" ")) for n, _, v in (row.partition(b":") for row in rest)]
    judge = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    judge.receive_data(data)
    body = b""
    while True:
        event = judge.next_event()
        if event is h11.NEED_DATA:
            return None
        if isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            size = len(data) - len(judge.trailing_data[0])
            return Request(line, headers, body, head), size


class AnswerReader:
    """Reads one answer, fed as it comes."""

    def __init__(self, method: str) -> None:
        self._judge = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        self._judge.send(h11.Request(method=method, target="/", headers=[("host", "h")]))
        self._judge.send(h11.EndOfMessage())
        self.answer = Answer()
        self.rest = b""  # what came behind the answer

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the answer is whole. AssertionError when this is not HTTP."""
        if data:  # to h11 nothing means the end
            self._judge.receive_data(data)
        try:
            return self._read()
        except h11.RemoteProtocolError as fault:
            raise AssertionError(f"not HTTP: {fault}: {data[:500]!r}") from fault

    def end(self, how: Ended) -> None:
        """The connection has ended: the answer is whole or cut."""
        self.answer.end = how
        if how is Ended.CLOSED:
            self._judge.receive_data(b"")
            try:
                if self._read():
                    return
            except h11.RemoteProtocolError:
                pass
        self.answer.cut = True

    def _read(self) -> bool:
        answer = self.answer
        while True:
            event = self._judge.next_event()
            if isinstance(event, h11.InformationalResponse):
                answer.interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                answer.status = event.status_code
                answer.headers = list(event.headers.raw_items())
            elif isinstance(event, h11.Data):
                answer.pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self.rest = bytes(self._judge.trailing_data[0])
                return True
            else:
                return False


# ---- what clients send

MODEL = b"claude-test-1"
BODY = b'{"model":"claude-test-1","max_tokens":8,"messages":[{"role":"user","content":"hi"}]}'
STREAM_BODY = BODY[:-1] + b',"stream":true}'


def post(
    body: bytes = BODY,
    path: bytes = b"/v1/messages",
    headers: Iterable[tuple[bytes, bytes]] = (),
    version: bytes = b"1.1",
) -> bytes:
    """A POST with Content-Length."""
    return request(b"POST", path, headers, body, version=version)


def request(
    method: bytes,
    path: bytes,
    headers: Iterable[tuple[bytes, bytes]] = (),
    body: bytes | None = None,
    version: bytes = b"1.1",
) -> bytes:
    """A request; with a body, a Content-Length goes with it."""
    lines = [method + b" " + path + b" HTTP/" + version, b"Host: localhost"]
    lines += [name + b": " + value for name, value in headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body or b""])


def chunked_post(pieces: Sequence[bytes], headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """A POST whose body is sent in these chunks."""
    lines = [b"POST /v1/messages HTTP/1.1", b"Host: localhost", b"Transfer-Encoding: chunked"]
    lines += [name + b": " + value for name, value in headers]
    return b"\r\n".join([*lines, b"", chunks(*pieces)])


def padded(size: int, model_last: bool = False) -> bytes:
    """A messages body of exactly `size` bytes."""
    model = b'"model":"claude-test-1"'
    frame = (
        b'{"messages":[{"role":"user","content":"%b"}],%b}'
        if model_last
        else (b'{%b,"messages":[{"role":"user","content":"%b"}]}')
    )
    empty = frame % ((b"", model) if model_last else (model, b""))
    text = b"x" * (size - len(empty))
    return frame % ((text, model) if model_last else (model, text))


# ---- what providers answer


def chunks(*pieces: bytes, last: bool = True) -> bytes:
    """A chunked body."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return body + b"0\r\n\r\n" if last else body


def response(
    status: int = 200,
    body: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
    reason: bytes = b"Fine",
    length: int | None = None,
) -> bytes:
    """A response with Content-Length (of the body, or `length`)."""
    lines = [b"HTTP/1.1 %d %b" % (status, reason)]
    lines += [name + b": " + value for name, value in headers]
    lines.append(b"Content-Length: %d" % (len(body) if length is None else length))
    return b"\r\n".join([*lines, b"", body])


def fault(
    status: int,
    kind: str = "api_error",
    message: str = "It did not work",
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """An error answer as Anthropic words it."""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()
    fields = [(b"Content-Type", b"application/json"), (b"request-id", b"req_fault"), *headers]
    return response(status, body, fields, reason=b"Its Own Words")


SSE_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"request-id: req_upstream_1\r\n"
)
CHUNKED_HEAD = SSE_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSE_HEAD = SSE_HEAD + b"Connection: close\r\n\r\n"


def event(name: str, data: Any) -> bytes:
    """One server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data)
    return f"event: {name}\ndata: {text}\n\n".encode()


START = event(
    "message_start",
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-test-1",
            "content": [],
            "usage": {
                "input_tokens": 11,
                "cache_read_input_tokens": 22,
                "cache_creation_input_tokens": 70,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 30,
                    "ephemeral_1h_input_tokens": 40,
                },
                "output_tokens": 1,
            },
        },
    },
)
BLOCK = event(
    "content_block_start",
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
)
PING = event("ping", {"type": "ping"})


def delta(text: str) -> bytes:
    """One piece of text."""
    return event(
        "content_block_delta",
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
    )


STOP = (
    event("content_block_stop", {"type": "content_block_stop", "index": 0})
    + event(
        "message_delta",
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 55, "output_tokens_details": {"thinking_tokens": 5}},
        },
    )
    + event("message_stop", {"type": "message_stop"})
)
EVENTS = START + BLOCK + delta("Hello") + delta(", world") + STOP
OVERLOADED = event(
    "error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
)
MESSAGE = json.dumps(
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test-1",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 3,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 12,
            "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 7},
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 2},
        },
    }
).encode()


def events_in(body: bytes) -> list[tuple[str, str]]:
    """(name, data) of each complete event, the way a browser reads them."""
    found = []
    name, data = "", []
    for line in body.decode().replace("\r\n", "\n").split("\n"):
        if not line:
            if data:
                found.append((name, "\n".join(data)))
            name, data = "", []
        elif line.startswith("event:"):
            name = line[6:].removeprefix(" ")
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
    return found


def names_in(body: bytes) -> list[str]:
    """Names of the complete events."""
    return [name for name, _ in events_in(body)]
