"""What can go wrong with the file of the ledger, in one sentence with what to do next."""

import errno
import os
import sqlite3

# Primary result codes of SQLite; the extended ones have them in their low byte.
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY = 0xFF


class LedgerTrouble(Exception):
    """The ledger cannot be used now. The message is one sentence that says what to do."""


class LedgerHeld(LedgerTrouble):
    """Another process writes the ledger."""


class LedgerCorrupt(Exception):
    """The file is no ledger, or a damaged one: it is to be moved aside. The message says why."""


class NewerLedger(LedgerTrouble):
    """The file was written by a newer version; it is left as it is."""


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is damaged or no database."""
    return _code(error) in _CORRUPT


def sentence_of(error: sqlite3.Error | OSError, path: str) -> str:
    """Say what is wrong and what to do. Never raises."""
    if isinstance(error, OSError):
        return _os_sentence(error, path)
    code = _code(error)
    if code == sqlite3.SQLITE_FULL:
        return f"no space is left for {path}: free some, or set ledger.path to another disk"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return f"{path} cannot be written: allow it, or set ledger.path to a writable folder"
    if code == sqlite3.SQLITE_CANTOPEN:
        return f"{path} cannot be opened: check its folder and permissions, or set ledger.path"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another program holds {path} locked: close it there"
    if code == sqlite3.SQLITE_IOERR:
        return f"reading or writing {path} fails ({error}): check the disk and its free space"
    return f"{path}: {error}: check the disk, or move the file away to begin a new one"


def _os_sentence(error: OSError, path: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space is left for {path}: free some, or set ledger.path to another disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path} cannot be written: allow it, or set ledger.path to a writable folder"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"the folder of {path} cannot be made, a file has its name: set ledger.path"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{path}: {reason}: set ledger.path to a writable folder"


def _code(error: sqlite3.Error) -> int:
    # Errors of Python's own module (a closed connection) have no code.
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & _PRIMARY
    text = str(error)
    if "malformed" in text or "not a database" in text:
        return sqlite3.SQLITE_CORRUPT
    return sqlite3.SQLITE_ERROR
