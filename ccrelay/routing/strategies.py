"""Strategies: one signature, one question. Who failed and why is decided elsewhere.

    choose(candidates, tried, now, rng) -> Candidate | None

`tried` are the candidates that this exchange has tried already. Resting endpoints are chosen only
when nothing else is left: a request that may fail is better than one that must.
"""

import random
from collections.abc import Callable, Sequence

from ccrelay.config.model import Strategy
from ccrelay.routing.candidates import Candidate

Choose = Callable[
    [Sequence[Candidate], Sequence[Candidate], float, random.Random], Candidate | None
]


def simple_shuffle(
    candidates: Sequence[Candidate], tried: Sequence[Candidate], now: float, rng: random.Random
) -> Candidate | None:
    """Weighted random over the providers that are up."""
    choice = _worth_trying(candidates, tried, now)
    if len(choice) <= 1:
        return choice[0] if choice else None
    total = 0
    for candidate in choice:
        total += candidate.weight
    point = rng.random() * total
    for candidate in choice:
        point -= candidate.weight
        if point < 0.0:
            return candidate
    return choice[int(rng.random() * len(choice))]  # all weights are 0


def failover(
    candidates: Sequence[Candidate], tried: Sequence[Candidate], now: float, rng: random.Random
) -> Candidate | None:
    """The first provider, in configured order, that is up."""
    choice = _worth_trying(candidates, tried, now)
    return choice[0] if choice else None


def _worth_trying(
    candidates: Sequence[Candidate], tried: Sequence[Candidate], now: float
) -> Sequence[Candidate]:
    left = [c for c in candidates if c not in tried] if tried else candidates
    for candidate in left:
        if candidate.endpoint.resumes_at > now:
            return [c for c in left if c.endpoint.available(now)] or left
    return left


STRATEGIES: dict[Strategy, Choose] = {"simple-shuffle": simple_shuffle, "failover": failover}
