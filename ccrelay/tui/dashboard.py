"""The dashboard without a terminal: pages, sheets, keys; and the whole screen as lines.

Everything here runs on one thread. Calls are made by what is given as `run`, which hands their
answers back on this thread.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ccrelay.cli.cells import wrap
from ccrelay.cli.format_time import clock
from ccrelay.cli.screen import Screen
from ccrelay.tui.config_page import ConfigPage
from ccrelay.tui.detail import Details
from ccrelay.tui.exchanges_page import ExchangesPage
from ccrelay.tui.glyphs import glyphs
from ccrelay.tui.live import Live, Trouble
from ccrelay.tui.now_page import NowPage
from ccrelay.tui.page import CALL_TIMEOUT_S, Done, Failed, Page, View, has_passed, set_in
from ccrelay.tui.paint import bare, cells, ends, fitted, over
from ccrelay.tui.providers_page import ProvidersPage
from ccrelay.tui.routing_page import RoutingPage
from ccrelay.tui.sessions_page import SessionsPage
from ccrelay.tui.sheets import Line, Sheet, Text
from ccrelay.tui.usage_page import UsagePage

THEMES = ("system", "light", "dark", "none")
SAID_MS = 6_000  # how long a sentence below the page stays
MORE_HINTS = "  t theme  g + letter go"
HEIGHT_MIN, WIDTH_MIN = 8, 30
FILTER_HINT = "provider:zai model:opus outcome:failover cost>0.10 first>2s, or a bare word"

KEYS = """\
 g n e u s p r c  Now, Exchanges, Usage, Sessions, Providers,
                  Routing, Config; also 1 to 7
 j k, arrows      next, previous row; in an exchange: older, newer
 PgUp PgDn        further; Home and End: all the way
 Enter, Esc       open, close
 Space            fold, unfold
 /                filter; Esc leaves it, a second one clears it
 f                follow, hold still: new rows are counted only
 [ ]              shorter, longer time range
 left right       another view of the page
 y                copy the command for this view
 t                theme: system, light, dark, none
 ?, q             this list; quit

