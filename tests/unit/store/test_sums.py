"""What counts, and what does not."""

import pytest

from ccrelay.ledger.record import Billing, Result
from ccrelay.store.sums import ROW_SUMS, SUM_COLUMNS, Sums, amounts, total
from tests.unit.store.making import record


def sums(**members: object) -> Sums:
    return Sums(*amounts(record(**members)))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, {"billed": 1000, "plan": 0, "saved": 2000, "unpriced": 0}),
        ({"billing": int(Billing.PLAN)}, {"billed": 0, "plan": 1000, "saved": 2000}),
        ({"billing": int(Billing.FREE)}, {"billed": 0, "plan": 0, "saved": 0, "unpriced": 0}),
        ({"cost_micros": -1, "billing": int(Billing.FREE)}, {"unpriced": 0}),
        (
            {"cost_micros": -1, "uncached_micros": -1},
            {"billed": 0, "saved": 0, "unpriced": 1, "input": 10},
        ),
        ({"cost_micros": -1, "has_usage": False}, {"unpriced": 0}),
        ({"uncached_micros": 400}, {"saved": -600}),
        ({"uncached_micros": -1}, {"saved": 0, "billed": 1000}),
        ({"moved": True, "moved_micros": 7}, {"moves": 1, "moved_micros": 7}),
        ({"result": int(Result.FAILOVER)}, {"failovers": 1, "lost": 0}),
        ({"result": int(Result.LOST)}, {"lost": 1, "failovers": 0}),
        ({"result": int(Result.PASSED_ON)}, {"passed_on": 1}),
        ({"result": int(Result.CLIENT_LEFT)}, {"client_left": 1, "lost": 0}),
        ({"result": int(Result.REFUSED)}, {"refused": 1}),
        ({"first_event_us": 0}, {"first_events": 0}),
    ],
)
def test_what_an_exchange_adds(members: dict[str, object], expected: dict[str, int]) -> None:
    found = sums(**members)
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.exchanges == 1


def test_sums_add_up() -> None:
    together = Sums()
    together.add_record(record())
    together.add(sums(billing=int(Billing.PLAN)))
    assert together == total([amounts(record()), amounts(record(billing=int(Billing.PLAN)))])
    assert (together.exchanges, together.cost_micros) == (2, 2000)
    assert total([]) == Sums()


def test_the_sums_in_sql_are_the_same() -> None:
    assert tuple(ROW_SUMS) == SUM_COLUMNS
