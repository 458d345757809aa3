"""Sums by group, from the sums of whole hours where those know enough, else from exchanges.

A range that begins or ends within an hour takes the rest from exchanges; where these are deleted
already, the whole hour counts.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from ccrelay.store.filter_sql import rollup_condition, row_condition
from ccrelay.store.filters import Filter
from ccrelay.store.names import class_name
from ccrelay.store.pages import SEQ_END, bounds
from ccrelay.store.schema import MODEL_COLUMNS, SEQ_SHIFT
from ccrelay.store.sums import ROLLUP_SUMS, ROW_SUMS, SUM_COLUMNS, merge
from ccrelay.store.zones import DAY_S, HOUR_S, Segment, Zone, day_name, hour_name, segments

# fmt: off
Dimension = Literal[
    "provider", "model", "key", "fingerprint", "class", "session", "project", "agent",
    "day", "hour", "rule",
]
# fmt: on
HOUR_MS = 3_600_000
HOUR_END = 1 << 40
Group = tuple[str, ...]
Groups = dict[Group, list[int]]

_TALKS = ("session", "agent", "project")
_TIMES = ("day", "hour")
_NAMED = frozenset({"provider", "model", "key", "fingerprint", "class", "rule"})
# What no rollup knows.
_OF_ROWS = frozenset({*_TALKS, "rule"})
# What `model_rollups` know.
_COARSE = frozenset({"provider", "model", *_TIMES})
_MODELS = frozenset(MODEL_COLUMNS)
PIECE_ROWS = 50_000
_IDS_MAX = 500  # bound in one statement
_NAMES = "provider, key, key_name, sent, traffic"
# Names of a dictionary, and what else it knows.
_COLUMNS = {"combos": f"{_NAMES}, ''", "shapes": f"{_NAMES}, rule"}
_ROLLUPS = ", ".join(ROLLUP_SUMS[name] for name in SUM_COLUMNS)
_ROWS = ", ".join(ROW_SUMS[name] for name in SUM_COLUMNS)


class Question(msgspec.Struct, frozen=True):
    """What is asked.

    Args:
        dimensions: what to group by, in order.
        chosen: which exchanges.
        since_ms: not older; 0: no bound.
        until_ms: older; 0: no bound.
        now_s: seconds since 1970.
    """

    dimensions: tuple[Dimension, ...]
    chosen: Filter
    since_ms: int
    until_ms: int
    now_s: int


class _Parts(msgspec.Struct, frozen=True):
    """Where a range is taken from: whole hours, and stretches of exchanges, milliseconds."""

    hours: tuple[int, int]
    rows: list[tuple[int, int]]


def usage(connection: sqlite3.Connection, question: Question, zone: Zone) -> Groups:
    """The sums of each group, in the order of `SUM_COLUMNS`.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    since_row = connection.execute("SELECT value FROM meta WHERE name = 'rows_since_ms'").fetchone()
    by_rollup = rollup_condition(question.chosen)
    groups: Groups = {}
    if by_rollup is None or _OF_ROWS.intersection(question.dimensions):
        _add_rows(connection, question, zone, (question.since_ms, question.until_ms), groups)
        return groups
    parts = split(question.since_ms, question.until_ms, int(since_row[0]))
    _add_rollups(connection, question, zone, parts.hours, by_rollup, groups)
    for stretch in parts.rows:
        _add_rows(connection, question, zone, stretch, groups)
    return groups


