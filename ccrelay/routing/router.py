"""The selection of a target: affinity, availability, strategy, key; or how long to wait.

    the conversation's sticky target, if it can take the request  -> there
    it can within affinity.wait_s, and its cache is warm          -> wait for it
    providers whose breaker admits and that have a ready key      -> strategy's choice, then a key
    none within routing.queue_timeout_s                           -> ask one that is only TIGHT
    none                                                          -> wait for the soonest

A strategy that weighs the cache is asked first: the sticky target is one of its candidates as long
as its key can take the request, or will within affinity.wait_s.

Pure: the caller brings `now` and chance. What is acquired (a reservation, a breaker's ticket)
belongs to the caller, who gives it back once.
"""

import random
from collections.abc import Set

from ccrelay._fast.affinity_table import Binding
from ccrelay._fast.rate_limits import Capacity
from ccrelay.config.model import Routing
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.routing.availability import any_closed, is_ready, soonest, sticky_ready_at, wait
from ccrelay.routing.candidate import Candidate
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import PANIC, Selection, Unavailable, as_last_resort, selected
from ccrelay.routing.trials import try_refused
from ccrelay.types import RequestClass, TrafficClass

# A shorter prefix is not cached by any current model (providers reference, section 4).
WORTH_WAITING_TOKENS = 512
NONE_BLOCKED: Set[int] = frozenset()
_READY = int(Capacity.READY)
_COUNT_TOKENS = int(RequestClass.COUNT_TOKENS)
_MAIN = int(TrafficClass.MAIN)


