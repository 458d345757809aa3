"""Each kind of trouble is one sentence that says what to do."""

import errno
import sqlite3

import pytest

from ccrelay.store.trouble import is_corrupt, sentence_of

PATH = "/state/ledger.db"


def sqlite_error(code: int, text: str = "words") -> sqlite3.Error:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (sqlite_error(sqlite3.SQLITE_FULL), "no space is left"),
        (sqlite_error(sqlite3.SQLITE_READONLY), "cannot be written"),
        (sqlite_error(sqlite3.SQLITE_READONLY | 3 << 8), "cannot be written"),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), "cannot be opened"),
        (sqlite_error(sqlite3.SQLITE_BUSY), "holds"),
        (sqlite_error(sqlite3.SQLITE_IOERR | 3 << 8), "check the disk"),
        (sqlite_error(sqlite3.SQLITE_ERROR), "move the file away"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left"),
        (OSError(errno.EROFS, "Read-only file system"), "ledger.path"),
        (OSError(errno.EACCES, "Permission denied"), "cannot be written"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), "cannot be made"),
        (OSError(errno.ELOOP, "Too many links"), "ledger.path"),
        (OSError("without a number"), "without a number"),
    ],
)
def test_a_sentence_names_the_file_and_what_to_do(
    error: sqlite3.Error | OSError, told: str
) -> None:
    sentence = sentence_of(error, PATH)
    assert told in sentence
    assert PATH in sentence
    assert ":" in sentence
    assert "\n" not in sentence


def test_what_is_damage() -> None:
    assert is_corrupt(sqlite_error(sqlite3.SQLITE_CORRUPT | 1 << 8))
    assert is_corrupt(sqlite_error(sqlite3.SQLITE_NOTADB))
    assert is_corrupt(sqlite3.DatabaseError("database disk image is malformed"))
    assert not is_corrupt(sqlite_error(sqlite3.SQLITE_FULL))
    assert not is_corrupt(sqlite3.ProgrammingError("Cannot operate on a closed database."))
