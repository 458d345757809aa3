"""Whether a target can take a request, when it can, and why it cannot.

Two answers: with what was learned of limits, which steers, and `anyway`, by what is known for sure.
"""

from math import inf

from ccrelay._fast.rate_limits import Capacity
from ccrelay.fleet.breaker import State
from ccrelay.fleet.provider_state import Target
from ccrelay.ledger.record import Why
from ccrelay.routing.candidate import Candidate
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import WHY, Selection, Unavailable
from ccrelay.routing.target_names import listed
from ccrelay.types import RequestClass

# When another worker was faster, or frees its share at an unknown time.
LOOK_AGAIN_S = 0.05

_READY = int(Capacity.READY)
_TIGHT = int(Capacity.TIGHT)
_COUNT_TOKENS = int(RequestClass.COUNT_TOKENS)
_ONLY = int(Why.ONLY)
_AFFINITY = int(Why.AFFINITY)
_STRATEGY = int(Why.STRATEGY)


def is_ready(candidate: Candidate, target: Target, request: RoutingRequest) -> bool:
    """Whether a target can take the request now: a TIGHT one where the request asks for these."""
    if not candidate.provider.endpoint.breaker.available(request.now):
        return False
    need = request.need(target.slot)
    state = target.limits.state(request.now, need, request.tokens_out, candidate.group)
    return state == (_TIGHT if request.anyway else _READY)


def ready_at(candidate: Candidate, target: Target, request: RoutingRequest, anyway: bool) -> float:
    """When a target can take the request, monotonic seconds; inf: never."""
    breaker = candidate.provider.endpoint.breaker
    need = request.need(target.slot)
    at = target.limits.ready_at(request.now, need, request.tokens_out, anyway, candidate.group)
    if candidate.provider.client_cooldowns:
        at = max(at, candidate.provider.client_cooldowns.get(request.credential, 0.0))
    if breaker.available(request.now):
        return at
    # A trial is out: it may pass at any moment.
    if breaker.state is State.HALF_OPEN:
        return max(at, request.now + LOOK_AGAIN_S)
    return max(at, breaker.resumes_at)


def sticky_ready_at(candidate: Candidate, target: Target, request: RoutingRequest) -> float:
    """When to ask the sticky target again, for whose cache a rest is waited out, too."""
    at = ready_at(candidate, target, request, False)
    return max(at, target.limits.resting_until(candidate.group), request.now + LOOK_AGAIN_S)


def any_closed(route: Route, request: RoutingRequest, ends_at: float) -> bool:
    """Whether a provider whose breaker admits could be asked until then."""
    for candidate in route.candidates:
        if candidate.provider.endpoint.breaker.available(request.now):
            for target in candidate.provider.targets:
                if ready_at(candidate, target, request, True) <= ends_at:
                    return True
    return False


def soonest(
    route: Route, request: RoutingRequest, retry_state: RetryState | None, anyway: bool
) -> Unavailable:
    """When a target that was not tried can take the request.

    `until` is now where the best are TIGHT for nothing but a rest, for whose end nothing waits.
    """
    until, why, is_tight, is_free = inf, "", False, False
    for candidate in route.candidates:
        for target in candidate.provider.targets:
            if retry_state is not None and target in retry_state.targets:
                continue
            at = ready_at(candidate, target, request, anyway)
            if at < until or not why:
                until = at
                why = state_of(candidate, target, request)
            if at <= request.now:
                rests = not anyway and is_tight_for(candidate, target, request)
                is_tight, is_free = is_tight or rests, is_free or not rests
    # Where one is free, another worker took it, or it is a breaker's trial.
    if until <= request.now and (is_free or not is_tight):
        until = request.now + LOOK_AGAIN_S
    return Unavailable(until, False, why or "no target left")


def wait(route: Route, request: RoutingRequest, retry_state: RetryState | None) -> Unavailable:
    """As `soonest`, for a request that has to wait in any case."""
    found = soonest(route, request, retry_state, False)
    if found.until > request.now:
        return found
    return Unavailable(request.now + LOOK_AGAIN_S, False, found.why)


def is_tight_for(candidate: Candidate, target: Target, request: RoutingRequest) -> bool:
    """Whether a target is full by what was learned of it, or rests."""
    need = request.need(target.slot)
    state = target.limits.state(request.now, need, request.tokens_out, candidate.group)
    return state == _TIGHT and candidate.provider.endpoint.breaker.available(request.now)


def state_of(candidate: Candidate, target: Target, request: RoutingRequest) -> str:
    """Why a target does not take a request: a word for the log."""
    if not target.provider.endpoint.breaker.available(request.now):
        return "breaker_open"
    if target.provider.cools_down(request.credential, request.now):
        return "cooldown"
    need = request.need(target.slot)
    state = target.limits.state(request.now, need, request.tokens_out, candidate.group)
    return WHY[state]


# ---- what is said of a choice


def why_taken(route: Route, request: RoutingRequest, selection: Selection) -> int:
    """Why the router took a target, a `ledger.record.Why`."""
    if selection.why:
        return selection.why
    if route.lone is not None:
        return _ONLY
    binding = request.binding
    if binding is not None and binding.slot == selection.target.slot:
        return _AFFINITY
    return _STRATEGY


def passed_over(
    route: Route, request: RoutingRequest, retry_state: RetryState | None, taken: Target
) -> str | None:
    """The other targets that could not take a request: `provider/key=why` each; None: all could.

    Call it when the router has just looked at all of them: what its survey saw tells whether there
    is anything to say. Limits do not count requests that count tokens.
    """
    if route.lone is not None or request.kind == _COUNT_TOKENS:
        return None
    if retry_state is None and _all_are_fine(route, request):
        return None
    found: list[str] = []
    for candidate, target in route.by_slot.values():
        if target is taken:
            continue
        if retry_state is not None and (
            target in retry_state.targets or candidate.provider in retry_state.failed
        ):
            why = "tried"
        else:
            why = state_of(candidate, target, request)
        if why != "ready":
            found.append(f"{candidate.names[target.index]}={why}")
    return listed(found) if found else None


def _all_are_fine(route: Route, request: RoutingRequest) -> bool:
    """Whether the survey found every key of every candidate ready."""
    for candidate in route.candidates:
        provider = candidate.provider
        if (
            provider.key_pool.unready
            or provider.client_cooldowns
            or not provider.endpoint.breaker.available(request.now)
        ):
            return False
    return True
