"""Rate limits learned from response headers.

    anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}
    x-ratelimit-{limit,remaining,reset}-{requests,tokens}
    anthropic-ratelimit-unified-{status,reset}, -{5h,7d,7d_sonnet}-{status,utilization,reset}
    retry-after, retry-after-ms                                       (only of a 429)

Source: providers reference, section 3.4. Headers are not trusted: invalid numbers are ignored,
times are clamped, and a limit that was not seen for a while is forgotten. Otherwise one stale
header puts a key into cooldown for days (peers reference, section 3).

Anthropic's limits hold per group of models, `TargetLimits` per key: the limit of the last response
counts. Spent windows of one family cool down the key for that family alone.

`now` is monotonic, `now_wall` seconds since 1970. Instants are read by the response's own `date`,
so that a wrong clock of either side does no harm.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from ccrelay._fast.rate_limits import Capacity, Cooldown, Dimension, TargetLimits
from ccrelay.config.model import Health
from ccrelay.fleet.model_group import FAMILIES, group_of

# Returns the value of a header by its lower-case name.
Get = Callable[[bytes], bytes | None]

KEEP_S = 600.0  # a learned limit expires so long after it was last seen
WINDOW_MAX_S = 120.0  # the windows of request and token limits are minutes
COUNT_MAX = 1 << 40  # requests or tokens; larger values are invalid
VALUE_BYTES_MAX = 64

# Unified windows of all models; those of a family, like `7d_sonnet`, are its own.
WINDOWS = (b"5h", b"7d")

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

# Windows as they are told of a key, by name.
_SEEN_WINDOWS = (*(w.decode() for w in WINDOWS), *(f"7d_{family}" for family in FAMILIES))
# As _FAMILIES, named as in the schema (`Window.name`).
_SEEN_LIMITS = ("requests", "input_tokens", "output_tokens", "tokens", "requests", "tokens")
_WORD = re.compile(rb"[a-z][a-z_]{0,31}")
UTILIZATION_MAX = 100.0  # with overage a window may be more than full
RESET_MAX_S = 40 * 86_400.0  # no window is longer than a month

_INTEGER = re.compile(rb"[0-9]{1,15}")
# A share that was computed has up to 17 digits behind the point (0.30000000000000004), one that is
# nearly 0 an exponent.
_NUMBER = re.compile(rb"[0-9]{1,15}(?:\.[0-9]{0,20})?")
_SHARE = re.compile(rb"[0-9]{1,15}(?:\.[0-9]{0,20})?(?:[eE]-[0-9]{1,3})?")
_DURATION = re.compile(rb"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?(?:ms|d|h|m|s))+")
_PART = re.compile(rb"([0-9.]+)(ms|d|h|m|s)")
_UNIT_S = {b"ms": 0.001, b"s": 1.0, b"m": 60.0, b"h": 3600.0, b"d": 86400.0}
# Larger numbers are not durations but instants: 1e9 s is the year 2001, as is 1e12 ms.
_EPOCH_S = 1e9
_EPOCH_MS = 1e12
_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


class Spent(msgspec.Struct, frozen=True):
    """Windows of a subscription that response headers show as spent."""

    seconds: float  # until the key is back; 0.0: none of all models
    families: dict[str, float]  # of one family of models: seconds, by name, where that is news


class Window(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An allowance that headers told; members as of `ledger.record.WindowSeen`."""

    name: str
    utilization: float
    resets_at_ms: int
    limit: int
    remaining: int
    status: str


NOTHING_SPENT = Spent(0.0, {})


class RetryAfter(msgspec.Struct, frozen=True, gc=False):
    """Cooldown of a key, from the headers of a 429."""

    seconds: float
    quota: bool  # a subscription's window, not a limit per minute


def has_any(get: Get) -> bool:
    """Whether a response has rate-limit headers; a cheap check before `learn`."""
    return any(get(name) is not None for name in _TELLTALES)


def learn(get: Get, limits: TargetLimits, now: float, now_wall: float, health: Health) -> Spent:
    """Update the limits of a key from response headers; returns the cooldowns that began.

    Args:
        get: a header of the response.
        limits: of the key.
        now: monotonic seconds.
        now_wall: seconds since 1970, for a response without a date of its own.
        health: bounds of cooldowns.
    """
    if not has_any(get):
        return NOTHING_SPENT
    clock = clock_of(get, now_wall)
    for dim, limit_name, remaining_name, reset_name in _FAMILIES:
        limit = _count(get(limit_name))
        left_s = _window(get(reset_name), clock)
        remaining = _count(get(remaining_name)) if left_s else None
        if limit == 0 and not remaining:
            continue  # a field that was not filled in
        if remaining is not None and limit:
            remaining = min(remaining, limit)
        if limit or remaining is not None:
            limits.learn(
                dim,
                limit or 0,
                -1 if remaining is None else remaining,
                now + left_s,
                now + KEEP_S,
                now,
            )
    most = health.key_cooldown_max_s
    spent_s = _unified(get, clock)
    if spent_s > 0.0:
        spent_s = min(_retry_after(get, clock) or spent_s, most)
        limits.start_cooldown(now + spent_s, int(Cooldown.QUOTA))
    families = {}
    for family in FAMILIES:
        seconds = min(_of_family(get, family.encode(), clock), most)
        if seconds > 0.0:
            group = group_of(family)
            if limits.state(now, 0, 0, group) != Capacity.COOLING_DOWN:
                families[family] = seconds
            limits.start_group_cooldown(group, now + seconds)
    return Spent(spent_s, families) if spent_s or families else NOTHING_SPENT


