"""Each trouble of the ledger, in the words of the store, has a mend of its own."""

import errno
import sqlite3
from pathlib import Path

import pytest

from ccrelay.cli.doctor_ledger import mend_of, moved_aside
from ccrelay.manager.books import NO_PLACE
from ccrelay.store.opening import Lock, move_aside, open_ledger, prepare
from ccrelay.store.trouble import LedgerHeld, LedgerTrouble, NewerLedger, sentence_of
from ccrelay.v1 import relay_pb2

PATH = "/my state/ledger.db"


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("it fails")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (sqlite_error(sqlite3.SQLITE_FULL), "df -h '/my state'"),
        (OSError(errno.ENOSPC, "no space"), "df -h '/my state'"),
        (sqlite_error(sqlite3.SQLITE_READONLY), "ls -ld '/my state' '/my state/ledger.db'"),
        (OSError(errno.EACCES, "denied"), "ls -ld '/my state' '/my state/ledger.db'"),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN), "ls -ld '/my state' '/my state/ledger.db'"),
        (sqlite_error(sqlite3.SQLITE_BUSY), "fuser -v '/my state/ledger.db'"),
        (sqlite_error(sqlite3.SQLITE_IOERR), "dmesg | tail"),
        (OSError(errno.ENOTDIR, "no folder"), "ls -ld '/my state'"),
        (OSError(errno.ELOOP, "a loop"), "ls -l '/my state/ledger.db'"),
    ],
)
def test_errors_of_the_file(error: sqlite3.Error | OSError, begins: str) -> None:
    assert mend_of(sentence_of(error, PATH), PATH).startswith(begins)


def test_another_relay_holds_it(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    lock = Lock(path)
    try:
        with pytest.raises(LedgerHeld) as caught:
            Lock(path)
    finally:
        lock.close()
    mend = mend_of(str(caught.value), path)
    assert mend.startswith("set ledger.path to a file of this relay's own, or end")
    assert "df" not in mend
    pid = mend.rpartition("kill ")[2]
    assert pid.isdigit()
    unnamed = f"another relay writes {path}: set ledger.path"
    assert mend_of(unnamed, path) == "set ledger.path to a file of this relay's own"


def test_a_newer_one_asks_for_an_upgrade(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    prepare(path)
    connection = open_ledger(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(NewerLedger) as caught:
        open_ledger(path)
    assert mend_of(str(caught.value), path).startswith("pip install --upgrade")


def test_a_folder_in_its_place_and_no_place_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    Path(path).mkdir()
    with pytest.raises(LedgerTrouble) as caught:
        prepare(path)
    assert mend_of(str(caught.value), path) == f"mv {path} {path}.old"
    assert mend_of(NO_PLACE, "") == "set ledger.path"


def test_words_of_the_path_are_no_trouble() -> None:
    path = "/locked/ledger.db"
    full = sentence_of(OSError(errno.ENOSPC, ""), path)
    assert mend_of(full, path) == "df -h /locked"


def test_what_was_moved_aside_is_told(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("no database")
    ledger = relay_pb2.Ledger(state=relay_pb2.Ledger.STATE_OK, path=str(path))
    assert moved_aside(ledger) == []
    aside = move_aside(str(path), 1.0)
    (finding,) = moved_aside(ledger)
    assert (finding.verdict, finding.do.split()[:2]) == ("warn", ["sqlite3", aside])
    assert moved_aside(relay_pb2.Ledger(path="/no/such/ledger.db")) == []
