"""The choice of a target: affinity, availability, strategy, key; or how long to wait.

    a conversation's place, if it can take the request      -> there
    its place within affinity.wait_s, and its cache is warm -> wait for it
    providers whose breaker admits and that have a ready key -> the strategy's choice, then a key
    nobody                                                   -> wait for the soonest

A strategy that weighs the cache is asked first: its own place is one of those it chooses among, as
long as its key can take the request, or will within affinity.wait_s.

Pure: the caller brings `now` and chance. What is taken (a reservation, a breaker's ticket) belongs
to the caller, who gives it back once.
"""

import random
from collections.abc import Set
from math import inf
from typing import NamedTuple

from ccrelay._fast.rate_limits import Capacity, Reservation
from ccrelay.config.model import Routing
from ccrelay.fleet.breaker import State
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Candidate, Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import RequestClass, TrafficClass

# A prefix shorter than this is not cached by any current model (providers reference, section 4).
WORTH_WAITING_TOKENS = 512
# When another worker was faster, or frees its share at a time nobody can know.
LOOK_AGAIN_S = 0.05

_READY = int(Capacity.READY)
_COUNT_TOKENS = RequestClass.COUNT_TOKENS
_MAIN = TrafficClass.MAIN


class Selection(NamedTuple):
    """A target that was chosen, and what was taken of it."""

    candidate: Candidate
    target: Target
    reservation: Reservation | None  # None: the request counts against nothing
    ticket: int  # of the endpoint's breaker


class Unavailable(NamedTuple):
    """Nobody can take the request now."""

    until: float  # when somebody could, monotonic; inf: nobody will
    bound: bool  # it waits for its own place, and stands in nobody's way
    why: str  # for the log: what the soonest target waits for


