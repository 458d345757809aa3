"""Instants of the monotonic clock as milliseconds since 1970."""

import math
import time
from collections.abc import Callable

# The clocks are read one after the other: less than this is no change of their distance.
SLACK_S = 0.05


class Clock:
    """Both clocks of this machine.

    The distance between the two is kept while it is about the same, so that an instant that does
    not change is shown as the same number each time.

    Args:
        monotonic: seconds of CLOCK_MONOTONIC, which the shared memory uses.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._distance = wall() - monotonic()

    def now(self) -> float:
        """Monotonic seconds."""
        return self._monotonic()

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return round(self._wall() * 1000)

    def ms(self, instant: float) -> int:
        """A monotonic instant as milliseconds since 1970; 0 for none (0.0) and for never."""
        if instant <= 0.0 or math.isinf(instant):
            return 0
        distance = self._wall() - self._monotonic()
        if abs(distance - self._distance) > SLACK_S:
            self._distance = distance
        return round((instant + self._distance) * 1000)
