"""The table's own sense, and a few rows read off the source by hand."""

import pytest
from msgspec.structs import astuple

from ccrelay.config.model import Price, ProviderType
from ccrelay.ledger.prices import PRICES, UNBILLED, Row

TYPES: tuple[str, ...] = ProviderType.__args__  # type: ignore[attr-defined]
CLAUDE = [row for row in PRICES if row.model.startswith("claude-")]


def row_of(model: str) -> Row:
    [row] = [row for row in PRICES if row.model == model]
    return row


def test_each_model_has_one_price_per_provider_type() -> None:
    places = [(row.model.lower().replace(".", "-"), row.provider) for row in PRICES]
    assert len(set(places)) == len(places)
    priced_everywhere = {model for model, provider in places if provider == "*"}
    assert not any(model in priced_everywhere for model, provider in places if provider != "*")


def test_every_row_names_a_billed_provider_type() -> None:
    assert {row.provider for row in PRICES} <= {"*", *TYPES} - UNBILLED
    assert set(TYPES) >= UNBILLED


def test_prices_pass_configuration_validation() -> None:
    for row in PRICES:
        for price in filter(None, (row.price, row.above)):
            dollars = [column for column in astuple(price) if column is not None]
            assert all(0 <= column <= 100 for column in dollars), row.model


@pytest.mark.parametrize("row", CLAUDE, ids=[row.model for row in CLAUDE])
def test_every_column_of_a_claude_model_is_known_and_in_order(row: Row) -> None:
    for price in filter(None, (row.price, row.above)):
        read, short, long = price.cache_read, price.cache_write_5m, price.cache_write_1h
        assert read is not None
        assert short is not None
        assert long is not None
        assert 0 < read < price.input < short < long < price.output


def test_long_prompt_prices_have_a_threshold_and_cost_more() -> None:
    for row in PRICES:
        assert (row.above is None) == (row.above_tokens == 0)
        if row.above is not None:
            assert row.above.input > row.price.input
            assert row.above.output > row.price.output


@pytest.mark.parametrize(
    ("model", "columns"),
    [
        ("claude-opus-5-5", (4, 20, 5, 8, 0.2)),
        ("claude-fable-5-1", (10, 50, 12.5, 20, 0.25)),
        ("claude-haiku-5-5", (0.1, 0.5, 0.125, 0.2, 0.01)),
        ("glm-5.3", (1.4, 4.4, 0, None, 0.26)),
        ("glm-4.5-air", (0.2, 1.1, None, None, None)),
        ("bigmodel/glm-5.3-flash", (0.114286, 0.4, None, None, 0.032857)),
        ("MiniMax-M2.5", (0.3, 1.2, 0.375, None, 0.03)),
        ("kimi-k3", (3, 15, 3, 6, 0.3)),
        ("deepseek-v3.2", (0.28, 0.4, None, None, 0.028)),
    ],
)
def test_columns_match_the_source(model: str, columns: tuple[float | None, ...]) -> None:
    price = row_of(model).price
    assert (
        price.input,
        price.output,
        price.cache_write_5m,
        price.cache_write_1h,
        price.cache_read,
    ) == columns


def test_the_models_with_long_prompt_prices_are_listed() -> None:
    assert {row.model: (row.above_tokens, row.above) for row in PRICES if row.above} == {
        "claude-haiku-5-5": (
            100_000,
            Price(input=0.5, output=2.5, cache_write_5m=0.625, cache_write_1h=1.0, cache_read=0.05),
        ),
        "claude-sonnet-4-5": (
            200_000,
            Price(input=6, output=22.5, cache_write_5m=7.5, cache_write_1h=12, cache_read=0.6),
        ),
    }
