"""Rate limits learned from response headers.

    anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}
    x-ratelimit-{limit,remaining,reset}-{requests,tokens}
    anthropic-ratelimit-unified-{status,reset}, -{5h,7d}-{status,utilization,reset}
    retry-after, retry-after-ms                                       (only of a 429)

Source: providers reference, section 3.4. Headers are not trusted: invalid numbers are ignored,
times are clamped, and a limit that was not seen for a while is forgotten. Otherwise one stale
header puts a key into cooldown for days (peers reference, section 3).

Anthropic's limits hold per group of models, `TargetLimits` per key: the limit of the last response
counts. `now` is monotonic, `now_wall` seconds since 1970.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from ccrelay._fast.rate_limits import Cooldown, Dimension, TargetLimits
from ccrelay.config.model import Health

# Returns the value of a header by its lower-case name.
Get = Callable[[bytes], bytes | None]

KEEP_S = 600.0  # a learned limit expires so long after it was last seen
WINDOW_MAX_S = 120.0  # the windows of request and token limits are minutes
COUNT_MAX = 1 << 40  # requests or tokens; larger values are invalid
VALUE_BYTES_MAX = 64

# Unified windows of all models; those of one, like `7d_sonnet`, cause no cooldown.
WINDOWS = (b"5h", b"7d")
# Their names in `-representative-claim`.
WHOLE_CLAIMS = frozenset({b"five_hour", b"seven_day", b"overage"})

_UNIFIED = b"anthropic-ratelimit-unified-"
# Dimension, and the header names of its limit, remainder and reset.
_FAMILIES = (
    *(
        (int(dim), name + b"-limit", name + b"-remaining", name + b"-reset")
        for dim, name in (
            (Dimension.REQUESTS, b"anthropic-ratelimit-requests"),
            (Dimension.INPUT, b"anthropic-ratelimit-input-tokens"),
            (Dimension.OUTPUT, b"anthropic-ratelimit-output-tokens"),
            (Dimension.TOKENS, b"anthropic-ratelimit-tokens"),
        )
    ),
    *(
        (
            int(dim),
            b"x-ratelimit-limit-" + name,
            b"x-ratelimit-remaining-" + name,
            b"x-ratelimit-reset-" + name,
        )
        for dim, name in ((Dimension.REQUESTS, b"requests"), (Dimension.TOKENS, b"tokens"))
    ),
)
_WINDOW_FIELDS = tuple(
    (name + b"-status", name + b"-utilization", name + b"-reset")
    for name in (_UNIFIED + window for window in WINDOWS)
)
# Every response with rate-limit headers has one of these.
_TELLTALES = (
    b"anthropic-ratelimit-requests-remaining",
    b"anthropic-ratelimit-tokens-remaining",
    b"anthropic-ratelimit-input-tokens-remaining",
    b"anthropic-ratelimit-output-tokens-remaining",
    _UNIFIED + b"status",
    _WINDOW_FIELDS[0][0],
    _WINDOW_FIELDS[1][0],
    b"x-ratelimit-remaining-requests",
    b"x-ratelimit-remaining-tokens",
)

_INTEGER = re.compile(rb"[0-9]{1,15}")
_NUMBER = re.compile(rb"[0-9]{1,15}(?:\.[0-9]{0,9})?")
_DURATION = re.compile(rb"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|d|h|m|s))+")
_PART = re.compile(rb"([0-9.]+)(ms|d|h|m|s)")
_UNIT_S = {b"ms": 0.001, b"s": 1.0, b"m": 60.0, b"h": 3600.0, b"d": 86400.0}
# Larger numbers are not durations but instants: 1e9 s is the year 2001, as is 1e12 ms.
_EPOCH_S = 1e9
_EPOCH_MS = 1e12
_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


class RetryAfter(msgspec.Struct, frozen=True, gc=False):
    """Cooldown of a key, from the headers of a 429."""

    seconds: float
    quota: bool  # a subscription's window, not a limit per minute


def has_any(get: Get) -> bool:
    """Whether a response has rate-limit headers; a cheap check before `learn`."""
    return any(get(name) is not None for name in _TELLTALES)


def learn(get: Get, limits: TargetLimits, now: float, now_wall: float, health: Health) -> float:
    """Update the limits of a key from response headers.

    Returns the cooldown, in seconds, after a spent window of a subscription; 0.0: none.
    """
    if not has_any(get):
        return 0.0
    for dim, limit_name, remaining_name, reset_name in _FAMILIES:
        limit = _count(get(limit_name)) or 0
        left_s = _window(get(reset_name), now_wall)
        remaining = _count(get(remaining_name)) if left_s else None
        if remaining is not None and limit:
            remaining = min(remaining, limit)
        if limit or remaining is not None:
            limits.learn(
                dim,
                limit,
                -1 if remaining is None else remaining,
                now + left_s,
                now + KEEP_S,
                now,
            )
    spent_s = min(_unified(get, now_wall), health.key_cooldown_max_s)
    if spent_s > 0.0:
        limits.start_cooldown(now + spent_s, int(Cooldown.QUOTA))
    return spent_s


def pause(get: Get, now_wall: float) -> RetryAfter | None:
    """Cooldown of a key after a 429, not clamped; None: the headers do not give one.

    None also when the spent window is that of one model: the key still serves others.
    """
    if get(_UNIFIED + b"status") == b"rejected":
        claim = get(_UNIFIED + b"representative-claim")
        if claim is not None and claim not in WHOLE_CLAIMS:
            return None
        seconds = _unified(get, now_wall) or _retry_after(get, now_wall)
        return RetryAfter(seconds, quota=True) if seconds else None
    seconds = _retry_after(get, now_wall) or _exhausted(get, now_wall)
    return RetryAfter(seconds, quota=False) if seconds else None


def seconds_until(value: bytes | None, now_wall: float) -> float | None:
    """Seconds until the time in a header's value; 0.0: in the past; None: invalid.

    Formats: seconds, `1m30s`, seconds or milliseconds since 1970, RFC 3339, an HTTP date.
    """
    if value is None or not value or len(value) > VALUE_BYTES_MAX:
        return None
    if _NUMBER.fullmatch(value):
        number = float(value)
        if number >= _EPOCH_MS:
            return max(number / 1000 - now_wall, 0.0)
        return max(number - now_wall, 0.0) if number >= _EPOCH_S else number
    if _DURATION.fullmatch(value):
        return sum(_part(*part) for part in _PART.findall(value))
    instant = _instant(value)
    return None if instant is None else max(instant - now_wall, 0.0)


def _part(number: bytes, unit: bytes) -> float:
    return float(number) * _UNIT_S[unit]


def _instant(value: bytes) -> float | None:
    text = value.decode("latin-1")
    try:
        if text.endswith(" GMT"):
            found = datetime.strptime(text, _HTTP_DATE).replace(tzinfo=UTC)
        else:
            found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _count(value: bytes | None) -> int | None:
    if value is None or not _INTEGER.fullmatch(value):
        return None
    number = int(value)
    return number if number <= COUNT_MAX else None


def _window(value: bytes | None, now_wall: float) -> float:
    return min(seconds_until(value, now_wall) or 0.0, WINDOW_MAX_S)


def _retry_after(get: Get, now_wall: float) -> float:
    """Seconds; 0.0: absent, or zero."""
    millis = get(b"retry-after-ms")
    if millis is not None and _NUMBER.fullmatch(millis):
        return float(millis) / 1000
    return seconds_until(get(b"retry-after"), now_wall) or 0.0


def _exhausted(get: Get, now_wall: float) -> float:
    """Seconds until all exhausted limits have reset."""
    longest = 0.0
    for _, _, remaining, reset in _FAMILIES:
        if _count(get(remaining)) == 0:
            longest = max(longest, _window(get(reset), now_wall))
    # OpenRouter's, per day or per minute.
    if _count(get(b"x-ratelimit-remaining")) == 0:
        longest = max(longest, seconds_until(get(b"x-ratelimit-reset"), now_wall) or 0.0)
    return longest


def _unified(get: Get, now_wall: float) -> float:
    """Seconds until the spent windows of a subscription have reset; 0.0: none is spent.

    The overall status has precedence: with overage, a window may be spent and requests allowed.
    """
    whole = get(_UNIFIED + b"status")
    if whole is not None and whole != b"rejected":
        return 0.0
    longest = 0.0
    for status, utilization, reset in _WINDOW_FIELDS:
        if get(status) == b"rejected" or _full(get(utilization)):
            longest = max(longest, seconds_until(get(reset), now_wall) or 0.0)
    if whole is None or longest:
        return longest
    claim = get(_UNIFIED + b"representative-claim")
    if claim is not None and claim not in WHOLE_CLAIMS:
        return 0.0
    return seconds_until(get(_UNIFIED + b"reset"), now_wall) or 0.0


def _full(value: bytes | None) -> bool:
    return value is not None and _NUMBER.fullmatch(value) is not None and float(value) >= 1.0
