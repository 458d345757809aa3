"""What few exchanges need: whole bodies, early heads, pings, translated errors, losses.

Functions on an `Exchange`, kept apart from what every request pays for.
"""

from typing import TYPE_CHECKING

from ccrelay._fast.affinity_table import hash64
from ccrelay._fast.http1 import FieldId, Framing, RequestPlan
from ccrelay._fast.upstream import Loss, Mode, Upstream
from ccrelay.errors import RelayError, Unauthorized, UpstreamFailed
from ccrelay.fleet.provider_state import Target
from ccrelay.relay.request_body import span_of_model
from ccrelay.routing.route_table import Candidate
from ccrelay.types import Ending, RequestClass
from ccrelay.wire.bodies import splice_member
from ccrelay.wire.chunks import chunk, early_head
from ccrelay.wire.errors import PING, json_response, sse_error
from ccrelay.wire.thinking import strip_foreign
from ccrelay.wire.tokens import ESTIMATE_HEADER, answer, estimate

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange

ERROR_BODY_MAX = 1_048_576
_AUTHORIZATION = int(FieldId.F_AUTHORIZATION)
_KEY = int(FieldId.F_X_API_KEY)
# A look comes a little early rather than a whole round late.
SLACK_S = 0.1

_STALE = frozenset({int(Loss.CLOSED), int(Loss.RESET)})
_LOSSES = {
    int(Loss.CLOSED): (502, "closed the connection before its answer was whole"),
    int(Loss.RESET): (502, "reset the connection"),
    int(Loss.GARBAGE): (502, "sent something that is not valid HTTP/1.1"),
    int(Loss.NO_FIRST_BYTE): (504, "sent no answer within timeouts.first_byte_s"),
    int(Loss.IDLE): (504, "fell silent for longer than timeouts.idle_s"),
    int(Loss.TOTAL): (504, "took longer than timeouts.total_s"),
    int(Loss.TOO_BIG): (502, "sent an error body that is too large"),
}


# ---- bodies that must be whole


def with_whole_body(exchange: "Exchange", candidate: Candidate) -> None:
    """Go on with a candidate that needs the body whole; wait for it if it is still coming."""
    down = exchange.down
    if exchange.body is None and not down.body_complete:
        exchange.await_body(lambda: with_whole_body(exchange, candidate))
    elif exchange.kind is RequestClass.COUNT_TOKENS and candidate.estimates:
        tokens = answer(estimate(whole_body(exchange)))
        exchange.status = 200
        extra = [ESTIMATE_HEADER, (b"request-id", exchange.id.encode())]
        if exchange.snap.debug:
            extra += debug_fields(exchange)
        data = json_response(200, tokens, extra, down.keep_alive)
        exchange.answer(data, Ending.ANSWERED, keep_alive=down.keep_alive)
    else:
        exchange.send()


def whole_body(exchange: "Exchange") -> bytes:
    """The request body as it will be worked on."""
    return exchange.body if exchange.body is not None else exchange.down.body_bytes()


def unpack(exchange: "Exchange") -> None:
    """A compressed body is read whole and unpacked before anything else."""
    if not exchange.down.body_complete:
        exchange.await_body(lambda: unpack(exchange))
        return

    def unpacked(body: bytes | None, error: RelayError | None) -> None:
        if exchange.settled:
            return

        def go_on() -> None:
            if body is None:
                assert error is not None
                raise error
            exchange.body = body
            start, end = span_of_model(body)
            exchange.route_model(body[start:end])

        exchange.guard(go_on)

    limit = exchange.snap.config.server.limits.body_bytes_max
    exchange.relay.inflate(exchange.down.body_bytes(), limit, unpacked)


def own_body(
    exchange: "Exchange", target: Target, plan: RequestPlan, candidate: Candidate
) -> tuple[RequestPlan, bytes]:
    """A body that is not the client's bytes, rewritten or unpacked, and the plan that goes with it.

    Raises:
        BadRequest: the dialect cannot make sense of the body.
    """
    body = whole_body(exchange)
    if candidate.rewrites:
        body = target.provider.dialect.rewrite(body, candidate.sent, exchange.kind)
    elif candidate.splice is not None:
        body = splice_member(body, span_of_model(body), candidate.splice)
    if exchange.strip is not None:
        body, _ = strip_foreign(body, everything=exchange.strip)
    if exchange.body is not None:
        plan = target.decoded_plan(plan)
    return plan, body


