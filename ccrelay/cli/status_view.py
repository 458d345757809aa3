"""`ccrelay status` as lines of a terminal."""

from collections.abc import Sequence
from typing import Any

from ccrelay.cli import keys_view, words
from ccrelay.cli.cells import join
from ccrelay.cli.format_counts import count, none_or, tokens
from ccrelay.cli.format_money import dollars, dollars_or_none
from ccrelay.cli.format_share import percent
from ccrelay.cli.format_time import latency, span, weekday_clock
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, draw
from ccrelay.config.letters import letters as letters_of
from ccrelay.v1 import providers_pb2 as pb, relay_pb2

_WINDOWS = (("5h", "5 H"), ("7d", "7 D"))
_HARDLY_ROOM = 0.1
NOTICES_MAX = 5  # lines of text; JSON has all


def status_lines(status: Any, screen: Screen, *, own_version: str = "") -> list[str]:
    """Return the lines of a status, all within the screen's width.

    Args:
        status: a `ccrelay.v1.Status`.
        screen: what they are for.
        own_version: that of this command; another one of the relay is said. Empty: not compared.
    """
    lines = [
        *_head(status, screen),
        *_sentence(status, screen),
        "",
        *key_table(status.providers, status.at_ms, screen),
        *_addresses(status.providers, status.at_ms, screen),
    ]
    if notices := _notices(status, screen, own_version):
        lines += ["", *notices]
    else:
        lines.append("")
    return [*lines, *_money(status.today, screen)]


def _head(status: Any, screen: Screen) -> list[str]:
    up = span((status.at_ms - status.started_at_ms) / 1000)
    listen = " ".join(screen.text(address) for address in status.listen)
    workers = count(len(status.workers), "worker")
    left = join([f"ccrelay {screen.text(status.version)}", f"up {up}", listen, workers])
    return screen.ends(left, weekday_clock(status.at_ms))


def _sentence(status: Any, screen: Screen) -> list[str]:
    today = status.today
    facts = join(
        [
            f"{count(status.in_flight, 'stream')} open",
            f"{count(status.queued)} waiting for room" if status.queued else "",
            f"{count(today.exchanges, 'exchange')} today",
            count(today.failovers, "failover") if today.failovers else "",
            none_or(today.lost, "lost"),
        ]
    )
    word, style = verdict(status)
    first, *more = screen.wrap(f"{word} {facts}.")
    if first.startswith(word):
        first = screen.paint(word, style) + first[len(word) :]
    return [first, *more]


def verdict(status: Any) -> tuple[str, str]:
    """Return in a sentence whether requests are answered, and its style."""
    if status.state == relay_pb2.Status.STATE_DRAINING:
        return "Draining: it ends when what runs has ended.", "amber"
    if status.state == relay_pb2.Status.STATE_STARTING:
        return "Starting: not all workers serve yet.", "amber"
    if not status.answering:
        return "Not answering: for some model no target can be used now.", "red"
    return "Answering.", "bold"


def key_table(providers: Sequence[Any], now_ms: int, screen: Screen) -> list[str]:
    """Return the table of all keys, with what they cost today."""
    keys = [(one, key) for one in providers for key in one.keys]
    if not keys:
        return screen.wrap(keys_view.NOTHING)
    letters = letters_of(one.name for one in providers)
    windows = [
        (name, title)
        for name, title in _WINDOWS
        if any(words.window(key, name) is not None for _, key in keys)
    ]
    columns = [
        Column(""),
        Column("KEY", least=18, shrink_to=10, gap=1),
        Column("STATE", least=13),
        Column("OPEN", right=True),
        Column("ROOM", right=True, least=5),
        *(Column(title, right=True, least=5) for _, title in windows),
        Column("FIRST", right=True, least=6),
        Column("TODAY", right=True, least=6, title_over_mark=True),
        Column("EXCH.", right=True, extra=True),
        Column("TOKENS", right=True, extra=True),
        Column("SAVED", right=True, extra=True),
    ]
    rows = [
        [
            Cell(letters[one.name]),
            words.key_name(one, key, screen),
            words.key_state(key, now_ms),
            Cell(count(key.in_flight)),
            _room(key),
            *(_used(words.window(key, name)) for name, _ in windows),
            Cell(latency(key.first_event_ms)),
            words.money_today(key.today, one.billing),
            Cell(count(key.today.exchanges)),
            Cell(tokens(_all_tokens(key.today))),
            Cell(dollars_or_none(key.today.saved_micros)),
        ]
        for one, key in keys
    ]
    return draw(columns, rows, screen)


