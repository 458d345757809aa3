"""The trial of a refused key by a request that nothing else can serve."""

import random

from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import Selection, Unavailable
from ccrelay.types import RequestClass

# After that long another request may try the key: this one may take minutes.
TRIAL_S = 5.0
# How often a request looks whether the trial under way has ended.
LOOK_AGAIN_S = 0.05

_COUNT_TOKENS = int(RequestClass.COUNT_TOKENS)


def try_refused(
    route: Route, request: RoutingRequest, retry_state: RetryState | None, rng: random.Random
) -> Selection | Unavailable | None:
    """Acquire a refused key whose trial is due, or wait for the one under way; None: neither."""
    if request.kind == _COUNT_TOKENS:  # the answer would prove nothing of messages
        return None
    now, in_trial = request.now, False
    for candidate, target in route.by_slot.values():
        refusals = target.refusals
        if not refusals.count() or (
            retry_state is not None
            and (target in retry_state.targets or candidate.provider in retry_state.failed)
        ):
            continue
        breaker = candidate.provider.endpoint.breaker
        if not refusals.claim(now, now + TRIAL_S):
            in_trial = in_trial or refusals.in_trial
        elif (ticket := breaker.admit(now, rng)) is None:
            refusals.release()
        else:
            reservation = target.limits.reserve_unchecked(
                now, request.need(target.slot), request.tokens_out
            )
            return Selection(candidate, target, reservation, ticket)
    return Unavailable(now + LOOK_AGAIN_S, False, "key_refused") if in_trial else None
