"""The writer with a file that makes trouble: nothing is lost, nothing is written twice."""

import asyncio
import contextlib
import os
import resource
import sqlite3
import stat
import subprocess
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ccrelay.store import opening, writer
from ccrelay.store.filters import parse
from ccrelay.store.ledger import Ledger
from ccrelay.store.pages import bounds
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.store.writes import Batch
from tests.child import PROGRAM, child_environment
from tests.unit.store.making import NOON_US, opened, record, wait_until, write

DAY_US = 86_400_000_000


class Events:
    """Keeps what was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, level: str, name: str, **fields: Any) -> None:
        self.told.append((level, name, fields))

    def names(self) -> list[str]:
        return [name for _, name, _ in self.told]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_MAX_S", 0.1)
    monkeypatch.setattr(writer, "CHORES_S", 0.02)


def ids(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT p.text || printf('%03x', e.tail) "
        "FROM exchanges e JOIN prefixes p ON p.id = e.prefix"
    ).fetchall()
    sums = connection.execute("SELECT coalesce(sum(exchanges), 0) FROM rollups").fetchone()[0]
    connection.close()
    assert sums == len(rows)
    return sorted(row[0] for row in rows)


def names(*numbers: int) -> list[str]:
    return sorted(record(number).id for number in numbers)


# ---- a file that is well


def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.db"
    ledger = opened(str(path))
    write(ledger, record())
    beside = ["ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"]
    assert sorted(entry.name for entry in path.parent.iterdir()) == sorted(beside)
    for name in beside:
        assert stat.S_IMODE((path.parent / name).stat().st_mode) == 0o600, name
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    ledger.close()


def test_rights_of_others_are_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.touch(0o644)
    path.chmod(0o644)
    opened(str(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_positions_are_on_disk_with_the_records(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = opened(str(path))
    done: list[Batch] = []
    ledger.on_committed(lambda batches: done.extend(batches))
    write(ledger, record(1), position=700)
    ledger.submit("memory", 1, 900, [])  # nothing but frames that did not decode
    wait_until(lambda: len(done) == 2)
    ledger.close()
    assert [(batch.column, batch.position) for batch in done] == [(0, 700), (1, 900)]
    again = opened(str(path))
    assert [again.cursor("memory", column) for column in (0, 1, 2)] == [700, 900, 0]
    assert again.cursor("another", 0) == 0
    again.close()


def test_stopping_writes_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = Ledger(str(path), 90)
    ledger.start()
    for number in range(1200):
        ledger.submit("memory", 0, number + 1, [record(number, started_at_us=NOON_US)])
    ledger.close()
    assert len(ids(path)) == 1200
    assert ledger.state().condition == "closed"


def test_old_exchanges_go_and_their_sums_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "DELETE_EVERY_S", 0.0)  # the clock stands still
    path = tmp_path / "ledger.db"
    now = NOON_US / 1e6
    ledger = opened(str(path), 90, clock=lambda: now)
    old = [record(n, started_at_us=NOON_US - 91 * DAY_US + n, session=f"s{n}") for n in range(1100)]
    write(ledger, *old, record(5000), record(5001, started_at_us=NOON_US - 89 * DAY_US))
    counted: list[int] = []

    async def count() -> int:
        return await ledger.count()

    wait_until(lambda: counted.append(asyncio.run(count())) or counted[-1] == 2)
    wait_until(lambda: _count(path, "talks") == 1)
    assert _count(path, "rollups", "sum(exchanges)") == 1102
    ledger.close()


def _count(path: Path, table: str, what: str = "count(*)") -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute(f"SELECT {what} FROM {table}").fetchone()[0])
    finally:
        connection.close()


# ---- a file that is not


@pytest.mark.parametrize(
    "damage",
    [b"not a database, but text\n" * 400, b"SQLite format 3\x00" + b"\xff" * 4096, b"x"],
)
def test_a_file_that_is_no_ledger_is_moved_aside_and_told(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(damage)
    (tmp_path / "ledger.db-wal").write_bytes(b"log of the damaged one")
    events = Events()
    ledger = opened(str(path), on_event=events)
    write(ledger, record(1))
    state = ledger.state()
    ledger.close()
    assert (state.condition, ids(path)) == ("ok", names(1))
    assert Path(state.moved_aside).read_bytes() == damage
    assert state.moved_aside.startswith(f"{path}.corrupt-")
    assert "ledger_moved_aside" in events.names()


def test_a_database_of_another_program_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    other = sqlite3.connect(path)
    other.executescript("CREATE TABLE mine (text TEXT); PRAGMA application_id = 5;")
    other.close()
    ledger = opened(str(path))
    write(ledger, record(1))
    aside = ledger.state().moved_aside
    ledger.close()
    assert _count(Path(aside), "mine") == 0


def test_a_ledger_with_a_table_missing_is_moved_aside(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    opened(str(path)).close()
    other = sqlite3.connect(path)
    other.executescript("DROP TABLE exchanges; DROP TABLE meta;")
    other.close()
    ledger = opened(str(path))
    write(ledger, record(1))
    assert ledger.state().moved_aside
    ledger.close()
    assert ids(path) == names(1)


def test_a_newer_ledger_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    opened(str(path)).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    before = path.read_bytes()
    ledger = Ledger(str(path), 90)
    ledger.start()
    wait_until(lambda: ledger.state().condition == "failing")
    assert "newer ccrelay (schema 99" in ledger.state().problem
    assert "ledger.path" in ledger.state().problem
    with pytest.raises(LedgerTrouble, match="newer"):
        asyncio.run(ledger.count())
    ledger.close()
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*corrupt*"))


def test_damage_that_is_found_later_is_moved_aside_and_nothing_submitted_is_lost(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.db"
    events = Events()
    ledger = opened(str(path), on_event=events)
    write(ledger, *[record(n, session=f"session-{n}") for n in range(3000)])
    other = sqlite3.connect(path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // 4096):
            file.seek(page * 4096)
            file.write(b"\x5a" * 4096)

    async def read() -> None:
        first, end = bounds(0, 0)
        await ledger.page(parse("session:none-of-them"), first=first, end=end, limit=10)

    numbers = iter(range(10_000, 20_000))
    submitted: list[int] = []

    def came() -> bool:
        try:
            asyncio.run(read())
        except LedgerTrouble:
            pass
        submitted.append(next(numbers))
        ledger.submit("memory", 0, submitted[-1], [record(submitted[-1])])
        return "ledger_moved_aside" in events.names()

    wait_until(came)
    wait_until(lambda: not ledger.pending and ledger.state().condition == "ok")
    aside = Path(ledger.state().moved_aside)
    ledger.close()
    assert aside.exists()
    found = ids(path)
    assert len(found) == len(set(found))
    # What was committed to the damaged file before is in the file that was moved aside.
    last = submitted.index(next(n for n in submitted if record(n).id in found))
    assert found == names(*submitted[last:])


def test_damage_that_a_reader_meets_is_seen_beside_what_the_writer_has_in_memory(
    tmp_path: Path,
) -> None:
    path, events = tmp_path / "ledger.db", Events()
    ledger = opened(str(path))
    write(ledger, *[record(number) for number in range(50)])
    ledger.close()
    ledger = opened(str(path), on_event=events)  # which reads all of it once
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))

    def is_told() -> bool:
        with contextlib.suppress(LedgerTrouble):
            asyncio.run(ledger.count())
        return "ledger_moved_aside" in events.names()

    wait_until(is_told)
    wait_until(lambda: ledger.state().condition == "ok")
    assert Path(ledger.state().moved_aside).exists()
    ledger.close()


def test_a_file_that_was_removed_is_begun_afresh(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = opened(str(path))
    write(ledger, record(1))
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink()
    ledger.submit("memory", 0, 2, [record(2)])
    wait_until(lambda: not ledger.pending)
    wait_until(lambda: ledger.state().condition == "ok")
    ledger.close()
    assert ids(path) == names(2)


# ---- places where nothing can be written


def failing(ledger: Ledger) -> str:
    wait_until(lambda: ledger.state().condition == "failing")
    return ledger.state().problem


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.mkdir()
    events = Events()
    ledger = Ledger(str(path), 90, on_event=events)
    ledger.start()
    assert "is not a file: move it away, or set ledger.path" in failing(ledger)
    ledger.submit("memory", 0, 9, [record(1)])
    time.sleep(0.3)
    assert ledger.pending == 1
    assert events.names().count("ledger_failing") == 1  # told once, not at every try
    path.rmdir()
    wait_until(lambda: not ledger.pending)
    assert ledger.state().condition == "ok"
    assert "ledger_ok" in events.names()
    ledger.close()
    assert ids(path) == names(1)


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    ledger = Ledger(str(tmp_path / "state" / "ccrelay" / "ledger.db"), 90)
    ledger.start()
    assert "cannot be made" in failing(ledger)
    assert "ledger.path" in failing(ledger)
    (tmp_path / "state").unlink()
    wait_until(lambda: ledger.is_open)
    ledger.close()


def test_a_full_file_is_told_and_written_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    ledger = opened(str(path))
    write(ledger, record(0))
    inner = ledger._writer
    connection = inner._connection
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    made = [record(n, session=f"s{n}" * 20) for n in range(1, 600)]
    done: list[Sequence[Batch]] = []
    ledger.on_committed(done.append)
    ledger.submit("memory", 0, 600, made)
    assert "no space is left" in failing(ledger)
    assert not done  # the ring keeps them
    assert asyncio.run(ledger.count()) == 1  # and questions are answered
    connection.execute("PRAGMA max_page_count = 100000")
    wait_until(lambda: not ledger.pending)
    wait_until(lambda: ledger.state().condition == "ok")
    ledger.close()
    assert len(done) == 1
    assert ids(path) == names(*range(600))


FULL = """
import resource, sys, time
from ccrelay.store import opening, writer
writer.RETRY_MAX_S = 0.1
from tests.unit.store.making import opened, record, wait_until
size = 200_000
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
ledger = opened(sys.argv[1])
count = 0
while ledger.state().condition == "ok" and count < 5000:
    count += 1
    ledger.submit("memory", 0, count, [record(count, session=f"session-{count}" * 5)])
    time.sleep(0.001)
