"""Sums by group, compared with sums that are added one by one."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from ccrelay.ledger.record import Record
from ccrelay.store.filter_sql import register
from ccrelay.store.filters import parse
from ccrelay.store.names import class_name
from ccrelay.store.rows import Dictionaries
from ccrelay.store.schema import migrate
from ccrelay.store.sums import amounts, merge
from ccrelay.store.usage import Dimension, Groups, Question, costs_by_hour, split, usage
from ccrelay.store.writes import Batch, delete_rows, write_batches
from tests.unit.store.making import HOUR_US, NOON_US, record, records
from tests.unit.store.test_zones import zone_of

NOW_S = NOON_US // 1_000_000 + 10 * 3600
DIMENSIONS: list[Dimension] = [
    *("provider", "model", "key", "class", "session", "project", "agent", "day", "hour", "rule")
]
FILTERS = ["", "provider:zai", "-model:zai", "class:main,subagent", "cost>0", "outcome:lost", "a"]
HOUR_MS = 3_600_000
NOON_MS = NOON_US // 1000


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(":memory:", isolation_level=None)
    migrate(made)
    register(made)
    yield made
    made.close()


def fill(connection: sqlite3.Connection, made: list[Record]) -> None:
    for table in ("exchanges", "prefixes", "tries", "rollups", "model_rollups"):
        connection.execute(f"DELETE FROM {table}")
    connection.execute("UPDATE meta SET value = 0 WHERE name = 'rows_since_ms'")
    known = Dictionaries(connection)
    half = len(made) // 2
    for some in (made[:half], made[half:]):  # sums are added to those that are there
        write_batches(connection, known, [Batch("m", 0, 1, some)], 0)


def added(made: list[Record], question: Question, zone: Callable[[int], int]) -> Groups:
    groups: Groups = {}
    for one in made:
        at_ms = one.started_at_us // 1000
        if at_ms < question.since_ms or (question.until_ms and at_ms >= question.until_ms):
            continue
        if question.chosen.matches(one):
            merge(groups, tuple([value(one, by, zone) for by in question.dimensions]), amounts(one))
    return groups


def value(one: Record, by: Dimension, zone: Callable[[int], int]) -> str:
    at_s = one.started_at_us // 1_000_000
    local = datetime.fromtimestamp(at_s + zone(at_s), UTC)
    target = f"{one.provider}/{one.key_name or one.key}" if one.provider else ""
    return {
        "provider": one.provider,
        "model": one.sent,
        "key": target,
        "class": class_name(one.traffic),
        "session": one.session,
        "project": one.project,
        "agent": one.agent,
        "day": local.strftime("%Y-%m-%d"),
        "hour": local.strftime("%Y-%m-%dT%H"),
        "rule": one.rule,
    }[by]


@settings(max_examples=150, deadline=None)
@given(
    made=st.lists(records(), max_size=12),
    dimensions=st.lists(st.sampled_from(DIMENSIONS), max_size=4, unique=True),
    text=st.sampled_from(FILTERS),
    since=st.sampled_from([0, NOON_MS - 3 * HOUR_MS, NOON_MS - 90 * 60_000, NOON_MS + 1]),
    until=st.sampled_from([0, NOON_MS, NOON_MS + 1, NOON_MS + 2 * HOUR_MS + 59_000]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"]),
    minutes=st.lists(st.integers(0, 59), min_size=12, max_size=12),
)
def test_any_question_has_the_sums_of_its_exchanges(
    connection: sqlite3.Connection,
    made: list[Record],
    dimensions: list[Dimension],
    text: str,
    since: int,
    until: int,
    zone: str,
    minutes: list[int],
) -> None:
    made = [
        replace(one, id=f"id-{n:03x}", started_at_us=one.started_at_us + minutes[n] * 60_000_000)
        for n, one in enumerate(made)
    ]
    fill(connection, made)
    question = Question(tuple(dimensions), parse(text), since, until, NOW_S)
    offset = zone_of(zone)
    assert usage(connection, question, offset) == added(made, question, offset)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_days_have_23_and_25_hours_when_the_clocks_change(
    connection: sqlite3.Connection, zone: str
) -> None:
    first = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    made = [record(n, started_at_us=first + n * HOUR_US) for n in range(24 * 330)]
    fill(connection, made)
    question = Question(("day",), parse(""), 0, 0, NOW_S)
    groups = usage(connection, question, zone_of(zone))
    counts: dict[str, int] = {}
    for one in made:
        day = datetime.fromtimestamp(one.started_at_us / 1e6, ZoneInfo(zone)).strftime("%Y-%m-%d")
        counts[day] = counts.get(day, 0) + 1
    assert {group[0]: sums[0] for group, sums in groups.items()} == counts
    assert {23, 25} <= set(counts.values())


def test_a_zone_of_half_hours_counts_a_whole_utc_hour_where_it_begins(
    connection: sqlite3.Connection,
) -> None:
    # 18:00 to 19:00 UTC is 23:30 to 00:30 in Kolkata.
    at = int(datetime(2026, 11, 29, 18, 45, tzinfo=UTC).timestamp()) * 1_000_000
    fill(connection, [record(started_at_us=at)])
    zone = zone_of("Asia/Kolkata")
    by_hours = usage(connection, Question(("day",), parse(""), 0, 0, NOW_S), zone)
    by_rows = usage(connection, Question(("day", "session"), parse(""), 0, 0, NOW_S), zone)
    assert list(by_hours) == [("2026-11-29",)]
    assert [group[0] for group in by_rows] == ["2026-11-30"]


def test_sums_outlive_the_exchanges(connection: sqlite3.Connection) -> None:
    made = [record(n, started_at_us=NOON_US - n * HOUR_US + 1) for n in range(100)]
    fill(connection, made)
    before = NOON_MS - 50 * HOUR_MS
    while delete_rows(connection, before):
        pass
    everything = Question((), parse(""), 0, 0, NOW_S)
    assert usage(connection, everything, zone_of("UTC"))[()][0] == 100
    by_session = Question(("session",), parse(""), 0, 0, NOW_S)
    assert sum(sums[0] for sums in usage(connection, by_session, zone_of("UTC")).values()) == 51
    # A range that begins within an hour without exchanges takes all of that hour.
    within = Question((), parse(""), NOON_MS - 80 * HOUR_MS + 600_000, 0, NOW_S)
    assert usage(connection, within, zone_of("UTC"))[()][0] == 81


@given(st.integers(0, 5 * HOUR_MS), st.integers(0, 5 * HOUR_MS), st.sampled_from([0, 2 * HOUR_MS]))
def test_a_range_is_divided_without_gap_or_overlap(since: int, until: int, kept: int) -> None:
    parts = split(since, until, kept)
    pieces = [*parts.rows]
    if parts.hours[0] < parts.hours[1]:
        pieces.append((parts.hours[0] * HOUR_MS, parts.hours[1] * HOUR_MS))
    pieces = sorted(piece for piece in pieces if piece[0] < piece[1])
    for one, two in itertools.pairwise(pieces):
        assert one[1] == two[0]
    if until and until <= since and not kept:
        assert not pieces
    elif pieces and not kept:
        assert pieces[0][0] == since
        assert not until or pieces[-1][1] == until


def test_costs_by_hour(connection: sqlite3.Connection) -> None:
    fill(
        connection,
        [
            record(1, started_at_us=NOON_US),
            record(2, started_at_us=NOON_US + 5, billing=2, provider="zai"),
            record(3, started_at_us=NOON_US - HOUR_US, cost_micros=-1),
        ],
    )
    hour = NOON_US // HOUR_US
    assert costs_by_hour(connection, parse(""), hour - 5) == {hour: 2000, hour - 1: 0}
    assert costs_by_hour(connection, parse("provider:zai"), hour - 5) == {hour: 1000}
    assert costs_by_hour(connection, parse("session:x"), 0) is None
