"""Strategies: one signature, one question. Who failed and why is decided elsewhere.

    choose(candidates, tried, now, rng) -> Candidate | None

`tried` are the candidates that this exchange has tried already. Resting endpoints are chosen only when
nothing else is left: a request that may fail is better than one that must.
"""

import random
from collections.abc import Callable, Sequence

from ccrelay.config.model import Strategy
from ccrelay.fleet.service import Service, Target
from ccrelay.routing.candidates import Candidate

Choose = Callable[[Sequence[Candidate], Sequence[Candidate], float, random.Random], Candidate | None]


def _open(
    candidates: Sequence[Candidate], tried: Sequence[Candidate], now: float
) -> Sequence[Candidate]:
    if not tried:
        up = [c for c in candidates if c.service.endpoint.available(now)]
        return up or candidates
    left = [c for c in candidates if c not in tried]
    return [c for c in left if c.service.endpoint.available(now)] or left


def simple_shuffle(
    candidates: Sequence[Candidate], tried: Sequence[Candidate], now: float, rng: random.Random
) -> Candidate | None:
    """Weighted random over the providers that are up."""
    choice = _open(candidates, tried, now)
    if len(choice) <= 1:
        return choice[0] if choice else None
    total = sum(c.service.weight for c in choice)
    if total == 0:
        return choice[int(rng.random() * len(choice))]
    point = rng.random() * total
    for candidate in choice:
        point -= candidate.service.weight
        if point < 0:
            return candidate
    return choice[-1]


def failover(
    candidates: Sequence[Candidate], tried: Sequence[Candidate], now: float, rng: random.Random
) -> Candidate | None:
    """The first provider, in configured order, that is up."""
    choice = _open(candidates, tried, now)
    return choice[0] if choice else None


STRATEGIES: dict[Strategy, Choose] = {"simple-shuffle": simple_shuffle, "failover": failover}


def choose_target(service: Service, rng: random.Random) -> Target:
    """One of the provider's credentials, weighted random."""
    targets = service.targets
    if len(targets) == 1:
        return targets[0]
    total = sum(target.weight for target in targets)
    point = rng.random() * total
    for target in targets:
        point -= target.weight
        if point < 0:
            return target
    return targets[int(rng.random() * len(targets))]
