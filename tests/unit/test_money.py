"""One way to write an amount of money, on every face and in the text log."""

import re

import pytest
from hypothesis import given, strategies as st

from ccrelay._fast.row_line import RowLine
from ccrelay.money import cost_of_one, dollars

AMOUNTS = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0"),
        (1, "<$0.0001"),
        (49, "<$0.0001"),
        (50, "$0.0001"),
        (4_999, "$0.0050"),
        (9_949, "$0.0099"),
        (9_950, "$0.01"),
        (-1, ">-$0.0001"),
        (-250, "-$0.0003"),
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


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "$0"),
        (4, "<$0.0001"),
        (100, "$0.0001"),
        (9_949, "$0.0099"),
        (9_950, "$0.010"),
        (37_400, "$0.037"),
        (1_069_000, "$1.069"),
        (9_999_499, "$9.999"),
        (9_999_500, "$10.00"),
        (12_344_000, "$12.34"),
        (99_999_000, "$100"),
        (9_999_000_000, "$9,999"),
        (-20_000, "-$0.020"),
    ],
)
def test_the_cost_of_one_exchange(micros: int, text: str) -> None:
    assert cost_of_one(micros) == text


@given(AMOUNTS)
def test_what_is_not_nothing_is_never_written_as_nothing(micros: int) -> None:
    for text in (dollars(micros), cost_of_one(micros)):
        assert bool(re.search("[1-9]", text)) == bool(micros)
        assert ("-" in text) == (micros < 0)


@given(st.integers(0, 9_949))
def test_a_small_amount_has_the_same_digits_everywhere(micros: int) -> None:
    row = RowLine(True)
    row.put_dollars(micros or 1, False)
    assert cost_of_one(micros) == dollars(micros)
    assert row.take().decode().strip() == dollars(micros or 1)


@given(st.integers(0, 999_999_000_000))
def test_the_cost_of_one_exchange_fits_its_column(micros: int) -> None:
    assert len(cost_of_one(micros)) <= 8