state = ledger.state()
assert state.condition == "failing", state
assert "disk" in state.problem or "space" in state.problem, state
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
wait_until(lambda: not ledger.pending)
wait_until(lambda: ledger.state().condition == "ok")
ledger.close()
print(count)
"""


def test_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    count = int(run(FULL, str(path)))
    assert ids(path) == names(*range(1, count + 1))


def run(script: str, *args: str) -> str:
    done = subprocess.run(
        [*PROGRAM, textwrap.dedent(script), *args],
        capture_output=True,
        text=True,
        timeout=60,
        env=child_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- two relays


def test_two_relays_cannot_write_one_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    one = opened(str(path))
    (tmp_path / "link").symlink_to(tmp_path)  # by another way, too
    two = Ledger(str(tmp_path / "link" / "ledger.db"), 90)
    two.start()
    problem = failing(two)
    assert f"another relay (pid {os.getpid()}) writes {path}" in problem
    assert "set ledger.path" in problem
    two.submit("other", 0, 1, [record(2)])
    write(one, record(1))
    one.close()
    wait_until(lambda: not two.pending)  # the other one has gone
    two.close()
    assert ids(path) == names(1, 2)


def test_a_manager_that_follows_another_waits_a_moment_without_complaint(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    events = Events()
    one = opened(str(path))
    two = Ledger(str(path), 90, on_event=events)
    two.start()
    time.sleep(0.3)
    assert two.state().condition == "opening"
    one.close()
    wait_until(lambda: two.is_open)
    two.close()
    assert events.told == []


# ---- kill -9

KILLED = """
import sys
from tests.unit.store.making import opened, record, wait_until
import itertools, time
ledger = opened(sys.argv[1])
at = ledger.cursor("memory", 0)
released = open(sys.argv[2], "a", buffering=1)
ledger.on_committed(lambda batches: released.write(f"{batches[-1].position}\\n"))
print("started", at, flush=True)
for position in itertools.count(at + 1):
    ledger.submit("memory", 0, position, [record(position)])
    time.sleep(0.005)
