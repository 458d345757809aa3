"""How often each rule matched, by the exchanges of the ledger."""

import sqlite3

import msgspec

from ccrelay.ledger.record import Billing
from ccrelay.store.pages import bounds
from ccrelay.store.usage import pieces

_PAID = (int(Billing.TOKENS), int(Billing.PLAN))


class RuleCount(msgspec.Struct):
    """One rule; `last_seq` is the key of the last exchange, amounts are at list price."""

    matched: int = 0
    last_seq: int = 0
    cost_micros: int = 0


def rule_counts(connection: sqlite3.Connection, since_ms: int) -> dict[str, RuleCount]:
    """Exchanges that were routed, by the name of the rule that matched; empty: none did.

    Args:
        connection: of the ledger.
        since_ms: not older, milliseconds since 1970; 0: no bound.

    Raises:
        sqlite3.Error: they cannot be read.
    """
    # What was not routed has no strategy.
    shapes = {
        number: (rule, billing)
        for number, rule, billing in connection.execute(
            "SELECT id, rule, billing FROM shapes WHERE strategy <> ''"
        )
    }
    found: dict[str, RuleCount] = {}
    for begin, stop in pieces(connection, *bounds(since_ms, 0)):
        for shape, count, last, cost in connection.execute(
            "SELECT shape, count(*), max(seq), sum(max(cost_micros, 0)) FROM exchanges "
            "WHERE seq >= ? AND seq < ? GROUP BY shape",
            (begin, stop),
        ):
            known = shapes.get(shape)
            if known is None:
                continue
            one = found.setdefault(known[0], RuleCount())
            one.matched += count
            one.last_seq = max(one.last_seq, last)
            one.cost_micros += cost if known[1] in _PAID else 0
    return found
