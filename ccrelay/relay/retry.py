"""What follows a failed attempt: classify it, decide on the next step, say when to come again.

Pure: facts in, decisions out. `routing.verdict` says what a failure means; `relay.exchange` acts.
"""

from math import ceil, inf

from msgspec.structs import replace

from ccrelay._fast.rate_limits import Capacity, Cooldown
from ccrelay._fast.upstream import Loss, Upstream
from ccrelay.errors import AllUnavailable, RelayError, UpstreamFailed
from ccrelay.fleet.provider_state import Target
from ccrelay.providers.base import Get, no_head
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.local_reply import ErrorReply, passed_on
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.routing.availability import soonest
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import Unavailable
from ccrelay.routing.verdict import ErrorPriority, Verdict, as_http, of_event, of_status
from ccrelay.types import Ending, RequestClass
from ccrelay.wire.errors import RETRY_AFTER_MAX_S, is_error

# Instants in shared memory are whole microseconds: without this margin ceil() reports a cooldown of
# 1 s as 2 s.
ROUNDING_S = 0.001
# Attempts of one request that may end with a time to wait, besides its time in the queue.
WAITS_MAX = 10
# Statuses that say "later" carry the time after which a target can really take the request.
_LATER = frozenset({429, 503, 529})
_STALE = frozenset({int(Loss.CLOSED), int(Loss.RESET)})
_TIMEOUTS = frozenset({Loss.NO_FIRST_BYTE.name.lower(), Loss.IDLE.name.lower()})
_LOSSES = {
    int(Loss.CLOSED): (502, "closed the connection before its answer was whole"),
    int(Loss.RESET): (502, "reset the connection"),
    int(Loss.GARBAGE): (502, "sent something that is not valid HTTP/1.1"),
    int(Loss.NO_FIRST_BYTE): (504, "sent no answer within timeouts.first_byte_s"),
    int(Loss.IDLE): (504, "fell silent for longer than timeouts.idle_s"),
    int(Loss.TOTAL): (504, "took longer than timeouts.total_s"),
    int(Loss.TOO_BIG): (502, "sent an error body that is too large"),
}


# ---- classify


def read_response(upstream: Upstream, target: Target, body: bytes) -> ErrorReply:
    """An error response as it would be sent to the client."""
    status = upstream.head.status
    dialect = target.provider.dialect
    if not dialect.translates_errors:
        return ErrorReply(ErrorPriority.FINAL, status, body, head=upstream.head)
    fields = passed_on(upstream.head, dialect.forbids_retry(body))
    translated = dialect.translate_error(status, body, upstream.head.get)
    if body and translated == (status, body) and not is_error(body):
        # A page of what stands before the provider: its label is not JSON.
        return ErrorReply(ErrorPriority.FINAL, status, body, head=upstream.head)
    return ErrorReply(ErrorPriority.FINAL, *translated, fields=fields)


def classify_response(
    context: WorkerContext,
    config: RuntimeConfig,
    client: ClientRequest,
    target: Target,
    upstream: Upstream,
    body: bytes,
) -> Verdict:
    """What an answer of 400 and above means."""
    status = upstream.head.status
    verdict = of_status(
        status,
        upstream.head.get,
        body,
        target.provider.dialect,
        config.config.health,
        context.wall(),
        own_key=not target.provider.passes_client_credential,
    )
    if client.kind != RequestClass.MESSAGES:
        # Counting has limits and permissions of its own: it proves nothing of messages.
        return replace(
            verdict, cooldown_reason=Cooldown.NONE, cooldown_s=0.0, counts=None, timed=False
        )
    if status == 408 and not client.is_complete():
        return replace(verdict, counts=None)
    return verdict


def classify_event(
    context: WorkerContext, config: RuntimeConfig, target: Target, upstream: Upstream, data: bytes
) -> Verdict:
    """What an `error` event inside a 200 stream means."""
    return of_event(
        data,
        upstream.head.get,
        target.provider.dialect,
        config.config.health,
        context.wall(),
        own_key=not target.provider.passes_client_credential,
    )


