"""When a dead worker's replacement starts. Pure: the caller brings what it measured."""

QUICK_DEATH_S = 5.0  # a worker that lived shorter than this counts as failing in a row
PAUSE_FIRST_S = 0.1  # after the second quick death; doubles from there
PAUSE_MAX_S = 1.0  # a slot is never empty for longer than this plus one start
BOOT_FAILURES_MAX = 5  # failed starts in a row before anything served: give up, show the error


def quick_deaths(so_far: int, lived_s: float) -> int:
    """Count of quick deaths in a row, after one more death at age `lived_s`."""
    return so_far + 1 if lived_s < QUICK_DEATH_S else 0


def pause_s(deaths: int) -> float:
    """Seconds to wait before the replacement, after `deaths` quick deaths in a row.

    The first replacement starts at once: most crashes are a single bad request.
    """
    if deaths <= 1:
        return 0.0
    # The exponent is bounded, so that a slot failing for days does not overflow a float.
    return min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(deaths - 2, 16))
