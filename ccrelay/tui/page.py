"""What a page of the dashboard is, and what it may ask of the dashboard."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from ccrelay.cli.screen import Screen
from ccrelay.tui.glyphs import Glyphs
from ccrelay.tui.live import Live
from ccrelay.tui.paint import picked
from ccrelay.tui.sheets import Sheet

CALL_TIMEOUT_S = 10.0
CHANGE_TIMEOUT_S = 30.0


class View(NamedTuple):
    """What a page is drawn for.

    Args:
        screen: width, and what the terminal can show.
        glyphs: what is drawn with.
        height: lines.
        now_ms: since 1970.
    """

    screen: Screen
    glyphs: Glyphs
    height: int
    now_ms: int

    @property
    def width(self) -> int:
        """Cells of a line."""
        return self.screen.width

    @property
    def inset(self) -> "View":
        """The view without a cell at both sides."""
        return self._replace(screen=self.within(self.width - 2))

    def within(self, width: int) -> Screen:
        """Return the screen as something narrower."""
        return self.screen._replace(width=max(width, 1))


Done = Callable[[Any], None]
Failed = Callable[[str, str], None]  # message, gRPC status code


class Host(Protocol):
    """What a page may ask of the dashboard."""

    live: Live

    def call(
        self,
        method: str,
        request: Any,
        response_type: type[Any],
        done: Done,
        failed: Failed | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """Make a call; `done` gets its answer later. Without `failed`, a failure is said."""
        ...

    def open(self, sheet: Sheet) -> None:
        """Put a sheet in front."""
        ...

    def push(self, page: "Page") -> None:
        """Show a page in place of the one that is open, until it is closed."""
        ...

    def say(self, text: str) -> None:
        """Show a sentence below the page for a while."""
        ...

    def now_ms(self) -> int:
        """Return the time, milliseconds since 1970."""
        ...

    def follow(self, filter_text: str) -> None:
        """Follow exchanges with a filter; empty: none."""
        ...

    def edit_filter(self, text: str, take: Callable[[str], None]) -> None:
        """Let a filter be edited; `take` gets it."""
        ...


class Cursor:
    """Which row is selected, and which one is the first that is seen."""

    def __init__(self) -> None:
        self.at = 0
        self.top = 0

    def move(self, key: str, count: int, page: int) -> bool:
        """Take a key; return whether it was one that moves."""
        steps = {
            "j": 1, "down": 1, "k": -1, "up": -1,
            "pagedown": page, "ctrl+d": page, "pageup": -page, "ctrl+u": -page,
            "home": -count, "end": count,
        }  # fmt: skip
        if key not in steps:
            return False
        self.at = min(max(self.at + steps[key], 0), max(count - 1, 0))
        return True

    def shown(self, count: int, height: int) -> range:
        """Return the rows that are seen, with the selected one among them."""
        self.at = min(self.at, max(count - 1, 0))
        self.top = min(self.top, max(count - height, 0))
        if self.at < self.top:
            self.top = self.at
        elif self.at >= self.top + height:
            self.top = self.at - height + 1
        return range(self.top, min(self.top + max(height, 0), count))


class Page:
    """One page. It holds what it has asked for, and draws it.

    Args:
        host: the dashboard.
    """

    title = ""
    letter = ""  # after `g`
    hints = ""
    refresh_s = 0.0  # asks again after so long, while it is seen; 0: never

    def __init__(self, host: Host) -> None:
        self.host = host

    def ask(self) -> None:
        """Ask for what is shown; called when the page is opened, and every `refresh_s`."""

    def sentence(self, view: View) -> str:
        """Return the answer of the page in words."""
        return ""

    def aside(self, view: View) -> str:
        """Return what stands right of the sentence."""
        return ""

    def lines(self, view: View) -> list[str]:
        """Return the lines of the page, at most `view.height`."""
        raise NotImplementedError

    def key(self, key: str, char: str | None) -> bool:
        """Take a key; return whether it meant something here."""
        return False

    def command(self) -> str:
        """Return the command that shows the same."""
        return ""


def listed(
    rows: Sequence[str], cursor: Cursor, height: int, view: View, *, width: int = 0
) -> list[str]:
    """Return the rows that are seen, one cell to the right, the selected one marked."""
    width = width or view.width
    lines = []
    for at in cursor.shown(len(rows), height):
        line = f" {rows[at]}"
        lines.append(picked(line, width, view.glyphs) if at == cursor.at else line)
    return lines


def set_in(lines: Sequence[str]) -> list[str]:
    """Return lines that were drawn for `View.inset`, one cell to the right."""
    return [f" {line}" if line else "" for line in lines]


def scrolled(lines: Sequence[str], top: int, height: int) -> tuple[list[str], int]:
    """Return the part of a text that is seen, and the line that it begins with."""
    top = min(max(top, 0), max(len(lines) - height, 0))
    return list(lines[top : top + height]), top


def scroll_step(key: str, page: int) -> int | None:
    """Return how far a key scrolls a text; None: it does not."""
    return {
        "j": 1, "down": 1, "k": -1, "up": -1, "pagedown": page, "pageup": -page,
        "home": -1_000_000, "end": 1_000_000,
    }.get(key)  # fmt: skip


def has_passed(since_ms: int, now_ms: int, span_ms: float) -> bool:
    """Return whether a span is over; where the clock was set back, it is."""
    return not 0 <= now_ms - since_ms < span_ms


def upgrade_note(what: str, message: str, code: str) -> str:
    """Return why something is not shown."""
    if code == "UNIMPLEMENTED":
        return f"The running relay does not tell {what}: upgrade it (kill -USR2, or restart)."
    return message
