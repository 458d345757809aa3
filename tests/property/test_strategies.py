"""What every strategy keeps to, whatever there is to choose from."""

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from ccrelay.config.model import Health, Provider
from ccrelay.fleet.service import Service
from ccrelay.routing.candidates import Candidate
from ccrelay.routing.strategies import STRATEGIES, simple_shuffle

NOW = 1000.0
# No deadline: how long an example takes says something about the machine, not about the code.
CALM = settings(deadline=None, max_examples=80)


def candidate(number: int, weight: int, failures: int, failed_at: float) -> Candidate:
    """A candidate whose endpoint failed that often, the last time `failed_at`."""
    provider = Provider(
        name=f"p{number}",
        base_url="http://127.0.0.1:1",
        auth="none",
        count_tokens="forward",
        weight=weight,
    )
    made = Candidate(Service(provider, Health(rest_s=2.0, rest_max_s=20.0)), "m", "m")
    made.endpoint.failures = max(failures - 1, 0)
    if failures:
        made.endpoint.unreachable(failed_at)
    return made


@st.composite
def fleets(draw: Any) -> tuple[list[Candidate], list[Candidate]]:
    """Candidates, and those of them that were tried, in some order."""
    facts = st.tuples(st.integers(0, 1000), st.integers(0, 5), st.floats(NOW - 30.0, NOW))
    rows = draw(st.lists(facts, max_size=6))
    everybody = [candidate(number, *row) for number, row in enumerate(rows)]
    tried = draw(st.permutations(everybody))[: draw(st.integers(0, len(everybody)))]
    return everybody, tried


@CALM
@given(fleet=fleets(), seed=st.integers())
@pytest.mark.parametrize("name", list(STRATEGIES))
def test_a_choice_is_untried_and_up_if_any_is_and_none_only_when_all_are_tried(
    name: str, fleet: tuple[list[Candidate], list[Candidate]], seed: int
) -> None:
    everybody, tried = fleet
    left = [one for one in everybody if one not in tried]
    chosen = STRATEGIES[name](everybody, tried, NOW, random.Random(seed))  # type: ignore[index]
    assert (chosen is None) == (not left)
    if chosen is None:
        return
    assert chosen in left
    if any(one.endpoint.available(NOW) for one in left):
        assert chosen.endpoint.available(NOW)


@CALM
@given(fleet=fleets(), seed=st.integers())
@pytest.mark.parametrize("name", list(STRATEGIES))
def test_trying_on_reaches_everybody_once_and_those_that_are_up_first(
    name: str, fleet: tuple[list[Candidate], list[Candidate]], seed: int
) -> None:
    everybody, _ = fleet
    rng = random.Random(seed)
    tried: list[Candidate] = []
    while (chosen := STRATEGIES[name](everybody, tried, NOW, rng)) is not None:  # type: ignore[index]
        tried.append(chosen)
    assert sorted(map(id, tried)) == sorted(map(id, everybody))
    up = [one.endpoint.available(NOW) for one in tried]
    assert up == sorted(up, reverse=True)


@settings(deadline=None, max_examples=20)
@given(
    weights=st.lists(st.integers(0, 9), min_size=2, max_size=5),
    resting=st.integers(0, 1),
    seed=st.integers(),
)
def test_a_shuffle_chooses_in_proportion_to_the_weights(
    weights: list[int], resting: int, seed: int
) -> None:
    up = [candidate(number, weight, 0, NOW) for number, weight in enumerate(weights)]
    down = [candidate(99, 9, 3, NOW)] * resting
    rng = random.Random(seed)
    draws = 3000
    chosen = Counter(simple_shuffle([*down, *up], [], NOW, rng) for _ in range(draws))
    shares = weights if any(weights) else [1] * len(weights)
    chi_square = 0.0
    for one, share in zip(up, shares, strict=True):
        expected = draws * share / sum(shares)
        if share == 0:
            assert chosen[one] == 0
        else:
            chi_square += (chosen[one] - expected) ** 2 / expected
    # Four degrees of freedom: 40 is passed by chance once in ten million.
    assert chi_square < 40.0
    assert sum(chosen[one] for one in up) == draws


@CALM
@given(fleet=fleets(), seed=st.integers())
@pytest.mark.parametrize("name", list(STRATEGIES))
def test_the_same_chance_makes_the_same_choice_and_nothing_is_changed(
    name: str, fleet: tuple[list[Candidate], list[Candidate]], seed: int
) -> None:
    everybody, tried = fleet
    before = [(repr(one.endpoint), one.endpoint.resumes_at) for one in everybody]
    order = list(everybody)
    first, second = (
        STRATEGIES[name](everybody, tried, NOW, random.Random(seed))  # type: ignore[index]
        for _ in range(2)
    )
    assert first is second
    assert order == everybody
    assert before == [(repr(one.endpoint), one.endpoint.resumes_at) for one in everybody]
