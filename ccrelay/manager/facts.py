"""What the ledger and response headers tell of keys, kept for a moment for all who ask."""

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from ccrelay.manager.clock import Clock
from ccrelay.v1 import providers_pb2 as v1

KEPT_S = 1.0


class Sums(Protocol):
    """The ledger."""

    async def totals(self, since_ms: int) -> Mapping[tuple[str, str], v1.Totals]:
        """Sums of the exchanges since then, by provider and fingerprint of the key; empty names:
        no provider was asked."""


class WindowsOf(Protocol):
    """Allowances that response headers have told."""

    def of(self, provider: str, key_fingerprint: str) -> Sequence[v1.Window]:
        """Those of one key."""


class Averages(Protocol):
    """Times of today, by key."""

    def first_event_ms(self, provider: str, key: str) -> float:
        """Average time to the first event, milliseconds; 0: not known."""


class LedgerFacts:
    """Sums of today and windows, by key.

    Args:
        sums: the ledger; None: nothing is kept.
        windows: None: nothing is known.
        clock: both clocks.
        averages: None: nothing is known.
    """

    def __init__(
        self,
        sums: Sums | None,
        windows: WindowsOf | None,
        clock: Clock,
        averages: Averages | None = None,
    ) -> None:
        self._averages = averages
        self._sums = sums
        self._windows = windows
        self._clock = clock
        self._totals: Mapping[tuple[str, str], v1.Totals] = {}
        self._read_at = float("-inf")

    def windows(self, provider: str, key: str) -> Sequence[v1.Window]:
        """Allowances of a key."""
        return self._windows.of(provider, key) if self._windows is not None else ()

    def totals(self, provider: str, key: str) -> v1.Totals | None:
        """Sums of a key since midnight; None: it had no exchange."""
        return self._totals.get((provider, key))

    def first_event_ms(self, provider: str, key: str) -> float:
        """Average time to the first event of a key's answers today; 0: not known."""
        if self._averages is None:
            return 0.0
        return round(self._averages.first_event_ms(provider, key), 1)

    def today(self) -> v1.Totals:
        """Sums of everything since midnight."""
        total = v1.Totals()
        for one in self._totals.values():
            for field, value in one.ListFields():
                setattr(total, field.name, getattr(total, field.name) + value)
        return total

    async def refresh(self) -> None:
        """Ask the ledger again, if the last answer is older than a second."""
        now = self._clock.now()
        if self._sums is not None and now >= self._read_at + KEPT_S:
            self._read_at = now  # first: calls meanwhile get the last answer
            self._totals = await self._sums.totals(midnight_ms(self._clock.now_ms()))


def midnight_ms(now_ms: int) -> int:
    """The last midnight in local time, milliseconds since 1970."""
    now = time.localtime(now_ms / 1000)
    return round(time.mktime((now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0, 0, 0, -1)) * 1000)
