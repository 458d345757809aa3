"""What an exchange used and taught: usage against limits, learned limits, cooldowns, averages."""

from ccrelay._fast.http1 import FieldId
from ccrelay._fast.rate_limits import Capacity, Cooldown
from ccrelay._fast.upstream import Upstream
from ccrelay._fast.usage import stop_reason_of, usage_of_stream
from ccrelay.fleet.learned import has_any, learn as read_limits, windows
from ccrelay.fleet.provider_state import Target
from ccrelay.ledger.pricing import switch_micros
from ccrelay.ledger.record import Billing
from ccrelay.relay import affinity, refusals
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.outcome import Outcome
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.routing.candidate import Candidate
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import Ending, OutputClass, RequestClass
from ccrelay.wire.usage import stop_reason, usage_from_json, usage_from_stream

_MESSAGES = int(RequestClass.MESSAGES)
_COMPLETE = int(Ending.COMPLETE)
_CLIENT_LEFT = int(Ending.CLIENT_LEFT)
_WHOLE = int(OutputClass.WHOLE)
_AUTHORIZATION = int(FieldId.F_AUTHORIZATION)
_UNKNOWN = int(Billing.UNKNOWN)
_TOKENS = int(Billing.TOKENS)
_PLAN = int(Billing.PLAN)
_FREE = int(Billing.FREE)
# Response headers that tell limits are read again after this long; a 429 is always read.
LEARN_EVERY_S = 0.25
# Requests that were under way together are refused together: one log line is enough.
SAME_COOLDOWN_S = 1.0
# Shorter rests of a model group are no news.
LOGGED_REST_S = 4.0
_TRIAL_BITS = 3  # of a breaker's ticket: only a trial's has any


# ---- usage


def read_usage(upstream: Upstream, outcome: Outcome) -> None:
    """Usage and stop reason, as far as the response has told."""
    taps = upstream.taps
    usage = taps.usage()
    sse = taps.sse
    if usage is None:  # an unusual shape: decode it
        if sse is not None:
            usage = usage_from_stream(sse.start(), sse.delta())
        else:
            usage = usage_from_json(taps.raw_usage())
    outcome.usage = usage
    if sse is not None:
        delta = sse.delta()
        if delta is not None:
            outcome.stop_reason = stop_reason_of(delta) or stop_reason(delta)


# ---- cost


def charge(
    client: ClientRequest, request: RoutingRequest | None, attempt: Attempt, outcome: Outcome
) -> None:
    """What the exchange cost, by the usage that was reported: -1 where no price is known.

    An attempt whose answer did not come is not priced: its provider may have billed it, and does
    not say.
    """
    candidate, usage = attempt.candidate, outcome.usage
    outcome.billing = candidate.billing if candidate is not None else _UNKNOWN
    if outcome.billing == _UNKNOWN:
        outcome.billing = _billing_of(client, attempt.target)
    tariff = candidate.tariff if candidate is not None else None
    if tariff is None:
        if outcome.billing != _FREE and usage is not None and (usage.output or usage.input):
            outcome.cost_micros = outcome.uncached_micros = -1
        return
    outcome.prices_version = tariff.version
    if usage is None:
        return
    outcome.cost_micros = tariff.cost(usage)
    outcome.uncached_micros = tariff.uncached(usage)
    if outcome.moved and request is not None:
        binding = request.binding
        if binding is not None and request.now < binding.seen_at + binding.ttl_s:
            assert candidate is not None
            assert candidate.price is not None
            outcome.moved_micros = switch_micros(
                candidate.price, binding.prefix_tokens, binding.ttl_s
            )


def _billing_of(client: ClientRequest, target: Target) -> int:
    """By the credential that the client sent along: a login is sent as `Authorization`."""
    head = client.down.head
    if not target.provider.passes_client_credential or client.auth.token_in_bearer or head is None:
        return _TOKENS
    sent = head.value(_AUTHORIZATION)
    return _PLAN if sent is not None and sent[:7].lower() == b"bearer " else _TOKENS