def split(since_ms: int, until_ms: int, rows_since_ms: int) -> _Parts:
    """Divide a range into whole hours and what is left at its ends."""
    first, end = -(-since_ms // HOUR_MS), until_ms // HOUR_MS if until_ms else HOUR_END
    rows: list[tuple[int, int]] = []
    if since_ms % HOUR_MS:
        if (first - 1) * HOUR_MS < rows_since_ms:
            first -= 1
        elif until_ms and end < first:
            return _Parts((first, first), [(since_ms, until_ms)] if until_ms > since_ms else [])
        else:
            rows.append((since_ms, first * HOUR_MS))
    if until_ms % HOUR_MS:
        if end * HOUR_MS < rows_since_ms:
            end += 1
        elif until_ms > since_ms:
            rows.append((max(end * HOUR_MS, since_ms), until_ms))
    return _Parts((first, max(first, end)), rows)


def _add_rollups(
    connection: sqlite3.Connection,
    question: Question,
    zone: Zone,
    hours: tuple[int, int],
    condition: tuple[str, list[object]],
    groups: Groups,
) -> None:
    if hours[0] >= hours[1]:
        return
    oldest = connection.execute("SELECT min(hour) FROM rollups").fetchone()[0] or 0
    first = max(hours[0], oldest)
    bucket, bound = _bucket(question, zone, "r.hour * 3600", first * HOUR_S, hours[1] * HOUR_S)
    is_coarse = _COARSE.issuperset(question.dimensions) and question.chosen.members <= _MODELS
    table = "model_rollups" if is_coarse else "rollups"
    where = f" AND {condition[0]}" if condition[0] else ""
    rows = connection.execute(
        f"SELECT r.combo, {bucket} AS bucket, {_ROLLUPS} FROM {table} r "
        f"WHERE r.hour >= ? AND r.hour < ?{where} GROUP BY r.combo, bucket",
        (*bound, first, hours[1], *condition[1]),
    ).fetchall()
    names = _named(connection, "combos")
    for combo, at, *sums in rows:
        merge(groups, _group(question.dimensions, names.get(combo, _NO_NAMES), _NO_TALK, at), sums)


def _add_rows(
    connection: sqlite3.Connection,
    question: Question,
    zone: Zone,
    stretch: tuple[int, int],
    groups: Groups,
) -> None:
    first, end = bounds(*stretch)
    condition, values = row_condition(question.chosen, connection)
    where = f" AND {condition}" if condition else ""
    has_talks = any(name in _TALKS for name in question.dimensions)
    what = "e.shape" if _NAMED.intersection(question.dimensions) else "0"
    who = "e.talk" if has_talks else "0"
    first_s, last_s = _extent(connection, first, end, question.now_s)
    bucket, bound = _bucket(question, zone, f"(e.seq >> {SEQ_SHIFT}) / 1000", first_s, last_s)
    sql = (
        f"SELECT {what} AS what, {who} AS who, {bucket} AS bucket, {_ROWS} "
        f"FROM exchanges e JOIN shapes s ON s.id = e.shape "
        f"WHERE e.seq >= ? AND e.seq < ?{where} GROUP BY what, who, bucket"
    )
    names = _named(connection, "shapes")
    for begin, stop in pieces(connection, first, end):
        rows = connection.execute(sql, (*bound, begin, stop, *values)).fetchall()
        talks = _talks(connection, {row[1] for row in rows}) if has_talks else {}
        for shape, talk, at, *sums in rows:
            name, asked = names.get(shape, _NO_NAMES), talks.get(talk, _NO_TALK)
            merge(groups, _group(question.dimensions, name, asked, at), sums)


def pieces(connection: sqlite3.Connection, first: int, end: int) -> Iterator[tuple[int, int]]:
    """Ranges of keys with so many exchanges that SQLite sorts them in little memory."""
    while True:
        row = connection.execute(
            "SELECT seq FROM exchanges WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT 1 OFFSET ?",
            (first, end, PIECE_ROWS),
        ).fetchone()
        if row is None:
            yield first, end
            return
        yield first, row[0]
        first = row[0]


def _extent(connection: sqlite3.Connection, first: int, end: int, now_s: int) -> tuple[int, int]:
    """The first and the last second of a range of keys in which there may be exchanges."""
    oldest = connection.execute("SELECT min(seq) FROM exchanges").fetchone()[0] or 0
    last_s = now_s + DAY_S if end == SEQ_END else (end >> SEQ_SHIFT) // 1000
    return (max(first, oldest) >> SEQ_SHIFT) // 1000, last_s


def _bucket(
    question: Question, zone: Zone, instant: str, first_s: int, end_s: int
) -> tuple[str, list[object]]:
    """An expression for the local day or hour of an instant in seconds."""
    if not any(name in _TIMES for name in question.dimensions):
        return "0", []
    length = HOUR_S if "hour" in question.dimensions else DAY_S
    end_s = min(end_s, question.now_s + DAY_S)
    known = segments(zone, first_s, max(end_s, first_s))
    sql, values = _offset(instant, known)
    return f"({instant} + {sql}) / {length}", values


def _offset(instant: str, known: Sequence[Segment]) -> tuple[str, list[object]]:
    if len(known) == 1:
        return "?", [known[0].offset_s]
    cases = " ".join(f"WHEN {instant} < ? THEN ?" for _ in known[:-1])
    values: list[object] = []
    for segment in known[:-1]:
        values += [segment.end_s, segment.offset_s]
    return f"CASE {cases} ELSE ? END", [*values, known[-1].offset_s]


_Names = tuple[str, str, str, str, str, str]  # provider, key, model, class, fingerprint, rule
_NO_NAMES: _Names = ("", "", "", "", "", "")
_NO_TALK = ("", "", "")


def _named(connection: sqlite3.Connection, table: str) -> dict[int, _Names]:
    return {
        number: (
            provider,
            f"{provider}/{name or key}" if provider else "",
            sent,
            class_name(kind),
            key,
            rule,
        )
        for number, provider, key, name, sent, kind, rule in connection.execute(
            f"SELECT id, {_COLUMNS[table]} FROM {table}"
        )
    }


def _talks(connection: sqlite3.Connection, ids: Iterable[int]) -> dict[int, tuple[str, str, str]]:
    found: dict[int, tuple[str, str, str]] = {}
    wanted = sorted(ids)
    for at in range(0, len(wanted), _IDS_MAX):
        some = wanted[at : at + _IDS_MAX]
        marks = ", ".join("?" * len(some))
        found.update(
            (number, (session, agent, project))
            for number, session, agent, project in connection.execute(
                f"SELECT id, session, agent, project FROM talks WHERE id IN ({marks})", some
            )
        )
    return found


def _group(
    dimensions: Sequence[Dimension], names: _Names, talk: tuple[str, str, str], bucket: int
) -> Group:
    session, agent, project = talk
    is_hour = "hour" in dimensions
    values: dict[Dimension, str] = {
        "provider": names[0],
        "key": names[1],
        "model": names[2],
        "class": names[3],
        "fingerprint": names[4],
        "rule": names[5],
        "session": session,
        "agent": agent,
        "project": project,
    }
    if is_hour:
        values["hour"] = hour_name(bucket)
    if "day" in dimensions:
        values["day"] = day_name(bucket // 24 if is_hour else bucket)
    return tuple([values[name] for name in dimensions])


def costs_by_hour(
    connection: sqlite3.Connection, chosen: Filter, first_hour: int
) -> dict[int, int] | None:
    """Cost at list price of each UTC hour; None: the filter asks for more than hours know."""
    condition = rollup_condition(chosen)
    if condition is None:
        return None
    where = f" AND {condition[0]}" if condition[0] else ""
    return dict(
        connection.execute(
            f"SELECT r.hour, sum(r.billed + r.plan) FROM rollups r WHERE r.hour >= ?{where} "
            "GROUP BY r.hour",
            (first_hour, *condition[1]),
        ).fetchall()
    )
