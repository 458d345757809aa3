"""Compares docs/costs.md with what the code computes."""

import re
from typing import Any

import msgspec
import pytest

from ccrelay._fast.usage import Usage
from ccrelay.config.model import Provider, ProviderType
from ccrelay.ledger import prices
from ccrelay.ledger.pricing import price_for, switch_micros
from ccrelay.ledger.record import Billing, Record
from ccrelay.ledger.tariff import tariff_at
from ccrelay.store.sums import SUM_COLUMNS, amounts
from tests.pages import text_of

PAGE = text_of("costs.md")
OPUS, GLM = "claude-opus-5-5", "glm-5.3"
TTL_S = 300.0

Turn = tuple[str, ProviderType, str, Usage, Billing, int]
TURNS: list[Turn] = [
    (
        "first turn, billed",
        "anthropic",
        OPUS,
        Usage(input=412, cache_write_5m=8_000, cache_read=120_000, output=1_500),
        Billing.TOKENS,
        0,
    ),
    (
        "second turn, moved",
        "anthropic",
        OPUS,
        Usage(input=380, cache_write_5m=131_000, output=900),
        Billing.TOKENS,
        128_000,
    ),
    (
        "under a plan",
        "zai",
        GLM,
        Usage(input=1_000, cache_read=50_000, output=800),
        Billing.PLAN,
        0,
    ),
]


def record_of(turn: Turn) -> Record:
    """The record of a turn, its money as a worker computes it."""
    _, kind, model, usage, billing, left = turn
    tariff, price = tariff_at(Provider(name="p", type=kind), model), price_for(kind, model, {})
    assert tariff is not None
    assert price is not None
    blank: dict[type, Any] = {int: 0, str: "", bool: False}
    values = {
        field.name: blank[field.type] for field in msgspec.structs.fields(Record) if field.required
    }
    values |= {name: getattr(usage, name) for name in ("input", "output", "cache_read")}
    values |= {
        "has_usage": True,
        "cache_write_5m": usage.cache_write_5m,
        "cost_micros": tariff.cost(usage),
        "uncached_micros": tariff.uncached(usage),
        "moved": bool(left),
        "moved_micros": switch_micros(price, left, TTL_S) if left else 0,
        "billing": int(billing),
    }
    return Record(**values)


def dollars(micros: int) -> str:
    """As a cell: six digits, as exact as it is."""
    return f"{'-' if micros < 0 else ''}${abs(micros) / 1e6:.6f}" if micros else "-"


def worked_example() -> str:
    """The table of the page."""
    money = ("billed", "plan", "saved", "moved_micros")
    lines = [
        "| | input | write 5 min | read | output | billed | plan | saved | lost by moves |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    all_of: dict[str, int] = dict.fromkeys(SUM_COLUMNS, 0)
    for turn in TURNS:
        usage = turn[3]
        sums = dict(zip(SUM_COLUMNS, amounts(record_of(turn)), strict=True))
        for name, amount in sums.items():
            all_of[name] += amount
        tokens = (usage.input, usage.cache_write_5m, usage.cache_read, usage.output)
        cells = [f"{count:,}" for count in tokens] + [dollars(sums[name]) for name in money]
        lines.append(f"| {turn[0]} | {' | '.join(cells)} |")
    cells = [dollars(all_of[name]) for name in money]
    lines.append(f"| all | | | | | {' | '.join(cells)} |")
    return "\n".join(lines)


def test_the_worked_example_is_what_the_code_computes() -> None:
    shown = re.search(
        r"<!-- begin: worked example -->\n(.*?)\n?<!-- end: worked example -->", PAGE, re.DOTALL
    )
    assert shown
    assert shown[1] == worked_example(), f"docs/costs.md: the table is\n{worked_example()}"


def test_the_first_turn_by_hand_is_its_cost() -> None:
    first = record_of(TURNS[0])
    assert f"= {first.cost_micros:,} millionths" in PAGE
    assert first.cost_micros == 412 * 4 + 8_000 * 5 + 24_000 + 1_500 * 20
    assert record_of(TURNS[1]).moved_micros == 128_000 * 5 - 128_000 // 5


@pytest.mark.parametrize(
    "words",
    [
        f"**{prices.PRICES_VERSION}**",
        f"x {prices.FAST_PERCENT / 100:.1f} in fast mode, "
        f"x {prices.US_PERCENT / 100:.1f} in the US",
        f"plus {prices.WEB_SEARCH_MICROS / 1e6:.2f} dollars for each web search",
    ],
)
def test_the_figures_of_the_page_are_those_of_the_table(words: str) -> None:
    assert words in PAGE


def test_the_models_with_a_fast_mode_are_named() -> None:
    assert "for Opus 4.8, 5 and 5.5" in PAGE
    assert {"claude-opus-4-8", "claude-opus-5", "claude-opus-5-5"} == prices.FAST_MODELS
