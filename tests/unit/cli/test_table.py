"""Tables lose columns from the right, and never digits."""

import re

import pytest
from hypothesis import given, settings, strategies as st

from ccrelay.cli.cells import clean, width_of
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, draw, draw_row, fit, fit_text
from tests.unit.cli.test_cells import NAMES

COLUMNS = (
    Column(""),
    Column("NAME", least=8, shrink_to=6, gap=1),
    Column("STATE"),
    Column("USED", right=True, least=5),
    Column("COST", right=True, title_over_mark=True),
)
ROWS = [
    [Cell("A"), Cell("anthropic/team-a"), Cell("idle"), Cell("62 %"), Cell("$6.84", "p")],
    [Cell("B"), Cell("b"), Cell("cooldown 0:47"), Cell("-"), Cell("$13.26")],
]


def test_columns_are_as_wide_as_what_stands_in_them() -> None:
    assert draw(COLUMNS, ROWS, Screen(width=80)) == [
        "  NAME              STATE           USED     COST",
        "A anthropic/team-a  idle            62 %   $6.84p",
        "B b                 cooldown 0:47      -  $13.26",
    ]


def test_names_become_narrower_first_then_columns_are_lost_from_the_right() -> None:
    assert draw(COLUMNS, ROWS, Screen(width=42)) == [
        "  NAME       STATE           USED     COST",
        "A anthropi…  idle            62 %   $6.84p",
        "B b          cooldown 0:47      -  $13.26",
    ]
    assert "COST" not in draw(COLUMNS, ROWS, Screen(width=38))[0]
    assert "USED" in draw(COLUMNS, ROWS, Screen(width=38))[0]


def test_a_sum_stands_below_a_line() -> None:
    sums = [Cell(""), Cell("all"), Cell(""), Cell(""), Cell("$20.10")]
    lines = draw(COLUMNS, ROWS, Screen(width=80, unicode=False), sums=sums)
    assert lines[-2:] == ["-" * 49, "  all" + " " * 37 + "$20.10"]


def test_extra_columns_are_shown_only_where_nothing_is_cut_for_them() -> None:
    columns = (*COLUMNS, Column("MORE", extra=True))
    rows = [[*row, Cell("more")] for row in ROWS]
    assert "MORE" in draw(columns, rows, Screen(width=55))[0]
    assert draw(columns, rows, Screen(width=54)) == draw(COLUMNS, ROWS, Screen(width=54))


def test_the_longest_form_that_has_room_is_shown() -> None:
    cell = Cell("anthropic/team-a", shorter=("team-a", "a"))
    assert [fit_text(cell, room, Screen()) for room in (16, 15, 6, 5, 1, 0)] == [
        *("anthropic/team-a", "team-a", "team-a", "a", "a", ""),
    ]


def test_colour_changes_no_width() -> None:
    coloured = [[Cell(cell.text, cell.mark, "amber") for cell in row] for row in ROWS]
    shown = draw(COLUMNS, coloured, Screen(width=60, colour=True))
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in shown] == draw(
        COLUMNS, ROWS, Screen(width=60)
    )


def test_a_table_without_rows_has_its_heading() -> None:
    assert draw(COLUMNS, [], Screen(width=60)) == [" NAME      STATE   USED  COST"]


FIGURES = st.sampled_from(["-", "0", "62 %", "$13.26", "1,031,070", "205.80M"])


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(NAMES, NAMES, FIGURES, FIGURES, st.sampled_from(["", "!", "p"])), max_size=6
    ),
    st.sampled_from([20, 40, 60, 80, 120, 140]),
    st.booleans(),
)
def test_no_line_is_longer_than_the_width_and_no_figure_is_cut(
    drawn: list[tuple[str, str, str, str, str]], width: int, unicode: bool
) -> None:
    screen = Screen(width=width, unicode=unicode)
    rows = [
        [Cell("A"), Cell(clean(name)), Cell(clean(state)), Cell(used), Cell(cost, mark)]
        for name, state, used, cost, mark in drawn
    ]
    columns = [
        column._replace(shrink_to=column.shrink_to or 4 * (not column.right)) for column in COLUMNS
    ]
    fitted = fit(columns, rows, width)
    for line, row in zip(draw(columns, rows, screen)[1:], drawn, strict=True):
        assert width_of(line) <= width
        shown = len(fitted.widths)
        if shown > 3:
            assert row[2] in line
        if shown > 4:
            assert row[3] + row[4] in line
    assert all(width_of(line) <= width for line in draw(columns, rows, screen))


def test_a_row_may_be_drawn_alone_in_columns_that_stay() -> None:
    fitted = fit(COLUMNS, ROWS, 80)
    assert draw_row(COLUMNS, ROWS[1], fitted, Screen()) == draw(COLUMNS, ROWS, Screen())[2]


@pytest.mark.parametrize("width", range(20, 60))
def test_every_width_works(width: int) -> None:
    assert all(width_of(line) <= width for line in draw(COLUMNS, ROWS, Screen(width=width)))
