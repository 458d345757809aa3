"""Exchanges: what happened to that request, and why did it go there?"""

import shlex
from typing import Any

from ccrelay.cli.format_counts import count
from ccrelay.config.letters import letters as letters_of
from ccrelay.tui.detail import Details
from ccrelay.tui.page import Cursor, Host, Page, View, listed, set_in
from ccrelay.tui.rows import COMPACT, COMPACT_MAX, FULL, Row, RowTable, over_rows, running_rows
from ccrelay.v1 import exchanges_pb2 as pb

OLDER_MAX = 5000  # exchanges that were asked for below those that came by themselves
PAGE_SIZE = 200
EMPTY = "No exchange yet. Start Claude Code through the relay: ccrelay claude"
NONE_MATCH = "No exchange matches this filter. Esc clears it."


class ExchangesPage(Page):
    """All exchanges, the newest first, as they end; with a filter, only those that match."""

    title, letter = "Exchanges", "e"
    hints = "j k move  Enter open  / filter  f hold  y copy command  ? keys  q quit"

    def __init__(self, host: Host, details: Details) -> None:
        super().__init__(host)
        self.details = details
        self.cursor = Cursor()
        self.filter = ""
        self._unfolded: set[str] = set()
        self._held: tuple[list[Any], int] | None = None  # what was there when it was held still
        self._older: list[Any] = []
        self._older_state = ""  # "asking", "all"
        self._picked_id = ""
        self._rows: list[Row] = []

    # ---- words

    def sentence(self, view: View) -> str:
        """Return how many there are, and what of them is not shown."""
        status = self.host.live.status
        total = self.host.live.running()[1] or (status.in_flight if status else 0)
        _, came, dropped = self._exchanges()
        paint = view.screen.paint
        parts = []
        if self.filter:
            parts.append(paint(f"Only {view.screen.text(self.filter)}", "bold"))
            if problem := self.host.live.filter_problem:
                return paint(view.screen.text(problem), "red")
        else:
            parts.append(paint(f"{count(total, 'exchange')} under way", "bold"))
        if self._held is not None:
            fresh = max(came - self._held[1], 0)
            parts.append(paint(f"held still, {fresh:,} new", "amber"))
        else:
            parts.append("following")
        if dropped:
            parts.append(f"{dropped:,} left out: this terminal is too slow")
        return ", ".join(parts) + "."

    def aside(self, view: View) -> str:
        """Return the sums of today."""
        status = self.host.live.status
        return "" if status is None else f"{count(status.today.exchanges)} today"

    def command(self) -> str:
        """Return the command that shows the same."""
        tail = f" --filter {shlex.quote(self.filter)}" if self.filter else ""
        return f"ccrelay exchanges --follow{tail}"

    # ---- drawing

    def _exchanges(self) -> tuple[list[Any], int, int]:
        return self.host.live.exchanges(filtered=bool(self.filter))

    def lines(self, view: View) -> list[str]:
        """Return the heading and the rows that are seen."""
        status = self.host.live.status
        letters = letters_of(one.name for one in status.providers) if status else {}
        columns = COMPACT if view.width < COMPACT_MAX else FULL
        table = RowTable(
            columns, view.width - 1, view.within(view.width - 1), letters, self.host.live.attempts
        )
        self._rows = self._all_rows()
        self._keep_picked()
        if not self._rows:
            text = NONE_MATCH if self.filter else EMPTY
            if problem := self.host.live.filter_problem:  # whole: above it may be cut
                text = view.screen.text(f"{problem} Esc clears it.")
            return [f" {table.heading()}", "", *set_in(view.inset.screen.wrap(text))]
        height = view.height - 1
        self._ask_older(height)
        seen = self.cursor.shown(len(self._rows), height)
        drawn = {at: table.line(self._rows[at], view.now_ms) for at in seen}
        rows = _Sparse(drawn, len(self._rows))
        return [f" {table.heading()}", *listed(rows, self.cursor, height, view)]

    def _all_rows(self) -> list[Row]:
        if self._held is not None:
            kept, running = self._held[0], []
        else:
            kept = self._exchanges()[0]
            running = [] if self.filter else running_rows(self.host.live.running()[0])
        known = {one.id for one in kept[-PAGE_SIZE:]} if self._older else set()
        older = [one for one in self._older if one.id not in known]
        return [*running, *over_rows([*kept, *older], self._unfolded)]

    def _keep_picked(self) -> None:
        """Keep the selected exchange selected while others come; the first one stays the first."""
        if self.cursor.at and self._picked_id:
            before = self.cursor.at
            for at, row in enumerate(self._rows):
                if row.id == self._picked_id:
                    self.cursor.at = at
                    # What is seen moves with it, so that the row stays where it is.
                    self.cursor.top = max(self.cursor.top + at - before, 0)
                    return

    def _ask_older(self, height: int) -> None:
        is_near = self.cursor.at + 2 * height >= len(self._rows)
        if not is_near or self._older_state or len(self._older) >= OLDER_MAX:
            return
        last = next((row.burst.members[0] for row in reversed(self._rows) if row.burst), None)
        if last is None or len(self._rows) < height:
            return
        self._older_state = "asking"
        text = self.filter
        self.host.call(
            "Exchanges/List",
            pb.ExchangesListRequest(
                filter=text, page_size=PAGE_SIZE, until_ms=last.started_at_ms + 1
            ),
            pb.ExchangesListResponse,
            lambda answer: self._on_older(text, answer),
            lambda message, code: self._on_older(text, pb.ExchangesListResponse()),
        )

    def _on_older(self, text: str, answer: Any) -> None:
        if text != self.filter:
            return
        known = {one.id for one in self._older} | {one.id for one in self._exchanges()[0]}
        fresh = [one for one in answer.exchanges if one.id not in known]
        self._older += fresh
        self._older_state = "" if fresh else "all"

    # ---- keys

    def key(self, key: str, char: str | None) -> bool:
        """Move, open, hold still, fold, filter."""
        if self.cursor.move(key, len(self._rows), 20):
            self._picked_id = self._rows[self.cursor.at].id if self._rows else ""
            return True
        row = self._rows[self.cursor.at] if self.cursor.at < len(self._rows) else None
        if key == "enter" and row is not None:
            self.details.open_row(row, self._neighbour)
        elif key == "space" and row is not None and row.burst is not None:
            self._unfolded ^= {row.id} if len(row.burst.members) > 1 else set()
        elif key == "f":
            kept, came, _ = self._exchanges()
            self._held = None if self._held is not None else (kept, came)
        elif key in ("slash", "/") or char == "/":
            self.host.edit_filter(self.filter, self.set_filter)
        elif key == "escape" and self.filter:
            self.set_filter("")
        else:
            return False
        return True

    def set_filter(self, text: str) -> None:
        """Show only exchanges that match; empty: all."""
        if text == self.filter:
            return
        self.filter = text
        self._older, self._older_state, self._held = [], "", None
        self.cursor, self._picked_id = Cursor(), ""
        self.host.follow(text)

    def _neighbour(self, step: int) -> Row | None:
        at = self.cursor.at + step
        if not 0 <= at < len(self._rows):
            return None
        self.cursor.at = at
        self._picked_id = self._rows[at].id
        return self._rows[at]


class _Sparse(list[str]):
    """Lines of which only those that are seen were drawn."""

    def __init__(self, drawn: dict[int, str], length: int) -> None:
        super().__init__()
        self._drawn, self._length = drawn, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, at: Any) -> Any:
        return self._drawn[at]
