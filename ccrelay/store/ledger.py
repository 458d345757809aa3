"""The ledger: what is written to it, what can be asked of it, and how it is.

The loop of the manager calls this; the file is touched in the threads of `writer` and `reader`.
Everything that asks raises `LedgerTrouble` while the ledger cannot be read.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from ccrelay.ledger.record import Record
from ccrelay.store import pages, usage
from ccrelay.store.filters import Filter
from ccrelay.store.reader import Readers
from ccrelay.store.rows import Stored, split_id
from ccrelay.store.rules import RuleCount, rule_counts
from ccrelay.store.sessions import SessionsQuestion, SessionSums, sessions
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.store.writer import Event, LedgerState, Writer
from ccrelay.store.writes import Batch, WindowRow
from ccrelay.store.zones import Zone, local_zone

T = TypeVar("T")

FOUND_MAX = 6  # ids that begin alike: enough to show that there are several


def _no_event(*_: object, **__: object) -> None:
    """Tell no one."""


class Ledger:
    """One ledger of one process.

    Args:
        path: of the file.
        keep_days: days that single exchanges are kept.
        clock: seconds since 1970.
        zone: local time.
        on_event: told what a person should know: level, name, fields. Called from other threads.
        owner: pid that another relay with this ledger is told; 0: of this process.
    """

    def __init__(
        self,
        path: str,
        keep_days: int,
        *,
        clock: Callable[[], float] = time.time,
        zone: Zone = local_zone,
        on_event: Event = _no_event,
        owner: int = 0,
    ) -> None:
        self.path = os.path.realpath(path)
        self.zone = zone
        self.clock = clock
        self._readers = Readers(self.path, lambda: self._writer.generation, self._suspect)
        self._writer = Writer(
            self.path,
            keep_days,
            clock=clock,
            on_event=on_event,
            close_readers=self._readers.close_connections,
            owner=owner,
        )

    # ---- life

    def start(self) -> None:
        """Open the file, in the background."""
        self._writer.start()

    async def stop(self) -> None:
        """Write what there is, if it can be written, and close the file."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.close)

    def close(self) -> None:
        """As `stop`, for who has no loop. Waits for a few seconds at most."""
        self._writer.stop()
        self._readers.close()

    def keep(self, days: int) -> None:
        """Keep single exchanges for so many days from now on."""
        self._writer.keep_days = days

    def state(self) -> LedgerState:
        """How the ledger is."""
        return self._writer.state

    @property
    def is_open(self) -> bool:
        """Whether a file was opened: positions are known, and questions can be asked."""
        return self._writer.generation > 0

    # ---- writing

    def submit(
        self,
        memory: str,
        column: int,
        position: int,
        records: Sequence[Record],
        windows: Sequence[WindowRow] = (),
    ) -> None:
        """Hand over what was read from a ring up to `position`. Never waits, never fails.

        Rows, sums and the position are written in one transaction, within a tenth of a second
        unless there is trouble; `on_committed` tells when.
        """
        self._writer.submit(Batch(memory, column, position, records, windows))

    def on_committed(self, listener: Callable[[Sequence[Batch]], None]) -> None:
        """Call this, from the writer's thread, with batches that are on disk."""
        self._writer.on_committed.append(listener)

    def on_opened(self, listener: Callable[[], None]) -> None:
        """Call this, from the writer's thread, whenever a file was opened."""
        self._writer.on_opened.append(listener)

    @property
    def pending(self) -> int:
        """Records that were submitted and are not on disk."""
        return self._writer.pending

    def cursor(self, memory: str, column: int) -> int:
        """The position up to which a ring is on disk; 0: nothing of it is, or it is not open."""
        return self._writer.cursor(memory, column)

    # ---- asking

    async def page(
        self, chosen: Filter, *, first: int, end: int, limit: int, newest_first: bool = True
    ) -> list[Stored]:
        """Exchanges whose keys are at least `first` and less than `end` (`store.pages.bounds`)."""
        return await self._ask(
            lambda connection: pages.page(
                connection, chosen, first=first, end=end, limit=limit, newest_first=newest_first
            )
        )

    async def find(self, begin: str) -> list[str]:
        """Ids that begin so, a few of them."""
        return await self._ask(lambda connection: pages.find(connection, begin, FOUND_MAX))

    async def get(self, name: str) -> Stored | None:
        """The exchange with this id, with all of its attempts."""
        prefix, tail = split_id(name)
        return await self._ask(lambda connection: pages.by_id(connection, prefix, tail))

    async def usage(self, question: usage.Question) -> usage.Groups:
        """Sums by group."""
        return await self._ask(lambda connection: usage.usage(connection, question, self.zone))

    async def sessions(self, question: SessionsQuestion) -> list[SessionSums]:
        """The sessions of one page, the one with the latest exchange first."""
        return await self._ask(lambda connection: sessions(connection, question))

    async def rule_counts(self, since_ms: int) -> dict[str, RuleCount]:
        """How often each rule matched; the empty name: no rule did."""
        return await self._ask(lambda connection: rule_counts(connection, since_ms))

    async def costs_by_hour(self, chosen: Filter, first_hour: int) -> dict[int, int] | None:
        """Cost at list price of each UTC hour; None: not known for such a filter."""
        return await self._ask(
            lambda connection: usage.costs_by_hour(connection, chosen, first_hour)
        )

    async def windows(self) -> list[WindowRow]:
        """The windows of all keys, as they were kept last."""
        return await self._ask(_windows)

    async def count(self) -> int:
        """Exchanges in the ledger."""
        return await self._ask(_count)

    async def _ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        if not self.is_open:
            problem = self._writer.state.problem
            raise LedgerTrouble(problem or "the ledger is being opened: try again")
        try:
            return await self._readers.ask(query)
        except LedgerTrouble as trouble:
            # What is wrong with the file is known better where it is opened.
            if problem := self._writer.state.problem:
                raise LedgerTrouble(problem) from trouble
            raise

    def _suspect(self) -> None:
        self._writer.suspect()


def _windows(connection: sqlite3.Connection) -> list[WindowRow]:
    rows = connection.execute("SELECT provider, key, name, observed_at_ms, data FROM windows")
    return [WindowRow(*row) for row in rows]


def _count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM exchanges").fetchone()[0])
