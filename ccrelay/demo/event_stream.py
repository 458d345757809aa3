"""AWS event-stream messages, as InvokeModelWithResponseStream sends them. Pure.

A message: total length, length of the headers, CRC-32 of both, headers, payload, CRC-32 of all
before it; numbers are big-endian (`botocore.eventstream`, which the tests have as judge).
"""

import base64
import struct
import zlib

import msgspec

STRING = 7  # type of a header's value
MEDIA_TYPE = "application/vnd.amazon.eventstream"
PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def message(headers: dict[str, str], payload: bytes = b"") -> bytes:
    """Return one message; all its headers are strings."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    whole = prelude + struct.pack("!I", zlib.crc32(prelude)) + block + payload
    return whole + struct.pack("!I", zlib.crc32(whole))


def chunk(event: bytes) -> bytes:
    """Return an event of Anthropic's (its JSON) as a `chunk`, padded as Bedrock pads."""
    padding = PADDING[: 1 + zlib.crc32(event) % len(PADDING)]
    payload = {"bytes": base64.b64encode(event).decode(), "p": padding}
    headers = {
        ":event-type": "chunk",
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return message(headers, msgspec.json.encode(payload))


def exception(name: str, text: str, **members: object) -> bytes:
    """Return an exception of the service model, e.g. `throttlingException`."""
    headers = {
        ":exception-type": name,
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return message(headers, msgspec.json.encode({"message": text, **members}))


def error(code: str, text: str) -> bytes:
    """Return an error that the service model does not know; it has no payload."""
    return message({":error-code": code, ":error-message": text, ":message-type": "error"})


def unknown(name: str) -> bytes:
    """Return an event of a type that clients do not know, and skip."""
    headers = {
        ":event-type": name,
        ":content-type": "application/json",
        ":message-type": "event",
    }
    return message(headers, b'{"later":true}')


def corrupted(whole: bytes) -> bytes:
    """Return a message with one bit of its payload flipped, so that its CRC is wrong."""
    changed = bytearray(whole)
    changed[-5] ^= 1
    return bytes(changed)


def _header(name: str, value: str) -> bytes:
    raw_name, raw = name.encode(), value.encode()
    return struct.pack("!B", len(raw_name)) + raw_name + struct.pack("!BH", STRING, len(raw)) + raw
