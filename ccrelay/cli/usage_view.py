"""`ccrelay usage` and `ccrelay prices` as lines of a terminal."""

from collections.abc import Sequence
from typing import Any

from ccrelay.cli.cells import join, width_of
from ccrelay.cli.format_counts import count, tokens_or_none
from ccrelay.cli.format_money import UNKNOWN, dollars, dollars_or_none, price
from ccrelay.cli.format_share import hits
from ccrelay.cli.format_time import DAY_S, clock, day
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, Fitted, draw, fit
from ccrelay.cli.time_range import Range
from ccrelay.cli.words import short_model

# By dimension: the title of its column, and its words in a sentence.
DIMENSIONS = {
    "provider": ("PROVIDER", "provider that answered"),
    "model": ("MODEL", "model that answered"),
    "key": ("KEY", "key that answered"),
    "class": ("CLASS", "class of traffic"),
    "session": ("SESSION", "session"),
    "project": ("PROJECT", "project"),
    "agent": ("AGENT", "sub-agent"),
    "day": ("DAY", "day"),
    "hour": ("HOUR", "hour"),
    "rule": ("RULE", "rule that matched"),
}
_FIGURES = (
    Column("EXCHANGES", right=True),
    Column("INPUT", right=True, least=6),
    Column("C.WRITE", right=True, least=7),
    Column("C.READ", right=True, least=7),
    Column("OUTPUT", right=True, least=6),
    Column("HITS", right=True),
    Column("BILLED", right=True, least=8),
    Column("PLANS", right=True, least=7),
    Column("SAVED", right=True, least=9),
)
_SHRINK = {"day": 0, "hour": 0, "session": 8}  # figures are not cut
_MONEY = {"BILLED", "PLANS", "SAVED"}
# Which columns are lost first where there is no room: what was paid is asked for most often.
_LOST_FIRST = ("SAVED", "PLANS", "C.WRITE", "C.READ", "HITS", "INPUT", "OUTPUT", "EXCHANGES")


def usage_lines(
    answer: Any,
    by: Sequence[str],
    bounds: Range,
    now_ms: int,
    screen: Screen,
    *,
    text: str = "",
) -> list[str]:
    """Return the lines of a `QueryResponse` with all rows, within the screen's width.

    Args:
        answer: sums; its `rows` are those of all pages.
        by: dimensions, of DIMENSIONS.
        bounds: what was asked for.
        now_ms: since 1970.
        screen: what they are for.
        text: filter; empty: none.
    """
    heading = screen.wrap(screen.text(title(by, bounds, now_ms, text)))
    if not answer.rows and not answer.total.exchanges:
        empty = "No exchanges in this time. Longer ago: ccrelay usage --since 30d"
        return [*heading, "", *screen.wrap(empty)]
    columns = [
        *(Column(DIMENSIONS[name][0], shrink_to=_SHRINK.get(name, 10)) for name in by),
        *((Column("", least=3),) if not by else ()),
        *_FIGURES,
    ]
    rows = [[*_group(row, by, screen), *_sums(row.totals)] for row in answer.rows if by]
    sums = [Cell("all"), *(Cell("") for _ in by[1:]), *_sums(answer.total)]
    kept = _columns_kept(columns, [*rows, sums], screen.width)
    columns = [columns[at] for at in kept]
    sums, *rows = [[row[at] for at in kept] for row in (sums, *rows)]
    fitted = fit(columns, [*rows, sums], screen.width)
    if _are_some_too_long(rows, fitted):
        rows = [
            [cell._replace(text=cell.shorter[0]) if cell.shorter else cell for cell in row]
            for row in rows
        ]
        fitted = fit(columns, [*rows, sums], screen.width)
    if len(rows) > 1:
        lines = draw(columns, rows, screen, fitted=fitted, sums=sums)
    else:
        lines = draw(columns, rows or [sums], screen, fitted=fitted)
    shown = {column.title for column in columns} - set(fitted.dropped)
    is_current = not bounds.until_ms or bounds.until_ms > now_ms
    notes = _notes(answer, screen, say_money=not shown >= _MONEY, say_today=is_current)
    return [*heading, "", *lines, "", *notes]


def _columns_kept(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int
) -> list[int]:
    """Return which columns there is room for, by their places."""
    kept = list(range(len(columns)))
    for title in _LOST_FIRST:
        some = [[row[at] for at in kept] for row in rows]
        if not fit([columns[at] for at in kept], some, width).dropped:
            break
        kept = [at for at in kept if columns[at].title != title]
    return kept


def _are_some_too_long(rows: Sequence[Sequence[Cell]], fitted: Fitted) -> bool:
    """Return whether some names are shown in their shorter form: then all of them are."""
    return any(
        cell.shorter and width_of(cell.text) > width
        for row in rows
        for cell, width in zip(row, fitted.widths, strict=False)
    )


def _group(row: Any, by: Sequence[str], screen: Screen) -> list[Cell]:
    cells = []
    for name, value in zip(by, row.group, strict=True):
        shown = screen.text(value) or "-"
        if name == "hour":
            shown = shown.replace("T", " ") + ":00"
        elif name == "session":
            cells.append(Cell(shown, shorter=(shown[:8],)))
            continue
        shorter = (short_model(shown),) if name == "model" else ()
        cells.append(Cell(shown, shorter=shorter))
    return cells


