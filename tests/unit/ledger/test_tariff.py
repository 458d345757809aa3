"""The compiled tariff comes to what the rules in `ledger.pricing` say."""

import pytest
from hypothesis import example, given, settings, strategies as st

from ccrelay._fast.usage import Usage
from ccrelay.config.model import Price, Provider, ProviderType
from ccrelay.ledger.prices import PRICES, PRICES_VERSION, Row
from ccrelay.ledger.pricing import cost_micros, percent_for, price_for, uncached_micros
from ccrelay.ledger.tariff import MICROS_MAX, Tariff, tariff_at

CALM = settings(deadline=None, max_examples=300)
tokens = st.one_of(st.integers(0, 300_000), st.sampled_from([0, 1, 1 << 40, 1 << 48]))
usages = st.builds(
    Usage,
    tokens,
    tokens,
    tokens,
    tokens,
    tokens,
    searches=st.sampled_from([0, 0, 1, 3, 1 << 48]),
    fast=st.booleans(),
    in_us=st.booleans(),
)
PROVIDERS: dict[str, ProviderType] = {"*": "anthropic"}


def known(
    model: str, kind: ProviderType = "anthropic", prices: dict[str, Price] | None = None
) -> Tariff:
    found = tariff_at(Provider(name="p", type=kind, prices=prices or {}), model)
    assert found is not None
    return found


@CALM
@given(st.sampled_from(PRICES), usages)
@example(PRICES[10], Usage(100_001, 5))
@example(PRICES[0], Usage(1 << 48, 1 << 48, 1 << 48, 1 << 48, 1 << 48))
def test_a_tariff_is_as_exact_as_the_rules(row: Row, usage: Usage) -> None:
    kind = PROVIDERS.get(row.provider, row.provider)
    price = price_for(kind, row.model, {})  # type: ignore[arg-type]
    assert price is not None
    tariff = known(row.model, kind)  # type: ignore[arg-type]
    percent = percent_for(row.model, usage)
    assert tariff.cost(usage) == min(cost_micros(price, usage, percent), MICROS_MAX)
    assert tariff.uncached(usage) == min(uncached_micros(price, usage, percent), MICROS_MAX)


@CALM
@given(st.floats(0, 1e7), st.floats(0, 1e7), usages)
@example(1e300, 0.0, Usage(1, 1))
def test_any_configured_price_is_charged(input: float, output: float, usage: Usage) -> None:
    prices = {"m": Price(input=input, output=output)}
    price = price_for("compatible", "m", prices)
    assert price is not None
    assert known("m", "compatible", prices).cost(usage) == min(
        cost_micros(price, usage), MICROS_MAX
    )


def test_the_version_names_where_the_price_is_from() -> None:
    price = Price(input=1.0, output=2.0)
    assert known("claude-opus-5").version == PRICES_VERSION
    assert known("claude-opus-5", prices={"claude-opus-5": price}).version == "config"
    assert known("claude-opus-5-20260101", prices={"claude-*": price}).version == "config"
    assert known("claude-opus-5", prices={"other": price}).version == PRICES_VERSION


@pytest.mark.parametrize(
    ("kind", "model"), [("compatible", "nobody-knows"), ("ollama", "claude-opus-5")]
)
def test_a_model_without_price_has_no_tariff(kind: ProviderType, model: str) -> None:
    assert tariff_at(Provider(name="p", type=kind), model) is None


@pytest.mark.parametrize(
    ("model", "usage", "micros"),
    [
        ("claude-opus-5", Usage(1000, 100), 7_500),
        ("claude-opus-5", Usage(1000, 100, fast=True), 15_000),
        ("claude-opus-5", Usage(1000, 100, in_us=True), 8_250),
        ("claude-opus-5", Usage(1000, 100, fast=True, in_us=True), 16_500),
        ("anthropic/claude-opus-5.5", Usage(1000, 100, fast=True), 12_000),
        ("claude-sonnet-5", Usage(1000, 100, fast=True), 3_000),  # no fast mode has a price
        ("claude-opus-5", Usage(1000, 100, searches=2), 27_500),
        ("claude-opus-5", Usage(1000, 100, searches=2, fast=True), 35_000),
    ],
)
def test_fast_mode_region_and_searches_are_priced(model: str, usage: Usage, micros: int) -> None:
    assert known(model).cost(usage) == micros


def test_without_a_cache_the_whole_prompt_is_input() -> None:
    usage = Usage(1000, 100, 10_000, 2000, 3000)
    tariff = known("claude-opus-5")
    assert tariff.uncached(usage) == tariff.cost(Usage(16_000, 100)) == 82_500
    assert tariff.cost(usage) == 5_000 + 2_500 + 5_000 + 12_500 + 30_000
    assert "2026" in repr(tariff)
