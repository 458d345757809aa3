"""Now: does it answer, and will it go on doing so?"""

import time
from typing import Any

from ccrelay.cli.cells import cut, join
from ccrelay.cli.format_counts import count, tokens
from ccrelay.cli.format_money import cost_of_one, dollars
from ccrelay.cli.format_share import hits
from ccrelay.cli.format_time import countdown, elapsed, latency
from ccrelay.cli.keys_view import NOTHING
from ccrelay.cli.status_view import verdict
from ccrelay.tui import sessions_view, windows_view
from ccrelay.tui.detail import Details, under_way
from ccrelay.tui.lanes import Lanes, lane_lines, legend
from ccrelay.tui.page import Cursor, Host, Page, View, listed, upgrade_note
from ccrelay.tui.paint import beside, box
from ccrelay.tui.rows import (
    COMPACT,
    NARROW,
    SIDE,
    Row,
    RowTable,
    over_rows,
    running_rows,
    short_title,
)
from ccrelay.v1 import providers_pb2 as pb, relay_pb2, usage_pb2 as us

WIDE_MIN = 116  # cells; from there on the page has two columns
HIGH_MIN = 34  # lines of the page
LATEST_MIN = 5  # lines of its box
WINDOWS_MAX = 6  # lines of windows on a small page
EMPTY = "No exchange yet. Start Claude Code through the relay: ccrelay claude"
WINDOWS_PART = 0.44  # of the width of a large page
WHY_LINES = 3
COMPACT_MIN = 90  # cells of the box of exchanges; from there on it has all columns
SESSIONS_MAX = 4
FIRST_OF = 50  # exchanges whose first event is averaged


def attention(status: Any, now_ms: int, most: int = 3) -> list[tuple[str, str]]:
    """Return what needs a look in a few words, the worst first, each with its style."""
    found = []
    for one in status.providers:
        if one.breaker.state == pb.Breaker.STATE_OPEN and one.enabled:
            found.append((0, f"{one.name} open", "red"))
        for key in one.keys:
            if key.state == pb.Key.STATE_REFUSED:
                found.append((0, f"{key.name} refused", "red"))
            elif key.state == pb.Key.STATE_COOLDOWN:
                left = countdown(max(key.cooldown_until_ms - now_ms, 0) / 1000)
                found.append((1, f"{key.name} cooldown {left}", "amber"))
    found += [(rank, text, style) for rank, (text, style) in enumerate(elsewhere(status))]
    found.sort(key=lambda one: one[0])
    return [(text, style) for _, text, style in found[:most]]


def elsewhere(status: Any) -> list[tuple[str, str]]:
    """Return what needs a look and is seen in no lane: the ledger, the configuration."""
    seen = {one.name for one in status.providers}
    seen |= {f"{one.name}/{key.name}" for one in status.providers for key in one.keys}
    found = [
        (f"{one.subject}: {one.message}", "red")
        for one in status.notices
        if one.severity == relay_pb2.Notice.SEVERITY_ERROR and one.subject not in seen
    ]
    if status.reload_problem and not any(one.subject == "config" for one in status.notices):
        found.append(("the last reload failed: g c", "amber"))
    return found