"""


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_and_writes_nothing_twice(tmp_path: Path) -> None:
    """The ring is the sequence of numbers: a new process goes on after the stored position."""
    path, released = tmp_path / "ledger.db", tmp_path / "released"
    for seconds in (0.31, 0.07, 0.4, 0.15):
        with subprocess.Popen(
            [*PROGRAM, KILLED, str(path), str(released)],
            env=child_environment(),
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(seconds)
            process.kill()
    ledger = opened(str(path))
    stored = ledger.cursor("memory", 0)
    ledger.close()
    assert stored > 50
    assert ids(path) == names(*range(1, stored + 1))
    # Nothing was released that is not on disk.
    assert max(map(int, released.read_text().split())) <= stored


def test_the_limit_of_this_test_is_the_one_of_the_process() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] in (resource.RLIM_INFINITY, -1)


def test_the_other_relay_is_told_by_the_pid_of_its_supervisor(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    one = Ledger(str(path), 90, owner=4711)
    one.start()
    wait_until(lambda: one.is_open)
    two = Ledger(str(path), 90)
    two.start()
    assert "another relay (pid 4711) writes" in failing(two)
    two.close()
    one.close()


def test_a_lock_whose_file_was_removed_is_taken_again(tmp_path: Path) -> None:
    path, lock = tmp_path / "ledger.db", tmp_path / "ledger.db.lock"
    first = opened(str(path))
    write(first, record(1))
    lock.unlink()
    first.submit("memory", 0, 2, [record(2)])
    wait_until(lambda: not first.pending and lock.exists())
    second = Ledger(str(path), 90)
    second.start()
    assert "another relay" in failing(second)
    second.close()
    first.close()


def test_a_lock_that_another_relay_has_taken_meanwhile_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "HANDOVER_S", 0.0)
    path = tmp_path / "ledger.db"
    first = opened(str(path))
    (tmp_path / "ledger.db.lock").unlink()
    held = opening.Lock(str(path))
    first.submit("memory", 0, 1, [record(1)])
    assert "another relay" in failing(first)
    assert first.pending == 1
    held.close()
    wait_until(lambda: not first.pending)
    first.close()
    assert ids(path) == names(1)


def test_who_asks_is_told_what_whoever_writes_has_found(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = opened(str(path))
    for file in tmp_path.iterdir():
        file.unlink()
    path.mkdir()
    problem = failing(ledger)
    assert "is not a file" in problem
    with pytest.raises(LedgerTrouble, match="is not a file"):
        asyncio.run(ledger.count())
    ledger.close()
