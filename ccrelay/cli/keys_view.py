"""`ccrelay keys` and `ccrelay providers` as lines of a terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from ccrelay.cli import words
from ccrelay.cli.cells import join
from ccrelay.cli.format_counts import count, tokens
from ccrelay.cli.format_share import percent
from ccrelay.cli.format_time import countdown, latency, moment, span
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell, Column, draw
from ccrelay.config.letters import letters as letters_of
from ccrelay.v1 import providers_pb2 as pb

NOTHING = "No provider. Write a configuration: ccrelay init"

_STATES = (
    (pb.Key.STATE_IN_USE, "in use"),
    (pb.Key.STATE_IDLE, "idle"),
    (pb.Key.STATE_COOLDOWN, "in cooldown"),
    (pb.Key.STATE_FULL, "full"),
    (pb.Key.STATE_REFUSED, "refused"),
    (pb.Key.STATE_DISABLED, "disabled"),
)


def keys_lines(providers: Sequence[Any], now_ms: int, screen: Screen) -> list[str]:
    """Return all keys: a sentence, a table, their windows, and why some rest."""
    keys = [(one, key) for one in providers for key in one.keys]
    if not keys:
        return screen.wrap(NOTHING)
    lines = [*screen.wrap(f"{states_line(key for _, key in keys)}."), ""]
    lines += _keys_table(providers, now_ms, screen)
    if windows := _windows(providers, now_ms, screen):
        lines += ["", *windows]
    if rests := _rests(keys, now_ms, screen):
        lines += ["", *rests]
    return lines


def states_line(keys: Iterable[Any]) -> str:
    """Return how many keys are in which state; nothing where there is no key."""
    states = [key.state for key in keys]
    return join(
        f"{states.count(state)} {word}" if state in states else "" for state, word in _STATES
    )


def _keys_table(providers: Sequence[Any], now_ms: int, screen: Screen) -> list[str]:
    letters = letters_of(one.name for one in providers)
    columns = [
        Column(""),
        Column("KEY", least=18, shrink_to=10, gap=1),
        Column("STATE", least=13),
        Column("OPEN", right=True),
        Column("ROOM", right=True, least=5),
        Column("WEIGHT", right=True),
        Column("PRIO", right=True),
        Column("FINGERPRINT"),
        Column("FIRST", right=True, least=6, extra=True),
        Column("TODAY", right=True, least=6, extra=True),
    ]
    rows = [
        [
            Cell(letters[one.name]),
            words.key_name(one, key, screen),
            words.key_state(key, now_ms),
            Cell(count(key.in_flight)),
            Cell(percent(key.room) if key.HasField("room") else "-"),
            Cell(count(key.weight)),
            Cell(count(key.priority)),
            Cell(screen.text(key.fingerprint), style="dim"),
            Cell(latency(key.first_event_ms)),
            words.money_today(key.today, one.billing),
        ]
        for one in providers
        for key in one.keys
    ]
    return draw(columns, rows, screen)


def _windows(providers: Sequence[Any], now_ms: int, screen: Screen) -> list[str]:
    columns = [
        Column("WINDOW OF", least=20, shrink_to=12),
        Column("NAME", shrink_to=6),
        Column("USED", right=True, least=5),
        Column("RESET"),
        Column("AT THIS RATE", shrink_to=16),
        Column("COUNTED", right=True, extra=True),
    ]
    rows = [
        [
            words.key_name(one, key, screen),
            Cell(screen.text(window.name.replace("_", " "))),
            _used(window),
            Cell(
                f"in {countdown((window.resets_at_ms - now_ms) / 1000)}"
                if window.resets_at_ms
                else "-"
            ),
            Cell(forecast(window, now_ms)),
            Cell(f"{tokens(window.used)} of {tokens(window.limit)}" if window.limit else "-"),
        ]
        for one in providers
        for key in one.keys
        for window in key.windows
    ]
    return draw(columns, rows, screen) if rows else []


def _used(window: Any) -> Cell:
    if words.needs_look(window):
        return Cell(percent(window.utilization), "!", "amber")
    return Cell(percent(window.utilization))


def forecast(window: Any, now_ms: int) -> str:
    """Return how a window ends if use goes on as now; `-` where that is not known."""
    if window.utilization >= 1:
        return "used up"
    if window.full_at_ms and (not window.resets_at_ms or window.full_at_ms < window.resets_at_ms):
        text = f"runs out {moment(window.full_at_ms, now_ms)}"
        if window.resets_at_ms:
            text += f", {_early((window.resets_at_ms - window.full_at_ms) / 1000)} early"
        return text
    if window.HasField("utilization_at_reset"):
        return f"lasts, {percent(window.utilization_at_reset)} by reset"
    return "-"


def _early(seconds: float) -> str:
    hours = round(seconds / 3600)
    return f"{hours} h" if 1 <= hours < 72 else span(seconds)


def _rests(keys: Sequence[tuple[Any, Any]], now_ms: int, screen: Screen) -> list[str]:
    lines = []
    for provider, key in keys:
        name = screen.text(f"{provider.name}/{key.name}")
        if key.cooldown_reason and key.state in (pb.Key.STATE_COOLDOWN, pb.Key.STATE_REFUSED):
            lines += screen.wrap(f"{name}: {screen.text(key.cooldown_reason)}", 2)
        for rest in key.group_cooldowns:
            if rest.until_ms > now_ms:
                left = countdown((rest.until_ms - now_ms) / 1000)
                text = f"{name}: {screen.text(rest.group)} models rest for another {left}"
                lines += screen.wrap(text, 2)
    return lines


def providers_lines(providers: Sequence[Any], now_ms: int, screen: Screen) -> list[str]:
    """Return all providers: a sentence and a table."""
    if not providers:
        return screen.wrap(NOTHING)
    letters = letters_of(one.name for one in providers)
    columns = [
        Column(""),
        Column("PROVIDER", least=12, shrink_to=8, gap=1),
        Column("STATE", least=8),
        Column("BREAKER", least=9),
        Column("KEYS", right=True),
        Column("PAID BY"),
        Column("FIRST", right=True, least=6),
        Column("ADDRESS", least=16, shrink_to=12),
        Column("TYPE", extra=True),
        Column("WEIGHT", right=True, extra=True),
        Column("PRIO", right=True, extra=True),
    ]
    rows = [
        [
            Cell(letters[one.name]),
            Cell(screen.text(one.name) + ("*" if one.overrides else "")),
            Cell("enabled") if one.enabled else Cell("disabled", style="dim"),
            words.breaker_state(one.breaker),
            Cell(_usable(one)),
            Cell(words.BILLING_WORDS.get(one.billing, "?")),
            Cell(latency(one.first_event_ms)),
            Cell(screen.text(words.address(one.base_url))),
            Cell(screen.text(one.type)),
            Cell(count(one.weight)),
            Cell(count(one.priority)),
        ]
        for one in providers
    ]
    lines = [*screen.wrap(_sentence(providers)), "", *draw(columns, rows, screen)]
    notes = _notes(providers, now_ms, screen)
    return [*lines, "", *notes] if notes else lines


def _usable(provider: Any) -> str:
    usable = sum(key.state in (pb.Key.STATE_IDLE, pb.Key.STATE_IN_USE) for key in provider.keys)
    return f"{usable} of {len(provider.keys)}"


def _sentence(providers: Sequence[Any]) -> str:
    disabled = sum(not one.enabled for one in providers)
    states = [one.breaker.state for one in providers]
    opened, half = (states.count(s) for s in (pb.Breaker.STATE_OPEN, pb.Breaker.STATE_HALF_OPEN))
    facts = [
        count(len(providers), "provider"),
        f"{disabled} disabled" if disabled else "",
        f"{count(opened, 'breaker')} open" if opened else "",
        f"{count(half, 'breaker')} half-open" if half else "",
    ]
    return f"{join(facts)}."


def _notes(providers: Sequence[Any], now_ms: int, screen: Screen) -> list[str]:
    lines = []
    for one in providers:
        if one.breaker.state in (pb.Breaker.STATE_OPEN, pb.Breaker.STATE_HALF_OPEN):
            note = words.breaker_note(one.breaker, now_ms)
            if note:
                lines += screen.wrap(f"{screen.text(one.name)}: {note}", 2)
    return lines
