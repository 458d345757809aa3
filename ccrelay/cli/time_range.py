"""`--since` and `--until`: words for points in time.

Days are calendar days in local time, of which today is the last: `7d` begins at midnight six days
ago. Hours and minutes are exact. An end that is a day includes it.
"""

import re
import time
from datetime import datetime, timedelta
from typing import NamedTuple

import click

_AMOUNT = re.compile(r"(\d{1,6})\s*(m|min|h|d|w)")
_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M")
_HINT = "use 7d, 24h, 30m, 2w, today, yesterday, 2026-11-30 or 2026-11-30T14:00"


class Range(NamedTuple):
    """Milliseconds since 1970; 0: no bound."""

    since_ms: int
    until_ms: int


def time_range(since: str | None, until: str | None, now_s: float | None = None) -> Range:
    """Return the bounds that two options say.

    Raises:
        click.BadParameter: one is no time, or the end is not after the beginning.
    """
    now = datetime.fromtimestamp(time.time() if now_s is None else now_s)
    begin = _parsed(since, now, "--since", is_end=False) if since else 0
    end = _parsed(until, now, "--until", is_end=True) if until else 0
    if begin and end and end <= begin:
        raise click.BadParameter(f"{until!r} is not after --since {since!r}", param_hint="--until")
    return Range(begin, end)


def _parsed(text: str, now: datetime, option: str, *, is_end: bool) -> int:
    try:
        return int(_point(text.strip().lower(), now, is_end=is_end).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(f"{text!r} is no time: {_HINT}", param_hint=option) from None


def _point(text: str, now: datetime, *, is_end: bool) -> datetime:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if text == "now":
        return now
    if text in ("today", "yesterday"):
        return midnight + timedelta(days=is_end - (text == "yesterday"))
    if found := _AMOUNT.fullmatch(text):
        amount, unit = int(found[1]), found[2]
        if unit in ("d", "w"):
            days = amount * (7 if unit == "w" else 1)
            if days == 0:
                raise ValueError
            return midnight - timedelta(days=days - 1)
        # Exact: a shift of the clock has no part in it.
        return datetime.fromtimestamp(now.timestamp() - amount * (3600 if unit == "h" else 60))
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return datetime.strptime(text, "%Y-%m-%d") + timedelta(days=is_end)
    for form in _FORMS:
        try:
            return datetime.strptime(text.upper(), form)
        except ValueError:
            continue
    return datetime.fromisoformat(text.upper())  # with an offset from UTC
