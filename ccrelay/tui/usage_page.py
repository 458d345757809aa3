"""Usage: what does it cost, and will the window last?"""

import shlex
from typing import Any

from ccrelay.cli.cells import pad
from ccrelay.cli.format_counts import count
from ccrelay.cli.format_money import dollars
from ccrelay.cli.format_share import hits
from ccrelay.cli.time_range import Range, time_range
from ccrelay.cli.usage_view import DIMENSIONS, usage_lines
from ccrelay.tui.page import Host, Page, View, scroll_step, scrolled, set_in
from ccrelay.v1 import usage_pb2 as pb

RANGES = ("1h", "24h", "1d", "7d", "30d", "90d", "all")
_RANGE_WORDS = {
    "1h": "the last hour", "24h": "the last 24 hours", "1d": "today", "7d": "7 days",
    "30d": "30 days", "90d": "90 days", "all": "all that is kept",
}  # fmt: skip
_SHORT_WORDS = {**_RANGE_WORDS, "1h": "last hour", "24h": "last 24 h", "all": "all kept"}
ROWS_MAX = 500
TIMEOUT_S = 30.0
CHART_MAX = 31  # days
CHART_MIN_HEIGHT = 26  # lines of the page from which on there is a chart
CHART_LINES = 8
_EIGHTHS = " ▁▂▃▄▅▆▇█"


class UsagePage(Page):
    """Sums by one dimension, over a range; above them the cost of each day."""

    title, letter = "Usage", "u"
    refresh_s = 5.0
    hints = "left right by  [ ] range  / filter  j k scroll  y copy command  ? keys  q quit"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._by = list(DIMENSIONS).index("model")
        self._range = RANGES.index("7d")
        self.filter = ""
        self._answer: Any = None
        self._answer_of: tuple[Any, ...] = ()
        self._days: Any = None
        self._bounds = Range(0, 0)
        self._problem = ""
        self._top = 0

    @property
    def by(self) -> str:
        """The dimension."""
        return list(DIMENSIONS)[self._by]

    @property
    def since(self) -> str:
        """The range, as `--since` takes it; `all`: no bound."""
        return RANGES[self._range]

    # ---- what is asked

    def ask(self) -> None:
        """Ask for the sums, and for those of each day."""
        since = "" if self.since == "all" else self.since
        bounds = time_range(since or None, None, self.host.now_ms() / 1000)
        asked = (self.by, self.since, self.filter)
        self.host.call(
            "Usage/Query",
            pb.QueryRequest(
                group_by=[pb.Dimension.Value(f"DIMENSION_{self.by.upper()}")],
                since_ms=bounds.since_ms,
                filter=self.filter,
                page_size=ROWS_MAX,
            ),
            pb.QueryResponse,
            lambda answer: self._on_answer(asked, bounds, answer),
            self._on_failure,
            TIMEOUT_S,
        )
        self.host.call(
            "Usage/Query",
            pb.QueryRequest(
                group_by=[pb.DIMENSION_DAY],
                since_ms=time_range("30d", None, self.host.now_ms() / 1000).since_ms,
                filter=self.filter,
                page_size=CHART_MAX,
            ),
            pb.QueryResponse,
            self._on_days,
            lambda message, code: None,
            TIMEOUT_S,
        )

    def _on_answer(self, asked: tuple[Any, ...], bounds: Range, answer: Any) -> None:
        if asked == (self.by, self.since, self.filter):
            self._answer, self._answer_of, self._bounds = answer, asked, bounds
            self._problem = ""

    def _on_days(self, answer: Any) -> None:
        self._days = answer

    def _on_failure(self, message: str, code: str) -> None:
        self._problem = message

    # ---- words

    def sentence(self, view: View) -> str:
        """Return what the range cost."""
        if self._problem:
            return view.screen.paint(view.screen.text(self._problem), "red")
        if self._answer is None:
            return ""
        total = self._answer.total
        paint = view.screen.paint
        words = [paint(f"{dollars(total.billed_micros)} billed", "bold")]
        if total.plan_micros:
            words.append(f"{dollars(total.plan_micros)} covered by plans")
        words.append(f"{dollars(total.saved_micros)} saved")
        return f"{', '.join(words)}: {_RANGE_WORDS[self.since]}."

    def aside(self, view: View) -> str:
        """Return how much of the input came from caches."""
        if self._answer is None:
            return ""
        total = self._answer.total
        share = hits(total.cache_read_tokens, total.cache_write_tokens, total.input_tokens)
        return f"cache {share}" if share != "-" else ""

    def command(self) -> str:
        """Return the command that shows the same."""
        since = f" --since {self.since}" if self.since != "all" else " --since 2020-01-01"
        text = f" --filter {shlex.quote(self.filter)}" if self.filter else ""
        return f"ccrelay usage --by {self.by}{since}{text}"

    # ---- drawing

    def lines(self, view: View) -> list[str]:
        """Return the dimensions, the chart and the table."""
        head = [self._chooser(view)]
        if self._answer is None:
            text = self._problem or "Asking the relay ..."
            return [*head, "", *set_in(view.inset.screen.wrap(view.screen.text(text)))]
        if view.height >= CHART_MIN_HEIGHT and self._days is not None and self._days.rows:
            head += ["", *set_in(day_chart(self._days, view.inset))]
        table = usage_lines(
            self._answer, [self._answer_of[0]], self._bounds, view.now_ms, view.inset.screen,
            text=self._answer_of[2],
        )  # fmt: skip
        shown, self._top = scrolled(table, self._top, view.height - len(head) - 1)
        return [*head, "", *set_in(shown)]

    def _chooser(self, view: View) -> str:
        """Return the range and the dimensions: the range, and the chosen one, are never cut off."""
        names = list(DIMENSIONS)
        head, room = "", 0
        for words in (_RANGE_WORDS, _SHORT_WORDS):
            head = f" {words[self.since]}  by "
            room = view.width - len(head)
            if room >= sum(len(name) + 2 for name in names):
                return head + "".join(self._name(name, view, wide=True) for name in names)
            if room >= sum(len(name) + 1 for name in names) + 1:
                return head + " ".join(self._name(name, view) for name in names)
        first = 0
        while (
            first < self._by and sum(len(name) + 1 for name in names[first : self._by + 1]) >= room
        ):
            first += 1
        return head + " ".join(self._name(name, view) for name in names[first:])

    def _name(self, name: str, view: View, *, wide: bool = False) -> str:
        if name == self.by:
            return view.screen.paint(f"[{name}]", "accent")
        return f" {name} " if wide else name

    # ---- keys

    def key(self, key: str, char: str | None) -> bool:
        """Choose a dimension or a range; filter; scroll."""
        if key in ("left", "h", "right", "l", "tab", "shift+tab"):
            step = -1 if key in ("left", "h", "shift+tab") else 1
            self._by = (self._by + step) % len(DIMENSIONS)
            self._again()
        elif char in ("[", "]"):
            step = 1 if char == "]" else -1
            self._range = min(max(self._range + step, 0), len(RANGES) - 1)
            self._again()
        elif char == "/":
            self.host.edit_filter(self.filter, self.set_filter)
        elif key == "escape" and self.filter:
            self.set_filter("")
        else:
            step_ = scroll_step(key, 10)
            self._top += step_ or 0
            return step_ is not None
        return True

    def _again(self) -> None:
        self._top, self._problem = 0, ""
        self.ask()

    def set_filter(self, text: str) -> None:
        """Count only exchanges that match."""
        self.filter = text
        self._again()