# ---- during


def is_trial(ticket: int | None) -> bool:
    """Whether a breaker's ticket is that of a trial."""
    return ticket is not None and ticket & _TRIAL_BITS != 0


def on_content(
    context: WorkerContext,
    config: RuntimeConfig,
    attempt: Attempt,
    outcome: Outcome,
    upstream: Upstream,
) -> None:
    """Content has begun: a breaker's trial has passed, and the input is known."""
    now = context.reactor.now
    if is_trial(attempt.ticket):
        attempt.settle_breaker(now, context.rng, True)
    reservation = attempt.reservation
    target = attempt.target
    if target.refusals.count():
        refusals.accepted(context, target)
    sse = upstream.taps.sse
    if (
        reservation is not None
        and sse is not None
        and (target.limited or upstream.head_seen_at >= target.learn_at)
    ):
        start = sse.start()
        if start is not None:
            usage = usage_of_stream(start, None) or usage_from_stream(start, None)
            reported = usage.input + usage.cache_write_5m + usage.cache_write_1h
            if reported:  # some providers report it at the end only
                reservation.adjust(now, reported)
    if upstream.head.status < 400:
        end_trial(context, attempt)
    learn_limits(context, config, target, outcome, upstream)


def end_trial(context: WorkerContext, attempt: Attempt) -> None:
    """The key has served a request after its cooldown: the others may follow."""
    candidate = attempt.candidate
    if candidate is not None and attempt.target.limits.prove(candidate.group):
        context.queue.poke()


def learn_limits(
    context: WorkerContext,
    config: RuntimeConfig,
    target: Target,
    outcome: Outcome,
    upstream: Upstream,
) -> None:
    """Read what response headers say of limits.

    Call it when the attempt's own tokens are counted as the provider counts them: a difference is
    taken for other clients' use.
    """
    head = upstream.head
    if upstream.head_seen_at < target.learn_at and head.status != 429:
        return
    target.learn_at = upstream.head_seen_at + LEARN_EVERY_S
    if not has_any(head.get):
        return
    outcome.windows = windows(head.get, context.wall())
    if target.provider.passes_client_credential:
        return  # the limits of another client's credential are its own
    if not target.limited:
        # From now on its requests say how many tokens they want.
        target.limited = target.provider.limited = True
        config.routes.note_limited(target.provider)
    now = context.reactor.now
    known_until = target.limits.cooldown_until() + SAME_COOLDOWN_S
    spent = read_limits(head.get, target.limits, now, context.wall(), config.config.health)
    if now + spent.seconds > known_until and spent.seconds > 0.0:
        log_cooldown(context, target, now + spent.seconds, "window_spent")
    for family, seconds in spent.families.items():
        log_cooldown(context, target, now + seconds, "window_spent", family)


# ---- cooldowns


def start_cooldown(
    context: WorkerContext, target: Target, cooldown_s: float, reason: Cooldown, why: str
) -> None:
    """Leave a key alone for so many seconds, and log it once."""
    until = context.reactor.now + cooldown_s
    is_news = until > target.limits.cooldown_until() + SAME_COOLDOWN_S
    target.limits.start_cooldown(until, int(reason))
    if is_news:
        log_cooldown(context, target, until, why)


def rest_group(context: WorkerContext, target: Target, candidate: Candidate, why: str) -> None:
    """A 429 without a time, or no access to a model: prefer other keys for it for a moment."""
    if target.provider.passes_client_credential:
        return  # it is the client's own credential that was refused
    seconds = target.limits.rest_group(candidate.group, context.reactor.now)
    if seconds > LOGGED_REST_S:
        until = context.reactor.now + seconds
        log_cooldown(context, target, until, why, candidate.sent)


