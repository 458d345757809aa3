"""A ring as the shared memory has it, in plain Python; a book of events; clocks that are set."""

from typing import Any

import msgspec

from ccrelay.ledger.record import Record

HEAD = 8  # bytes of a frame before its content


class FakeRing:
    """Positions are bytes, as in `_fast.record_ring`; what was released cannot be read again."""

    def __init__(self, capacity: int = 1 << 20) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.head = 0
        self.released = 0
        self.dropped = 0
        self.capacity = capacity
        self.is_deaf = False  # the reader dies before it can release anything

    def put(self, *records: Record | bytes) -> None:
        for record in records:
            frame = record if isinstance(record, bytes) else msgspec.msgpack.encode(record)
            size = len(frame) + HEAD
            if self.head + size - self.released > self.capacity:
                self.dropped += 1
                continue
            self.frames.append((self.head, frame))
            self.head += size

    def read(self, after: int, bytes_max: int) -> tuple[list[bytes], int]:
        assert self.released <= after <= self.head, "what is read must not be released"
        found: list[bytes] = []
        end = after
        for position, frame in self.frames:
            if position >= after and (not found or end + len(frame) - after <= bytes_max):
                assert position == end, "positions are those between frames"
                found.append(frame)
                end = position + len(frame) + HEAD
        return found, end

    def release(self, position: int) -> None:
        if self.is_deaf:
            return
        assert self.released <= position <= self.head
        self.released = position
        self.frames = [one for one in self.frames if one[0] >= position]


class Events:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, level: str, name: str, **fields: Any) -> None:
        self.told.append((level, name, fields))

    def event(self, level: str, name: str, **fields: Any) -> None:
        self(level, name, **fields)

    def exchange(self, entry: object) -> None:
        """Not used here."""

    def names(self) -> list[str]:
        return [name for _, name, _ in self.told]
