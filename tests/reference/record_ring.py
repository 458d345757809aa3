"""Readable twin of ccrelay._fast.record_ring: a ring of frames, and msgpack by msgspec."""

import struct
from typing import Any

import msgspec

TEXT_BYTES_MAX = 512
FRAME_HEAD = struct.Struct("=I")


class Ring:
    """What writer and reader share."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)
        self.head = self.released = self.dropped = self.garbled = 0

    def put(self, record: bytes) -> bool:
        frame = FRAME_HEAD.pack(len(record)) + record
        if self.head - self.released + len(frame) > len(self.data):
            self.dropped += 1
            return False
        for byte in frame:
            self.data[self.head % len(self.data)] = byte
            self.head += 1
        return True

    def _bytes(self, at: int, n: int) -> bytes:
        return bytes(self.data[k % len(self.data)] for k in range(at, at + n))

    def read(self, after: int, bytes_max: int) -> tuple[list[bytes], int]:
        frames: list[bytes] = []
        at = min(max(after, self.released), self.head)
        while at < self.head:
            size = FRAME_HEAD.unpack(self._bytes(at, 4))[0] if self.head - at > 4 else 0
            if size == 0 or size > self.head - at - 4:
                self.garbled += 1
                return frames, self.head
            if frames and sum(map(len, frames)) + size > bytes_max:
                break
            frames.append(self._bytes(at + 4, size))
            at += 4 + size
        return frames, at

    def release(self, position: int) -> None:
        self.released = max(self.released, min(position, self.head))


def text_of(value: str) -> str:
    """What a record keeps of a text."""
    data = value.encode("utf-8", "replace")[:TEXT_BYTES_MAX]
    return data.decode("utf-8", "ignore")


def decoded(record: bytes) -> Any:
    """The values of a record."""
    return msgspec.msgpack.decode(record)