class Router:
    """Chooses for one configuration."""

    __slots__ = ("_affinity_wait_s", "_queue_timeout_s", "_panics")

    def __init__(self, routing: Routing) -> None:
        self._queue_timeout_s = routing.queue_timeout_s
        self._affinity_wait_s = min(routing.affinity.wait_s, routing.queue_timeout_s)
        self._panics = routing.panic == "try"

    def choose(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
        *,
        stays: bool = True,
        held: Set[int] = frozenset(),
    ) -> Selection | Unavailable:
        """Take a target for a request, or say how long to wait for one.

        Not `stays`: a conversation does not wait for its own key. Held: slots of the slate that
        others wait for who come first; to this request they are full.
        """
        if route.lone is not None and retry_state is None:
            taken = self._take(*route.lone, request, rng)
            if taken is not None:
                return taken
            return self._last_resort(route, request, retry_state, rng)
        by_binding = None
        if request.binding is not None:
            if route.strategy.weighs_cache:
                by_binding = self._weigh(route, request, retry_state, rng, held, stays=stays)
            else:
                by_binding = self._at_home(route, request, retry_state, rng, held)
        if by_binding is not None and (stays or isinstance(by_binding, Selection)):
            return by_binding
        if held:
            retry_state = RetryState.and_held(
                retry_state, (route.by_slot[slot][1] for slot in held)
            )
        taken = self._elsewhere(route, request, retry_state, rng)
        return taken if taken is not None else self._last_resort(route, request, retry_state, rng)

    # ---- where the conversation lives

    def _home(
        self, route: Route, request: RoutingRequest, retry_state: RetryState | None
    ) -> tuple[Candidate, Target] | None:
        """Where it lives, unless it was tried or may not be."""
        binding = request.binding
        assert binding is not None
        home = route.by_slot.get(binding.slot)
        if home is None:
            return None
        candidate, target = home
        if candidate.provider.client_cooldowns and _rests(candidate.provider, request):
            return None
        if retry_state is not None and (
            target in retry_state.targets or candidate.provider in retry_state.failed
        ):
            return None
        return home

    def _at_home(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
        held: Set[int],
    ) -> Selection | Unavailable | None:
        home = self._home(route, request, retry_state)
        if home is None:
            return None
        is_held = home[1].slot in held
        taken = None if is_held else self._take(*home, request, rng)
        return taken if taken is not None else self._worth_waiting(*home, request, is_held)

    def _worth_waiting(
        self, candidate: Candidate, target: Target, request: RoutingRequest, is_held: bool
    ) -> Unavailable | None:
        """How long to wait for its own key; None: that is not worth it."""
        binding = request.binding
        assert binding is not None
        if binding.prefix_tokens < WORTH_WAITING_TOKENS or self._affinity_wait_s <= 0:
            return None
        if request.traffic is not _MAIN and not candidate.provider.endpoint.breaker.available(
            request.now
        ):
            return None  # it takes nothing along when it goes, and would wait at each turn
        until = self._ready_at(candidate, target, request)
        moves_at = request.waits_since + self._affinity_wait_s
        if until > moves_at or request.now >= moves_at:
            return None
        # When those ahead go, all are looked at; nobody can tell when that is.
        return Unavailable(moves_at if is_held else until, True, "its own key")

    def _weigh(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
        held: Set[int],
        *,
        stays: bool,
    ) -> Selection | Unavailable | None:
        """What a strategy says that knows what leaving a warm cache costs."""
        home = self._home(route, request, retry_state)
        is_held = home is not None and home[1].slot in held
        is_ready = home is not None and not is_held and self._is_ready(*home, request)
        waits = None
        if home is not None and not is_ready and stays:
            waits = self._worth_waiting(*home, request, is_held)
        request.home_open = is_ready or waits is not None
        if held:
            retry_state = RetryState.and_held(
                retry_state, (route.by_slot[slot][1] for slot in held)
            )
        available = self._available(route, request, retry_state)
        while available or waits is not None:
            offered = available
            if home is not None and waits is not None and home[0] not in available:
                # In configured order, as strategies have it.
                offered = [c for c in route.candidates if c in available or c is home[0]]
            candidate = route.strategy.choose(offered, request, rng)
            if waits is not None and home is not None and candidate is home[0]:
                return waits
            taken = self._take_key(candidate, request, retry_state, rng)
            if taken is not None:
                return taken
            available.remove(candidate)
        return None

    def _is_ready(self, candidate: Candidate, target: Target, request: RoutingRequest) -> bool:
        if not candidate.provider.endpoint.breaker.available(request.now):
            return False
        need = request.need(target.slot)
        return bool(target.limits.state(request.now, need, request.tokens_out) == _READY)

    # ---- anywhere

    def _elsewhere(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
    ) -> Selection | None:
        available = self._available(route, request, retry_state)
        while available:
            candidate = (
                route.strategy.choose(available, request, rng)
                if len(available) > 1
                else available[0]
            )
            taken = self._take_key(candidate, request, retry_state, rng)
            if taken is not None:
                return taken
            available.remove(candidate)  # another worker was faster
        return None

    def _available(
        self, route: Route, request: RoutingRequest, retry_state: RetryState | None
    ) -> list[Candidate]:
        """Whose breaker admits and who has a ready key that was not tried."""
        now = request.now
        available = []
        for candidate in route.candidates:
            provider = candidate.provider
            if provider.client_cooldowns and _rests(provider, request):
                continue
            if retry_state is not None and provider in retry_state.failed:
                continue
            if provider.endpoint.breaker.available(now) and self._has_key(
                candidate, request, retry_state
            ):
                available.append(candidate)
        return available

    def _has_key(
        self, candidate: Candidate, request: RoutingRequest, retry_state: RetryState | None
    ) -> bool:
        """Whether a key that was not tried has room. The bank remembers what it saw."""
        provider = candidate.provider
        skip = retry_state.mask(provider) if retry_state is not None else 0
        if provider.key_pool.survey(request.now, request.tokens_in, request.tokens_out, skip):
            return True
        # Its own key, to which most of the prompt is no news.
        index = self._own_key(candidate, request, retry_state)
        return index >= 0 and self._is_ready(candidate, provider.targets[index], request)

    def _own_key(
        self, candidate: Candidate, request: RoutingRequest, retry_state: RetryState | None
    ) -> int:
        """The key where the conversation lives, if it is this provider's and was not tried."""
        binding = request.binding
        if binding is None or not candidate.holds(binding.slot):
            return -1
        provider = candidate.provider
        index = next(t.index for t in provider.targets if t.slot == binding.slot)
        tried = retry_state is not None and retry_state.mask(provider) >> index & 1
        return -1 if tried else index

    def _take_key(
        self,
        candidate: Candidate,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
    ) -> Selection | None:
        """A key of a provider that was surveyed: its own, the favourite, the one with most room."""
        provider = candidate.provider
        index = self._own_key(candidate, request, retry_state)
        if index >= 0:
            taken = self._take(candidate, provider.targets[index], request, rng)
            if taken is not None:
                return taken
        index = self._key_by_affinity(provider, request, rng)
        return self._take(candidate, provider.targets[index], request, rng) if index >= 0 else None

    def _key_by_affinity(
        self, provider: ProviderState, request: RoutingRequest, rng: random.Random
    ) -> int:
        """The first choice of a conversation among the keys, where it has room; -1: none has."""
        key_pool = provider.key_pool
        index = key_pool.favourite(request.conversation) if request.conversation else -1
        return index if index >= 0 and key_pool.is_ready(index) else provider.pick(rng)

    def _take(
        self, candidate: Candidate, target: Target, request: RoutingRequest, rng: random.Random
    ) -> Selection | None:
        breaker = candidate.provider.endpoint.breaker
        ticket = breaker.admit(request.now, rng)
        if ticket is None:
            return None
        if request.kind is _COUNT_TOKENS:  # has limits of its own at every provider
            if (
                target.limits.state(request.now, 0, 0) == _READY
                or target.limits.cooldown_until <= request.now
            ):
                return Selection(candidate, target, None, ticket)
        else:
            binding = request.binding  # as Ask.need has it; every request pays this
            is_home = binding is not None and binding.slot == target.slot
            need = request.tokens_home if is_home else request.tokens_in
            reservation = target.limits.reserve(request.now, need, request.tokens_out)
            if reservation is not None:
                return Selection(candidate, target, reservation, ticket)
        breaker.settle(ticket, request.now, rng, ok=None)
        return None

    # ---- nobody

    def _last_resort(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
    ) -> Selection | Unavailable:
        """Other keys of an endpoint that failed, an endpoint whose breaker is open, or waiting."""
        if request.kind is _COUNT_TOKENS:
            taken = self._uncounted(route, request, retry_state, rng)
            if taken is not None:
                return taken
        if retry_state is not None and retry_state.failed:
            for candidate in route.candidates:
                if candidate.provider in retry_state.failed:
                    taken = self._another_key(candidate, request, retry_state, rng)
                    if taken is not None:
                        return taken
        if self._panics and retry_state is None and not self._any_closed(route, request):
            taken = self._panic(route, request, rng)
            if taken is not None:
                return taken
        return self.soonest(route, request, retry_state)

    def _uncounted(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
    ) -> Selection | None:
        """What no limit counts can go to a key that is full."""
        for candidate, target in route.by_slot.values():
            provider = candidate.provider
            if retry_state is not None and (
                target in retry_state.targets or provider in retry_state.failed
            ):
                continue
            if provider.client_cooldowns and _rests(provider, request):
                continue
            taken = self._take(candidate, target, request, rng)
            if taken is not None:
                return taken
        return None

    def _another_key(
        self,
        candidate: Candidate,
        request: RoutingRequest,
        retry_state: RetryState,
        rng: random.Random,
    ) -> Selection | None:
        provider = candidate.provider
        if not provider.endpoint.breaker.available(request.now) or _rests(provider, request):
            return None
        if not self._has_key(candidate, request, retry_state):
            return None
        return self._take_key(candidate, request, retry_state, rng)

    def _any_closed(self, route: Route, request: RoutingRequest) -> bool:
        """Whether somebody whose breaker admits could take the request while it may wait."""
        ends_at = request.waits_since + self._queue_timeout_s
        return any(
            candidate.provider.endpoint.breaker.available(request.now)
            and any(
                self._ready_at(candidate, target, request) <= ends_at
                for target in candidate.provider.targets
            )
            for candidate in route.candidates
        )

    def _panic(self, route: Route, request: RoutingRequest, rng: random.Random) -> Selection | None:
        """Every breaker is open: one that may fail is better than an error that is certain."""
        ready = [
            candidate
            for candidate in route.candidates
            if not candidate.provider.endpoint.breaker.available(request.now)
            and not _rests(candidate.provider, request)
            and self._has_key(candidate, request, None)
        ]
        if not ready:
            return None
        # Not even now does a conversation leave its place without need.
        binding = request.binding
        at_home = [c for c in ready if binding is not None and c.holds(binding.slot)]
        candidate = at_home[0] if at_home else route.strategy.choose(ready, request, rng)
        provider = candidate.provider
        index = self._own_key(candidate, request, None)
        if index < 0 or not provider.key_pool.is_ready(index):
            index = self._key_by_affinity(provider, request, rng)
        if index < 0:
            return None
        target = provider.targets[index]
        reservation = None
        if request.kind is not _COUNT_TOKENS:
            reservation = target.limits.reserve(
                request.now, request.need(target.slot), request.tokens_out
            )
            if reservation is None:
                return None
        return Selection(
            candidate, target, reservation, provider.endpoint.breaker.force(request.now)
        )

    def soonest(
        self, route: Route, request: RoutingRequest, retry_state: RetryState | None = None
    ) -> Unavailable:
        """When somebody who was not tried could take the request."""
        until, why = inf, ""
        for candidate in route.candidates:
            provider = candidate.provider
            for target in provider.targets:
                if retry_state is not None and target in retry_state.targets:
                    continue
                ready_at = self._ready_at(candidate, target, request)
                if ready_at < until or not why:
                    until, why = ready_at, self.state_of(target, request)
        if (
            until <= request.now
        ):  # it was ready and another worker took it, or it is a breaker's trial
            until = request.now + LOOK_AGAIN_S
        return Unavailable(until, False, why or "nobody is left to try")

    def _ready_at(self, candidate: Candidate, target: Target, request: RoutingRequest) -> float:
        breaker = candidate.provider.endpoint.breaker
        at = target.limits.ready_at(request.now, request.need(target.slot), request.tokens_out)
        if candidate.provider.client_cooldowns:
            at = max(at, candidate.provider.client_cooldowns.get(request.credential, 0.0))
        if breaker.available(request.now):
            return at
        # A trial is out: it may pass at any moment.
        on_trial = breaker.state is State.HALF_OPEN
        return max(at, request.now + LOOK_AGAIN_S if on_trial else breaker.resumes_at)

    def state_of(self, target: Target, request: RoutingRequest) -> str:
        """Why a target does not take a request: a word for the log."""
        if not target.provider.endpoint.breaker.available(request.now):
            return "breaker_open"
        if _rests(target.provider, request):
            return "resting"
        return _WORDS[
            target.limits.state(request.now, request.need(target.slot), request.tokens_out)
        ]


def _rests(provider: ProviderState, request: RoutingRequest) -> bool:
    """Whether the client's own credential was refused there for its limits."""
    return provider.client_cooldowns.get(request.credential, 0.0) > request.now


_WORDS = {
    int(Capacity.READY): "ready",
    int(Capacity.FULL): "limit",
    int(Capacity.BUSY): "max_concurrent",
    int(Capacity.RESTING): "resting",
    int(Capacity.OUT): "key_refused",
}
