"""The tables of the ledger, and how an older file becomes a newer one.

`PRAGMA user_version` is the number of migrations that were applied, `application_id` says that the
file is a ledger. A million exchanges are to take 120 MB at most, hence:

- The key of an exchange holds its time: milliseconds since 1970, shifted left by 20 bits, and a
  counter. So a range of time is a range of keys, and time needs no column and no index.
- What repeats is stored once. `shapes` has everything about an exchange that takes few values
  (target, models, status, outcome, ...), `talks` who asked (session, agent, project), `texts`
  errors. Each is found by a keyed hash of its values, the keys differ from file to file.
- `talks` say between which keys their exchanges are, too: a session is a few stretches of keys.
- An id is the number of its beginning in `prefixes` and its last three hexadecimal digits. The ids
  that begin alike are those of a few thousand exchanges of one worker, near to each other in time:
  `prefixes` says between which keys they are, and an id is looked for there, without an index.

`rollups` has the sums of each UTC hour in which exchanges began, and is kept for ever.
`model_rollups` has them without keys and classes, of which there may be many: what is asked most
often, a month by model and day, is read from a tenth of the rows.
"""

import sqlite3
from collections.abc import Sequence

from ccrelay.store.sums import SUM_COLUMNS
from ccrelay.store.trouble import LedgerCorrupt, NewerLedger

APPLICATION_ID = 0x63637279  # "ccry"
SEQ_SHIFT = 20

# Members of a record that are in `shapes`, with those of `combos` among them.
SHAPE_COLUMNS = (
    *("kind", "traffic", "model", "sent", "provider", "key", "key_name", "status", "ending"),
    *("result", "attempts", "has_usage", "stream", "moved", "stop_reason", "rule", "strategy"),
    *("why", "billing", "prices_version", "candidates"),
)
TALK_COLUMNS = ("session", "agent", "project", "conversation")
# What the rollups know of an exchange.
COMBO_COLUMNS = ("provider", "key", "key_name", "model", "sent", "traffic")
# The class of combos of `model_rollups`, whose key is empty.
NO_CLASS = -2
MODEL_COLUMNS = ("provider", "model", "sent")
# Numbers of a record that are stored as they are; those that filters ask for come first.
NUMBER_COLUMNS = (
    *("cost_micros", "first_event_us", "duration_us", "input", "output", "cache_read"),
    *("cache_write_5m", "cache_write_1h", "thinking", "uncached_micros", "moved_micros"),
    *("queued_us", "own_us", "bytes_in", "bytes_out"),
)
ROW_COLUMNS = ("seq", "shape", "talk", *NUMBER_COLUMNS, "error", "passed", "prefix", "tail")

_TEXTS = frozenset(
    {
        *("model", "sent", "provider", "key", "key_name", "stop_reason", "rule", "strategy"),
        *("prices_version", "candidates", "session", "agent", "project", "text"),
    }
)


def _typed(columns: Sequence[str]) -> str:
    return ", ".join(
        f"{name} {'TEXT' if name in _TEXTS else 'INTEGER'} NOT NULL" for name in columns
    )


def _dictionary(name: str, columns: Sequence[str]) -> str:
    return (
        f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, digest INTEGER NOT NULL UNIQUE, "
        f"{_typed(columns)})"
    )


_FIRST = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID",
    _dictionary("shapes", SHAPE_COLUMNS),
    _dictionary("talks", TALK_COLUMNS),
    _dictionary("combos", COMBO_COLUMNS),
    _dictionary("texts", ("text",)),
    "CREATE TABLE prefixes (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE, "
    "first INTEGER NOT NULL, last INTEGER NOT NULL)",
    f"CREATE TABLE exchanges (seq INTEGER PRIMARY KEY, {_typed(ROW_COLUMNS[1:])})",
    # Only of exchanges with more than one attempt.
    "CREATE TABLE tries (seq INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    f"CREATE TABLE rollups (hour INTEGER NOT NULL, combo INTEGER NOT NULL, {_typed(SUM_COLUMNS)}, "
    "PRIMARY KEY (hour, combo)) WITHOUT ROWID",
    f"CREATE TABLE model_rollups (hour INTEGER NOT NULL, combo INTEGER NOT NULL, "
    f"{_typed(SUM_COLUMNS)}, PRIMARY KEY (hour, combo)) WITHOUT ROWID",
    # How far each ring was read.
    "CREATE TABLE cursors (memory TEXT NOT NULL, line INTEGER NOT NULL, position INTEGER NOT NULL, "
    "at_ms INTEGER NOT NULL, PRIMARY KEY (memory, line)) WITHOUT ROWID",
    "CREATE TABLE windows (provider TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, "
    "observed_at_ms INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (provider, key, name)) "
    "WITHOUT ROWID",
    "INSERT INTO meta VALUES ('salt', randomblob(16))",
    "INSERT INTO meta VALUES ('rows_since_ms', 0)",
)

# Between which keys the exchanges of a talk are: those of a session are found without an index
# of exchanges.
_RANGES_OF_TALKS = (
    f"ALTER TABLE talks ADD COLUMN first INTEGER NOT NULL DEFAULT {(1 << 63) - 1}",
    "ALTER TABLE talks ADD COLUMN last INTEGER NOT NULL DEFAULT 0",
    "UPDATE talks SET first = r.first, last = r.last FROM (SELECT talk, min(seq) AS first, "
    "max(seq) AS last FROM exchanges GROUP BY talk) r WHERE r.talk = talks.id",
    "CREATE INDEX talks_of_session ON talks (session)",
    "CREATE INDEX talks_by_last ON talks (last)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _RANGES_OF_TALKS)


def migrate(
    connection: sqlite3.Connection, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> int:
    """Bring a file up to date, each step in one transaction. Returns the number of steps.

    The connection must be in autocommit mode (`isolation_level=None`).

    Raises:
        LedgerCorrupt: it is a database of something else.
        NewerLedger: a newer version wrote it.
        sqlite3.Error: the file is as it was before the step that failed.
    """
    application = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application != APPLICATION_ID:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application or version or tables:
            raise LedgerCorrupt("it is a database of another program")
    if version > len(migrations):
        raise NewerLedger(
            f"the ledger was written by a newer ccrelay (schema {version}, this one knows "
            f"{len(migrations)}): upgrade ccrelay, or set ledger.path to another file"
        )
    for number in range(version, len(migrations)):
        _apply(connection, migrations[number], number + 1)
    return len(migrations) - version


def _apply(connection: sqlite3.Connection, statements: Sequence[str], version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version:d}")
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
