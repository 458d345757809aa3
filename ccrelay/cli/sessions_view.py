"""Sessions as lines of a terminal: a list, and one as a tree."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ccrelay.cli.cells import join
from ccrelay.cli.exchanges_view import SESSION_SHOWN, Attempts, attempt_failed, has_failed, short_id
from ccrelay.cli.format_counts import count, tokens, tokens_or_none
from ccrelay.cli.format_money import UNKNOWN, dollars, dollars_or_none
from ccrelay.cli.format_share import hits
from ccrelay.cli.format_time import clock, day
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, draw
from ccrelay.cli.words import short_model
from ccrelay.v1 import providers_pb2

MAIN = "main"
_LIST = (
    Column("PROJECT", shrink_to=12),
    Column("SESSION", shrink_to=6),
    Column("SINCE", right=True),
    Column("LAST", right=True),
    Column("TURNS", right=True),
    Column("AGENTS", right=True),
    Column("COST", right=True, least=7),
    Column("TARGET", least=10, shrink_to=9),
    Column("MODEL", shrink_to=8),
    Column("CONTEXT", right=True),
    Column("HITS", right=True),
)
_TREE = (
    Column("CONVERSATION", least=14, shrink_to=12),
    Column("MODEL", shrink_to=8),
    Column("TARGET", shrink_to=9),
    Column("EXCHANGES", right=True),
    Column("COST", right=True, least=7),
    Column("PROMPT", right=True, least=6),
    Column("HITS", right=True),
    Column("OUTPUT", right=True, least=6),
)


def session_lines(
    found: Sequence[Any], letters: Mapping[str, str], now_ms: int, screen: Screen
) -> list[str]:
    """Return the lines of a list of sessions, in its order.

    Args:
        found: messages `Session`.
        letters: of the providers.
        now_ms: since 1970.
        screen: what they are for.
    """
    rows = [
        [
            Cell(screen.text(one.project) or "-"),
            Cell(screen.text(one.session), shorter=(screen.text(one.session[:SESSION_SHOWN]),)),
            Cell(_time(one.first_at_ms, now_ms)),
            Cell(_time(one.last_at_ms, now_ms)),
            Cell(count(one.turns)),
            Cell(count(one.agents) if one.agents else "-"),
            _cost(one.totals),
            Cell(screen.text(_target(one.target, letters))),
            Cell(screen.text(short_model(one.model)) or "-"),
            Cell(tokens_or_none(one.prompt_tokens)),
            Cell(_hits(one.totals)),
        ]
        for one in found
    ]
    return draw(_LIST, rows, screen)


def _time(at_ms: int, now_ms: int) -> str:
    """Return `12:41`, on another day `Thu 3 Dec`."""
    is_today = day(at_ms, now_ms) == day(now_ms, now_ms)
    return clock(at_ms)[:5] if is_today else day(at_ms, now_ms)


def _target(target: str, letters: Mapping[str, str]) -> str:
    provider, _, key = target.partition("/")
    return f"{letters.get(provider, '?')} {key}" if provider else "-"


def _cost(totals: Any) -> Cell:
    """At list price; `p` where a plan covers all of it, `?` where some has no price."""
    amount = totals.billed_micros + totals.plan_micros
    if totals.unpriced:
        return Cell(dollars(amount), mark="?") if amount else Cell(UNKNOWN)
    is_plan = totals.plan_micros > 0 and not totals.billed_micros
    return Cell(dollars_or_none(amount), mark="p" if is_plan else "")


def _hits(totals: Any) -> str:
    return hits(totals.cache_read_tokens, totals.cache_write_tokens, totals.input_tokens)


# ---- one session


class Branch(NamedTuple):
    """A conversation of a session: the main one, a sub-agent, or a class of other calls."""

    name: str
    is_agent: bool
    models: list[str]
    targets: list[str]
    totals: Any


def branches(rows: Sequence[Any]) -> list[Branch]:
    """Return the conversations: main, then sub-agents, then the rest, the dearest first.

    `rows`: of a QueryResponse by agent, class, model, key, the dearest first.
    """
    found: dict[tuple[bool, str], Branch] = {}
    for row in rows:
        agent, traffic, model, key = row.group
        name = agent or traffic or "other"
        branch = found.get((bool(agent), name))
        if branch is None:
            branch = Branch(name, bool(agent), [], [], providers_pb2.Totals())
            found[bool(agent), name] = branch
        if model and model not in branch.models:
            branch.models.append(model)
        if key and key not in branch.targets:
            branch.targets.append(key)
        add(branch.totals, row.totals)
    return sorted(
        found.values(), key=lambda one: (one.name != MAIN or one.is_agent, not one.is_agent)
    )


def add(total: Any, more: Any) -> None:
    """Add the sums of one message to those of another."""
    for field, value in more.ListFields():
        setattr(total, field.name, getattr(total, field.name) + value)


def tree_lines(
    one: Any,
    parts: Any,
    moves: Sequence[Any],
    letters: Mapping[str, str],
    attempts: Attempts,
    now_ms: int,
    screen: Screen,
) -> list[str]:
    """Return the lines of one session.

    Args:
        one: `Session`.
        parts: its `QueryResponse` by agent, class, model, key.
        moves: its exchanges that left a warm cache, oldest first.
        letters: of the providers.
        attempts: of an exchange.
        now_ms: since 1970.
        screen: what they are for.
    """
    lines = screen.wrap(screen.text(_sentence(one, now_ms)))
    if where := _where(one):
        lines += screen.wrap(screen.text(where))
    rows = [_branch_row(branch, letters, screen) for branch in branches(parts.rows)]
    sums = [Cell("all"), Cell(""), Cell(""), *_figures(one.totals)]
    lines += [
        "",
        *(draw(_TREE, rows, screen, sums=sums) if len(rows) > 1 else draw(_TREE, rows, screen)),
    ]
    if moves:
        lines += ["", screen.paint("MOVED", "bold")]
        for move in moves:
            text = move_text(move, letters, attempts(move), now_ms)
            command = f"ccrelay exchange {short_id(move.id)}"
            lines += screen.wrap(screen.text(f"{text} · {command}"), 4)
    return lines


def _sentence(one: Any, now_ms: int) -> str:
    """Return `payments-api 3f8c41 has cost $13.84 since 12:41: 47 turns, 9 sub-agents.`"""
    name = join([one.project, one.session], " ")
    facts = [count(one.turns, "turn"), count(one.agents, "sub-agent") if one.agents else ""]
    amount = dollars(one.totals.billed_micros + one.totals.plan_micros)
    plan = ", at list price of a plan" if one.totals.plan_micros else ""
    return f"{name} has cost {amount}{plan} since {_time(one.first_at_ms, now_ms)}: {join(facts)}."


def _where(one: Any) -> str:
    if not one.target:
        return ""
    size = f", {tokens(one.prompt_tokens)} tokens of prompt" if one.prompt_tokens else ""
    return f"It lives at {one.target} ({short_model(one.model)}{size})."


def _branch_row(branch: Branch, letters: Mapping[str, str], screen: Screen) -> list[Cell]:
    indent = "  " if branch.is_agent else ""
    targets = [screen.text(_target(target, letters)) for target in branch.targets]
    models = [screen.text(short_model(model)) for model in branch.models]
    return [
        Cell(screen.text(indent + branch.name)),
        Cell(", ".join(models) or "-", shorter=tuple(models[:1])),
        Cell(", ".join(targets) or "-", shorter=tuple(targets[:1])),
        *_figures(branch.totals),
    ]


def _figures(totals: Any) -> list[Cell]:
    whole = totals.input_tokens + totals.cache_write_tokens + totals.cache_read_tokens
    return [
        Cell(count(totals.exchanges)),
        _cost(totals),
        Cell(tokens_or_none(whole)),
        Cell(_hits(totals)),
        Cell(tokens_or_none(totals.output_tokens)),
    ]


def move_text(one: Any, letters: Mapping[str, str], attempts: Sequence[Any], now_ms: int) -> str:
    """Return `14:27:41 main to B eu-role: 529 overloaded at team-a after 0.41 s; lost $0.97 ...`"""
    failed = [attempt_failed(attempt) for attempt in attempts if has_failed(attempt)]
    lost = f"lost {dollars(one.cost.moved_micros)} of cache" if one.cost.moved_micros else ""
    why = join([*failed[-1:], lost], "; ")
    at = clock(one.started_at_ms)
    when = (
        at
        if day(one.started_at_ms, now_ms) == day(now_ms, now_ms)
        else (f"{day(one.started_at_ms, now_ms)} {at}")
    )
    target = _target(f"{one.provider}/{one.key}", letters)
    return join([f"{when} {one.agent or MAIN} to {target}", why], ": ")
