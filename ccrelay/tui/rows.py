"""Exchanges as rows of the dashboard: those under way, and those that are over, newest first."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ccrelay.cli.cells import cut, width_of
from ccrelay.cli.exchanges_view import (
    Burst,
    belongs,
    cost_cell,
    model_cell,
    outcome_cell,
    short_id,
    what,
)
from ccrelay.cli.format_time import clock, elapsed, latency
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, Fitted, draw, draw_row, fit
from ccrelay.v1 import exchanges_pb2 as pb

_PHASES = {
    pb.Running.PHASE_PREPARING: "preparing",
    pb.Running.PHASE_QUEUED: "waiting",
    pb.Running.PHASE_CONNECTING: "connecting",
    pb.Running.PHASE_AWAITING: "awaiting",
    pb.Running.PHASE_HOLDING: "holding",
    pb.Running.PHASE_STREAMING: "streaming",
}

_COST = "COST "  # behind the figures stands what marks them

NARROW = (
    Column("TIME", least=8),
    Column("WHAT", least=20, shrink_to=8, gap=1),
    Column("TARGET", least=13, shrink_to=6, gap=1),
    Column("OUTCOME", least=11, gap=1),
    Column("TOTAL", right=True, least=6, gap=1),
    Column(_COST, right=True, least=8, gap=1),
)
SIDE = tuple(column for column in NARROW if column.title != "TOTAL")
FULL = (
    Column("TIME", least=8),
    Column("WHAT", least=22, shrink_to=12),
    Column("MODEL", least=12, shrink_to=10),
    Column("TARGET", least=18, shrink_to=9),
    Column("OUTCOME", least=13, shrink_to=12),
    Column("FIRST", right=True, least=6, gap=1),
    Column("TOTAL", right=True, least=6, gap=1),
    Column(_COST, right=True, least=8, gap=1),
    Column("TOKENS", right=True, least=8, extra=True),
    Column("SESSION", least=8, extra=True),
)
COMPACT = (
    Column("TIME", least=8),
    Column("WHAT", least=20, shrink_to=10, gap=1),
    Column("MODEL", least=10, shrink_to=8, gap=1),
    Column("TARGET", least=12, shrink_to=8, gap=1),
    Column("OUTCOME", least=11, gap=1),
    Column("TOTAL", right=True, least=6, gap=1),
    Column(_COST, right=True, least=8, gap=1),
)
COMPACT_MAX = 100  # cells; from there on there is room for all columns
_STRETCHED = "WHAT"


class Row(NamedTuple):
    """One row.

    Args:
        id: of the exchange; of a burst, of its oldest one.
        burst: exchanges that are over; None: it is under way.
        running: the exchange under way, else None.
        is_member: whether it is shown below its burst.
    """

    id: str
    burst: Burst | None = None
    running: Any = None
    is_member: bool = False

    @property
    def exchange(self) -> Any:
        """The exchange, of a burst its newest one, or what is under way."""
        return self.burst.last if self.burst is not None else self.running


def running_rows(running: Sequence[Any]) -> list[Row]:
    """Return rows of those under way, the newest first."""
    return [Row(one.id, running=one) for one in reversed(running)]


def over_rows(newest_first: Iterable[Any], unfolded: frozenset[str] | set[str]) -> Iterator[Row]:
    """Iterate over rows of those that are over; bursts of count_tokens are one row each.

    Args:
        newest_first: exchanges.
        unfolded: ids of bursts whose members are shown.
    """
    held: list[Any] = []
    for one in newest_first:
        if held and not belongs(one, held[-1]):
            yield from _rows_of(held, unfolded)
            held = []
        held.append(one)
        if one.kind != "count_tokens":
            yield from _rows_of(held, unfolded)
            held = []
    if held:
        yield from _rows_of(held, unfolded)


def _rows_of(newest_first: Sequence[Any], unfolded: frozenset[str] | set[str]) -> Iterator[Row]:
    burst = Burst(tuple(reversed(newest_first)))
    first = burst.members[0]
    yield Row(first.id, burst)
    if len(burst.members) > 1 and first.id in unfolded:
        for one in newest_first:
            yield Row(f"{one.id}", Burst((one,)), is_member=True)


def _what_cell(burst: Burst, screen: Screen, indent: str = "") -> Cell:
    """Return whose exchange it is; of a sub-agent without that word where that is too long."""
    text = screen.text(what(burst))
    return Cell(indent + text, shorter=(indent + text.replace(" subagent ", " ", 1),))


Attempts = Callable[[str], Sequence[Any]]


class RowTable:
    """Draws rows in columns that a width has room for.

    Args:
        columns: NARROW, SIDE, COMPACT or FULL.
        width: of a line.
        screen: what they are for.
        letters: of the providers; empty: targets are shown by their keys alone.
        attempts: of an exchange by its id; empty where they are not known.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        width: int,
        screen: Screen,
        letters: Mapping[str, str],
        attempts: Attempts,
    ) -> None:
        self._columns, self._screen = columns, screen
        self._letters, self._attempts = letters, attempts
        self._fitted = _stretched(fit(columns, [], width), columns, width)

    def heading(self) -> str:
        """Return the titles."""
        return draw(self._columns, [], self._screen, fitted=self._fitted)[0]

    def line(self, row: Row, now_ms: int) -> str:
        """Return a row."""
        found = self._of_burst(row) if row.burst is not None else self._of_running(row, now_ms)
        cells = [found[column.title] for column in self._columns]
        return draw_row(self._columns, cells, self._fitted, self._screen)

    def _of_burst(self, row: Row) -> dict[str, Cell]:
        assert row.burst is not None
        burst, screen = row.burst, self._screen
        one, first = burst.last, burst.members[0]
        total_ms = one.started_at_ms + one.duration_ms - first.started_at_ms
        origin = _what_cell(burst, screen, indent="  " if row.is_member else "")
        cost = cost_cell(burst)
        return {
            "TIME": Cell(clock(first.started_at_ms)),
            "WHAT": origin,
            "MODEL": model_cell(one, screen),
            "TARGET": self._target(one),
            "OUTCOME": outcome_cell(burst),
            "FIRST": Cell(latency(one.first_event_ms)),
            "TOTAL": Cell(elapsed(total_ms)),
            _COST: _with_mark(cost),
            "TOKENS": Cell(_tokens(one)),
            "SESSION": Cell(screen.text(one.session[:8])),
        }

    def _of_running(self, row: Row, now_ms: int) -> dict[str, Cell]:
        one, screen = row.running, self._screen
        as_over = pb.Exchange(
            kind=one.kind, traffic_class=one.traffic_class, model=one.model,
            sent_model=one.sent_model, provider=one.provider, key=one.key,
            session=one.session, agent=one.agent, project=one.project,
        )  # fmt: skip
        word = _PHASES.get(one.phase, "under way")
        style = "amber" if one.failed or one.phase == pb.Running.PHASE_QUEUED else "accent"
        return {
            "TIME": Cell(clock(one.started_at_ms)),
            "WHAT": _what_cell(Burst((as_over,)), screen),
            "MODEL": model_cell(as_over, screen),
            "TARGET": self._target(as_over),
            "OUTCOME": Cell(word, style=style),
            "FIRST": Cell(latency(one.first_event_ms)),
            "TOTAL": Cell(elapsed(max(now_ms - one.started_at_ms, 0))),
            _COST: Cell("- "),
            "TOKENS": Cell("-"),
            "SESSION": Cell(screen.text(one.session[:8])),
        }

    def _target(self, one: Any) -> Cell:
        if not one.provider:
            return Cell("-")
        tried = [self._name(each) for each in self._attempts(one.id)] if one.id else []
        last = self._name(one)
        if not tried or tried[-1] != last:
            tried.append(last)
        shown = [name for at, name in enumerate(tried) if not at or name != tried[at - 1]]
        if len(shown) == 1:
            return Cell(last, shorter=(self._screen.text(one.key),))
        arrow = " > " if self._letters else ">"
        forms = [arrow.join(shown), arrow.join([shown[0], shown[-1]]), f">{last}"]
        return Cell(forms[0], shorter=(*forms[1:], f">{self._screen.text(one.key)}"))

    def _name(self, one: Any) -> str:
        key = self._screen.text(one.key)
        return f"{self._letters.get(one.provider, '?')} {key}" if self._letters else key