def reply_of_event(target: Target, verdict: Verdict, data: bytes, get: Get = no_head) -> ErrorReply:
    """An `error` event as the HTTP error it would have been. `get`: a header of the 200."""
    dialect = target.provider.dialect
    status, body = as_http(data, dialect)
    if dialect.translates_errors:
        status, body = dialect.translate_error(status, body, get)
    return ErrorReply(verdict.priority, status, body)


def loss_error(target: Target, reason: int) -> UpstreamFailed:
    """The error for an upstream that was lost."""
    status, what = _LOSSES[reason]
    return UpstreamFailed(f"Provider {target.provider.name} {what}.", status=status)


def loss_name(reason: int) -> str:
    """A loss as the access log names it."""
    return f"upstream_{Loss(reason).name.lower()}"


def is_stale(upstream: Upstream, reason: int, is_fresh: bool) -> bool:
    """Whether the provider closed an idle pooled connection while it was being reused."""
    return reason in _STALE and upstream.uses > 1 and not upstream.any_byte and not is_fresh


def prompt_was_read(verdict: Verdict) -> bool:
    """A provider that timed out has consumed the prompt: its input tokens count."""
    return verdict.reason in _TIMEOUTS


# ---- decide


def is_waited_for(config: RuntimeConfig, retry_state: RetryState, verdict: Verdict) -> bool:
    """Whether a key's cooldown is short enough to be waited for: no failure of the key then."""
    return (
        verdict.timed
        and 0.0 < verdict.cooldown_s <= config.config.routing.queue_timeout_s
        and retry_state.waits < WAITS_MAX
    )


def may_retry(
    config: RuntimeConfig, route: Route | None, retry_state: RetryState, verdict: Verdict
) -> bool:
    """Whether the policy allows another attempt, at another target or at the same one later."""
    if not verdict.elsewhere or route is None:
        return False
    if route.lone is not None and not retry_state.was_told_when:
        return False
    return retry_state.count < config.config.routing.attempts_max


def is_final(reply: ErrorReply, attempt: Attempt | None) -> bool:
    """Whether an error that is passed on is the client's to deal with: no other target helps."""
    if attempt is None or attempt.candidate is None:
        return reply.status < 500
    if reply.priority == ErrorPriority.MODEL:
        return reply.status == 404
    return reply.priority in (ErrorPriority.FINAL, ErrorPriority.LONG_CONTEXT)


def better_of(best: ErrorReply | None, reply: ErrorReply) -> ErrorReply:
    """The error to send, of two: the higher priority, of equals the later one."""
    return reply if best is None or reply.priority >= best.priority else best


def may_queue(
    context: WorkerContext,
    config: RuntimeConfig,
    request: RoutingRequest,
    unavailable: Unavailable,
) -> bool:
    """Whether there is time and room to wait for a target.

    A client takes at most its share of the room, so that others always find some.
    """
    routing = config.config.routing
    queue = context.queue
    if len(queue) >= routing.queue_max or queue.waiting_of(request.client) >= config.queue_share:
        return False
    return unavailable.until <= request.waits_since + routing.queue_timeout_s


# ---- say


def soonest_s(
    context: WorkerContext,
    config: RuntimeConfig,
    route: Route | None,
    request: RoutingRequest | None,
) -> int | None:
    """Whole seconds until a target could take the request; None: unknown."""
    if route is None or request is None:
        return None
    request.now = context.reactor.now
    until = soonest(route, request, None, True).until
    if until == inf:
        return None
    seconds = max(ceil(until - request.now - ROUNDING_S), 1)
    # Our window is a second longer than the minute. Claude Code gives up beyond 60 s; a request
    # that comes back a moment early waits here.
    return RETRY_AFTER_MAX_S if seconds == RETRY_AFTER_MAX_S + 1 else seconds


