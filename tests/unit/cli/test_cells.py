"""Text in columns, with wide and combining characters."""

import pytest
from hypothesis import given, strategies as st
from rich.cells import cell_len

from ccrelay.cli.cells import clean, cut, join, pad, width_of, wrap

# Names as people give them: also wide, combining, bidirectional and control characters.
NAMES = st.text(max_size=40)


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("team-a", 6), ("日本", 4), ("e\u0301", 1), ("…─✕█", 4), ("🚀", 2), ("한글", 4)],
)
def test_width_is_that_of_a_terminal(text: str, width: int) -> None:
    assert width_of(text) == width


@given(NAMES)
def test_width_is_never_less_than_what_another_library_says(text: str) -> None:
    # One at a time: the other library joins what some terminals join.
    assert all(width_of(char) >= cell_len(char) for char in clean(text))


@given(NAMES, st.integers(0, 50), st.sampled_from(["…", ".."]))
def test_a_cut_text_has_room(text: str, width: int, ellipsis: str) -> None:
    shown = clean(text)
    short = cut(shown, width, ellipsis)
    assert width_of(short) <= width
    assert short == shown or width_of(shown) > width


@given(NAMES, st.integers(0, 50), st.booleans())
def test_a_padded_text_fills_its_column(text: str, width: int, right: bool) -> None:
    shown = cut(clean(text), width)
    assert width_of(pad(shown, width, right=right)) == width


@given(st.lists(NAMES, max_size=12), st.integers(1, 80), st.integers(0, 12))
def test_wrapped_lines_have_room(words: list[str], width: int, indent: int) -> None:
    lines = wrap(clean(" ".join(words)), width, indent)
    assert all(width_of(line) <= width for line in lines)


def test_wrapped_lines_lose_no_word_and_keep_their_indent() -> None:
    text = "  do: one two three four five"
    lines = wrap(text, 12, 4)
    assert lines == ["  do: one", "    two", "    three", "    four", "    five"]
    assert wrap("", 10) == [""]


def test_a_command_is_not_broken_where_a_line_has_room_for_it() -> None:
    text = "Write one: ccrelay config init"
    assert wrap(text, 20) == ["Write one:", "ccrelay config init"]
    assert wrap(text, 15) == ["Write one:", "ccrelay config", "init"]
    assert wrap("See ccrelay exchanges.", 18) == ["See", "ccrelay exchanges."]


def test_what_controls_a_terminal_is_escaped_on_one_line() -> None:
    assert clean("a\x1b[2Jb\nc\td\u202e\x9b") == "a\\u001b[2Jb\\nc\\td\\u202e\\u009b"


def test_only_parts_that_are_there_are_joined() -> None:
    assert join(["a", "", "b"]) == "a, b"
    assert join(["", ""]) == ""
