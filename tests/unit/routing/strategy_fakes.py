"""What a strategy sees of a candidate, without a fleet behind it."""

from dataclasses import dataclass, field
from typing import Any

from ccrelay._fast.affinity_table import AffinityTable, Binding
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Price
from ccrelay.ledger.pricing import PriceList, price_list
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import OutputClass

NOW = 1000.0


@dataclass
class KeyPool:
    room: float = 1.0
    in_flight: int = 0


@dataclass
class EndpointStats:
    """Averages in seconds and when they were last confirmed, by output class."""

    seen: dict[int, tuple[float, float]] = field(default_factory=dict)

    def average(self, output_class: int) -> float:
        return self.seen.get(output_class, (0.0, 0.0))[0]

    def observed_at(self, output_class: int) -> float:
        return self.seen.get(output_class, (0.0, 0.0))[1]


@dataclass
class Endpoint:
    stats: EndpointStats = field(default_factory=EndpointStats)


@dataclass
class ProviderState:
    name: str
    weight: int = 1
    priority: int = 0
    turn: float = 0.0
    seed: int = 0
    key_pool: KeyPool = field(default_factory=KeyPool)
    endpoint: Endpoint = field(default_factory=Endpoint)


@dataclass(eq=False)
class Candidate:
    provider: ProviderState
    asked: str = "claude-opus-5-5"
    price: PriceList | None = None
    slots: frozenset[int] = frozenset()

    def holds(self, slot: int) -> bool:
        return slot in self.slots

    def __repr__(self) -> str:
        return f"<{self.provider.name}>"


_TABLE = AffinityTable(SharedMemory.private(bindings=8))


def binding(slot: int, prefix_tokens: int = 0, ttl_s: float = 300.0) -> Binding:
    """A real one: only a table makes them."""
    _TABLE.keep(1, slot, NOW, ttl_s=ttl_s, prefix_tokens=prefix_tokens)
    found = _TABLE.find(1, NOW)
    assert found is not None
    return found


def candidate(
    name: str,
    weight: int = 1,
    *,
    priority: int = 0,
    room: float = 1.0,
    in_flight: int = 0,
    first_event_s: float = 0.0,
    observed_at: float = NOW,
    dollars: tuple[float, ...] = (),
    slot: int = -1,
    asked: str = "claude-opus-5-5",
) -> Any:
    """A candidate; `dollars` are the columns of its price: input, output, cache read, writes."""
    seen = {int(OutputClass.STREAM): (first_event_s, observed_at)} if first_event_s else {}
    seed = sum(ord(letter) * 1_000_003**place for place, letter in enumerate(name, 1))
    return Candidate(
        ProviderState(
            name,
            weight,
            priority,
            seed=seed & ((1 << 64) - 1),
            key_pool=KeyPool(room, in_flight),
            endpoint=Endpoint(EndpointStats(seen)),
        ),
        asked=asked,
        price=price_list(Price(*dollars)) if dollars else None,
        slots=frozenset({slot}) - {-1},
    )


def ask(**facts: Any) -> RoutingRequest:
    """A request at NOW."""
    return RoutingRequest(**{"now": NOW, **facts})
