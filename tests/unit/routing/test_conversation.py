"""The binding of a conversation, as the relay and `Routing.Explain` find it."""

from ccrelay._fast.affinity_table import FOREIGN, MODEL_BITS, AffinityTable, hash64
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Config, Health, Key, Provider, Routing
from ccrelay.config.resolve import resolve
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.routing.conversation import client_number, find_conversation
from ccrelay.routing.route_table import Route, RouteTable
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.strategies import strategy_for
from ccrelay.types import TrafficClass

NOW = 1000.0
SESSION = b"session-1"


class World:
    def __init__(self) -> None:
        self.memory = SharedMemory.private(targets=8, endpoints=8, bindings=64)
        self.table = AffinityTable(self.memory)
        config = resolve(
            Config(
                providers=[
                    Provider(
                        name="one",
                        type="anthropic",
                        base_url="http://h",
                        keys=[Key("a", tpm_limit=1000), Key("b")],
                    ),
                    Provider(name="two", base_url="http://h", keys=[Key("c")], models=["glm"]),
                ]
            )
        )
        self.providers = [
            ProviderState(p, Health(), memory=self.memory, slots=slots, endpoint_slot=number)
            for number, (p, slots) in enumerate(zip(config.providers, ([0, 1], [2]), strict=True))
        ]
        self.targets: dict[int, Target] = {
            t.slot: t for provider in self.providers for t in provider.targets
        }
        self.routes = RouteTable(self.providers, lambda rule: strategy_for(Routing()))

    def route(self, model: str) -> Route:
        return self.routes.of(model.encode(), model)

    def find(
        self,
        model: str = "claude-x",
        traffic: int = TrafficClass.MAIN,
        *,
        is_sticky: bool = True,
        agent: bytes | None = None,
        client: int = 0,
    ) -> RoutingRequest:
        request = RoutingRequest(traffic=traffic, now=NOW)
        request.client = client
        find_conversation(
            self.table, self.targets, is_sticky, self.route(model), request, SESSION, agent
        )
        return request


def test_an_unknown_conversation_has_a_name_and_no_binding() -> None:
    request = World().find()
    assert request.conversation == request.thread == hash64(SESSION)
    assert request.binding is None
    assert request.cache is None


def test_a_binding_is_found_for_its_client_only() -> None:
    world = World()
    client = client_number(b"token", b"digest")
    world.table.keep(hash64(SESSION), 1, NOW, client=client, flags=FOREIGN)
    request = world.find(client=client)
    assert request.binding is not None
    assert request.binding.slot == 1
    assert request.marks == FOREIGN
    assert world.find().binding is None
    assert world.find(client=client_number(b"token", b"other")).binding is None


def test_without_affinity_only_the_cache_counts() -> None:
    world = World()
    world.table.keep(hash64(SESSION), 1, NOW)
    request = world.find(is_sticky=False)
    assert (request.conversation, request.binding) == (0, None)
    assert request.cache is not None


def test_a_sub_agent_has_a_cache_of_its_own() -> None:
    world = World()
    world.table.keep(hash64(SESSION), 1, NOW)
    world.table.keep(hash64(SESSION + b"\0agent"), 0, NOW, flags=16 & MODEL_BITS)
    request = world.find(traffic=TrafficClass.SUBAGENT, agent=b"agent")
    assert request.binding is not None
    assert request.binding.slot == 1
    assert request.cache is not None
    assert request.cache.slot == 0
    assert world.find(traffic=TrafficClass.BACKGROUND).cache is None


def test_a_model_that_others_serve_has_a_binding_of_its_own() -> None:
    world = World()
    world.table.keep(hash64(SESSION), 2, NOW)
    request = world.find()
    assert request.binding is None
    assert request.conversation == hash64(SESSION + b"\nclaude-x")
    assert request.marks & FOREIGN  # what served it does not sign
    world.targets.pop(2)
    assert world.find().conversation == hash64(SESSION)  # its target is gone: it moves


def test_numbers_of_clients_are_positive_and_differ_by_kind() -> None:
    numbers = {client_number(kind, b"x") for kind in (b"token", b"peer", b"own")}
    assert len(numbers) == 3
    assert all(0 < number < 1 << 63 for number in numbers)