class NowPage(Page):
    """Lanes, windows, and the latest exchanges; on a large terminal why, and the sessions too."""

    title, letter = "Now", "n"
    refresh_s = 10.0
    hints = "j k move  Enter why  / filter  f follow  y copy command  ? keys  q quit"

    def __init__(self, host: Host, details: Details) -> None:
        super().__init__(host)
        self.details = details
        self.cursor = Cursor()
        self._picked_id = ""
        self._shown: list[Row] = []
        self._sessions: Any = None
        self._sessions_note = ""

    def ask(self) -> None:
        """Ask for the sessions of today."""
        midnight = time.localtime()
        since = time.mktime((*midnight[:3], 0, 0, 0, 0, 0, -1))
        self.host.call(
            "Usage/ListSessions",
            us.ListSessionsRequest(since_ms=int(since * 1000), page_size=20),
            us.ListSessionsResponse,
            self._on_sessions,
            self._on_no_sessions,
        )

    def _on_sessions(self, answer: Any) -> None:
        self._sessions, self._sessions_note = list(answer.sessions), ""

    def _on_no_sessions(self, message: str, code: str) -> None:
        self._sessions_note = upgrade_note("its sessions", message, code)

    # ---- words

    def sentence(self, view: View) -> str:
        """Return whether it answers, and what was lost."""
        status = self.host.live.status
        if status is None:
            return ""
        word, style = verdict(status)
        lost = status.today.lost
        text = f" {count(lost, 'exchange')} lost today." if lost else " Nothing was lost today."
        more = ""
        if status.today.failovers and view.width >= 110:
            more = f" {count(status.today.failovers, 'exchange')} needed a second target."
        paint = view.screen.paint
        return paint(word, style) + paint(text, "red" if lost else "") + more

    def aside(self, view: View) -> str:
        """Return the money of today; where there is room what needs a look."""
        status = self.host.live.status
        if status is None:
            return ""
        found = attention(status, view.now_ms) if view.width >= 110 else elsewhere(status)[:1]
        if found:
            paint, text = view.screen.paint, view.screen.text
            room = 60 if view.width >= 110 else view.width - 40
            between = paint(" · " if view.screen.unicode else ", ", "dim")
            return between.join(
                paint(cut(text(each), room, view.screen.ellipsis), style) for each, style in found
            )
        today = status.today
        return f"{dollars(today.billed_micros)} billed  {dollars(today.saved_micros)} saved"

    def command(self) -> str:
        """Return the command that shows the same."""
        return "ccrelay status --watch"

    # ---- drawing

    def lines(self, view: View) -> list[str]:
        """Return the page, by the size of the terminal."""
        status = self.host.live.status
        if status is None:
            return []
        if view.width >= WIDE_MIN and view.height >= HIGH_MIN:
            return self._large(status, view)
        return self._small(status, view)

    def _lanes(self, status: Any, view: View, *, wide: bool, most: int) -> list[str]:
        lanes = Lanes(
            status.providers, self.host.live.lanes(), self.host.live.running()[0], view.now_ms
        )
        if not any(one.keys for one in status.providers):
            body = view.within(view.width - 4).wrap(NOTHING)
        else:
            inner = view.width - 4
            body = lane_lines(lanes, inner, view.screen, view.glyphs, wide=wide, most=most)
        right = legend(view.glyphs, view.screen) if wide else "20 min"
        return box("Lanes", body, view.width, view.glyphs, right=right)

    def _small(self, status: Any, view: View) -> list[str]:
        room = view.height - LATEST_MIN
        found = windows_view.windows_of(status.providers, most=WINDOWS_MAX)
        windows_height = min(len(found) + 2 if found else 0, max(room - 5, 0))
        windows_height = windows_height if windows_height >= 3 else 0
        lanes = self._lanes(status, view, wide=False, most=max(room - windows_height - 3, 1))
        lines = lanes
        if windows_height:
            inner = view.within(view.width - 4)
            most = windows_view.windows_of(status.providers, most=windows_height - 2)
            body = windows_view.short_lines(most, view.now_ms, inner, view.glyphs)
            lines += box("Windows", body, view.width, view.glyphs)
        height = max(view.height - len(lines), 3)
        return [*lines, *self._latest(view, view.width, height, NARROW)][: view.height]

    def _latest(self, view: View, width: int, height: int, columns: Any) -> list[str]:
        inner = height - 2
        rows = self._rows(inner)
        table = RowTable(columns, width - 4, view.within(width - 4), {}, self._attempts)
        drawn = [table.line(row, view.now_ms) for row in rows]
        self._keep_picked(rows)
        body = listed(drawn, self.cursor, inner, view, width=width - 2)
        # `listed` gives each row the cell of its mark, which is that of the box.
        body = [line if line.startswith("\x1b[48m") else line[1:] for line in body]
        if not rows:
            body = view.within(width - 4).wrap(EMPTY)
        total = self.host.live.running()[1] or self.host.live.status.in_flight
        right = "following" if not total else f"{total} under way, following"
        return box("Latest exchanges", body, width, view.glyphs, right=right, height=height)

    def _attempts(self, exchange_id: str) -> Any:
        return self.host.live.attempts(exchange_id)

    def _rows(self, height: int) -> list[Row]:
        live = self.host.live
        rows = running_rows(live.running()[0])
        limit = max(height, self.cursor.at + 2)
        if len(rows) > max(height // 2, 1):
            rows = rows[: max(height // 2, 1)]
        for row in over_rows(live.exchanges()[0], frozenset()):
            if len(rows) >= limit:
                break
            rows.append(row)
        self._shown = rows
        return rows

    def _keep_picked(self, rows: list[Row]) -> None:
        """Keep the selected exchange selected while others come; the first one stays the first."""
        if self._picked_id and self.cursor.at:
            ids = [row.id for row in rows]
            if self._picked_id in ids:
                self.cursor.at = ids.index(self._picked_id)
        self.cursor.at = min(self.cursor.at, max(len(rows) - 1, 0))

    def _large(self, status: Any, view: View) -> list[str]:
        lines = ["", self._strip(status, view)]
        keys = sum(len(one.keys) for one in status.providers)
        below = WHY_LINES + 2 + SESSIONS_MAX + 2
        most = max(view.height - len(lines) - below - 10 - 3, 3)
        lines += self._lanes(status, view, wide=True, most=min(keys, most) or 1)
        height = max(view.height - len(lines) - below, 6)
        left = round(view.width * WINDOWS_PART) - 1
        inner = view.within(left - 4)
        found = windows_view.windows_of(status.providers, most=max((height - 4) // 3, 1))
        body = (
            windows_view.long_lines(found, view.now_ms, inner, view.glyphs, height - 2)
            if found
            else inner.wrap(windows_view.NOTHING)
        )
        windows = box("Windows", body, left, view.glyphs, height=height)
        columns = SIDE if view.width - left < COMPACT_MIN else COMPACT
        latest = self._latest(view, view.width - left, height, columns)
        lines += beside(windows, latest)
        lines += self._why(view)
        lines += self._sessions_box(view, view.height - len(lines))
        return lines

    def _strip(self, status: Any, view: View) -> str:
        today = status.today
        saved = hits(today.cache_read_tokens, today.cache_write_tokens, today.input_tokens)
        facts = [
            ("Streams", f"{status.in_flight}"),
            ("Today", f"{count(today.exchanges)}, {count(today.failovers, 'failover')}"),
            ("Billed", f"{dollars(today.billed_micros)}, plans {dollars(today.plan_micros)}"),
            ("Saved", f"{dollars(today.saved_micros)}, {saved}"),
            ("First", latency(self._first_ms())),
        ]
        paint = view.screen.paint
        return "  " + "      ".join(f"{name} {paint(text, 'bold')}" for name, text in facts)

    def _first_ms(self) -> float:
        kept = self.host.live.exchanges()[0][:FIRST_OF]
        times = [one.first_event_ms for one in kept if one.first_event_ms > 0]
        return sum(times) / len(times) if times else 0.0

    def _why(self, view: View) -> list[str]:
        row = self._picked()
        inner = view.within(view.width - 4)
        if row is None:
            return box(
                "Why", ["Nothing is selected."], view.width, view.glyphs, height=WHY_LINES + 2
            )
        one = row.exchange
        title = f"Why: {short_title(one, 60, view.screen)}"
        if row.running is not None:
            body = under_way(one, view.now_ms, inner)
        else:
            answer = self.details.get(one.id)
            problem = self.details.problem(one.id) or "Asking the relay ..."
            body = (
                why_lines(answer, inner) if answer is not None else inner.wrap(inner.text(problem))
            )
        right = "Enter opens it whole"
        return box(title, body, view.width, view.glyphs, right=right, height=WHY_LINES + 2)

    def _sessions_box(self, view: View, height: int) -> list[str]:
        inner = view.within(view.width - 4)
        found = self._sessions or []
        right = sessions_view.title_sums(found) if found else ""
        if found:
            providers = self.host.live.status.providers
            body = sessions_view.short_rows(
                found, providers, view.now_ms, inner, self.host.live.moved_at
            )
        else:
            body = inner.wrap(inner.text(self._sessions_note or "No session today yet."))
        return box("Sessions today", body, view.width, view.glyphs, right=right, height=height)

    # ---- keys

    def _picked(self) -> Row | None:
        return self._shown[self.cursor.at] if self.cursor.at < len(self._shown) else None

    def key(self, key: str, char: str | None) -> bool:
        """Move, open."""
        if self.cursor.move(key, len(self._shown) + (key in ("j", "down")), 5):
            picked = self._picked()
            self._picked_id = picked.id if picked else ""
            return True
        if key == "enter" and (row := self._picked()) is not None:
            self.details.open_row(row)
            return True
        return False


def why_lines(answer: Any, screen: Any) -> list[str]:
    """Return in three lines why a target was taken, how long it took, and what it cost."""
    one, choice = answer.exchange, answer.choice
    rule = f"rule {choice.rule}" if choice.rule else "no rule"
    strategy = f"strategy {choice.strategy}" if choice.strategy else ""
    sentence = choice.sentence or choice.reason
    why = f"{one.provider}/{one.key}  {join([sentence.removesuffix('.'), rule, strategy], '; ')}"
    tries = "; ".join(
        f"{attempt.key} {attempt.verdict or attempt.status} after {elapsed(attempt.duration_ms)}"
        for attempt in answer.attempts
    )
    took = [
        tries,
        f"first event {latency(one.first_event_ms)}" if one.first_event_ms else "",
        f"{tokens(one.tokens.output)} tokens out" if one.tokens.output else "",
    ]
    lines = [why, f"          {join(took, ' · ' if screen.unicode else ', ')}"]
    if one.cost.known:
        plan = " at list price, covered by a plan" if one.cost.billing == pb.BILLING_PLAN else ""
        paid = [f"{cost_of_one(one.cost.micros)}{plan}"]
        if one.cost.uncached_micros > one.cost.micros:
            paid.append(f"without the cache {cost_of_one(one.cost.uncached_micros)}")
        if one.cost.moved_micros:
            paid.append(f"the move from a warm cache lost {dollars(one.cost.moved_micros)}")
        lines.append(f"          {join(paid, '; ')}")
    return [screen.cut(screen.text(line)) for line in lines]
