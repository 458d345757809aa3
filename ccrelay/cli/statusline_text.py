"""The words of the status line, as the design has them, within a width. Imports next to nothing."""

from __future__ import annotations

import time

from ccrelay.money import dollars

TYPE_CHECKING = False  # as in `typing`, which is not imported
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

WIDTH_USUAL = 80  # below it the line is short
WIDTH_DEFAULT = 100
INDENT = 4  # what Claude Code takes of a line
SEPARATOR = " · "
DAY_MS = 86_400_000
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_AMBER, _PLAIN = "\x1b[33m", "\x1b[0m"
WARN_AT = 0.9  # of a window without a forecast

Part = tuple[str, bool]  # a text, and whether it needs a look


def width_of(env: Mapping[str, str]) -> int:
    """Return the columns of the terminal, which Claude Code tells."""
    columns = env.get("COLUMNS", "")
    number = int(columns) if columns.isdecimal() and len(columns) < 6 else 0
    return number or WIDTH_DEFAULT  # 0: its caller does not know either


def line_of(
    answer: Mapping[str, Any],
    told: Mapping[str, Any],
    now_ms: float,
    width: int,
    *,
    colour: bool,
) -> str:
    """Return the line.

    Args:
        answer: of `GET /statusline`.
        told: what Claude Code says; its model stands for one that is not known yet.
        now_ms: since 1970.
        width: columns of the terminal.
        colour: whether what needs a look is painted.
    """
    is_short = width < WIDTH_USUAL
    trouble = answer.get("trouble")
    if trouble:
        parts = [(_trouble(trouble), True), *_room(answer), *_cost(answer)]
    else:
        windows = _windows(answer, now_ms, is_short=is_short)
        parts = [_who(answer, told, is_short=is_short), *windows, *_cost(answer)]
        if not is_short:
            parts += [*_hits(answer), *_today(answer)]
    return _fitted([part for part in parts if part[0]], max(width - INDENT, 1), colour)


def _fitted(parts: Sequence[Part], room: int, colour: bool) -> str:
    """As many parts as have room, the first ones in any case; nothing is worth a second line."""
    shown: list[Part] = []
    used = 0
    for text, is_unusual in parts:
        text = _clean(text)
        more = cells(text) + (len(SEPARATOR) if shown else 0)
        if used + more > room:
            if shown:
                continue
            while cells(text) > room - 1:
                text = text[:-1]
            text, more = text + "…", room
        shown.append((text, is_unusual))
        used += more
    painted = [f"{_AMBER}{text}{_PLAIN}" if colour and odd else text for text, odd in shown]
    return SEPARATOR.join(painted)


def cells(text: str) -> int:
    """Return how wide a text is at most: what may take two cells of a terminal counts as two."""
    return len(text) if text.isascii() else sum([1 + (char >= "\u1100") for char in text])


def _clean(text: str) -> str:
    """What comes from elsewhere must not control the terminal."""
    return "".join([char if char.isprintable() else "?" for char in text])


def _who(answer: Mapping[str, Any], told: Mapping[str, Any], *, is_short: bool) -> Part:
    """`sonnet-5-5 @ anthropic/login`; in short the key."""
    provider, key = _text(answer, "provider"), _text(answer, "key")
    if not provider:
        model = told.get("model")
        name = _text(model, "display_name") if isinstance(model, dict) and not is_short else ""
        return (f"{name} @ ccrelay" if name else "ccrelay"), False
    if is_short:
        return key or provider, False
    model = short_model(_text(answer, "model"))
    target = f"{provider}/{key}" if key else provider
    return (f"{model} @ {target}" if model else target), False


def short_model(name: str) -> str:
    """As `ccrelay.cli.words.short_model`: without `claude-` and the date."""
    model = name.removeprefix("claude-")
    head, dash, tail = model.rpartition("-")
    return head if dash and len(tail) == 8 and tail.isdecimal() else model


