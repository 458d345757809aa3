"""Strategies: each chooses one of the available candidates.

    choose(available, request, rng) -> Candidate

`available` are the candidates that can take the request now and were not tried before: never
empty, in configured order (or in that of the matching rule), with key pools surveyed for this
request. Affinity comes first, except for a strategy with `weighs_cache`: that one is asked every
time, and weighs the cost of leaving a warm cache itself.

A strategy holds configuration only; live state is in `ccrelay.fleet`.
"""

import fnmatch
import random
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol

from ccrelay._fast.affinity_table import rendezvous
from ccrelay.config.model import Routing, StrategyName
from ccrelay.ledger.pricing import TTL_SHORT_S, expected_micros
from ccrelay.routing.candidate import Candidate
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import OutputClass

# A latency average without a new sample for so long may be outdated: explored first.
STALE_S = 60.0
# Model names come from clients, so the cache of their ranks is bounded.
REMEMBERED_MODELS_MAX = 1024

_WILDCARD = re.compile(r"[*?]")


class Strategy(Protocol):
    """A configured strategy."""

    @property
    def name(self) -> StrategyName:
        """As configured."""

    @property
    def weighs_cache(self) -> bool:
        """True: also called for a bound conversation; `request.binding` has the binding."""

    def choose(
        self, available: Sequence[Candidate], request: RoutingRequest, rng: random.Random
    ) -> Candidate:
        """Choose one of `available`, which is not empty."""


class SimpleShuffle:
    """Random, weighted by remaining capacity; a conversation by rendezvous hashing.

    All workers and nodes must hash alike, so hashing uses the weights alone: capacity differs
    between them and over time.
    """

    name: ClassVar[StrategyName] = "simple-shuffle"
    weighs_cache: ClassVar[bool] = False

    def choose(
        self, available: Sequence[Candidate], request: RoutingRequest, rng: random.Random
    ) -> Candidate:
        """Choose one of `available`."""
        if len(available) == 1:
            return available[0]
        if request.conversation:
            return _place_of(available, request.conversation)
        total = 0.0
        shares = []
        for one in available:
            provider = one.provider
            share = provider.weight * provider.key_pool.room
            shares.append(share)
            total += share
        if total <= 0.0:  # no capacity left anywhere: the weights alone
            shares = [float(one.provider.weight) for one in available]
            total = sum(shares)
        point = rng.random() * total
        for one, share in zip(available, shares, strict=True):
            point -= share
            if point < 0.0:
                return one
        return _any(available, rng)  # all weights are 0


class RoundRobin:
    """Smooth weighted round-robin, as in nginx: weights 5, 1, 1 give a a b a c a a.

    Each available provider gains its weight; the highest is chosen and pays the sum of weights. The
    current weight is kept in the provider's state, so that an unavailable provider neither loses
    its position nor returns with a claim to more than a round.
    """

    name: ClassVar[StrategyName] = "round-robin"
    weighs_cache: ClassVar[bool] = False

    def choose(
        self, available: Sequence[Candidate], request: RoutingRequest, rng: random.Random
    ) -> Candidate:
        """Choose one of `available`."""
        if len(available) == 1:
            return available[0]
        total = 0
        for one in available:
            total += one.provider.weight
        best = available[0]
        ahead = float("-inf")
        for one in available:
            provider = one.provider
            weight = provider.weight if total else 1  # all weights are 0
            provider.turn += weight
            if weight and provider.turn > ahead:
                best, ahead = one, provider.turn
        best.provider.turn -= total or len(available)
        return best


class LeastBusy:
    """The fewest exchanges in flight per weight; ties: more capacity, then random."""

    name: ClassVar[StrategyName] = "least-busy"
    weighs_cache: ClassVar[bool] = False

    def choose(
        self, available: Sequence[Candidate], request: RoutingRequest, rng: random.Random
    ) -> Candidate:
        """Choose one of `available`."""
        if len(available) == 1:
            return available[0]
        best: list[Candidate] = []
        least = (True, 0.0, 0.0)
        for one in available:
            provider = one.provider
            weight = provider.weight
            key_pool = provider.key_pool
            # Weight 0 comes last.
            rank = (not weight, key_pool.in_flight / (weight or 1), -key_pool.room)
            if not best or rank < least:
                best, least = [one], rank
            elif rank == least:
                best.append(one)
        return best[0] if len(best) == 1 else _any(best, rng)


