"""When a window will be full, from how its use grew of late.

Only use within one window counts; what providers tell may be out of order, rounded to a percent,
and a little lower than before. So a sample never lowers the use of a window, and the rate is that
over a fixed time until now: the longer nothing is used, the lower it is.
"""

from collections.abc import Sequence

import msgspec

Sample = tuple[int, float]
"""Milliseconds since 1970, and the used part."""

SAMPLES_MAX = 48
SAMPLES_MIN = 3
# Of the window's length: what counts as the recent past, and how much of it must be known.
RECENT = 0.1
KNOWN = 1 / 60
# Shorter windows start again before a forecast helps.
LENGTH_MIN_S = 600
# Providers round resets, and workers tell them out of order.
RESET_JITTER_MS = 120_000
# A use that falls by so much belongs to a new window, whatever the reset says.
FALL = 0.05


class Forecast(msgspec.Struct, frozen=True):
    """What becomes of a window if use goes on as now.

    Args:
        full_at_ms: since 1970; 0: it lasts, or that is not known.
        at_reset: used part at the reset; None: not known.
    """

    full_at_ms: int = 0
    at_reset: float | None = None


UNKNOWN = Forecast()


def is_new_window(
    before: Sample, resets_at_ms: int, now: Sample, next_resets_at_ms: int
) -> bool | None:
    """Whether a sample is of a later window than the one before; None: of an earlier one."""
    if resets_at_ms and next_resets_at_ms:
        if next_resets_at_ms > resets_at_ms + RESET_JITTER_MS:
            return True
        if next_resets_at_ms < resets_at_ms - RESET_JITTER_MS:
            return None
    if now[0] < before[0]:
        return False
    if resets_at_ms and now[0] >= resets_at_ms:
        return True
    return now[1] < before[1] - FALL


def add_sample(samples: list[Sample], sample: Sample, length_s: int) -> None:
    """Add a sample of the same window. The list stays short, in order, and never falls."""
    at, used = sample
    if samples and at <= samples[-1][0]:
        # It came late: it can only say that the use was no lower by then.
        samples[-1] = (samples[-1][0], max(used, samples[-1][1]))
        return
    if samples:
        used = max(used, samples[-1][1])
    spacing_ms = max(int(length_s * 1000 * RECENT / (SAMPLES_MAX / 2)), 1)
    # The first stays, the last is replaced until it is far enough from the one before.
    if len(samples) >= 2 and at - samples[-2][0] < spacing_ms:
        samples[-1] = (at, used)
    else:
        samples.append((at, used))
    if len(samples) > SAMPLES_MAX:
        del samples[0]


def forecast(
    samples: Sequence[Sample], *, resets_at_ms: int, length_s: int, now_ms: int
) -> Forecast:
    """What becomes of a window with these samples, oldest first."""
    if not samples or length_s < LENGTH_MIN_S or (resets_at_ms and now_ms >= resets_at_ms):
        return UNKNOWN
    used = samples[-1][1]
    if used >= 1:
        full = next(at for at, part in samples if part >= 1)
        return Forecast(full, used)
    rate = rate_per_ms(samples, length_s, now_ms)
    if rate is None:
        return UNKNOWN
    left_ms = resets_at_ms - now_ms if resets_at_ms else length_s * 1000
    full_ms = (1 - used) / rate if rate > 0 else float("inf")
    full_at_ms = now_ms + round(full_ms) if full_ms <= left_ms else 0
    return Forecast(full_at_ms, used + rate * left_ms if resets_at_ms else None)


def rate_per_ms(samples: Sequence[Sample], length_s: int, now_ms: int) -> float | None:
    """The rate at which use grew over the recent past; None: too little is known."""
    recent_ms = length_s * 1000 * RECENT
    first_at, last_at = samples[0][0], samples[-1][0]
    if len(samples) < SAMPLES_MIN or last_at - first_at < length_s * 1000 * KNOWN:
        return None
    now_ms = max(now_ms, last_at)
    begin = max(now_ms - recent_ms, first_at)
    span = now_ms - begin
    return (samples[-1][1] - _used_at(samples, begin)) / span if span > 0 else None


def _used_at(samples: Sequence[Sample], at: float) -> float:
    """The used part at an instant, on the line between the samples around it."""
    before = samples[0]
    for sample in samples:
        if sample[0] >= at:
            span = sample[0] - before[0]
            share = (at - before[0]) / span if span else 1.0
            return before[1] + (sample[1] - before[1]) * share
        before = sample
    return before[1]
