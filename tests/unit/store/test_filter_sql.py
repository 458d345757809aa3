"""Filters in SQL find what they find in memory: the same records, judged twice."""

import itertools
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings, strategies as st

from ccrelay.ledger.record import Record
from ccrelay.store import opening
from ccrelay.store.filter_sql import register, rollup_condition, row_condition
from ccrelay.store.filters import ENUMS, FLAGS, NUMBERS, TEXTS, parse
from ccrelay.store.rows import Dictionaries
from ccrelay.store.writes import Batch, write_batches
from tests.unit.store.making import record, records

_VALUES = st.sampled_from(
    [
        "zai",
        "ZAI",
        "anthropic",
        "ss",
        "strasse",
        "a",
        "b",
        "x",
        "%",
        "_",
        "0",
        "q",
        "/",
        "zai/z",
        "",
    ]
)
_AMOUNTS = st.sampled_from(["0", "1", "0.1", "2", "100", "99"])


@st.composite
def words(draw: st.DrawFn) -> str:
    sign = draw(st.sampled_from(["", "", "-"]))
    name = draw(st.sampled_from([*TEXTS, *ENUMS, *NUMBERS, *FLAGS, ""]))
    if not name:
        return sign + draw(_VALUES.filter(bool))
    if name in TEXTS:
        return f"{sign}{name}{draw(st.sampled_from(['=', ':']))}" + (draw(_VALUES) or '""')
    if name in ENUMS:
        known = [*ENUMS[name][1].values(), *(["waited"] if name == "outcome" else [])]
        some = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
        return f"{sign}{name}:{','.join(some)}"
    if name in FLAGS:
        return f"{sign}{name}:{draw(st.sampled_from(['yes', 'no']))}"
    operator = draw(st.sampled_from([":", ">", ">=", "<", "<="]))
    return f"{sign}{name}{operator}{draw(_AMOUNTS)}"


def usable(word: str) -> bool:
    return not word.endswith(':""')


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = str(tmp_path_factory.mktemp("ledger") / "ledger.db")
    opening.prepare(path)
    connection = opening.open_ledger(path)
    register(connection)
    yield connection
    connection.close()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(records(), min_size=1, max_size=8),
    st.lists(words().filter(usable), min_size=1, max_size=4),
)
def test_both_ways_agree(empty: sqlite3.Connection, made: list[Record], texts: list[str]) -> None:
    for table in ("exchanges", "prefixes", "tries"):
        empty.execute(f"DELETE FROM {table}")
    known = Dictionaries(empty)
    numbered = [record_with_number(one, number) for number, one in enumerate(made)]
    assert write_batches(empty, known, [Batch("m", 0, 1, numbered)], 0) == 0
    chosen = parse(" ".join(texts))
    sql, values = row_condition(chosen, empty)
    found = empty.execute(f"SELECT e.tail FROM exchanges e WHERE {sql}", values).fetchall()
    expected = [number for number, one in enumerate(numbered) if chosen.matches(one)]
    assert sorted(row[0] for row in found) == expected, sql


def record_with_number(one: Record, number: int) -> Record:
    from msgspec.structs import replace

    return replace(one, id=f"id-{number:03x}")


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("", True),
        ("provider:zai model:opus -key:a class:main", True),
        ("key:zai/plan", True),
        ("provider:zai session:3", False),
        ("opus", False),
        ("cost>1", False),
        ("outcome:ok", False),
    ],
)
def test_sums_by_the_hour_know_targets_models_and_classes(text: str, known: bool) -> None:
    assert (rollup_condition(parse(text)) is not None) is known


@pytest.mark.parametrize("text", ["'; DROP TABLE exchanges; --", '"\'"', "model:' provider:`\\"])
def test_no_value_becomes_sql(empty: sqlite3.Connection, text: str) -> None:
    write_batches(empty, Dictionaries(empty), [Batch("m", 0, 1, [record()])], 0)
    sql, values = row_condition(parse(text))
    assert not any(mark in sql for mark in ("'\"'", "DROP", "`"))
    assert sql.count("?") == len(values)
    assert empty.execute(f"SELECT count(*) FROM exchanges e WHERE {sql}", values).fetchone()[0] == 0


def test_values_are_bound_in_the_order_of_their_marks(empty: sqlite3.Connection) -> None:
    write_batches(empty, Dictionaries(empty), [Batch("m", 0, 1, [record()])], 0)
    texts = ["cost>=0", "provider:anthropic", "project:api", "first>0", "status:200", "opus"]
    for order in itertools.permutations(texts, 4):
        sql, values = row_condition(parse(" ".join(order)))
        rows = empty.execute(f"SELECT e.seq FROM exchanges e WHERE {sql}", values).fetchall()
        assert rows, order


def test_what_costs_least_is_looked_at_first(empty: sqlite3.Connection) -> None:
    """Of two words that rule out most, the number is tried before a dictionary is searched."""
    sql, _ = row_condition(parse("project:api session:3f model:opus cost>0.5 -tokens>9"))
    at = [sql.index(name) for name in ("e.cost_micros", "e.cache_write_5m", "e.shape", "e.talk")]
    assert at == sorted(at)
