"""What a worker's exchanges came to."""

import pytest

from ccrelay._fast.usage import Usage
from ccrelay.ledger.record import Billing, Result
from ccrelay.relay.outcome import Outcome
from ccrelay.relay.totals import Totals
from tests.unit.relay.fakes import CONTENT, STOP, STREAM_HEAD, FakeRelay, provider
from tests.unit.relay.scenario import begin

USAGE = Usage(10, 20, 30, 40, 50, 5)


def outcome(**members: object) -> Outcome:
    made = Outcome()
    made.result = int(Result.OK)
    for name, value in members.items():
        setattr(made, name, value)
    return made


def totals(*outcomes: Outcome) -> dict[str, int]:
    """Of some exchanges; zeroes are left out."""
    made = Totals()
    for each in outcomes:
        made.add(each)
    return {name: value for name, value in made.values().items() if value}


def test_none() -> None:
    assert totals() == {}
    assert set(Totals().values()) == {
        *("exchanges", "lost", "failovers", "moves", "passed_on"),
        *("input", "output", "cache_read", "cache_write"),
        *("billed_micros", "plan_micros", "saved_micros", "moved_micros", "unpriced"),
    }


@pytest.mark.parametrize(
    ("result", "counted"),
    [
        (0, {}),
        (Result.OK, {}),
        (Result.FAILOVER, {"failovers": 1}),
        (Result.CLIENT_LEFT, {}),
        (Result.PASSED_ON, {"passed_on": 1}),
        (Result.REFUSED, {}),
        (Result.LOST, {"lost": 1}),
    ],
)
def test_results(result: int, counted: dict[str, int]) -> None:
    assert totals(outcome(result=int(result))) == {"exchanges": 1, **counted}


def test_tokens_and_money() -> None:
    priced = {"usage": USAGE, "cost_micros": 70, "uncached_micros": 100}
    assert totals(
        outcome(**priced),
        outcome(**priced, billing=int(Billing.PLAN)),
        outcome(usage=USAGE, cost_micros=0, uncached_micros=0, billing=int(Billing.FREE)),
    ) == {
        "exchanges": 3,
        "input": 30,
        "output": 60,
        "cache_read": 90,
        "cache_write": 270,
        "billed_micros": 70,
        "plan_micros": 70,
        "saved_micros": 60,
    }


def test_an_unknown_price_is_not_nothing() -> None:
    assert totals(outcome(usage=USAGE, cost_micros=-1))["unpriced"] == 1
    assert "unpriced" not in totals(outcome(usage=Usage(), cost_micros=-1))
    assert "unpriced" not in totals(outcome())


def test_moves_have_their_price() -> None:
    counted = totals(outcome(moved=True, moved_micros=970_000), outcome(moved=True))
    assert counted == {"exchanges": 2, "moves": 1, "moved_micros": 970_000}


def test_an_exchange_is_counted_when_it_is_over_and_once() -> None:
    relay = FakeRelay(provider())
    _, exchange, upstream = begin(relay)
    assert exchange.context.totals.exchanges == 0
    upstream.respond(STREAM_HEAD)
    upstream.feed(CONTENT + STOP)
    upstream.finish()
    exchange.finish(0)
    assert exchange.context.totals.exchanges == 1