class Failover:
    """The highest priority; ties: the first."""

    name: ClassVar[StrategyName] = "failover"
    weighs_cache: ClassVar[bool] = False

    def choose(
        self, available: Sequence[Candidate], request: RoutingRequest, rng: random.Random
    ) -> Candidate:
        """Choose one of `available`."""
        best = available[0]
        for one in available:
            if one.provider.priority > best.provider.priority:
                best = one
        return best


class CostBased:
    """The lowest cost of this turn, with the prompt read from cache at the target that holds it.

    Ties: more capacity. Candidates without a known price come last.
    """

    name: ClassVar[StrategyName] = "cost-based"
    weighs_cache: ClassVar[bool] = True

    def choose(
        self, available: Sequence[Candidate], request: RoutingRequest, rng: random.Random
    ) -> Candidate:
        """Choose one of `available`."""
        if len(available) == 1:
            return available[0]
        best = available[0]
        least: tuple[float, float] | None = None
        for one in available:
            cost = expected_cost(one, request)
            if cost is None:
                continue
            rank = (cost, -one.provider.key_pool.room)
            if least is None or rank < least:
                best, least = one, rank
        return best


class LatencyBased:
    """The lowest time to first event for this output class, with exploration.

    - The lowest average wins, however old, so that a provider whose breaker closes gets traffic at
      once. Averages decay with time: one response corrects an old one.
    - A provider without samples is chosen with the probability of a random choice; otherwise the
      first one that responded would remain the fastest known.
    - With probability `explore` another one is chosen: one without samples for STALE_S, because one
      response corrects an outdated average; if there is none, any but the fastest.
    - Without samples for this output class, the averages of other classes are used.
    """

    name: ClassVar[StrategyName] = "latency-based"
    weighs_cache: ClassVar[bool] = False

    def __init__(self, explore: float) -> None:
        self.explore = explore

    def choose(
        self, available: Sequence[Candidate], request: RoutingRequest, rng: random.Random
    ) -> Candidate:
        """Choose one of `available`."""
        if len(available) == 1:
            return available[0]
        kind = request.output_class
        best, unknown = _quickest(available, kind)
        if best is None:
            for kind in OutputClass:
                best, unknown = _quickest(available, kind)
                if best is not None:
                    break
            else:
                return _any(available, rng)
        if self.explore:
            if unknown and rng.random() * len(available) < len(unknown):
                return _any(unknown, rng)
            if rng.random() < self.explore:
                return self._another(available, best, kind, request.now, rng)
        return best

    def _another(
        self,
        available: Sequence[Candidate],
        best: Candidate,
        kind: int,
        now: float,
        rng: random.Random,
    ) -> Candidate:
        others = [one for one in available if one is not best]
        since = now - STALE_S
        unsure = [one for one in others if one.provider.endpoint.stats.observed_at(kind) < since]
        return _any(unsure or others, rng)


def _quickest(
    available: Sequence[Candidate], kind: int
) -> tuple[Candidate | None, list[Candidate]]:
    """The candidate with the lowest average for an output class, and those without samples."""
    best = None
    least = 0.0
    unknown = []
    for one in available:
        average = one.provider.endpoint.stats.average(kind)
        if average <= 0.0:
            unknown.append(one)
        elif best is None or average < least:
            best, least = one, average
    return best, unknown


