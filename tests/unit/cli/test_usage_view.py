"""The layouts of `ccrelay usage` and `ccrelay prices`."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from ccrelay.cli.cells import width_of
from ccrelay.cli.time_range import Range
from ccrelay.cli.usage_view import DIMENSIONS, prices_lines, title, usage_lines
from ccrelay.v1 import providers_pb2 as pb, usage_pb2 as us
from tests.unit.cli import examples
from tests.unit.cli.served import at, day, plain, zone
from tests.unit.cli.test_cells import NAMES

pytestmark = pytest.mark.usefixtures("zone")
__all__ = ["zone"]
NOW = day("14:32:08")
WEEK = Range(at("2026-11-27 00:00:00"), 0)

# Word by word and width by width that of the design.
AT_120 = """\
Fri 27 Nov to Thu 3 Dec, by model that answered

MODEL              EXCHANGES   INPUT  C.WRITE   C.READ  OUTPUT  HITS    BILLED    PLANS      SAVED
claude-opus-5-5          868   1.11M   10.64M  205.80M   1.27M  95 %   $100.44   $24.88    $776.31
claude-sonnet-5-5      1,084  551.6k    6.62M  124.61M   1.07M  95 %    $19.80   $21.21    $234.17
claude-haiku-5-5         448   1.36M    3.06M   28.60M  455.0k  87 %     $0.91    $0.12      $2.50
glm-5.3                  297   2.06M        -   15.87M  312.3k  89 %         -    $8.38     $18.09
──────────────────────────────────────────────────────────────────────────────────────────────────
all                    2,697   5.08M   20.31M  374.88M   3.11M  94 %   $121.15   $54.59  $1,031.07

Lost by moves: $1.43 (a warm cache was left 4 times). Today should end near $37.60 at list price.
Prices of 2026-11-22; 0 exchanges without a known price.
"""
AT_80 = """\
Fri 27 Nov to Thu 3 Dec, by model that answered

MODEL       EXCHANGES   INPUT  C.WRITE   C.READ  OUTPUT  HITS    BILLED    PLANS
opus-5-5          868   1.11M   10.64M  205.80M   1.27M  95 %   $100.44   $24.88
sonnet-5-5      1,084  551.6k    6.62M  124.61M   1.07M  95 %    $19.80   $21.21
haiku-5-5         448   1.36M    3.06M   28.60M  455.0k  87 %     $0.91    $0.12
glm-5.3           297   2.06M        -   15.87M  312.3k  89 %         -    $8.38
────────────────────────────────────────────────────────────────────────────────
all             2,697   5.08M   20.31M  374.88M   3.11M  94 %   $121.15   $54.59

Billed $121.15, covered by plans $54.59 at list price, saved by caches
$1,031.07.
Lost by moves: $1.43 (a warm cache was left 4 times). Today should end near
$37.60 at list price.
Prices of 2026-11-22; 0 exchanges without a known price.
"""
PRICES = """\
US dollars per million tokens; built-in prices of 2026-11-22, 1 price of the
configuration (*).

