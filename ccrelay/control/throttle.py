"""Answers to wrong tokens come later and later; right ones cost nothing."""

from collections import OrderedDict

FIRST_S = 0.1  # a typing mistake is hardly noticed
LONGEST_S = 2.0
FORGET_S = 60.0
ADDRESSES_MAX = 1024


class WrongTokens:
    """Counts wrong tokens per address. Instants are seconds of one clock."""

    def __init__(self, addresses_max: int = ADDRESSES_MAX) -> None:
        self._addresses_max = addresses_max
        self._seen: OrderedDict[str, tuple[int, float]] = OrderedDict()  # address -> count, last at

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, address: str, now: float) -> float:
        """Count one; return the delay that it costs, seconds."""
        count, last_at = self._seen.pop(address, (0, now))
        if now - last_at >= FORGET_S:
            count = 0
        self._seen[address] = (count + 1, now)
        if len(self._seen) > self._addresses_max:
            self._seen.popitem(last=False)
        return min(FIRST_S * float(1 << min(count, 16)), LONGEST_S)
