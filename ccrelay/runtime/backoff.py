"""Backoff before a dead worker is replaced. Pure functions."""

EARLY_EXIT_S = 5.0  # a worker that exits earlier than this counts as a consecutive failure
DELAY_FIRST_S = 0.1  # after the second early exit; doubles from there
DELAY_MAX_S = 1.0  # a slot is empty for at most this plus one start
START_FAILURES_MAX = (
    5  # consecutive failed starts before the first ready worker: exit with the error
)


def early_exits(so_far: int, lived_s: float) -> int:
    """The number of consecutive early exits, after one more exit at age `lived_s`."""
    return so_far + 1 if lived_s < EARLY_EXIT_S else 0


def delay_s(exits: int, delay_max_s: float = DELAY_MAX_S) -> float:
    """Seconds to wait before the replacement, after so many consecutive early exits.

    The first replacement starts at once: most crashes are a single bad request.
    """
    if exits <= 1:
        return 0.0
    # The exponent is bounded: a slot that fails for days must not overflow a float.
    return min(delay_max_s, DELAY_FIRST_S * 2.0 ** min(exits - 2, 16))
