"""What every strategy keeps to, whatever there is to choose from."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ccrelay.config.model import Routing, StrategyName
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.strategies import (
    CostBased,
    LatencyBased,
    LeastBusy,
    RoundRobin,
    SimpleShuffle,
    expected_cost,
    strategy_for,
)
from ccrelay.types import OutputClass
from tests.unit.routing.strategy_fakes import NOW, ask, binding, candidate

NAMES: tuple[StrategyName, ...] = StrategyName.__args__  # type: ignore[attr-defined]
# No deadline: how long an example takes says something about the machine, not about the code.
CALM = settings(deadline=None, max_examples=80)
FEW = settings(deadline=None, max_examples=20)

ROUTING = Routing(
    models={"claude-": ["p3", "p1"], "claude-o*5": ["p2", "nobody"]},
    models_default=["p4"],
    explore=0.3,
)
SHARES = st.floats(0.0, 1.0)
DOLLARS = st.none() | st.tuples(*[st.integers(0, 30).map(float)] * 5)


@st.composite
def fleets(draw: Any, least: int = 1) -> list[Any]:
    """Candidates in any state in which a strategy may be shown them."""
    asked = draw(st.sampled_from(["claude-opus-5-5", "claude-sonnet-5", "glm-5.3", "x"]))
    return [
        candidate(
            f"p{number}",
            draw(st.integers(0, 1000)),
            priority=draw(st.integers(0, 3)),
            room=draw(SHARES),
            in_flight=draw(st.integers(0, 50)),
            first_event_s=draw(st.just(0.0) | st.floats(0.001, 100.0)),
            observed_at=draw(st.floats(0.0, NOW)),
            dollars=draw(DOLLARS) or (),
            slot=number,
            asked=asked,
        )
        for number in range(draw(st.integers(least, 6)))
    ]


@st.composite
def asks(draw: Any) -> RoutingRequest:
    sticky = binding(
        draw(st.integers(0, 7)),
        draw(st.integers(0, 300_000)),
        draw(st.sampled_from([300.0, 3600.0])),
    )
    return ask(
        conversation=draw(st.just(0) | st.integers(1, (1 << 64) - 1)),
        tokens_in=draw(st.integers(0, 300_000)),
        tokens_out=draw(st.integers(0, 30_000)),
        output_class=draw(st.sampled_from(OutputClass)),
        binding=draw(st.none() | st.just(sticky)),
    )


def chi_square(chosen: Counter[str], weights: dict[str, float]) -> float:
    """How far a count is from its shares; who has none must not be counted at all."""
    total = sum(chosen.values())
    far = 0.0
    for name, weight in weights.items():
        expected = total * weight / sum(weights.values())
        if expected == 0.0:
            assert chosen[name] == 0
        else:
            far += (chosen[name] - expected) ** 2 / expected
    return far


# ---- all of them


@CALM
@given(fleet=fleets(), what=asks(), seed=st.integers())
@pytest.mark.parametrize("name", NAMES)
def test_the_chosen_one_is_available(
    name: StrategyName, fleet: list[Any], what: RoutingRequest, seed: int
) -> None:
    chooser, rng = strategy_for(ROUTING, name), random.Random(seed)
    before = list(fleet)
    for _ in range(5):
        chosen = chooser.choose(fleet, what, rng)
        assert any(chosen is one for one in fleet)
    assert fleet == before


@CALM
@given(fleet=fleets(), what=asks(), seed=st.integers())
@pytest.mark.parametrize("name", NAMES)
def test_retries_reach_every_target_once(
    name: StrategyName, fleet: list[Any], what: RoutingRequest, seed: int
) -> None:
    chooser, rng = strategy_for(ROUTING, name), random.Random(seed)
    left = list(fleet)
    while left:
        left.remove(chooser.choose(left, what, rng))
    assert left == []


@CALM
@given(fleet=fleets(), what=asks(), seed=st.integers())
@pytest.mark.parametrize("name", [name for name in NAMES if name != "round-robin"])
def test_the_same_chance_makes_the_same_choice_and_nothing_is_changed(
    name: StrategyName, fleet: list[Any], what: RoutingRequest, seed: int
) -> None:
    before = [repr(one.provider) for one in fleet]
    first, second = (
        strategy_for(ROUTING, name).choose(fleet, what, random.Random(seed)) for _ in range(2)
    )
    assert first is second
    assert [repr(one.provider) for one in fleet] == before


# ---- shares


@FEW
@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0.0, 0.25, 1.0])), min_size=2).map(
        lambda rows: rows[:5]
    ),
    seed=st.integers(),
)
def test_a_shuffle_shares_by_weight_and_room(rows: list[tuple[int, float]], seed: int) -> None:
    available = [candidate(f"p{n}", weight, room=room) for n, (weight, room) in enumerate(rows)]
    rng = random.Random(seed)
    chosen = Counter(
        SimpleShuffle().choose(available, ask(), rng).provider.name for _ in range(3000)
    )
    shares = [weight * room for weight, room in rows]
    if not any(shares):
        shares = [float(weight) for weight, _ in rows]
    if not any(shares):
        shares = [1.0] * len(rows)
    # Four degrees of freedom: 40 is passed by chance once in ten million.
    named = {f"p{n}": share for n, share in enumerate(shares)}
    assert chi_square(chosen, named) < 40.0


@FEW
@given(weights=st.lists(st.integers(0, 9), min_size=2, max_size=5), seed=st.integers())
def test_conversations_share_by_weight(weights: list[int], seed: int) -> None:
    available = [candidate(f"p{n}", weight) for n, weight in enumerate(weights)]
    rng = random.Random(seed)
    chosen = Counter(
        SimpleShuffle()
        .choose(available, ask(conversation=rng.getrandbits(64) | 1), rng)
        .provider.name
        for _ in range(3000)
    )
    shares = weights if any(weights) else [1] * len(weights)
    assert chi_square(chosen, {f"p{n}": float(share) for n, share in enumerate(shares)}) < 40.0


# ---- round-robin


@CALM
@given(weights=st.lists(st.integers(1, 12), min_size=2, max_size=6))
def test_a_round_is_exact_and_smooth(weights: list[int]) -> None:
    available = [candidate(f"p{n}", weight) for n, weight in enumerate(weights)]
    total, chooser, rng = sum(weights), RoundRobin(), random.Random(1)
    taken = Counter[str]()
    for number in range(1, 2 * total + 1):
        taken[chooser.choose(available, ask(), rng).provider.name] += 1
        for one in available:
            service = one.provider
            # What it gained and did not pay for is what it is owed: never as much as two choices.
            owed = number * service.weight - taken[service.name] * total
            assert service.turn == owed
            assert abs(owed) < 2 * total
        if number % total == 0:
            assert [taken[one.provider.name] for one in available] == [
                weight * number // total for weight in weights
            ]


@CALM
@given(
    weights=st.lists(st.integers(0, 20), min_size=3, max_size=6),
    subsets=st.lists(st.integers(1, 63), min_size=50, max_size=150),
)
def test_round_robin_with_absentees_starves_no_candidate(
    weights: list[int], subsets: list[int]
) -> None:
    every_one = [candidate(f"p{n}", weight) for n, weight in enumerate(weights)]
    chooser, rng = RoundRobin(), random.Random(1)
    claims = max(sum(weights), len(weights))
    for subset in subsets:
        available = [one for n, one in enumerate(every_one) if subset >> n & 1]
        if not available:
            continue
        chosen = chooser.choose(available, ask(), rng)
        weighs = any(one.provider.weight for one in available)
        assert chosen.provider.weight > 0 or not weighs
        assert sum(one.provider.turn for one in every_one) == 0
        assert all(abs(one.provider.turn) <= claims for one in every_one)
    # From whatever that left behind, two rounds of all reach every_one who weighs something.
    taken = {chooser.choose(every_one, ask(), rng).provider.name for _ in range(2 * claims)}
    weighty = [one for one in every_one if one.provider.weight] or every_one
    assert taken == {one.provider.name for one in weighty}


# ---- least-busy


@CALM
@given(fleet=fleets(least=2), seed=st.integers())
def test_no_available_candidate_is_less_busy_than_the_chosen_one(
    fleet: list[Any], seed: int
) -> None:
    chosen = LeastBusy().choose(fleet, ask(), random.Random(seed)).provider
    for other in (one.provider for one in fleet):
        if not chosen.weight:
            assert not other.weight
            assert chosen.key_pool.in_flight <= other.key_pool.in_flight
        elif other.weight:
            assert (
                chosen.key_pool.in_flight * other.weight <= other.key_pool.in_flight * chosen.weight
            )


@FEW
@given(weights=st.lists(st.integers(1, 9), min_size=2, max_size=5), seed=st.integers())
def test_exchanges_that_stay_are_under_way_in_proportion_to_the_weights(
    weights: list[int], seed: int
) -> None:
    available = [candidate(f"p{n}", weight) for n, weight in enumerate(weights)]
    rng = random.Random(seed)
    rounds = 10
    for _ in range(rounds * sum(weights)):
        LeastBusy().choose(available, ask(), rng).provider.key_pool.in_flight += 1
    for one in available:
        assert (
            abs(one.provider.key_pool.in_flight - rounds * one.provider.weight)
            <= one.provider.weight
        )


# ---- cost-based


@CALM
@given(fleet=fleets(), what=asks(), seed=st.integers())
def test_no_available_candidate_is_cheaper_than_the_chosen_one(
    fleet: list[Any], what: RoutingRequest, seed: int
) -> None:
    chosen = CostBased().choose(fleet, what, random.Random(seed))
    costs = {one: cost for one in fleet if (cost := expected_cost(one, what)) is not None}
    if not costs:
        assert chosen is fleet[0]
        return
    cheapest = [one for one, cost in costs.items() if cost == min(costs.values())]
    assert chosen in cheapest
    assert chosen.provider.key_pool.room == max(one.provider.key_pool.room for one in cheapest)


@CALM
@given(fleet=fleets(least=2), what=asks())
def test_a_cost_is_that_of_the_columns(fleet: list[Any], what: RoutingRequest) -> None:
    for one in fleet:
        if one.price is None:
            assert expected_cost(one, what) is None
            continue
        place: Any = what.binding
        warm = place is not None and one.holds(place.slot)
        long = place is not None and place.ttl_s > 300.0
        cached = min(place.prefix_tokens, what.tokens_in) if warm else 0
        write = one.price.cache_write_1h if long else one.price.cache_write_5m
        picos = (
            (what.tokens_in - cached) * max(write, one.price.input)
            + cached * one.price.cache_read
            + what.tokens_out * one.price.output
        )
        assert expected_cost(one, what) == pytest.approx(picos / 1e6)


# ---- latency-based


@FEW
@given(fleet=fleets(least=2), seed=st.integers())
def test_exploration_starves_no_candidate_and_keeps_its_share(fleet: list[Any], seed: int) -> None:
    rng = random.Random(seed)
    chooser = LatencyBased(0.3)
    now, draws = NOW, 600
    taken = Counter[str]()
    for _ in range(draws):
        now += 0.5
        chosen = chooser.choose(fleet, ask(now=now), rng)
        taken[chosen.provider.name] += 1
        # What is observed confirms what was known: the slow stay slow.
        pulse = chosen.provider.endpoint.stats
        pulse.seen[0] = (pulse.average(0) or 1.0, now)
    assert all(taken[one.provider.name] > 0 for one in fleet)
    # The quickest has seven in ten; six hundred draws do not stray by more than this.
    assert max(taken.values()) > draws * 0.5
