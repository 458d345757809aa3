"""HTTP/1.1 for the mock provider: parses requests, formats response heads and chunks.

Sans-IO: `RequestParser` takes bytes in any split and returns complete heads and bodies. It is
optimised for readability. It accepts harmless deviations (blank lines before a request, chunk
extensions, trailers, unknown methods) and rejects ambiguous framing (RFC 9112 section 6.3), so that
tests detect a relay that forwards such a request.
"""

import enum
import http
import re

import msgspec

HEAD_BYTES_MAX = 1 << 20  # above the relay's own limit, which is under test; 431 above it
BODY_BYTES_MAX = 256 << 20  # Anthropic's limit for batches, the largest bodies; 413 above it
LINE_BYTES_MAX = 4096  # a chunk-size or trailer line; 400 above it

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.([01])\Z")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*\Z")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\Z", re.DOTALL)
_LENGTH = re.compile(r"[0-9]{1,15}\Z")

Headers = list[tuple[str, str]]


class ProtocolError(Exception):
    """Invalid or unsupported request; the connection is closed after a `status` response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RequestHead(msgspec.Struct, frozen=True):
    """A request line and header fields, in the order and case received."""

    method: str
    target: str
    minor: int  # 0 or 1: the x of HTTP/1.x
    headers: Headers

    def get(self, name: str) -> str | None:
        """Return the first value of a header; `name` in lower case."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    def all(self, name: str) -> list[str]:
        """Return every value of a header; `name` in lower case."""
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def path(self) -> str:
        """The target without its query string."""
        return self.target.partition("?")[0]

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow; never with HTTP/1.0."""
        tokens = ",".join(self.all("connection")).lower().split(",")
        return self.minor == 1 and "close" not in (token.strip() for token in tokens)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body."""
        return self.minor == 1 and (self.get("expect") or "").lower() == "100-continue"


class _State(enum.IntEnum):
    HEAD = 0  # between requests, or inside a head
    LENGTH = 1  # inside a body of known length
    SIZE = 2  # before a chunk-size line
    DATA = 3  # inside a chunk
    DATA_END = 4  # before the CRLF after a chunk
    TRAILER = 5  # after the last chunk


class RequestParser:
    """Parses heads and bodies alternately; buffers pipelined requests."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._state = _State.HEAD
        self._missing = 0  # bytes missing of the body (LENGTH) or of the chunk (DATA)
        self._body = bytearray()
        self.received = 0  # total bytes fed

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data
        self.received += len(data)

    def __len__(self) -> int:
        """Return the number of buffered bytes."""
        return len(self._buffer)

    def next_head(self) -> RequestHead | None:
        """Return the next head, or None until it is complete.

        Raises:
            ProtocolError: 400 invalid or ambiguous framing, 431 too long, 501 unknown coding.
        """
        while self._buffer.startswith(b"\r\n"):  # RFC 9112 section 2.2
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
        if end < 0:
            if len(self._buffer) >= HEAD_BYTES_MAX:
                raise ProtocolError(431, f"The request head is longer than {HEAD_BYTES_MAX} bytes.")
            return None
        head = _parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        self._frame(head)
        return head

    def next_body(self) -> bytes | None:
        """Return the body of the last head, b"" when it has none, or None until it is complete.

        Raises:
            ProtocolError: 400 invalid chunk framing, 413 too long.
        """
        if self._state is _State.LENGTH:
            if len(self._buffer) < self._missing:
                return None
            body = bytes(self._buffer[: self._missing])
            del self._buffer[: self._missing]
        elif self._state is _State.HEAD or self._read_chunks():
            body = bytes(self._body)
            self._body.clear()
        else:
            return None
        self._state = _State.HEAD
        return body

    def _frame(self, head: RequestHead) -> None:
        codings = head.all("transfer-encoding")
        lengths = head.all("content-length")
        if codings and (lengths or head.minor == 0):
            raise ProtocolError(400, "Transfer-Encoding with Content-Length, or in HTTP/1.0.")
        if codings:
            if [coding.lower() for coding in codings] != ["chunked"]:
                raise ProtocolError(501, "Unsupported transfer coding; only 'chunked' is.")
            self._state = _State.SIZE
            return
        if not lengths:
            return
        if len(lengths) > 1 or not _LENGTH.match(lengths[0]):
            raise ProtocolError(400, "Invalid Content-Length.")
        self._missing = int(lengths[0])
        self._check_length(self._missing)
        self._state = _State.LENGTH

    def _read_chunks(self) -> bool:
        """Parse buffered chunks; True when the last chunk and the trailers were read."""
        while True:
            if self._state is _State.DATA:
                received = self._buffer[: self._missing]
                self._body += received
                del self._buffer[: len(received)]
                self._missing -= len(received)
                if self._missing:
                    return False
                self._state = _State.DATA_END
            line = self._read_line()
            if line is None:
                return False
            if self._state is _State.SIZE:
                self._start_chunk(line)
            elif self._state is _State.TRAILER:
                if not line:
                    return True
            elif line:
                raise ProtocolError(400, "A chunk is longer than its size line.")
            else:
                self._state = _State.SIZE

    def _start_chunk(self, line: bytes) -> None:
        match = _CHUNK_SIZE.match(line)
        if match is None:
            raise ProtocolError(400, "Invalid chunk size.")
        self._missing = int(match[1], 16)
        self._check_length(len(self._body) + self._missing)
        self._state = _State.DATA if self._missing else _State.TRAILER

    def _read_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, LINE_BYTES_MAX)
        if end < 0:
            if len(self._buffer) >= LINE_BYTES_MAX:
                raise ProtocolError(400, "A chunk-size or trailer line is too long.")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _check_length(self, length: int) -> None:
        if length > BODY_BYTES_MAX:
            raise ProtocolError(413, f"The request body is longer than {BODY_BYTES_MAX} bytes.")


def response_head(status: int, headers: Headers, *, version: str = "1.1") -> bytes:
    """Return the bytes of a status line and header fields; names are sent as given."""
    lines = [f"HTTP/{version} {status} {reason(status)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk; b"" for b"", which would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def reason(status: int) -> str:
    """Return the reason phrase of a status, including Anthropic's 529."""
    if status == 529:
        return "Overloaded"
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _parse_head(raw: bytes) -> RequestHead:
    first, *rest = raw.split(b"\r\n")
    line = _REQUEST_LINE.match(first)
    if line is None:
        raise ProtocolError(400, "Invalid request line.")
    headers: Headers = []
    for raw_field in rest:
        field = _FIELD.match(raw_field)
        if field is None:
            raise ProtocolError(400, "Invalid header line.")
        headers.append((field[1].decode("ascii"), field[2].decode("latin-1")))
    target = line[2].decode("latin-1")
    return RequestHead(line[1].decode("ascii"), target, int(line[3]), headers)
