"""The lanes: for each key twenty minutes that were, and the next few, on one line.

A mark is an exchange, by the family of its model; where several share a cell, the dearest one is
shown, and a failure before all.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ccrelay.cli import words
from ccrelay.cli.cells import clean, cut, pad, width_of
from ccrelay.cli.format_share import percent
from ccrelay.cli.format_time import countdown
from ccrelay.cli.screen import Screen
from ccrelay.config.letters import letters as letters_of
from ccrelay.tui import marks as mk
from ccrelay.tui.glyphs import Glyphs
from ccrelay.v1 import providers_pb2 as pb

FACT = 12  # cells right of a lane
FACT_WIDE = 13
PRINT_WIDTH = 12  # of a fingerprint, with its gap
AHEAD_PART = 0.1  # of a lane: what is to come
RECENT_MS = 180_000  # a failure so long ago began the cooldown that is drawn
STEP_LABEL_MIN = 300  # seconds between two labels of the axis


class Lanes(NamedTuple):
    """What the lanes are drawn from.

    Args:
        providers: in the order of the configuration.
        marks: of `Live.lanes`.
        running: exchanges under way.
        now_ms: since 1970.
    """

    providers: Sequence[Any]
    marks: Mapping[tuple[str, str], Mapping[int, int]]
    running: Sequence[Any]
    now_ms: int


class Scale(NamedTuple):
    """How time is laid out.

    Args:
        past: cells before now.
        ahead: cells after it.
        cell_ms: time of one cell.
        now_ms: since 1970.
    """

    past: int
    ahead: int
    cell_ms: float
    now_ms: int

    def cell_of(self, at_ms: float) -> int:
        """Return the cell of an instant; it may be outside."""
        return self.past - 1 - int((self.now_ms - 1 - at_ms) // self.cell_ms)


def scale(cells: int, now_ms: int) -> Scale:
    """Return the layout of a lane of so many cells."""
    ahead = max(int(cells * AHEAD_PART), 1)
    past = max(cells - ahead - 1, 1)
    return Scale(past, ahead, mk.SPAN_MS / past, now_ms)


def lane_lines(
    lanes: Lanes, width: int, screen: Screen, glyphs: Glyphs, *, wide: bool = False, most: int = 99
) -> list[str]:
    """Return a line per key and the axis below them, all of a width.

    Args:
        lanes: what is drawn.
        width: of a line.
        screen: what they are for.
        glyphs: what is drawn with.
        wide: whether fingerprints are shown.
        most: at most so many keys; how many more there are is said.
    """
    keys = [(one, key) for one in lanes.providers for key in one.keys]
    shown = keys if len(keys) <= most else keys[: max(most - 1, 0)]
    label = min(max((width_of(screen.text(key.name)) for _, key in shown), default=4), 24)
    label = min(label, max(width // 5, 7))
    fact = FACT_WIDE if wide else FACT
    prints = PRINT_WIDTH if wide else 0
    track = max(width - 2 - label - 1 - prints - fact, 4)
    layout = scale(track, lanes.now_ms)
    letters = letters_of(one.name for one in lanes.providers)
    lines = []
    for provider, key in shown:
        name = pad(cut(screen.text(key.name), label, screen.ellipsis), label)
        print_ = pad(cut(screen.text(key.fingerprint), prints - 1, screen.ellipsis), prints)
        lines.append(
            f"{letters[provider.name]} {name} "
            + (screen.paint(print_, "dim") if prints else "")
            + _track(lanes, provider, key, layout, glyphs, screen)
            + _fact(provider, key, lanes.now_ms, fact, screen, wide=wide)
        )
    if len(shown) < len(keys):
        lines.append(screen.paint(f"  {len(keys) - len(shown)} more keys: g p", "dim"))
    axis = _axis(layout, glyphs)
    lines.append(screen.paint(" " * (2 + label + 1 + prints) + axis, "dim"))
    return lines


# ---- one lane


def _track(
    lanes: Lanes, provider: Any, key: Any, layout: Scale, glyphs: Glyphs, screen: Screen
) -> str:
    found = lanes.marks.get((provider.name, key.name), {})
    past = [0] * layout.past
    # Only what is on the lane; older steps are kept a while.
    for step, bits in found.items():
        at = layout.cell_of(step * mk.STEP_MS + mk.STEP_MS / 2)
        if 0 <= at < layout.past:
            past[at] |= bits
    running = [
        one for one in lanes.running if one.provider == provider.name and one.key == key.name
    ]
    for one in running:
        bit = mk.family(one.sent_model or one.model)
        for at in range(max(layout.cell_of(one.started_at_ms), 0), layout.past):
            past[at] |= bit
    cells = [_cell(bits, glyphs) for bits in past]
    rest_until = _rest_until(provider, key)
    now_cell = (glyphs.streaming, "accent") if running else (glyphs.now, "dim")
    if rest_until > lanes.now_ms:
        _draw_rest(cells, past, layout, glyphs)
        now_cell = now_cell if running else (glyphs.cooldown, "amber")
    ahead = [
        (glyphs.cooldown, "amber")
        if rest_until >= lanes.now_ms + (at + 1) * layout.cell_ms
        else (glyphs.future, "dim")
        for at in range(layout.ahead)
    ]
    return _painted([*cells, now_cell, *ahead], screen)


def _cell(bits: int, glyphs: Glyphs) -> tuple[str, str]:
    if bits & mk.FAILED:
        return glyphs.failed, "red"
    if bits & mk.HANDED_OVER:
        return glyphs.handed_over, "amber"
    for bit, glyph in (
        (mk.OPUS, glyphs.opus),
        (mk.SONNET, glyphs.sonnet),
        (mk.HAIKU, glyphs.haiku),
        (mk.OTHER, glyphs.other),
    ):
        if bits & bit:
            return glyph, ""
    return glyphs.track, "dim"


def _rest_until(provider: Any, key: Any) -> int:
    until = 0
    if key.state in (pb.Key.STATE_COOLDOWN, pb.Key.STATE_FULL):
        until = key.cooldown_until_ms
    if provider.breaker.state == pb.Breaker.STATE_OPEN:
        until = max(until, provider.breaker.resumes_at_ms)
    return until


def _draw_rest(
    cells: list[tuple[str, str]], past: Sequence[int], layout: Scale, glyphs: Glyphs
) -> None:
    """Draw a rest from the failure that began it, where that is on the lane."""
    first = max(layout.past - int(RECENT_MS / layout.cell_ms) - 1, 0)
    failures = [at for at in range(first, layout.past) if past[at] & mk.FAILED]
    for at in range(failures[-1] + 1, layout.past) if failures else ():
        if not past[at]:
            cells[at] = (glyphs.cooldown, "amber")


def _painted(cells: Sequence[tuple[str, str]], screen: Screen) -> str:
    """Return cells as text; neighbours of one style share it."""
    parts: list[str] = []
    start = 0
    for at in range(1, len(cells) + 1):
        if at == len(cells) or cells[at][1] != cells[start][1]:
            text = "".join(glyph for glyph, _ in cells[start:at])
            parts.append(screen.paint(text, cells[start][1]))
            start = at
    return "".join(parts)


# ---- right of it


def _fact(provider: Any, key: Any, now_ms: int, width: int, screen: Screen, *, wide: bool) -> str:
    text, style = fact(provider, key, now_ms, wide=wide)
    mark = " " if not text.endswith("!") else ""
    if width_of(text + mark) >= width:  # `cool 2 d 10 h`: the time says more than the word
        text = text.partition(" ")[2] or text
    return screen.paint(pad(cut(text, width - 1, screen.ellipsis) + mark, width, right=True), style)


def fact(provider: Any, key: Any, now_ms: int, *, wide: bool) -> tuple[str, str]:
    """Return what matters most of a key now, and its style: why it rests, a window, its room."""
    if key.state in (pb.Key.STATE_DISABLED, pb.Key.STATE_REFUSED) or not provider.enabled:
        is_refused = key.state == pb.Key.STATE_REFUSED
        return ("refused", "red") if is_refused else ("disabled", "dim")
    if key.state in (pb.Key.STATE_COOLDOWN, pb.Key.STATE_FULL):
        word = "cool" if key.state == pb.Key.STATE_COOLDOWN else "full"
        return _left(word, key.cooldown_until_ms, now_ms), "amber"
    if provider.breaker.state == pb.Breaker.STATE_OPEN:
        return _left("open", provider.breaker.resumes_at_ms, now_ms), "red"
    if provider.breaker.state == pb.Breaker.STATE_HALF_OPEN and not key.windows:
        return "half-open", "amber"
    plans = [one for one in key.windows if one.name[:2] in ("5h", "7d")]
    if plans:
        worst = max(plans, key=lambda one: (words.needs_look(one), one.utilization))
        needs = words.needs_look(worst)
        name = clean(worst.name.partition("_")[0])
        text = f"{name} {percent(worst.utilization)}{'!' if needs else ''}"
        return text, "amber" if needs else ""
    if key.HasField("room"):
        return f"{'room ' if wide else ''}{percent(key.room)}", "amber" if key.room < 0.1 else ""
    return "-", "dim"


def _left(word: str, until_ms: int, now_ms: int) -> str:
    return f"{word} {countdown((until_ms - now_ms) / 1000)}" if until_ms > now_ms else word


# ---- below


def _axis(layout: Scale, glyphs: Glyphs) -> str:
    total = layout.past + 1 + layout.ahead
    text = [" "] * total
    every_s = STEP_LABEL_MIN if layout.past >= 40 else 2 * STEP_LABEL_MIN
    at_s = layout.now_ms // 1000 // every_s * every_s
    taken = _put(text, layout.past, "now", total)
    while at_s * 1000 > layout.now_ms - mk.SPAN_MS:
        label = time.strftime("%H:%M", time.localtime(at_s))
        at = layout.cell_of(at_s * 1000)
        if at + len(label) < taken:
            _put(text, at, label, total)
        at_s -= every_s
    minutes = int(layout.ahead * layout.cell_ms // 60_000)
    after = f"+{minutes}m"
    if minutes and total - len(after) > layout.past + 4:
        _put(text, total - len(after), after, total)
    return "".join(text)


def _put(text: list[str], at: int, label: str, total: int) -> int:
    start = max(min(at, total - len(label)), 0)
    text[start : start + len(label)] = label
    return start


def legend(glyphs: Glyphs, screen: Screen) -> str:
    """Return what the marks mean."""
    return "  ".join(
        [
            f"{glyphs.opus} opus",
            f"{glyphs.sonnet} sonnet",
            f"{glyphs.haiku} haiku",
            f"{glyphs.other} other",
            screen.paint(f"{glyphs.failed} failed", "red"),
            screen.paint(f"{glyphs.cooldown} cooldown", "amber"),
        ]
    )
