"""The state that is read from the shared memory is what workers have written there."""

import random

import pytest

from ccrelay._fast.rate_limits import Cooldown, Dimension
from ccrelay.config.fingerprint import fingerprint
from ccrelay.manager.live import BreakerTimes, billing_of
from ccrelay.types import OutputClass
from ccrelay.v1 import providers_pb2 as v1
from tests.unit.manager.worlds import NOW, World


def test_what_the_configuration_says() -> None:
    world = World()
    one = world.provider("one")
    assert (one.type, one.enabled, one.weight, one.billing) == (
        "anthropic",
        True,
        1,
        v1.BILLING_TOKENS,
    )
    assert "secretpath" not in one.base_url
    assert one.base_url.startswith("https://one.example/v1/")
    assert [(key.name, key.enabled) for key in one.keys] == [
        ("a", True),
        (fingerprint("k-b"), False),
    ]
    assert one.keys[1].state == v1.Key.STATE_DISABLED
    two = world.provider("two")
    assert list(two.models) == ["claude-opus-4-5", "glm-5", "glm-*"]
    assert world.provider("login").keys[0].name == "client"
    assert world.provider("login").billing == v1.BILLING_PLAN
    local = world.provider("local")
    assert not local.enabled
    assert local.billing == v1.BILLING_FREE
    assert (local.keys[0].name, local.keys[0].state) == ("none", v1.Key.STATE_DISABLED)


def test_billing_as_configured() -> None:
    world = World("providers:\n- {name: x, base_url: 'http://h', billing: plan, auth: none}\n")
    assert billing_of(world.config.providers[0]) == v1.BILLING_PLAN


def test_exchanges_in_flight_and_room() -> None:
    world = World()
    limits = world.worker("one").targets[0].limits
    held = [limits.reserve(NOW, 100, 50) for _ in range(3)]
    key = world.provider("one").keys[0]
    assert (key.state, key.in_flight) == (v1.Key.STATE_IN_USE, 3)
    (window,) = key.windows
    assert (window.name, window.used, window.limit, window.utilization) == ("requests", 3, 10, 0.3)
    assert window.length_s == 60
    assert key.room == 0.25  # max_concurrent is the tighter one
    assert world.live.in_flight() == 3
    for reservation in held:
        assert reservation is not None
        reservation.commit(NOW, 100, 50)
    key = world.provider("one").keys[0]
    assert (key.state, key.in_flight, key.room) == (v1.Key.STATE_IDLE, 0, 0.7)
    world.now = NOW + 62
    assert world.provider("one").keys[0].room == 1.0


def test_no_limit_is_known() -> None:
    key = World().provider("two").keys[0]
    assert not key.HasField("room")
    assert list(key.windows) == []


def test_learned_limits_count_with_what_others_use() -> None:
    world = World()
    limits = world.worker("two").targets[0].limits
    limits.learn(Dimension.INPUT, 1000, 400, NOW + 30, NOW + 600, NOW)
    key = world.provider("two").keys[0]
    (window,) = key.windows
    assert (window.name, window.used, window.limit) == ("input_tokens", 600, 1000)
    assert key.room == 0.4


def test_a_remainder_without_a_limit() -> None:
    world = World()
    limits = world.worker("two").targets[0].limits
    limits.learn(Dimension.REQUESTS, 0, 4, NOW + 30, NOW + 30, NOW)
    assert 0 < world.provider("two").keys[0].room < 1


def test_a_full_key() -> None:
    world = World()
    limits = world.worker("one").targets[0].limits
    for _ in range(10):
        reservation = limits.reserve(NOW, 1, 1)
        assert reservation is not None
        reservation.commit(NOW, 1, 1)
    key = world.provider("one").keys[0]
    assert (key.state, key.room) == (v1.Key.STATE_FULL, 0.0)


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (Cooldown.RATE, "rate limit"),
        (Cooldown.QUOTA, "balance or quota"),
        (Cooldown.NO_CREDENTIAL, "no credential"),
    ],
)
def test_each_reason_of_a_cooldown_has_its_end(reason: Cooldown, says: str) -> None:
    world = World()
    world.worker("one").targets[0].limits.start_cooldown(NOW + 47, reason)
    key = world.provider("one").keys[0]
    assert (key.state, key.cooldown_until_ms) == (v1.Key.STATE_COOLDOWN, world.ms(47))
    assert says in key.cooldown_reason


def test_cooldowns_with_reason_and_end() -> None:
    world = World()
    limits = world.worker("one").targets[0].limits
    limits.start_cooldown(NOW + 47, Cooldown.RATE)
    limits.start_group_cooldown(1, NOW + 600)
    key = world.provider("one").keys[0]
    assert key.state == v1.Key.STATE_COOLDOWN
    assert key.cooldown_until_ms == world.ms(47)
    assert key.cooldown_reason == "rate limit of the provider (429)"
    assert key.room == 0.0
    assert [(rest.group, rest.until_ms) for rest in key.group_cooldowns] == [
        ("opus", world.ms(600))
    ]
    world.now = NOW + 48
    key = world.provider("one").keys[0]
    assert (key.state, key.cooldown_until_ms, key.cooldown_reason) == (v1.Key.STATE_IDLE, 0, "")
    assert len(key.group_cooldowns) == 1
    world.now = NOW + 601
    assert list(world.provider("one").keys[0].group_cooldowns) == []


