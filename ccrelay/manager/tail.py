"""Exchanges as they end, for those who watch. A slow reader loses the oldest, and is told."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from ccrelay.ledger.record import Record

READER_MAX = 1000  # records that wait for one reader
RECENT_MAX = 1000  # the last ones, for readers that begin

Wanted = Callable[[Record], bool]


class TailReader:
    """What waits for one reader."""

    def __init__(self, wanted: Wanted, most: int) -> None:
        self._wanted = wanted
        self._waiting: deque[Record] = deque(maxlen=most)
        self._dropped = 0
        self._has_more = asyncio.Event()

    def offer(self, records: Sequence[Record]) -> None:
        """Keep those that are wanted; the oldest go when there are too many."""
        most = self._waiting.maxlen or 0
        for record in records:
            if self._wanted(record):
                if len(self._waiting) == most:
                    self._dropped += 1
                self._waiting.append(record)
        if self._waiting:
            self._has_more.set()

    async def next(self) -> tuple[list[Record], int]:
        """Wait for records. Returns them, and how many were dropped since the last call."""
        await self._has_more.wait()
        self._has_more.clear()
        records, dropped = list(self._waiting), self._dropped
        self._waiting.clear()
        self._dropped = 0
        return records, dropped


class TailHub:
    """Gives each record to all readers, and remembers the last ones.

    Args:
        reader_max: records that wait for one reader.
        recent_max: records that are remembered.
    """

    def __init__(self, reader_max: int = READER_MAX, recent_max: int = RECENT_MAX) -> None:
        self._reader_max = reader_max
        self._readers: set[TailReader] = set()
        self._recent: deque[Record] = deque(maxlen=recent_max)

    def publish(self, records: Sequence[Record]) -> None:
        """Give records to all readers, in the order in which they ended."""
        self._recent.extend(records)
        for reader in self._readers:
            reader.offer(records)

    def open(self, wanted: Wanted) -> TailReader:
        """A reader of all records from now on that are wanted; to be closed."""
        reader = TailReader(wanted, self._reader_max)
        self._readers.add(reader)
        return reader

    def close(self, reader: TailReader) -> None:
        """End a reader."""
        self._readers.discard(reader)

    def recent(self, wanted: Wanted) -> list[Record]:
        """The last records that are wanted, oldest first."""
        return [record for record in self._recent if wanted(record)]

    def __len__(self) -> int:
        return len(self._readers)
