"""What every choice keeps to, over any state of providers, keys and breakers.

The exchange's own test (property/test_exchange.py) judges choices on their way through failures;
here are states that it seldom comes to, and what only many choices show.
"""

import random
from collections import Counter
from math import inf
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from ccrelay._fast.rate_limits import Capacity, Cooldown, Dimension
from ccrelay.config.model import Key, Price, Provider, StrategyName
from ccrelay.fleet.provider_state import Target
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import Selection, Unavailable
from ccrelay.types import RequestClass
from tests.unit.routing.test_router import NOW, Fleet, asked, give_back, key, provider

CALM = settings(deadline=None, max_examples=150)
FEW = settings(deadline=None, max_examples=25)
NAMES: tuple[StrategyName, ...] = StrategyName.__args__  # type: ignore[attr-defined]

KEYS = st.fixed_dictionaries(
    {"weight": st.integers(0, 3), "priority": st.integers(0, 1)},
    optional={
        "rpm_limit": st.integers(1, 5),
        "itpm_limit": st.integers(50, 1000),
        "otpm_limit": st.integers(20, 500),
        "tpm_limit": st.integers(100, 2000),
        "max_concurrent": st.integers(1, 3),
    },
)
PRICES = st.sampled_from([1.0, 5.0])


@st.composite
def providers(draw: Any, least: int = 1) -> list[Provider]:
    return [
        provider(
            f"p{number}",
            *[key(f"p{number}k{k}", **draw(KEYS)) for k in range(draw(st.integers(1, 4)))],
            weight=draw(st.integers(0, 3)),
            priority=draw(st.integers(0, 2)),
            key_strategy=draw(
                st.sampled_from(["most-room", "least-loaded", "round-robin", "random"])
            ),
            prices={"m": Price(input=draw(PRICES), output=draw(PRICES))},
        )
        for number in range(draw(st.integers(least, 4)))
    ]


@st.composite
def fleets(draw: Any) -> Fleet:
    """A fleet in any state: some keys used, some resting or out, some breakers open."""
    fleet = Fleet(
        draw(providers()),
        strategy=draw(st.sampled_from(NAMES)),
        panic=draw(st.sampled_from(["try", "refuse"])),
    )
    for service in fleet.providers:
        if draw(st.integers(0, 3)) == 3:
            fleet.open_breaker(service.name)
        for target in service.targets:
            state = draw(st.sampled_from(["fresh", "fresh", "used", "rests", "out"]))
            if state == "used":
                for _ in range(draw(st.integers(1, 3))):
                    target.limits.reserve_unchecked(NOW - 1.0, 100, 50).commit(NOW - 1.0, 100, 50)
            elif state == "rests":
                target.limits.start_cooldown(
                    NOW + draw(st.sampled_from([1.0, 60.0])), int(Cooldown.RATE)
                )
            elif state == "out":
                target.limits.start_cooldown(inf, int(Cooldown.REFUSED))
    return fleet


@st.composite
def asks(draw: Any, fleet: Fleet) -> RoutingRequest:
    facts: dict[str, Any] = {
        "kind": draw(st.sampled_from([RequestClass.MESSAGES] * 3 + [RequestClass.COUNT_TOKENS])),
        "now": NOW + draw(st.sampled_from([0.0, 2.0, 20.0])),
        "tokens_in": draw(st.sampled_from([1, 100, 5000])),
        "tokens_out": draw(st.sampled_from([1, 50])),
    }
    if facts["kind"] is RequestClass.COUNT_TOKENS:
        facts["tokens_in"] = facts["tokens_out"] = 0
    if draw(st.booleans()):
        facts["conversation"] = draw(st.integers(1, 1 << 63))
        if draw(st.booleans()):
            target = draw(st.sampled_from([t for s in fleet.providers for t in s.targets]))
            facts["binding"] = fleet.binding(facts["conversation"], target.name)
    return asked(**facts)


