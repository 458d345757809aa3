"""HTTP/1.1 heads and chunks in plain Python: the oracle of `ccrelay._fast.http1`, to be read.

Bytes are judged from left to right; the first offending byte decides the fault. Regular expressions
say what may stand where, and nothing here is fast.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ccrelay._fast.head_writer import Framing
from ccrelay._fast.http1 import BadHead, HeadFault
from tests.reference.field_names import TO_NO_CLIENT, TO_NO_PROVIDER, family, folded

TOKEN = rb"[A-Za-z0-9!#$%&'*+\-.^_`|~]"
TEXT = rb"[\t\x20-\x7e\x80-\xff]"
METHOD = re.compile(rb"[A-Z_-]*")
TARGET = re.compile(rb"[!$-;=?-\[\]-~]*")  # visible ASCII but " # < > \
NAME = re.compile(TOKEN + rb"*")
REASON = re.compile(TEXT + rb"*")
HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
ABSOLUTE = re.compile(rb"https?://([^/]+)(/.*)?", re.IGNORECASE)
STATUS = re.compile(rb"[1-5][0-9][0-9]")
# A canonical target: no empty segment, none of dots only; in the path no escape but of what needs
# one and is no delimiter anywhere; in the query none of a control byte or of what needs none.
_ESCAPE = rb"%(?:2[0-1]|22|2[46-9A-Ca-c]|3[ACDEacde]|40|5[BDEbde]|60|7[B-Db-d])"
_SEGMENT = rb"(?!\.*(?:[/?]|\Z))(?:[A-Za-z0-9._~!$&'()*+,:=@\[\]-]|" + _ESCAPE + rb")+"
_UNRESERVED = rb"%(?:2[DdEe]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])"
_QUERY = rb"(?:[^%]|(?!" + _UNRESERVED + rb"|%[01]|%7[Ff])%[0-9A-Fa-f]{2})*"
CANONICAL = re.compile(rb"(?:/|(?:/" + _SEGMENT + rb")+)(?:\?" + _QUERY + rb")?")
VERSIONS = {b"HTTP/1.0": 0, b"HTTP/1.1": 1}

METHOD_BYTES_MAX = 32
HEAD_BYTES_MAX = 1 << 20
FIELDS_MAX = 256
CONTENT_LENGTH_MAX = 2**53
CHUNK_SIZE_OVER = 2**62
CHUNK_LINE_BYTES_MAX = 256
TRAILER_BYTES_MAX = 8192


@dataclass
class Head:
    """What a head says. `lines` are the field lines as they came, with their line ends."""

    is_request: bool
    start: bytes = b""
    method: bytes = b""
    target: bytes = b""
    authority: bytes = b""
    minor: int = 1
    status: int = 0
    content_length: int = -1
    chunked: bool = False
    expects_continue: bool = False
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)

    @property
    def raw(self) -> bytes:
        return self.start + b"".join(self.lines) + b"\r\n"

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]

    def values(self, name: bytes) -> list[bytes]:
        return [value for other, value in self.fields if other.lower() == name]

    @property
    def connection(self) -> set[bytes]:
        return {item.lower() for value in self.values(b"connection") for item in members(value)}

    @property
    def nominated(self) -> set[bytes]:
        """Names in Connection that count: of fields that nobody needs to read the message."""
        return {name for name in self.connection if family(name) == "other"}

    @property
    def keep_alive(self) -> bool:
        if b"close" in self.connection:
            return False
        return self.minor == 1 or b"keep-alive" in self.connection


def members(value: bytes) -> list[bytes]:
    """The non-empty members of a comma-separated list."""
    return [item for part in value.split(b",") if (item := part.strip(b" \t"))]


class Line:
    """What is left of the bytes; `take` moves on, and complains where it cannot."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, pattern: re.Pattern[bytes]) -> bytes:
        found = pattern.match(self.data)
        assert found is not None  # every pattern used here matches the empty string
        self.data = self.data[found.end() :]
        return found[0]

    def expect(self, mark: bytes, otherwise: HeadFault) -> None:
        if self.data.startswith(mark):
            self.data = self.data[len(mark) :]
            return
        raise BadHead(HeadFault.BARE_LF if self.data.startswith(b"\n") else otherwise)


