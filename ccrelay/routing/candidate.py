"""A provider that serves a model, with the name to send to it."""

import msgspec

from ccrelay._fast.record_ring import pack
from ccrelay.fleet.model_group import group_at
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.ledger.prices import UNBILLED
from ccrelay.ledger.pricing import PriceList, price_at
from ccrelay.ledger.record import Billing
from ccrelay.ledger.tariff import Tariff, tariff_at
from ccrelay.routing.target_names import target_name

_encode = msgspec.json.Encoder().encode


class Candidate:
    """A provider that serves a model."""

    __slots__ = (
        "_slots",
        "asked",
        "billing",
        "bridges",
        "estimates",
        "group",
        "names",
        "packed",
        "price",
        "provider",
        "rewrites",
        "sent",
        "splice",
        "tariff",
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
        self.group = group_at(provider.config.type, sent)
        self.bridges = provider.bridges
        self.rewrites = self.bridges or provider.dialect.needs_rewrite(sent)
        self.price: PriceList | None = price_at(provider.config, sent, asked)
        self.tariff: Tariff | None = tariff_at(provider.config, sent, asked)
        # For records: what was sent, where, with which key.
        self.packed = [
            pack(sent, provider.name, target.fingerprint, target.name)
            for target in provider.targets
        ]
        # A `ledger.record.Billing`; UNKNOWN: it depends on the credential that the client sends.
        self.billing = int(_billing(provider))
        self.names = [target_name(provider.name, target.name) for target in provider.targets]
        self._slots = frozenset(target.slot for target in provider.targets)

    def holds(self, slot: int) -> bool:
        """Whether a target slot is one of its keys'."""
        return slot in self._slots

    def __repr__(self) -> str:
        return f"<Candidate {self.provider.name} {self.sent}>"


def _billing(provider: ProviderState) -> Billing:
    """How tokens are paid there."""
    configured = provider.config.billing
    if configured is not None:
        return Billing.PLAN if configured == "plan" else Billing.TOKENS
    if provider.config.type in UNBILLED:
        return Billing.FREE
    return Billing.UNKNOWN if provider.passes_client_credential else Billing.TOKENS