Nothing that changes the relay has a single-key shortcut: Enter on a row opens what can be done, \
and what changes something asks before."""


class Feed(Protocol):
    """What brings the state, and makes calls."""

    def call(
        self,
        method: str,
        request: Any,
        response_type: type[Any],
        done: Done,
        failed: Failed,
        timeout_s: float,
    ) -> None:
        """Make a call on another thread; one of `done` and `failed` is called on this one."""
        ...

    def follow(self, filter_text: str) -> None:
        """Follow exchanges with a filter beside the others; empty: no more."""
        ...


class Dashboard:
    """All pages, and which one is open.

    Args:
        live: the state.
        feed: brings it, and makes calls.
        clock_ms: the time, milliseconds since 1970.
        copy: puts a text on the clipboard.
        theme: one of THEMES.
    """

    def __init__(
        self,
        live: Live,
        feed: Feed,
        clock_ms: Callable[[], int],
        copy: Callable[[str], None] = lambda _: None,
        theme: str = "system",
    ) -> None:
        self.live = live
        self._feed, self._clock_ms, self._copy = feed, clock_ms, copy
        self.theme = theme
        details = Details(self)
        exchanges = ExchangesPage(self, details)
        self.pages: Sequence[Page] = (
            NowPage(self, details), exchanges, UsagePage(self), SessionsPage(self, details),
            ProvidersPage(self), RoutingPage(self), ConfigPage(self),
        )  # fmt: skip
        self._exchanges = exchanges
        self._at = 0
        self._pushed: list[Page] = []
        self._sheets: list[Sheet] = []
        self._filter: tuple[Line, Callable[[str], None]] | None = None
        self._said, self._said_at_ms = "", 0
        self._goes = False  # whether `g` was the key before
        self._asked_at_ms = 0
        self._was_away = False  # whether the relay did not answer at the tick before
        self.wants_to_quit = False
        self.version = 0  # grows with what is to be drawn

    # ---- what pages ask

    def now_ms(self) -> int:
        """Return the time, milliseconds since 1970."""
        return self._clock_ms()

    def call(
        self,
        method: str,
        request: Any,
        response_type: type[Any],
        done: Done,
        failed: Failed | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """Make a call; a failure that the page does not take is said."""

        def has_failed(message: str, code: str) -> None:
            if failed is not None:
                failed(message, code)
            else:
                self.say(message)
            self.version += 1

        def is_done(answer: Any) -> None:
            done(answer)
            self.version += 1

        self._feed.call(method, request, response_type, is_done, has_failed, timeout_s)

    def open(self, sheet: Sheet) -> None:
        """Put a sheet in front."""
        self._sheets.append(sheet)
        self.version += 1

    def push(self, page: Page) -> None:
        """Show a page in place of the one that is open, until it is closed."""
        self._pushed.append(page)
        page.ask()
        self._asked_at_ms = self.now_ms()

    def say(self, text: str) -> None:
        """Show a sentence below the page for a while."""
        self._said, self._said_at_ms = text, self.now_ms()
        self.version += 1

    def follow(self, filter_text: str) -> None:
        """Follow exchanges with a filter; empty: none."""
        self._feed.follow(filter_text)

    def edit_filter(self, text: str, take: Callable[[str], None]) -> None:
        """Let a filter be edited below the page."""
        self._filter = (Line(text), take)

    # ---- pages

    @property
    def page(self) -> Page:
        """The page that is seen."""
        return self._pushed[-1] if self._pushed else self.pages[self._at]

    def go(self, number: int) -> None:
        """Open a page."""
        self._at = number % len(self.pages)
        self._pushed.clear()
        self.ask()

    def ask(self) -> None:
        """Let the page ask for what it shows."""
        self._asked_at_ms = self.now_ms()
        self.page.ask()

    def tick(self) -> None:
        """Ask again where it is time, or the relay is back; called about once a second."""
        was_away, self._was_away = self._was_away, self.live.trouble is not None
        if was_away and not self._was_away:
            self.ask()
        due_ms = self.page.refresh_s * 1000
        if (
            due_ms
            and self.live.trouble is None
            and has_passed(self._asked_at_ms, self.now_ms(), due_ms)
        ):
            self.ask()

    # ---- keys

    def key(self, key: str, char: str | None) -> None:
        """Take a key, as Textual names it, and its character."""
        self.version += 1
        if key.startswith("alt+") and len(key) == 5:
            # Esc and a letter soon after it: terminals send the same for both.
            self.key("escape", None)
            self.key(key[4:], key[4:])
        elif key == "ctrl+c":
            self.wants_to_quit = True
        elif self._sheets:
            sheet = self._sheets[-1]
            if not sheet.key(key, char) and sheet in self._sheets:
                self._sheets.remove(sheet)
        elif self._filter is not None:
            self._filter_key(key, char)
        elif self._goes:
            self._goes = False
            self._go_by_letter(char or "")
        elif not self.page.key(key, char):
            self._own_key(key, char)

    def _filter_key(self, key: str, char: str | None) -> None:
        assert self._filter is not None
        line, take = self._filter
        if key == "enter":
            self._filter = None
            take(line.text.strip())
        elif key == "escape":
            self._filter = None
        else:
            line.key(key, char)

    def _go_by_letter(self, char: str) -> None:
        letters = [page.letter for page in self.pages]
        if char and char in letters:
            self.go(letters.index(char))

    def _own_key(self, key: str, char: str | None) -> None:
        acts: dict[str, Callable[[], None]] = {
            "q": self._quit,
            "g": self._begin_go,
            "y": self._copy_command,
            "t": self._next_theme,
            "?": lambda: self.open(Text("Keys", KEYS)),
            "/": self._filter_exchanges,
            "f": self._hold_exchanges,
        }
        if char and char in acts:
            acts[char]()
        elif char and char.isdecimal() and 1 <= int(char) <= len(self.pages):
            self.go(int(char) - 1)
        elif key == "escape" and self._pushed:
            self._pushed.pop()
        elif key in ("tab", "shift+tab") and not self._pushed:
            self.go(self._at + (1 if key == "tab" else -1))

    def _quit(self) -> None:
        self.wants_to_quit = True

    def _begin_go(self) -> None:
        self._goes = True

    def _copy_command(self) -> None:
        command = self.page.command()
        if command:
            self._copy(command)
            self.say(f"Copied: {command}")

    def _next_theme(self) -> None:
        self.theme = THEMES[(THEMES.index(self.theme) + 1) % len(THEMES)]
        self.say(f"Theme: {self.theme}")

    def _filter_exchanges(self) -> None:
        """Filter exchanges from a page that has no filter of its own."""
        if not self._pushed:
            self.go(1)
            self.edit_filter(self._exchanges.filter, self._exchanges.set_filter)

    def _hold_exchanges(self) -> None:
        if not self._pushed and self._at == 0:
            self.go(1)
            self.page.key("f", "f")

    def paste(self, text: str) -> None:
        """Take what was pasted."""
        self.version += 1
        if self._sheets:
            self._sheets[-1].paste(text)
        elif self._filter is not None:
            self._filter[0].insert(text)

    def click(self, x: int, y: int, screen: Screen) -> None:
        """Take a click on a tab."""
        if y or self._sheets:
            return
        self.version += 1
        at = 0
        for number, text in enumerate(self._tabs(screen)):
            at += cells(text)
            if x < at:
                if number:
                    self.go(number - 1)
                return

    # ---- the screen

    def lines(self, screen: Screen, height: int) -> list[str]:
        """Return the whole screen: exactly `height` lines of exactly the screen's width."""
        if screen.width < WIDTH_MIN or height < HEIGHT_MIN:
            small = wrap(f"At least {WIDTH_MIN} x {HEIGHT_MIN} cells are needed.", screen.width)
            return _filled(small, screen.width, height)
        view = View(screen, glyphs(unicode=screen.unicode), height - 3, self.now_ms())
        trouble = self.live.trouble
        body = self._body(view)
        head = [self._head(view), self._second(view, trouble)]
        if trouble is not None and self.live.status is not None:
            body = [f"\x1b[2m{bare(line)}\x1b[0m" for line in body]
        whole = _filled([*head, *body[: view.height]], screen.width, height - 1)
        whole.append(fitted(self._foot(view), screen.width, screen.ellipsis))
        if self._sheets:
            sheet = self._sheets[-1].lines(screen.width, height, screen, view.glyphs)
            whole = _filled(over(whole, sheet, screen.width), screen.width, height)
        return whole

    def _body(self, view: View) -> list[str]:
        if self.live.status is not None:
            return self.page.lines(view)
        if self.live.trouble is None:
            return ["", *set_in(view.inset.screen.wrap("Asking the relay ..."))]
        text = view.screen.text(self.live.trouble.message)
        return ["", *set_in(view.inset.screen.wrap(text))]

    def _tabs(self, screen: Screen) -> list[str]:
        """Return the name, then each tab."""
        wide = screen.width >= 116
        name = " ccrelay   " if wide else " ccrelay  "
        titles = [page.title for page in self.pages]
        room = screen.width - len(name) - (19 if wide else 12) - (3 if wide else 1) * len(titles)
        for length in (3, 1):
            if sum(map(len, titles)) > room:
                titles = [title[:length] for title in titles]
        tabs = [screen.paint(name, "bold")]
        for at, title in enumerate(titles):
            is_open = at == self._at
            text = f"[{title}]" if is_open else f" {title} " if wide else title
            gap = " " if at < len(titles) - 1 else ""
            tabs.append((screen.paint(text, "accent") if is_open else text) + gap)
        return tabs

    def _head(self, view: View) -> str:
        seen = clock(self.live.last_seen_ms) if self.live.last_seen_ms else ""
        paint = view.screen.paint
        if self.live.trouble is not None:
            mark = paint(f"{view.glyphs.dead} {seen or 'no relay'}", "red")
        elif not seen:
            mark = paint(view.glyphs.dead, "dim")
        else:
            # The relay's state is of now although nothing has changed: the clock goes on.
            word = "live " if view.width >= 116 else ""
            mark = f"{paint(view.glyphs.live, 'green')} {word}{clock(view.now_ms)}"
        return ends("".join(self._tabs(view.screen)), f"{mark} ", view.width)

    def _second(self, view: View, trouble: Trouble | None) -> str:
        if trouble is not None:
            text = trouble_sentence(trouble, self.live.last_seen_ms, view.now_ms)
            return " " + view.screen.paint(view.screen.text(text), "red")
        left = f" {self.page.sentence(view)}"
        right = self.page.aside(view)
        room = view.width - cells(left) - cells(right) - 2
        return ends(left, f"{right} ", view.width) if right and room >= 1 else left

    def _foot(self, view: View) -> str:
        screen = view.screen
        if self._filter is not None:
            shown = self._filter[0].shown(max(view.width - 12, 10), screen)
            if not self._filter[0].text and view.width > 100:
                shown = fitted(shown.rstrip() + screen.paint(f"  {FILTER_HINT}", "dim"), view.width)
            return f" Filter: {shown}"
        if self._goes:
            names = "  ".join(f"{page.letter} {page.title}" for page in self.pages)
            return f" g: {names}"
        if self._said and not has_passed(self._said_at_ms, self.now_ms(), SAID_MS):
            return f" {screen.paint(screen.text(self._said), 'bold')}"
        more = MORE_HINTS if view.width >= cells(self.page.hints) + cells(MORE_HINTS) + 2 else ""
        return f" {screen.paint(self.page.hints + more, 'dim')}"


def trouble_sentence(trouble: Trouble, last_seen_ms: int, now_ms: int) -> str:
    """Return `The relay does not answer; last seen 14:32:08; next try in 4 s`."""
    left_s = max(-(-(trouble.next_try_at_ms - now_ms) // 1000), 0)
    tries = f"next try in {left_s} s" if left_s else "trying now"
    first = "The relay refuses" if trouble.is_hopeless else "The relay does not answer"
    seen = f"; last seen {clock(last_seen_ms)}" if last_seen_ms else ""
    return f"{first}{seen}; {tries}"


def _filled(lines: Sequence[str], width: int, height: int) -> list[str]:
    shown = [fitted(line, width) for line in lines[:height]]
    return [*shown, *([" " * width] * (height - len(shown)))]
