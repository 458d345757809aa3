"""What the output goes to: its width, whether it takes colour and Unicode; and the way to it."""

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TextIO

from ccrelay.cli.cells import clean, cut, wrap

WIDTH_MIN = 20  # narrower ones are laid out as this
WIDTH_NO_TERMINAL = 120  # of a pipe or a file: no column is lost
HEIGHT_DEFAULT = 24

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "amber": "33", "accent": "36"}
_UNICODE = "…─✕█"


class Screen(NamedTuple):
    """Standard output as a place for text.

    Args:
        width: cells of a line.
        height: lines that are seen at once.
        colour: whether styles are written.
        unicode: whether the encoding has what is drawn with; else ASCII stands for it.
        terminal: whether it is a terminal, where lines can be drawn again.
        encoding: of the stream.
    """

    width: int = 80
    height: int = HEIGHT_DEFAULT
    colour: bool = False
    unicode: bool = True
    terminal: bool = False
    encoding: str = "utf-8"

    @property
    def ellipsis(self) -> str:
        """Stands for what was cut."""
        return "…" if self.unicode else ".."

    @property
    def rule(self) -> str:
        """One cell of a horizontal line."""
        return "─" if self.unicode else "-"

    @property
    def cross(self) -> str:
        """Marks what is broken."""
        return "✕" if self.unicode else "x"

    def text(self, text: str) -> str:
        """Return text from elsewhere so that the screen can show it, on one line."""
        shown = clean(text)
        if self.unicode or shown.isascii():
            return shown
        return shown.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def paint(self, text: str, style: str) -> str:
        """Return the text in a style: bold, dim, red, green, amber, accent; empty: as it is."""
        if not (self.colour and style and text):
            return text
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"

    def cut(self, text: str) -> str:
        """Return a line of at most the screen's width."""
        return cut(text, self.width, self.ellipsis)

    def wrap(self, text: str, indent: int = 0) -> list[str]:
        """Return a sentence in lines of at most the screen's width."""
        return wrap(text, self.width, indent, self.ellipsis)

    def ends(self, left: str, right: str) -> list[str]:
        """Return two texts at both ends of a line; without room for both, the right one below."""
        from ccrelay.cli.cells import width_of

        room = self.width - width_of(left) - width_of(right)
        if room >= 2:
            return [left + " " * room + right]
        return [*self.wrap(left), self.cut(right)]


def find_screen(stream: TextIO | None = None, env: Mapping[str, str] = os.environ) -> Screen:
    """Return what standard output, or `stream`, is."""
    out = sys.stdout if stream is None else stream
    terminal = _is_terminal(out)
    width, height = _size(out, env, terminal)
    encoding = getattr(out, "encoding", None) or "utf-8"
    return Screen(
        width=max(width, WIDTH_MIN),
        height=height,
        colour=_takes_colour(env, terminal),
        unicode=_encodes(encoding),
        terminal=terminal,
        encoding=encoding,
    )


def _is_terminal(out: TextIO | None) -> bool:
    with contextlib.suppress(ValueError, AttributeError):  # closed, or none
        return out is not None and out.isatty()
    return False


def _size(out: TextIO | None, env: Mapping[str, str], terminal: bool) -> tuple[int, int]:
    width, height = WIDTH_NO_TERMINAL, HEIGHT_DEFAULT
    if terminal and out is not None:
        with contextlib.suppress(OSError, ValueError):
            size = os.get_terminal_size(out.fileno())
            width, height = size.columns or 80, size.lines or HEIGHT_DEFAULT
    columns = env.get("COLUMNS", "")
    if columns.isdecimal() and columns.isascii() and int(columns[:6]) > 0:
        width = int(columns[:6])
    return width, height


def _takes_colour(env: Mapping[str, str], terminal: bool) -> bool:
    if env.get("NO_COLOR"):  # https://no-color.org: wins, as in Python itself
        return False
    if env.get("FORCE_COLOR"):
        return env["FORCE_COLOR"] not in ("0", "false")
    return terminal and env.get("TERM") != "dumb"


def _encodes(encoding: str) -> bool:
    try:
        _UNICODE.encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return encoding.lower().replace("-", "").startswith(("utf", "cp65001"))


def write_lines(lines: Iterable[str]) -> None:
    """Print lines that were laid out for the screen, at once.

    Raises:
        OSError: as the stream does; BrokenPipeError when its reader is gone.
    """
    out = sys.stdout
    if out is None:  # closed by the caller
        return
    out.write("".join(f"{line}\n" for line in lines))
    out.flush()


def write_bytes(data: bytes, *, escape: bool) -> None:
    """Write a piece of a file to standard output.

    Args:
        data: UTF-8.
        escape: whether a terminal gets it, which what stands in a file must not control.

    Raises:
        OSError: as the stream does.
    """
    out = sys.stdout
    if out is None:
        return
    if escape:
        from ccrelay.printable import printable

        out.write(printable(data.decode(errors="replace").replace("\r\n", "\n")))
        out.flush()
        return
    out.flush()
    out.buffer.write(data)
    out.buffer.flush()
