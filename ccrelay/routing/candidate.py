"""A provider that serves a model, with the name to send to it."""

import msgspec

from ccrelay.config.model import Price
from ccrelay.fleet.model_group import group_of
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.ledger.pricing import PriceList, price_for

_encode = msgspec.json.Encoder().encode


class Candidate:
    """A provider that serves a model."""

    __slots__ = (
        "_slots",
        "asked",
        "estimates",
        "group",
        "price",
        "provider",
        "rewrites",
        "sent",
        "splice",
    )

    def __init__(self, provider: ProviderState, asked: str, sent: str, spelt: str) -> None:
        """Make one.

        Args:
            service: the provider.
            asked: the model to look for.
            sent: the model named to the provider.
            spelt: the model as the client spells it.
        """
        self.provider = provider
        self.asked = asked
        self.sent = sent
        self.splice: bytes | None = None if sent == spelt else _encode(sent)
        self.estimates = provider.dialect.counts_tokens == "estimate"
        self.group = group_of(sent)
        self.rewrites = provider.dialect.needs_rewrite(sent)
        prices: dict[str, Price] = provider.config.prices
        self.price: PriceList | None = price_for(provider.config.type, sent, prices)
        self._slots = frozenset(target.slot for target in provider.targets)

    def holds(self, slot: int) -> bool:
        """Whether a target slot is one of its keys'."""
        return slot in self._slots

    def __repr__(self) -> str:
        return f"<Candidate {self.provider.name} {self.sent}>"