def day_chart(answer: Any, view: View) -> list[str]:
    """Return the cost of each day as bars, at list price, with the days below them."""
    days = list(answer.rows)[-CHART_MAX:]
    amounts = [row.totals.billed_micros + row.totals.plan_micros for row in days]
    top = max(amounts, default=0)
    if not top:
        return []
    width = min(max((view.width - 10) // len(days) - 1, 1), 6)
    high = CHART_LINES - 2
    lines = [view.screen.paint("Cost per day at list price, the last 30 days", "bold")]
    for level in range(high, 0, -1):
        label = dollars(top) if level == high else ""
        bars = " ".join(_part(amount / top * high - level + 1, view) * width for amount in amounts)
        lines.append(f"{pad(label, 8, right=True)}  {bars}")
    names = [view.screen.text(row.group[0])[-2:] if row.group else "" for row in days]
    axis = " ".join(pad(name[-width:], width, right=True) for name in names)
    lines.append(view.screen.paint(f"{' ' * 10}{axis}", "dim"))
    unpriced = sum(row.totals.unpriced for row in days)
    if unpriced:
        lines.append(f"{count(unpriced, 'exchange')} without a known price are not in it.")
    return [view.screen.cut(line) if "\x1b" not in line else line for line in lines]


def _part(filled: float, view: View) -> str:
    if not view.screen.unicode:
        return view.glyphs.used if filled >= 0.5 else " "
    return _EIGHTHS[min(max(round(filled * 8), 0), 8)]