class ModelBased:
    """The first available of the providers listed for the requested model.

    Then those of `models_default`, then the rest in configured order.
    """

    name: ClassVar[StrategyName] = "model-based"
    weighs_cache: ClassVar[bool] = False

    def __init__(self, models: Mapping[str, Sequence[str]], default: Sequence[str]) -> None:
        self._models = models
        self._default = default
        self._remembered: dict[str, dict[str, int]] = {}

    def choose(
        self, available: Sequence[Candidate], request: RoutingRequest, rng: random.Random
    ) -> Candidate:
        """Choose one of `available`."""
        best = available[0]
        if len(available) == 1:
            return best
        ranks = self._remembered.get(best.asked)
        if ranks is None:
            ranks = self._remember(best.asked)
        last = len(ranks)
        least = last
        for one in available:
            rank = ranks.get(one.provider.name, last)
            if rank < least:
                best, least = one, rank
        return best

    def entry(self, asked: str) -> str | None:
        """The entry that matches a model; None: `models_default`."""
        return entry_for(self._models, asked)

    def providers(self, asked: str) -> Sequence[str]:
        """The providers listed for a model: those of its entry, or `models_default`."""
        entry = self.entry(asked)
        return self._default if entry is None else self._models[entry]

    def _remember(self, asked: str) -> dict[str, int]:
        names = dict.fromkeys([*self.providers(asked), *self._default])
        ranks = {name: rank for rank, name in enumerate(names)}
        if len(self._remembered) >= REMEMBERED_MODELS_MAX:
            self._remembered.clear()
        self._remembered[asked] = ranks
        return ranks


def strategy_for(routing: Routing, name: StrategyName | None = None) -> Strategy:
    """The configured strategy, or the strategy `name` with the configured settings."""
    match name or routing.strategy:
        case "simple-shuffle":
            return SimpleShuffle()
        case "round-robin":
            return RoundRobin()
        case "least-busy":
            return LeastBusy()
        case "failover":
            return Failover()
        case "cost-based":
            return CostBased()
        case "latency-based":
            return LatencyBased(routing.explore)
        case "model-based":
            return ModelBased(routing.models, routing.models_default)


def expected_cost(candidate: Candidate, request: RoutingRequest) -> float | None:
    """Expected cost of the turn at a candidate, in millionths of a dollar; None: unknown.

    At the sticky target, the prompt of the last turn is read from cache; elsewhere all of it is
    written.
    """
    price = candidate.price
    if price is None:
        return None
    cached = 0
    ttl_s = TTL_SHORT_S
    binding = request.binding
    if binding is not None:
        ttl_s = binding.ttl_s
        if request.home_open and candidate.holds(binding.slot):
            cached = min(binding.prefix_tokens, request.tokens_in)
    return expected_micros(
        price,
        fresh_tokens=request.tokens_in - cached,
        cached_tokens=cached,
        output_tokens=request.tokens_out,
        ttl_s=ttl_s,
    )


def entry_for(models: Mapping[str, Sequence[str]], asked: str) -> str | None:
    """The entry of `routing.models` that matches a model.

    An exact name wins, with or without `[1m]`; then the entry with the longest text before its
    first `*` or `?`; ties: the first. An entry without wildcards is a prefix.
    """
    plain = asked[:-4] if asked[-4:].lower() == "[1m]" else asked
    for name in (asked, plain):
        if name in models:
            return name
    best = None
    longest = -1
    for entry in models:
        literal = _WILDCARD.split(entry, maxsplit=1)[0]
        if len(literal) <= longest or not asked.startswith(literal):
            continue
        # Brackets are literal, as in model_mapping.
        glob = entry.replace("[", "[[]")
        if literal == entry or any(fnmatch.fnmatchcase(name, glob) for name in (asked, plain)):
            best, longest = entry, len(literal)
    return best


def _place_of(available: Sequence[Candidate], conversation: int) -> Candidate:
    weighs = 0
    for one in available:
        weighs += one.provider.weight
    best = available[0]
    highest = float("-inf")
    for one in available:
        provider = one.provider
        # When all weights are 0, all count alike.
        score = rendezvous(conversation, provider.seed, provider.weight if weighs else 1)
        if score > highest:
            best, highest = one, score
    return best


def _any(choice: Sequence[Candidate], rng: random.Random) -> Candidate:
    return choice[int(rng.random() * len(choice))]