def _with_mark(cost: Cell) -> Cell:
    """Return a cost with a place for its mark, such as the `p` of what a plan covers."""
    return Cell(f"{cost.text}{cost.mark or ' '}", style=cost.style, shorter=(cost.text,))


def _tokens(one: Any) -> str:
    from ccrelay.cli.format_counts import tokens_or_none

    used = one.tokens
    whole = used.input + used.output + used.cache_read + used.cache_write_5m + used.cache_write_1h
    return tokens_or_none(whole)


def _stretched(fitted: Fitted, columns: Sequence[Column], width: int) -> Fitted:
    """Give what is left of a width to the names."""
    widths = list(fitted.widths)
    used = sum(widths) + sum(column.gap for column in columns[1 : len(widths)])
    titles = [column.title for column in columns[: len(widths)]]
    left = width - used
    if left <= 0 or _STRETCHED not in titles:
        return fitted
    if "MODEL" in titles and left > 4:
        part = min(left - 4, 8)
        widths[titles.index("MODEL")] += part
        left -= part
    if "TARGET" in titles and left > 20:
        part = min(left // 3, 24)
        widths[titles.index("TARGET")] += part
        left -= part
    widths[titles.index(_STRETCHED)] += left
    return Fitted(widths, fitted.marked, fitted.dropped)


def short_title(one: Any, width: int, screen: Screen) -> str:
    """Return who and when of an exchange: `c2a41e handbook main, 14:32:05`."""
    text = f"{short_id(one.id)[-6:]} {what(Burst((one,)))}, {clock(one.started_at_ms)}"
    shown = screen.text(text)
    return cut(shown, width, screen.ellipsis) if width_of(shown) > width else shown
