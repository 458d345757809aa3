"""What a request asks of a target, and what is learnt when it is over.

Functions on an `Exchange`: rules, the conversation, estimates before; settling limits, breaker,
averages and the conversation's place after.
"""

from typing import TYPE_CHECKING

from ccrelay._fast.http1 import FieldId
from ccrelay._fast.places import FOREIGN, MOVED, UNSIGNED, Place, hash64
from ccrelay._fast.upstream import Upstream
from ccrelay.fleet.learned import has_any, learn as learn_limits
from ccrelay.fleet.service import Target
from ccrelay.ledger.pricing import switch_micros
from ccrelay.relay import rare
from ccrelay.routing.ask import Ask
from ccrelay.routing.candidates import Slate
from ccrelay.routing.features import read_features, traffic_of, traffic_of_head
from ccrelay.routing.router import LOOK_AGAIN_S, Wait
from ccrelay.types import Ending, OutputClass, RequestClass, TrafficClass, Usage
from ccrelay.wire.bodies import json_string
from ccrelay.wire.session import conversation_key
from ccrelay.wire.usage import usage_from_stream

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange

_SESSION = int(FieldId.F_SESSION_ID)
_AGENT = int(FieldId.F_AGENT_ID)
_CLASS = int(FieldId.F_REQUEST_CLASS)
_MESSAGES = RequestClass.MESSAGES
_MAIN = TrafficClass.MAIN
_THINKING = OutputClass.THINKING
_STREAM = OutputClass.STREAM
_WHOLE = OutputClass.WHOLE
# Title calls and search calls do not think; turns of main loop and sub-agents do.
_SHORT = frozenset({TrafficClass.BACKGROUND, TrafficClass.WEB_SEARCH})
# Response headers that tell limits are read again after this long; a 429 is always read.
LEARN_EVERY_S = 0.25
HOUR_S = 3600.0
TRIAL = 3  # bits of a breaker's ticket that only a trial's has
FIVE_MINUTES_S = 300.0


# ---- before


def apply_rules(exchange: "Exchange", slate: Slate) -> None:
    """Begin with what the first matching rule makes of the slate; wait for the body if needed."""
    rules = exchange.snap.rules
    assert rules is not None
    down = exchange.down
    if rules.needs_body and exchange.body is None and not down.body_complete:
        exchange.await_body(lambda: apply_rules(exchange, slate))
        return
    head = down.head
    features = read_features(_whole(exchange)) if rules.needs_body else None
    told = traffic_of_head(head.value(_AGENT), head.value(_CLASS), exchange.kind)
    traffic = traffic_of(told, features)
    tokens = exchange.relay.estimator.total_tokens(slate.model, _size(exchange))
    rule = rules.match(slate.model, traffic, tokens, features, head.get)
    exchange.begin(slate if rule is None else exchange.snap.candidates.under(rule, slate.model))


def _traffic(exchange: "Exchange") -> TrafficClass:
    head = exchange.down.head
    found = traffic_of_head(head.value(_AGENT), head.value(_CLASS), exchange.kind)
    return _MAIN if found is None else found


def _size(exchange: "Exchange") -> int:
    if exchange.body is not None:
        return len(exchange.body)
    down = exchange.down
    length: int = down.head.content_length
    return length if length >= 0 else down.body_seen


def ask_of(exchange: "Exchange", slate: Slate) -> Ask | None:
    """What the request asks for. None: its body has to come first, `begin` is called again."""
    relay = exchange.relay
    ask = Ask(kind=exchange.kind, now=relay.reactor.now)
    if exchange.ask is not None:  # routed anew by a reload: its time to wait goes on
        ask.waits_since = exchange.ask.waits_since
    size = ask.body_bytes = _size(exchange)
    if slate.lone is None:
        ask.traffic = _traffic(exchange)
        if slate.passes:
            ask.credential = rare.own_credential(exchange)
        if exchange.snap.affinity and not _find_place(exchange, slate, ask):
            exchange.await_body(lambda: exchange.begin(slate))
            return None
    elif slate.lone[1].limited:
        ask.traffic = _traffic(exchange)
    else:
        return ask
    if ask.traffic not in _SHORT:
        ask.output_class = _THINKING
    if slate.limited and exchange.kind is _MESSAGES:
        # A sub-agent's turns are not the main loop's, though their session is one.
        warm = ask.place.body_bytes if ask.place is not None and ask.traffic is _MAIN else 0
        estimator = relay.estimator
        ask.tokens_in = estimator.tokens_in(slate.model, size, warm_bytes=warm)
        ask.tokens_out = estimator.tokens_out(slate.model, ask.output_class)
    return ask


