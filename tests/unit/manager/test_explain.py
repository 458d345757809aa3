"""The answer in words: reasons and sentences, by what the router said."""

import random

import pytest

from ccrelay._fast.rate_limits import Cooldown
from ccrelay.manager.explain import LiveRouting
from ccrelay.routing.explain import Question
from ccrelay.v1 import routing_pb2 as v1
from tests.unit.manager.worlds import NOW, World

ONE = """\
providers:
- {name: one, base_url: 'http://h', models: [m], keys: [{key: k1, name: a, rpm_limit: 1}]}
"""
TWO = ONE + "- {name: two, base_url: 'http://h', models: [m], keys: [{key: k2, name: b}]}\n"


def answer(world: World, model: str = "m", **question: object) -> v1.ExplainResponse:
    # A test has one process, and may as well use the memory itself: each world is asked once.
    routing = LiveRouting(world.memory, world.config, world.layout, world.clock, random.Random(1))
    return routing.answer(Question(model=model, **question), "")  # type: ignore[arg-type]


def open_breaker(world: World, name: str) -> None:
    breaker = world.worker(name).endpoint.breaker
    for _ in range(3):
        ticket = breaker.admit(NOW, random.Random(1))
        assert ticket is not None
        breaker.settle(ticket, NOW, random.Random(1), False)


def fill(world: World, name: str) -> None:
    reservation = world.worker(name).targets[0].limits.reserve(NOW, 1, 1)
    assert reservation is not None
    reservation.commit(NOW, 1, 1)


def test_the_only_target() -> None:
    found = answer(World(ONE))
    assert found.choice.reason == "only"
    assert found.choice.sentence == "It goes to one/a, the only target that serves m."


def test_the_only_free_target() -> None:
    world = World(TWO)
    fill(world, "one")
    found = answer(world)
    assert (found.target, found.choice.reason) == ("two/b", "strategy")
    assert found.choice.sentence == "It goes to two/b, the only target that is free now."
    assert [(one.target, one.why) for one in found.choice.passed] == [("one/a", "limit")]
    assert found.candidates[0].room == 0.0
    assert found.candidates[0].available_at_ms >= world.ms(60)


def test_one_of_several_by_the_strategy() -> None:
    found = answer(World(TWO))
    assert found.choice.sentence.startswith(
        f"It goes to {found.target}, by strategy simple-shuffle"
    )


def test_all_breakers_are_open_and_the_queue_is_short() -> None:
    world = World(ONE + "routing: {queue_timeout_s: 0.1}\nhealth: {open_s: 20}\n")
    open_breaker(world, "one")
    found = answer(world)
    assert (found.target, found.choice.reason) == ("one/a", "panic")
    assert "although its breaker is open" in found.choice.sentence
    assert found.candidates[0].why == "breaker_open"


def test_a_refused_key_is_the_last_resort_when_its_trial_is_due() -> None:
    world = World(ONE)
    world.worker("one").targets[0].refusals.add(NOW - 100, 30.0, 900.0)
    found = answer(world)
    assert (found.target, found.choice.reason) == ("one/a", "last_resort")
    assert found.candidates[0].why == "key_refused"


def test_a_refused_key_whose_trial_is_not_due() -> None:
    world = World(ONE)
    world.worker("one").targets[0].refusals.add(NOW, 30.0, 900.0)
    found = answer(world)
    assert (found.target, found.waits_ms) == ("", 0)
    assert found.candidates[0].available_at_ms == 0
    assert "No target can take it now" in found.choice.sentence


def test_the_wait_is_told_in_seconds() -> None:
    world = World(ONE)
    world.worker("one").targets[0].limits.start_cooldown(NOW + 4.2, Cooldown.RATE)
    found = answer(world)
    assert found.waits_ms == pytest.approx(4200, abs=2)
    assert found.choice.reason == "queue"
    assert found.choice.sentence == "It waits: the next target is free in 4.2 s."


def test_the_end_of_an_exchange_is_no_known_time() -> None:
    world = World(ONE.replace("rpm_limit: 1", "max_concurrent: 1"))
    held = world.worker("one").targets[0].limits.reserve(NOW, 100, 50)
    assert held is not None
    found = answer(world)
    assert (found.target, found.choice.reason) == ("", "queue")
    assert found.candidates[0].why == "max_concurrent"
    assert found.choice.sentence == (
        "It waits until an exchange under way ends: max_concurrent is reached."
    )


def test_a_large_request_and_a_small_limit() -> None:
    world = World(ONE.replace("rpm_limit: 1", "itpm_limit: 5000"))
    fill(world, "one")
    found = answer(world, tokens=20_000)
    assert found.candidates[0].why == "limit"


def test_prices_are_those_of_the_configuration() -> None:
    price = "prices: {m: {input: 3, output: 15, cache_read: 0.3}}, "
    found = answer(World(ONE.replace("models: [m]", price + "models: [m]")), tokens=10_000)
    (one,) = found.candidates
    assert one.new_micros == 10_000 * 3 + 1000 * 15
    assert one.cached_micros == 10_000 * 0.3 + 1000 * 15
    assert not answer(World(ONE)).candidates[0].HasField("new_micros")
