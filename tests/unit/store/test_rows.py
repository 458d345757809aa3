"""Records become rows and records again; what is too large is cut; ids are found."""

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace

from ccrelay.ledger.record import Record
from ccrelay.store import opening, pages
from ccrelay.store.filters import parse
from ccrelay.store.rows import (
    LONG_TEXT_MAX,
    NUMBER_MAX,
    TEXT_MAX,
    TRIES_MAX,
    Dictionaries,
    id_ranges,
    join_id,
    normal,
    signed,
    split_id,
)
from ccrelay.store.writes import Batch, write_batches
from tests.unit.store.making import NOON_US, attempt, record, records


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    path = str(tmp_path / "ledger.db")
    opening.prepare(path)
    return opening.open_ledger(path)


def write(connection: sqlite3.Connection, *made: Record) -> int:
    return write_batches(connection, Dictionaries(connection), [Batch("m", 0, 1, made)], 0)


def whole(connection: sqlite3.Connection) -> list[Record]:
    first, end = pages.bounds(0, 0)
    found = pages.page(connection, parse(""), first=first, end=end, limit=1000, newest_first=False)
    connection.commit()
    return [one.record for one in found]


@settings(max_examples=60, deadline=None)
@given(records())
def test_a_record_comes_back_as_it_was(made: Record) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    from ccrelay.store.schema import migrate

    migrate(connection)
    assert write(connection, made) == 0
    assert whole(connection) == [made]
    connection.close()


def test_attempts_come_back_with_the_exchange_that_is_asked_for(
    connection: sqlite3.Connection,
) -> None:
    tried = record(tries=[attempt(), attempt(status=200, verdict="answered", error="")])
    write(connection, tried)
    prefix, tail = split_id(tried.id)
    found = pages.by_id(connection, prefix, tail)
    assert found is not None
    assert found.record == tried
    connection.close()


def test_the_start_is_kept_to_the_millisecond_and_the_head_is_not(
    connection: sqlite3.Connection,
) -> None:
    write(connection, record(started_at_us=NOON_US + 1_999, head_us=5))
    assert [(one.started_at_us, one.head_us) for one in whole(connection)] == [(NOON_US + 1_000, 0)]
    connection.close()


def test_exchanges_of_one_millisecond_have_keys_of_their_own(
    connection: sqlite3.Connection,
) -> None:
    known = Dictionaries(connection)
    for at in (NOON_US, NOON_US + 5_000, NOON_US, NOON_US + 900):
        write_batches(connection, known, [Batch("m", 0, 1, [record(at, started_at_us=at)])], 0)
    again = Dictionaries(connection)  # as after a restart
    for at in (NOON_US, NOON_US + 5_000):
        write_batches(connection, again, [Batch("m", 0, 1, [record(at, started_at_us=at)])], 0)
    assert len(whole(connection)) == 6
    connection.close()


def test_what_is_too_large_is_cut_the_rest_is_the_same_object() -> None:
    plain = record(error="x" * LONG_TEXT_MAX)
    assert normal(plain) is plain
    large = record(
        session="s" * 5000,
        error="e" * 5000,
        input=1 << 63,
        cost_micros=-7,
        started_at_us=-5,
        tries=[attempt()] * 1000,
    )
    cut = normal(large)
    assert (len(cut.session), len(cut.error)) == (TEXT_MAX, LONG_TEXT_MAX)
    assert (cut.input, cut.cost_micros, cut.started_at_us) == (NUMBER_MAX, -1, 0)
    assert len(cut.tries) == TRIES_MAX
    assert normal(cut) is cut


def test_sums_of_the_largest_numbers_do_not_overflow(connection: sqlite3.Connection) -> None:
    huge = record(input=(1 << 64) - 1, cost_micros=(1 << 64) - 1, started_at_us=1 << 63)
    assert write(connection, *[replace(huge, id=f"x{number}") for number in range(1000)]) == 0
    total = connection.execute("SELECT sum(input), sum(billed) FROM rollups").fetchone()
    assert total == (1000 * NUMBER_MAX, 1000 * NUMBER_MAX)
    connection.close()


def test_a_record_that_cannot_be_stored_does_not_hold_up_the_others(
    connection: sqlite3.Connection,
) -> None:
    wrong = record(2, model="half \ud800 pair")
    assert write(connection, record(1), wrong, record(3)) == 1
    assert len(whole(connection)) == 2
    assert connection.execute("SELECT sum(exchanges) FROM rollups").fetchone()[0] == 2
    connection.close()


@given(st.text(max_size=20) | st.from_regex(r"req_ccrelay_[0-9a-f]{11,20}\Z"))
def test_an_id_is_put_together_again(name: str) -> None:
    assert join_id(*split_id(name)) == name


@given(st.from_regex(r"\A[a-c_]{1,4}[0-9a-f]{3,6}\Z"), st.data())
def test_the_ranges_of_a_beginning_hold_exactly_the_ids_that_begin_so(
    name: str, data: st.DataObject
) -> None:
    begin = name[: data.draw(st.integers(1, len(name)))]
    prefix, tail = split_id(name)
    ranges = id_ranges(begin)
    inside = any(prefix == p and low <= tail <= high for p, low, high in ranges)
    assert inside or prefix.startswith(begin)
    other = name[:-1] + ("0" if name[-1] != "0" else "1")
    if not other.startswith(begin):
        prefix, tail = split_id(other)
        assert not any(prefix == p and low <= tail <= high for p, low, high in ranges)


@given(st.integers(0, (1 << 64) - 1))
def test_a_hash_of_64_bits_keeps_its_bits(number: int) -> None:
    assert signed(number) & ((1 << 64) - 1) == number
    assert -(1 << 63) <= signed(number) < 1 << 63
