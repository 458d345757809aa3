"""Colour, characters and width of text lines, by where they are written."""

import fcntl
import os
import pty
import struct
import termios

import pytest

from ccrelay.runtime.log_style import COLUMNS_MIN, Style, columns_of, style_of, wrapped


@pytest.fixture
def terminal():
    master, slave = pty.openpty()
    yield slave
    for fd in (master, slave):
        os.close(fd)


def resize(fd, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


@pytest.mark.parametrize(
    ("environ", "is_coloured"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"TERM": "dumb", "CLICOLOR_FORCE": "1"}, True),
        ({"TERM": "dumb", "CLICOLOR_FORCE": "0"}, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_on_a_terminal(terminal, environ, is_coloured):
    style = style_of(terminal, environ)
    assert (style.is_coloured, style.terminal) == (is_coloured, terminal)


@pytest.mark.parametrize(
    ("environ", "is_coloured"),
    [
        ({"TERM": "xterm"}, False),
        ({"FORCE_COLOR": "3"}, True),
        ({"CLICOLOR_FORCE": "1"}, True),
        ({"FORCE_COLOR": "0"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colour_elsewhere(tmp_path, environ, is_coloured):
    with (tmp_path / "log").open("wb") as file:
        assert style_of(file.fileno(), environ) == Style(False, is_coloured, None)


@pytest.mark.parametrize(
    ("environ", "is_utf8"),
    [
        ({}, False),
        ({"LANG": "de_DE.UTF-8"}, True),
        ({"LANG": "en_US.utf8"}, True),
        ({"LANG": "de_DE.ISO-8859-1"}, False),
        ({"LANG": "C"}, False),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "C", "LC_ALL": "C.UTF-8"}, True),
        ({"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, True),
        # Set by Python itself, whatever the terminal.
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, False),
        ({"LC_CTYPE": "C.UTF-8"}, False),
        ({"LANG": "en_US.UTF-8", "LC_CTYPE": "C.UTF-8"}, True),
    ],
)
def test_characters_are_those_of_the_locale(tmp_path, environ, is_utf8):
    with (tmp_path / "log").open("wb") as file:
        assert style_of(file.fileno(), environ).is_utf8 is is_utf8


@pytest.mark.parametrize(
    ("columns", "used"),
    [(0, 120), (1, COLUMNS_MIN), (80, 80), (119, 119), (120, 120), (300, 120)],
)
def test_rows_are_as_wide_as_the_terminal_and_never_wider_than_120(terminal, columns, used):
    style = style_of(terminal, {})
    resize(terminal, columns)
    assert columns_of(style) == used


def test_a_file_and_a_terminal_that_is_gone_have_120(terminal):
    assert columns_of(Style()) == 120
    assert columns_of(Style(terminal=9999)) == 120


def test_a_long_line_goes_on_below_its_own_beginning():
    text = '\x1b[33mwarning\x1b[0m probe reason="no answer" ' + "x" * 40 + " worker=0"
    assert wrapped(text, 31).split("\n") == [
        "\x1b[33mwarning\x1b[0m probe",
        '         reason="no answer"',
        "         " + "x" * 22,
        "         " + "x" * 18,
        "         worker=0",
    ]
    assert wrapped("info    a b=1", 31) == "info    a b=1"
