"""What an exchange leaves behind: limits, breaker, averages, the conversation's place.

Functions on an `Exchange`. What an attempt took (a reservation of the limits, a ticket of the
breaker) is given back by `release`, once, whatever happened.
"""

from typing import TYPE_CHECKING

from ccrelay._fast.affinity_table import FOREIGN, MOVED, UNSIGNED, Binding
from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.upstream import Upstream
from ccrelay.fleet.learned import has_any, learn as learn_limits
from ccrelay.fleet.provider_state import Target
from ccrelay.ledger.pricing import switch_micros
from ccrelay.relay.asking import is_side
from ccrelay.relay.resting import SAME_REST_S, tell_rest
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import Ending, OutputClass, RequestClass, TrafficClass, Usage
from ccrelay.wire.usage import usage_from_stream

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange

_MESSAGES = RequestClass.MESSAGES
_MAIN = TrafficClass.MAIN
_WHOLE = OutputClass.WHOLE
# Response headers that tell limits are read again after this long; a 429 is always read.
LEARN_EVERY_S = 0.25
HOUR_S = 3600.0
FIVE_MINUTES_S = 300.0
TRIAL = 3  # bits of a breaker's ticket that only a trial's has


# ---- during


def learn(exchange: "Exchange", target: Target, upstream: Upstream) -> None:
    """Read what response headers say of limits.

    Call it when the attempt's own tokens are counted as the provider counts them: those that are
    not would be taken for somebody else's.
    """
    head = upstream.head
    if upstream.head_seen_at < target.learn_at and head.status != 429:
        return
    target.learn_at = upstream.head_seen_at + LEARN_EVERY_S
    if target.provider.passes_client_credential or not has_any(head.get):
        return  # another client's limits are its own
    if not target.limited:
        # From now on its requests say how many tokens they want.
        target.limited = target.provider.limited = True
        exchange.snap.candidates.note_limited(target.provider)
    relay = exchange.relay
    now = relay.reactor.now
    known_until = target.limits.cooldown_until + SAME_REST_S
    cooldown_s = learn_limits(
        head.get, target.limits, now, relay.wall(), exchange.snap.config.health
    )
    if now + cooldown_s > known_until and cooldown_s > 0.0:
        tell_rest(exchange, target, now + cooldown_s, Cooldown.QUOTA, "window_spent")


def on_commit(exchange: "Exchange", upstream: Upstream) -> None:
    """Content has begun: a breaker's trial has passed, and the input is known."""
    relay = exchange.relay
    target = exchange.target
    assert target is not None
    now = relay.reactor.now
    if exchange.ticket is not None and exchange.ticket & TRIAL and exchange.kind is _MESSAGES:
        target.provider.endpoint.breaker.settle(exchange.ticket, now, relay.rng, ok=True)
        exchange.ticket = None
    reservation = exchange.reservation
    if reservation is not None and upstream.taps.sse is not None:
        start = upstream.taps.sse.start()
        if start is not None:
            usage = usage_from_stream(start, None)
            told = usage.input + usage.cache_write_5m + usage.cache_write_1h
            if told:  # some tell it at the end only
                reservation.correct(now, told)
    if exchange.kind is _MESSAGES:
        learn(exchange, target, upstream)


# ---- after


def release(exchange: "Exchange", now: float, tokens_in: int, tokens_out: int) -> None:
    """Give back what an attempt took: its share of the limits, its breaker's ticket."""
    reservation = exchange.reservation
    if reservation is not None:
        exchange.reservation = None
        reservation.settle(now, tokens_in, tokens_out)
    ticket = exchange.ticket
    if ticket is not None:
        exchange.ticket = None
        target = exchange.target
        assert target is not None
        endpoint = target.provider.endpoint
        if exchange.good is False:
            # A connection that can be made is no good news of one that answers badly.
            endpoint.stats.answers = exchange.upstream is not None
        endpoint.breaker.settle(ticket, now, exchange.relay.rng, ok=exchange.good)
    waiting = exchange.relay.waiting
    if waiting.seats:
        waiting.poke()


