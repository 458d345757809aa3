"""Sentences on keys say what decided between them, on the relay's own router."""

import random

import pytest

from ccrelay.config.model import KeyStrategy
from ccrelay.fleet.provider_state import Target
from ccrelay.manager.explain import LiveRouting
from ccrelay.manager.key_choice import HOW, key_words
from ccrelay.routing.explain import Question
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.v1 import routing_pb2 as v1
from tests.unit.manager.worlds import NOW, World

KEYS = "[{key: k1, name: a, rpm_limit: 10}, {key: k2, name: b, rpm_limit: 10}]"
ONE = f"""\
providers:
- {{name: one, base_url: 'http://h', models: [m], key_strategy: most-room, keys: {KEYS}}}
"""
TWO = ONE + "- {name: two, base_url: 'http://h', models: [m], keys: [{key: k3, name: c}]}\n"
FAILOVER = "routing: {strategy: failover}\n"


def answer(world: World, session: str = "") -> v1.ExplainResponse:
    routing = LiveRouting(world.memory, world.config, world.layout, world.clock, random.Random(1))
    return routing.answer(Question(model="m"), session)


def use(world: World, index: int) -> None:
    reservation = world.worker("one").targets[index].limits.reserve(NOW, 1, 1)
    assert reservation is not None
    reservation.commit(NOW, 1, 1)


def test_the_second_row_is_taken_by_the_strategy_of_keys() -> None:
    world = World(TWO + FAILOVER)
    use(world, 0)
    found = answer(world)
    assert found.candidates[0].available  # and yet not taken
    assert found.choice.sentence == (
        "It goes to one/b, by strategy failover: the first available; of the 2 free keys of one "
        "that with the most room (key_strategy most-room)."
    )


def test_one_provider_was_chosen_by_no_strategy() -> None:
    world = World(ONE + FAILOVER)
    use(world, 0)
    assert answer(world).choice.sentence == (
        "It goes to one/b, the only provider for m; of the 2 free keys of one "
        "that with the most room (key_strategy most-room)."
    )
    world = World(TWO.replace("name: c", "name: c, rpm_limit: 1") + FAILOVER)
    reservation = world.worker("two").targets[0].limits.reserve(NOW, 1, 1)
    assert reservation is not None
    reservation.commit(NOW, 1, 1)
    assert "the only provider that is free now; of the 2 free keys" in answer(world).choice.sentence


def test_a_conversation_is_hashed_to_its_key() -> None:
    sessions = [f"3f8c41aa-1111-4222-8333-abcdefabcd{number:02}" for number in range(10, 30)]
    found = {}
    for session in sessions:
        world = World(ONE)
        use(world, 0)
        told = answer(world, session)
        found[told.target] = told.choice.sentence
    assert set(found) == {"one/a", "one/b"}  # whatever room they have
    assert all("the conversation's own, by its hash (affinity)" in one for one in found.values())


@pytest.mark.parametrize("strategy", list(HOW))
def test_each_strategy_has_its_words(strategy: KeyStrategy) -> None:
    world = World(ONE.replace("most-room", strategy))
    assert f"{HOW[strategy]} (key_strategy {strategy})" in answer(world).choice.sentence


def test_priority_comes_first() -> None:
    world = World(ONE.replace("name: b", "name: b, priority: 5"))
    found = answer(world)
    assert found.target == "one/b"
    assert (
        "; of the 2 free keys of one the first by priority (weight 0 last)."
        in found.choice.sentence
    )


def test_a_key_alone_needs_no_words() -> None:
    target: Target = World(ONE).worker("one").targets[0]
    request = RoutingRequest(now=NOW)
    assert key_words(target, {target.slot}, "most-room", request) == ""
