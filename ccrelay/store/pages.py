"""Queries for single exchanges: pages, one by its id, the oldest of a range."""

import sqlite3

from ccrelay.ledger.record import Try
from ccrelay.store.filter_sql import row_condition
from ccrelay.store.filters import Filter
from ccrelay.store.rows import (
    RECORD_COLUMNS,
    RECORD_TABLES,
    Stored,
    id_ranges,
    join_id,
    seq_of,
    stored,
    unpack_tries,
)

SEQ_END = (1 << 63) - 1
TAIL_MAX = 0xFFF
LAST_CHARACTER = "\U0010ffff"
PREFIXES_MAX = 100  # beginnings of ids that are looked through for a short one

_WITH_PREFIX = (
    "prefixes p JOIN exchanges e ON e.seq BETWEEN p.first AND p.last AND e.prefix = p.id "
    "WHERE p.text = ?"
)


def page(
    connection: sqlite3.Connection,
    chosen: Filter,
    *,
    first: int,
    end: int,
    limit: int,
    newest_first: bool = True,
) -> list[Stored]:
    """Exchanges whose keys are at least `first` and less than `end`, in order of their start."""
    condition, values = row_condition(chosen, connection)
    order = "DESC" if newest_first else "ASC"
    where = f" AND {condition}" if condition else ""
    # The inner query finds the keys: the other tables are only read for what is shown.
    rows = connection.execute(
        f"SELECT {RECORD_COLUMNS} FROM {RECORD_TABLES} WHERE e.seq IN ("
        f"SELECT e.seq FROM exchanges e WHERE e.seq >= ? AND e.seq < ?{where} "
        f"ORDER BY e.seq {order} LIMIT ?) ORDER BY e.seq {order}",
        (first, end, *values, limit),
    )
    return [stored(row) for row in rows]


def bounds(since_ms: int, until_ms: int) -> tuple[int, int]:
    """The first key and the one after the last of a range of time; 0: no bound."""
    return seq_of(since_ms), seq_of(until_ms) if until_ms else SEQ_END


def find(connection: sqlite3.Connection, begin: str, limit: int) -> list[str]:
    """Ids that begin so, at most `limit` of them."""
    found: dict[str, None] = {}
    ranges = id_ranges(begin)
    longer = connection.execute(
        "SELECT text FROM prefixes WHERE text > ? AND text < ? ORDER BY id DESC LIMIT ?",
        (begin, begin + LAST_CHARACTER, PREFIXES_MAX),
    )
    ranges += [(text, -1, TAIL_MAX) for (text,) in longer]
    for prefix, low, high in ranges:
        rows = connection.execute(
            f"SELECT DISTINCT e.tail FROM {_WITH_PREFIX} AND e.tail BETWEEN ? AND ? LIMIT ?",
            (prefix, low, high, limit),
        )
        found.update((join_id(prefix, tail), None) for (tail,) in rows)
        if len(found) >= limit:
            break
    return list(found)[:limit]


def by_id(connection: sqlite3.Connection, prefix: str, tail: int) -> Stored | None:
    """The newest exchange with this id, with its attempts."""
    seq = connection.execute(
        f"SELECT max(e.seq) FROM {_WITH_PREFIX} AND e.tail = ?", (prefix, tail)
    ).fetchone()[0]
    if seq is None:
        return None
    row = connection.execute(
        f"SELECT {RECORD_COLUMNS} FROM {RECORD_TABLES} WHERE e.seq = ?", (seq,)
    ).fetchone()
    return stored(row, _tries(connection, seq))


def _tries(connection: sqlite3.Connection, seq: int) -> list[Try]:
    row = connection.execute("SELECT data FROM tries WHERE seq = ?", (seq,)).fetchone()
    return unpack_tries(row[0]) if row is not None else []
