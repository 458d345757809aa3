"""Sessions as rows: one conversation each, with what it came to."""

from collections.abc import Callable, Sequence
from typing import Any

from ccrelay.cli.cells import join
from ccrelay.cli.format_counts import count, tokens_or_none
from ccrelay.cli.format_money import UNKNOWN, dollars
from ccrelay.cli.format_share import hits
from ccrelay.cli.format_time import clock, moment
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, draw_row, fit
from ccrelay.config.letters import letters as letters_of

ACTIVE_MS = 15 * 60_000  # a session that was quiet for so long is told with its end
SHORT = 6

# When a session left a warm cache last, milliseconds since 1970; 0: not known.
MovedAt = Callable[[str], int]

COLUMNS = (
    Column("PROJECT", least=8, shrink_to=6),
    Column("SESSION", least=7),
    Column("TIME", least=11),
    Column("TURNS", least=8, shrink_to=8),
    Column("COST", right=True, least=7),
    Column("CACHE", right=True, least=5),
    Column("CONTEXT", right=True, least=7),
    Column("NOW AT", least=8, shrink_to=8),
    Column("MODEL", least=8, shrink_to=8, extra=True),
    Column("MOVES", right=True, least=5, extra=True),
)


def cost(totals: Any) -> str:
    """Return what a session came to, billed and covered by plans; `?`: no price is known."""
    amount = totals.billed_micros + totals.plan_micros
    if totals.unpriced and not amount:
        return UNKNOWN
    return dollars(amount)


def cache(totals: Any) -> str:
    """Return the share of the input that came from the cache."""
    return hits(totals.cache_read_tokens, totals.cache_write_tokens, totals.input_tokens)


def span_of(one: Any, now_ms: int) -> str:
    """Return `since 12:41` of a session that goes on, else `10:20-11:31`."""
    first = moment(one.first_at_ms, now_ms)
    first = first[:5] if first.count(":") == 2 else first
    if now_ms - one.last_at_ms < ACTIVE_MS:
        return f"since {first}"
    last = clock(one.last_at_ms)[:5]
    return f"{first}-{last}"


def work(one: Any) -> str:
    """Return `47 turns, 9 agents`."""
    agents = count(one.agents, "agent") if one.agents else ""
    return join([count(one.turns, "turn"), agents])


def target(one: Any, letters: dict[str, str], screen: Screen) -> str:
    """Return where its last turn was answered, as `B eu-role`."""
    provider, _, key = one.target.partition("/")
    if not provider:
        return "-"
    return screen.text(f"{letters.get(provider, '?')} {key}")


def moves(one: Any, moved_at: MovedAt, now_ms: int) -> str:
    """Return `moved 14:27`, `3 moves, last 14:27`, `2 moves`; empty: it has not moved."""
    number, at_ms = one.totals.moves, moved_at(one.session)
    if not number:
        return ""
    when = moment(at_ms, now_ms) if at_ms else ""
    when = when[:5] if when.count(":") == 2 else when
    if not when:
        return count(number, "move")
    return f"moved {when}" if number == 1 else f"{count(number, 'move')}, last {when}"


def rows(
    sessions: Sequence[Any],
    providers: Sequence[Any],
    now_ms: int,
    screen: Screen,
    moved_at: MovedAt = lambda _: 0,
) -> tuple[str, list[str]]:
    """Return the heading and a line per session, all within the screen's width."""
    letters = letters_of(one.name for one in providers)
    cells = [_cells(one, letters, now_ms, screen, moved_at) for one in sessions]
    fitted = fit(COLUMNS, cells, screen.width)
    heading = draw_row(COLUMNS, [Cell(column.title) for column in COLUMNS], fitted, screen)
    return heading, [draw_row(COLUMNS, row, fitted, screen) for row in cells]


def short_rows(
    sessions: Sequence[Any],
    providers: Sequence[Any],
    now_ms: int,
    screen: Screen,
    moved_at: MovedAt = lambda _: 0,
) -> list[str]:
    """Return a line per session that needs no heading."""
    letters = letters_of(one.name for one in providers)
    columns = (
        Column("", least=8, shrink_to=6),
        Column("", least=6),
        Column("", least=11),
        Column("", least=8, shrink_to=8),
        Column("", least=8, shrink_to=8),
        Column("", least=10),
        Column("", right=True),
        Column("", right=True, least=7),
    )
    cells = [
        [
            Cell(screen.text(one.project) or "-"),
            Cell(screen.text(one.session[:SHORT]) or "-", style="dim"),
            Cell(span_of(one, now_ms)),
            Cell(work(one), shorter=(count(one.turns, "turn"),)),
            Cell(
                join([target(one, letters, screen), moves(one, moved_at, now_ms)]),
                shorter=(target(one, letters, screen),),
                style="amber" if one.totals.moves else "",
            ),
            Cell(f"cache {cache(one.totals)}"),
            Cell(f"{tokens_or_none(one.prompt_tokens)} tokens" if one.prompt_tokens else ""),
            Cell(cost(one.totals)),
        ]
        for one in sessions
    ]
    fitted = fit(columns, cells, screen.width)
    return [draw_row(columns, row, fitted, screen) for row in cells]


def _cells(
    one: Any, letters: dict[str, str], now_ms: int, screen: Screen, moved_at: MovedAt
) -> list[Cell]:
    totals = one.totals
    return [
        Cell(screen.text(one.project) or "-"),
        Cell(screen.text(one.session[:SHORT]) or "-", style="dim"),
        Cell(span_of(one, now_ms)),
        Cell(work(one), shorter=(count(one.turns, "turn"),)),
        Cell(cost(totals)),
        Cell(cache(totals)),
        Cell(tokens_or_none(one.prompt_tokens)),
        Cell(target(one, letters, screen)),
        Cell(screen.text(_short_model(one.model)) or "-"),
        Cell(moves(one, moved_at, now_ms) or "-", style="amber" if totals.moves else ""),
    ]


def _short_model(model: str) -> str:
    from ccrelay.cli.words import short_model

    return short_model(model)


def title_sums(sessions: Sequence[Any]) -> str:
    """Return `6, $26.02`."""
    amount = sum(one.totals.billed_micros + one.totals.plan_micros for one in sessions)
    return f"{len(sessions)}, {dollars(amount)}"
