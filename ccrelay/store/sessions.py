"""Sessions of clients with what they came to, the latest first.

Where who asked is all that is asked for, the sessions of a page are known from `talks`, which are
few, and only their own stretches of exchanges are read. Other questions, and ranges with an end,
look at all exchanges of the range.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ccrelay.store.filter_sql import row_condition, session_condition, talk_condition
from ccrelay.store.filters import Filter
from ccrelay.store.pages import SEQ_END, bounds
from ccrelay.store.schema import SEQ_SHIFT, TALK_COLUMNS
from ccrelay.store.sums import ROW_SUMS, SUM_COLUMNS
from ccrelay.store.usage import pieces
from ccrelay.types import RequestClass, TrafficClass

_MEMBERS = frozenset(TALK_COLUMNS)
_SUMS = ", ".join(ROW_SUMS[name] for name in SUM_COLUMNS)
# A turn: what the person asked for, in the main conversation or in a sub-agent.
_TURN = f"s.kind = {int(RequestClass.MESSAGES)} AND s.traffic = {int(TrafficClass.MAIN)}"
_GROUPED = (
    f"SELECT e.talk, min(e.seq), max(e.seq), max((e.seq >> {SEQ_SHIFT}) + e.duration_us / 1000), "
    f"sum({_TURN}), max(iif({_TURN} AND s.has_usage, e.seq, 0)), {_SUMS} "
    "FROM exchanges e JOIN shapes s ON s.id = e.shape"
)
_TALKS_BOUND = 500  # in one statement
_NAMED_MAX = 200  # sessions whose names match, and that are looked at one by one
# Stretches of keys that are so near to each other are read as one.
_NEAR = 60_000 << SEQ_SHIFT


class SessionsQuestion(msgspec.Struct, frozen=True):
    """What is asked.

    Args:
        chosen: which exchanges.
        since_ms: not older; 0: no bound.
        until_ms: older; 0: no bound.
        before: sessions whose last exchange has a key before this one; 0: no bound.
        limit: at most so many sessions.
        session: this one alone, spelt so; empty: all.
    """

    chosen: Filter
    since_ms: int
    until_ms: int
    before: int
    limit: int
    session: str = ""


class SessionSums(msgspec.Struct):
    """One session in a range of time. Times in milliseconds since 1970.

    `top` is the key of its last exchange; `target`, `model` and `prompt` are those of the last turn
    of the main conversation that was answered.
    """

    session: str
    top: int
    sums: list[int]
    project: str = ""
    first_ms: int = 0
    last_ms: int = 0
    turns: int = 0
    agents: set[str] = msgspec.field(default_factory=set)
    last_turn: int = 0
    provider: str = ""
    key: str = ""
    model: str = ""
    prompt: int = 0


class _Talk(msgspec.Struct, frozen=True, array_like=True):
    number: int
    session: str
    agent: str
    project: str
    first: int
    last: int


def sessions(connection: sqlite3.Connection, question: SessionsQuestion) -> list[SessionSums]:
    """The sessions of one page, the one with the latest exchange first.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    first, end = bounds(question.since_ms, question.until_ms)
    if end == SEQ_END and question.chosen.members <= _MEMBERS:
        talks = _talks_of_page(connection, question, first)
        stretches = _stretches(talks, first)
        found = _added(connection, talks, stretches, "", [])
    else:
        is_its = "session = ?" if question.session else "session <> ?"
        place = f"{is_its} AND last >= ? AND first < ?"
        talks = _chosen_talks(connection, question, place, [question.session, first, end])
        condition, values = row_condition(question.chosen, connection)
        found = _added(connection, talks, [(first, end)], condition, values)
    before = question.before or SEQ_END
    shown = sorted(
        (one for one in found.values() if one.top < before), key=lambda one: one.top, reverse=True
    )[: question.limit]
    _add_last_turns(connection, shown)
    return shown


def _talks_of_page(
    connection: sqlite3.Connection, question: SessionsQuestion, first: int
) -> list[_Talk]:
    """The talks of the sessions that have the latest exchanges."""
    names = _page(connection, question, first)
    found: list[_Talk] = []
    for name in names:
        found += _chosen_talks(connection, question, "session = ? AND last >= ?", [name, first])
    return found