def retry_after_s(
    context: WorkerContext,
    config: RuntimeConfig,
    route: Route | None,
    request: RoutingRequest | None,
    reply: ErrorReply,
) -> int | None:
    """When to come again, in whole seconds, where the provider's own header does not say it best.

    With one target its own head says it best; an answer without a head says what is known of the
    key.
    """
    if reply.status not in _LATER or route is None:
        return None
    if reply.priority == ErrorPriority.LONG_CONTEXT:
        return None  # no time helps
    if route.lone is not None:
        limits = route.lone[1].limits
        if reply.head is not None:
            return None
        if limits.cooldown_until() <= context.reactor.now:
            return _cloud_rest_s(context, config, route, request, reply)
    return soonest_s(context, config, route, request)


def _cloud_rest_s(
    context: WorkerContext,
    config: RuntimeConfig,
    route: Route,
    request: RoutingRequest | None,
    reply: ErrorReply,
) -> int | None:
    """The pause after a 429 of a cloud that names no time in its head, in whole seconds.

    It is how long the model rests at this key, which all workers and clients share: clients that
    pause by themselves come back together. None: the head says it, or nothing is known.
    """
    assert route.lone is not None
    candidate, target = route.lone
    if (
        reply.status != 429
        or not candidate.provider.dialect.bridges
        or any(name == b"retry-after" for name, _ in reply.fields)
    ):
        return None
    now = context.reactor.now
    rest_s = target.limits.resting_until(candidate.group) - now
    if rest_s > 0.0:
        return max(ceil(rest_s - ROUNDING_S), 1)
    if target.limits.state(now, 0, 0, candidate.group) == Capacity.COOLING_DOWN:
        return soonest_s(context, config, route, request)
    return None


def unavailable_error(
    context: WorkerContext,
    config: RuntimeConfig,
    route: Route | None,
    request: RoutingRequest | None,
    unavailable: Unavailable,
) -> AllUnavailable:
    """The error where no target can take the request in time."""
    seconds = soonest_s(context, config, route, request)
    why = unavailable.why
    if why == "cooldown" and route is not None and _lacks_credentials(route):
        why = "no_credential"
    what = _WHY.get(why, "No provider for this model ({names}) has capacity now.")
    names = ", ".join(c.provider.name for c in route.candidates) if route is not None else ""
    when = f"Try again in {seconds} s." if seconds is not None else "See the relay's log."
    return AllUnavailable(
        f"{what.format(names=names)} {when}",
        status=_status(why),
        retry_after_s=seconds,
        should_retry=False if why == "key_refused" else None,
    )


def _lacks_credentials(route: Route) -> bool:
    """Whether what keeps the targets back is no limit, but that clouds have no credential."""
    reasons = {
        target.limits.cooldown_reason
        for candidate in route.candidates
        for target in candidate.provider.targets
    }
    return Cooldown.NO_CREDENTIAL in reasons and reasons <= _LACKS


def _status(why: str) -> int:
    if why in ("key_refused", "no_credential"):
        return 502  # for the operator to mend, and not by trying again
    return 429 if why in _LIMITS else 529


def is_cut(error: RelayError) -> bool:
    """Whether an error is the provider's breaking off, and no time limit of ours."""
    return isinstance(error, UpstreamFailed) and error.status != 504


def ending_of(error: RelayError) -> int:
    """How an exchange whose response had begun is recorded when it ends with this error."""
    if isinstance(error, UpstreamFailed):
        return int(Ending.TIMED_OUT if error.status == 504 else Ending.UPSTREAM_CUT)
    return int(Ending.ABORTED)


_LIMITS = frozenset({"limit", "cooldown", "max_concurrent", "queued ahead", "its own key"})
_LACKS = frozenset({int(Cooldown.NO_CREDENTIAL), int(Cooldown.REFUSED)})
_WHY = {
    "limit": "All keys for this model ({names}) have reached their request or token limits.",
    "max_concurrent": "All keys for this model ({names}) have reached max_concurrent.",
    "cooldown": "All keys for this model ({names}) are rate-limited.",
    "no_credential": "No provider for this model ({names}) has a credential of its cloud.",
    "breaker_open": "All providers for this model ({names}) are failing: circuit breakers open.",
    "key_refused": "All keys for this model ({names}) were refused: replace them.",
    "no target left": "All providers for this model ({names}) were tried.",
}
