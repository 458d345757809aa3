"""HTTP/1.1 for the demo provider: reads requests from bytes, writes response heads and chunks.

Sans-IO: `RequestReader` takes bytes in any split and gives whole heads and bodies. It is written
for reading, not for speed. It forgives what harms nobody (blank lines before a request, chunk
extensions, trailers, unknown methods) and refuses ambiguous framing (RFC 9112 section 6.3), so that
a relay in front that lets such a request through is found out.
"""

import enum
import http
import re

import msgspec

HEAD_BYTES_MAX = 1 << 20  # generous: the relay's own limit is the one under test; 431 beyond
BODY_BYTES_MAX = 256 << 20  # Anthropic's cap for batches, the largest body we answer; 413 beyond
LINE_BYTES_MAX = 4096  # a chunk-size or trailer line; 400 beyond

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) HTTP/1\.([01])\Z")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*?)[ \t]*\Z")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\Z", re.DOTALL)
_LENGTH = re.compile(r"[0-9]{1,15}\Z")

Headers = list[tuple[str, str]]


class WireError(Exception):
    """The bytes are not a request we can read; the connection is closed after `status`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RequestHead(msgspec.Struct, frozen=True):
    """A request line and its fields, in the order and spelling they came in."""

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
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow. HTTP/1.0 clients always get a close."""
        tokens = ",".join(self.all("connection")).lower().split(",")
        return self.minor == 1 and "close" not in (token.strip() for token in tokens)

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body."""
        return self.minor == 1 and (self.get("expect") or "").lower() == "100-continue"


class _At(enum.IntEnum):
    HEAD = 0  # between requests, or inside a head
    LENGTH = 1  # inside a body of known length
    SIZE = 2  # before a chunk-size line
    DATA = 3  # inside a chunk
    DATA_END = 4  # before the CRLF after a chunk
    TRAILER = 5  # after the last chunk


class RequestReader:
    """Takes bytes, gives heads and bodies by turns; pipelined requests wait inside."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = _At.HEAD
        self._left = 0  # bytes still missing of the body (LENGTH) or of the chunk (DATA)
        self._body = bytearray()
        self.taken = 0  # bytes fed in all

    def feed(self, data: bytes) -> None:
        """Add bytes as they came from the socket."""
        self._buffer += data
        self.taken += len(data)

    def __len__(self) -> int:
        """Return the bytes held and not yet given out."""
        return len(self._buffer)

    def next_head(self) -> RequestHead | None:
        """Return the next head, or None until it is complete.

        Raises:
            WireError: 400 not a request or ambiguous framing, 431 too long, 501 unknown coding.
        """
        while self._buffer.startswith(b"\r\n"):  # RFC 9112 section 2.2
            del self._buffer[:2]
        end = self._buffer.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
        if end < 0:
            if len(self._buffer) >= HEAD_BYTES_MAX:
                raise WireError(431, f"The request head is longer than {HEAD_BYTES_MAX} bytes.")
            return None
        head = _parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        self._frame(head)
        return head

    def next_body(self) -> bytes | None:
        """Return the body of the last head, b"" when it has none, or None until it is complete.

        Raises:
            WireError: 400 broken chunk framing, 413 too long.
        """
        if self._at is _At.LENGTH:
            if len(self._buffer) < self._left:
                return None
            body = bytes(self._buffer[: self._left])
            del self._buffer[: self._left]
        elif self._at is _At.HEAD or self._walk_chunks():
            body = bytes(self._body)
            self._body.clear()
        else:
            return None
        self._at = _At.HEAD
        return body

    def _frame(self, head: RequestHead) -> None:
        codings = head.all("transfer-encoding")
        lengths = head.all("content-length")
        if codings and (lengths or head.minor == 0):
            raise WireError(400, "Transfer-Encoding beside Content-Length or in HTTP/1.0.")
        if codings:
            if [coding.lower() for coding in codings] != ["chunked"]:
                raise WireError(501, "Only the transfer coding 'chunked' is understood.")
            self._at = _At.SIZE
            return
        if not lengths:
            return
        if len(lengths) > 1 or not _LENGTH.match(lengths[0]):
            raise WireError(400, "Content-Length must be one plain number.")
        self._left = int(lengths[0])
        self._refuse_beyond(self._left)
        self._at = _At.LENGTH

    def _walk_chunks(self) -> bool:
        """Move what is there into the body; True once the last chunk and the trailers are read."""
        while True:
            if self._at is _At.DATA:
                taken = self._buffer[: self._left]
                self._body += taken
                del self._buffer[: len(taken)]
                self._left -= len(taken)
                if self._left:
                    return False
                self._at = _At.DATA_END
            line = self._take_line()
            if line is None:
                return False
            if self._at is _At.SIZE:
                self._begin_chunk(line)
            elif self._at is _At.TRAILER:
                if not line:
                    return True
            elif line:
                raise WireError(400, "A chunk is longer than its size line says.")
            else:
                self._at = _At.SIZE

    def _begin_chunk(self, line: bytes) -> None:
        match = _CHUNK_SIZE.match(line)
        if match is None:
            raise WireError(400, "A chunk-size line is not a hexadecimal number.")
        self._left = int(match[1], 16)
        self._refuse_beyond(len(self._body) + self._left)
        self._at = _At.DATA if self._left else _At.TRAILER

    def _take_line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n", 0, LINE_BYTES_MAX)
        if end < 0:
            if len(self._buffer) >= LINE_BYTES_MAX:
                raise WireError(400, "A line of the chunk framing is too long.")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _refuse_beyond(self, length: int) -> None:
        if length > BODY_BYTES_MAX:
            raise WireError(413, f"The request body is longer than {BODY_BYTES_MAX} bytes.")


def response_head(status: int, headers: Headers, *, version: str = "1.1") -> bytes:
    """Return a status line and fields, ready to send; names are sent as given."""
    lines = [f"HTTP/{version} {status} {reason(status)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def chunk(data: bytes) -> bytes:
    """Return `data` as one chunk; nothing for b"", which would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def reason(status: int) -> str:
    """Return the reason phrase of a status, also of Anthropic's 529."""
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
        raise WireError(400, "The request line is not METHOD TARGET HTTP/1.x.")
    headers: Headers = []
    for raw_field in rest:
        field = _FIELD.match(raw_field)
        if field is None:
            raise WireError(400, "A header line is not NAME: VALUE.")
        headers.append((field[1].decode("ascii"), field[2].decode("latin-1")))
    target = line[2].decode("latin-1")
    return RequestHead(line[1].decode("ascii"), target, int(line[3]), headers)