def start_group_cooldown(
    context: WorkerContext, target: Target, candidate: Candidate, cooldown_s: float, why: str
) -> None:
    """Leave a key alone for one model for so many seconds: its limits there are its own."""
    now = context.reactor.now
    state = target.limits.state(now, 0, 0, candidate.group)
    target.limits.start_group_cooldown(candidate.group, now + cooldown_s)
    if state != Capacity.COOLING_DOWN:
        log_cooldown(context, target, now + cooldown_s, why, candidate.sent)


def log_cooldown(
    context: WorkerContext,
    target: Target,
    until: float,
    why: str,
    model: str | None = None,
) -> None:
    """Log that a key cools down, for all models or one group."""
    known = {"provider": target.provider.name, "key": target.fingerprint}
    if model is not None:
        known["model"] = model
    if target.name != target.fingerprint:
        known["key_name"] = target.name
    seconds = round(until - context.reactor.now, 1)
    context.log.event("warning", "key_cooldown", **known, why=why, seconds=seconds)


# ---- after


def settle(
    context: WorkerContext,
    config: RuntimeConfig,
    route: Route,
    request: RoutingRequest,
    attempt: Attempt,
    outcome: Outcome,
    now: float,
    exchange_id: str,
) -> None:
    """The exchange is over: finish its last attempt and remember what it taught."""
    if not attempt.finished:
        _finish(context, request, attempt, outcome, now)
    upstream = attempt.upstream
    if (
        outcome.status != 200
        or outcome.ending != _COMPLETE
        or outcome.error is not None
        or upstream is None
        or request.kind != _MESSAGES
    ):
        return
    target = attempt.target
    if target.refusals.count():
        refusals.accepted(context, target)
    if upstream.head_seen_at >= target.learn_at:
        learn_limits(context, config, target, outcome, upstream)
    output_class = request.output_class if outcome.stream else _WHOLE
    if config.only is None:
        first_at = upstream.taps.first_event_at or upstream.head_seen_at
        target.provider.endpoint.stats.observe(output_class, first_at - upstream.started_at, now)
    usage = outcome.usage
    if usage is not None and usage.output:
        if route.limited or config.rules is not None:
            context.estimator.learn(route.model, request.body_bytes, usage, output_class)
        if request.conversation or request.thread:
            outcome.moved = affinity.update(
                context, route, request, attempt, usage, now, exchange_id
            )


def _finish(
    context: WorkerContext,
    request: RoutingRequest,
    attempt: Attempt,
    outcome: Outcome,
    now: float,
) -> None:
    """Finish an attempt with the usage that was reported, or with the estimate."""
    usage = outcome.usage
    tokens_in = tokens_out = 0
    if usage is None or not (usage.output or usage.input or usage.cache_read):
        tokens_in = _unreported_input(request, attempt, outcome)
        if _is_answered(outcome):
            tokens_out = request.tokens_out
    else:
        tokens_in = usage.input + usage.cache_write_5m + usage.cache_write_1h
        tokens_out = usage.output
        if outcome.ending != _COMPLETE:
            # A stream that broke off had not reported its output yet; some report nothing before.
            tokens_out = max(tokens_out, request.tokens_out)
            tokens_in = tokens_in or request.need(attempt.target.slot)
    attempt.finish(now, context.rng, tokens_in, tokens_out)


def _is_answered(outcome: Outcome) -> bool:
    """Whether the model wrote an answer: a complete one without an error, or one that broke off."""
    return outcome.status == 200 and (outcome.ending != _COMPLETE or outcome.error is None)


def _unreported_input(request: RoutingRequest, attempt: Attempt, outcome: Outcome) -> int:
    """Input to count where none was reported: the estimate, as far as it was sent."""
    if _is_answered(outcome):
        return request.need(attempt.target.slot)
    # A client that left before the answer began: the provider has read the prompt.
    is_sent = attempt.upstream is not None and outcome.ending == _CLIENT_LEFT
    return request.need(attempt.target.slot) if is_sent and outcome.status == 0 else 0
