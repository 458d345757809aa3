"""Exchanges as rows of a terminal: one each, bursts of count_tokens folded into one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ccrelay.cli import words
from ccrelay.cli.cells import join, width_of, wrap
from ccrelay.cli.format_counts import count
from ccrelay.cli.format_money import FREE, UNKNOWN, cost_of_one, dollars
from ccrelay.cli.format_time import clock, day, elapsed, latency, short
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, Fitted, draw, draw_row, fit
from ccrelay.v1 import exchanges_pb2 as pb, providers_pb2

ID_PREFIX = "req_ccrelay_"  # of all ids: left out where people read them
WAITED_MS = 100  # a shorter wait is not worth a word; as in the text log
SESSION_SHOWN = 6  # characters, as in the text log
NOTE_INDENT = 10

COLUMNS = (
    Column("TIME", least=8),
    Column("WHAT", least=30, shrink_to=10),
    Column("MODEL", least=18, shrink_to=10),
    Column("TARGET", least=20, shrink_to=9),
    Column("OUTCOME", least=13, shrink_to=12, gap=1),
    Column("FIRST", right=True, least=6, gap=1),
    Column("TOTAL", right=True, least=6, gap=1),
    Column("COST", right=True, least=8, gap=1),
    Column("ID", least=16, extra=True),
)

_MARKED = [Cell("", mark="p" if column.title == "COST" else "") for column in COLUMNS]

# Attempts of an exchange that had more than one; empty where they are not known.
Attempts = Callable[[Any], Sequence[Any]]


class Burst(NamedTuple):
    """Exchanges of one row: one, or several count_tokens one after the other."""

    members: tuple[Any, ...]

    @property
    def last(self) -> Any:
        """The newest one."""
        return self.members[-1]


def fold(exchanges: Iterable[Any]) -> Iterator[Burst]:
    """Group exchanges in order of time: count_tokens of one origin at one target are one."""
    held: list[Any] = []
    for one in exchanges:
        if held and not belongs(held[-1], one):
            yield Burst(tuple(held))
            held = []
        held.append(one)
        if one.kind != "count_tokens":
            yield Burst(tuple(held))
            held = []
    if held:
        yield Burst(tuple(held))


def belongs(before: Any, one: Any) -> bool:
    """Return whether an exchange continues the burst of the one before it."""
    if before.kind != "count_tokens" or before.kind != one.kind:
        return False
    return _origin(before) == _origin(one)


def _origin(one: Any) -> tuple[str, ...]:
    return (one.project or one.session, one.provider, one.key, one.model, one.sent_model)


class Rows:
    """Draws rows of exchanges in columns that stay where they are, also while rows follow.

    Args:
        screen: what they are for.
        letters: of the providers.
        attempts: of an exchange.
    """

    def __init__(
        self, screen: Screen, letters: Mapping[str, str], attempts: Attempts = lambda _: ()
    ) -> None:
        self.screen = screen
        self._letters = letters
        self._attempts = attempts
        self._fitted: Fitted = fit(COLUMNS, [_MARKED], screen.width)
        self._day = ""

    def heading(self) -> list[str]:
        """Return the line of titles."""
        return draw(COLUMNS, [], self.screen, fitted=self._fitted)

    def drawn(self, cells: list[Cell]) -> str:
        """Return one row, whose cells are those of COLUMNS."""
        return draw_row(COLUMNS, cells, self._fitted, self.screen)

    def lines(self, burst: Burst, now_ms: int) -> list[str]:
        """Return the lines of one row: a day that begins, the row, what went wrong."""
        screen, one = self.screen, burst.last
        lines = []
        this_day = day(one.started_at_ms, now_ms)
        if this_day != (self._day or day(now_ms, now_ms)):
            lines.append(screen.paint(screen.cut(this_day), "dim"))
        self._day = this_day
        attempts = self._attempts(one) if one.attempts > 1 or _is_bad(one) else ()
        lines.append(self.drawn(self._row(burst, attempts)))
        return [*lines, *self._note(one, attempts)]

    def _row(self, burst: Burst, attempts: Sequence[Any]) -> list[Cell]:
        one, screen = burst.last, self.screen
        first = burst.members[0]
        total_ms = one.started_at_ms + one.duration_ms - first.started_at_ms
        return [
            Cell(clock(first.started_at_ms)),
            what_cell(burst, screen),
            model_cell(one, screen),
            target_cell(one, attempts, self._letters, screen),
            outcome_cell(burst),
            Cell(latency(one.first_event_ms)),
            Cell(elapsed(total_ms)),
            cost_cell(burst),
            Cell(screen.text(short_id(one.id)), style="dim"),
        ]

    def _note(self, one: Any, attempts: Sequence[Any]) -> list[str]:
        screen = self.screen
        text = screen.text(note(one, attempts))
        if not text:
            return []
        command = f"ccrelay exchange {screen.text(short_id(one.id))}"
        indent = NOTE_INDENT if screen.width >= 60 else 2
        # Where the last column of figures ends.
        right = min(screen.width, sum(column.least + column.gap for column in COLUMNS[:-1]) - 2)
        room = right - indent - width_of(command) - 2
        style = "red" if _is_bad(one) else "dim"
        if width_of(text) <= room:
            body = text + " " * (room - width_of(text) + 2) + command
            return [" " * indent + screen.paint(body, style)]
        lines = wrap(text, screen.width - indent, 0, screen.ellipsis)
        return [" " * indent + screen.paint(line, style) for line in lines]


def _is_bad(one: Any) -> bool:
    return bool(one.outcome == pb.OUTCOME_LOST)


def short_id(text: str) -> str:
    """Return an id without what all of them begin with."""
    return text.removeprefix(ID_PREFIX)


def what(burst: Burst) -> str:
    """Return whose exchange it is and what for: `payments-api subagent Explore`."""
    one = burst.last
    origin = one.project or one.session[:SESSION_SHOWN]
    if one.kind == "messages":
        purpose = one.traffic_class or "messages"
    else:
        purpose = one.kind
        if len(burst.members) > 1:
            purpose = f"{len(burst.members):,} x {purpose}"
    return join([origin, purpose, one.agent if one.traffic_class == "subagent" else ""], " ")


def what_cell(burst: Burst, screen: Screen) -> Cell:
    """Return whose exchange it is, in a shorter form where that is too long."""
    one = burst.last
    origin = one.project or one.session[:SESSION_SHOWN]
    shorter = [origin]
    if one.traffic_class == "subagent" and one.agent:
        shorter = [join([origin, one.agent], " "), one.agent]
    return Cell(
        screen.text(what(burst)), shorter=tuple(screen.text(form) for form in shorter if form)
    )


def model_of(one: Any) -> str:
    """Return the model, as `sonnet-5-5>glm-5.3` where another one was sent."""
    asked, sent = words.short_model(one.model), words.short_model(one.sent_model)
    if not asked and not sent:
        return "-"
    return asked if sent in ("", asked) else f"{asked}>{sent}"


def model_cell(one: Any, screen: Screen) -> Cell:
    """Return the model; where there is no room for two, the one that was sent."""
    text = model_of(one)
    sent = words.short_model(one.sent_model)
    return Cell(screen.text(text), shorter=(screen.text(f"> {sent}"),) if ">" in text else ())


def target_cell(
    one: Any, attempts: Sequence[Any], letters: Mapping[str, str], screen: Screen
) -> Cell:
    """Return the targets that were tried, as `A team-a > B eu-role`."""
    if not one.provider:
        return Cell("-")
    last = _target(one, letters)
    tried = [_target(attempt, letters) for attempt in attempts] or [last]
    if tried[-1] != last:
        tried.append(last)
    shown = [name for at, name in enumerate(tried) if not at or name != tried[at - 1]]
    ends = [shown[0], shown[-1]] if len(shown) > 1 else shown
    forms = [" > ".join(shown), " > ".join(ends), f"> {last}" if len(shown) > 1 else last]
    forms.append(f"> {one.key}" if len(shown) > 1 else one.key)
    if one.attempts > 1 and len(shown) == 1:
        forms[0] = f"{last} ({one.attempts} tries)"
    texts = [screen.text(form) for form in forms]
    return Cell(texts[0], shorter=tuple(texts[1:]))


def _target(one: Any, letters: Mapping[str, str]) -> str:
    return f"{letters.get(one.provider, '?')} {one.key}"


_OUTCOMES = {
    pb.OUTCOME_OK: ("ok", ""),
    pb.OUTCOME_FAILOVER: ("failover", "amber"),
    pb.OUTCOME_CLIENT_LEFT: ("client left", ""),
    pb.OUTCOME_REFUSED: ("refused", "amber"),
    pb.OUTCOME_LOST: ("lost", "red"),
}
_NO_ANSWER = (pb.OUTCOME_REFUSED, pb.OUTCOME_LOST)


def outcome_cell(burst: Burst) -> Cell:
    """Return how it went, in the words of the design."""
    members, one = burst.members, burst.last
    if len(members) > 1:
        good = sum(each.outcome == pb.OUTCOME_OK for each in members)
        if good == len(members):
            return Cell("all ok")
        return Cell(f"{len(members) - good:,} failed", style="amber")
    if one.outcome == pb.OUTCOME_PASSED_ON:
        text = f"{one.status} passed on" if one.status else "passed on"
        return Cell(text, style="amber", shorter=("passed on",))
    if one.outcome == pb.OUTCOME_OK and one.queued_ms >= WAITED_MS:
        return Cell(f"waited {elapsed(one.queued_ms)}", style="amber", shorter=("waited",))
    word, style = _OUTCOMES.get(one.outcome, ("unknown", ""))
    if one.outcome in _NO_ANSWER and one.status >= 400:
        return Cell(f"{word} {one.status}", style=style, shorter=(word,))
    return Cell(word, style=style)


def cost_cell(burst: Burst) -> Cell:
    """Return what it cost; at list price, marked `p`, where a plan pays."""
    one = burst.last
    has_tokens = any(one.tokens.ListFields())
    if one.cost.billing == providers_pb2.BILLING_FREE or one.kind in ("count_tokens", "models"):
        return Cell(FREE)
    if not one.cost.known:
        return Cell(UNKNOWN if has_tokens else "-")
    if not has_tokens and not one.cost.micros:
        return Cell("-")
    is_plan = one.cost.billing == providers_pb2.BILLING_PLAN
    return Cell(cost_of_one(one.cost.micros), mark="p" if is_plan else "")


# Of an attempt: an answer, or nothing that the target has done.
_NO_FAILURE = ("answered", "client_left", "passed_on")


def note(one: Any, attempts: Sequence[Any]) -> str:
    """Return what went wrong, in one line; empty: nothing did."""
    failed = [attempt for attempt in attempts if has_failed(attempt)]
    parts = [attempt_failed(attempt) for attempt in failed[:3]]
    if len(failed) > 3:
        parts.append(f"{count(len(failed) - 3, 'more failure')}")
    if not parts and one.outcome in (pb.OUTCOME_LOST, pb.OUTCOME_FAILOVER, pb.OUTCOME_REFUSED):
        parts = [one.error] if one.error else []
    if one.moved or one.cost.moved_micros:
        lost = f", lost {dollars(one.cost.moved_micros)}" if one.cost.moved_micros else ""
        parts.append(f"left a warm cache{lost}")
    return "; ".join(parts)


def has_failed(attempt: Any) -> bool:
    """Return whether an attempt gave no answer, and its target is to blame."""
    if attempt.verdict:
        return attempt.verdict not in _NO_FAILURE
    return bool(attempt.error) or not 200 <= attempt.status < 400


def attempt_failed(attempt: Any) -> str:
    """Return `529 overloaded at team-a after 0.41 s`."""
    what = attempt.error if attempt.verdict in ("", "lost") else attempt.verdict.replace("_", " ")
    what = (what or "failed").removesuffix(".")
    head = join([str(attempt.status) if attempt.status else "", what], " ")
    return f"{head} at {attempt.key} after {short(attempt.duration_ms)}"
