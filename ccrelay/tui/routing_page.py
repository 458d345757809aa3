"""Routing: where would this request go, and why? And how often each rule matched."""

import shlex
from collections.abc import Sequence
from typing import Any

from ccrelay.cli.format_counts import count
from ccrelay.cli.format_money import dollars
from ccrelay.cli.format_time import moment
from ccrelay.cli.route_live import live_lines
from ccrelay.cli.table import Cell, Column, draw
from ccrelay.cli.time_range import time_range
from ccrelay.tui.page import (
    Cursor,
    Host,
    Page,
    View,
    listed,
    scroll_step,
    scrolled,
    set_in,
    upgrade_note,
)
from ccrelay.tui.sheets import Field, Form, Line
from ccrelay.v1 import routing_pb2 as pb

RANGES = ("24h", "1d", "7d", "30d", "all")
_RANGE_WORDS = {
    "24h": "the last 24 hours", "1d": "today", "7d": "7 days", "30d": "30 days",
    "all": "as far as the ledger goes",
}  # fmt: skip
CLASSES = ("main", "subagent", "background", "compaction", "web-search", "count_tokens")
TOKENS_MAX = 100_000_000
DEFAULT_MODEL = "claude-sonnet-5-5"
NO_RULES = "No rule: every request goes by the strategy. Enter explains one."


class RoutingPage(Page):
    """The rules in force, and Explain on the live state."""

    title, letter = "Routing", "r"
    refresh_s = 10.0
    hints = "j k move  Enter explain a request  [ ] range  y copy command  ? keys  q quit"

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.cursor = Cursor()
        self._range = RANGES.index("7d")
        self._answer: Any = None
        self._problem = ""
        self._form: dict[str, str] = {}

    def ask(self) -> None:
        """Ask for the rules."""
        since = RANGES[self._range]
        since_ms = 0
        if since != "all":
            since_ms = time_range(since, None, self.host.now_ms() / 1000).since_ms

        def done(answer: Any) -> None:
            if since == RANGES[self._range]:
                self._answer, self._problem = answer, ""

        def failed(message: str, code: str) -> None:
            self._problem = upgrade_note("its rules", message, code)

        request = pb.ListRulesRequest(since_ms=since_ms)
        self.host.call("Routing/ListRules", request, pb.ListRulesResponse, done, failed)

    def sentence(self, view: View) -> str:
        """Return how requests are routed."""
        status = self.host.live.status
        if status is None:
            return ""
        rules = count(status.rules, "rule") if status.rules else "no rule"
        text = f"{rules}, then strategy {view.screen.text(status.strategy) or 'not told'}."
        return view.screen.paint(text[:1].upper() + text[1:], "bold")

    def aside(self, view: View) -> str:
        """Return the range of the counts."""
        return f"counts of {_RANGE_WORDS[RANGES[self._range]]}"

    def command(self) -> str:
        """Return the command that explains a request."""
        return explain_command(self._form or {"model": DEFAULT_MODEL})

    def lines(self, view: View) -> list[str]:
        """Return the rules, and what the selected one says."""
        if self._answer is None:
            text = view.screen.text(self._problem or "Asking the relay ...")
            return set_in(view.inset.screen.wrap(text))
        if not self._answer.rules:
            return set_in(view.inset.screen.wrap(NO_RULES))
        screen = view.within(view.width - 1)
        rows = draw(_COLUMNS, [self._row(one, at, view) for at, one in self._numbered()], screen)
        picked = self._answer.rules[min(self.cursor.at, len(self._answer.rules) - 1)]
        below = set_in(self._conditions(picked, view.inset))
        height = max(view.height - 2 - len(below), 3)
        return [f" {rows[0]}", *listed(rows[1:], self.cursor, height, view), "", *below]

    def _numbered(self) -> Sequence[tuple[int, Any]]:
        none = pb.RuleInfo(name="no rule", matched=self._answer.unmatched)
        return [*enumerate(self._answer.rules, 1), (0, none)]

    def _row(self, one: Any, number: int, view: View) -> list[Cell]:
        last = moment(one.last_matched_at_ms, view.now_ms) if one.last_matched_at_ms else "-"
        if not number and not one.last_matched_at_ms:
            last = "-"
        text = view.screen.text
        return [
            Cell(str(number) if number else ""),
            Cell(text(one.name), style="" if number else "dim"),
            Cell(count(one.matched), style="" if one.matched else "dim"),
            Cell(last),
            Cell(dollars(one.cost_micros) if one.cost_micros else "-"),
            Cell(text("; ".join(one.when)), style="dim"),
        ]

    def _conditions(self, one: Any, view: View) -> list[str]:
        if self.cursor.at >= len(self._answer.rules):
            return view.screen.wrap("No rule matched these: the strategy alone chose.")
        screen = view.screen
        lines = [screen.paint(screen.text(one.name), "bold")]
        for label, parts in (("when", one.when), ("use", one.use)):
            for at, part in enumerate(parts):
                head = label if at == 0 else ""
                text = screen.cut(f"  {head:<6}{screen.text(part)}")
                lines.append(screen.paint(text[:8], "dim") + text[8:])
        return lines[:10]

    def key(self, key: str, char: str | None) -> bool:
        """Move, explain, choose a range."""
        rows = len(self._answer.rules) + 1 if self._answer is not None else 0
        if self.cursor.move(key, rows, 10):
            return True
        if key == "enter":
            self.open_form()
        elif char in ("[", "]"):
            step = 1 if char == "]" else -1
            self._range = min(max(self._range + step, 0), len(RANGES) - 1)
            self.ask()
        else:
            return False
        return True

    # ---- explain

    def open_form(self) -> None:
        """Ask for the request that is to be explained."""
        known = {"model": DEFAULT_MODEL, **self._form}
        fields = [
            Field("model", "model", Line(known["model"])),
            Field("class", "class", Line(known.get("class", "")), CLASSES),
            Field("tokens", "input tokens", Line(known.get("tokens", ""))),
            Field("session", "session", Line(known.get("session", ""))),
        ]
        hint = "Nothing is sent and nothing is reserved."
        self.host.open(Form("Where would this request go?", fields, self._explain, hint))

    def _explain(self, values: dict[str, str]) -> str:
        if not values["model"]:
            return "A model is needed."
        text = values["tokens"].replace(",", "")
        if text and not (text.isdecimal() and text.isascii() and int(text[:12]) <= TOKENS_MAX):
            return f"Tokens are a whole number up to {TOKENS_MAX:,}."
        self._form = {name: value for name, value in values.items() if value}
        self._form["tokens"] = text
        self.host.push(ExplainPage(self.host, dict(self._form)))
        return ""


