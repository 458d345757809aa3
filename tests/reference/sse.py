"""Readable twin of ccrelay._fast.sse: what a tap knows after a stream, or the start of one."""

import re
from dataclasses import dataclass, field

WAITING, STARTED, CONTENT, FAILED = 0, 1, 2, 3

SNIFF_MAX = 128  # bytes of data searched for the type of an unnamed event

NOISE = b"\xff"
# Other names tell nothing: the data is looked at.
NAMES = frozenset({b"ping", b"error", b"message_start", b"message_delta", b"message_stop"})
# Top-level members that tell an error, or another API's event, by the first byte of their value.
FOREIGN = {
    b"msg": b'"',
    b"code": None,
    b"error": b'{"',
    b"object": None,
    b"detail": None,
    b"choices": None,
    b"success": b"f",
    b"message": b'"',
}

# Top-level members that tell the kind where `type` comes last.
TELLING = {b"message": b"message_start", b"delta": b"content_", b"content_block": b"content_"}

LINE_END = re.compile(rb"\r\n|\r|\n")
TOKEN = re.compile(
    rb'"(?P<text>(?:[^"\\]|\\.)*)"(?=(?P<then>[ \t\r\n]*:[ \t\r\n]*(?P<value>.))?)'
    rb"|(?P<open>[{\[])|(?P<close>[}\]])"
    rb'|(?P<cut>")',
    re.DOTALL,
)


@dataclass
class Tap:
    events: int = 0
    pings: int = 0
    at_boundary: bool = True
    verdict: int = WAITING
    stopped: bool = False
    start: bytes | None = None
    delta: bytes | None = None
    error: bytes | None = None


@dataclass
class _Event:
    kind: bytes = b""
    data: list[bytes] = field(default_factory=list)
    has_fields: bool = False

    @property
    def text(self) -> bytes:
        return b"\n".join(self.data)


def read(stream: bytes, event_max: int = 262144) -> Tap:
    tap = Tap()
    event = _Event()
    *lines, rest = LINE_END.split(stream)
    for line in lines:
        if line:
            _line(tap, event, line, complete=True)
        else:
            if event.data:
                _dispatch(tap, event, event_max)
            event = _Event()
    if rest:
        _line(tap, event, rest, complete=False)
    tap.at_boundary = not rest and not event.has_fields
    return tap


def _line(tap: Tap, event: _Event, line: bytes, *, complete: bool) -> None:
    name, colon, value = line.partition(b":")
    if not name:
        return  # a comment
    event.has_fields = True
    if not complete and not colon:
        return  # the field's name may go on
    value = value.removeprefix(b" ")
    if name == b"event" and complete and not (event.data and event.kind):
        event.kind = value if _is_known(value) else b""
        _judge(tap, event)
    elif name == b"data":
        event.data.append(value)
        if not event.kind and len(event.text) >= SNIFF_MAX:
            event.kind = sniff(event.text)
            _judge(tap, event)


def _is_known(name: bytes) -> bool:
    return name in NAMES or name.startswith(b"content_")


def _judge(tap: Tap, event: _Event) -> None:
    nothing_yet = event.kind in (b"", b"ping", b"message_start", b"error", NOISE)
    if event.kind == b"message_stop" and tap.verdict == WAITING:
        return  # the end of a message that never began
    if not nothing_yet and tap.verdict in (WAITING, STARTED):
        tap.verdict = CONTENT


def _dispatch(tap: Tap, event: _Event, event_max: int) -> None:
    if not event.kind:
        event.kind = sniff(event.text)
        _judge(tap, event)
    if event.kind == b"ping":
        tap.pings += 1
        return
    tap.events += 1
    data = event.text[:event_max]
    if event.kind == b"message_start":
        tap.start = data if tap.start is None else tap.start
        tap.verdict = tap.verdict or STARTED
    elif event.kind == b"message_delta":
        if b'"usage"' in data or b'"usage"' not in (tap.delta or b""):
            tap.delta = data
    elif event.kind == b"message_stop":
        tap.stopped = True
    elif event.kind == b"error":
        tap.error = data if tap.error is None else tap.error
        if tap.verdict != CONTENT:
            tap.verdict = FAILED


def sniff(text: bytes) -> bytes:
    """The top-level `type`, if the first bytes contain it; else what another member tells."""
    told = b"content_" if len(text) >= SNIFF_MAX else NOISE
    typed = False
    text = text[:SNIFF_MAX]
    if not text.lstrip(b" \t\r\n").startswith(b"{"):
        return NOISE
    depth = 0
    for token in TOKEN.finditer(text):
        if token["open"]:
            depth += 1
        elif token["close"]:
            depth -= 1
        elif token["cut"]:
            break
        elif depth == 1 and token["then"]:
            if token["text"] == b"type" and token["value"] == b'"':
                name = re.compile(rb'(?:[^"\\]|\\.)*(?=")', re.DOTALL).match(
                    text, token.end("value")
                )
                if name is None:
                    return b"content_"
                if _is_known(name[0]):
                    return name[0]
                told, typed = NOISE, True  # of another protocol
            elif token["text"] in FOREIGN:
                first = FOREIGN[token["text"]]
                if first is None or token["value"] in first:
                    return b"error"
            if not typed:
                told = TELLING.get(token["text"], told)
    return told
