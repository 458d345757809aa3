"""Rows of the text log: cells and figures."""

import unicodedata
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from ccrelay._fast.row_line import RowLine

INT64_MAX = (1 << 63) - 1
ANY_TEXT = st.text(st.characters(exclude_categories=()))
INTEGERS = st.integers(-(1 << 63), INT64_MAX)


def cell(columns: int, *puts: Any, is_utf8: bool = True) -> str:
    """What a cell shows; a tuple is put as a part, an int as a count. Less the blank behind it."""
    row = RowLine(is_utf8)
    row.start(b"", 0)
    row.open(columns)
    for put in puts:
        if isinstance(put, tuple):
            row.put_part(*put)
        elif isinstance(put, int):
            row.put_count(put)
        else:
            row.put(put)
    row.close()
    shown = row.take().decode()
    assert shown.endswith(" ")
    return shown[:-1]


def columns_of(text: str) -> int:
    """Columns of a terminal."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


@given(
    st.integers(1, 40),
    st.lists(st.one_of(ANY_TEXT, st.tuples(ANY_TEXT, st.integers(-1, 20)), st.binary())),
    st.booleans(),
)
@example(10, ["abc", ("x", -1)], True)  # no room at all for a part
@example(10, [("é", -1), ("abc", 3), "x"], False)
def test_a_cell_is_as_wide_as_it_was_opened(columns: int, puts: list[Any], is_utf8: bool) -> None:
    shown = cell(columns, *puts, is_utf8=is_utf8)
    assert columns_of(shown) == columns
    assert shown.isprintable()
    assert is_utf8 or shown.isascii()


def test_a_number_that_is_too_wide_is_cut_with_what_follows() -> None:
    assert cell(3, 12345, "x", ("y", 2)) == "…  "


@pytest.mark.parametrize(
    ("puts", "utf8", "ascii"),
    [
        (("payments",), "payments  ", "payments  "),
        (("0123456789",), "0123456789", "0123456789"),
        (("0123456789a",), "012345678…", "0123456..."),
        (("0123456789", "a"), "012345678…", "0123456..."),
        (("01234567", "89a", "b"), "012345678…", "0123456..."),
        ((("payments", 5), " main"), "paym… main", "pa... main"),
        ((("api", 5), " main"), "api main  ", "api main  "),
        ((b"bytes", " ", 12, None), "bytes 12  ", "bytes 12  "),
        (("a\x1b[2Jb",), "a\\u001b[2…", "a\\u001b..."),
        (("B\u00fcro",), "B\u00fcro      ", "B\\u00fcro "),
        (("\u9375\u9375\u9375\u9375\u9375",), "\u9375\u9375\u9375\u9375\u9375", "\\u9375... "),
        (("\u9375\u9375\u9375\u9375\u9375\u9375",), "\u9375\u9375\u9375\u9375… ", "\\u9375... "),
        (("a\u0301",), "a\\u0301   ", "a\\u0301   "),
        (("\u202eevil",), "\\u202eevil"[:10], "\\u202eevil"[:10]),
        ((b"\xff",), "\\xff      ", "\\xff      "),
    ],
)
def test_a_cell_cuts_and_escapes(puts: tuple[Any, ...], utf8: str, ascii: str) -> None:
    assert cell(10, *puts) == utf8
    assert cell(10, *puts, is_utf8=False) == ascii


def test_a_huge_text_is_not_looked_at_whole() -> None:
    assert cell(10, "x" * 10_000_000) == "x" * 9 + "…"
    assert cell(10, "\u9375" * 1_000_000).rstrip().endswith("…")


def test_text_of_a_cell_that_is_no_text_is_an_error() -> None:
    with pytest.raises(TypeError, match="must be str or None"):
        cell(10, 1.5)


def figure(method: str, *values: Any) -> str:
    row = RowLine(True)
    row.start(b"", 0)
    getattr(row, method)(*values)
    return row.take().decode()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1.0, "     - "),
        (float("nan"), "     - "),
        (float("inf"), "     - "),
        (0.0, " <1 ms "),
        (0.0009, " <1 ms "),
        (0.00096, "  1 ms "),
        (0.0099, " 10 ms "),
        (0.00996, "0.01 s "),
        (0.93, "0.93 s "),
        (9.994, "9.99 s "),
        (9.996, "10.0 s "),
        (38.2, "38.2 s "),
        (99.94, "99.9 s "),
        (99.96, " 100 s "),
        (999.4, " 999 s "),
        (999.6, "17 min "),
        (5969.0, "99 min "),
        (5971.0, "   2 h "),
        (3e6, " 833 h "),
        (4e6, "     - "),
    ],
)
def test_durations_have_three_digits(seconds: float, shown: str) -> None:
    assert figure("put_seconds", seconds) == shown


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        (-5, "0"),
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (9949, "9.9k"),
        (9950, "10k"),
        (184_300, "184k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (205_800_000, "206M"),
        (10**9, "1G"),
        (10**12, ">1T"),
        (INT64_MAX, ">1T"),
    ],
)
def test_tokens_have_four_columns(tokens: int, shown: str) -> None:
    text = figure("put_tokens", tokens, tokens, 0)
    assert text.split()[0] == f"{shown}/{shown}"
    assert (len(text), text.index("/")) == (14, 4)


@pytest.mark.parametrize(
    ("read", "cached", "shown"),
    [(0, 0, "-"), (100, 100, "all"), (1000, 999, "99%"), (3, 9, "all"), (3, -1, "-")],
)
def test_hits_are_rounded_down(read: int, cached: int, shown: str) -> None:
    assert figure("put_tokens", read, 5, cached).split()[1] == shown


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (1, "<$0.0001"),
        (200, " $0.0002"),
        (499, " $0.0005"),
        (9_950, "  $0.010"),
        (37_000, "  $0.037"),
        (9_999_499, "  $9.999"),
        (9_999_500, "  $10.00"),
        (99_995_000, "  $100.0"),
        (10**9, "   $1000"),
        (10**11, "  >$100k"),
        (INT64_MAX, "  >$100k"),
    ],
)
def test_dollars_have_eight_columns(micros: int, shown: str) -> None:
    assert figure("put_dollars", micros, False) == shown
    assert figure("put_dollars", micros, True) == shown + "p"


@given(INTEGERS, INTEGERS, INTEGERS, st.floats())
def test_figures_never_leave_their_columns(a: int, b: int, c: int, seconds: float) -> None:
    assert len(figure("put_tokens", a, b, c)) == 14
    assert len(figure("put_dollars", a, True)) == 9
    assert len(figure("put_seconds", seconds)) == 7


@pytest.mark.parametrize("columns", range(31, 130))
def test_the_cells_of_a_row_fit_into_any_width(columns: int) -> None:
    row = RowLine(False)
    row.lay_out(columns)
    cells = [row.what, row.model, row.target, 13, row.first, row.total, row.tokens, row.cost]
    shown = [cell for cell in cells if cell]
    width = 8 + 1 + sum(shown) + len(shown) - 1
    assert width - (not row.cost) <= min(columns, 120) + (not row.cost)
    assert min(cells) >= 0
    if columns >= 80:
        assert width == min(columns, 120)


def test_colour_ends_with_the_row() -> None:
    row = RowLine(True, True)
    for tone, start in ((0, b"\x1b[2m"), (1, b""), (2, b"")):
        row.start(b"14:00:00 ", tone)
        row.tone_on()
        row.open(5)
        row.put("word")
        row.close()
        row.tone_off()
        row.end_row()
        line = row.take()
        assert line.startswith(start + b"14:00:00 ")
        assert line.endswith(b"\x1b[0m\n")
        assert (b"\x1b[33m" in line, b"\x1b[31m" in line) == (tone == 1, tone == 2)
