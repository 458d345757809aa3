"""Sums of exchanges: what is counted, from one record and in SQL.

Money: an exchange whose cost is not known (-1) is in no sum of money and counts as `unpriced`,
unless it has no usage, or costs nothing (`Billing.FREE`). `saved` may be negative: writing a cache
costs more than the input that it holds.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from ccrelay.ledger.record import Billing, Record, Result

_TOKENS, _PLAN, _FREE = int(Billing.TOKENS), int(Billing.PLAN), int(Billing.FREE)
_FAILOVER, _LOST, _PASSED_ON = int(Result.FAILOVER), int(Result.LOST), int(Result.PASSED_ON)


class Sums(msgspec.Struct, gc=False):
    """Sums of exchanges. Money in millionths of a dollar, times in microseconds."""

    exchanges: int = 0
    failovers: int = 0
    lost: int = 0
    passed_on: int = 0
    client_left: int = 0
    refused: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    thinking: int = 0
    billed: int = 0
    plan: int = 0
    saved: int = 0
    moved_micros: int = 0
    moves: int = 0
    unpriced: int = 0
    first_events: int = 0  # exchanges that had one
    first_event_us: int = 0  # sum of theirs
    own_us: int = 0

    def add(self, other: "Sums") -> None:
        """Add other sums to these."""
        for name in SUM_COLUMNS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def add_record(self, record: Record) -> None:
        """Add one exchange."""
        for name, amount in zip(SUM_COLUMNS, amounts(record), strict=True):
            if amount:
                setattr(self, name, getattr(self, name) + amount)

    @property
    def cost_micros(self) -> int:
        """At list or configured price, paid by token or by a plan."""
        return self.billed + self.plan


SUM_COLUMNS: tuple[str, ...] = Sums.__struct_fields__

# The same as `amounts`, for sums over rows: `e` is `exchanges`, `s` its row of `shapes`.
_PRICED = "e.cost_micros >= 0"
ROW_SUMS: dict[str, str] = {
    "exchanges": "count(*)",
    "failovers": f"sum(s.result = {_FAILOVER})",
    "lost": f"sum(s.result = {_LOST})",
    "passed_on": f"sum(s.result = {_PASSED_ON})",
    "client_left": f"sum(s.result = {int(Result.CLIENT_LEFT)})",
    "refused": f"sum(s.result = {int(Result.REFUSED)})",
    "input": "sum(e.input)",
    "output": "sum(e.output)",
    "cache_read": "sum(e.cache_read)",
    "cache_write_5m": "sum(e.cache_write_5m)",
    "cache_write_1h": "sum(e.cache_write_1h)",
    "thinking": "sum(e.thinking)",
    "billed": f"sum(iif(s.billing = {_TOKENS} AND {_PRICED}, e.cost_micros, 0))",
    "plan": f"sum(iif(s.billing = {_PLAN} AND {_PRICED}, e.cost_micros, 0))",
    "saved": f"sum(iif(s.billing IN ({_TOKENS}, {_PLAN}) AND {_PRICED} AND e.uncached_micros >= 0, "
    "e.uncached_micros - e.cost_micros, 0))",
    "moved_micros": "sum(max(e.moved_micros, 0))",
    "moves": "sum(s.moved)",
    "unpriced": f"sum(s.has_usage AND e.cost_micros < 0 AND s.billing <> {_FREE})",
    "first_events": "sum(e.first_event_us > 0)",
    "first_event_us": "sum(e.first_event_us)",
    "own_us": "sum(e.own_us)",
}
ROLLUP_SUMS: dict[str, str] = {name: f"sum(r.{name})" for name in SUM_COLUMNS}


def amounts(record: Record) -> tuple[int, ...]:
    """What one exchange adds to the sums, in the order of `SUM_COLUMNS`."""
    result, billing, cost = record.result, record.billing, record.cost_micros
    is_priced = cost >= 0
    is_paid = is_priced and billing in (_TOKENS, _PLAN)
    return (
        1,
        int(result == _FAILOVER),
        int(result == _LOST),
        int(result == _PASSED_ON),
        int(result == Result.CLIENT_LEFT),
        int(result == Result.REFUSED),
        record.input,
        record.output,
        record.cache_read,
        record.cache_write_5m,
        record.cache_write_1h,
        record.thinking,
        cost if is_priced and billing == _TOKENS else 0,
        cost if is_priced and billing == _PLAN else 0,
        record.uncached_micros - cost if is_paid and record.uncached_micros >= 0 else 0,
        max(record.moved_micros, 0),
        int(record.moved),
        int(record.has_usage and not is_priced and billing != _FREE),
        int(record.first_event_us > 0),
        record.first_event_us,
        record.own_us,
    )


K = TypeVar("K")


def merge(into: dict[K, list[int]], key: K, more: Sequence[int]) -> None:
    """Add sums in the order of `SUM_COLUMNS` to those of a group."""
    found = into.get(key)
    if found is None:
        into[key] = list(more)
        return
    for at, amount in enumerate(more):
        found[at] += amount


def total(groups: Iterable[Sequence[int]]) -> Sums:
    """Sums of all groups."""
    found: dict[int, list[int]] = {0: [0] * len(SUM_COLUMNS)}
    for group in groups:
        merge(found, 0, group)
    return Sums(*found[0])