def windows(get: Get, now_wall: float) -> list[Window]:
    """The allowances that response headers tell, each one once.

    Args:
        get: a header of the response.
        now_wall: seconds since 1970.
    """
    clock = clock_of(get, now_wall)
    found = [_window_seen(get, name, clock, now_wall) for name in _SEEN_WINDOWS]
    for name, (_, limit_name, remaining_name, reset_name) in zip(
        _SEEN_LIMITS, _FAMILIES, strict=True
    ):
        limit, remaining = _count(get(limit_name)), _count(get(remaining_name))
        if not limit or remaining is None or any(w and w.name == name for w in found):
            continue
        remaining = min(remaining, limit)
        resets_at = _resets_at(get(reset_name), clock, now_wall)
        found.append(Window(name, 1.0 - remaining / limit, resets_at, limit, remaining, ""))
    return [window for window in found if window is not None]


def _window_seen(get: Get, name: str, clock: float, now_wall: float) -> Window | None:
    """A window of a subscription; None: it is not told."""
    field = _UNIFIED + name.encode()
    value, status = get(field + b"-utilization"), get(field + b"-status")
    utilization = -1.0
    if value is not None and _SHARE.fullmatch(value):
        utilization = min(float(value), UTILIZATION_MAX)
    word = status.decode() if status is not None and _WORD.fullmatch(status) else ""
    if utilization < 0.0 and not word:
        return None
    return Window(
        name, utilization, _resets_at(get(field + b"-reset"), clock, now_wall), 0, 0, word
    )


def _resets_at(value: bytes | None, clock: float, now_wall: float) -> int:
    """When a window resets by our own clock, milliseconds since 1970; 0: not told."""
    seconds = seconds_until(value, clock)
    return 0 if seconds is None or seconds > RESET_MAX_S else round((now_wall + seconds) * 1000)


def pause(get: Get, now_wall: float) -> RetryAfter | None:
    """Cooldown of a key after a 429, not clamped; None: the headers do not give one.

    None also when the spent window is that of one model: the key still serves others.
    """
    clock = clock_of(get, now_wall)
    told = _retry_after(get, clock)  # no reset overrules it
    if get(_UNIFIED + b"status") == b"rejected":
        if _claimed_family(get) is not None:
            return None
        seconds = told or _unified(get, clock)
        return RetryAfter(seconds, quota=True) if seconds else None
    seconds = told or _exhausted(get, clock)
    return RetryAfter(seconds, quota=False) if seconds else None


def family_pause(get: Get, now_wall: float) -> float:
    """Seconds until the spent window of one family that a 429 speaks of has reset; 0.0: of none."""
    family = _claimed_family(get)
    if family is None or get(_UNIFIED + b"status") != b"rejected":
        return 0.0
    return _of_family(get, family, clock_of(get, now_wall))


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


def _unified(get: Get, clock: float) -> float:
    """Seconds until the spent windows of a subscription have reset; 0.0: none is spent.

    The overall status has precedence: with overage, a window may be spent and requests allowed.
    """
    whole = get(_UNIFIED + b"status")
    if whole is not None and whole != b"rejected":
        return 0.0
    longest = 0.0
    for status, utilization, reset in _WINDOW_FIELDS:
        if get(status) == b"rejected" or _full(get(utilization)):
            longest = max(longest, seconds_until(get(reset), clock) or 0.0)
    if whole is None or longest or _claimed_family(get) is not None:
        return longest
    # A window without fields of its own, also one that no release has named yet.
    return seconds_until(get(_UNIFIED + b"reset"), clock) or 0.0


def _of_family(get: Get, family: bytes, clock: float) -> float:
    """Seconds until the spent window of a family of models has reset; 0.0: it is not spent."""
    is_claimed = get(_UNIFIED + b"status") == b"rejected" and _claimed_family(get) == family
    name = _UNIFIED + b"7d_" + family
    is_spent = get(name + b"-status") == b"rejected" or _full(get(name + b"-utilization"))
    if not is_claimed and (not is_spent or _has_overage(get)):
        return 0.0
    resets_s = seconds_until(get(name + b"-reset"), clock) or 0.0
    if is_claimed:
        resets_s = (
            _retry_after(get, clock)
            or resets_s
            or seconds_until(get(_UNIFIED + b"reset"), clock)
            or 0.0
        )
    return resets_s


def _has_overage(get: Get) -> bool:
    """Whether requests beyond a spent window are served, and billed."""
    status = get(_UNIFIED + b"overage-status")
    return status is not None and status.startswith(b"allowed")


def _claimed_family(get: Get) -> bytes | None:
    """The family whose window the answer speaks of; None: one of all models, known or not."""
    claim = get(_UNIFIED + b"representative-claim")
    family = claim.rpartition(b"_")[2] if claim is not None else b""
    return family if family.decode("latin-1") in FAMILIES else None


def clock_of(get: Get, now_wall: float) -> float:
    """Now by the clock of who names instants: the response's own date, or ours."""
    value = get(b"date")
    if value is None or len(value) > VALUE_BYTES_MAX or not value.endswith(b" GMT"):
        return now_wall
    instant = _instant(value)
    return now_wall if instant is None else instant


def _full(value: bytes | None) -> bool:
    return value is not None and _NUMBER.fullmatch(value) is not None and float(value) >= 1.0
