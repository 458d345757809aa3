"""One exchange whole: what happened, why, what it cost; of one under way, what is known."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ccrelay.cli.cells import cut, join, pad, width_of
from ccrelay.cli.exchange_view import exchange_lines
from ccrelay.cli.exchanges_view import short_id
from ccrelay.cli.format_counts import size
from ccrelay.cli.format_time import elapsed, latency, short
from ccrelay.cli.screen import Screen
from ccrelay.tui.page import Host, Page, View, has_passed, scroll_step, scrolled, set_in
from ccrelay.tui.rows import Row, short_title
from ccrelay.v1 import exchanges_pb2 as pb

KEPT_MAX = 64
ASK_EVERY_MS = 400  # the selected row may change as often as exchanges come
FAILED_FOR_MS = 1_500

_PHASE_TEXTS = {
    pb.Running.PHASE_PREPARING: "its request is read and prepared",
    pb.Running.PHASE_QUEUED: "it waits for room",
    pb.Running.PHASE_CONNECTING: "a connection to its target is made",
    pb.Running.PHASE_AWAITING: "the provider has the request and has not answered",
    pb.Running.PHASE_HOLDING: "the answer has begun and is held until it proves to be one",
    pb.Running.PHASE_STREAMING: "the answer goes to the client",
}


class Details:
    """Exchanges that were asked for, the latest ones kept.

    Args:
        host: asks.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._failed: dict[str, tuple[str, int]] = {}
        self._asked = ""
        self._asked_at_ms = 0

    def get(self, exchange_id: str, *, at_once: bool = False) -> Any:
        """Return the answer of Exchanges.Get; None: it is asked for, or not there."""
        if exchange_id in self._kept:
            self._kept.move_to_end(exchange_id)
            return self._kept[exchange_id]
        now_ms = self._host.now_ms()
        _, failed_at = self._failed.get(exchange_id, ("", 0))
        is_soon = not has_passed(self._asked_at_ms, now_ms, ASK_EVERY_MS)
        if self._asked == exchange_id or not has_passed(failed_at, now_ms, FAILED_FOR_MS):
            return None
        if not at_once and (is_soon or self._asked):
            return None
        self._asked, self._asked_at_ms = exchange_id, now_ms
        self._host.call(
            "Exchanges/Get",
            pb.ExchangesGetRequest(id=exchange_id),
            pb.ExchangesGetResponse,
            lambda answer: self._on_answer(exchange_id, answer),
            lambda message, code: self._on_failure(exchange_id, message),
        )
        return self._kept.get(exchange_id)

    def problem(self, exchange_id: str) -> str:
        """Return why an exchange cannot be shown; empty: no call for it has failed."""
        return self._failed.get(exchange_id, ("", 0))[0]

    def _on_answer(self, exchange_id: str, answer: Any) -> None:
        self._answered(exchange_id)
        self._failed.pop(exchange_id, None)
        self._kept[exchange_id] = answer
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    def _on_failure(self, exchange_id: str, message: str) -> None:
        self._answered(exchange_id)
        if len(self._failed) > KEPT_MAX:
            self._failed.clear()
        self._failed[exchange_id] = (message, self._host.now_ms())

    def _answered(self, exchange_id: str) -> None:
        if self._asked == exchange_id:
            self._asked = ""

    def open_row(self, row: Row, neighbour: Callable[[int], Row | None] | None = None) -> None:
        """Show the exchange of a row; `neighbour` gives the next older (1) or newer (-1) one."""
        self._host.push(DetailPage(self._host, self, row, neighbour or (lambda _: None)))


