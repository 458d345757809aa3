"""Queries on connections of their own: read-only, in a few threads, ended when no caller waits.

A query sees one state of the ledger (a read transaction); writing goes on beside it.
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ccrelay.store import opening
from ccrelay.store.filter_sql import register
from ccrelay.store.trouble import LedgerTrouble, is_corrupt, sentence_of

T = TypeVar("T")

THREADS = 3  # so that a page does not wait behind two long questions
_STEPS = 20_000  # of SQLite's machine between two looks at whether anyone still waits


class _Slot:
    """One connection, and the lock of its user."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: sqlite3.Connection | None = None
        self.generation = 0

    def close(self) -> None:
        """Close the connection; the lock is held."""
        connection, self.connection = self.connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


class Readers:
    """The threads that answer questions.

    Args:
        path: of the ledger.
        generation: of the file that is open; 0: none is.
        on_corrupt: called when a file turns out to be damaged.
    """

    def __init__(
        self, path: str, generation: Callable[[], int], on_corrupt: Callable[[], None]
    ) -> None:
        self._path = path
        self._generation = generation
        self._on_corrupt = on_corrupt
        self._pool = ThreadPoolExecutor(THREADS, "ledger-reader")
        self._slots = [_Slot() for _ in range(THREADS)]
        self._epoch = 0  # queries of an older one end: their file is to be closed

    async def ask(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query in a thread. It is interrupted when the caller is cancelled.

        Raises:
            LedgerTrouble: the ledger cannot be read now.
        """
        cancelled = threading.Event()
        loop = asyncio.get_running_loop()
        try:
            asked = loop.run_in_executor(self._pool, self._answer, query, cancelled)
        except RuntimeError as error:  # the threads have ended
            raise LedgerTrouble("the ledger is closed: the relay is about to end") from error
        try:
            return await asked
        finally:
            cancelled.set()

    def close_connections(self) -> None:
        """End all queries and close all connections; new ones open them again."""
        self._epoch += 1
        for slot in self._slots:
            with slot.lock:
                slot.close()

    def close(self) -> None:
        """End for good."""
        self.close_connections()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.close_connections()

    def _answer(self, query: Callable[[sqlite3.Connection], T], cancelled: threading.Event) -> T:
        if cancelled.is_set():
            raise LedgerTrouble("no caller waits for the answer any more")
        slot = next((one for one in self._slots if one.lock.acquire(blocking=False)), None)
        if slot is None:  # as many slots as threads; one is being closed
            slot = self._slots[0]
            slot.lock.acquire()
        try:
            return self._ask(slot, query, cancelled)
        except sqlite3.Error as error:
            slot.close()
            if is_corrupt(error):
                self._on_corrupt()
                raise LedgerTrouble(
                    f"{self._path} is damaged and is being checked: try again"
                ) from error
            if cancelled.is_set() or "interrupted" in str(error):
                raise LedgerTrouble("the question was interrupted: ask again") from error
            raise LedgerTrouble(sentence_of(error, self._path)) from error
        finally:
            slot.lock.release()

    def _ask(
        self, slot: _Slot, query: Callable[[sqlite3.Connection], T], cancelled: threading.Event
    ) -> T:
        generation, epoch = self._generation(), self._epoch
        if slot.connection is None or slot.generation != generation:
            slot.close()
            slot.connection = opening.open_for_reading(self._path)
            slot.generation = generation
            register(slot.connection)
        connection = slot.connection
        connection.set_progress_handler(lambda: cancelled.is_set() or self._epoch != epoch, _STEPS)
        connection.execute("BEGIN")
        try:
            return query(connection)
        finally:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