def close(exchange: "Exchange", ending: Ending, usage: Usage | None, now: float) -> None:
    """The exchange is over: settle its last attempt and remember what it taught."""
    relay = exchange.relay
    request, target, candidate = exchange.request, exchange.target, exchange.candidate
    assert request is not None
    if target is None or candidate is None:
        return
    served = exchange.status == 200 and ending is Ending.COMPLETE and exchange.error is None
    if usage is None or not (usage.output or usage.input or usage.cache_read):
        release(exchange, now, *_unreported(exchange, request, target, ending))
    else:
        given = usage.input + usage.cache_write_5m + usage.cache_write_1h
        output = usage.output
        if ending is not Ending.COMPLETE:
            # A stream that broke off had not told its output yet, and some tell nothing before.
            output = max(output, request.tokens_out)
            given = given or request.need(target.slot)
        release(exchange, now, given, output)
    upstream = exchange.upstream
    if not served or upstream is None or exchange.kind is not _MESSAGES:
        return
    if upstream.head_seen_at >= target.learn_at:
        learn(exchange, target, upstream)
    route = exchange.route
    assert route is not None
    output_class = request.output_class if exchange.stream else _WHOLE
    if exchange.snap.only is None:
        first_at = upstream.taps.first_event_at or upstream.head_seen_at
        target.provider.endpoint.stats.observe(output_class, first_at - upstream.started_at, now)
    if usage is not None and usage.output:
        if route.limited or exchange.snap.rules is not None:
            relay.estimator.learn(route.model, request.body_bytes, usage, output_class)
        if request.conversation:
            _keep_place(exchange, request, target, usage, now)


def _unreported(
    exchange: "Exchange", request: RoutingRequest, target: Target, ending: Ending
) -> tuple[int, int]:
    """Input and output to count where nothing was reported: the estimate, as far as it was sent."""
    tokens_in = request.need(target.slot)
    if exchange.status == 200 and (ending is not Ending.COMPLETE or exchange.error is None):
        return tokens_in, request.tokens_out
    # A client that left before the answer began had its prompt sent, and the provider has read it.
    is_sent = exchange.upstream is not None and ending is Ending.CLIENT_LEFT
    return (tokens_in, 0) if is_sent and exchange.status == 0 else (0, 0)


# ---- where the conversation is


def _keep_place(
    exchange: "Exchange", request: RoutingRequest, target: Target, usage: Usage, now: float
) -> None:
    # As it is now: another turn may have moved the conversation since this one began.
    binding = exchange.relay.affinity.find(request.conversation, now)
    flags = request.marks | (binding.flags if binding is not None else 0)
    if not target.provider.validates:
        flags |= FOREIGN
    if exchange.strip is not None:  # told ahead, or learnt by a refusal
        flags |= UNSIGNED if exchange.strip else FOREIGN
    prefix = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
    size, seen_at = request.body_bytes, now
    ttl_s = FIVE_MINUTES_S if binding is None or usage.cache_write_5m else binding.ttl_s
    if usage.cache_write_1h:
        ttl_s = HOUR_S
    if request.traffic is not _MAIN:  # its short turn is not the main loop's prefix
        prefix, size = (
            (binding.prefix_tokens, binding.body_bytes) if binding is not None else (0, 0)
        )
    elif binding is not None and binding.slot == target.slot:
        # A title call looks like the main loop by its head; what is short counts by and by.
        prefix, size = max(prefix, binding.prefix_tokens // 2), max(size, binding.body_bytes // 2)
    slot = target.slot
    if binding is not None and is_side(request, binding):
        if binding.slot != slot:
            _stay(exchange, request, binding, flags)
            return
        if binding.seen_at + binding.ttl_s > now + ttl_s:  # it does not end the main loop's cache
            seen_at, ttl_s = binding.seen_at, binding.ttl_s
    elif exchange.left is not None and binding is not None and binding.slot != slot:
        flags |= MOVED
        exchange.moved = True
        _tell_move(exchange, binding, target)
    exchange.relay.affinity.keep(
        request.conversation,
        slot,
        seen_at,
        ttl_s=ttl_s,
        prefix_tokens=prefix,
        body_bytes=size,
        flags=flags,
    )


def _stay(exchange: "Exchange", request: RoutingRequest, binding: Binding, flags: int) -> None:
    """A call beside the main loop that went elsewhere leaves the conversation where it is.

    One that looks like the main loop may be it, grown short: a few of them take it along after all.
    """
    if request.traffic is _MAIN:
        exchange.relay.affinity.keep(
            request.conversation,
            binding.slot,
            binding.seen_at,
            ttl_s=binding.ttl_s,
            prefix_tokens=binding.prefix_tokens // 2,
            body_bytes=binding.body_bytes // 2,
            flags=flags,
        )


def _tell_move(exchange: "Exchange", binding: Binding, target: Target) -> None:
    request, candidate, left = exchange.request, exchange.candidate, exchange.left
    assert request is not None
    assert candidate is not None
    assert left is not None
    why, origin = left
    lost = 0.0
    if candidate.price is not None:
        lost = switch_micros(candidate.price, binding.prefix_tokens, binding.ttl_s) / 1e6
    exchange.relay.log.event(
        "info",
        "conversation_moved",
        id=exchange.id,
        conversation=f"{request.conversation:016x}",
        why=why,
        from_key=origin.fingerprint if origin is not None else None,
        provider=target.provider.name,
        key=target.fingerprint,
        prefix_tokens=binding.prefix_tokens,
        prefix_usd=round(lost, 4),
    )
