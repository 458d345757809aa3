"""How often rules matched, compared with counting one by one."""

import sqlite3

from hypothesis import given, settings, strategies as st

from ccrelay.ledger.record import Billing, Record
from ccrelay.store.filter_sql import register
from ccrelay.store.rows import Dictionaries, seq_of
from ccrelay.store.rules import RuleCount, rule_counts
from ccrelay.store.schema import SEQ_SHIFT, migrate
from ccrelay.store.writes import Batch, write_batches
from tests.unit.store.making import HOUR_US, NOON_US, record, records

NOON_MS = NOON_US // 1000


def filled(made: list[Record]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    register(connection)
    write_batches(connection, Dictionaries(connection), [Batch("m", 0, 1, made)], 0)
    return connection


@settings(max_examples=60, deadline=None)
@given(st.lists(records(), max_size=30), st.sampled_from([0, NOON_MS]))
def test_counts_are_those_of_counting(made: list[Record], since_ms: int) -> None:
    wanted: dict[str, RuleCount] = {}
    for one in made:
        at_ms = one.started_at_us // 1000
        if at_ms < since_ms or not one.strategy:
            continue
        known = wanted.setdefault(one.rule, RuleCount())
        known.matched += 1
        known.last_seq = max(known.last_seq, seq_of(at_ms))
        if one.billing in (Billing.TOKENS, Billing.PLAN):
            known.cost_micros += max(one.cost_micros, 0)
    found = rule_counts(filled(made), since_ms)
    for count in found.values():
        count.last_seq = count.last_seq >> SEQ_SHIFT << SEQ_SHIFT
    assert found == wanted


def test_a_rule_is_counted_with_its_last_match_and_cost() -> None:
    found = rule_counts(
        filled(
            [
                record(1, rule="long"),
                record(2, rule="long", started_at_us=NOON_US + HOUR_US, cost_micros=500),
                record(3, rule="free", billing=int(Billing.FREE)),
                record(4),
                record(5, strategy=""),  # not routed
            ]
        ),
        0,
    )
    assert found["long"] == RuleCount(2, seq_of((NOON_US + HOUR_US) // 1000), 1500)
    assert found["free"].cost_micros == 0
    assert found[""].matched == 1
