import io
import os
import pty
import sys
from typing import Any

import pytest

from ccrelay.cli.screen import WIDTH_MIN, Screen, find_screen, write_bytes, write_lines


class Terminal(io.StringIO):
    """A stream that says it is a terminal, without a size."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise OSError


@pytest.mark.parametrize(
    ("columns", "width"),
    [("80", 80), ("40", 40), ("3", WIDTH_MIN), ("0", 120), ("-5", 120), ("x", 120), ("", 120),
     ("٤٠", 120), ("99999999999", 999999)],
)  # fmt: skip
def test_width_is_that_of_the_variable_when_it_is_a_number(columns: str, width: int) -> None:
    assert find_screen(io.StringIO(), {"COLUMNS": columns}).width == width


def test_width_is_that_of_the_terminal() -> None:
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 93, 0, 0))
        with open(slave, "w", closefd=False) as stream:
            screen = find_screen(stream, {"TERM": "xterm"})
            assert (screen.width, screen.height, screen.terminal, screen.colour) == (
                *(93, 24, True, True),
            )
            assert find_screen(stream, {"COLUMNS": "50"}).width == 50
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(
    ("env", "terminal", "colour"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_colour_is_for_terminals_unless_it_is_asked_for(
    env: dict[str, str], terminal: bool, colour: bool
) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert find_screen(stream, env).colour is colour


@pytest.mark.parametrize(
    ("encoding", "unicode"),
    [("utf-8", True), ("UTF8", True), ("ascii", False), ("latin-1", False), ("cp437", False),
     ("iso8859-15", False), ("no-such", False)],
)  # fmt: skip
def test_unicode_is_for_encodings_that_have_it(encoding: str, unicode: bool) -> None:
    class Stream(io.StringIO):
        pass

    stream: Any = Stream()
    stream = type("S", (), {"encoding": encoding, "isatty": lambda self: False})()
    screen = find_screen(stream, {})
    assert screen.unicode is unicode
    assert screen.ellipsis + screen.rule + screen.cross == ("…─✕" if unicode else "..-x")


def test_a_name_that_the_encoding_lacks_is_escaped() -> None:
    screen = Screen(unicode=False, encoding="latin-1")
    assert screen.text("café 日本") == "café \\u65e5\\u672c"
    assert screen.text("a\x1b[2J\n") == "a\\u001b[2J\\n"


def test_styles_are_written_for_colour_only() -> None:
    assert Screen(colour=True).paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert Screen(colour=True).paint("", "red") == ""
    assert Screen(colour=True).paint("x", "") == "x"
    assert Screen().paint("x", "red") == "x"


def test_two_ends_of_a_line_or_two_lines() -> None:
    assert Screen(width=20).ends("left", "right") == ["left" + " " * 11 + "right"]
    assert Screen(width=20).ends("a" * 15, "right") == ["a" * 15, "right"]


def test_a_closed_output_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    write_lines(["x"])
    write_bytes(b"x", escape=False)
    assert find_screen(env={}).width == 120


def test_a_file_is_written_as_it_came_but_for_a_terminal(capfdbinary: Any) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        write_bytes("é\x1b\n".encode(), escape=False)
    assert out.buffer.getvalue() == "é\x1b\n".encode()  # type: ignore[attr-defined]
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", shown)
        write_bytes(b"\x1b[2J\xff\r\n\r", escape=True)
    assert shown.getvalue() == "\\u001b[2J\ufffd\n\\u000d"