@st.composite
def tries(draw: Any, fleet: Fleet) -> RetryState | None:
    targets = [target for service in fleet.providers for target in service.targets]
    chosen = draw(st.lists(st.sampled_from(targets), max_size=3, unique=True))
    if not chosen:
        return None
    made = RetryState()
    for target in chosen:
        made.add(target, endpoint_failed=draw(st.booleans()))
    if draw(st.integers(0, 4)) == 4:
        made.exclude(chosen[0].provider)
    return made


def could_go(target: Target, ask: RoutingRequest) -> bool:
    if not target.provider.endpoint.breaker.available(ask.now):
        return False
    if ask.kind == RequestClass.COUNT_TOKENS:
        return target.limits.cooldown_until() <= ask.now
    return target.limits.state(ask.now, ask.tokens_in, ask.tokens_out) == Capacity.READY


def is_out(target: Target, ask: RoutingRequest, tries: RetryState | None) -> bool:
    """Whether an exchange has had enough of it. To count tokens, one failure of an endpoint is."""
    if tries is None:
        return False
    counts = ask.kind == RequestClass.COUNT_TOKENS
    return target in tries.targets or (counts and target.provider in tries.failed)


@CALM
@given(st.data())
def test_a_selection_can_serve_and_unavailable_means_none_could(data: Any) -> None:
    fleet = data.draw(fleets())
    ask = data.draw(asks(fleet))
    made = data.draw(tries(fleet))
    targets = [target for service in fleet.providers for target in service.targets]
    before = {target.slot: could_go(target, ask) for target in targets}
    # A key that cools down for longer than a request may queue does not hold up panic mode.
    ends_at = ask.waits_since + fleet.routing.queue_timeout_s
    admitting = any(
        target.provider.endpoint.breaker.available(ask.now)
        and target.limits.ready_at(ask.now, ask.need(target.slot), ask.tokens_out) <= ends_at
        for target in targets
    )
    in_flight = fleet.in_flight()
    choice = fleet.choose(ask, made)
    if isinstance(choice, Selection):
        target = choice.target
        assert made is None or target not in made.targets
        if not before[target.slot]:
            assert fleet.routing.panic == "try"
            assert not admitting
            assert made is None
        counted = ask.kind != RequestClass.COUNT_TOKENS
        assert (choice.reservation is not None) is counted
        assert fleet.in_flight() == in_flight + counted
        give_back(choice, ask.now)
    else:
        assert isinstance(choice, Unavailable)
        assert choice.until > ask.now
        if not choice.bound:
            assert not any(before[t.slot] for t in targets if not is_out(t, ask, made))
    assert fleet.in_flight() == in_flight


@CALM
@given(st.data())
def test_when_the_wait_ends_a_target_can_be_selected(data: Any) -> None:
    fleet = data.draw(fleets())
    ask = data.draw(asks(fleet))
    choice = fleet.choose(ask)
    if isinstance(choice, Unavailable) and choice.until < inf:
        ask.now = choice.until + 0.001
        assert isinstance(fleet.choose(ask), Selection)


@FEW
@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_a_pool_is_used_up_to_its_limits_and_never_over_them(name: StrategyName, data: Any) -> None:
    limits = data.draw(st.lists(st.integers(1, 6), min_size=2, max_size=8))
    keys = [key(f"k{n}", rpm_limit=limit) for n, limit in enumerate(limits)]
    half = len(keys) // 2
    fleet = Fleet([provider("a", *keys[:half]), provider("b", *keys[half:])], strategy=name)
    sessions = data.draw(st.sampled_from([0, 3]))
    went = Counter[str]()
    for number in range(sum(limits) + 5):
        ask = asked(conversation=1 + number % sessions if sessions else 0)
        choice = fleet.choose(ask)
        if isinstance(choice, Selection):
            assert choice.reservation is not None
            choice.reservation.commit(NOW, 100, 50)
            went[choice.target.name] += 1
    assert went == Counter({f"k{n}": limit for n, limit in enumerate(limits)})


