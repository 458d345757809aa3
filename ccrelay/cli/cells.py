"""Text in columns: how wide it is on a terminal, cut and padded to a width.

Widths are in cells of a terminal. Where terminals differ (emoji with a variation selector), the
larger width counts, so that a line is never longer than it was laid out.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from ccrelay.printable import printable

# What is to be typed is read, and copied, in one piece.
_COMMAND_OR_WORD = re.compile(r"ccrelay(?: [a-z][a-z-]*){1,2}(?![^\s.:;,)])[.:;,)]*|\S+")
_EMOJI_SELECTOR = "\ufe0f"  # makes a narrow symbol wide in some terminals


def clean(text: str) -> str:
    """Return text from elsewhere as one line, with escapes for what is not printable."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def width_of(text: str) -> int:
    """Return the number of cells of a printable text."""
    return len(text) if text.isascii() else sum(map(_char_width, text))


def _char_width(char: str) -> int:
    if char.isascii():
        return 1
    if char == _EMOJI_SELECTOR:
        return 1
    if unicodedata.category(char) in ("Mn", "Me") or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """Return the text in at most `width` cells; `ellipsis` stands for what is left out."""
    if width_of(text) <= width:
        return text
    room = width - width_of(ellipsis)
    if room < 0:
        return ellipsis[:width]
    taken: list[str] = []
    for char in text:
        room -= _char_width(char)
        if room < 0:
            break
        taken.append(char)
    return "".join(taken).rstrip() + ellipsis


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return the text filled with spaces to `width` cells; `right`: aligned there."""
    fill = " " * (width - width_of(text))
    return fill + text if right else text + fill


def wrap(text: str, width: int, indent: int = 0, ellipsis: str = "…") -> list[str]:
    """Return lines of at most `width` cells, all but the first indented; it keeps its own indent.

    A word that is longer than a line is cut; a command is not broken where a line has room for it.
    """
    lines: list[str] = []
    line = text[: len(text) - len(text.lstrip(" "))]
    for word in _unbreakable(text, width - min(indent, width // 2)):
        longer = f"{line} {word}" if line.strip() else line + word
        if line.strip() and width_of(longer) > width:
            lines.append(line)
            longer = " " * min(indent, width // 2) + word
        line = longer
    return [cut(one, width, ellipsis) for one in [*lines, line]]


def _unbreakable(text: str, room: int) -> Iterator[str]:
    for found in _COMMAND_OR_WORD.finditer(text):
        if width_of(found[0]) <= room:
            yield found[0]
        else:
            yield from found[0].split()


def join(parts: Iterable[str], separator: str = ", ") -> str:
    """Return the parts that are not empty, joined."""
    return separator.join(part for part in parts if part)
