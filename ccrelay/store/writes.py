"""What the writer does in one transaction: exchanges, sums by the hour, positions, windows."""

import sqlite3
from collections.abc import Sequence

import msgspec

from ccrelay.ledger.record import Record
from ccrelay.store.rows import Dictionaries, insert, normal, seq_of
from ccrelay.store.sums import SUM_COLUMNS, amounts, merge

HOUR_US = 3_600_000_000
CURSOR_KEEP_MS = 90 * 86_400_000
DELETE_ROWS = 500  # in one transaction, so that exchanges do not wait behind it

_UPSERT_ROLLUP = (
    "INSERT INTO {table} "
    f"(hour, combo, {', '.join(SUM_COLUMNS)}) "
    f"VALUES (?, ?, {', '.join('?' * len(SUM_COLUMNS))}) ON CONFLICT (hour, combo) DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in SUM_COLUMNS)
)
_ROLLUPS = tuple(_UPSERT_ROLLUP.format(table=table) for table in ("rollups", "model_rollups"))
_UPSERT_CURSOR = (
    "INSERT INTO cursors VALUES (?, ?, ?, ?) ON CONFLICT (memory, line) DO UPDATE SET "
    "position = excluded.position, at_ms = excluded.at_ms"
)
_UPSERT_WINDOW = (
    "INSERT INTO windows VALUES (?, ?, ?, ?, ?) ON CONFLICT (provider, key, name) DO UPDATE SET "
    "observed_at_ms = excluded.observed_at_ms, data = excluded.data"
)
_ORPHANS = (
    "DELETE FROM shapes WHERE id NOT IN (SELECT shape FROM exchanges)",
    "DELETE FROM talks WHERE id NOT IN (SELECT talk FROM exchanges)",
    "DELETE FROM texts WHERE id NOT IN (SELECT error FROM exchanges UNION SELECT passed "
    "FROM exchanges)",
    "DELETE FROM prefixes WHERE id NOT IN (SELECT prefix FROM exchanges)",
)
# A text with half a surrogate pair, a number beyond 64 bits, a member of another type.
_UNSTORABLE = (TypeError, ValueError, OverflowError, sqlite3.IntegrityError, sqlite3.InterfaceError)


class WindowRow(msgspec.Struct, frozen=True):
    """The state of one window as it is kept; `data` is for the manager to read."""

    provider: str
    key: str
    name: str
    observed_at_ms: int
    data: bytes


class Batch(msgspec.Struct, frozen=True):
    """Records that were read from one ring, and where its reader stands after them.

    Args:
        memory: identity of the shared memory.
        column: of the ring.
        position: after the last record.
        records: in the order of the ring.
        windows: states that changed.
    """

    memory: str
    column: int
    position: int
    records: Sequence[Record]
    windows: Sequence[WindowRow] = ()


def write_batches(
    connection: sqlite3.Connection, known: Dictionaries, batches: Sequence[Batch], now_ms: int
) -> int:
    """Write batches in one transaction: all of it, or nothing.

    Returns how many records were left out because they cannot be stored at all: one that is wrong
    must not hold up all others for ever.

    Raises:
        sqlite3.Error: nothing was written.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        skipped = _write(connection, known, batches, now_ms)
        connection.execute("COMMIT")
    except BaseException:
        known.forget()
        roll_back(connection)
        raise
    return skipped


def _write(
    connection: sqlite3.Connection, known: Dictionaries, batches: Sequence[Batch], now_ms: int
) -> int:
    fine: dict[tuple[int, int], list[int]] = {}
    coarse: dict[tuple[int, int], list[int]] = {}
    skipped = 0
    for batch in batches:
        for given in batch.records:
            try:
                record = normal(given)
                hour = record.started_at_us // HOUR_US
                combo, model = known.combo(record), known.model_combo(record)
                more = amounts(record)
                insert(connection, known, record)
            except _UNSTORABLE:
                skipped += 1
            else:
                merge(fine, (hour, combo), more)
                merge(coarse, (hour, model), more)
        connection.execute(_UPSERT_CURSOR, (batch.memory, batch.column, batch.position, now_ms))
        for window in batch.windows:
            connection.execute(
                _UPSERT_WINDOW,
                (window.provider, window.key, window.name, window.observed_at_ms, window.data),
            )
    known.write_ranges()
    for statement, sums in zip(_ROLLUPS, (fine, coarse), strict=True):
        connection.executemany(statement, [(*key, *more) for key, more in sums.items()])
    return skipped


def delete_rows(connection: sqlite3.Connection, before_ms: int) -> int:
    """Delete some of the exchanges that began before an instant. Returns how many.

    Raises:
        sqlite3.Error: none was deleted.
    """
    end = seq_of(before_ms)
    connection.execute("BEGIN IMMEDIATE")
    try:
        last = connection.execute(
            "SELECT max(seq) FROM (SELECT seq FROM exchanges WHERE seq < ? ORDER BY seq LIMIT ?)",
            (end, DELETE_ROWS),
        ).fetchone()[0]
        if last is None:
            connection.execute("ROLLBACK")
            return 0
        count = connection.execute("DELETE FROM exchanges WHERE seq <= ?", (last,)).rowcount
        connection.execute("DELETE FROM tries WHERE seq <= ?", (last,))
        # Before any is missing: sums over rows reach back to here.
        connection.execute(
            "UPDATE meta SET value = max(value, ?) WHERE name = 'rows_since_ms'", (before_ms,)
        )
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    return count


def delete_orphans(connection: sqlite3.Connection, known: Dictionaries, now_ms: int) -> None:
    """Delete what no exchange refers to any more, and positions of memories long gone.

    Raises:
        sqlite3.Error: nothing was deleted.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _ORPHANS:
            connection.execute(statement)
        connection.execute("DELETE FROM cursors WHERE at_ms < ?", (now_ms - CURSOR_KEEP_MS,))
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    finally:
        known.forget()


def roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that failed, unless SQLite did."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        pass