@FEW
@given(st.data())
def test_no_limit_is_exceeded(data: Any) -> None:
    fleet = Fleet(data.draw(providers()), strategy=data.draw(st.sampled_from(NAMES)))
    now = NOW
    held: list[Selection] = []
    for _ in range(40):
        now += data.draw(st.sampled_from([0.0, 0.0, 5.0, 30.0]))
        if held and data.draw(st.booleans()):
            taken = held.pop()
            assert taken.reservation is not None
            taken.reservation.commit(now, taken.reservation.tokens_in, 0)
        # One that is larger than a whole limit may go when nothing else does: it is left out here.
        tokens = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 15))
        choice = fleet.choose(asked(now=now, tokens_in=tokens[0], tokens_out=tokens[1]))
        if isinstance(choice, Selection):
            held.append(choice)
        for service in fleet.providers:
            for target in service.targets:
                within_limits(target, service.config.keys[target.index], now)


def within_limits(target: Target, limits: Key, now: float) -> None:
    gauge = target.limits
    used = {dim: gauge.used(int(dim), now) for dim in Dimension}
    assert used[Dimension.REQUESTS] <= (limits.rpm_limit or inf)
    assert used[Dimension.INPUT] <= (limits.itpm_limit or inf)
    assert used[Dimension.OUTPUT] <= (limits.otpm_limit or inf)
    assert used[Dimension.TOKENS] <= (limits.tpm_limit or inf)
    assert gauge.in_flight <= (limits.max_concurrent or inf)


@pytest.mark.parametrize("name", ["simple-shuffle", "round-robin", "least-busy"])
@pytest.mark.parametrize("key_strategy", ["most-room", "least-loaded", "round-robin", "random"])
def test_no_key_starves_under_strategies_that_spread(name: StrategyName, key_strategy: str) -> None:
    fleet = Fleet(
        [
            provider(
                f"p{n}",
                *[key(f"p{n}k{k}", rpm_limit=1000) for k in range(3)],
                key_strategy=key_strategy,
            )
            for n in range(3)
        ],
        strategy=name,
    )
    went = Counter[str]()
    for _ in range(900):
        taken = fleet.take()
        assert taken.reservation is not None
        taken.reservation.commit(NOW, 100, 50)
        went[taken.target.name] += 1
    assert len(went) == 9
    assert min(went.values()) >= 60, went


def test_under_latency_based_a_slow_one_is_found_again_when_it_is_quick() -> None:
    fleet = Fleet([provider("quick"), provider("slow")], strategy="latency-based")
    quick, slow = (one.endpoint.stats for one in fleet.providers)
    ask = asked()
    quick.observe(ask.output_class, 0.5, NOW)
    slow.observe(ask.output_class, 5.0, NOW)
    now, seen = NOW, []
    for _ in range(600):
        now += 1.0
        ask = asked(now=now)
        taken = fleet.take(ask)
        give_back(taken, now)
        pulse = taken.target.provider.endpoint.stats
        pulse.observe(ask.output_class, 0.1 if pulse is slow else 0.5, now)
        seen.append(taken.target.name)
    assert seen[:3] == ["quick"] * 3
    assert seen[-100:].count("slow") > 80


@pytest.mark.parametrize("name", NAMES)
def test_conversations_keep_their_target(name: StrategyName) -> None:
    fleet = Fleet(
        [provider(f"p{n}", key(f"p{n}a"), key(f"p{n}b")) for n in range(3)], strategy=name
    )
    homes: dict[int, str] = {}
    rng = random.Random(4)
    for _ in range(300):
        conversation = rng.randrange(1, 20)
        place = fleet.affinity.find(conversation, NOW)
        ask = asked(conversation=conversation, binding=place, tokens_in=6000)
        taken = fleet.take(ask)
        give_back(taken)
        fleet.affinity.keep(conversation, taken.target.slot, NOW, prefix_tokens=5000)
        assert homes.setdefault(conversation, taken.target.name) == taken.target.name