def blank_lines(data: bytes) -> int:
    """Size of the empty lines, two at most, allowed before a request line."""
    return 4 if data.startswith(b"\r\n\r\n") else 2 if data.startswith(b"\r\n") else 0


def head_end(data: bytes) -> int:
    """Offset behind the empty line after a start line, or behind the first bare LF; 0: none."""
    at = blank_lines(data)
    while b"\n" in data[at:]:
        end = data.index(b"\n", at) + 1
        line = data[at:end]
        if line == b"\r\n" or not line.endswith(b"\r\n"):
            return end
        at = end
    return 0


def parse_request(data: bytes, fields_max: int = 128) -> tuple[Head, int] | None:
    return _parse(data, min(fields_max, FIELDS_MAX), is_request=True)


def parse_response(data: bytes) -> tuple[Head, int] | None:
    return _parse(data, FIELDS_MAX, is_request=False)


def _parse(data: bytes, fields_max: int, *, is_request: bool) -> tuple[Head, int] | None:
    end = head_end(data)
    skipped = blank_lines(data) if is_request else 0
    if len(data) > HEAD_BYTES_MAX if end == 0 else end - skipped > HEAD_BYTES_MAX:
        raise BadHead(HeadFault.HEAD_TOO_LARGE)
    if end == 0:
        return None
    rest = Line(data[skipped:end])
    head = Head(is_request)
    (_request_line if is_request else _status_line)(head, rest)
    head.start = data[skipped : end - len(rest.data)]
    while not rest.data.startswith(b"\r\n"):
        if len(head.fields) >= fields_max:
            raise BadHead(HeadFault.TOO_MANY_FIELDS)
        _field(head, rest)
    _judge(head)
    return head, end


