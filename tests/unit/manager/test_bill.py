"""Lines of bills add up to the cost that was recorded, or have no price."""

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from ccrelay._fast.usage import Usage
from ccrelay.config.model import Price, Provider
from ccrelay.ledger.prices import FAST_PERCENT, PRICES, US_PERCENT, WEB_SEARCH_MICROS
from ccrelay.ledger.pricing import cost_micros, price_for, uncached_micros
from ccrelay.ledger.record import Billing, Record
from ccrelay.manager.bill import bill_of, prices_of
from tests.unit.store.making import record

KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
OWN = Provider(name="zai", type="zai", prices={"glm-*": Price(input=0.1, output=0.7)})
PROVIDERS = [Provider(name="anthropic", type="anthropic"), OWN]


def costing(
    provider: Provider, sent: str, *, percent: int = 100, searches: int = 0, **tokens: int
) -> Record:
    made = record(provider=provider.name, sent=sent, **tokens)
    price = price_for(provider.type, sent, provider.prices)
    assert price is not None
    usage = Usage(searches=searches, **{name: getattr(made, name) for name in KINDS})
    return replace(
        made,
        cost_micros=cost_micros(price, usage, percent),
        uncached_micros=uncached_micros(price, usage, percent),
    )


@pytest.mark.parametrize("provider", PROVIDERS)
@given(
    tokens=st.fixed_dictionaries(
        {
            name: st.integers(0, 300_000)
            for name in ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
        }
    )
)
def test_lines_add_up(provider: Provider, tokens: dict[str, int]) -> None:
    sent = "glm-5.3" if provider.name == "zai" else "claude-sonnet-4-5"  # dearer above a threshold
    made = costing(provider, sent, **tokens)
    lines = bill_of(made, PROVIDERS)
    assert sum(line.micros for line in lines) == made.cost_micros
    assert {line.item: line.tokens for line in lines} == {n: t for n, t in tokens.items() if t}


def test_prices_are_shown_per_million() -> None:
    (output,) = bill_of(
        costing(
            OWN, "glm-5.3", input=0, output=1000, cache_read=0, cache_write_5m=0, cache_write_1h=0
        ),
        PROVIDERS,
    )
    assert (output.price_micros, output.micros) == (700_000, 700)


@pytest.mark.parametrize(
    "made",
    [
        record(cost_micros=-1),
        record(cost_micros=10**9),  # by another table
        record(provider="gone"),
        record(provider="anthropic", sent="no-such-model"),
        record(billing=int(Billing.FREE), cost_micros=-1),
    ],
)
def test_without_the_price_of_then_tokens_have_none(made: Record) -> None:
    lines = bill_of(made, PROVIDERS)
    tokens = [line for line in lines if line.tokens]
    assert [line.item for line in tokens] == [
        *("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")
    ]
    assert all(line.price_micros == line.micros == 0 for line in tokens)
    others = [(line.item, line.micros) for line in lines if not line.tokens]
    assert others == ([("otherwise", made.cost_micros)] if made.cost_micros > 0 else [])


TOKENS = {
    "input": 1234,
    "output": 321,
    "cache_read": 80_001,
    "cache_write_5m": 777,
    "cache_write_1h": 0,
}


@pytest.mark.parametrize(
    ("percent", "searches", "surcharges"),
    [
        (FAST_PERCENT, 0, ["fast_mode"]),
        (US_PERCENT, 0, ["inference_us"]),
        (FAST_PERCENT * US_PERCENT // 100, 0, ["fast_mode", "inference_us"]),
        (100, 3, ["web_search"]),
        (FAST_PERCENT, 1, ["fast_mode", "web_search"]),
    ],
)
def test_surcharges_are_lines_of_their_own(
    percent: int, searches: int, surcharges: list[str]
) -> None:
    made = costing(PROVIDERS[0], "claude-opus-5", percent=percent, searches=searches, **TOKENS)
    lines = bill_of(made, PROVIDERS)
    assert sum(line.micros for line in lines) == made.cost_micros
    plain = bill_of(costing(PROVIDERS[0], "claude-opus-5", **TOKENS), PROVIDERS)
    assert lines[: len(plain)] == plain
    assert [line.item for line in lines[len(plain) :]] == surcharges
    found = {line.item: line for line in lines}
    if searches:
        assert (found["web_search"].tokens, found["web_search"].micros) == (
            searches,
            searches * WEB_SEARCH_MICROS,
        )


def test_a_search_of_a_model_that_costs_nothing_else() -> None:
    free = Provider(
        name="own", type="anthropic", prices={"claude-opus-5": Price(input=0, output=0)}
    )
    made = costing(free, "claude-opus-5", searches=2, **TOKENS)
    last = bill_of(made, [free])[-1]
    assert (last.item, last.tokens, last.micros) == ("web_search", 2, 20_000)


def test_nothing_is_inferred_where_two_surcharges_fit_or_none() -> None:
    # 2000 input tokens at 5 dollars are one cent, as is one search: fast mode, or a search?
    none = dict.fromkeys(KINDS, 0)
    made = costing(PROVIDERS[0], "claude-opus-5", percent=200, **{**none, "input": 2000})
    assert [(line.item, line.micros) for line in bill_of(made, PROVIDERS)] == [
        ("input", 0),
        ("otherwise", 20_000),
    ]
    made = costing(PROVIDERS[0], "claude-sonnet-5", percent=200, **TOKENS)  # has no fast mode
    assert bill_of(made, PROVIDERS)[-1].item == "otherwise"
    made = costing(PROVIDERS[0], "claude-opus-5", percent=200, **TOKENS)
    made = replace(made, uncached_micros=made.uncached_micros + 1)
    assert bill_of(made, PROVIDERS)[-1].item == "otherwise"


def test_without_usage_there_is_no_bill() -> None:
    assert bill_of(record(has_usage=False), PROVIDERS) == []


def test_prices_of_the_configuration_come_first() -> None:
    rows = prices_of(PROVIDERS)
    assert (rows[0].model, rows[0].provider, rows[0].configured) == ("glm-*", "zai", True)
    assert (rows[0].input_micros, rows[0].cache_read_micros) == (100_000, 100_000)
    longer = [row for row in rows if row.above_tokens]
    assert len(rows) == 1 + len(PRICES) + len(longer)
    assert {row.model for row in longer} == {row.model for row in PRICES if row.above}
    assert all(not row.configured for row in rows[1:])
