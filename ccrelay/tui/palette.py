"""The colours of the themes, and painted lines as what Textual shows."""

from collections.abc import Mapping
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from ccrelay.printable import printable
from ccrelay.tui.paint import runs


class Palette(NamedTuple):
    """Styles by the numbers that `Screen.paint` writes.

    Args:
        base: of all text.
        picked: of what is selected.
        numbers: of the styles.
    """

    base: Style
    picked: Style
    numbers: Mapping[str, Style]

    def strip(self, line: str, width: int) -> Strip:
        """Return a painted line."""
        segments = [
            # Pages have escaped what is not printable; if one has not, the terminal is safe.
            Segment(printable(text), self._style(styles, picked))
            for text, styles, picked in runs(line)
        ]
        return Strip(segments).adjust_cell_length(width, self.base)

    def _style(self, styles: frozenset[str], picked: bool) -> Style:
        style = self.base + self.picked if picked else self.base
        for number in sorted(styles):
            found = self.numbers.get(number)
            if found is not None:
                style = style + found
        return style


def _terminals_own() -> Palette:
    """Return the colours of the terminal, whatever they are."""
    return Palette(
        Style(),
        Style(bold=True),
        {
            "1": Style(bold=True),
            "2": Style(dim=True),
            "7": Style(reverse=True),
            "31": Style(color="red"),
            "32": Style(color="green"),
            "33": Style(color="yellow"),
            "36": Style(color="cyan"),
        },
    )


def _without_colour() -> Palette:
    plain = Style()
    names = dict.fromkeys(("2", "31", "32", "33", "36"), plain)
    return Palette(
        plain,
        Style(bold=True),
        {**names, "1": Style(bold=True), "7": Style(reverse=True)},
    )


def _own(ink: str, paper: str, picked: str, weak: str, **names: str) -> Palette:
    return Palette(
        Style(color=ink, bgcolor=paper),
        Style(bgcolor=picked),
        {
            "1": Style(bold=True),
            "2": Style(color=weak),
            "7": Style(color=paper, bgcolor=names["accent"]),
            "31": Style(color=names["red"]),
            "32": Style(color=names["green"]),
            "33": Style(color=names["amber"]),
            "36": Style(color=names["accent"]),
        },
    )


# The design's tokens: text has at least 4.5:1 on both surfaces.
PALETTES: Mapping[str, Palette] = {
    "system": _terminals_own(),
    "light": _own("#1a1c20", "#ffffff", "#eaf0fd", "#646973", red="#b42b24", green="#19744a",
                  amber="#8a5600", accent="#2850c4"),
    "dark": _own("#e9ebee", "#0f1114", "#1b2438", "#8d95a1", red="#ff8078", green="#52c48f",
                 amber="#e7b14b", accent="#8fb0ff"),
    "none": _without_colour(),
}  # fmt: skip