MODEL            OF         ABOVE  INPUT  OUTPUT  C.READ  C.WRITE 5M  C.WRITE 1H
claude-*         bedrock*       -  $3.30  $16.50   $0.33      $4.125       $6.60
claude-opus-5-5  all            -  $5.00  $25.00   $0.50       $6.25      $10.00
glm-5.3          zai       200.0k  $0.60   $2.20   $0.11           -           -
"""


def lines(answer: us.QueryResponse, by: list[str], width: int = 120, **how: Any) -> list[str]:
    return usage_lines(answer, by, WEEK, NOW, plain(width), **how)


@pytest.mark.parametrize(("width", "text"), [(120, AT_120), (98, AT_120), (80, AT_80)])
def test_it_is_the_design(width: int, text: str) -> None:
    shown = "\n".join(lines(examples.usage(), ["model"], width)) + "\n"
    assert shown.splitlines()[:9] == text.splitlines()[:9]
    assert shown.replace("\n", " ") == text.replace("\n", " ")


def test_prices() -> None:
    assert "\n".join(prices_lines(examples.prices(), plain())) + "\n" == PRICES
    assert "Set one: providers[].prices." in prices_lines(us.PricesResponse(), plain())[-1]


def row(*group: str, **figures: int) -> us.UsageRow:
    return us.UsageRow(group=group, totals=pb.Totals(exchanges=3, **figures))


def test_what_has_no_price_is_marked() -> None:
    answer = us.QueryResponse(
        rows=[row("a", unpriced=1), row("b", unpriced=1, billed_micros=20_000)],
        total=pb.Totals(exchanges=6, unpriced=4, billed_micros=20_000, saved_micros=-3_100_000),
    )
    shown = lines(answer, ["model"])
    assert shown[3].split()[7] == "?"
    assert shown[4].split()[7] == "$0.02?"
    assert shown[6].endswith("$0.02?        -     -$3.10")
    assert shown[-1] == "Prices of an unknown date; 4 exchanges without a known price."


def test_two_groups_and_the_forms_of_their_values() -> None:
    answer = us.QueryResponse(
        rows=[row("2026-12-03T14", "3f8c41aa-9b0e"), row("2026-12-03T15", "")],
        total=pb.Totals(exchanges=6),
    )
    shown = lines(answer, ["hour", "session"])
    assert shown[0].endswith("by hour and session")
    assert shown[3].startswith("2026-12-03 14:00  3f8c41aa-9b0e")
    assert shown[4].startswith("2026-12-03 15:00  -")
    assert "3f8c41aa " in lines(answer, ["hour", "session"], 80)[3]


def test_without_a_group_there_is_one_row() -> None:
    answer = us.QueryResponse(rows=[row()], total=pb.Totals(exchanges=3))
    shown = lines(answer, [])
    assert shown[0] == "Fri 27 Nov to Thu 3 Dec"
    assert shown[3].startswith("all          3")
    assert len(shown) == 6


def test_one_row_needs_no_sum() -> None:
    answer = us.QueryResponse(rows=[row("m")], total=pb.Totals(exchanges=3))
    assert not any(line.startswith("all") for line in lines(answer, ["model"]))


def test_nothing_says_what_to_do() -> None:
    shown = lines(us.QueryResponse(), ["model"], text="provider:zai")
    assert shown[0].endswith(", only provider:zai")
    assert shown[-1] == "No exchanges in this time. Longer ago: ccrelay usage --since 30d"


@pytest.mark.parametrize(
    ("since", "until", "text"),
    [
        (0, 0, "All until Thu 3 Dec"),
        (at("2026-12-03 00:00:00"), 0, "Thu 3 Dec"),
        (at("2026-12-02 00:00:00"), at("2026-12-03 00:00:00"), "Wed 2 Dec"),
        (at("2026-12-02 14:32:08"), 0, "Wed 2 Dec 14:32 to Thu 3 Dec 14:32"),
        (at("2026-12-03 13:02:08"), 0, "Thu 3 Dec 13:02 to 14:32"),
        (0, at("2026-12-02 10:00:00"), "All until Wed 2 Dec"),
        (at("2025-12-03 00:00:00"), 0, "Wed 3 Dec 2025 to Thu 3 Dec"),
    ],
)
def test_the_time_is_said(since: int, until: int, text: str) -> None:
    assert title((), Range(since, until), NOW, "") == text


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(NAMES, min_size=3, max_size=3),
    st.sampled_from([20, 40, 80, 120, 140]),
    st.sampled_from(list(DIMENSIONS)),
    st.integers(0, 2**62),
)
def test_no_line_is_longer_than_the_width_for_any_names(
    names: list[str], width: int, by: str, number: int
) -> None:
    answer = us.QueryResponse(rows=[row(names[0]), row(names[1])], prices_version=names[2])
    answer.total.exchanges, answer.total.moves = 6, number
    answer.total.moved_micros = answer.today_expected_micros = number
    prices = examples.prices()
    prices.prices[0].model, prices.prices[0].provider, prices.version = names
    screen = plain(width)
    every = usage_lines(answer, [by], WEEK, NOW, screen, text=names[2])
    for line in [*every, *prices_lines(prices, screen)]:
        assert width_of(line) <= width
        assert line.isprintable()


def test_models_can_be_told_apart_at_80_columns() -> None:
    names = ("claude-sonnet-4-5", "claude-sonnet-4-6", "claude-sonnet-4-5")
    prices = [
        us.ModelPrice(
            model=name, provider="*", input_micros=3_000_000, output_micros=15_000_000,
            cache_read_micros=300_000, cache_write_5m_micros=3_750_000,
            cache_write_1h_micros=16_000_000, above_tokens=200_000 * (at == 2),
        )
        for at, name in enumerate(names)
    ]  # fmt: skip
    rows = prices_lines(us.PricesResponse(prices=prices), plain(60))[-3:]
    assert [row.split()[0] for row in rows] == list(names)
    assert [row.split()[2] for row in rows] == ["-", "-", "200.0k"]


def test_names_of_a_column_are_all_short_or_all_whole() -> None:
    names = ("claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5")
    rows = [us.UsageRow(group=[name], totals=pb.Totals(exchanges=1)) for name in names]
    answer = us.QueryResponse(rows=rows, total=pb.Totals(exchanges=3))
    seen = set()
    for width in range(20, 120):
        lines = usage_lines(answer, ["model"], WEEK, NOW, plain(width))
        whole = sum(line.startswith("claude-") for line in lines)
        assert whole in (0, 3), width
        seen.add(whole)
    assert seen == {0, 3}


@pytest.mark.parametrize("by", [["model"], ["day", "model"], ["provider", "class"]])
@pytest.mark.parametrize("width", [40, 50, 60, 80, 100])
def test_what_was_paid_is_the_last_figure_to_be_left_out(width: int, by: list[str]) -> None:
    names = [{"day": "2026-12-03"}.get(name, "a-name-that-is-long") for name in by]
    paid = pb.Totals(exchanges=1, billed_micros=12_340_000)
    answer = us.QueryResponse(rows=[us.UsageRow(group=names, totals=paid)], total=paid)
    found = [line.split() for line in lines(answer, by, width)]
    at = next(at for at, words in enumerate(found) if {"DAY", "MODEL", "PROVIDER"} & {*words})
    assert "BILLED" in found[at]
    assert "$12.34" in found[at + 1]


def test_today_is_foreseen_where_the_time_asked_for_goes_on() -> None:
    for until, is_said in ((0, True), (NOW + 1, True), (NOW, False)):
        shown = usage_lines(
            examples.usage(), ["model"], Range(WEEK.since_ms, until), NOW, plain(120)
        )
        assert any("Today should end" in line for line in shown) is is_said