def _find_place(exchange: "Exchange", slate: Slate, ask: Ask) -> bool:
    """Find the conversation and where it lives. False: only the body tells, and it is coming."""
    session = exchange.down.head.value(_SESSION)
    if session is None:
        if exchange.body is not None or exchange.down.body_complete:
            session = conversation_key(None, _whole(exchange))
        elif exchange.down.can_replay:
            return False
    if session is not None:
        places = exchange.relay.places
        ask.conversation = hash64(session)
        ask.place = place = places.find(ask.conversation, ask.now)
        offered, known = slate.by_slot, exchange.snap.by_slot
        if place is not None and place.slot not in offered and place.slot in known:
            # Another model of the same session, served elsewhere: it has a place of its own.
            ask.conversation = hash64(session + b"\n" + slate.model.encode())
            ask.place = places.find(ask.conversation, ask.now)
    return True


def _whole(exchange: "Exchange") -> bytes:
    return exchange.body if exchange.body is not None else exchange.down.body_bytes()


def turn_of(exchange: "Exchange") -> tuple[TrafficClass, int]:
    """Class and conversation by which a request waits. For a lone target they were not read yet."""
    ask, slate = exchange.ask, exchange.slate
    assert ask is not None
    assert slate is not None
    if slate.lone is None:
        return ask.traffic, ask.conversation
    session = exchange.down.head.value(_SESSION)
    return _traffic(exchange), hash64(session) if session is not None else 0


def must_queue(exchange: "Exchange") -> bool:
    """Whether others wait for the same targets and come first: then it has joined them."""
    ask, slate, relay = exchange.ask, exchange.slate, exchange.relay
    assert ask is not None
    assert slate is not None
    traffic, _ = turn_of(exchange)
    if exchange.kind is not _MESSAGES or not relay.waiting.is_behind(slate, traffic):
        return False
    limit_s = exchange.snap.config.routing.max_wait_s
    if limit_s <= 0 or len(relay.waiting) >= exchange.snap.config.routing.waiting_max:
        return False
    wait = Wait(ask.now + LOOK_AGAIN_S, False, "those ahead")
    relay.waiting.join(exchange, wait, ask.waits_since + limit_s)
    return True


def settle_down(exchange: "Exchange", target: Target) -> None:
    """Note where the conversation goes: its first place at once, another one when it has served."""
    ask = exchange.ask
    assert ask is not None
    place = ask.place
    if exchange.kind is not _MESSAGES:
        return  # counting tokens moves nobody
    if place is None:
        flags = 0 if target.service.validates else FOREIGN
        exchange.relay.places.keep(
            ask.conversation, target.slot, ask.now, body_bytes=0, flags=flags
        )
        return
    # A body that passes through a window cannot be edited.
    may_edit = exchange.body is not None or exchange.down.can_replay
    is_mixed = target.service.validates and place.flags & (FOREIGN | UNSIGNED)
    if is_mixed and may_edit and exchange.strip is None:
        exchange.strip = bool(place.flags & UNSIGNED)
    if place.slot != target.slot and ask.traffic is _MAIN and place.prefix_tokens:
        exchange.moved = True
        _tell_move(exchange, place, target)


def _tell_move(exchange: "Exchange", place: Place, target: Target) -> None:
    ask, candidate = exchange.ask, exchange.candidate
    assert ask is not None
    assert candidate is not None
    assert exchange.slate is not None
    known = exchange.slate.by_slot.get(place.slot)
    if exchange.tries is not None and known is not None and known[1] in exchange.tries.targets:
        why = "failed"
    elif known is None:
        why = "not_offered"  # gone, or it does not serve this model, or a rule leaves it out
    else:
        why = exchange.snap.router.state_of(known[1], ask)
        why = "cheaper" if why == "ready" else why
    lost = 0.0
    if candidate.price is not None:
        lost = switch_micros(candidate.price, place.prefix_tokens, place.ttl_s) / 1e6
    exchange.relay.log.event(
        "info",
        "moved",
        id=exchange.id,
        conversation=f"{ask.conversation:016x}",
        why=why,
        from_key=known[1].fingerprint if known else None,
        provider=target.service.name,
        key=target.fingerprint,
        prefix_tokens=place.prefix_tokens,
        prefix_usd=round(lost, 4),
    )


def reroute(exchange: "Exchange") -> None:
    """The configuration has changed while the request waited: begin again with the new one."""
    exchange.snap = exchange.relay.snap
    exchange.tries = None
    raw = exchange.down.model()
    if raw is None:
        assert exchange.slate is not None
        raw = bytes(json_string(exchange.slate.model))
    exchange.route_model(raw)


# ---- during


