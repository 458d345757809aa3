"""Where the ledger is, its lock, and how a damaged one is put away."""

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from ccrelay.store import opening
from ccrelay.store.trouble import LedgerTrouble
from tests.child import PROGRAM, child_environment


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"XDG_STATE_HOME": "/s", "HOME": "/h"}, "/s/ccrelay/ledger.db"),
        ({"HOME": "/h"}, "/h/.local/state/ccrelay/ledger.db"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/ccrelay/ledger.db"),
        ({"STATE_DIRECTORY": "/var/lib/ccrelay:/other"}, "/var/lib/ccrelay/ledger.db"),
        ({}, ""),
        ({"HOME": ""}, ""),
    ],
)
def test_the_place(env: dict[str, str], expected: str) -> None:
    assert opening.default_path(env) == expected


def test_a_lock_is_free_again_when_it_is_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    lock = opening.Lock(path)
    with pytest.raises(LedgerTrouble, match=rf"\(pid {os.getpid()}\)"):
        opening.Lock(path)
    lock.close()
    opening.Lock(path).close()


def test_a_lock_ends_with_its_process_and_is_not_inherited(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    script = (
        "import subprocess, sys, os, signal\n"
        "from ccrelay.store.opening import Lock\n"
        "lock = Lock(sys.argv[1])\n"
        "child = subprocess.Popen(['sleep', '30'], close_fds=False, stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [*PROGRAM, script, path],
        stdout=subprocess.PIPE,
        env=child_environment(),
        check=False,
    )
    try:
        assert done.returncode == -9
        opening.Lock(path).close()
    finally:
        os.kill(int(done.stdout), 9)


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "ledger.db.lock").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("text")
    with pytest.raises(OSError, match="symbolic links"):
        opening.Lock(str(tmp_path / "ledger.db"))
    assert (tmp_path / "precious").read_text() == "text"


def test_names_of_what_is_moved_aside_are_never_used_twice(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    moved = []
    for number in range(3):
        path.write_text(str(number))
        (tmp_path / "ledger.db-wal").write_text(f"log {number}")
        moved.append(Path(opening.move_aside(str(path), 1_796_047_200)))
    assert [one.read_text() for one in moved] == ["0", "1", "2"]
    assert moved[0].name == "ledger.db.corrupt-20261130T140000Z"
    assert Path(f"{moved[2]}-wal").read_text() == "log 2"
    assert not path.exists()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    path = str(tmp_path / "a #?%20 ledger.db")
    opening.prepare(path)
    writer = opening.open_ledger(path)
    reader = opening.open_for_reading(path)
    assert reader.execute("SELECT count(*) FROM exchanges").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM meta")
    reader.close()
    writer.close()


def test_log_mode_and_settings(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    opening.prepare(path)
    connection = opening.open_ledger(path)
    told = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "busy_timeout")
    }
    assert told == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 2000}
    connection.close()
