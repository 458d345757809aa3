"""One transaction has all of a batch, or nothing of it."""

import sqlite3

import pytest

from ccrelay.store.rows import Dictionaries
from ccrelay.store.schema import migrate
from ccrelay.store.writes import Batch, WindowRow, delete_orphans, delete_rows, write_batches
from tests.unit.store.making import NOON_US, attempt, record

TABLES = ("exchanges", "rollups", "model_rollups", "cursors", "windows", "shapes", "talks", "tries")


@pytest.fixture
def connection() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    migrate(made)
    return made


def counts(connection: sqlite3.Connection) -> list[int]:
    return [connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES]


def batch(*numbers: int, position: int = 5) -> Batch:
    window = WindowRow("anthropic", "hmac:04f4a1b2", "5h", 7, b"state")
    made = [record(n, tries=[attempt()], session=f"s{n}") for n in numbers]
    return Batch("memory", 0, position, made, [window])


@pytest.mark.parametrize("table", ["rollups", "model_rollups", "cursors", "windows"])
def test_what_fails_at_the_end_leaves_nothing_behind(
    connection: sqlite3.Connection, table: str
) -> None:
    known = Dictionaries(connection)
    write_batches(connection, known, [batch(1)], 0)
    before = counts(connection)
    connection.execute(
        f"CREATE TRIGGER stop BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'stop'); END"
    )
    with pytest.raises(sqlite3.Error, match="stop"):
        write_batches(connection, known, [batch(2, 3, position=9)], 0)
    assert counts(connection) == before
    connection.execute("DROP TRIGGER stop")
    # The numbers that were rolled back are not remembered.
    write_batches(connection, known, [batch(2, 3, position=9)], 0)
    rows = connection.execute(
        "SELECT t.session FROM exchanges e JOIN talks t ON t.id = e.talk ORDER BY 1"
    ).fetchall()
    assert rows == [("s1",), ("s2",), ("s3",)]
    assert connection.execute("SELECT position FROM cursors").fetchone() == (9,)


def test_the_last_window_is_kept(connection: sqlite3.Connection) -> None:
    known = Dictionaries(connection)
    write_batches(connection, known, [batch(1)], 0)
    later = WindowRow("anthropic", "hmac:04f4a1b2", "5h", 8, b"later")
    write_batches(connection, known, [Batch("memory", 0, 6, [], [later])], 0)
    assert connection.execute("SELECT observed_at_ms, data FROM windows").fetchall() == [
        (8, b"later")
    ]


def test_what_nothing_refers_to_goes_and_comes_again(connection: sqlite3.Connection) -> None:
    known = Dictionaries(connection)
    old = record(1, started_at_us=NOON_US - 10**12, session="old", error="once", passed="a/b=limit")
    write_batches(connection, known, [Batch("gone", 0, 1, [old])], 0)
    now_ms = NOON_US // 1000
    write_batches(connection, known, [Batch("memory", 0, 1, [record(2)])], now_ms)
    while delete_rows(connection, now_ms):
        pass
    delete_orphans(connection, known, now_ms)
    assert connection.execute("SELECT session FROM talks").fetchall() == [(record().session,)]
    assert connection.execute("SELECT count(*) FROM texts").fetchone() == (0,)
    assert connection.execute("SELECT memory FROM cursors").fetchall() == [("memory",)]
    write_batches(connection, known, [Batch("memory", 0, 2, [old])], now_ms)
    rows = connection.execute(
        "SELECT t.session, x.text FROM exchanges e JOIN talks t ON t.id = e.talk "
        "JOIN texts x ON x.id = e.error"
    ).fetchall()
    assert rows == [("old", "once")]
