import pytest

from ccrelay.tui.glyphs import UNICODE
from ccrelay.tui.page import (
    Cursor,
    View,
    has_passed,
    listed,
    scroll_step,
    scrolled,
    set_in,
    upgrade_note,
)
from ccrelay.tui.paint import bare
from tests.unit.cli.served import plain


@pytest.mark.parametrize(
    ("keys", "at"),
    [(["j", "down"], 2), (["k"], 0), (["end"], 9), (["end", "j"], 9), (["pagedown"], 4),
     (["end", "pageup", "up"], 4), (["end", "home"], 0)],
)  # fmt: skip
def test_a_cursor_moves_and_stays_among_the_rows(keys: list[str], at: int) -> None:
    cursor = Cursor()
    assert all(cursor.move(key, 10, 4) for key in keys)
    assert cursor.at == at


def test_other_keys_do_not_move() -> None:
    assert not Cursor().move("x", 10, 4)


def test_the_selected_row_is_always_seen() -> None:
    cursor = Cursor()
    for key in ["j"] * 7 + ["k"] * 3 + ["end", "home"]:
        cursor.move(key, 10, 4)
        seen = cursor.shown(10, 3)
        assert len(seen) == 3
        assert cursor.at in seen
    cursor.move("end", 10, 4)
    cursor.shown(10, 3)
    assert list(cursor.shown(2, 3)) == [0, 1]  # rows went away
    assert cursor.at == 1
    assert list(cursor.shown(0, 3)) == []


def test_the_selected_row_is_marked() -> None:
    view = View(plain(20), UNICODE, 10, 0)
    cursor = Cursor()
    cursor.move("j", 3, 5)
    lines = [bare(line).rstrip() for line in listed(["a", "b", "c"], cursor, 2, view)]
    assert lines == [" a", "▌b"]


def test_a_text_is_scrolled_to_its_end_and_no_further() -> None:
    lines = [str(number) for number in range(10)]
    assert scrolled(lines, 99, 4) == (["6", "7", "8", "9"], 6)
    assert scrolled(lines, -5, 4) == (["0", "1", "2", "3"], 0)
    assert scrolled(lines, 0, 99) == (lines, 0)
    assert scroll_step("x", 9) is None
    assert scroll_step("pageup", 9) == -9


def test_an_inset_view_is_narrower_by_a_cell_at_both_sides() -> None:
    view = View(plain(20), UNICODE, 10, 0)
    assert view.inset.width == 18
    assert set_in(["a", ""]) == [" a", ""]


def test_a_relay_that_is_too_old_is_to_be_upgraded() -> None:
    assert "upgrade it" in upgrade_note("its rules", "x", "UNIMPLEMENTED")
    assert upgrade_note("its rules", "broken", "INTERNAL") == "broken"


@pytest.mark.parametrize(
    ("since", "is_over"), [(0, True), (4_999, False), (5_001, True), (10_001, True)]
)
def test_a_span_is_over_where_the_clock_was_set_back(since: int, is_over: bool) -> None:
    assert has_passed(since, 5_000, 3_000) == is_over
