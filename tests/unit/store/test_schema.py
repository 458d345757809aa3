"""The versions of the file: made, brought up to date, refused."""

import sqlite3

import pytest

from ccrelay.store.schema import APPLICATION_ID, MIGRATIONS, ROW_COLUMNS, migrate
from ccrelay.store.trouble import LedgerCorrupt, NewerLedger

NEXT = (*MIGRATIONS, ("ALTER TABLE tries ADD COLUMN more TEXT", "CREATE TABLE notes (text TEXT)"))


def connect() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None)


def version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_an_empty_file_becomes_a_ledger() -> None:
    connection = connect()
    assert migrate(connection) == len(MIGRATIONS)
    assert version(connection) == len(MIGRATIONS)
    assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    assert migrate(connection) == 0


def test_an_older_file_keeps_what_it_holds() -> None:
    connection = connect()
    migrate(connection)
    connection.execute("INSERT INTO tries VALUES (1, x'00')")
    assert migrate(connection, NEXT) == 1
    assert connection.execute("SELECT seq, more FROM tries").fetchall() == [(1, None)]


def test_a_step_that_fails_changes_nothing() -> None:
    connection = connect()
    migrate(connection)
    wrong = (*MIGRATIONS, ("CREATE TABLE notes (text TEXT)", "CREATE TABLE tries (seq INTEGER)"))
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, wrong)
    assert version(connection) == len(MIGRATIONS)
    assert not connection.execute("SELECT * FROM sqlite_master WHERE name = 'notes'").fetchall()
    assert migrate(connection, NEXT) == 1


def test_a_newer_file_is_refused_and_left_alone() -> None:
    connection = connect()
    migrate(connection, NEXT)
    with pytest.raises(NewerLedger, match=r"newer ccrelay \(schema 3, this one knows 2.*upgrade"):
        migrate(connection)
    assert version(connection) == 3


def test_a_file_of_the_first_version_learns_between_which_keys_talks_are() -> None:
    connection = connect()
    migrate(connection, MIGRATIONS[:1])
    row = ", ".join(["?"] * len(ROW_COLUMNS))
    for digest, talk in ((7, 1), (8, 2)):
        connection.execute(
            "INSERT INTO talks (id, digest, session, agent, project, conversation) "
            "VALUES (?, ?, 's', '', '', 0)",
            (talk, digest),
        )
    for seq, talk in ((10, 1), (20, 2), (30, 1)):
        values = [0] * len(ROW_COLUMNS)
        values[ROW_COLUMNS.index("seq")], values[ROW_COLUMNS.index("talk")] = seq, talk
        connection.execute(
            f"INSERT INTO exchanges ({', '.join(ROW_COLUMNS)}) VALUES ({row})", values
        )
    assert migrate(connection) == len(MIGRATIONS) - 1
    found = connection.execute("SELECT id, first, last FROM talks ORDER BY id").fetchall()
    assert found == [(1, 10, 30), (2, 20, 20)]


@pytest.mark.parametrize(
    "statement",
    ["PRAGMA application_id = 7", "PRAGMA user_version = 3", "CREATE TABLE mine (text TEXT)"],
)
def test_a_database_of_something_else_is_none_of_ours(statement: str) -> None:
    connection = connect()
    connection.execute(statement)
    with pytest.raises(LedgerCorrupt, match="another program"):
        migrate(connection)


def test_two_files_have_different_keys_for_their_hashes() -> None:
    salts = []
    for _ in range(2):
        connection = connect()
        migrate(connection)
        salts.append(connection.execute("SELECT value FROM meta WHERE name = 'salt'").fetchone()[0])
    assert salts[0] != salts[1]
