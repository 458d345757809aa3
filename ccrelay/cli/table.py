"""Tables for a terminal: columns are as wide as what stands in them, and are lost from the right.

Figures are never cut: where a table is too wide, the columns that hold names become narrower, down
to `shrink_to`, then the last column is left out, and so on.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ccrelay.cli.cells import cut, pad, width_of
from ccrelay.cli.screen import Screen

KEPT_MIN = 2  # columns that stay, however narrow


class Column(NamedTuple):
    """One column.

    Args:
        title: heading.
        right: whether it is aligned to the right, as figures are.
        least: least width.
        shrink_to: how narrow it may become by cutting what stands in it; 0: not at all.
        gap: cells between this column and the one before.
        title_over_mark: whether the heading ends where the marks do, not the figures.
        extra: whether it is shown only where nothing has to be cut for it.
    """

    title: str
    right: bool = False
    least: int = 0
    shrink_to: int = 0
    gap: int = 2
    title_over_mark: bool = False
    extra: bool = False


class Cell(NamedTuple):
    """What stands in a column.

    Args:
        text: as it is shown; made printable by the caller.
        mark: one character right of a figure, such as `!`.
        style: of both, as Screen.paint has it.
        shorter: what to show instead where `text` is too long, the longest first.
    """

    text: str
    mark: str = ""
    style: str = ""
    shorter: tuple[str, ...] = ()


class Fitted(NamedTuple):
    """Which columns a width has room for.

    Args:
        widths: of those that are shown, marks included.
        marked: which of them have a cell for a mark.
        dropped: titles of those that are not shown.
    """

    widths: list[int]
    marked: list[bool]
    dropped: list[str]


def fit(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Fitted:
    """Choose columns and their widths; at least KEPT_MIN columns stay."""
    marked = [any(row[at].mark for row in rows) for at in range(len(columns))]
    natural = [
        max(
            [column.least, width_of(column.title), *(width_of(row[at].text) for row in rows)],
        )
        + marked[at]
        for at, column in enumerate(columns)
    ]
    kept = len(columns)
    while columns[kept - 1].extra and _total(natural[:kept], columns) > width:
        kept -= 1
    while True:
        widths = natural[:kept]
        _shrink(widths, columns, width)
        if _total(widths, columns) <= width or kept <= KEPT_MIN:
            break
        kept -= 1
    excess = _total(widths, columns) - width
    for at in range(len(widths)):  # so narrow that something must be cut
        if excess > 0 and not columns[at].right:
            taken = min(excess, widths[at] - 1)
            widths[at] -= taken
            excess -= taken
    return Fitted(widths, marked[:kept], [column.title for column in columns[kept:]])


def _total(widths: Sequence[int], columns: Sequence[Column]) -> int:
    return sum(widths) + sum(column.gap for column in columns[1 : len(widths)])


def _shrink(widths: list[int], columns: Sequence[Column], width: int) -> None:
    excess = _total(widths, columns) - width
    while excess > 0:
        able = [
            at
            for at, now in enumerate(widths)
            if columns[at].shrink_to and now > columns[at].shrink_to
        ]
        if not able:
            return
        widest = max(able, key=lambda at: widths[at])
        widths[widest] -= 1
        excess -= 1


def draw(
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell]],
    screen: Screen,
    *,
    fitted: Fitted | None = None,
    sums: Sequence[Cell] | None = None,
    heading: bool = True,
) -> list[str]:
    """Return the lines of a table.

    Args:
        columns: all of them.
        rows: a cell for each column.
        screen: what it is for.
        fitted: widths that were chosen before; None: by these rows.
        sums: a last row, below a line.
        heading: whether the titles are shown.
    """
    every = [*rows, sums] if sums is not None else rows
    fitted = fitted or fit(columns, every, screen.width)
    lines = [_heading(columns, fitted, screen)] if heading else []
    lines += [draw_row(columns, row, fitted, screen) for row in rows]
    if sums is not None:
        lines.append(
            screen.paint(screen.rule * min(_total(fitted.widths, columns), screen.width), "dim")
        )
        lines.append(draw_row(columns, sums, fitted, screen))
    return lines


def _heading(columns: Sequence[Column], fitted: Fitted, screen: Screen) -> str:
    parts = []
    for at, width in enumerate(fitted.widths):
        column = columns[at]
        title = cut(column.title, width, screen.ellipsis)
        if column.right and fitted.marked[at] and not column.title_over_mark:
            title = pad(title, width - 1, right=True) + " "
        gap = " " * column.gap if at else ""
        parts.append(gap + pad(title, width, right=column.right))
    return screen.paint("".join(parts).rstrip()[: screen.width], "bold")


def draw_row(columns: Sequence[Column], row: Sequence[Cell], fitted: Fitted, screen: Screen) -> str:
    """Return one row as a line, without spaces at its end."""
    line, spaces = "", 0
    for at, width in enumerate(fitted.widths):
        cell = row[at]
        room = width - fitted.marked[at]
        text = fit_text(cell, room, screen)
        fill = room - width_of(text)
        before = fill if columns[at].right else 0
        mark = (cell.mark or " ") if fitted.marked[at] else ""
        shown = text + mark if columns[at].right else text + " " * fill + mark
        body = shown.rstrip(" ")
        spaces += (columns[at].gap if at else 0) + before
        if body:
            line += " " * spaces + screen.paint(body, cell.style)
            spaces = 0
        spaces += width_of(shown) - width_of(body)
    return line


def fit_text(cell: Cell, room: int, screen: Screen) -> str:
    """Return the longest form of a cell's text that has room; else its shortest one, cut."""
    text = cell.text
    for text in (cell.text, *cell.shorter):
        if width_of(text) <= room:
            break
    if not text.isprintable():  # a caller forgot; a terminal must not get it
        text = screen.text(text)
    return cut(text, room, screen.ellipsis)
