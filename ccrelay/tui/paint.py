"""Lines with styles, as `Screen.paint` writes them: their width, cut and padded, in boxes.

Two marks are added that no terminal sees: PICK and UNPICK around what is selected.
"""

import re
from collections.abc import Iterator, Sequence

from ccrelay.cli.cells import cut, width_of
from ccrelay.tui.glyphs import Glyphs

PICK, UNPICK = "\x1b[48m", "\x1b[49m"
_MARK = re.compile(r"\x1b\[(\d*)m")
BOX_MIN = 8


def bare(line: str) -> str:
    """Return a line without its styles."""
    return _MARK.sub("", line) if "\x1b" in line else line


def cells(line: str) -> int:
    """Return how wide a line is, in cells."""
    return width_of(bare(line))


def runs(line: str) -> Iterator[tuple[str, frozenset[str], bool]]:
    """Iterate over the parts of a line: text, the numbers of its styles, whether it is selected."""
    styles: set[str] = set()
    picked, at = False, 0
    for mark in _MARK.finditer(line):
        if mark.start() > at:
            yield line[at : mark.start()], frozenset(styles), picked
        at = mark.end()
        number = mark[1]
        if number in ("48", "49"):
            picked = number == "48"
        elif number in ("", "0"):
            styles.clear()
        else:
            styles.add(number)
    if at < len(line):
        yield line[at:], frozenset(styles), picked


def fitted(line: str, width: int, ellipsis: str = "…") -> str:
    """Return a line of exactly so many cells."""
    missing = width - cells(line)
    if missing >= 0:
        return line + " " * missing
    parts: list[str] = []
    room = max(width, 0)
    for text, styles, picked in runs(line):
        part = text
        if width_of(text) > room or (width_of(text) == room and text is not line):
            part = cut(text, room, ellipsis if width_of(text) > room else "")
        opened = "".join(f"\x1b[{number}m" for number in sorted(styles))
        whole = f"{opened}{part}\x1b[0m" if opened else part
        parts.append(f"{PICK}{whole}{UNPICK}" if picked else whole)
        room -= width_of(part)
        if room <= 0:
            break
    return "".join(parts) + " " * max(room, 0)


def picked(line: str, width: int, glyphs: Glyphs) -> str:
    """Return a line as the selected one: its first cell is the mark."""
    rest = fitted(line, width)
    return f"{PICK}\x1b[36m{glyphs.picked}\x1b[0m{_without_first(rest)}{UNPICK}"


def _without_first(line: str) -> str:
    """Return a line without its first cell, which is a space."""
    return line[1:] if line.startswith(" ") else line


def ends(left: str, right: str, width: int) -> str:
    """Return two texts at both ends of a line; without room for both, the right one is left out."""
    room = width - cells(left) - cells(right)
    return left + " " * room + right if room >= 1 else fitted(left, width)


def box(
    title: str, body: Sequence[str], width: int, glyphs: Glyphs, *, right: str = "", height: int = 0
) -> list[str]:
    """Return lines in a frame.

    Args:
        title: at the left of the upper edge.
        body: lines; what is wider than the frame is cut.
        width: of the frame.
        glyphs: what is drawn with.
        right: at the right of the upper edge.
        height: of the frame, edges included; 0: as high as the body.
    """
    inner = max(width - 4, 1)
    line, corner = glyphs.line, glyphs.corners
    head = f" {title} " if title else ""
    tail = f" {right} {line}" if right else ""
    room = width - 3 - cells(head) - cells(tail)
    if room < 1:
        tail, room = "", width - 3 - cells(head)
    if room < 0:
        head, room = fitted(head, max(width - 3, 0)), 0
    top = f"{_edge(corner[0] + line)}\x1b[1m{head}\x1b[0m{_edge(line * room)}"
    top += f" {right} {_edge(line + corner[1])}" if tail else _edge(corner[1])
    shown = list(body[: height - 2] if height else body)
    shown += [""] * (height - 2 - len(shown) if height else 0)
    side = _edge(glyphs.side)
    return [
        top,
        *(f"{side}{_inside(one, inner)}{side}" for one in shown),
        _edge(corner[2] + line * (width - 2) + corner[3]),
    ]


def _edge(text: str) -> str:
    return f"\x1b[2m{text}\x1b[0m" if text else ""


def _inside(line: str, inner: int) -> str:
    """Return a line of a box: a selected one reaches to its edges."""
    if line.startswith(PICK):
        return fitted(line, inner + 2)
    return f" {fitted(line, inner)} "


def beside(left: Sequence[str], right: Sequence[str]) -> list[str]:
    """Return two boxes of the same height side by side."""
    return [one + other for one, other in zip(left, right, strict=True)]


def over(lines: Sequence[str], sheet: Sequence[str], width: int) -> list[str]:
    """Return lines with a sheet in front of their middle; they are dimmed."""
    shown = [f"\x1b[2m{bare(line)}\x1b[0m" for line in lines]
    sheet_width = max(map(cells, sheet), default=0)
    top = max((len(shown) - len(sheet)) // 2, 0)
    left = max((width - sheet_width) // 2, 0)
    for at, line in enumerate(sheet[: len(shown)]):
        behind = bare(shown[top + at])
        before = fitted(behind, left, "")
        after = _from(behind, left + sheet_width)
        shown[top + at] = f"\x1b[2m{before}\x1b[0m{line}\x1b[2m{after}\x1b[0m"
    return shown


def _from(text: str, start: int) -> str:
    """Return what of a text stands from a cell on."""
    used = 0
    for at, char in enumerate(text):
        if used >= start:
            return " " * (used - start) + text[at:]
        used += width_of(char)
    return ""
