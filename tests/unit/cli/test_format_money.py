import pytest

from ccrelay.cli.format_money import cost_of_one, dollars, dollars_or_none, price


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0.00"),
        (1, "<$0.01"),
        (4_999, "<$0.01"),
        (5_000, "$0.01"),
        (-1, ">-$0.01"),
        (-3_100_000, "-$3.10"),
        (6_844_999, "$6.84"),
        (1_031_070_000, "$1,031.07"),
        (999_995_000, "$1,000.00"),
        (2**63 - 1, "$9,223,372,036,854.78"),
        (-(2**63), "-$9,223,372,036,854.78"),
    ],
)
def test_dollars(micros: int, text: str) -> None:
    assert dollars(micros) == text


def test_nothing_is_a_dash_where_a_column_says_so() -> None:
    assert dollars_or_none(0) == "-"
    assert dollars_or_none(1) == "<$0.01"


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0.000"),
        (1, "$.0001"),
        (250, "$.0003"),
        (500, "$0.001"),
        (37_400, "$0.037"),
        (9_999_499, "$9.999"),
        (9_999_500, "$10.00"),
        (12_344_000, "$12.34"),
        (99_999_000, "$100"),
        (1_069_000, "$1.069"),
        (9_999_000_000, "$9,999"),
        (-20_000, "-$0.020"),
    ],
)
def test_the_cost_of_one_exchange(micros: int, text: str) -> None:
    assert cost_of_one(micros) == text


@pytest.mark.parametrize("micros", [0, 1, 499, 37_000, 9_999_500, 99_994_999, 9_999_499_999])
def test_the_cost_of_one_exchange_fits_its_column(micros: int) -> None:
    assert len(cost_of_one(micros)) <= 6


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0.00"),
        (3_000_000, "$3.00"),
        (75_000, "$0.075"),
        (4_125_000, "$4.125"),
        (1, "$0.000001"),
        (1_500_000_000, "$1,500.00"),
        (-500_000, "-$0.50"),
    ],
)
def test_a_price_shows_all_of_its_decimals(micros: int, text: str) -> None:
    assert price(micros) == text