def pass_through_plan(exchange: "Exchange", target: Target) -> RequestPlan:
    """How to write the head so that the client's own credential goes on, and no relay token.

    Raises:
        Unauthorized: the client sent no credential of its own.
    """
    passed = exchange.passed
    if not (passed.token_in_key or passed.token_in_bearer):
        return target.plan
    if not passed.has_own:
        raise Unauthorized(
            f"Provider {target.provider.name} has no key of its own, and the request carries "
            "no credential besides the relay token. Configure a key for it.",
            should_retry=False,
        )
    return target.plan_no_key if passed.token_in_key else target.plan_no_bearer


def own_credential(exchange: "Exchange") -> int:
    """A hash of the client's own credential, 0 without one: to know it again, not to show it."""
    head, passed = exchange.down.head, exchange.passed
    for field, is_token in ((_AUTHORIZATION, passed.token_in_bearer), (_KEY, passed.token_in_key)):
        value = None if is_token else head.value(field)
        if value is not None:
            return hash64(value)
    return 0


# ---- keeping the client company


def keep_company(exchange: "Exchange") -> None:
    """Called every while: cut off a client that takes nothing, ping one that waits."""
    relay = exchange.relay
    down = exchange.down
    if down.stalled_for > exchange.snap.config.server.timeouts.write_stall_s:
        exchange.error = "client_stalled"
        exchange.drop_upstream()
        exchange.settle(Ending.TIMED_OUT)
        down.abort()
        return
    routing = exchange.snap.config.routing
    if exchange.stream is None:
        exchange.stream = _asked_for_stream(exchange)
    wait_s = routing.ping_s
    if exchange.stream and down.head.minor == 1 and exchange.kind is RequestClass.MESSAGES:
        now: float = relay.reactor.now
        if down.started:
            wait_s = _ping_if_quiet(exchange, now, routing.ping_s)
        else:
            wait_s = _head_if_late(exchange, now, routing.ping_s, routing.early_head_s)
    down.wake_in(wait_s)


def _asked_for_stream(exchange: "Exchange") -> bool:
    if exchange.body is not None:
        return b'"stream":true' in exchange.body.replace(b" ", b"")
    asked: bool = exchange.down.stream_flag()
    return asked


def _ping_if_quiet(exchange: "Exchange", now: float, ping_s: float) -> float:
    """Seconds until the next look."""
    down = exchange.down
    quiet_s: float = now - down.last_out_at
    if quiet_s < ping_s - SLACK_S:
        return ping_s - quiet_s
    upstream = exchange.upstream
    if upstream is None or upstream.head is None:
        may_insert = exchange.early
    else:
        may_insert = upstream.may_insert
    if may_insert and not down.queued:
        down.write(chunk(PING))
    return ping_s


def _head_if_late(exchange: "Exchange", now: float, ping_s: float, early_head_s: float) -> float:
    """Send a 200 before the upstream's is committed, if it is time. Seconds until the next look."""
    down = exchange.down
    upstream = exchange.upstream
    if upstream is not None and upstream.head is not None:
        # A held 200: its own head can go, what was held stays back.
        if upstream.may_insert and down.flush_head():
            exchange.early = True  # from here on an error is an event
            down.write(chunk(PING))
        return ping_s
    left_s: float = down.received_at + early_head_s - now
    if left_s > SLACK_S / 2:
        return min(left_s, ping_s)
    exchange.early = True
    exchange.status = 200
    down.begin(early_head(exchange.id) + chunk(PING))
    return ping_s


def follow_early(exchange: "Exchange", upstream: Upstream) -> None:
    """The client has its 200 and pings: only an event stream can follow as it is."""
    target = exchange.target
    assert target is not None
    head = upstream.head
    if head.status == 200 and upstream.is_event_stream:
        exchange.status = 200  # an attempt before it may have left another
        repairs = target.provider.dialect.repairs_stream
        framing = Framing.KEEP if head.chunked and not repairs else Framing.CHUNKED
        upstream.tells = True
        upstream.forward(int(Mode.HOLD), int(framing), False, b"", repairs)
    else:
        exchange.status = head.status
        upstream.collect(ERROR_BODY_MAX)