def _request_line(head: Head, rest: Line) -> None:
    ends = rest.data.lstrip(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_").startswith(b"\r")
    head.method = rest.take(METHOD)
    if rest.data.startswith(b" ") and not 1 <= len(head.method) <= METHOD_BYTES_MAX:
        raise BadHead(HeadFault.BAD_METHOD)
    rest.expect(b" ", HeadFault.BAD_START_LINE if ends else HeadFault.BAD_METHOD)
    head.target = rest.take(TARGET)
    ends = rest.data.startswith(b"\r")
    rest.expect(b" ", HeadFault.BAD_START_LINE if ends else HeadFault.BAD_TARGET)
    _target(head)
    _version(head, rest)
    rest.expect(b"\r\n", HeadFault.BAD_VERSION)


def _target(head: Head) -> None:
    absolute = ABSOLUTE.fullmatch(head.target)
    if head.method == b"CONNECT":
        raise BadHead(HeadFault.BAD_TARGET)
    if absolute and HOST.fullmatch(absolute[1]):
        head.authority = absolute[1]
        head.target = absolute[2] or b"/"
    elif head.target == b"*" and head.method == b"OPTIONS":
        return
    elif not head.target.startswith(b"/"):
        raise BadHead(HeadFault.BAD_TARGET)
    if not CANONICAL.fullmatch(head.target):
        raise BadHead(HeadFault.NOT_CANONICAL)


def _version(head: Head, rest: Line) -> None:
    if rest.data[:8] not in VERSIONS:
        raise BadHead(HeadFault.BAD_VERSION)
    head.minor = VERSIONS[rest.data[:8]]
    rest.data = rest.data[8:]


def _status_line(head: Head, rest: Line) -> None:
    if not rest.data.startswith(b"HTTP/"):
        rest.expect(b"HTTP/", HeadFault.BAD_START_LINE)
    _version(head, rest)
    rest.expect(b" ", HeadFault.BAD_VERSION)
    if not STATUS.match(rest.data):
        raise BadHead(HeadFault.BAD_STATUS)
    head.status = int(rest.data[:3])
    rest.data = rest.data[3:]
    if rest.data.startswith(b"\r\n"):
        rest.expect(b"\r\n", HeadFault.OK)
        return
    rest.expect(b" ", HeadFault.BAD_STATUS)
    rest.take(REASON)
    rest.expect(b"\r\n", HeadFault.BAD_START_LINE)


def _field(head: Head, rest: Line) -> None:
    whole = rest.data
    if whole[:1] in (b" ", b"\t"):
        raise BadHead(HeadFault.OBS_FOLD)
    if whole.startswith(b"\n"):
        raise BadHead(HeadFault.BARE_LF)
    name = rest.take(NAME)
    if not name or not rest.data.startswith(b":"):
        raise BadHead(HeadFault.BAD_FIELD_NAME)
    rest.data = rest.data[1:]
    value = rest.take(REASON).strip(b" \t")
    rest.expect(b"\r\n", HeadFault.BAD_FIELD_VALUE)
    _meaning(head, name.lower(), value)
    head.fields.append((name, value))
    head.lines.append(whole[: len(whole) - len(rest.data)])


def _meaning(head: Head, name: bytes, value: bytes) -> None:
    if name == b"content-length":
        plain = re.fullmatch(rb"0*[0-9]{1,16}", value) is not None
        if head.values(name) or not plain or int(value[-16:]) > CONTENT_LENGTH_MAX:
            raise BadHead(HeadFault.BAD_CONTENT_LENGTH)
        head.content_length = int(value[-16:])
    elif name == b"transfer-encoding":
        if head.values(name) or head.minor == 0 or value.lower() != b"chunked":
            raise BadHead(HeadFault.BAD_TRANSFER_ENCODING)
        head.chunked = True
    elif name == b"host" and head.is_request:
        if head.values(name) or not HOST.fullmatch(value):
            raise BadHead(HeadFault.BAD_HOST)
    elif name in (b"origin", b"sec-fetch-site") and head.is_request:
        if head.values(name):
            raise BadHead(HeadFault.REPEATED_FIELD)
    elif name == b"expect" and head.is_request and head.minor == 1:
        head.expects_continue = head.expects_continue or value.lower() == b"100-continue"


def _judge(head: Head) -> None:
    if head.chunked and head.content_length >= 0:
        raise BadHead(HeadFault.BOTH_FRAMINGS)
    host = head.values(b"host")
    if head.is_request and not host:
        raise BadHead(HeadFault.BAD_HOST)
    if head.authority and host and host[0].lower() != head.authority.lower():
        raise BadHead(HeadFault.BAD_HOST)


SIZE_LINE = re.compile(rb"(?:[0-9A-Fa-f]{1,16}(?:;" + TEXT + rb"*)?(?:\r\n?)?)?")
TRAILER_LINE = re.compile(rb"(?:" + TOKEN + rb"+(?::" + TEXT + rb"*(?:\r\n?)?)?|\r\n?)?")
CHUNK_END = re.compile(rb"(?:\r\n?)?")


class ChunkReader:
    """A chunked body byte by byte: what has come of a line must be the beginning of a good line."""

    def __init__(self) -> None:
        self.done = False
        self.fault = HeadFault.OK
        self.consumed = 0
        self._grammar = SIZE_LINE
        self._line = b""
        self._left = 0
        self._trailer = 0

    @property
    def between(self) -> bool:
        return self._grammar is SIZE_LINE and not self._line and not self.fault

    def feed(self, data: bytes) -> list[bytes]:
        payload = b""
        for byte in data:
            if self.done or self.fault:
                break
            if self._left:
                self._left -= 1
                payload += bytes([byte])
            else:
                self.fault = self._framing(self._line + bytes([byte]))
            self.consumed += not self.fault
        return [payload] if payload else []

    def _framing(self, line: bytes) -> HeadFault:
        if self._grammar is TRAILER_LINE:
            self._trailer += 1
            if self._trailer > TRAILER_BYTES_MAX:
                return HeadFault.TRAILER_TOO_LARGE
        if not self._grammar.fullmatch(line):
            return HeadFault.BAD_CHUNK
        self._line = line
        if self._grammar is SIZE_LINE:
            size = int(re.split(rb"[;\r]", line)[0], 16)
            if size >= CHUNK_SIZE_OVER or len(line.rstrip(b"\r\n")) > CHUNK_LINE_BYTES_MAX:
                return HeadFault.BAD_CHUNK
        if line.endswith(b"\n"):
            self._end_of_line(line)
        return HeadFault.OK

    def _end_of_line(self, line: bytes) -> None:
        self._line = b""
        if self._grammar is CHUNK_END:
            self._grammar = SIZE_LINE
        elif self._grammar is SIZE_LINE:
            self._left = int(re.split(rb"[;\r]", line)[0], 16)
            self._grammar = CHUNK_END if self._left else TRAILER_LINE
        else:
            self.done = line == b"\r\n"


def render_request(
    head: Head,
    *,
    prefix: bytes,
    host: bytes,
    lines: list[tuple[bytes, bytes]],
    content_length: int,
    chunked: bool,
    path: bytes,
    pass_credentials: bool = False,
    drop_names: Iterable[bytes] = (),
    drop_betas: Iterable[bytes] | None = None,
) -> bytes:
    """The head sent upstream, as `RequestPlan` writes it."""
    drop = {folded(name) for name in drop_names} | {folded(name) for name, _ in lines}
    out = [head.method + b" " + prefix + path + b" HTTP/1.1\r\n", b"Host: " + host + b"\r\n"]
    out += [name + b": " + value + b"\r\n" for name, value in lines]
    out.append(b"Accept-Encoding: identity\r\n")
    for (name, value), line in zip(head.fields, head.lines, strict=True):
        kind = family(name)
        is_own = pass_credentials and name.lower() in (b"authorization", b"x-api-key")
        if kind in TO_NO_PROVIDER and not is_own:
            continue
        if folded(name) in drop or name.lower() in head.nominated:
            continue
        if name.lower() == b"anthropic-beta" and drop_betas is not None:
            line = _without_betas(line, value, set(drop_betas))
        out.append(line)
    return b"".join(out) + _framing_line(content_length, chunked) + b"\r\n"


def _without_betas(line: bytes, value: bytes, drop: set[bytes]) -> bytes:
    betas = members(value)
    kept = [beta for beta in betas if beta not in drop]
    if not kept or b"*" in drop:
        return b""
    if kept == betas:
        return line
    start = re.match(rb"[^:]*:[ \t]*", line)
    assert start is not None
    return start[0] + b",".join(kept) + b"\r\n"


def _framing_line(content_length: int, chunked: bool) -> bytes:
    if chunked:
        return b"Transfer-Encoding: chunked\r\n"
    return b"Content-Length: %d\r\n" % content_length if content_length >= 0 else b""


def render_response(
    head: Head,
    framing: int,
    length: int = -1,
    keep_alive: bool = True,
    extra: bytes = b"",
    plain: bool = False,
    media_type: bytes = b"",
) -> bytes:
    """The head sent downstream, as `write_response` writes it."""
    replaced = {b"content-encoding"} if plain else set()
    if media_type:
        replaced.add(b"content-type")
    out = [b"HTTP/1.1" + head.start[8:]]
    out += [
        line
        for (name, _), line in zip(head.fields, head.lines, strict=True)
        if family(name) not in TO_NO_CLIENT
        and name.lower() not in head.nominated
        and name.lower() not in replaced
    ]
    if media_type:
        out.append(b"Content-Type: %b\r\n" % media_type)
    match framing:
        case _ if head.status < 200 or head.status in (204, 304):
            pass
        case Framing.KEEP:
            out.append(_framing_line(head.content_length, head.chunked))
        case Framing.CHUNKED:
            out.append(_framing_line(-1, True))
        case Framing.LENGTH:
            out.append(_framing_line(length, False))
        case _:  # CLOSE
            pass
    if not keep_alive:
        out.append(b"Connection: close\r\n")
    return b"".join([*out, extra, b"\r\n"])
