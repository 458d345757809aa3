"""The words of gRPC-web: messages in frames, trailers, timeouts, metadata. No sockets."""

import base64
import binascii
import re
import struct
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from grpc import StatusCode

from ccrelay.control.errors import Refused

CONTENT_TYPES = ("application/grpc-web", "application/grpc-web+proto")
CONTENT_TYPE = "application/grpc-web+proto"
HEAD_SIZE = 5
_COMPRESSED, _TRAILERS = 0x01, 0x80

Value = str | bytes
Pairs = Sequence[tuple[str, Value]]

# Of HTTP and of the protocol: not for servicers.
_NOT_METADATA = frozenset(
    {
        *("host", "content-type", "content-length", "transfer-encoding", "connection", "te"),
        *("keep-alive", "upgrade", "expect", "trailer", "authorization", "cookie"),
        "x-ccrelay-page",
        *("grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "accept-encoding"),
    }
)
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_NAME = re.compile(r"[0-9a-z_.-]+")


def frame(data: bytes) -> bytes:
    """Return a message as it is sent."""
    return struct.pack(">BI", 0, len(data)) + data


def trailers(code: int, message: str, metadata: Pairs) -> bytes:
    """Return the last frame of a response."""
    lines = [f"grpc-status: {code}"]
    if message:
        lines.append(f"grpc-message: {percent_encoded(message)}")
    lines += [f"{name}: {value}" for name, value in header_lines(metadata)]
    data = "".join(f"{line}\r\n" for line in lines).encode("latin-1", "replace")
    return struct.pack(">BI", _TRAILERS, len(data)) + data


def one_message(body: bytes) -> bytes:
    """Return the message of a request body, which holds exactly one. Raises Refused."""
    if len(body) < HEAD_SIZE:
        raise Refused(StatusCode.INVALID_ARGUMENT, "The body has no whole gRPC-web frame.")
    flags, size = struct.unpack_from(">BI", body)
    if flags & _COMPRESSED:
        message = "Compressed messages are not supported: send grpc-encoding identity."
        raise Refused(StatusCode.UNIMPLEMENTED, message)
    if flags:
        raise Refused(StatusCode.INVALID_ARGUMENT, "The body begins with no message frame.")
    if len(body) < HEAD_SIZE + size:
        raise Refused(StatusCode.INVALID_ARGUMENT, "The message is shorter than its frame says.")
    # Only a frame of trailers may follow, which some clients send.
    rest = body[HEAD_SIZE + size :]
    if rest and not rest[0] & _TRAILERS:
        raise Refused(StatusCode.UNIMPLEMENTED, "Only calls with one request are supported.")
    return body[HEAD_SIZE : HEAD_SIZE + size]


def timeout_s(text: str) -> float:
    """Return the seconds of `grpc-timeout`. Raises Refused."""
    match = _TIMEOUT.fullmatch(text.strip())
    if match is None:
        raise Refused(StatusCode.INVALID_ARGUMENT, "grpc-timeout is 1 to 8 digits and a unit.")
    return int(match[1]) * _UNIT_S[match[2]]


def percent_encoded(message: str) -> str:
    """Return a status message as `grpc-message` carries it: UTF-8, percent-encoded."""
    return quote(message, safe=_PRINTABLE, errors="replace")


def metadata_of(headers: Iterable[tuple[str, str]]) -> Pairs:
    """Return what servicers see of request headers; names in lower case, `-bin` decoded.

    Raises Refused where a binary value is no base64.
    """
    found: list[tuple[str, Value]] = []
    for name, value in headers:
        if name in _NOT_METADATA or not _NAME.fullmatch(name):
            continue
        if name.endswith("-bin"):
            found += [(name, _decoded(name, each)) for each in value.split(",")]
        else:
            found.append((name, value))
    return found


def header_lines(metadata: Pairs) -> list[tuple[str, str]]:
    """Return metadata as header lines. Raises ValueError for what is none."""
    lines = []
    for name, value in metadata:
        if not _NAME.fullmatch(name) or name.startswith("grpc-"):
            raise ValueError(f"no name of metadata: {name!r}")
        if name.endswith("-bin"):
            data = value if isinstance(value, bytes) else value.encode()
            text = base64.b64encode(data).decode().rstrip("=")
        else:
            text = value if isinstance(value, str) else value.decode("latin-1")
            if not all(0x20 <= ord(char) < 0x7F for char in text):
                raise ValueError(f"no value of metadata: {name}")
        lines.append((name, text))
    return lines


def _decoded(name: str, text: str) -> bytes:
    text = text.strip().rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise Refused(StatusCode.INVALID_ARGUMENT, f"{name} is no base64.") from None
