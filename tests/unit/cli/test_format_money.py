import pytest

from ccrelay.cli.format_money import dollars_or_none, price


def test_nothing_is_a_dash_where_a_column_says_so() -> None:
    assert dollars_or_none(0) == "-"
    assert dollars_or_none(1) == "<$0.0001"


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
