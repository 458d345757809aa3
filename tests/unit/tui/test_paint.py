import pytest

from ccrelay.cli.screen import Screen
from ccrelay.tui.glyphs import ASCII, UNICODE
from ccrelay.tui.paint import (
    PICK,
    UNPICK,
    bare,
    beside,
    box,
    cells,
    ends,
    fitted,
    over,
    picked,
    runs,
)

SCREEN = Screen(colour=True)
RED = SCREEN.paint("red", "red")


def test_styles_have_no_width() -> None:
    assert bare(f"a {RED} b") == "a red b"
    assert cells(f"a {RED} 日本") == 10


def test_runs_tell_styles_and_what_is_selected() -> None:
    line = f"a{RED}{PICK}b{SCREEN.paint('c', 'bold')}{UNPICK}d"
    assert list(runs(line)) == [
        ("a", frozenset(), False),
        ("red", frozenset({"31"}), False),
        ("b", frozenset(), True),
        ("c", frozenset({"1"}), True),
        ("d", frozenset(), False),
    ]


@pytest.mark.parametrize("width", range(12))
@pytest.mark.parametrize("line", ["", "plain text", f"a {RED} b", "日本語 text", f"{RED}日本"])
def test_a_line_is_exactly_as_wide_as_wanted(line: str, width: int) -> None:
    assert cells(fitted(line, width)) == width


def test_a_line_that_is_cut_keeps_its_styles() -> None:
    assert fitted(f"ab{RED}", 4) == "ab\x1b[31mr…\x1b[0m"
    assert fitted(f"ab{RED}cd", 5) == f"ab{RED}"


def test_the_selected_line_has_its_mark_in_its_first_cell() -> None:
    line = picked(" one", 8, UNICODE)
    assert bare(line) == "▌one    "
    assert line.startswith(PICK)
    assert line.endswith(UNPICK)


def test_a_box_is_as_wide_and_high_as_wanted() -> None:
    lines = box("Lanes", ["one", RED, "x" * 50], 24, UNICODE, right="20 min", height=6)
    assert [bare(line) for line in lines] == [
        "┌─ Lanes ───── 20 min ─┐",
        "│ one                  │",
        "│ red                  │",
        "│ xxxxxxxxxxxxxxxxxxx… │",
        "│                      │",
        "└──────────────────────┘",
    ]


def test_a_box_leaves_out_what_its_edge_has_no_room_for() -> None:
    assert bare(box("Latest exchanges", [], 22, UNICODE, right="following")[0]) == (
        "┌─ Latest exchanges ─┐"
    )
    assert all(cells(line) == 12 for line in box("Latest exchanges", ["a"], 12, UNICODE))
    assert bare(box("A", ["b"], 9, ASCII)[0]) == "+- A ---+"


def test_a_selected_line_reaches_to_the_edges_of_its_box() -> None:
    lines = box("A", [picked(" row", 10, UNICODE)], 12, UNICODE)
    assert bare(lines[1]) == "│▌row      │"


def test_ends_leaves_out_the_right_one_where_there_is_no_room() -> None:
    assert ends("left", "right", 10) == "left right"
    assert ends("left", "right", 9) == "left     "


def test_beside_joins_lines() -> None:
    assert beside(["a", "b"], ["c", "d"]) == ["ac", "bd"]


def test_a_sheet_stands_in_the_middle_and_the_rest_is_dimmed() -> None:
    shown = over(["x" * 9] * 5, ["+-+", "+-+"], 9)
    assert [bare(line) for line in shown] == [
        "xxxxxxxxx", "xxx+-+xxx", "xxx+-+xxx", "xxxxxxxxx", "xxxxxxxxx",
    ]  # fmt: skip
    assert shown[0] == "\x1b[2mxxxxxxxxx\x1b[0m"
    assert cells(over(["日" * 10] * 3, ["+--+"], 20)[1]) == 20