_COLUMNS = (
    Column("", right=True),
    Column("RULE", least=10, shrink_to=8, gap=1),
    Column("MATCHED", right=True),
    Column("LAST", least=8),
    Column("COST", right=True, least=7),
    Column("WHEN", least=10, shrink_to=10),
)


def explain_command(form: dict[str, str]) -> str:
    """Return `ccrelay route explain --model ...`."""
    words = ["ccrelay", "route", "explain"]
    for name in ("model", "class", "tokens", "session"):
        if form.get(name):
            words += [f"--{name}", shlex.quote(form[name])]
    return " ".join(words)


class ExplainPage(Page):
    """One explanation, on the state as it is now.

    Args:
        host: the dashboard.
        form: model, class, tokens, session.
    """

    title = "Explain"
    refresh_s = 2.0
    hints = "j k scroll  y copy command  Esc back  q quit"

    def __init__(self, host: Host, form: dict[str, str]) -> None:
        super().__init__(host)
        self._form = form
        self._answer: Any = None
        self._problem = ""
        self._top = 0

    def ask(self) -> None:
        """Ask where it would go now."""
        request = pb.ExplainRequest(
            model=self._form["model"],
            traffic_class=self._form.get("class", ""),
            tokens=int(self._form.get("tokens") or 0),
            session=self._form.get("session", ""),
        )
        self.host.call(
            "Routing/Explain", request, pb.ExplainResponse, self._on_answer, self._on_failure
        )

    def _on_answer(self, answer: Any) -> None:
        self._answer, self._problem = answer, ""

    def _on_failure(self, message: str, code: str) -> None:
        self._problem = message

    def sentence(self, view: View) -> str:
        """Return where it would go."""
        screen = view.screen
        if self._problem:
            return screen.paint(screen.text(self._problem), "red")
        if self._answer is None:
            return ""
        target = screen.text(self._answer.target)
        model = screen.text(self._form["model"])
        if not target and self._answer.waits_ms:
            return screen.paint(f"{model} would wait in the queue now.", "amber")
        if not target:
            return screen.paint(f"{model} could go nowhere now.", "red")
        return screen.paint(f"{model} would go to {target}.", "bold")

    def aside(self, view: View) -> str:
        """Return that it is the live state."""
        return "on the live state"

    def command(self) -> str:
        """Return the command that explains the same."""
        return explain_command(self._form)

    def lines(self, view: View) -> list[str]:
        """Return the explanation."""
        if self._answer is None:
            problem = view.screen.text(self._problem or "Asking the relay ...")
            return set_in(view.inset.screen.wrap(problem))
        text = live_lines(self._answer, self._form["model"], view.now_ms, view.inset.screen)
        shown, self._top = scrolled(text, self._top, view.height)
        return set_in(shown)

    def key(self, key: str, char: str | None) -> bool:
        """Scroll."""
        step = scroll_step(key, 10)
        self._top += step or 0
        return step is not None
