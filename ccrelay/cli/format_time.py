"""Durations and points in time for people. Times are local."""

import time

DAY_S = 86_400
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _local(at_ms: int) -> time.struct_time:
    try:
        return time.localtime(at_ms / 1000)
    except (OverflowError, ValueError, OSError):  # no calendar reaches as far
        return time.localtime(0)


def span(seconds: float) -> str:
    """Return two units of a duration: `45 s`, `12 min`, `5 h 19 min`, `3 d 18 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < DAY_S:
        hours, rest = divmod(whole, 3600)
        return f"{hours} h {rest // 60} min"
    days, rest = divmod(whole, DAY_S)
    return f"{days:,} d {rest // 3600} h"


def countdown(seconds: float) -> str:
    """Return what is left of a wait, rounded up: `0:47`, `1:27:52`, `3 d 18 h`."""
    whole = max(0, -int(-seconds // 1))
    if whole >= DAY_S:
        return span(whole)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def latency(ms: float) -> str:
    """Return the time to a first event, at most six characters: `0.93 s`, `12.4 s`; 0: `-`."""
    if ms <= 0:
        return "-"
    if ms < 9.95:
        return _milliseconds(ms)
    return f"{ms / 1e3:.2f} s" if ms < 9_995 else elapsed(ms)


def elapsed(ms: float) -> str:
    """Return the time of an exchange, at most six characters: `12 ms`, `23.1 s`, `16:40`."""
    if 0 < ms < 50:
        return _milliseconds(ms)
    seconds = max(0.0, ms) / 1e3
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    if seconds < 999.5:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
    return f"{min(seconds / 3600, 9999):.1f} h" if seconds < 360_000 else f"{seconds / 3600:.0f} h"


def _milliseconds(ms: float) -> str:
    return f"{ms:.0f} ms" if ms >= 0.95 else "<1 ms"


def short(ms: float) -> str:
    """Return the time of a phase: `0.03 ms`, `28 ms`, `0.41 s`, `23.1 s`."""
    if ms < 0.995:
        return f"{max(0.0, ms):.2f} ms"
    if ms < 99.5:
        return f"{ms:.0f} ms"
    return f"{ms / 1e3:.2f} s" if ms < 9_995 else elapsed(ms)


def clock(at_ms: int) -> str:
    """Return `14:32:08`."""
    return time.strftime("%H:%M:%S", _local(at_ms))


def weekday_clock(at_ms: int) -> str:
    """Return `Thu 14:32:08`."""
    return f"{_DAYS[_local(at_ms).tm_wday]} {clock(at_ms)}"


def moment(at_ms: int, now_ms: int) -> str:
    """Return a time near now as short as it is clear: `14:19:52`, `Sat 08:00`, `3 Dec 08:00`."""
    at, now = _local(at_ms), _local(now_ms)
    if at[:3] == now[:3]:
        return clock(at_ms)
    minute = f"{at.tm_hour:02}:{at.tm_min:02}"
    if abs(at_ms - now_ms) < 6 * DAY_S * 1000:
        return f"{_DAYS[at.tm_wday]} {minute}"
    return f"{day(at_ms, now_ms, weekday=False)} {minute}"


def day(at_ms: int, now_ms: int, *, weekday: bool = True) -> str:
    """Return `Fri 27 Nov`, with the year where it is not this one."""
    at = _local(at_ms)
    text = f"{at.tm_mday} {_MONTHS[at.tm_mon - 1]}"
    if at.tm_year != _local(now_ms).tm_year:
        text += f" {at.tm_year}"
    return f"{_DAYS[at.tm_wday]} {text}" if weekday else text


def stamp(at_ms: int) -> str:
    """Return `2026-11-30 14:32:08`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", _local(at_ms))
