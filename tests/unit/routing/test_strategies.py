"""What each strategy answers; that no strategy breaks the common rules is a property test."""

import random
from collections import Counter

import pytest

from ccrelay.config.model import Health, Key, Provider, Strategy
from ccrelay.fleet.service import Service
from ccrelay.routing.candidates import Candidate
from ccrelay.routing.strategies import STRATEGIES, failover, simple_shuffle

NOW = 100.0


def candidate(name: str, weight: int = 1, *, resting: bool = False) -> Candidate:
    provider = Provider(
        name=name,
        base_url="http://127.0.0.1:1",
        auth="bearer",
        count_tokens="forward",
        keys=[Key(key="test-key-1")],
        weight=weight,
    )
    made = Candidate(Service(provider, Health(rest_s=10.0)), "m", "m")
    if resting:
        made.endpoint.unreachable(NOW)
    return made


def test_the_strategies_are_those_that_can_be_configured() -> None:
    assert set(STRATEGIES) == set(Strategy.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize("choose", STRATEGIES.values(), ids=STRATEGIES)
def test_nothing_to_choose_from_is_none(choose: object) -> None:
    one = candidate("one")
    assert callable(choose)
    assert choose([], [], NOW, random.Random(1)) is None
    assert choose([one], [one], NOW, random.Random(1)) is None


@pytest.mark.parametrize("choose", STRATEGIES.values(), ids=STRATEGIES)
def test_a_resting_endpoint_is_tried_rather_than_nobody(choose: object) -> None:
    resting, tried = candidate("one", resting=True), candidate("two")
    assert callable(choose)
    assert choose([resting, tried], [tried], NOW, random.Random(1)) is resting


def test_failover_takes_the_first_that_is_up_and_untried() -> None:
    resting, first, second = candidate("a", resting=True), candidate("b"), candidate("c")
    rng = random.Random(1)
    everybody = [resting, first, second]
    assert failover(everybody, [], NOW, rng) is first
    assert failover(everybody, [first], NOW, rng) is second
    assert failover(everybody, [], NOW + 10.0, rng) is resting


def test_a_shuffle_leaves_out_a_weight_of_zero_while_others_weigh_something() -> None:
    zero, one, three = candidate("a", 0), candidate("b", 1), candidate("c", 3)
    rng = random.Random(3)
    chosen = Counter(simple_shuffle([zero, one, three], [], NOW, rng) for _ in range(4000))
    assert chosen[zero] == 0
    assert chosen[three] / chosen[one] == pytest.approx(3.0, rel=0.15)


def test_a_weight_of_zero_is_chosen_when_it_is_all_there_is() -> None:
    zero, one = candidate("a", 0), candidate("b", 1)
    assert simple_shuffle([zero, one], [one], NOW, random.Random(3)) is zero


def test_weights_that_are_all_zero_share_alike() -> None:
    everybody = [candidate(name, 0) for name in "abc"]
    rng = random.Random(3)
    chosen = Counter(simple_shuffle(everybody, [], NOW, rng) for _ in range(3000))
    assert min(chosen[one] for one in everybody) > 850
