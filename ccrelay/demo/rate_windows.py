"""Usage of the last minute, counted in the three ways that providers use. Pure.

All times are seconds on one clock. A window does not enforce its limit: a caller that checks
`fits_at` before `add` stays within it; output tokens, known only afterwards, may exceed it.
"""

import math
from collections import deque
from typing import Literal, Protocol, TypeAlias

WINDOW_S = 60.0

WindowKind: TypeAlias = Literal["sliding", "fixed", "bucket"]


class Window(Protocol):
    """Usage of one quantity by one credential, and its limit."""

    limit: int

    def used(self, now: float) -> int:
        """Return the amount that counts against the limit."""

    def add(self, now: float, amount: int) -> None:
        """Add an amount."""

    def fits_at(self, now: float, amount: int) -> float:
        """Return the earliest time at which `amount` more is within the limit; inf: never."""

    def empty_at(self, now: float) -> float:
        """Return the time at which nothing counts against the limit."""


class Sliding:
    """Sliding window: amounts of the last 60 seconds count."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0  # maximum of `used` so far
        self._added: deque[tuple[float, int]] = deque()
        self._level = 0

    def used(self, now: float) -> int:
        """See `Window`."""
        while self._added and self._added[0][0] <= now - WINDOW_S:
            self._level -= self._added.popleft()[1]
        return self._level

    def add(self, now: float, amount: int) -> None:
        """See `Window`."""
        level = self.used(now) + amount
        self._added.append((now, amount))
        self._level = level
        self.peak = max(self.peak, level)

    def fits_at(self, now: float, amount: int) -> float:
        """See `Window`."""
        excess = self.used(now) + amount - self.limit
        if excess <= 0:
            return now
        if amount > self.limit:
            return math.inf
        for at, gone in self._added:
            excess -= gone
            if excess <= 0:
                return at + WINDOW_S
        return now + WINDOW_S

    def empty_at(self, now: float) -> float:
        """See `Window`."""
        return self._added[-1][0] + WINDOW_S if self.used(now) else now


class Fixed:
    """Fixed window: the amounts of the current clock minute count."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._minute = 0
        self._level = 0

    def used(self, now: float) -> int:
        """See `Window`."""
        minute = int(now // WINDOW_S)
        if minute != self._minute:
            self._minute, self._level = minute, 0
        return self._level

    def add(self, now: float, amount: int) -> None:
        """See `Window`."""
        self._level = self.used(now) + amount

    def fits_at(self, now: float, amount: int) -> float:
        """See `Window`."""
        if self.used(now) + amount <= self.limit:
            return now
        return math.inf if amount > self.limit else self._next()

    def empty_at(self, now: float) -> float:
        """See `Window`."""
        return self._next() if self.used(now) else now

    def _next(self) -> float:
        return (self._minute + 1) * WINDOW_S


class Bucket:
    """Token bucket with the capacity of the limit, refilled continuously in one minute.

    After an idle minute up to twice the limit fits into 60 s: the full bucket and its refill.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rate = limit / WINDOW_S
        self._level = 0.0  # tokens missing from a full bucket
        self._state = 0.0

    def used(self, now: float) -> int:
        """See `Window`. Rounded up: a fraction of a token cannot be used."""
        return math.ceil(self._missing(now) - 1e-9)

    def add(self, now: float, amount: int) -> None:
        """See `Window`."""
        self._level = self._missing(now) + amount

    def fits_at(self, now: float, amount: int) -> float:
        """See `Window`."""
        if amount > self.limit:
            return math.inf
        excess = self._missing(now) + amount - self.limit
        return now + excess / self._rate if excess > 1e-9 else now

    def empty_at(self, now: float) -> float:
        """See `Window`."""
        return now + self._missing(now) / self._rate

    def _missing(self, now: float) -> float:
        self._level = max(0.0, self._level - (now - self._state) * self._rate)
        self._state = now
        return self._level


WINDOWS: dict[WindowKind, type[Sliding] | type[Fixed] | type[Bucket]] = {
    "sliding": Sliding,
    "fixed": Fixed,
    "bucket": Bucket,
}