# ---- what is said in headers


def debug_fields(exchange: "Exchange") -> list[tuple[bytes, bytes]]:
    """The `x-ccrelay-*` header fields: who answered, after how many attempts, chosen how."""
    target, route = exchange.target, exchange.route
    strategy = route.strategy if route is not None else exchange.snap.strategy
    fields = [
        (b"x-ccrelay-attempts", b"%d" % exchange.attempts),
        (b"x-ccrelay-strategy", strategy.name.encode()),
        (b"x-ccrelay-queued-ms", b"%d" % (exchange.waited_s * 1000)),
    ]
    if target is not None:
        fields.insert(0, (b"x-ccrelay-key", target.fingerprint.encode()))
        fields.insert(0, (b"x-ccrelay-provider", target.provider.name.encode()))
    if route is not None and route.rule is not None:
        fields.append((b"x-ccrelay-rule", route.rule.name.encode("ascii", "replace")))
    return fields


def debug_lines(exchange: "Exchange") -> bytes:
    """The same as header lines."""
    return b"".join(b"%b: %b\r\n" % field for field in debug_fields(exchange))


# ---- answers that are not passed on as they are


def report_unfinished(exchange: "Exchange") -> None:
    """Tell the client that a stream which just ended was not complete."""
    target = exchange.target
    assert target is not None
    exchange.error = "unfinished"
    upstream = exchange.upstream
    if upstream is None or upstream.taps.sse is None or not upstream.taps.sse.at_boundary:
        # Half an event has gone: another behind it would be read as its other half.
        exchange.drop_upstream()
        exchange.settle(Ending.UPSTREAM_CUT)
        exchange.down.cut()
        return
    message = f"Provider {target.provider.name} ended the stream before the message was complete."
    exchange.down.write(chunk(sse_error("api_error", message)))


# ---- losses


def loss_error(
    exchange: "Exchange", target: Target, upstream: Upstream, reason: int
) -> UpstreamFailed:
    """What the client is told of a lost upstream, if it is told at all."""
    status, what = _LOSSES[reason]
    if upstream.committed and exchange.down.started:
        exchange.error = f"upstream_{Loss(reason).name.lower()}"
    return UpstreamFailed(f"Provider {target.provider.name} {what}.", status=status)


def may_say(exchange: "Exchange", error: RelayError) -> bool:
    """Whether an error event can go into a response that has begun.

    Not where it would break what went before, and not for a provider's cut, which is passed on
    as a cut.
    """
    upstream = exchange.upstream
    if upstream is None or not upstream.committed:
        return exchange.early
    if exchange.down.head is None or exchange.down.head.minor == 0 or is_cut(error):
        return False
    return bool(upstream.may_insert)


def is_cut(error: RelayError) -> bool:
    """Whether an error is the provider's breaking off, and no time limit of ours."""
    return isinstance(error, UpstreamFailed) and error.status != 504


def ending_of(error: RelayError) -> Ending:
    """How an exchange whose response had begun is recorded when it ends with this error."""
    if isinstance(error, UpstreamFailed):
        return Ending.TIMED_OUT if error.status == 504 else Ending.UPSTREAM_CUT
    return Ending.ABORTED


def can_send_again(exchange: "Exchange") -> bool:
    """Whether nothing has gone to the client, and the whole request is still here."""
    down = exchange.down
    if down.is_closed or (down.started and not exchange.early):
        return False
    return bool(down.can_replay) or exchange.body is not None


def was_stale(exchange: "Exchange", upstream: Upstream, reason: int) -> bool:
    """Whether the provider closed an idle connection while we wrote on it: nobody's fault."""
    return (
        reason in _STALE
        and upstream.uses > 1
        and not upstream.any_byte
        and not exchange.fresh
        and not exchange.down.is_closed
        and (exchange.down.can_replay or exchange.body is not None)
    )
