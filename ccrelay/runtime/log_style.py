"""How text lines may look where they are written: colour, characters, width."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

ROW_COLUMNS = 120
COLUMNS_MIN = 31  # narrower terminals wrap
TIME_COLUMNS = 9  # of the clock before a line, and of the blanks before what continues it
_COLOUR = re.compile(r"\x1b\[\d*m")
# What Python puts into LC_CTYPE where the locale is C (PEP 538): it says nothing of the terminal.
_COERCED = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})


class Style(NamedTuple):
    """`terminal`: the descriptor of the terminal that shows the lines; None: they go elsewhere."""

    is_utf8: bool = False
    is_coloured: bool = False
    terminal: int | None = None


PLAIN = Style()


def style_of(fd: int, environ: Mapping[str, str]) -> Style:
    """The style for lines that are written to `fd`, in a process with this environment."""
    is_terminal = os.isatty(fd)
    return Style(_is_utf8(environ), _is_coloured(is_terminal, environ), fd if is_terminal else None)


def columns_of(style: Style) -> int:
    """Columns that a row may have there now: a terminal changes its width."""
    if style.terminal is None:
        return ROW_COLUMNS
    try:
        columns = os.get_terminal_size(style.terminal).columns
    except OSError:  # it has been closed
        return ROW_COLUMNS
    # Some terminals do not tell: 0.
    return min(max(columns, COLUMNS_MIN), ROW_COLUMNS) if columns else ROW_COLUMNS


def wrapped(text: str, columns: int) -> str:
    """A line without its clock, broken at blanks into lines of so many columns below each other.

    Args:
        text: ASCII; sequences that colour it have no columns.
        columns: with those of the clock. A longer word is broken.
    """
    room = columns - TIME_COLUMNS
    lines: list[str] = []
    line, used = "", 0
    for word in text.split(" "):
        columns_of_word = len(_COLOUR.sub("", word))
        if line and used + 1 + columns_of_word <= room:
            line, used = f"{line} {word}", used + 1 + columns_of_word
            continue
        if line:
            lines.append(line)
        while columns_of_word > room:
            lines.append(word[:room])
            word = word[room:]
            columns_of_word = len(word)
        line, used = word, columns_of_word
    return f"\n{' ' * TIME_COLUMNS}".join([*lines, line])


def _is_utf8(environ: Mapping[str, str]) -> bool:
    # The first one that is set decides, as in setlocale(3).
    everything, types = environ.get("LC_ALL"), environ.get("LC_CTYPE")
    language = environ.get("LANG", "")
    if not everything and types in _COERCED and language in ("", "C", "POSIX"):
        return False
    name = everything or types or language
    return "utf8" in name.lower().replace("-", "")


def _is_coloured(is_terminal: bool, environ: Mapping[str, str]) -> bool:
    if environ.get("NO_COLOR"):
        return False
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        if environ.get(name, "0") not in ("", "0"):
            return True
    return is_terminal and environ.get("TERM") != "dumb"
