"""Reads the rings of all workers and gives each record to all who want it.

Every watcher (`tail`, `today`, `windows`, sinks) gets a record as soon as it is read. The ledger
gets it in the same turn while it keeps up. While it does not, only the place of what was read is
remembered, and it is read again from the ring, which is not released before the ledger has it on
disk. So a manager that dies, and a disk that is full, cost no record that the ring can hold; what
it cannot, the workers count.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ccrelay.ledger.record import Record
from ccrelay.manager.tail import TailHub
from ccrelay.manager.today import Today
from ccrelay.manager.windows import Windows
from ccrelay.store.filters import Filter
from ccrelay.store.ledger import Ledger
from ccrelay.store.rows import normal
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.store.usage import Question
from ccrelay.store.writes import Batch

ACTIVE_S = 0.05
IDLE_S = 0.25
READ_BYTES_MAX = 1 << 18
PENDING_MAX = 2000  # records that wait for the disk; then they stay in the ring
OPEN_WAIT_S = 2.0
FINISH_S = 3.0
COMPLAIN_EVERY_S = 60.0

Sink = Callable[[Sequence[Record]], None]
Event = Callable[..., None]


class Ring(Protocol):
    """The ring of one worker, as `_fast.record_ring.RecordReader`."""

    @property
    def head(self) -> int:
        """Up to here the worker has written."""

    @property
    def released(self) -> int:
        """Up to here the worker may write over it."""

    @property
    def dropped(self) -> int:
        """Records that found no room."""

    def read(self, after: int, bytes_max: int) -> tuple[list[bytes], int]:
        """Frames after a position, and the position after them."""

    def release(self, position: int) -> None:
        """Everything before the position may be written over."""


class _Chunk(msgspec.Struct, gc=False):
    """What one read gave: its place, and its frames as long as the ledger takes them at once."""

    start: int
    end: int
    count: int
    records: list[Record] | None
    is_cut: bool = False  # some of its records are stored already: it is not to be read again


class _Column:
    """One ring, and how far it is."""

    def __init__(self, memory: str, number: int, ring: Ring) -> None:
        self.memory = memory
        self.number = number
        self.ring = ring
        self.position = 0  # read up to here
        self.backlog: deque[_Chunk] = deque()  # read, and not given to the ledger
        self.released = 0


class RecordPump:
    """Moves records from the rings to the ledger and to those who watch.

    Args:
        memory: identity of the shared memory.
        rings: those of its columns, in order.
        ledger: None: nothing is kept.
        tail: told of all records, as are the next two.
        windows: allowances.
        today: sums.
        on_event: level, name, fields.
        older: other memories in which there may be records: identity and rings.
    """

    def __init__(
        self,
        memory: str,
        rings: Sequence[Ring],
        *,
        ledger: Ledger | None,
        tail: TailHub,
        windows: Windows,
        today: Today,
        on_event: Event,
        older: Sequence[tuple[str, Sequence[Ring]]] = (),
    ) -> None:
        self.sinks: list[Sink] = []
        self.read = 0  # records since the start
        self.undecoded = 0  # frames that are no record
        self.has_started = asyncio.Event()  # what is known of today is in the sums
        self._columns = [
            _Column(name, number, ring)
            for name, some in ((memory, rings), *older)
            for number, ring in enumerate(some)
        ]
        self._by_place = {(one.memory, one.number): one for one in self._columns}
        self._ledger = ledger
        self._tail = tail
        self._windows = windows
        self._today = today
        self._on_event = on_event
        self._decode = msgspec.msgpack.Decoder(Record).decode
        self._complained: dict[str, float] = {}
        self._was_opened = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def dropped(self) -> int:
        """Records that found no room in a ring."""
        return sum([column.ring.dropped for column in self._columns])

    @property
    def waiting(self) -> int:
        """Records that were read, and wait in the rings until the ledger takes them."""
        return sum([chunk.count for column in self._columns for chunk in column.backlog])

    # ---- life

    async def run(self) -> None:
        """Pump until cancelled. The ledger is started before."""
        try:
            await self.start()
        finally:
            self.has_started.set()
        pause_s = IDLE_S
        while True:
            pause_s = ACTIVE_S if await self.turn() else min(pause_s * 1.5, IDLE_S)
            await asyncio.sleep(pause_s)

    async def start(self) -> None:
        """Find out where to begin, and what is known of today."""
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        for column in self._columns:
            column.position = column.released = column.ring.released
        if self._ledger is None:
            return
        self._ledger.on_committed(self._committed_elsewhere)
        end = self._loop.time() + OPEN_WAIT_S
        while not self._ledger.is_open and self._ledger.state().condition == "opening":
            if self._loop.time() >= end:
                break
            await asyncio.sleep(0.005)
        await self._maybe_opened()

    async def finish(self) -> None:
        """Read what there is, and give the ledger a moment to write it. After `run`."""
        await self.start()  # `run` may have been cancelled before it began
        end = time.monotonic() + FINISH_S
        while time.monotonic() < end:
            is_more = await self.turn()
            waits = self._ledger.pending if self._ledger is not None else 0
            if not is_more and not waits and not any(c.backlog for c in self._columns):
                break
            if self._ledger is not None and self._ledger.state().condition == "failing":
                break  # the next manager reads it from the rings
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # what was committed is released

    # ---- one turn

    async def turn(self) -> bool:
        """Read what there is in all rings. Returns whether there was anything."""
        await self._maybe_opened()
        is_any = False
        for column in self._columns:
            while self._read(column):
                is_any = True
                await self._give(column)
                await asyncio.sleep(0)  # others have their turn between two reads
            await self._give(column)
        return is_any

    def _read(self, column: _Column) -> bool:
        """Read once, and tell those who watch. Returns whether there was anything."""
        start = column.position
        try:
            frames, end = column.ring.read(start, READ_BYTES_MAX)
        except (ValueError, OSError, RuntimeError) as error:
            self._complain("record_ring_unreadable", column=column.number, error=str(error))
            return False
        if end == start:
            return False
        records = self._decoded(frames)
        column.position = end
        column.backlog.append(_Chunk(start, end, len(frames), records))
        self._tell(records)
        return True

    def _tell(self, records: list[Record]) -> None:
        if not records:
            return
        self.read += len(records)
        told: list[Sink] = [self._windows.add, self._today.add, self._tail.publish, *self.sinks]
        for sink in told:
            try:
                sink(records)
            except Exception as error:  # outermost shell: one that fails must not stop the others
                self._complain("record_sink_failed", error=f"{type(error).__name__}: {error}")

    async def _give(self, column: _Column) -> None:
        """Give the ledger what it can take."""
        ledger = self._ledger
        if ledger is None:
            column.backlog.clear()
            self._release(column, column.position)
            return
        # What it cannot take now is read again: the ring holds it, this process need not.
        while column.backlog and self._was_opened and ledger.pending < PENDING_MAX:
            chunk = column.backlog.popleft()
            records = chunk.records
            if records is None:
                frames, _ = column.ring.read(chunk.start, READ_BYTES_MAX)
                records = self._decoded(frames[: chunk.count], counts=False)
                await asyncio.sleep(0)
            windows = self._windows.rows(records)
            ledger.submit(column.memory, column.number, chunk.end, records, windows)
        for chunk in column.backlog:
            if not chunk.is_cut:
                chunk.records = None

    def _decoded(self, frames: Sequence[bytes], *, counts: bool = True) -> list[Record]:
        records = []
        for frame in frames:
            try:
                records.append(normal(self._decode(frame)))
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                if counts:
                    self.undecoded += 1
                    self._complain("record_undecoded", error=str(error), total=self.undecoded)
        return records

    # ---- the ledger

    async def _maybe_opened(self) -> None:
        """When the ledger is open for the first time: go on where it stopped."""
        ledger = self._ledger
        if ledger is None or self._was_opened or not ledger.is_open:
            return
        start_s = self._today.start_s
        question = Question(
            ("provider", "fingerprint"), Filter(), start_s * 1000, 0, int(ledger.clock())
        )
        try:
            self._today.load(start_s, await ledger.usage(question))
            self._windows.load(await ledger.windows())
            for column in self._columns:
                await self._go_on(ledger, column)
        except LedgerTrouble as trouble:
            self._complain("ledger_unread", problem=str(trouble))
            return
        self._was_opened = True

    async def _go_on(self, ledger: Ledger, column: _Column) -> None:
        stored = ledger.cursor(column.memory, column.number)
        if stored > column.ring.head:
            return  # the position of another ring
        if not column.backlog:
            column.position = max(stored, column.position)
            self._release(column, column.position)
            return
        # The ledger could not be opened for a while, and what was read meanwhile may be in it.
        while column.backlog and column.backlog[0].end <= stored:
            column.backlog.popleft()
        if column.backlog and column.backlog[0].start < stored:
            chunk = column.backlog[0]
            frames, _ = column.ring.read(chunk.start, READ_BYTES_MAX)
            records = self._decoded(frames[: chunk.count], counts=False)
            chunk.records = [one for one in records if await ledger.get(one.id) is None]
            chunk.is_cut = True

    def _committed_elsewhere(self, batches: Sequence[Batch]) -> None:
        """In the writer's thread: the rings are released in the loop's."""
        loop = self._loop
        assert loop is not None
        with contextlib.suppress(RuntimeError):  # it is closed: the process ends
            loop.call_soon_threadsafe(self._committed, batches)

    def _committed(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            column = self._by_place.get((batch.memory, batch.column))
            if column is not None:
                self._release(column, batch.position)

    def _release(self, column: _Column, position: int) -> None:
        if position != column.released:
            column.released = position
            column.ring.release(position)

    def _complain(self, name: str, **fields: object) -> None:
        now = time.monotonic()
        if now - self._complained.get(name, -COMPLAIN_EVERY_S) >= COMPLAIN_EVERY_S:
            self._complained[name] = now
            self._on_event("warning", name, **fields)
