"""What a worker's exchanges came to since it started: for the end of `serve`.

Kept apart from the ledger, so that it works without one and costs a few additions per exchange.
"""

from ccrelay.ledger.record import Billing, Result
from ccrelay.relay.outcome import Outcome

_FAILOVER = int(Result.FAILOVER)
_PASSED_ON = int(Result.PASSED_ON)
_LOST = int(Result.LOST)
_PLAN = int(Billing.PLAN)


class Totals:
    """Counts of exchanges and tokens, and money in millionths of a dollar."""

    __slots__ = (
        "billed",
        "cache_read",
        "cache_write",
        "exchanges",
        "failovers",
        "input",
        "lost",
        "moved",
        "moves",
        "output",
        "passed_on",
        "plan",
        "saved",
        "unpriced",
    )

    def __init__(self) -> None:
        self.exchanges = 0
        self.lost = 0
        self.failovers = 0
        self.moves = 0  # conversations that left a warm cache
        self.passed_on = 0
        self.input = 0  # tokens neither read from nor written to a cache
        self.output = 0
        self.cache_read = 0
        self.cache_write = 0
        self.billed = 0
        self.plan = 0  # what plans covered, at list price
        self.saved = 0  # by caches; negative: writing to them cost more
        self.moved = 0  # what moves cost
        self.unpriced = 0  # exchanges with tokens and without a known price

    def add(self, outcome: Outcome) -> None:
        """Count an exchange that is over."""
        result, usage, cost = outcome.result, outcome.usage, outcome.cost_micros
        self.exchanges += 1
        if result == _FAILOVER:
            self.failovers += 1
        elif result == _PASSED_ON:
            self.passed_on += 1
        elif result == _LOST:
            self.lost += 1
        if outcome.moved_micros > 0:
            self.moves += 1
            self.moved += outcome.moved_micros
        if usage is None:
            return
        self.input += usage.input
        self.output += usage.output
        self.cache_read += usage.cache_read
        written = usage.cache_write_5m + usage.cache_write_1h
        self.cache_write += written
        if cost < 0:
            if usage.input or usage.output or usage.cache_read or written:
                self.unpriced += 1
            return
        if outcome.billing == _PLAN:
            self.plan += cost
        else:
            self.billed += cost
        if outcome.uncached_micros >= 0:
            self.saved += outcome.uncached_micros - cost

    def values(self) -> dict[str, int]:
        """All of them by name."""
        return {
            "exchanges": self.exchanges,
            "lost": self.lost,
            "failovers": self.failovers,
            "moves": self.moves,
            "passed_on": self.passed_on,
            "input": self.input,
            "output": self.output,
            "cache_read": self.cache_read,
            "cache_write": self.cache_write,
            "billed_micros": self.billed,
            "plan_micros": self.plan,
            "saved_micros": self.saved,
            "moved_micros": self.moved,
            "unpriced": self.unpriced,
        }
