"""Sessions: which conversation, and which sub-agent, spent it?"""

import shlex
from collections.abc import Sequence
from typing import Any

from ccrelay.cli.cells import pad
from ccrelay.cli.format_counts import count, tokens
from ccrelay.cli.format_money import dollars
from ccrelay.cli.format_share import hits
from ccrelay.cli.format_time import clock
from ccrelay.cli.sessions import quoted
from ccrelay.cli.sessions_view import move_text
from ccrelay.cli.time_range import time_range
from ccrelay.config.letters import letters as letters_of
from ccrelay.tui import sessions_view
from ccrelay.tui.detail import Details
from ccrelay.tui.page import Cursor, Host, Page, View, listed, set_in, upgrade_note
from ccrelay.tui.rows import COMPACT, COMPACT_MAX, FULL, Row, RowTable, over_rows
from ccrelay.v1 import exchanges_pb2 as ex, usage_pb2 as pb

RANGES = ("24h", "1d", "7d", "30d")
_RANGE_WORDS = {
    "24h": "the last 24 hours", "1d": "today", "7d": "7 days", "30d": "30 days",
}  # fmt: skip
PAGE_SIZE = 200
EXCHANGES_MAX = 1000
AGENTS_MAX = 12  # lines of the tree
MOVES_MAX = 3  # the latest ones
EMPTY = "No session in this time. ] looks further back."


class SessionsPage(Page):
    """Conversations, the latest first."""

    title, letter = "Sessions", "s"
    refresh_s = 5.0
    hints = "j k move  Enter open  [ ] range  / filter  y copy command  ? keys  q quit"

    def __init__(self, host: Host, details: Details) -> None:
        super().__init__(host)
        self._details = details
        self.cursor = Cursor()
        self._range = RANGES.index("1d")
        self.filter = ""
        self._sessions: Sequence[Any] | None = None
        self._problem = ""

    @property
    def since(self) -> str:
        """The range, as `--since` takes it."""
        return RANGES[self._range]

    def ask(self) -> None:
        """Ask for the sessions."""
        asked = (self.since, self.filter)
        since_ms = time_range(self.since, None, self.host.now_ms() / 1000).since_ms

        def done(answer: Any) -> None:
            if asked == (self.since, self.filter):
                self._sessions, self._problem = list(answer.sessions), ""

        def failed(message: str, code: str) -> None:
            self._problem = upgrade_note("its sessions", message, code)

        request = pb.ListSessionsRequest(since_ms=since_ms, filter=self.filter, page_size=PAGE_SIZE)
        self.host.call("Usage/ListSessions", request, pb.ListSessionsResponse, done, failed)

    def sentence(self, view: View) -> str:
        """Return which conversation cost most."""
        if self._problem:
            return view.screen.paint(view.screen.text(self._problem), "red")
        if not self._sessions:
            return ""
        dearest = max(self._sessions, key=_amount)
        name = view.screen.text(dearest.project or dearest.session[: sessions_view.SHORT])
        since = clock(dearest.first_at_ms)[:5]
        return view.screen.paint(
            f"{name} has cost {sessions_view.cost(dearest.totals)} since {since}.", "bold"
        )

    def aside(self, view: View) -> str:
        """Return the sums."""
        if self._sessions is None:
            return ""
        sums = sessions_view.title_sums(self._sessions)
        number, _, amount = sums.partition(", ")
        words = f"{_RANGE_WORDS[self.since]}: {count(int(number), 'session')}, {amount}"
        return f"only {view.screen.text(self.filter)}, {words}" if self.filter else words

    def command(self) -> str:
        """Return the command that shows the sums of the same."""
        text = f" --filter {shlex.quote(self.filter)}" if self.filter else ""
        return f"ccrelay usage --by session --since {self.since}{text}"

    def lines(self, view: View) -> list[str]:
        """Return the table."""
        if self._sessions is None:
            return set_in(_waiting(self._problem, view))
        status = self.host.live.status
        providers = status.providers if status else ()
        inner = view.within(view.width - 1)
        heading, rows = sessions_view.rows(
            self._sessions, providers, view.now_ms, inner, self.host.live.moved_at
        )
        if not rows:
            return set_in(view.inset.screen.wrap(EMPTY))
        head = f" {view.screen.paint(heading, 'bold')}"
        return [head, *listed(rows, self.cursor, view.height - 1, view)]

    def key(self, key: str, char: str | None) -> bool:
        """Move, open, choose a range, filter."""
        if self.cursor.move(key, len(self._sessions or ()), 20):
            return True
        if char in ("[", "]"):
            step = 1 if char == "]" else -1
            self._range = min(max(self._range + step, 0), len(RANGES) - 1)
            self.ask()
        elif key == "enter" and self._sessions and self.cursor.at < len(self._sessions):
            self.host.push(SessionPage(self.host, self._details, self._sessions[self.cursor.at]))
        elif char == "/":
            self.host.edit_filter(self.filter, self.set_filter)
        elif key == "escape" and self.filter:
            self.set_filter("")
        else:
            return False
        return True

    def set_filter(self, text: str) -> None:
        """Show only sessions with exchanges that match."""
        self.filter, self.cursor = text, Cursor()
        self.ask()


