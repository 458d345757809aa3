"""Records and sums in the words of the schema."""

from ccrelay.ledger.record import Billing, Result
from ccrelay.manager.convert import cost_of, exchange_of, totals_of
from ccrelay.store.rows import NUMBER_MAX, normal
from ccrelay.store.sums import Sums, amounts
from ccrelay.v1 import exchanges_pb2, providers_pb2
from tests.unit.store.making import NOON_US, record


def test_an_exchange_has_every_field() -> None:
    full = record(
        traffic=2,
        agent="a",
        rule="r",
        error="e",
        moved=True,
        moved_micros=5,
        queued_us=1500,
        sent="glm-5.3",
    )
    exchange = exchange_of(full)
    assert {field.name for field, _ in exchange.ListFields()} == {
        field.name for field in exchanges_pb2.Exchange.DESCRIPTOR.fields
    }
    assert exchange.started_at_ms == NOON_US // 1000
    assert (exchange.duration_ms, exchange.first_event_ms, exchange.queued_ms) == (2500, 900, 1.5)
    assert (exchange.kind, exchange.traffic_class) == ("messages", "subagent")
    assert (exchange.key, exchange.key_fingerprint) == ("team-a", "hmac:04f4a1b2")
    assert exchange.conversation == "fedcba9876543210"
    assert exchange.outcome == exchanges_pb2.OUTCOME_OK
    assert exchange.cost.billing == providers_pb2.BILLING_TOKENS


def test_a_key_without_a_name_is_shown_by_its_fingerprint() -> None:
    assert exchange_of(record(key_name="")).key == "hmac:04f4a1b2"


def test_a_cost_that_is_not_known_has_no_amounts() -> None:
    cost = cost_of(record(cost_micros=-1, uncached_micros=9, moved_micros=9))
    assert (cost.known, cost.micros, cost.uncached_micros, cost.moved_micros) == (False, 0, 0, 0)
    assert cost_of(record(cost_micros=-1, billing=int(Billing.FREE))).known


def test_the_largest_and_strangest_values_fit() -> None:
    strange = dict.fromkeys(("status", "own_us", "attempts", "cost_micros", "input"), 1 << 63)
    exchange = exchange_of(normal(record(**strange, session="\x1b[31m\x00", result=99, kind=99)))
    assert exchange.own_us == (1 << 32) - 1
    assert exchange.tokens.input == NUMBER_MAX
    assert exchange.session == "\x1b[31m\x00"  # escaped by whoever shows it


def test_totals_have_every_field() -> None:
    sums = Sums(*range(1, len(Sums.__struct_fields__) + 1))
    totals = totals_of(sums)
    assert len(totals.ListFields()) == len(providers_pb2.Totals.DESCRIPTOR.fields)
    assert totals.cache_write_tokens == sums.cache_write_5m + sums.cache_write_1h
    assert totals_of(Sums(*amounts(record(result=int(Result.LOST))))).lost == 1