def _room(key: Any) -> Cell:
    if not key.HasField("room"):
        return Cell("-")
    return Cell(percent(key.room), style="amber" if key.room < _HARDLY_ROOM else "")


def _used(window: Any) -> Cell:
    if window is None:
        return Cell("-")
    if words.needs_look(window):
        return Cell(percent(window.utilization), "!", "amber")
    return Cell(percent(window.utilization))


def _all_tokens(today: Any) -> int:
    parts = (today.input_tokens, today.output_tokens, today.cache_read_tokens)
    return int(sum(parts) + today.cache_write_tokens)


def _addresses(providers: Sequence[Any], now_ms: int, screen: Screen) -> list[str]:
    letters = letters_of(one.name for one in providers)
    rows = [
        [
            Cell(letters[one.name]),
            Cell(screen.text(words.address(one.base_url))),
            words.breaker_state(one.breaker),
            Cell(words.breaker_note(one.breaker, now_ms)),
        ]
        for one in providers
        if one.breaker.state in (pb.Breaker.STATE_OPEN, pb.Breaker.STATE_HALF_OPEN)
    ]
    if not rows:
        return []
    columns = [
        Column(""),
        Column("ADDRESS", least=18, shrink_to=10, gap=1),
        Column("BREAKER", least=9),
        Column("", shrink_to=16),
    ]
    return ["", *draw(columns, rows, screen)]


def _notices(status: Any, screen: Screen, own_version: str) -> list[str]:
    lines = []
    told = [notice for notice in status.notices if not _is_in_tables(notice, status)]
    for notice in told[:NOTICES_MAX]:
        is_error = notice.severity == relay_pb2.Notice.SEVERITY_ERROR
        lines += _notice(
            (screen.cross if is_error else "!", "red" if is_error else "amber"),
            join([notice.subject, notice.message], ": "),
            notice.command,
            screen,
        )
    if len(told) > NOTICES_MAX:
        more = f"{count(len(told) - NOTICES_MAX, 'more notice')}: ccrelay status --json"
        lines += screen.wrap(f"  {more}")
    amber = ("!", "amber")
    if status.reload_problem and not any(one.subject == "config" for one in status.notices):
        text = f"The last reload changed nothing: {status.reload_problem}"
        lines += _notice(amber, text, "ccrelay config check", screen)
    if own_version and status.version and own_version != status.version:
        text = f"This command is of version {own_version}, the relay runs {status.version}."
        lines += _notice(amber, text, f"kill -USR2 {status.pid}", screen)
    return lines


def _is_in_tables(notice: Any, status: Any) -> bool:
    """Return whether the tables say it already: a key in cooldown, an address that is not well."""
    if notice.severity != relay_pb2.Notice.SEVERITY_WARNING:
        return False
    if notice.command.startswith("ccrelay providers probe "):
        return any(notice.subject == one.name for one in status.providers)
    return notice.command.startswith("ccrelay keys clear-cooldown ") and any(
        notice.subject == f"{one.name}/{key.name}" and key.state == pb.Key.STATE_COOLDOWN
        for one in status.providers
        for key in one.keys
    )


def _notice(mark: tuple[str, str], text: str, command: str, screen: Screen) -> list[str]:
    first, *more = screen.wrap(f"{mark[0]} {screen.text(text)}", 2)
    lines = [screen.paint(mark[0], mark[1]) + first[len(mark[0]) :], *more]
    if command:
        lines += screen.wrap(f"  do: {screen.text(command)}", 6)
    return lines


def _savings(micros: int) -> str:
    if micros < 0:  # written, and not read again yet
        return f"Writing to caches has cost {dollars(-micros)} more than they saved."
    return f"Caches saved {dollars(micros)}." if micros else ""


def _money(today: Any, screen: Screen) -> list[str]:
    sentence = [
        f"Billed today {dollars(today.billed_micros)}.",
        f"Plans (p) cover {dollars(today.plan_micros)} at list price." if today.plan_micros else "",
        _savings(today.saved_micros),
        f"Moves lost {dollars(today.moved_micros)} of cache." if today.moved_micros else "",
        f"{count(today.unpriced, 'exchange')} without a known price (?)." if today.unpriced else "",
    ]
    used = [
        f"{tokens(today.input_tokens)} input",
        f"{tokens(today.cache_write_tokens)} cache write" if today.cache_write_tokens else "",
        f"{tokens(today.cache_read_tokens)} cache read" if today.cache_read_tokens else "",
        f"{tokens(today.output_tokens)} output",
    ]
    return [*screen.wrap(join(sentence, " ")), *screen.wrap(f"Tokens today: {join(used)}.")]
