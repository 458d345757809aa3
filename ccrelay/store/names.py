"""The numbers of a record in words, as the schema, filters and exports spell them."""

from ccrelay.ledger.record import Billing, Result, Why
from ccrelay.types import RequestClass, TrafficClass

# As rules spell them (`routing.rules.CLASSES`).
CLASSES: dict[int, str] = {
    TrafficClass.MAIN: "main",
    TrafficClass.COMPACTION: "compaction",
    TrafficClass.SUBAGENT: "subagent",
    TrafficClass.WEB_SEARCH: "web-search",
    TrafficClass.BACKGROUND: "background",
    TrafficClass.COUNT_TOKENS: "count_tokens",
}
KINDS: dict[int, str] = {kind: kind.name.lower() for kind in RequestClass}
OUTCOMES: dict[int, str] = {result: result.name.lower() for result in Result}
REASONS: dict[int, str] = {why: why.name.lower() for why in Why if why}
BILLINGS: dict[int, str] = {billing: billing.name.lower() for billing in Billing if billing}


def class_name(traffic: int) -> str:
    """The class of traffic in words; empty: not known."""
    return CLASSES.get(traffic, "")


def kind_name(kind: int) -> str:
    """The kind of request in words; empty: not known."""
    return KINDS.get(kind, "")


def outcome_name(result: int) -> str:
    """The outcome in words; empty: not known."""
    return OUTCOMES.get(result, "")


def reason_name(why: int) -> str:
    """Why the target was taken, in a word; empty: not known."""
    return REASONS.get(why, "")


def billing_name(billing: int) -> str:
    """How it is paid, in a word; empty: not known."""
    return BILLINGS.get(billing, "")