class Router:
    """Selects targets for one configuration."""

    __slots__ = ("_affinity_wait_s", "_panics", "_queue_timeout_s")

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
        stays: bool = True,
        held: Set[int] = NONE_BLOCKED,
    ) -> Selection | Unavailable:
        """Acquire a target for a request, or say how long to wait for one.

        Args:
            route: the providers that serve the model.
            request: what it needs.
            retry_state: what was tried before; None: nothing.
            rng: chance.
            stays: False: it cannot be queued, so that waiting is worth nothing.
            held: slots that queued requests wait for which come first; to this one they are full.
        """
        if route.lone is not None and retry_state is None and not held:
            candidate, target = route.lone
            selection = self._acquire(candidate, target, request, rng)
            if selection is not None:
                return selection
            last = as_last_resort(self._last_resort(route, request, None, rng))
            return last or self._wait_or_ask(route, request, None, rng, stays)
        tried = retry_state
        if request.binding is not None:
            if route.weighs_cache:
                found = self._weigh(route, request, retry_state, rng, held, stays)
            else:
                found = self._select_sticky(route, request, retry_state, rng, held)
            if found is not None and (stays or isinstance(found, Selection)):
                return found
        if held:
            base = retry_state if retry_state is not None else RetryState()
            retry_state = base.with_blocked([route.by_slot[slot][1] for slot in held])
        selection = self._select_any(route, request, retry_state, rng)
        if selection is not None:
            return selection
        last = as_last_resort(self._last_resort(route, request, retry_state, rng))
        if last is not None:
            return last
        if held and stays and request.now < self._ends_at(request):
            return wait(route, request, retry_state)
        return self._wait_or_ask(route, request, tried, rng, stays)

    # ---- the sticky target

    def _sticky(
        self, route: Route, request: RoutingRequest, retry_state: RetryState | None
    ) -> tuple[Candidate, Target] | None:
        """The sticky target, unless it was tried or may not be used."""
        binding = request.binding
        assert binding is not None
        sticky = route.by_slot.get(binding.slot)
        if sticky is None:
            return None
        candidate, target = sticky
        if candidate.provider.cools_down(request.credential, request.now):
            return None
        if retry_state is not None and (
            target in retry_state.targets or candidate.provider in retry_state.failed
        ):
            return None
        return sticky

    def _select_sticky(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
        held: Set[int],
    ) -> Selection | Unavailable | None:
        sticky = self._sticky(route, request, retry_state)
        if sticky is None:
            return None
        candidate, target = sticky
        is_held = bool(held) and target.slot in held
        selection = None if is_held else self._acquire(candidate, target, request, rng)
        if selection is not None:
            return selection
        return self._worth_waiting(candidate, target, request, is_held)

    def _worth_waiting(
        self, candidate: Candidate, target: Target, request: RoutingRequest, is_held: bool
    ) -> Unavailable | None:
        """How long to wait for the sticky target; None: that is not worth it."""
        binding = request.binding
        assert binding is not None
        if binding.prefix_tokens < WORTH_WAITING_TOKENS or self._affinity_wait_s <= 0:
            return None
        if request.traffic != _MAIN and not candidate.provider.endpoint.breaker.available(
            request.now
        ):
            return None  # it does not move the conversation, and would wait at each turn
        until = sticky_ready_at(candidate, target, request)
        moves_at = request.waits_since + self._affinity_wait_s
        if until > moves_at or request.now >= moves_at:
            return None
        # All requests are looked at again when one ahead goes, at an unknown time.
        return Unavailable(moves_at if is_held else until, True, "its own key")

    def _weigh(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
        held: Set[int],
        stays: bool,
    ) -> Selection | Unavailable | None:
        """Ask a strategy that knows what leaving a warm cache costs."""
        sticky = self._sticky(route, request, retry_state)
        waits = None
        ready_now = False
        if sticky is not None:
            is_held = sticky[1].slot in held
            ready_now = not is_held and is_ready(sticky[0], sticky[1], request)
            if not ready_now and stays:
                waits = self._worth_waiting(sticky[0], sticky[1], request, is_held)
        request.home_open = ready_now or waits is not None
        if held:
            base = retry_state if retry_state is not None else RetryState()
            retry_state = base.with_blocked([route.by_slot[slot][1] for slot in held])
        available = self._available(route, request, retry_state)
        while available or waits is not None:
            offered = available
            if sticky is not None and waits is not None and sticky[0] not in available:
                # In configured order, as strategies expect.
                offered = [c for c in route.candidates if c in available or c is sticky[0]]
            candidate = route.strategy.choose(offered, request, rng)
            if waits is not None and sticky is not None and candidate is sticky[0]:
                return waits
            selection = self._select_key(candidate, request, retry_state, rng)
            if selection is not None:
                return selection
            available.remove(candidate)
        return None

    # ---- any target

    def _select_any(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
    ) -> Selection | None:
        available = self._available(route, request, retry_state)
        while available:
            candidate = available[0]
            if len(available) > 1:
                candidate = route.strategy.choose(available, request, rng)
            selection = self._select_key(candidate, request, retry_state, rng)
            if selection is not None:
                return selection
            available.remove(candidate)  # another worker was faster
        return None

    def _available(
        self, route: Route, request: RoutingRequest, retry_state: RetryState | None
    ) -> list[Candidate]:
        """The candidates whose breaker admits and that have a ready key that was not tried."""
        available: list[Candidate] = []
        for candidate in route.candidates:
            provider = candidate.provider
            if provider.cools_down(request.credential, request.now):
                continue
            if retry_state is not None and provider in retry_state.failed:
                continue
            if provider.endpoint.breaker.available(request.now) and self._has_key(
                candidate, request, retry_state
            ):
                available.append(candidate)
        return available

    def _has_key(
        self, candidate: Candidate, request: RoutingRequest, retry_state: RetryState | None
    ) -> bool:
        """Whether a key that was not tried has capacity. The key pool remembers what it saw."""
        provider = candidate.provider
        skip = retry_state.mask(provider) if retry_state is not None else 0
        now, tokens_in, tokens_out = request.now, request.tokens_in, request.tokens_out
        group = candidate.group
        if provider.key_pool.refresh(now, tokens_in, tokens_out, skip, request.anyway, group):
            return True
        # The key where most of the prompt is cached needs less room.
        index = self._key_of(request.cache, candidate, retry_state)
        return index >= 0 and is_ready(candidate, provider.targets[index], request)

    def _key_of(
        self, binding: Binding | None, candidate: Candidate, retry_state: RetryState | None
    ) -> int:
        """Index of a binding's key, if it is this provider's and was not tried; else -1."""
        if binding is None or not candidate.holds(binding.slot):
            return -1
        provider = candidate.provider
        for target in provider.targets:
            if target.slot == binding.slot:
                tried = retry_state is not None and retry_state.mask(provider) >> target.index & 1
                return -1 if tried else target.index
        return -1

    def _select_key(
        self,
        candidate: Candidate,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
    ) -> Selection | None:
        """A key of a surveyed provider: the sticky one, the preferred one, or the most room."""
        provider = candidate.provider
        index = self._key_of(request.binding, candidate, retry_state)
        if index >= 0:
            selection = self._acquire(candidate, provider.targets[index], request, rng)
            if selection is not None:
                return selection
        index = self._preferred_key(provider, request, rng)
        if index < 0:
            index = self._key_of(request.cache, candidate, retry_state)
        return (
            self._acquire(candidate, provider.targets[index], request, rng) if index >= 0 else None
        )

    def _preferred_key(
        self, provider: ProviderState, request: RoutingRequest, rng: random.Random
    ) -> int:
        """The conversation's key by rendezvous hashing where it has capacity; -1: none has any."""
        key_pool = provider.key_pool
        if request.conversation and not request.anyway:
            index = key_pool.preferred_key(request.conversation)
            if index >= 0 and key_pool.is_ready(index):
                return index
        return provider.pick(rng)

    def _acquire(
        self, candidate: Candidate, target: Target, request: RoutingRequest, rng: random.Random
    ) -> Selection | None:
        breaker = candidate.provider.endpoint.breaker
        if request.anyway and not is_ready(candidate, target, request):
            return None  # it has room, for requests ahead of this one
        ticket = breaker.admit(request.now, rng)
        if ticket is None:
            return None
        if request.kind == _COUNT_TOKENS:  # has limits of its own at every provider
            if (
                target.limits.state(request.now, 0, 0) == _READY
                or target.limits.cooldown_until() <= request.now
            ):
                return selected(candidate, target, None, ticket)
        else:
            need = request.need(target.slot)
            reservation = target.limits.reserve(
                request.now, need, request.tokens_out, request.anyway, candidate.group
            )
            if reservation is not None:
                return selected(candidate, target, reservation, ticket)
        breaker.settle(ticket, request.now, rng, None)
        return None

    # ---- no target

    def _last_resort(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
    ) -> Selection | Unavailable | None:
        """Other keys of an endpoint that failed, or an endpoint whose breaker is open."""
        if request.kind == _COUNT_TOKENS:
            selection = self._unlimited(route, request, retry_state, rng)
            if selection is not None:
                return selection
        if retry_state is not None and retry_state.failed:
            for candidate in route.candidates:
                if candidate.provider in retry_state.failed:
                    selection = self._another_key(candidate, request, retry_state, rng)
                    if selection is not None:
                        return selection
        trial = try_refused(route, request, retry_state, rng)
        if trial is not None:
            return trial
        if not self._panics or retry_state is not None:
            return None
        closed = any_closed(route, request, self._ends_at(request))
        return None if closed else self._panic(route, request, rng)

    def _wait_or_ask(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
        waits: bool,
    ) -> Selection | Unavailable:
        """Wait for a ready target; where none will be in time, a TIGHT one's provider decides."""
        unavailable = soonest(route, request, retry_state, False)
        if waits and request.now < unavailable.until <= self._ends_at(request):
            return unavailable
        request.anyway = True
        found = as_last_resort(self._ask_anyway(route, request, retry_state, rng))
        request.anyway = False
        return found if found is not None else soonest(route, request, retry_state, True)

    def _ask_anyway(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
    ) -> Selection | Unavailable | None:
        """The sticky target, else the one that lacks least."""
        if request.binding is not None:
            sticky = self._sticky(route, request, retry_state)
            if sticky is not None:
                selection = self._acquire(sticky[0], sticky[1], request, rng)
                if selection is not None:
                    return selection
        selection = self._select_any(route, request, retry_state, rng)
        if selection is not None or retry_state is None or not retry_state.failed:
            return selection
        return self._last_resort(route, request, retry_state, rng)

    def _ends_at(self, request: RoutingRequest) -> float:
        """When the request has waited long enough."""
        return request.waits_since + self._queue_timeout_s

    def _unlimited(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
    ) -> Selection | None:
        """A request that no limit counts can go to a key that is full."""
        for candidate, target in route.by_slot.values():
            if retry_state is not None and (
                target in retry_state.targets or candidate.provider in retry_state.failed
            ):
                continue
            if candidate.provider.cools_down(request.credential, request.now):
                continue
            selection = self._acquire(candidate, target, request, rng)
            if selection is not None:
                return selection
        return None

    def _another_key(
        self,
        candidate: Candidate,
        request: RoutingRequest,
        retry_state: RetryState,
        rng: random.Random,
    ) -> Selection | None:
        provider = candidate.provider
        if not provider.endpoint.breaker.available(request.now):
            return None
        if provider.cools_down(request.credential, request.now):
            return None
        if not self._has_key(candidate, request, retry_state):
            return None
        return self._select_key(candidate, request, retry_state, rng)

    def _panic(self, route: Route, request: RoutingRequest, rng: random.Random) -> Selection | None:
        """Every breaker is open: an attempt that may fail is better than a certain error."""
        ready = []
        sticky = None
        binding = request.binding
        for candidate in route.candidates:
            if (
                not candidate.provider.endpoint.breaker.available(request.now)
                and not candidate.provider.cools_down(request.credential, request.now)
                and self._has_key(candidate, request, None)
            ):
                ready.append(candidate)
                if sticky is None and binding is not None and candidate.holds(binding.slot):
                    sticky = candidate
        if not ready:
            return None
        candidate = sticky if sticky is not None else route.strategy.choose(ready, request, rng)
        provider = candidate.provider
        index = self._key_of(binding, candidate, None)
        if index < 0 or not provider.key_pool.is_ready(index):
            index = self._preferred_key(provider, request, rng)
        if index < 0:
            return None
        target = provider.targets[index]
        reservation = None
        if request.kind != _COUNT_TOKENS:
            need = request.need(target.slot)
            reservation = target.limits.reserve(
                request.now, need, request.tokens_out, request.anyway, candidate.group
            )
            if reservation is None:
                return None
        ticket = provider.endpoint.breaker.force(request.now)
        return Selection(candidate, target, reservation, ticket, PANIC)
