"""Sums since local midnight, of everything and of each key, in memory.

They begin with what the ledger has of today and grow with each record. An exchange counts for the
day on which it began, as in the ledger.
"""

from collections.abc import Callable, Mapping, Sequence

from ccrelay.ledger.record import Record
from ccrelay.store.sums import Sums
from ccrelay.store.zones import Zone, day_start_s

KEYS_MAX = 4096  # clients' own logins are keys, too; more than these are in the total only


class Today:
    """The sums of today.

    Args:
        clock: seconds since 1970.
        zone: local time.
    """

    def __init__(self, clock: Callable[[], float], zone: Zone) -> None:
        self._clock = clock
        self._zone = zone
        self._start_s = day_start_s(zone, int(clock()))
        self._total = Sums()
        self._keys: dict[tuple[str, str], Sums] = {}

    @property
    def start_s(self) -> int:
        """The last midnight, seconds since 1970."""
        self._turn()
        return self._start_s

    def load(self, start_s: int, found: Mapping[tuple[str, ...], Sequence[int]]) -> None:
        """Add what the ledger has since `start_s`, by provider and fingerprint."""
        if start_s != self.start_s:
            return  # midnight has passed meanwhile
        for (provider, key), amounts in found.items():
            sums = Sums(*amounts)
            self._total.add(sums)
            self._of(provider, key).add(sums)

    def add(self, records: Sequence[Record]) -> None:
        """Add exchanges that are over."""
        start_us = self.start_s * 1_000_000
        for record in records:
            if record.started_at_us >= start_us:
                self._total.add_record(record)
                self._of(record.provider, record.key).add_record(record)

    def total(self) -> Sums:
        """The sums of all exchanges of today."""
        self._turn()
        return self._total

    def of(self, provider: str, key: str) -> Sums:
        """The sums of a key, by its fingerprint."""
        self._turn()
        return self._keys.get((provider, key)) or Sums()

    def by_key(self) -> dict[tuple[str, str], Sums]:
        """The sums of each key, by provider and fingerprint; without provider: none was asked."""
        self._turn()
        return dict(self._keys)

    def first_event_ms(self, provider: str, key: str) -> float:
        """Average time to the first event of a key's answers, milliseconds; 0: there was none."""
        sums = self.of(provider, key)
        return sums.first_event_us / sums.first_events / 1000 if sums.first_events else 0.0

    def _of(self, provider: str, key: str) -> Sums:
        found = self._keys.get((provider, key))
        if found is None:
            found = Sums()
            if len(self._keys) < KEYS_MAX:
                self._keys[provider, key] = found
        return found

    def _turn(self) -> None:
        now = int(self._clock())
        start_s = day_start_s(self._zone, now)
        if start_s != self._start_s:
            self._start_s = start_s
            self._total = Sums()
            self._keys = {}
