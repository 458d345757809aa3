"""Which price holds, and what tokens come to."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from ccrelay._fast.usage import Usage
from ccrelay.config.model import Price, ProviderType
from ccrelay.ledger.prices import PRICES, Row
from ccrelay.ledger.pricing import (
    PriceList,
    cost_micros,
    expected_micros,
    price_for,
    price_list,
    switch_micros,
)

PAGE = Path(__file__).parents[3] / "docs" / "costs.md"
CALM = settings(deadline=None, max_examples=200)
MILLION = 1_000_000


def known(model: str, provider_type: ProviderType = "anthropic") -> PriceList:
    found = price_for(provider_type, model, {})
    assert found is not None
    return found


OPUS = known("claude-opus-5-5")  # 4, 20, writes 5 and 8, reads 0.2 dollars
HAIKU = known("claude-haiku-5-5")  # five times as dear above 100k
GLM = known("glm-5.3", "zai")  # 1.4, 4.4, writes 0, reads 0.26


# ---- which price


@pytest.mark.parametrize("row", PRICES, ids=[row.model for row in PRICES])
def test_every_row_of_the_table_is_found_by_its_name(row: Row) -> None:
    model, provider, price, above_tokens, above = row
    where = "anthropic" if provider == "*" else provider
    assert price_for(where, model, {}) == price_list(price, above_tokens, above)


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5[1m]",
        "claude-sonnet-4-5-20250929[1M]",
        "anthropic/claude-sonnet-4-5",
        "anthropic/claude-sonnet-4.5",
        "openrouter/anthropic/claude-sonnet-4-5-20250929[1m]",
        "claude-sonnet-4-5-latest",
        "claude-sonnet-4-5-2025-09-29",
        "anthropic/claude-4.5-sonnet-20250929",
        "anthropic/claude-4.5-sonnet:thinking",
        "anthropic--claude-4.5-sonnet",
        "claude-sonnet-4-5@20250929",
        "claude-sonnet-4-5@default",
        "claude-sonnet-4-5-v2@20250929",
        "publishers/anthropic/models/claude-sonnet-4-5@20250929",
        "anthropic/claude-sonnet-4.5:beta",
        "anthropic/claude-sonnet-4.5:thinking",
        "anthropic/claude-sonnet-4.5:nitro",
        "claude-sonnet-4-5-thinking",
        "claude-sonnet-4-5-20250929-thinking",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic.claude-sonnet-4-5-20250929-v1:0:200k",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0[1m]",
        "apac.anthropic.claude-sonnet-4-5-v1",
        "bedrock/us-east-1/anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-sonnet-4-5-v1:0",
    ],
)
def test_a_name_may_have_a_date_a_window_and_a_vendor(name: str) -> None:
    assert price_for("compatible", name, {}) == known("claude-sonnet-4-5")


def test_case_does_not_matter_to_the_table() -> None:
    assert known("GLM-5.3", "zai") == GLM
    assert known("minimax-m3", "compatible") == known("MiniMax-M3", "compatible")


def test_bigmodel_rows_fall_back_on_zai_rows() -> None:
    assert known("bigmodel/glm-5.3", "zai").input == 1_142_860
    assert known("bigmodel/glm-4.7", "zai") == known("glm-4.7", "zai")


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-9",
        "claude-sonnet",
        "claude-sonnet-4-5-fast",
        "claude-sonnet-4-5-2025",
        "deepseek/deepseek-v3.2:free",
        "anthropic/claude-sonnet-4.5:free",
        "claude-sonnet-4-5-preview",
        "claude-sonnet-4-5-v1:0-mine",
        "",
        "/",
    ],
)
def test_a_similar_name_has_no_price(name: str) -> None:
    assert price_for("compatible", name, {}) is None


def test_a_price_applies_only_to_its_provider_type() -> None:
    assert price_for("anthropic", "glm-5.3", {}) is None
    assert price_for("zai", "kimi-k3", {}) is None


def test_ollama_models_have_no_price() -> None:
    assert price_for("ollama", "claude-sonnet-4-5", {}) is None
    free = price_for("ollama", "claude-sonnet-4-5", {"*": Price(input=0, output=0)})
    assert free == PriceList(0, 0, 0, 0, 0)


def dollars(input: float) -> Price:
    return Price(input=input, output=input)


def test_a_configured_price_overrides_the_table() -> None:
    found = price_for("anthropic", "claude-opus-5-5", {"claude-opus-5-5": dollars(7)})
    assert found == price_list(dollars(7))


def test_exact_names_override_globs_and_globs_apply_in_order() -> None:
    prices = {"claude-*": dollars(1), "claude-opus-*": dollars(2), "claude-opus-5": dollars(3)}

    def price_of(model: str) -> float | None:
        found = price_for("anthropic", model, prices)
        return found and found.input / MILLION

    assert price_of("claude-opus-5") == 3
    assert price_of("anthropic/claude-opus-5[1m]") == 3
    assert price_of("claude-opus-4-8") == 1
    assert price_of("glm-5.3") is None


def test_the_full_name_is_looked_up_first() -> None:
    prices = {"claude-opus-4-5": dollars(1), "claude-opus-4-5-20251101": dollars(2)}
    dated = price_for("anthropic", "claude-opus-4-5-20251101", prices)
    other = price_for("anthropic", "claude-opus-4-5-20260101", prices)
    assert dated == price_list(dollars(2))
    assert other == price_list(dollars(1))


def test_brackets_in_a_configured_glob_are_literal() -> None:
    prices = {"house-[a]*": dollars(1)}
    assert price_for("compatible", "house-a1", prices) is None
    assert price_for("compatible", "house-[a]1", prices) is not None


def test_missing_prices_default_to_the_input_price() -> None:
    assert price_list(Price(input=3, output=15)) == PriceList(
        input=3 * MILLION,
        output=15 * MILLION,
        cache_read=3 * MILLION,
        cache_write_5m=3 * MILLION,
        cache_write_1h=3 * MILLION,
    )
    assert price_list(Price(input=3, output=15, cache_read=0)).cache_read == 0


def test_prices_are_stored_exactly() -> None:
    assert price_list(Price(input=2.01, output=0.032857)) == PriceList(
        input=2_010_000,
        output=32_857,
        cache_read=2_010_000,
        cache_write_5m=2_010_000,
        cache_write_1h=2_010_000,
    )


# ---- what an exchange cost


def test_each_kind_of_token_has_its_price() -> None:
    for kind, micros in {
        "input": 4,
        "output": 20,
        "cache_write_5m": 5,
        "cache_write_1h": 8,
    }.items():
        assert cost_micros(OPUS, Usage(**{kind: 1})) == micros, kind
    assert cost_micros(OPUS, Usage(cache_read=10)) == 2


def test_thinking_tokens_are_not_billed_twice() -> None:
    assert cost_micros(OPUS, Usage(output=100, thinking=90)) == 2000


def test_a_typical_claude_code_turn_costs_as_computed_by_hand() -> None:
    usage = Usage(input=7, cache_read=90_000, cache_write_5m=400, output=345)
    assert cost_micros(OPUS, usage) == 28 + 18_000 + 2_000 + 6_900


def test_a_write_price_of_zero_stays_zero() -> None:
    assert cost_micros(GLM, Usage(cache_write_5m=1000)) == 0
    assert cost_micros(GLM, Usage(cache_write_1h=1000)) == 1400


def test_a_long_prompt_pays_the_higher_price_for_all_tokens() -> None:
    assert cost_micros(HAIKU, Usage(input=100_000)) == 10_000
    assert cost_micros(HAIKU, Usage(input=100_001)) == 50_001  # 50,000.5


def test_the_threshold_counts_all_prompt_tokens_and_no_output() -> None:
    parts = Usage(input=1, cache_read=50_000, cache_write_5m=25_000, cache_write_1h=25_000)
    assert cost_micros(HAIKU, parts) == round(0.5 + 2_500 + 15_625 + 25_000)
    assert cost_micros(HAIKU, Usage(input=1, output=200_000)) == 100_000


def test_half_a_millionth_is_rounded_up() -> None:
    assert cost_micros(HAIKU, Usage(input=4)) == 0  # 0.4
    assert cost_micros(HAIKU, Usage(input=5)) == 1  # 0.5
    assert cost_micros(HAIKU, Usage()) == 0


TOKENS = st.integers(0, 1 << 48)
ROWS = st.sampled_from(PRICES)


@CALM
@given(row=ROWS, counts=st.tuples(TOKENS, TOKENS, TOKENS, TOKENS, TOKENS))
def test_costs_are_exact_for_any_number_of_tokens(row: Row, counts: tuple[int, ...]) -> None:
    _, _, price, above_tokens, above = row
    usage = Usage(*counts)
    prompt = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
    used = above if above is not None and prompt > above_tokens else price
    kinds = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    exact = Fraction(0)
    for kind in kinds:
        column = getattr(used, kind)
        exact += getattr(usage, kind) * Fraction(str(used.input if column is None else column))
    cost = cost_micros(price_list(price, above_tokens, above), usage)
    assert isinstance(cost, int)
    assert -Fraction(1, 2) < cost - exact <= Fraction(1, 2)


# ---- what a turn would cost


def test_fresh_tokens_cost_the_write_price_of_the_cache_ttl() -> None:
    def turn(ttl_s: float) -> float:
        return expected_micros(
            OPUS, fresh_tokens=1000, cached_tokens=50_000, output_tokens=100, ttl_s=ttl_s
        )

    assert turn(300.0) == 5_000 + 10_000 + 2_000
    assert turn(3600.0) == 8_000 + 10_000 + 2_000


def test_fresh_tokens_never_cost_less_than_input() -> None:
    turn = expected_micros(GLM, fresh_tokens=1000, cached_tokens=0, output_tokens=0, ttl_s=300.0)
    assert turn == 1400


def test_a_long_turn_is_estimated_at_the_higher_price() -> None:
    turn = expected_micros(
        HAIKU, fresh_tokens=1, cached_tokens=100_000, output_tokens=1000, ttl_s=300.0
    )
    assert turn == pytest.approx(0.625 + 5_000 + 2_500)


@CALM
@given(row=ROWS, prompt=st.integers(0, 1_000_000), cached=st.integers(0, 1_000_000))
def test_a_warm_prefix_saves_the_switch_cost(row: Row, prompt: int, cached: int) -> None:
    _, _, price, _, _ = row
    cached = min(prompt, cached)
    listed = price_list(price)

    def turn(warm: int) -> float:
        return expected_micros(
            listed, fresh_tokens=prompt - warm, cached_tokens=warm, output_tokens=500, ttl_s=300.0
        )

    assert turn(cached) <= turn(0)
    assert switch_micros(listed, cached, 300.0) == pytest.approx(turn(0) - turn(cached), abs=0.51)


def test_a_switch_costs_write_minus_read() -> None:
    assert switch_micros(OPUS, 100_000, 300.0) == 480_000
    assert switch_micros(OPUS, 100_000, 3600.0) == 780_000
    assert switch_micros(HAIKU, 200_000, 300.0) == 115_000
    assert switch_micros(OPUS, 0, 300.0) == 0


def test_a_switch_is_free_when_the_cache_saves_nothing() -> None:
    plain = price_list(Price(input=3, output=15))
    odd = price_list(Price(input=1, output=1, cache_read=2))
    assert switch_micros(plain, 100_000, 300.0) == 0
    assert switch_micros(odd, 100_000, 300.0) == 0


def test_the_docs_match_the_switch_costs_of_this_table() -> None:
    told = re.findall(r"^\| `(\S+)` \| \$(\S+) \| \$(\S+) \| \$(\S+) \|$", PAGE.read_text(), re.M)
    assert len(told) == 4
    for model, *figures in told:
        price = known(model, "zai" if model.startswith("glm") else "anthropic")
        read = cost_micros(price, Usage(cache_read=100_000))
        lost = switch_micros(price, 100_000, 300.0)
        assert figures == [f"{micros / MILLION:.3f}" for micros in (read, read + lost, lost)]
    hour = switch_micros(OPUS, 100_000, 3600.0) / MILLION
    assert f"With the one-hour cache Opus loses ${hour:.2f}." in PAGE.read_text()