def learn(exchange: "Exchange", target: Target, upstream: Upstream) -> None:
    """Read what response headers say of limits."""
    target.learn_at = upstream.head_seen_at + LEARN_EVERY_S
    head = upstream.head
    if target.service.passes_client_credential or not has_any(head.get):
        return  # another client's limits are its own
    # From now on its requests say how many tokens they want.
    target.limited = target.service.limited = True
    if exchange.slate is not None:
        exchange.slate.limited = True
    relay = exchange.relay
    learn_limits(
        head.get, target.gauge, relay.reactor.now, relay.wall(), exchange.snap.config.health
    )


def on_commit(exchange: "Exchange", upstream: Upstream) -> None:
    """Content has begun: a breaker's trial has passed, and the input is known."""
    relay = exchange.relay
    target = exchange.target
    assert target is not None
    now = relay.reactor.now
    if exchange.ticket is not None and exchange.ticket & TRIAL:
        target.service.endpoint.breaker.settle(exchange.ticket, now, relay.rng, ok=True)
        exchange.ticket = None
    reservation = exchange.reservation
    if reservation is not None and upstream.taps.sse is not None:
        start = upstream.taps.sse.start()
        if start is not None:
            usage = usage_from_stream(start, None)
            told = usage.input + usage.cache_write_5m + usage.cache_write_1h
            if told:  # some tell it at the end only
                reservation.correct(now, told)


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
        target.service.endpoint.breaker.settle(ticket, now, exchange.relay.rng, ok=exchange.good)
    if exchange.relay.waiting:
        exchange.relay.waiting.poke()


def close(exchange: "Exchange", ending: Ending, usage: Usage | None, now: float) -> None:
    """The exchange is over: settle its last attempt and remember what it taught."""
    relay = exchange.relay
    relay.waiting.leave(exchange)
    ask, target, candidate = exchange.ask, exchange.target, exchange.candidate
    assert ask is not None
    if target is None or candidate is None:
        return
    served = exchange.status == 200 and ending is Ending.COMPLETE and exchange.error is None
    if usage is None or not (usage.output or usage.input or usage.cache_read):
        # Nothing was reported. What a client left behind is unknown: the estimate stands.
        unknown = ending is not Ending.COMPLETE and exchange.status == 200
        used = (ask.tokens_in, ask.tokens_out) if unknown else (0, 0)
        release(exchange, now, *used)
    else:
        written = usage.cache_write_5m + usage.cache_write_1h
        # A stream that broke off had not told its output yet.
        output = usage.output if ending is Ending.COMPLETE else max(usage.output, ask.tokens_out)
        release(exchange, now, usage.input + written, output)
    upstream = exchange.upstream
    if not served or upstream is None or exchange.kind is not _MESSAGES:
        return
    slate = exchange.slate
    assert slate is not None
    output_class = ask.output_class if exchange.stream else _WHOLE
    first_at = upstream.taps.first_event_at or upstream.head_seen_at
    if slate.lone is None:
        target.service.endpoint.pulse.observe(output_class, first_at - upstream.started_at, now)
    elif not target.limited:
        return
    if usage is not None and usage.output:
        if slate.limited or exchange.snap.rules is not None:
            relay.estimator.learn(slate.model, ask.body_bytes, usage, output_class)
        if ask.conversation:
            _keep_place(exchange, ask, target, usage, now)


def _keep_place(exchange: "Exchange", ask: Ask, target: Target, usage: Usage, now: float) -> None:
    # As it is now: another turn may have moved the conversation since this one began.
    place = exchange.relay.places.find(ask.conversation, now)
    flags = place.flags if place is not None else 0
    ttl_s = place.ttl_s if place is not None else FIVE_MINUTES_S
    if exchange.moved:
        flags |= MOVED
    if not target.service.validates:
        flags |= FOREIGN
    if exchange.strip is True:
        flags |= UNSIGNED
    if usage.cache_write_1h:
        ttl_s = HOUR_S
    elif usage.cache_write_5m:
        ttl_s = FIVE_MINUTES_S
    prefix = usage.input + usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
    size = ask.body_bytes
    if ask.traffic is not _MAIN:
        if place is not None and place.slot != target.slot:
            return  # a sub-agent that had to go elsewhere does not take the main loop along
        # Its short turn is not the main loop's prefix.
        prefix, size = (place.prefix_tokens, place.body_bytes) if place is not None else (0, 0)
    elif place is not None and place.slot == target.slot:
        # A title call looks like the main loop by its head; what is short counts by and by.
        prefix, size = max(prefix, place.prefix_tokens // 2), max(size, place.body_bytes // 2)
    exchange.relay.places.keep(
        ask.conversation,
        target.slot,
        now,
        ttl_s=ttl_s,
        prefix_tokens=prefix,
        body_bytes=size,
        flags=flags,
    )
