"""Whether every model has a target, by the state of keys and breakers."""

import time

from ccrelay._fast.rate_limits import Cooldown
from ccrelay.manager.status import local_time, unanswered
from tests.unit.manager.worlds import NOW, World

TWO = """\
providers:
- {name: one, base_url: 'http://h', models: [m, n], keys: [{key: k1}, {key: k2}]}
- {name: two, base_url: 'http://h', models: ["n*"], keys: [{key: k3}]}
"""


def cool_down(world: World, name: str, *indices: int) -> None:
    for index in indices:
        limits = world.worker(name).targets[index].limits
        limits.start_cooldown(NOW + 60, Cooldown.RATE)


def test_all_is_answered_while_one_key_of_each_model_is_left() -> None:
    world = World(TWO)
    assert unanswered(world.live) == []
    cool_down(world, "one", 0)
    assert unanswered(world.live) == []
    cool_down(world, "one", 1)
    assert unanswered(world.live) == ["m"]  # n is served by two
    cool_down(world, "two", 0)
    assert unanswered(world.live) == ["m", "n", "n*"]


def test_a_rule_is_a_route_of_its_own() -> None:
    world = World(
        TWO + "routing: {rules: [{name: r, when: {model: [n]}, use: {providers: [two]}}]}\n"
    )
    cool_down(world, "two", 0)
    assert unanswered(world.live) == ["n*", "n by rule r"]


def test_a_rule_for_a_model_that_its_providers_lack_is_not_the_states_fault() -> None:
    world = World(TWO + "routing: {rules: [{use: {providers: [two], model: m}}]}\n")
    assert unanswered(world.live) == []


def test_a_group_of_models_that_rests_is_not_answered() -> None:
    world = World(
        "providers:\n- {name: one, type: anthropic, base_url: 'http://h', keys: [{key: k}],"
        " models: [claude-opus-4-5, claude-sonnet-4-5]}\n"
    )
    world.worker("one").targets[0].limits.start_group_cooldown(1, NOW + 60)
    assert unanswered(world.live) == ["claude-opus-4-5"]


def test_disabled_providers_serve_nothing() -> None:
    world = World(TWO.replace("models: [m, n]", "models: [m, n], enabled: false"))
    assert unanswered(world.live) == []


def test_local_times() -> None:
    now = int(time.time() * 1000)
    assert len(local_time(now)) == 8
    assert len(local_time(now + 40 * 86_400_000)) > 8
