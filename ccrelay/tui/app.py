"""The dashboard in Textual, which drives the terminal: keys in, changed lines out."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Protocol

from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from ccrelay.cli.screen import Screen
from ccrelay.tui.dashboard import Dashboard, Feed
from ccrelay.tui.live import Live
from ccrelay.tui.palette import PALETTES

TICK_S = 1.0  # countdowns
DRAW_EVERY_S = 0.15  # however much happens
ENDING = (signal.SIGTERM, signal.SIGHUP)
SIGNALLED = 128  # exit codes above it say which signal ended a process


class DrivenFeed(Feed, Protocol):
    """A feed that is started, drained on the thread that draws, and closed."""

    def start(self) -> None:
        """Begin."""
        ...

    def drain(self) -> bool:
        """Run what was handed over; return whether there was something."""
        ...

    def close(self) -> None:
        """End."""
        ...


class Canvas(Widget):  # type: ignore[misc]  # an extra: of no type where it is not installed
    """The whole screen as lines; only those that changed are drawn again.

    Args:
        draw: shows lines of the size that it has.
    """

    can_focus = True

    def __init__(self, draw: Callable[[], None]) -> None:
        super().__init__()
        self._draw = draw
        self._strips: list[Strip] = []
        self._lines: list[str] = []
        self._theme = ""

    def show(self, lines: list[str], theme: str) -> int:
        """Show lines in a theme; return how many of them changed."""
        width = self.size.width
        palette = PALETTES[theme]
        is_new = theme != self._theme or len(lines) != len(self._lines)
        is_new = is_new or (bool(self._strips) and self._strips[0].cell_length != width)
        changed = [at for at, line in enumerate(lines) if is_new or self._lines[at] != line]
        if is_new:
            self._strips = [palette.strip(line, width) for line in lines]
            self.refresh()
        else:
            for at in changed:
                self._strips[at] = palette.strip(lines[at], width)
            if changed:
                self.refresh(*(Region(0, at, width, 1) for at in changed))
        self._lines, self._theme = lines, theme
        return len(changed)

    def forget(self) -> None:
        """Take all lines as changed."""
        self._lines = []

    def on_resize(self, event: events.Resize) -> None:
        """Lay out again, also for the first time."""
        self._draw()

    def render_line(self, y: int) -> Strip:
        """Return one line."""
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width)


class TopApp(App[None]):  # type: ignore[misc]
    """`ccrelay top`.

    Args:
        live: the state.
        feed: fills it.
        theme: one of `dashboard.THEMES`.
        unicode: whether the terminal shows it.
        clock_ms: the time, milliseconds since 1970.
    """

    TITLE = "ccrelay top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; overflow: hidden; }
    Canvas { width: 100%; height: 100%; background: ansi_default; color: ansi_default; }
    """

    def __init__(
        self,
        live: Live,
        feed: DrivenFeed,
        theme: str = "system",
        *,
        unicode: bool = True,
        clock_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        super().__init__(ansi_color=True)
        self._feed = feed
        self._unicode = unicode
        self.dashboard = Dashboard(live, feed, clock_ms, self.copy_to_clipboard, theme)
        self._canvas = Canvas(self.draw)
        self._live = live
        self._drawn_at = 0.0
        self._is_due = False  # whether a drawing is scheduled
        self._is_woken = False
        self.draws = 0

    def compose(self) -> ComposeResult:
        """Make the one widget."""
        yield self._canvas

    def on_mount(self) -> None:
        """Begin."""
        for number in ENDING:
            # A process that ends by a signal leaves the terminal as the dashboard needs it.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(number, self._end_by, number)
        self.app_resume_signal.subscribe(self, lambda _: self._draw_whole())
        self._canvas.focus()
        self._feed.start()
        self.dashboard.ask()
        self.set_interval(TICK_S, self._tick)

    def on_unmount(self) -> None:
        """End."""
        self._feed.close()

    def _end_by(self, number: signal.Signals) -> None:
        self.exit(return_code=SIGNALLED + number)

    # ---- drawing

    def _draw_whole(self) -> None:
        """Draw all lines: what was on the terminal is gone."""
        self._canvas.forget()
        self.draw()

    def wake(self) -> None:
        """Something was handed over, or has changed; any thread may call this."""
        loop = self._loop
        if loop is None or self._is_woken:
            return
        self._is_woken = True
        try:
            # By a message: only there Textual knows which app it is.
            loop.call_soon_threadsafe(self.call_later, self._on_wake)
        except RuntimeError:  # the loop has ended
            self._is_woken = False

    def _on_wake(self) -> None:
        self._is_woken = False
        has_answers = self._feed.drain()
        since_s = time.monotonic() - self._drawn_at
        if has_answers or since_s >= DRAW_EVERY_S:
            self.draw()
        elif not self._is_due:
            self._is_due = True
            self.set_timer(DRAW_EVERY_S - since_s, self._draw_due)

    def _draw_due(self) -> None:
        self._is_due = False
        self.draw()

    def _tick(self) -> None:
        self._feed.drain()
        self.dashboard.tick()
        self.draw()

    def draw(self) -> None:
        """Draw what has changed."""
        if not self.is_running or not self._canvas.size:
            return
        size = self._canvas.size
        screen = Screen(
            width=size.width, height=size.height, colour=True, unicode=self._unicode,
            terminal=True, encoding="utf-8" if self._unicode else "ascii",
        )  # fmt: skip
        self._drawn_at = time.monotonic()
        self.draws += 1
        lines = self.dashboard.lines(screen, size.height)
        if self._feed.drain():  # what drawing has asked for, of a feed that answers at once
            lines = self.dashboard.lines(screen, size.height)
        self._canvas.show(lines, self.dashboard.theme)

    # ---- input

    def on_key(self, event: events.Key) -> None:
        """Take a key."""
        event.stop()
        event.prevent_default()
        if event.key == "ctrl+z":
            self.action_suspend_process()
            return
        self.dashboard.key(event.key, event.character)
        self._after_input()

    def on_paste(self, event: events.Paste) -> None:
        """Take what was pasted."""
        self.dashboard.paste(event.text)
        self._after_input()

    def on_click(self, event: events.Click) -> None:
        """Take a click."""
        screen = Screen(width=self.size.width, unicode=self._unicode)
        self.dashboard.click(event.screen_x, event.screen_y, screen)
        self._after_input()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Move on."""
        self.dashboard.key("down", None)
        self._after_input()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Move back."""
        self.dashboard.key("up", None)
        self._after_input()

    def _after_input(self) -> None:
        if self.dashboard.wants_to_quit:
            self.exit()
            return
        self._feed.drain()
        self.draw()

    async def action_quit(self) -> None:
        """End."""
        self.exit()

    def action_help_quit(self) -> None:
        """End at Ctrl-C."""
        self.exit()