def test_a_group_without_a_family_is_named_by_its_models() -> None:
    from ccrelay.fleet.model_group import group_of

    world = World()
    limits = world.worker("two").targets[0].limits
    limits.start_group_cooldown(group_of("glm-5"), NOW + 60)
    assert world.provider("two").keys[0].group_cooldowns[0].group == "glm-5"


def test_a_refused_key_is_tried_again_at_a_known_time() -> None:
    world = World()
    refusals = world.worker("one").targets[0].refusals
    refusals.add(NOW, 30.0, 900.0)
    key = world.provider("one").keys[0]
    assert key.state == v1.Key.STATE_REFUSED
    assert key.cooldown_until_ms == world.ms(30)
    assert key.cooldown_reason == "the provider refuses it (401 or 403)"
    refusals.claim(NOW + 31, NOW + 40)
    assert "a trial is under way" in world.provider("one").keys[0].cooldown_reason


def test_every_cooldown_is_ended_and_new_ones_hold() -> None:
    world = World()
    limits = world.worker("one").targets[0].limits
    assert limits.end_cooldowns(NOW) == 0
    limits.start_cooldown(NOW + 47, Cooldown.QUOTA)
    limits.start_group_cooldown(2, NOW + 5)
    limits.rest_group(3, NOW)
    limits.start_group_cooldown(4, NOW - 5)  # is over
    assert limits.end_cooldowns(NOW) == 3
    assert limits.group_cooldowns(NOW) == {}
    limits.start_cooldown(NOW + 5, Cooldown.RATE)
    assert world.provider("one").keys[0].state == v1.Key.STATE_COOLDOWN


def test_breakers_and_when_they_changed() -> None:
    world = World()
    times = BreakerTimes()
    breaker = world.worker("one").endpoint.breaker
    rng = random.Random(1)
    assert times.look(world.live.providers, 5)["one"] == 0
    ticket = breaker.admit(NOW, rng)
    assert ticket is not None
    breaker.settle(ticket, NOW, rng, False)
    assert world.provider("one").breaker.failures == 1
    for _ in range(2):
        ticket = breaker.admit(NOW, rng)
        assert ticket is not None
        breaker.settle(ticket, NOW, rng, False)
    since = times.look(world.live.providers, 1234)
    message = world.provider("one", **since).breaker
    assert (message.state, message.since_ms) == (v1.Breaker.STATE_OPEN, 1234)
    assert world.ms(0.7) < message.resumes_at_ms < world.ms(1.3)
    world.now = NOW + 2
    assert breaker.admit(world.now, rng) is not None
    since = times.look(world.live.providers, 5678)
    message = world.provider("one", **since).breaker
    assert (message.state, message.since_ms, message.resumes_at_ms) == (
        v1.Breaker.STATE_HALF_OPEN,
        5678,
        0,
    )
    assert times.look(world.live.providers, 9999)["one"] == 5678


def test_latency_is_that_of_the_latest_streams() -> None:
    world = World()
    stats = world.worker("one").endpoint.stats
    assert world.provider("one").first_event_ms == 0
    stats.observe(OutputClass.WHOLE, 9.0, NOW)
    assert world.provider("one").first_event_ms == 9000
    stats.observe(OutputClass.STREAM, 0.5, NOW)
    stats.observe(OutputClass.THINKING, 1.25, NOW + 1)
    assert world.provider("one").first_event_ms == 1250


def test_what_the_ledger_tells_is_added() -> None:
    world = World()
    world.facts.told = {
        "windows": [v1.Window(name="5h", utilization=0.62), v1.Window(name="requests", limit=7)],
        "totals": v1.Totals(exchanges=3),
    }
    key = world.provider("one").keys[0]
    # Of one thing the relay's own count is newer.
    assert [(window.name, window.limit) for window in key.windows] == [("5h", 0), ("requests", 10)]
    assert key.today.exchanges == 3


def test_a_limit_that_the_provider_told_is_listed_once_with_its_times() -> None:
    world = World()
    limits = world.worker("two").targets[0].limits
    limits.learn(Dimension.INPUT, 1000, 400, NOW + 30, NOW + 600, NOW)
    told = v1.Window(
        name="input_tokens", utilization=0.6, used=600, limit=1000, resets_at_ms=7, observed_at_ms=5
    )
    world.facts.told = {"windows": [told]}
    (window,) = world.provider("two").keys[0].windows
    assert (window.name, window.used, window.limit) == ("input_tokens", 600, 1000)
    assert (window.resets_at_ms, window.observed_at_ms) == (7, 5)
    told.limit = 999  # of another time: the count is of the limit that holds
    (window,) = world.provider("two").keys[0].windows
    assert (window.limit, window.resets_at_ms, window.observed_at_ms) == (1000, 0, 0)


def test_no_key_is_shown() -> None:
    text = str(World().live.messages(World().facts))
    assert not any(key in text for key in ("k-a", "k-b", "k-c"))