def _sums(one: Any) -> list[Cell]:
    plain, written, read = one.input_tokens, one.cache_write_tokens, one.cache_read_tokens
    # Nothing that has a price: an amount would say less than nothing.
    is_unpriced = one.unpriced > 0 and not one.billed_micros
    billed = UNKNOWN if is_unpriced else dollars_or_none(one.billed_micros)
    return [
        Cell(count(one.exchanges)),
        Cell(tokens_or_none(plain)),
        Cell(tokens_or_none(written)),
        Cell(tokens_or_none(read)),
        Cell(tokens_or_none(one.output_tokens)),
        Cell(hits(read, written, plain)),
        Cell(billed, mark="?" if one.unpriced and not is_unpriced else ""),
        Cell(dollars_or_none(one.plan_micros)),
        Cell(dollars_or_none(one.saved_micros)),
    ]


def title(by: Sequence[str], bounds: Range, now_ms: int, text: str) -> str:
    """Return `Fri 27 Nov to Thu 3 Dec, by model that answered`."""
    words = " and ".join(DIMENSIONS[name][1] for name in by)
    return join(
        [_period(bounds, now_ms), f"by {words}" if by else "", f"only {text}" if text else ""]
    )


def _period(bounds: Range, now_ms: int) -> str:
    end_ms = bounds.until_ms or now_ms
    is_midnight = clock(end_ms) == "00:00:00"
    last = day(end_ms - 1, now_ms) if is_midnight or not bounds.until_ms else ""
    if not bounds.since_ms:
        return f"All until {last or day(end_ms, now_ms)}"
    if clock(bounds.since_ms) == "00:00:00" and last:
        first = day(bounds.since_ms, now_ms)
        return last if first == last else f"{first} to {last}"
    first = f"{day(bounds.since_ms, now_ms)} {clock(bounds.since_ms)[:5]}"
    end = f"{day(end_ms, now_ms)} {clock(end_ms)[:5]}"
    if end_ms - bounds.since_ms < DAY_S * 1000 and day(end_ms, now_ms) == day(
        bounds.since_ms, now_ms
    ):
        end = clock(end_ms)[:5]
    return f"{first} to {end}"


def _notes(answer: Any, screen: Screen, *, say_money: bool, say_today: bool) -> list[str]:
    total = answer.total
    lines = []
    if say_money:  # where columns were lost, their sums are not
        money = [
            f"Billed {dollars(total.billed_micros)}",
            f"covered by plans {dollars(total.plan_micros)} at list price",
            f"saved by caches {dollars(total.saved_micros)}",
        ]
        lines += screen.wrap(f"{join(money)}.")
    facts = []
    if total.moves or total.moved_micros:
        left = f"a warm cache was left {count(total.moves, 'time')}"
        facts.append(f"Lost by moves: {dollars(total.moved_micros)} ({left}).")
    if say_today and answer.today_expected_micros:
        expected = dollars(answer.today_expected_micros)
        facts.append(f"Today should end near {expected} at list price.")
    if facts:
        lines += screen.wrap(join(facts, " "))
    version = answer.prices_version or "an unknown date"
    unpriced = f"{count(total.unpriced, 'exchange')} without a known price"
    return [*lines, *screen.wrap(screen.text(f"Prices of {version}; {unpriced}."))]


def prices_lines(answer: Any, screen: Screen) -> list[str]:
    """Return the lines of a `PricesResponse`."""
    columns = [
        Column("MODEL", shrink_to=18),  # shorter ones are the same for several
        Column("OF", shrink_to=6),
        Column("ABOVE", right=True),  # tells two prices of a model apart
        Column("INPUT", right=True),
        Column("OUTPUT", right=True),
        Column("C.READ", right=True),
        Column("C.WRITE 5M", right=True),
        Column("C.WRITE 1H", right=True),
    ]
    rows = [
        [
            Cell(screen.text(one.model)),
            Cell(_whose(one, screen)),
            Cell(tokens_or_none(one.above_tokens)),
            Cell(price(one.input_micros)),
            Cell(price(one.output_micros)),
            Cell(_cache_price(one.cache_read_micros)),
            Cell(_cache_price(one.cache_write_5m_micros)),
            Cell(_cache_price(one.cache_write_1h_micros)),
        ]
        for one in answer.prices
    ]
    configured = sum(one.configured for one in answer.prices)
    facts = f"{count(configured, 'price')} of the configuration (*)" if configured else ""
    head = f"US dollars per million tokens; built-in prices of {answer.version}"
    lines = screen.wrap(screen.text(f"{join([head, facts])}."))
    if not rows:
        return [*lines, *screen.wrap("No price is known. Set one: providers[].prices.")]
    return [*lines, "", *draw(columns, rows, screen)]


def _cache_price(micros: int) -> str:
    return price(micros) if micros else "-"  # a provider without such a cache


def _whose(one: Any, screen: Screen) -> str:
    name = "all" if one.provider == "*" else screen.text(one.provider)
    return f"{name}*" if one.configured else name
