"""Local days and hours out of UTC hours.

Sums are kept by UTC hour. A local hour is one of them where the zone is whole hours from UTC. In a
zone of half or quarter hours (India, Nepal, parts of Australia) sums of past hours count for the
local hour, and the local day, in which the UTC hour *begins*: half an hour around midnight is on
the other day.
"""

import time
from collections.abc import Callable

import msgspec

DAY_S = 86_400
HOUR_S = 3_600
# Two changes of a zone are never as near to each other as this, nor is one undone within it.
_STEP_S = 7 * DAY_S

Zone = Callable[[int], int]
"""Seconds that local time is ahead of UTC at an instant, seconds since 1970."""


def local_zone(instant_s: int) -> int:
    """The zone of this process."""
    return time.localtime(instant_s).tm_gmtoff


class Segment(msgspec.Struct, frozen=True):
    """A stretch of time in which the zone does not change; seconds."""

    end_s: int
    offset_s: int


def segments(zone: Zone, first_s: int, end_s: int) -> list[Segment]:
    """The stretches from `first_s` to `end_s`; the last one has no other after it."""
    found: list[Segment] = []
    at = first_s
    while at < end_s:
        after = min(at + _STEP_S, end_s)
        here, there = zone(at), zone(after)
        if here != there:
            found.append(Segment(_change(zone, at, after), here))
        at = after
    found.append(Segment(max(end_s, first_s), zone(max(end_s, first_s))))
    return found


def _change(zone: Zone, low: int, high: int) -> int:
    """The first instant at which the zone is no longer that of `low`; to the minute."""
    here = zone(low)
    while high - low > 60:
        middle = (low + high) // 2
        if zone(middle) == here:
            low = middle
        else:
            high = middle
    return -(-high // 60) * 60 if zone(high // 60 * 60) == here else high // 60 * 60


def day_start_s(zone: Zone, instant_s: int) -> int:
    """The local midnight before an instant, seconds since 1970."""
    offset = zone(instant_s)
    start = (instant_s + offset) // DAY_S * DAY_S - offset
    return start + offset - zone(start)  # the clocks may have changed since


def day_name(day: int) -> str:
    """`2026-11-30` for a number of days since 1970, local time."""
    return time.strftime("%Y-%m-%d", time.gmtime(day * DAY_S))


def hour_name(hour: int) -> str:
    """`2026-11-30T14` for a number of hours since 1970, local time."""
    return time.strftime("%Y-%m-%dT%H", time.gmtime(hour * HOUR_S))
