"""Windows of plans as bars: used, forecast, and how much of their time is gone."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ccrelay.cli import words
from ccrelay.cli.cells import cut, pad, width_of
from ccrelay.cli.format_share import percent
from ccrelay.cli.format_time import countdown
from ccrelay.cli.keys_view import forecast
from ccrelay.cli.screen import Screen
from ccrelay.config.letters import letters as letters_of
from ccrelay.tui.glyphs import Glyphs
from ccrelay.tui.paint import ends

LENGTH_MIN_S = 3600  # limits per minute are no windows that one waits for
LONG_NAMES = {"h": "-hour", "d": "-day"}
NOTHING = "No provider has told of a 5-hour or 7-day window yet."


class Owned(NamedTuple):
    """A window and whose it is."""

    letter: str
    key: str
    window: Any


def windows_of(providers: Sequence[Any], *, most: int = 99) -> list[Owned]:
    """Return the windows of plans; of too many, those that need a look before the others."""
    letters = letters_of(one.name for one in providers)
    found = [
        Owned(letters[one.name], key.name, window)
        for one in providers
        for key in one.keys
        for window in key.windows
        if window.length_s >= LENGTH_MIN_S or window.name[:2] in ("5h", "7d")
    ]
    if len(found) <= most:
        return found
    by_need = sorted(
        range(len(found)),
        key=lambda at: (
            not words.needs_look(found[at].window),
            -found[at].window.utilization,
        ),
    )
    return [found[at] for at in sorted(by_need[:most])]


def _name(window: Any, *, long: bool) -> str:
    head, _, group = str(window.name).partition("_")
    if head[:-1].isdecimal() and head[-1:] in LONG_NAMES:
        head = f"{head[:-1]}{LONG_NAMES[head[-1]] if long else f' {head[-1]}'}"
    return f"{head} {group}" if group else head


def bar(window: Any, now_ms: int, width: int, screen: Screen, glyphs: Glyphs, *, full: bool) -> str:
    """Return the bar of a window; `full`: with the forecast and the time that is gone."""
    used = min(max(round(window.utilization * width), 0), width)
    used = max(used, 1) if window.utilization > 0 else 0
    style = "amber" if words.needs_look(window) else ""
    if not full:
        body = screen.paint(glyphs.used * used, style)
        return body + screen.paint(glyphs.unused * (width - used), "dim")
    to = used
    if window.HasField("utilization_at_reset"):
        to = min(max(round(window.utilization_at_reset * width), used), width)
    cells = [(glyphs.used, style)] * used
    cells += [(glyphs.forecast, style or "dim")] * (to - used)
    cells += [(glyphs.unused, "dim")] * (width - to)
    if window.resets_at_ms and window.length_s:
        gone = 1 - (window.resets_at_ms - now_ms) / 1000 / window.length_s
        at = min(max(int(gone * width), 0), width - 1)
        cells[at] = (glyphs.even, "bold")
    return "".join(screen.paint(glyph, each) for glyph, each in cells)


def _reset(window: Any, now_ms: int) -> str:
    left_s = (window.resets_at_ms - now_ms) / 1000
    return countdown(left_s) if window.resets_at_ms else ""


def _used(window: Any, screen: Screen) -> str:
    needs = words.needs_look(window)
    text = f"{pad(percent(window.utilization), 5, right=True)}{'!' if needs else ' '}"
    return screen.paint(text, "amber" if needs else "")


def short_lines(found: Sequence[Owned], now_ms: int, screen: Screen, glyphs: Glyphs) -> list[str]:
    """Return one line per window."""
    labels = [screen.text(f"{one.letter} {one.key}") for one in found]
    names = [screen.text(_name(one.window, long=False)) for one in found]
    width = min(max(map(width_of, labels), default=0), max(screen.width // 4, 9))
    names_width = max(map(len, names), default=0)
    gauge = min(max(screen.width - width - names_width - 45, 4), 60)
    lines = []
    for one, label, name in zip(found, labels, names, strict=True):
        told = forecast(one.window, now_ms)
        if told.startswith("runs out") and screen.width < 100:
            told = told.partition(",")[0]
        reset = _reset(one.window, now_ms)
        left = (
            f"{pad(cut(label, width, screen.ellipsis), width)} {pad(name, names_width)}  "
            + bar(one.window, now_ms, gauge, screen, glyphs, full=False)
            + f" {_used(one.window, screen)} {told}"
        )
        lines.append(_with_reset(left, f"in {reset}" if reset else "", screen))
    return lines


def _with_reset(left: str, reset: str, screen: Screen) -> str:
    # One form for all: where a countdown begins says how long it is.
    return ends(left, pad(reset, 11), screen.width)


def long_lines(
    found: Sequence[Owned], now_ms: int, screen: Screen, glyphs: Glyphs, height: int
) -> list[str]:
    """Return three lines per window, and what the bars mean; at most `height` lines."""
    room = max((height - 2) // 3, 1)
    lines = []
    for one in found[:room]:
        title = screen.text(f"{one.letter} {one.key} {_name(one.window, long=True)}")
        needs = words.needs_look(one.window)
        told = screen.paint(forecast(one.window, now_ms), "amber" if needs else "")
        told = told.replace("by reset", "by the reset")
        lines += [
            ends(title, _used(one.window, screen), screen.width),
            bar(one.window, now_ms, screen.width, screen, glyphs, full=True),
            ends(told, screen.paint(_reset(one.window, now_ms), "dim"), screen.width),
        ]
    if len(found) > room:
        lines.append(screen.paint(f"{len(found) - room} more: g p", "dim"))
    key = f"{glyphs.used} used  {glyphs.forecast} forecast  {glyphs.even} time gone"
    lines += [""] * (height - 1 - len(lines))
    return [*lines, screen.paint(key, "dim")]
