"""Event-stream frames of AWS, as Bedrock sends them; written from the specification."""

import base64
import json
import struct
import zlib

from tests.loopback.relay.wires import EVENTS, chunks, events_in

EVENT_STREAM = b"application/vnd.amazon.eventstream"
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-RequestId: req-aws-1\r\nX-Amzn-Bedrock-Content-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def frame(payload: bytes, **headers: str) -> bytes:
    """One frame; header names have `_` for `-` and no colon."""
    fields = b""
    for name, value in headers.items():
        told = ":" + name.replace("_", "-")
        fields += struct.pack(">B", len(told)) + told.encode() + b"\x07"
        fields += struct.pack(">H", len(value)) + value.encode()
    size = 12 + len(fields) + len(payload) + 4
    prelude = struct.pack(">II", size, len(fields))
    prelude += struct.pack(">I", zlib.crc32(prelude))
    data = prelude + fields + payload
    return data + struct.pack(">I", zlib.crc32(data))


def chunk_frame(data: str, **more: object) -> bytes:
    """The frame of an event with this JSON."""
    payload = {"bytes": base64.b64encode(data.encode()).decode(), "p": "abcdefgh", **more}
    return frame(
        json.dumps(payload).encode(),
        event_type="chunk",
        content_type="application/json",
        message_type="event",
    )


def exception(name: str, message: str) -> bytes:
    """An exception frame."""
    return frame(
        json.dumps({"message": message}).encode(),
        exception_type=name,
        content_type="application/json",
        message_type="exception",
    )


def frames_of(events: bytes) -> list[bytes]:
    """The frames for server-sent events."""
    return [chunk_frame(data) for _, data in events_in(events)]


FRAMES = frames_of(EVENTS)
STREAM = HEAD + chunks(*FRAMES)