def _page(connection: sqlite3.Connection, question: SessionsQuestion, first: int) -> list[str]:
    """The sessions, the one with the latest exchange first."""
    if question.session:
        return [question.session]
    words, values = talk_condition(question.chosen)
    where = f" AND {words}" if words else ""
    named = session_condition(question.chosen)
    if named[0]:
        # Sessions are fewer than talks. What is left of the filter is looked at later.
        names = [
            name
            for (name,) in connection.execute(
                f"SELECT session FROM (SELECT DISTINCT session FROM talks) WHERE {named[0]} "
                "LIMIT ?",
                (*named[1], _NAMED_MAX + 1),
            )
        ]
        if len(names) <= _NAMED_MAX:
            return [name for name in names if name]
    before = question.before or SEQ_END
    # From the latest on, no further than is needed.
    rows = connection.execute(
        f"SELECT session FROM talks WHERE last < ? AND last >= ? AND session <> ''{where} "
        "ORDER BY last DESC",
        (before, first, *values),
    )
    shown: dict[str, bool] = {}
    count = 0
    for (name,) in rows:
        if name in shown:
            continue
        # One of the page before may have talks that are older.
        is_later = (
            question.before
            and connection.execute(
                f"SELECT 1 FROM talks WHERE session = ? AND last >= ?{where} LIMIT 1",
                (name, before, *values),
            ).fetchone()
        )
        shown[name] = not is_later
        count += not is_later
        if count >= question.limit:
            break
    return [name for name, is_on_page in shown.items() if is_on_page]


def _chosen_talks(
    connection: sqlite3.Connection, question: SessionsQuestion, place: str, bound: list[object]
) -> list[_Talk]:
    """Those at a place that words about who asked do not rule out."""
    words, values = talk_condition(question.chosen)
    # Words last: they are the slowest to look at.
    where = f"{place} AND {words}" if words else place
    rows = connection.execute(
        f"SELECT id, session, agent, project, first, last FROM talks WHERE {where}",
        (*bound, *values),
    )
    return [_Talk(*row) for row in rows]


def _stretches(talks: Iterable[_Talk], first: int) -> list[tuple[int, int]]:
    """Ranges of keys in which the exchanges of talks are, without overlap."""
    found: list[list[int]] = []
    for low, high in sorted((max(talk.first, first), talk.last + 1) for talk in talks):
        if found and low <= found[-1][1] + _NEAR:
            found[-1][1] = max(found[-1][1], high)
        else:
            found.append([low, high])
    return [(low, high) for low, high in found]


def _added(
    connection: sqlite3.Connection,
    talks: Sequence[_Talk],
    stretches: Iterable[tuple[int, int]],
    condition: str,
    values: list[object],
) -> dict[str, SessionSums]:
    by_number = {talk.number: talk for talk in talks}
    found: dict[str, SessionSums] = {}
    if not by_number:
        return found
    for row in _grouped(connection, list(by_number), stretches, condition, values):
        talk = by_number.get(row[0])
        if talk is not None:
            _add(found, talk, row)
    return found


def _grouped(
    connection: sqlite3.Connection,
    numbers: Sequence[int],
    stretches: Iterable[tuple[int, int]],
    condition: str,
    values: list[object],
) -> Iterator[Sequence[int]]:
    """Sums by talk; where there are many of them, also those of others."""
    where = f" AND {condition}" if condition else ""
    if len(numbers) <= _TALKS_BOUND:
        where += f" AND e.talk IN ({', '.join('?' * len(numbers))})"
        values = [*values, *numbers]
    sql = f"{_GROUPED} WHERE e.seq >= ? AND e.seq < ?{where} GROUP BY e.talk"
    for first, end in stretches:
        for begin, stop in pieces(connection, first, end):
            yield from connection.execute(sql, (begin, stop, *values))


def _add(found: dict[str, SessionSums], talk: _Talk, row: Sequence[int]) -> None:
    _, low, high, ended_ms, turns, last_turn, *sums = row
    one = found.get(talk.session)
    if one is None:
        one = SessionSums(talk.session, 0, [0] * len(sums), first_ms=low >> SEQ_SHIFT)
        found[talk.session] = one
    if high >= one.top and talk.project:
        one.project = talk.project
    one.project = one.project or talk.project
    one.top = max(one.top, high)
    one.first_ms = min(one.first_ms, low >> SEQ_SHIFT)
    one.last_ms = max(one.last_ms, ended_ms)
    if talk.agent:
        one.agents.add(talk.agent)
    else:
        one.turns += turns
        one.last_turn = max(one.last_turn, last_turn)
    one.sums = [total + amount for total, amount in zip(one.sums, sums, strict=True)]


def _add_last_turns(connection: sqlite3.Connection, shown: Iterable[SessionSums]) -> None:
    for one in shown:
        row = connection.execute(
            "SELECT s.provider, iif(s.key_name = '', s.key, s.key_name), s.sent, "
            "e.input + e.cache_read + e.cache_write_5m + e.cache_write_1h "
            "FROM exchanges e JOIN shapes s ON s.id = e.shape WHERE e.seq = ?",
            (one.last_turn,),
        ).fetchone()
        if row is not None:
            one.provider, one.key, one.model, one.prompt = row
