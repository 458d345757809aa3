"""The one thread that writes the ledger.

It collects batches for at most `BATCH_S` or `BATCH_RECORDS`, and writes them in one transaction.
What cannot be written is kept and tried again, later and later; a damaged file is moved aside and a
new one begun. Nothing that happens to the file ends the thread.
"""

import contextlib
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from ccrelay.store import opening
from ccrelay.store.rows import Dictionaries
from ccrelay.store.trouble import LedgerCorrupt, LedgerHeld, LedgerTrouble, is_corrupt, sentence_of
from ccrelay.store.writes import Batch, delete_orphans, delete_rows, write_batches

BATCH_S = 0.1
BATCH_RECORDS = 500
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 30.0
STOP_S = 5.0
HANDOVER_S = 1.5  # so long the lock may still be that of the manager before
CHORES_S = 1.0
DELETE_EVERY_S = 60.0
ORPHANS_EVERY_S = 86_400.0
# A file that is damaged again so soon is not the fault of the file.
CORRUPT_AGAIN_S = 60.0

Event = Callable[..., None]
"""Called with level, name and fields, as `types.LogSink.event`, from the writer's thread."""
Condition = Literal["opening", "ok", "failing", "closed"]


class LedgerState(msgspec.Struct, frozen=True):
    """How the ledger is.

    Args:
        condition: `failing` while nothing can be written; it is tried again by itself.
        problem: one sentence with what to do; empty unless failing.
        path: of the file.
        since_s: when it came to be so, since 1970.
        moved_aside: the last damaged file that was moved aside; empty: none.
        skipped: records that cannot be stored at all.
        written: records since the start.
        pending: records that wait to be written.
    """

    condition: Condition
    problem: str
    path: str
    since_s: float
    moved_aside: str = ""
    skipped: int = 0
    written: int = 0
    pending: int = 0