def _windows(answer: Mapping[str, Any], now_ms: float, *, is_short: bool) -> list[Part]:
    """`5h 62% resets 1:27`, `7d 71%! out Sat 08:00`; in short those that need a look, else one."""
    found = []
    for one in answer.get("windows") or ():
        name, used = one["name"], one["utilization"]
        full_at, resets_at = one["full_at_ms"], one["resets_at_ms"]
        runs_out = full_at > 0 and (not resets_at or full_at < resets_at)
        is_unusual = used >= WARN_AT or runs_out
        if "_" in name and not is_unusual:
            continue  # of one model
        text = f"{name} {percent(used)}" + ("!" if is_unusual else "")
        if runs_out and used < 1:
            text += f" out {moment(full_at, now_ms)}"
        elif resets_at > now_ms and not is_short:
            text += f" resets {until(resets_at, now_ms)}"
        found.append((text, is_unusual))
    if not is_short:
        return [*found, *(() if found else _room(answer))]
    # The one that is nearest to its end, those that need a look before others.
    return [part for part in found if part[1]][:2] or found[:1] or _room(answer)


def _room(answer: Mapping[str, Any]) -> list[Part]:
    room = answer.get("room")
    return [(f"room {percent(room)}", room < 0.1)] if isinstance(room, int | float) else []


def _cost(answer: Mapping[str, Any]) -> list[Part]:
    micros = answer.get("session_micros")
    return [(dollars(micros), False)] if isinstance(micros, int) else []


def _today(answer: Mapping[str, Any]) -> list[Part]:
    """Billed, and what plans cover: never one figure."""
    billed, plan = answer.get("today_billed_micros") or 0, answer.get("today_plan_micros") or 0
    amounts = [dollars(billed)] if billed or not plan else []
    if plan:
        amounts.append(f"{dollars(plan)}p")
    return [(f"today {' + '.join(amounts)}", False)]


def _hits(answer: Mapping[str, Any]) -> list[Part]:
    share = answer.get("cache_hit")
    return [(f"cache {percent(share)}", False)] if isinstance(share, int | float) else []


def _trouble(one: Mapping[str, Any]) -> str:
    """`moved team-a > eu-role (529), cache lost $0.97`."""
    came, to, why = _text(one, "from"), _text(one, "to"), _text(one, "why")
    kind = one.get("kind")
    if kind == "waited":
        return f"waited {one.get('waited_ms', 0) / 1000:.1f} s for room at {_key(to)}"
    if kind == "retrying":
        return f"failing over ({why.replace('_', ' ')})" + (f", now {_key(to)}" if to else "")
    moved = f"{_key(came)} > {_key(to)}" if came and came != to else f"to {_key(to)}"
    text = f"{kind} {moved}" + (f" ({why.replace('_', ' ')})" if why else "")
    lost = one.get("lost_micros") or 0
    return text + (f", cache lost {dollars(lost)}" if lost else "")


def _key(target: str) -> str:
    provider, _, key = target.partition("/")
    return key or provider


def _text(one: Mapping[str, Any], name: str) -> str:
    value = one.get(name)
    return value if isinstance(value, str) else ""


def percent(share: float) -> str:
    """Return 0.62 as `62%`; less than all is never `100%`."""
    value = int(share * 100 + 0.5)
    return f"{99 if value == 100 and share < 1 else value}%"


def until(at_ms: float, now_ms: float) -> str:
    """Return what is left, hours and minutes: `1:27`, `0:04`; of days `3 d 18 h`."""
    minutes = max(0, int(at_ms - now_ms) // 60_000)
    days, rest = divmod(minutes, 1440)
    return f"{days} d {rest // 60} h" if days else f"{minutes // 60}:{minutes % 60:02}"


def moment(at_ms: float, now_ms: float) -> str:
    """Return a time: `14:19`, on another day `Sat 08:00`."""
    at, now = time.localtime(at_ms / 1000), time.localtime(now_ms / 1000)
    clock = f"{at.tm_hour:02}:{at.tm_min:02}"
    return clock if at[:3] == now[:3] else f"{_DAYS[at.tm_wday]} {clock}"
