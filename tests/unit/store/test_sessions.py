"""Sessions, compared with sums that are added one by one; both ways to read them."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ccrelay.ledger.record import Record
from ccrelay.store.filter_sql import register
from ccrelay.store.filters import Filter, parse
from ccrelay.store.rows import Dictionaries, seq_of
from ccrelay.store.schema import migrate
from ccrelay.store.sessions import SessionsQuestion, SessionSums, sessions
from ccrelay.store.sums import amounts
from ccrelay.store.writes import Batch, delete_orphans, delete_rows, write_batches
from ccrelay.types import RequestClass, TrafficClass
from tests.unit.store.making import HOUR_US, NOON_US, record, records

NOON_MS = NOON_US // 1000
HOUR_MS = 3_600_000
FAR_MS = NOON_MS + 100 * HOUR_MS
FILTERS = ["", "session:zai", "project:a", "-agent:zai", "class:main", "cost>0", "zai", "error:a"]


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    migrate(made)
    register(made)
    yield made
    made.close()


def fill(connection: sqlite3.Connection, *made: Record) -> None:
    known = Dictionaries(connection)
    half = len(made) // 2
    for some in (made[:half], made[half:]):
        write_batches(connection, known, [Batch("m", 0, 1, some)], 0)


def ask(connection: sqlite3.Connection, text: str = "", **how: Any) -> list[SessionSums]:
    asked = {"since_ms": 0, "until_ms": 0, "before": 0, "limit": 100, **how}
    return sessions(connection, SessionsQuestion(parse(text), **asked))


def is_turn(one: Record) -> bool:
    is_main = one.traffic == TrafficClass.MAIN and one.kind == RequestClass.MESSAGES
    return is_main and not one.agent


def expected(
    made: list[Record], chosen: Filter, since_ms: int, until_ms: int
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for one in made:
        at_ms = one.started_at_us // 1000
        is_in = at_ms >= since_ms and (not until_ms or at_ms < until_ms)
        if not (one.session and is_in and chosen.matches(one)):
            continue
        ended_ms = at_ms + one.duration_us // 1000
        known = found.setdefault(
            one.session, {"first": at_ms, "last": 0, "turns": 0, "agents": set(), "sums": None}
        )
        known["first"] = min(known["first"], at_ms)
        known["last"] = max(known["last"], ended_ms)
        known["turns"] += is_turn(one)
        known["agents"] |= {one.agent} - {""}
        sums = known["sums"] or [0] * len(amounts(one))
        known["sums"] = [a + b for a, b in zip(sums, amounts(one), strict=True)]
    return found


def plain(found: list[SessionSums]) -> dict[str, dict[str, Any]]:
    return {
        one.session: {
            "first": one.first_ms,
            "last": one.last_ms,
            "turns": one.turns,
            "agents": one.agents,
            "sums": one.sums,
        }
        for one in found
    }


@settings(max_examples=60, deadline=None)
@given(
    st.lists(records(), max_size=30),
    st.sampled_from(FILTERS),
    st.sampled_from([0, NOON_MS - HOUR_MS, NOON_MS + HOUR_MS]),
)
def test_both_ways_agree_with_sums_added_one_by_one(
    made: list[Record], text: str, since_ms: int
) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    register(connection)
    fill(connection, *made)
    for until_ms in (0, NOON_MS + 2 * HOUR_MS, FAR_MS):
        wanted = expected(made, parse(text), since_ms, until_ms)
        found = ask(connection, text, since_ms=since_ms, until_ms=until_ms)
        assert plain(found) == wanted
        tops = [one.top for one in found]
        assert tops == sorted(tops, reverse=True)
    connection.close()


def test_the_last_turn_that_was_answered_says_where_the_conversation_is(
    connection: sqlite3.Connection,
) -> None:
    at = NOON_US
    fill(
        connection,
        record(1, started_at_us=at, provider="zai", key_name="plan", sent="glm-5.3"),
        record(2, started_at_us=at + 1_000_000, input=1, cache_read=2, cache_write_5m=4),
        record(3, started_at_us=at + 2_000_000, has_usage=False, status=529, provider="zai"),
        record(4, started_at_us=at + 3_000_000, agent="a-1", provider="zai", traffic=2),
        record(5, started_at_us=at + 4_000_000, kind=int(RequestClass.COUNT_TOKENS), traffic=5),
        record(6, started_at_us=at + 5_000_000, traffic=int(TrafficClass.BACKGROUND)),
    )
    (one,) = ask(connection)
    assert (one.provider, one.key, one.model) == ("anthropic", "team-a", "claude-opus-5-5")
    assert one.prompt == 1 + 2 + 4 + record().cache_write_1h
    assert (one.turns, one.agents) == (3, {"a-1"})


def test_a_key_without_a_name_is_its_fingerprint(connection: sqlite3.Connection) -> None:
    fill(connection, record(1, key_name=""))
    assert ask(connection)[0].key == record().key


def test_pages_follow_one_another(connection: sqlite3.Connection) -> None:
    made = [
        record(number, session=f"s-{number % 7}", started_at_us=NOON_US + number * 1_000_000)
        for number in range(28)
    ]
    fill(connection, *made)
    for until_ms in (0, FAR_MS):
        seen: list[str] = []
        before = 0
        while page := ask(connection, until_ms=until_ms, before=before, limit=3):
            seen += [one.session for one in page]
            before = page[-1].top
        assert seen == [f"s-{number}" for number in reversed(range(7))]


def test_a_session_is_found_by_its_whole_id_only(connection: sqlite3.Connection) -> None:
    fill(connection, record(1, session="abc"), record(2, session="abcd"), record(3, session=""))
    assert [one.session for one in ask(connection, session="abc")] == ["abc"]
    assert ask(connection, session="ab") == []
    assert {one.session for one in ask(connection, "session:abc")} == {"abc", "abcd"}


def test_the_project_is_the_last_one_that_was_told(connection: sqlite3.Connection) -> None:
    fill(
        connection,
        record(1, project="old", started_at_us=NOON_US),
        record(2, project="new", started_at_us=NOON_US + 1_000_000),
        record(3, project="", started_at_us=NOON_US + 2_000_000),
    )
    assert ask(connection)[0].project == "new"


def test_what_is_deleted_is_in_no_session(connection: sqlite3.Connection) -> None:
    fill(connection, record(1, session="old"), record(2, started_at_us=NOON_US + HOUR_US))
    while delete_rows(connection, NOON_MS + 1):
        pass
    delete_orphans(connection, Dictionaries(connection), 0)
    assert [one.session for one in ask(connection)] == [record().session]
    # One that goes on after its beginning was deleted.
    assert ask(connection)[0].first_ms == NOON_MS + HOUR_MS


def test_a_transaction_that_fails_leaves_no_stretch(connection: sqlite3.Connection) -> None:
    known = Dictionaries(connection)
    connection.execute(
        "CREATE TRIGGER no BEFORE INSERT ON rollups BEGIN SELECT RAISE(ABORT, 'x'); END"
    )
    with pytest.raises(sqlite3.Error):
        write_batches(connection, known, [Batch("m", 0, 1, [record(1)])], 0)
    connection.execute("DROP TRIGGER no")
    late = record(2, started_at_us=NOON_US + HOUR_US)
    write_batches(connection, known, [Batch("m", 0, 1, [late])], 0)
    (row,) = connection.execute("SELECT first, last FROM talks").fetchall()
    assert row == (seq_of(late.started_at_us // 1000),) * 2