class DetailPage(Page):
    """One exchange.

    Args:
        host: the dashboard.
        details: has it, or asks for it.
        row: of the exchange.
        neighbour: gives the next older (1) or newer (-1) row.
    """

    title = "Exchange"
    hints = "j k older, newer  PgUp PgDn scroll  y copy command  Esc back  q quit"

    def __init__(
        self, host: Host, details: Details, row: Row, neighbour: Callable[[int], Row | None]
    ) -> None:
        super().__init__(host)
        self._details, self._row, self._neighbour = details, row, neighbour
        self._top = 0

    @property
    def _id(self) -> str:
        return self._row.burst.last.id if self._row.burst is not None else self._row.id

    def sentence(self, view: View) -> str:
        """Return which exchange it is."""
        one = self._row.exchange
        return view.screen.paint(short_title(one, view.width, view.screen), "bold")

    def lines(self, view: View) -> list[str]:
        """Return the exchange, from where it is scrolled to."""
        answer = self._details.get(self._id, at_once=True)
        if answer is not None:
            inset = view.inset
            text = [*exchange_lines(answer, inset.screen), *waterfall(answer, inset)]
        elif running := self._now_running():
            text = under_way(running, view.now_ms, view.inset.screen)
        else:
            problem = self._details.problem(self._id)
            text = view.inset.screen.wrap(view.screen.text(problem or "Asking the relay ..."))
        shown, self._top = scrolled(text, self._top, view.height)
        return set_in(shown)

    def _now_running(self) -> Any:
        running = self.host.live.running()[0]
        return next((one for one in running if one.id == self._id), None)

    def key(self, key: str, char: str | None) -> bool:
        """Show the older or the newer one, or scroll."""
        if key in ("j", "down", "k", "up"):
            row = self._neighbour(1 if key in ("j", "down") else -1)
            if row is not None:
                self._row, self._top = row, 0
            return True
        step = scroll_step(key, 10)
        if step is not None:
            self._top += step
        return step is not None

    def command(self) -> str:
        """Return the command that shows the same."""
        return f"ccrelay exchange {short_id(self._id)}"


def waterfall(answer: Any, view: View) -> list[str]:
    """Return the attempts of an exchange as bars below each other, on one scale of time."""
    whole_ms = max(answer.exchange.duration_ms, 0.001)
    if len(answer.attempts) < 2 or view.width < 50:
        return []
    names = [view.screen.text(f"{one.provider}/{one.key}") for one in answer.attempts]
    label = min(max(map(width_of, names)), view.width // 3)
    room = view.width - label - 10
    lines = ["", view.screen.paint(f"TIME      of {elapsed(whole_ms)} in all", "bold")]
    for one, name in zip(answer.attempts, names, strict=True):
        start = min(int(one.started_ms / whole_ms * room), room - 1)
        length = max(round(one.duration_ms / whole_ms * room), 1)
        is_good = one.verdict in ("answered", "")
        body = (view.glyphs.sonnet if is_good else view.glyphs.failed) * min(length, room - start)
        bar_ = " " * start + view.screen.paint(body, "" if is_good else "red")
        rest = " " * (room - start - min(length, room - start))
        lines.append(
            pad(cut(name, label, view.screen.ellipsis), label)
            + f" {bar_}{rest} {pad(short(one.duration_ms), 8, right=True)}"
        )
    return lines


def under_way(one: Any, now_ms: int, screen: Screen) -> list[str]:
    """Return what is known of an exchange that is not over."""
    target = f"{one.provider}/{one.key}" if one.provider else "no target yet"
    facts = [
        f"attempt {one.attempts}" if one.attempts else "",
        f"the one before failed: {one.failed}" if one.failed else "",
    ]
    times = [
        f"{elapsed(max(now_ms - one.started_at_ms, 0))} since the request",
        f"first event after {latency(one.first_event_ms)}" if one.first_event_ms else "",
        f"{size(one.bytes_out)} out" if one.bytes_out else "",
    ]
    lines = [
        f"{target}  {join([_PHASE_TEXTS.get(one.phase, 'under way'), *facts], '; ')}",
        f"          {join(times)}",
        "          Why, and its bill, are known when it is over.",
    ]
    return [screen.cut(screen.text(line)) for line in lines]