class Writer:
    """The thread and what it is told.

    Args:
        path: of the ledger, absolute.
        keep_days: how long single exchanges are kept; may be changed.
        clock: seconds since 1970.
        on_event: told what a person should know.
        close_readers: closes all other connections of this process, and may wait for them.
        owner: pid that another relay is told; 0: of this process.
    """

    def __init__(
        self,
        path: str,
        keep_days: int,
        *,
        clock: Callable[[], float],
        on_event: Event,
        close_readers: Callable[[], None],
        owner: int = 0,
    ) -> None:
        self.path = path
        self._owner = owner
        self.keep_days = keep_days
        self.generation = 0  # grows with every file that is opened; 0: none was
        self.on_opened: list[Callable[[], None]] = []
        self.on_committed: list[Callable[[Sequence[Batch]], None]] = []
        self._clock = clock
        self._on_event = on_event
        self._close_readers = close_readers
        self._wake = threading.Condition()
        self._queue: deque[Batch] = deque()
        self._held: list[Batch] = []  # taken from the queue, not written yet
        self._pending = 0
        self._written = 0
        self._skipped = 0
        self._is_stopping = False
        self._is_suspect = False
        self._connection: sqlite3.Connection | None = None
        self._known: Dictionaries | None = None
        self._lock: opening.Lock | None = None
        self._inode = (0, 0)
        self._cursors: dict[tuple[str, int], int] = {}
        self._retry_s = RETRY_FIRST_S
        self._corrupt_at = 0.0
        self._deleted_at = 0.0
        self._orphans_at = 0.0
        self._has_deleted = False
        self._began_at = clock()
        self._state = LedgerState("opening", "", path, self._began_at)
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)

    # ---- from other threads

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Write what there is, if it can be written, and end the thread."""
        with self._wake:
            self._is_stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def submit(self, batch: Batch) -> None:
        """Hand over a batch; never waits."""
        with self._wake:
            self._queue.append(batch)
            self._pending += len(batch.records)
            self._wake.notify()

    def suspect(self) -> None:
        """Have the file checked: a reader found it damaged."""
        with self._wake:
            self._is_suspect = True
            self._wake.notify()

    @property
    def pending(self) -> int:
        """Records that wait to be written."""
        return self._pending

    @property
    def state(self) -> LedgerState:
        """How the ledger is."""
        return msgspec.structs.replace(
            self._state, skipped=self._skipped, written=self._written, pending=self._pending
        )

    def cursor(self, memory: str, column: int) -> int:
        """The position up to which a ring is in the ledger; 0: nothing of it is."""
        return self._cursors.get((memory, column), 0)

    # ---- the thread

    def _run(self) -> None:
        while True:
            if self._connection is None and not self._open():
                if self._pause(self._next_retry_s()):
                    break
                continue
            is_stopping = self._collect()
            try:
                self._step()
            except (sqlite3.Error, LedgerCorrupt, LedgerTrouble, OSError) as error:
                self._failed(error)
                if self._connection is None and not is_stopping:
                    continue  # perhaps a new file does it
                if self._pause(self._next_retry_s()):
                    break
                continue
            if is_stopping and not self._queue:
                break
        self._close()
        self._set("closed", "")

    def _step(self) -> None:
        assert self._connection is not None
        assert self._known is not None
        if self._is_suspect:
            self._is_suspect = False
            opening.check_file(self.path)
        if self._is_replaced():
            raise LedgerTrouble(f"{self.path} was removed or replaced: a new one is begun")
        self._hold()
        if self._held:
            skipped = write_batches(
                self._connection, self._known, self._held, int(self._clock() * 1000)
            )
            self._committed(skipped)
        else:
            self._chores()
        self._retry_s = RETRY_FIRST_S
        if self._state.condition != "ok":
            self._set("ok", "")
            self._on_event("info", "ledger_ok", path=self.path)

    def _collect(self) -> bool:
        """Wait for batches, or for the time of chores. Returns whether this is the end."""
        with self._wake:
            if (
                not self._held
                and not self._queue
                and not self._is_stopping
                and not self._is_suspect
            ):
                self._wake.wait(CHORES_S)
            if self._queue and not self._is_stopping:
                self._wake.wait_for(
                    lambda: self._is_stopping or self._pending >= BATCH_RECORDS, BATCH_S
                )
            count = sum([len(batch.records) for batch in self._held])
            while self._queue and count < BATCH_RECORDS:
                batch = self._queue.popleft()
                count += len(batch.records)
                self._held.append(batch)
            return self._is_stopping

    def _committed(self, skipped: int) -> None:
        done, self._held = self._held, []
        count = sum([len(batch.records) for batch in done])
        for batch in done:
            self._cursors[batch.memory, batch.column] = batch.position
        with self._wake:
            self._pending -= count
        self._written += count - skipped
        if skipped:
            self._skipped += skipped
            self._on_event("warning", "ledger_records_skipped", count=skipped)
        for listener in self.on_committed:
            listener(done)

    def _chores(self) -> None:
        assert self._connection is not None
        assert self._known is not None
        now = self._clock()
        if now - self._deleted_at >= DELETE_EVERY_S:
            before_ms = int((now - self.keep_days * 86_400) * 1000)
            if before_ms > 0 and delete_rows(self._connection, before_ms):
                self._has_deleted = True
                return  # and the next part after what came meanwhile
            self._deleted_at = now
        if self._has_deleted and now - self._orphans_at >= ORPHANS_EVERY_S:
            self._has_deleted = False
            self._orphans_at = now
            delete_orphans(self._connection, self._known, int(now * 1000))

    # ---- the file

    def _open(self) -> bool:
        """Open the file, moving a damaged one aside. Returns whether it is open."""
        for _ in range(2):
            try:
                opening.prepare(self.path)
                self._hold()
                self._use(opening.open_ledger(self.path))
            except (LedgerCorrupt, LedgerTrouble, OSError, sqlite3.Error) as error:
                self._failed(error)
                if isinstance(error, LedgerCorrupt) and self._state.condition != "failing":
                    continue
                return False
            return True
        return False

    def _hold(self) -> None:
        """Hold the lock, also after its file was removed. Raises LedgerHeld, OSError."""
        if self._lock is not None and not self._lock.is_current:
            self._lock.close()
            self._lock = None
        if self._lock is None:
            self._lock = opening.Lock(self.path, self._owner)

    def _use(self, connection: sqlite3.Connection) -> None:
        try:
            known = Dictionaries(connection)
            rows = connection.execute("SELECT memory, line, position FROM cursors").fetchall()
            found = os.stat(self.path)
        except (TypeError, sqlite3.Error) as error:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            raise LedgerCorrupt(f"what it begins with is missing ({error})") from error
        self._cursors = {(memory, line): position for memory, line, position in rows}
        self._connection, self._known = connection, known
        self._inode = (found.st_dev, found.st_ino)
        self.generation += 1
        if found.st_size > opening.CHECKED_BYTES_MAX:
            self._is_suspect = True  # checked before the first batch is written
        if self._state.condition == "opening":  # else the next write, or the next chores, will say
            self._set("ok", "")
        for listener in self.on_opened:
            listener()

    def _is_replaced(self) -> bool:
        try:
            found = os.stat(self.path)
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._inode

    def _failed(self, error: Exception) -> None:
        if isinstance(error, LedgerHeld) and self._clock() - self._began_at < HANDOVER_S:
            self._retry_s = RETRY_FIRST_S
            return  # the manager before this one is about to end
        corrupt = isinstance(error, LedgerCorrupt) or (
            isinstance(error, sqlite3.Error) and is_corrupt(error)
        )
        full = isinstance(error, sqlite3.Error) and not corrupt and "full" in str(error)
        if not full:
            self._close_connection()
        if corrupt and self._move_aside(str(error)):
            return
        if isinstance(error, sqlite3.Error | OSError):
            problem = sentence_of(error, self.path)
        else:
            problem = str(error)
        if corrupt:
            problem = f"{self.path} is damaged again right after it was made again: check the disk"
        if self._state.condition != "failing" or self._state.problem != problem:
            self._on_event("error", "ledger_failing", path=self.path, problem=problem)
        self._set("failing", problem)

    def _move_aside(self, reason: str) -> bool:
        """Make room for a new file. Returns whether it is worth while to begin one now."""
        now = self._clock()
        try:
            aside = opening.move_aside(self.path, now)
        except OSError:
            return False
        again = now - self._corrupt_at < CORRUPT_AGAIN_S
        self._corrupt_at = now
        self._cursors = {}
        self._state = msgspec.structs.replace(self._state, moved_aside=aside)
        self._on_event(
            "error", "ledger_moved_aside", path=self.path, moved_to=aside, problem=reason
        )
        return not again

    def _close_connection(self) -> None:
        # Readers first: the last connection to close a file removes the log beside it, by its name,
        # which may be that of the next file by then.
        self._close_readers()
        connection, self._connection, self._known = self._connection, None, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _close(self) -> None:
        self._close_connection()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _next_retry_s(self) -> float:
        now, self._retry_s = self._retry_s, min(self._retry_s * 2, RETRY_MAX_S)
        return now

    def _pause(self, seconds: float) -> bool:
        """Wait until a retry is due. Returns whether the thread is to end instead."""
        with self._wake:
            self._wake.wait_for(lambda: self._is_stopping, seconds)
            return self._is_stopping

    def _set(self, condition: Condition, problem: str) -> None:
        if condition != self._state.condition or problem != self._state.problem:
            self._state = msgspec.structs.replace(
                self._state, condition=condition, problem=problem, since_s=self._clock()
            )
