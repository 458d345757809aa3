"""Thousands of streams of frames, whole, cut and broken, leave no memory behind."""

import gc
from contextlib import suppress

from ccrelay._fast.eventstream import EventStreamDecoder, EventStreamEncoder
from tests.reference.eventstream import chunk_frame, event_frame, exception_frame

STREAMS = 3000
GROWTH_BYTES_MAX = 1_000_000  # a forgotten frame in each would be thirty times as much
EVENT = b'{"type":"content_block_delta","delta":{"text":"%b"}}' % (b"x" * 10_000)
KINDS = [
    chunk_frame(EVENT) * 3,
    chunk_frame(EVENT)[:-100],
    chunk_frame(EVENT)[:-1] + b"?",
    chunk_frame(b" " + EVENT, "p" * 300),
    event_frame("chunk", b'{"bytes":"%b"}' % (b"!" * 10_000)),
    exception_frame("modelStreamErrorException", b'{"message":"%b"}' % (b"y" * 10_000)),
]


def rss() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def one_round() -> None:
    for data in KINDS:
        decoder, out = EventStreamDecoder(), b""
        with suppress(ValueError):
            for at in range(0, len(data), 4096):
                rest = data[at : at + 4096]
                while rest:
                    piece, rest = decoder.decode(rest, 1 << 18)
                    out += piece
        EventStreamEncoder().encode(out + out[:5000])
        EventStreamEncoder().encode(out[:100] + b"\ndata: x")


def test_streams_leave_nothing() -> None:
    for _ in range(50):
        one_round()
    gc.collect()
    before = rss()
    for _ in range(STREAMS // len(KINDS)):
        one_round()
    gc.collect()
    assert rss() - before < GROWTH_BYTES_MAX
