"""How much went through in a minute, counted in the three ways providers do. Pure.

All instants are seconds on one clock. A window knows a limit and never keeps anybody from it: who
asks `fits_at` before `add` stays within the limit, and what comes unasked (output tokens are known
when they are there) may go beyond.
"""

import math
from collections import deque
from typing import Literal, Protocol, TypeAlias

WINDOW_S = 60.0

WindowKind: TypeAlias = Literal["sliding", "fixed", "bucket"]


class Window(Protocol):
    """One quantity of one credential, against one limit."""

    limit: int

    def used(self, now: float) -> int:
        """Return what counts against the limit."""

    def add(self, now: float, amount: int) -> None:
        """Count so much more."""

    def fits_at(self, now: float, amount: int) -> float:
        """Return the first instant at which so much more stays within the limit; inf: never."""

    def empty_at(self, now: float) -> float:
        """Return the instant at which nothing counts against the limit any more."""


class Sliding:
    """Any 60 seconds: what happened less than a minute ago counts."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.most = 0  # the highest level so far
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
        self.most = max(self.most, level)

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
    """The minute of the clock: everything is forgotten when the next one begins."""

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
    """A bucket that holds the limit and refills all the time, a limit a minute.

    After a quiet minute a full bucket and its refill go through: up to twice the limit in 60 s.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rate = limit / WINDOW_S
        self._level = 0.0  # what is missing from the bucket
        self._at = 0.0

    def used(self, now: float) -> int:
        """See `Window`. Parts of one count as one: they are not there yet."""
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
        self._level = max(0.0, self._level - (now - self._at) * self._rate)
        self._at = now
        return self._level


WINDOWS: dict[WindowKind, type[Sliding] | type[Fixed] | type[Bucket]] = {
    "sliding": Sliding,
    "fixed": Fixed,
    "bucket": Bucket,
}