def _waiting(problem: str, view: View) -> list[str]:
    return view.inset.screen.wrap(view.screen.text(problem or "Asking the relay ..."))


def _amount(one: Any) -> int:
    return int(one.totals.billed_micros + one.totals.plan_micros)


class SessionPage(Page):
    """One conversation: its sub-agents as a tree, and its exchanges.

    Args:
        host: the dashboard.
        details: opens exchanges.
        session: of `Usage.ListSessions`.
    """

    title = "Session"
    refresh_s = 5.0
    hints = "j k move  Enter open  y copy command  Esc back  q quit"

    def __init__(self, host: Host, details: Details, session: Any) -> None:
        super().__init__(host)
        self._details, self._session = details, session
        self.cursor = Cursor()
        self._agents: Sequence[Any] = ()
        self._exchanges: Sequence[Any] | None = None
        self._moves: Sequence[Any] = ()
        self._spans: dict[str, tuple[int, int]] = {}
        self._problem = ""
        self._rows: list[Row] = []

    @property
    def _filter(self) -> str:
        return f"session={quoted(self._session.session)}"

    def ask(self) -> None:
        """Ask for the sums of its sub-agents, and for its exchanges."""
        self.host.call(
            "Usage/Query",
            pb.QueryRequest(group_by=[pb.DIMENSION_AGENT], filter=self._filter, page_size=100),
            pb.QueryResponse,
            self._on_agents,
            self._on_failure,
        )
        self.host.call(
            "Exchanges/List",
            ex.ExchangesListRequest(filter=self._filter, page_size=EXCHANGES_MAX),
            ex.ExchangesListResponse,
            self._on_exchanges,
            self._on_failure,
        )
        if self._session.totals.moves:
            self.host.call(
                "Exchanges/List",
                ex.ExchangesListRequest(filter=f"{self._filter} moved:yes", page_size=MOVES_MAX),
                ex.ExchangesListResponse,
                self._on_moves,
                self._on_failure,
            )

    def _on_agents(self, answer: Any) -> None:
        self._agents = list(answer.rows)

    def _on_exchanges(self, answer: Any) -> None:
        self._exchanges, self._problem = list(answer.exchanges), ""
        self._spans = {}
        for one in self._exchanges:
            start, stop = one.started_at_ms, int(one.started_at_ms + one.duration_ms)
            first, last = self._spans.get(one.agent, (start, stop))
            self._spans[one.agent] = (min(first, start), max(last, stop))

    def _on_moves(self, answer: Any) -> None:
        self._moves = list(answer.exchanges)[:MOVES_MAX][::-1]

    def _on_failure(self, message: str, code: str) -> None:
        self._problem = message

    def sentence(self, view: View) -> str:
        """Return what it has cost, and where it is."""
        one, text = self._session, view.screen.text
        name = text(one.project or one.session[: sessions_view.SHORT])
        words = [
            f"{name} has cost {sessions_view.cost(one.totals)}",
            f"{sessions_view.span_of(one, view.now_ms)}",
            sessions_view.work(one),
        ]
        return view.screen.paint(f"{', '.join(words)}.", "bold")

    def aside(self, view: View) -> str:
        """Return its beginning."""
        return view.screen.text(self._session.session[:13])

    def command(self) -> str:
        """Return the command that shows the same."""
        return f"ccrelay sessions {shlex.quote(self._session.session)}"

    def lines(self, view: View) -> list[str]:
        """Return the tree and the exchanges."""
        status = self.host.live.status
        letters = letters_of(one.name for one in status.providers) if status else {}
        facts, head_max = self._facts(view.inset, letters), max(view.height - 5, 3)
        tree = self._tree(view, min(max(head_max - len(facts) - 4, 1), AGENTS_MAX))
        head = [*set_in(facts), "", *tree, ""][:head_max]
        if self._exchanges is None:
            return [*head, *set_in(_waiting(self._problem, view))]
        width = view.width - 1
        columns = COMPACT if view.width < COMPACT_MAX else FULL
        table = RowTable(columns, width, view.within(width), letters, self.host.live.attempts)
        self._rows = list(over_rows(self._exchanges, frozenset()))
        height = view.height - len(head) - 1
        seen = self.cursor.shown(len(self._rows), height)
        rows = [""] * len(self._rows)
        for at in seen:
            rows[at] = table.line(self._rows[at], view.now_ms)
        return [*head, f" {table.heading()}", *listed(rows, self.cursor, height, view)]

    def _facts(self, view: View, letters: dict[str, str]) -> list[str]:
        one, totals = self._session, self._session.totals
        cache = hits(totals.cache_read_tokens, totals.cache_write_tokens, totals.input_tokens)
        facts = [
            f"now at {one.target}" if one.target else "",
            f"{tokens(one.prompt_tokens)} tokens of context" if one.prompt_tokens else "",
            f"cache {cache}" if cache != "-" else "",
            f"{dollars(totals.saved_micros)} saved" if totals.saved_micros else "",
        ]
        text = f"{', '.join(part for part in facts if part)}."
        lines = view.screen.wrap(view.screen.text(text))
        if totals.moves:
            moved = f"It left a warm cache {count(totals.moves, 'time')}: lost "
            moved += f"{dollars(totals.moved_micros)}."
            lines += [view.screen.paint(line, "amber") for line in view.screen.wrap(moved)]
        for one in self._moves:
            text = move_text(one, letters, self.host.live.attempts(one.id), view.now_ms)
            lines.append(view.screen.cut(view.screen.text(f"  {text}")))
        return lines

    def _tree(self, view: View, agents_max: int) -> list[str]:
        """Return the main conversation and its sub-agents: what they cost, and when they ran."""
        main = next((row for row in self._agents if not row.group[0]), None)
        agents = [row for row in self._agents if row.group[0]]
        agents.sort(key=lambda row: self._times(row.group[0])[0])
        shown = agents[:agents_max]
        lines = []
        if main is not None:
            lines.append(self._branch("main", "", main, view))
        for at, row in enumerate(shown):
            is_last = at == len(agents) - 1
            branch = view.glyphs.last_branch if is_last else view.glyphs.branch
            name = view.screen.text(row.group[0])
            lines.append(self._branch(f"{branch} {name}", row.group[0], row, view))
        if len(agents) > len(shown):
            lines.append(view.screen.paint(f"  {len(agents) - len(shown)} more agents", "dim"))
        return lines

    def _branch(self, name: str, agent: str, row: Any, view: View) -> str:
        from ccrelay.cli.cells import cut

        totals = row.totals
        label = min(max(view.width // 4, 12), 36)
        money = dollars(totals.billed_micros + totals.plan_micros)
        figures = f"{totals.exchanges:>5,} {pad(money, 8, right=True)}  "
        room = view.width - label - len(figures) - 2
        text = pad(cut(name, label, view.screen.ellipsis), label)
        return f" {text}{figures}{self._gantt(agent, room, view)}"

    def _times(self, agent: str) -> tuple[int, int]:
        """Return when an agent ran, milliseconds since 1970, as far as its exchanges are here."""
        return self._spans.get(agent, (0, 0))

    def _gantt(self, agent: str, room: int, view: View) -> str:
        begin, end = int(self._session.first_at_ms), int(self._session.last_at_ms)
        start, stop = self._times(agent)
        if room < 10 or end <= begin or not start:
            return ""
        scale = room / (end - begin)
        first = min(max(int((start - begin) * scale), 0), room - 1)
        length = min(max(round((stop - start) * scale), 1), room - first)
        paint, track = view.screen.paint, view.glyphs.track
        return (
            paint(track * first, "dim")
            + (view.glyphs.sonnet if agent else view.glyphs.opus) * length
            + paint(track * (room - first - length), "dim")
        )

    def key(self, key: str, char: str | None) -> bool:
        """Move, open."""
        if self.cursor.move(key, len(self._rows), 20):
            return True
        if key == "enter" and self.cursor.at < len(self._rows):
            self._details.open_row(self._rows[self.cursor.at], self._neighbour)
            return True
        return False

    def _neighbour(self, step: int) -> Row | None:
        at = self.cursor.at + step
        if not 0 <= at < len(self._rows):
            return None
        self.cursor.at = at
        return self._rows[at]
