"""Reads a gRPC-web response from a socket: the head, the body's framing, messages and trailers.

For `ccrelay.control.client`, which must start fast: `http.client` loads the whole of `email`.
"""

from collections.abc import Callable, Iterator

HEAD_MAX = 64 * 1024
LINE_MAX = 1024
MESSAGE_MAX = 64 * 1024 * 1024
READ_SIZE = 64 * 1024
TRAILERS = 0x80
COMPRESSED = 0x01

# gRPC status codes by number.
CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND"),
    *("ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION"),
    *("ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"),
    "UNAUTHENTICATED",
)
# What an HTTP status means where gRPC says nothing.
CODE_BY_HTTP_STATUS = {
    400: "INTERNAL",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    415: "UNIMPLEMENTED",
    429: "UNAVAILABLE",
    431: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "UNAVAILABLE",
}


class ControlError(Exception):
    """Something about a relay could not be asked or done. `str()` says what to do."""


class CallFailed(ControlError):
    """A call failed.

    Args:
        code: name of the gRPC status code, such as `FAILED_PRECONDITION`.
        message: one sentence from the relay, not escaped.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message or code)
        self.code = code
        self.message = message


class Reader:
    """The bytes of a response.

    Args:
        receive: returns at most so many bytes, b"" at the end.
    """

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._buffer = bytearray()
        self._left: int | None = None  # of the body or the chunk; None: until the end
        self._is_chunked = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}

    def read_head(self) -> None:
        """Read status and headers. Raises CallFailed."""
        while True:
            end = self._find(b"\r\n\r\n", HEAD_MAX)
            lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
            del self._buffer[: end + 4]
            words = lines[0].split(" ", 2)
            if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdecimal():
                raise CallFailed("INTERNAL", "What listens there is no relay: it speaks no HTTP.")
            self.status = int(words[1])
            if not 100 <= self.status < 200:
                break
        self.headers = fields(lines[1:])
        self._is_chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        length = self.headers.get("content-length", "")
        self._left = 0 if self._is_chunked else int(length) if length.isdecimal() else None

    def read(self, size: int) -> bytes:
        """Return so many bytes of the body, fewer at its end. Raises CallFailed."""
        parts = bytearray()
        while len(parts) < size:
            piece = self._piece(size - len(parts))
            if not piece:
                break
            parts += piece
        return bytes(parts)

    def _piece(self, size: int) -> bytes:
        if self._is_chunked and self._left == 0 and not self._next_chunk():
            return b""
        if self._left == 0:
            return b""
        if not self._buffer:
            self._fill()
        size = min(size, len(self._buffer), size if self._left is None else self._left)
        piece = bytes(self._buffer[:size])
        del self._buffer[:size]
        if self._left is not None:
            if not piece:
                raise _broke()
            self._left -= len(piece)
            if self._is_chunked and self._left == 0:
                self._line()  # the end of the chunk
        return piece

    def _next_chunk(self) -> bool:
        line = self._line().partition(b";")[0].strip()
        if not line.isalnum():  # `int` would take signs and underscores
            raise _unreadable()
        try:
            self._left = int(line, 16)
        except ValueError:
            raise _unreadable() from None
        if self._left == 0:
            self._is_chunked = False
        return self._left > 0

    def _line(self) -> bytes:
        end = self._find(b"\r\n", LINE_MAX)
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _find(self, mark: bytes, limit: int) -> int:
        searched = 0
        while (end := self._buffer.find(mark, searched)) < 0:
            if len(self._buffer) > limit:
                raise _unreadable()
            searched = max(0, len(self._buffer) - len(mark) + 1)
            if not self._fill():
                raise _broke()
        return end

    def _fill(self) -> bool:
        data = self._receive(READ_SIZE)
        self._buffer += data
        return bool(data)


def messages(reader: Reader) -> Iterator[bytes]:
    """Read the whole response: each message, then the trailers, which go to `reader.trailers`.

    Raises CallFailed where it breaks off or is none of gRPC-web.
    """
    reader.read_head()
    if not reader.headers.get("content-type", "").startswith("application/grpc-web"):
        code = CODE_BY_HTTP_STATUS.get(reader.status, "UNKNOWN")
        text = reader.read(LINE_MAX).decode(errors="replace").strip()
        raise CallFailed(code, text or f"The answer was HTTP {reader.status}.")
    while "grpc-status" not in reader.headers:
        head = reader.read(5)
        size = int.from_bytes(head[1:], "big")
        if len(head) < 5:
            raise _broke()
        if size > MESSAGE_MAX:
            raise CallFailed("RESOURCE_EXHAUSTED", f"An answer of {size} bytes is too long.")
        data = reader.read(size)
        if len(data) < size:
            raise _broke()
        if head[0] & TRAILERS:
            reader.trailers = fields(data.decode("latin-1").split("\r\n"))
            return
        if head[0] & COMPRESSED:
            raise CallFailed("UNIMPLEMENTED", "The relay's answer is compressed.")
        yield data


def failure_of(reader: Reader) -> CallFailed | None:
    """Return the error that the response ended with; None: it ended well."""
    end = reader.trailers or reader.headers
    number = end.get("grpc-status", "")
    if number == "0":
        return None
    is_known = number.isdecimal() and int(number) < len(CODES)
    code = CODES[int(number)] if is_known else "UNKNOWN"
    return CallFailed(code, percent_decoded(end.get("grpc-message", "")))


def fields(lines: list[str]) -> dict[str, str]:
    """Return header lines as a dict, names in lower case; the last of equal ones wins."""
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def percent_decoded(text: str) -> str:
    """Return `grpc-message` as text; what is not well-formed stays as it is."""
    head, *parts = text.split("%")
    data = bytearray(head.encode("latin-1"))
    for part in parts:
        try:
            data += bytes.fromhex(part[:2]) + part[2:].encode("latin-1")
        except ValueError:
            data += b"%" + part.encode("latin-1")
    return data.decode(errors="replace")


def _unreadable() -> CallFailed:
    return CallFailed("INTERNAL", "The relay's answer cannot be read.")


def _broke() -> CallFailed:
    return CallFailed("UNAVAILABLE", "The relay closed the connection before its answer was whole.")
