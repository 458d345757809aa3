from collections.abc import Callable

import pytest

from ccrelay.tui.glyphs import ASCII, UNICODE
from ccrelay.tui.paint import bare, cells
from ccrelay.tui.sheets import (
    TEXT_MAX,
    Choice,
    Field,
    Form,
    Line,
    Option,
    Sheet,
    Text,
    question,
)
from tests.unit.cli.served import plain


def drawn(sheet: Sheet, width: int = 60, height: int = 20) -> list[str]:
    lines = sheet.lines(width, height, plain(width), UNICODE)
    assert {cells(line) for line in lines} == {min(width, 74)}
    return [bare(line) for line in lines]


def type_into(line: Line, *keys: str) -> None:
    for key in keys:
        line.key(key, key if len(key) == 1 else None)


def test_a_line_is_edited() -> None:
    line = Line("abc")
    type_into(line, "left", "left", "x", "backspace", "backspace", "home", "y", "end", "z", "left")
    assert (line.text, line.at) == ("ybcz", 3)
    type_into(line, "delete", "ctrl+u")
    assert (line.text, line.at) == ("", 0)
    assert not line.key("f5", None)


def test_a_line_takes_no_control_characters_and_is_bounded() -> None:
    line = Line()
    line.insert("a\x1b[31mb\n\u202e")
    assert line.text == "a[31mb"
    line.insert("x" * 10_000)
    assert len(line.text) == TEXT_MAX


@pytest.mark.parametrize("at", [0, 5, 30, 60])
def test_the_cursor_of_a_line_is_always_seen(at: int) -> None:
    line = Line("日本" * 30)
    line.at = at
    shown = line.shown(11, plain(80))
    assert cells(shown) == 11
    assert "\x1b[7m" in shown


def test_a_question_changes_nothing_unless_the_other_row_is_chosen() -> None:
    done: list[str] = []
    ask = question("team-b", "Disable it?", "Disable", lambda: done.append("done"))
    assert not ask.key("enter", None)
    assert done == []
    assert ask.key("j", "j")
    assert not ask.key("enter", None)
    assert done == ["done"]


@pytest.mark.parametrize("key", ["escape", "q"])
def test_a_question_is_left(key: str) -> None:
    done: list[str] = []
    ask = question("team-b", "Disable it?", "Disable", lambda: done.append("done"))
    ask.key("j", "j")
    assert not ask.key(key, None)
    assert done == []


@pytest.mark.parametrize("key", ["y", "d", "space", "1"])
def test_no_other_key_takes_a_choice(key: str) -> None:
    done: list[str] = []
    ask = question("team-b", "Disable it?", "Disable", lambda: done.append("done"))
    ask.key("j", "j")
    assert ask.key(key, key)
    assert done == []


def test_a_choice_shows_which_row_is_selected() -> None:
    choice = Choice("team-b", [Option("Probe", note="free"), Option("Disable")], "What?")
    choice.key("j", "j")
    choice.key("j", "j")
    lines = drawn(choice)
    assert lines[0].startswith("┌─ team-b ─")
    assert any(line.startswith("│▌Disable") for line in lines)
    assert any("Probe  free" in line for line in lines)
    assert all(line.isascii() for line in choice.lines(60, 20, plain(60, unicode=False), ASCII))


def form(act: Callable[[dict[str, str]], str]) -> Form:
    return Form(
        "Explain",
        [Field("model", "model", Line("opus")), Field("class", "class", Line(), ("main", "sub"))],
        act,
        "Nothing is sent.",
    )


def test_a_form_hands_over_its_values() -> None:
    given: list[dict[str, str]] = []

    def act(values: dict[str, str]) -> str:
        given.append(values)
        return ""

    sheet = form(act)
    for key in ("x", "tab", "right", "right", "right", "left"):
        assert sheet.key(key, key if len(key) == 1 else None)
    assert not sheet.key("enter", None)
    assert given == [{"model": "opusx", "class": "sub"}]


def test_a_form_stays_with_what_is_wrong() -> None:
    sheet = form(lambda values: "A model is needed.")
    assert sheet.key("enter", None)
    assert any("A model is needed." in line for line in drawn(sheet))
    assert not sheet.key("escape", None)


def test_a_form_takes_what_is_pasted_only_into_text() -> None:
    sheet = form(lambda values: "")
    sheet.paste("-5\n")
    sheet.key("tab", None)
    sheet.paste("no")
    assert [field.line.text for field in sheet.fields] == ["opus-5", ""]
    assert any("< any >" in line for line in drawn(sheet))


def test_a_text_scrolls_and_any_other_key_closes_it() -> None:
    text = Text("Keys", "\n".join(f"line {number}" for number in range(50)))
    assert any("line 0 " in line for line in drawn(text))
    assert text.key("pagedown", None)
    assert not any("line 0 " in line for line in drawn(text))
    assert len(drawn(text, height=10)) == 10
    for _ in range(20):
        text.key("pagedown", None)
    assert any("line 49" in line for line in drawn(text))
    assert not text.key("x", "x")


@pytest.mark.parametrize("height", range(8, 24))
def test_what_is_selected_is_seen_at_any_height(height: int) -> None:
    sheet = question("Title", "word " * 120, "Do it", lambda: None)
    for _ in range(2):
        text = "\n".join(bare(line) for line in sheet.lines(40, height, plain(40), UNICODE))
        assert "Change nothing" in text
        assert "Do it" in text
        sheet.key("j", "j")
