"""Opens the file of the ledger: its folder, its lock, its permissions, and what is wrong with it.

Two relays cannot write one ledger: the sums of both would be right, but both would delete, both
would call a damaged file theirs, and one could not stop without the other noticing. So the
writer holds `ledger.db.lock` (flock) as long as the process lives; the lock ends with it, also by
kill -9.

`synchronous=NORMAL`: what is committed survives any death of the process; after a power failure the
last transactions may be missing, and the file is whole.
"""

import contextlib
import fcntl
import os
import sqlite3
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from ccrelay.config.places import make_private, state_folder
from ccrelay.store.schema import migrate
from ccrelay.store.trouble import LedgerCorrupt, LedgerHeld, LedgerTrouble, is_corrupt, sentence_of

FILE = "ledger.db"
LOCK_SUFFIX = ".lock"
CHECKED_BYTES_MAX = 16 << 20  # larger files are checked in the background, after they are opened
BUSY_S = 2.0
_MAGIC = b"SQLite format 3\x00"
_HEAD_BYTES = 100
_BESIDE = ("", "-wal", "-shm")
_SETTINGS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -4096",  # KiB
    "PRAGMA journal_size_limit = 16777216",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA foreign_keys = OFF",
)


def default_path(env: Mapping[str, str]) -> str:
    """Where the ledger is unless `ledger.path` says otherwise; empty: there is no home.

    It is in the folder of the state (`config.places.state_folder`).
    """
    folder = state_folder(env)
    return str(folder / FILE) if folder else ""


class Lock:
    """The lock of a ledger, held until it is closed or the process ends."""

    def __init__(self, path: str, owner: int = 0) -> None:
        """Take the lock of the ledger at `path` for the relay with the pid `owner`; 0: this one.

        Raises:
            LedgerHeld: another process has it.
            OSError: the file cannot be made.
        """
        self._path = path + LOCK_SUFFIX
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(self._path, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            named = f" (pid {holder})" if holder.isdigit() else ""
            raise LedgerHeld(
                f"another relay{named} writes {path}: set ledger.path to a file of this relay's own"
            ) from None
        except OSError:
            os.close(self._descriptor)
            raise
        # Only words for the other one: that it cannot be written (a full disk) is no reason.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{owner or os.getpid()}\n".encode(), 0)

    @property
    def is_current(self) -> bool:
        """Whether the file has its name still. Of one that was removed, another relay makes a new
        one and locks that.
        """
        try:
            found, held = os.stat(self._path), os.fstat(self._descriptor)
        except OSError:
            return False
        return os.path.samestat(found, held)

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)


def prepare(path: str) -> None:
    """Make the folder (0700) and the file (0600), or take away the rights of others.

    Raises:
        LedgerTrouble: something else has its name.
        OSError: it cannot be made.
    """
    folder = os.path.dirname(path)
    make_private(Path(folder))
    try:
        found = os.stat(path)
    except FileNotFoundError:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return
    if not stat.S_ISREG(found.st_mode):
        raise LedgerTrouble(f"{path} is not a file: move it away, or set ledger.path")
    if found.st_mode & 0o077:
        os.chmod(path, 0o600)


def open_ledger(path: str) -> sqlite3.Connection:
    """Open a ledger for writing, made or brought up to date; `prepare` it first.

    Raises:
        LedgerCorrupt: move it aside.
        LedgerTrouble: it cannot be used.
    """
    connection: sqlite3.Connection | None = None
    try:
        _look_at_head(path)
        connection = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        for setting in _SETTINGS:
            connection.execute(setting)
        migrate(connection)
        if os.path.getsize(path) <= CHECKED_BYTES_MAX:
            check(connection)
    except sqlite3.Error as error:
        _close(connection)
        if is_corrupt(error):
            raise LedgerCorrupt(str(error)) from error
        if isinstance(error, sqlite3.OperationalError) and "no such" in str(error):
            raise LedgerCorrupt(f"a table is missing ({error})") from error
        raise LedgerTrouble(sentence_of(error, path)) from error
    except (LedgerCorrupt, LedgerTrouble):
        _close(connection)
        raise
    return connection


def _look_at_head(path: str) -> None:
    """SQLite takes a file of a few bytes for an empty one, and would write over it."""
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head and (len(head) < _HEAD_BYTES or not head.startswith(_MAGIC)):
        raise LedgerCorrupt("it is no SQLite database")


def check(connection: sqlite3.Connection) -> None:
    """Read the whole file.

    Raises:
        LedgerCorrupt: it is damaged.
        sqlite3.Error: as any other statement.
    """
    told = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if told != "ok":
        raise LedgerCorrupt(str(told).partition("\n")[0])


def check_file(path: str) -> None:
    """Read the whole file, by a connection of its own: one that is open has pages in its cache, and
    does not see that they are damaged on disk.

    Raises:
        LedgerCorrupt: it is damaged.
        sqlite3.Error: as any other statement.
    """
    connection = open_for_reading(path)
    try:
        check(connection)
    finally:
        connection.close()


def open_for_reading(path: str) -> sqlite3.Connection:
    """Open a ledger that exists, for reading only.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = sqlite3.connect(
        f"{Path(path).as_uri()}?mode=ro",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA cache_size = -8192")
    return connection


def move_aside(path: str, now_s: float) -> str:
    """Rename a damaged ledger with what is beside it. Returns the new path.

    Raises:
        OSError: it cannot be renamed.
    """
    stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = f"{path}.corrupt-{stamp}"
    number = 1
    while os.path.lexists(aside):
        number += 1
        aside = f"{path}.corrupt-{stamp}-{number}"
    # The file goes last: a log without its file would be applied to the next one.
    for suffix in reversed(_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + suffix, aside + suffix)
    return aside


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
