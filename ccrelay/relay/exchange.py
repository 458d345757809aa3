"""One exchange: a request, the attempts to answer it, the one line that is left of it.

    ROUTING -> (waiting for model or body) -> ACQUIRING -> SENDING -> AWAITING_HEAD -> HOLDING -> STREAMING

The C side calls in when there is something to decide: `on_model`, `on_body`, `on_head`, `on_held_error`,
`on_collected`, `on_unfinished`, `on_wait`, and one of `on_done`, `on_lost`, `on_client_left`,
`on_bad_body`, `on_slow_body` at the end. Every path passes `_settle` exactly once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ccrelay._fast.downstream import Downstream
from ccrelay._fast.http1 import Framing, RequestPlan
from ccrelay._fast.upstream import Loss, Mode, Upstream
from ccrelay.errors import NoTarget, RelayError, SlowClient, Unauthorized, UpstreamFailed
from ccrelay.fleet.endpoint import Endpoint
from ccrelay.fleet.service import Service, Target
from ccrelay.relay.gate import Pass
from ccrelay.relay.local import not_served, passed_on
from ccrelay.relay.pool import Pool
from ccrelay.relay.record import record
from ccrelay.relay.requests import FAULTS, missing_model, model_name, span_of_model
from ccrelay.routing.candidates import Candidate
from ccrelay.routing.strategies import choose_target
from ccrelay.types import Ending, RequestClass
from ccrelay.wire.bodies import splice_member
from ccrelay.wire.chunks import LAST_CHUNK, chunk, early_head
from ccrelay.wire.errors import (
    PING,
    error_response,
    json_response,
    sse_error,
    sse_error_from_body,
)
from ccrelay.wire.tokens import ESTIMATE_HEADER, answer, estimate

if TYPE_CHECKING:
    from ccrelay.relay.server import Relay

# An error body is text for a person; providers send a few hundred bytes.
ERROR_BODY_MAX = 1_048_576

_KEEP = int(Framing.KEEP)
_CHUNKED = int(Framing.CHUNKED)
_CLOSE = int(Framing.CLOSE)
_FORWARD = int(Mode.FORWARD)
_HOLD = int(Mode.HOLD)
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


class Exchange:
    """One request and all done to answer it."""

    __slots__ = (
        "_body",
        "_candidates",
        "_early",
        "_fresh",
        "_pass",
        "_relay",
        "_serving",
        "_settled",
        "_stream",
        "_tried",
        "attempts",
        "bytes_in",
        "candidate",
        "down",
        "error",
        "id",
        "kind",
        "model",
        "received_at",
        "session",
        "status",
        "target",
        "upstream",
    )

    def __init__(self, relay: "Relay", down: Downstream, kind: RequestClass, passed: Pass) -> None:
        self._relay = relay
        self.down = down
        self.kind = kind
        self._pass = passed
        self.id: str = relay.next_id()
        self.received_at: float = down.received_at
        self.model: str | None = None
        self.status = 0
        self.attempts = 0
        self.bytes_in = 0
        self.error: str | None = None
        self.session: str | None = None
        self.target: Target | None = None
        self.candidate: Candidate | None = None
        self.upstream: Upstream | None = None
        self._candidates: list[Candidate] = []
        self._tried: list[Candidate] = []
        self._body: bytes | None = None  # a body of our own making; None: the client's bytes
        self._early = False  # a 200 head went out before the upstream's
        self._fresh = False  # the next attempt dials: a pooled connection was stale
        self._stream: bool | None = None
        self._serving: Endpoint | None = None  # counted in its in_flight
        self._settled = False

    # ---- routing

    def route(self) -> None:
        """Find out the model; wait for it if it has not come yet.

        Raises:
            RelayError: the request cannot be served.
        """
        down = self.down
        raw = down.model()
        if raw is None:
            if not down.body_complete:
                down.await_model()
                return
            raise missing_model()
        self.model = model_name(raw)
        self._route_model()

    def route_encoded(self) -> None:
        """A compressed body is read whole before anything else."""
        if self.down.body_complete:
            self.on_body()
        else:
            self.down.await_body()

    def route_service(self, service: Service) -> None:
        """Endpoints that name no model go to one provider as they are."""
        self._send_to(service)

    def _route_model(self) -> None:
        relay = self._relay
        model = self.model
        assert model is not None
        self._candidates = relay.candidates.of(model)
        if not self._candidates:
            raise not_served(model, relay.candidates.served())
        self._attempt()

    def _attempt(self) -> None:
        """Choose a provider and go on with it."""
        relay = self._relay
        candidate = relay.choose(self._candidates, self._tried, relay.reactor.now, relay.rng)
        if candidate is None:
            raise NoTarget("No provider is left to try.", retry_after_s=1)
        self.candidate = candidate
        if candidate.rewrites or (
            self.kind is RequestClass.COUNT_TOKENS
            and candidate.service.dialect.counts_tokens == "estimate"
        ):
            if not self.down.body_complete:
                if not self.down.replay_room:
                    raise NoTarget("The relay's memory for request bodies is spent.", retry_after_s=1)
                self.down.await_body()
                return
            if candidate.service.dialect.counts_tokens == "estimate" and (
                self.kind is RequestClass.COUNT_TOKENS
            ):
                self._answer_estimate()
                return
        self._send_to(candidate.service)

    def _answer_estimate(self) -> None:
        body = answer(estimate(self._whole_body()))
        self.status = 200
        extra = (ESTIMATE_HEADER, (b"request-id", self.id.encode()))
        self._answer(json_response(200, body, extra, self.down.keep_alive), Ending.ANSWERED)

    def _whole_body(self) -> bytes:
        return self._body if self._body is not None else self.down.body_bytes()

    # ---- acquiring and sending

    def _send_to(self, service: Service) -> None:
        relay = self._relay
        self.target = choose_target(service, relay.rng)
        pool = relay.pools[service.name]
        upstream = None if self._fresh else pool.take()
        if upstream is not None:
            self._send(upstream)
        else:
            pool.dial(self._connected)

    def _connected(self, upstream: Upstream | None, error: RelayError | None) -> None:
        """A dial has ended."""
        try:
            if error is None:
                assert upstream is not None
                if self._settled:  # the client left meanwhile: the next one has a connection
                    upstream.park()
                    self._pool().give(upstream)
                else:
                    self._send(upstream)
            elif not self._settled:
                self._unreachable(error)
        except RelayError as failure:
            self.fail(failure)

    def _unreachable(self, error: RelayError) -> None:
        """A connection could not be made: the next candidate, or the error."""
        relay = self._relay
        assert self.target is not None
        service = self.target.service
        service.endpoint.unreachable(relay.reactor.now)
        relay.log.event("warning", "unreachable", provider=service.name, reason=error.message)
        if self.candidate is None:
            raise error
        self._tried.append(self.candidate)
        if len(self._tried) >= len(self._candidates):
            raise error
        self._attempt()

    def _send(self, upstream: Upstream) -> None:
        target = self.target
        assert target is not None
        self.attempts += 1
        self.upstream = upstream
        self._serving = target.service.endpoint
        self._serving.in_flight += 1
        plan = self._plan(target)
        candidate = self.candidate
        if candidate is None:
            upstream.send_request(self, self.down, plan)
        elif candidate.rewrites:
            dialect = target.service.dialect
            body = dialect.rewrite(self._whole_body(), candidate.sent, self.kind)
            upstream.send_request(self, self.down, plan, None, body)
        elif self._body is not None:
            upstream.send_request(self, self.down, plan, None, self._spliced(candidate))
        else:
            upstream.send_request(self, self.down, plan, candidate.splice)

    def _spliced(self, candidate: Candidate) -> bytes:
        assert self._body is not None
        if candidate.splice is None:
            return self._body
        return splice_member(self._body, span_of_model(self._body), candidate.splice)

    def _plan(self, target: Target) -> RequestPlan:
        passed = self._pass
        if self._body is not None:
            return target.decoded_plan()
        if not target.service.dialect.passes_client_credential:
            return target.plan
        if passed.token_in_key or passed.token_in_bearer:
            if not passed.has_own:
                raise Unauthorized(
                    f"Provider {target.service.name} has no key of its own, and the request carries "
                    "no credential besides the relay token. Configure a key for it.",
                    should_retry=False,
                )
            return target.plan_no_key if passed.token_in_key else target.plan_no_bearer
        return target.plan

    # ---- called while the request arrives

    def on_model(self) -> None:
        """`model` is known, or the body is complete."""
        self._guard(self.route)

    def on_body(self) -> None:
        """The body is complete."""
        self._guard(self._with_body)

    def _with_body(self) -> None:
        if self.candidate is not None:
            self._attempt_again()
            return
        relay = self._relay
        limit = relay.config.server.limits.body_bytes_max
        relay.inflate(self.down.body_bytes(), limit, self._inflated)

    def _attempt_again(self) -> None:
        # The candidate was chosen before the body was here; the choice stands.
        candidate = self.candidate
        assert candidate is not None
        if (
            self.kind is RequestClass.COUNT_TOKENS
            and candidate.service.dialect.counts_tokens == "estimate"
        ):
            self._answer_estimate()
        else:
            self._send_to(candidate.service)

    def _inflated(self, body: bytes | None, error: RelayError | None) -> None:
        if self._settled:
            return
        if error is not None:
            self.fail(error)
            return
        self._body = body
        self._guard(self._route_inflated)

    def _route_inflated(self) -> None:
        assert self._body is not None
        start, end = span_of_model(self._body)
        self.model = model_name(self._body[start:end])
        self._route_model()

    def on_bad_body(self, fault: int) -> None:
        """The body turned out unusable while it arrived."""
        self.fail(FAULTS[fault]())

    def on_slow_body(self) -> None:
        """The client stopped sending its body."""
        self.fail(SlowClient("The request body stopped coming. Check the network to the relay."))

    # ---- called while the response arrives

    def on_head(self, upstream: Upstream) -> None:
        """The upstream's response head is here: decide what becomes of the response."""
        head = upstream.head
        status: int = head.status
        target = self.target
        assert target is not None
        dialect = target.service.dialect
        target.service.endpoint.reached()
        if self._early:
            self._follow_early(upstream, status)
            return
        self.status = status
        if status >= 400 and dialect.translates_errors:
            upstream.collect(ERROR_BODY_MAX)
            return
        stream: bool = upstream.is_event_stream
        self._stream = stream
        repairs = stream and status == 200 and dialect.repairs_stream
        if self.down.head.minor == 0 and (head.chunked or not upstream.keeps_framing):
            framing = _CLOSE
        elif upstream.keeps_framing and not repairs:
            framing = _KEEP
        else:
            framing = _CHUNKED
        hold = stream and status == 200
        upstream.forward(_HOLD if hold else _FORWARD, framing, True, b"", repairs)

    def _follow_early(self, upstream: Upstream, status: int) -> None:
        """The client has its 200 and pings: only an event stream can follow as it is."""
        assert self.target is not None
        if status == 200 and upstream.is_event_stream:
            repairs = self.target.service.dialect.repairs_stream
            keep = upstream.head.chunked and not repairs
            upstream.forward(_HOLD, _KEEP if keep else _CHUNKED, False, b"", repairs)
        else:
            self.status = status
            upstream.collect(ERROR_BODY_MAX)

    def on_held_error(self, upstream: Upstream) -> None:
        """An error event came before any content. Later versions try elsewhere; it is passed on."""
        self.error = "error_event"
        upstream.release()

    def on_unfinished(self, upstream: Upstream) -> None:
        """A stream ended without message_stop, and its provider says nothing of failures."""
        self.error = "unfinished"
        assert self.target is not None
        message = f"Provider {self.target.service.name} ended the stream before the message was complete."
        self.down.write(chunk(sse_error("api_error", message)))

    def on_collected(self, upstream: Upstream, body: bytes, reusable: bool) -> None:
        """An error body is here whole: translate it."""
        assert self.target is not None
        status = self.status
        dialect = self.target.service.dialect
        forbids = False
        if dialect.translates_errors and status >= 400:
            forbids = dialect.forbids_retry(body)
            status, body = dialect.translate_error(status, body)
        self.status = status
        if self._early:
            self.down.write(chunk(sse_error_from_body(status, body)) + LAST_CHUNK)
            self._settle(Ending.COMPLETE)
            self.down.finish()
            return
        self._answer(
            json_response(status, body, passed_on(upstream.head, forbids), self.down.keep_alive),
            Ending.COMPLETE,
        )

    def on_wait(self) -> None:
        """Some time has passed since the request was complete: keep the client company."""
        relay = self._relay
        down = self.down
        routing = relay.config.routing
        if down.stalled_for > relay.config.server.timeouts.write_stall_s:
            self.error = "client_stalled"
            self._drop_upstream()
            self._settle(Ending.TIMED_OUT)
            down.abort()
            return
        if self._stream is None:
            self._stream = down.stream_flag()
        wait_s = routing.ping_s
        if self._stream and down.head.minor == 1 and self.kind is RequestClass.MESSAGES:
            now: float = relay.reactor.now
            if down.started:
                wait_s = self._ping_if_quiet(now, routing.ping_s)
            else:
                wait_s = self._early_head(now, routing.ping_s, routing.early_head_s)
        down.wake_in(wait_s)

    def _ping_if_quiet(self, now: float, ping_s: float) -> float:
        """Seconds until the next look."""
        quiet_s: float = now - self.down.last_out_at
        if quiet_s < ping_s - 0.1:
            return ping_s - quiet_s
        upstream = self.upstream
        if upstream is None or upstream.head is None:
            may = self._early
        else:
            may = upstream.may_insert
        if may and not self.down.queued:
            self.down.write(chunk(PING))
        return ping_s

    def _early_head(self, now: float, ping_s: float, early_head_s: float) -> float:
        """Send a 200 before the upstream's is committed, when it is time. Seconds until the next look."""
        upstream = self.upstream
        if upstream is not None and upstream.head is not None:
            # A held 200: its own head can go, what was held stays back.
            if upstream.may_insert and self.down.flush_head():
                self.down.write(chunk(PING))
            return ping_s
        left_s = self.received_at + early_head_s - now
        if left_s > 0.05:
            return min(left_s, ping_s)
        self._early = True
        self.status = 200
        self.down.begin(early_head(self.id) + chunk(PING))
        return ping_s

    # ---- ends

    def on_done(self, upstream: Upstream, reusable: bool) -> None:
        """The response is whole and forwarded."""
        if upstream.session is not None and upstream.uses == 1:
            self._pool().learned(upstream)
        self._settle(Ending.COMPLETE)

    def on_lost(self, upstream: Upstream, reason: int) -> None:
        """The upstream is gone before its response was whole."""
        self._leave_endpoint()
        status, what = _LOSSES[reason]
        down = self.down
        if (
            reason in _STALE
            and not upstream.any_byte
            and upstream.uses > 1
            and not self._fresh
            and (down.can_replay or self._body is not None)
        ):
            # The provider closed an idle connection while we wrote on it: not its fault, not the request's.
            self._fresh = True
            assert self.target is not None
            self._pool().dial(self._connected)
            return
        assert self.target is not None
        message = f"Provider {self.target.service.name} {what}."
        error = UpstreamFailed(message, status=status)
        if not upstream.committed or not down.started:
            self.fail(error)
            return
        self.error = f"upstream_{Loss(reason).name.lower()}"
        ending = Ending.UPSTREAM_CUT if status == 502 else Ending.TIMED_OUT
        if status == 504 and upstream.may_insert and down.head.minor == 1:
            down.write(chunk(sse_error("timeout_error", message)) + LAST_CHUNK)
            self._settle(ending)
            down.finish()
            return
        self._settle(ending)
        down.cut()

    def on_client_left(self) -> None:
        """The client closed: the upstream is aborted, nobody is blamed."""
        self._drop_upstream()
        self._settle(Ending.CLIENT_LEFT)

    def fail(self, error: RelayError) -> None:
        """End with an error of the relay's own."""
        if self._settled:
            return
        self._drop_upstream()
        self.error = error.message
        down = self.down
        if down.is_closed:
            self._settle(Ending.CLIENT_LEFT)
        elif self._early:
            down.write(chunk(sse_error(error.type, error.message)) + LAST_CHUNK)
            self._settle(Ending.ANSWERED)
            down.finish()
        elif down.started:
            self._settle(Ending.ABORTED)
            down.cut()
        else:
            self.status = error.status
            keep_alive = down.keep_alive and down.body_complete
            is_head = down.head is not None and down.head.method == b"HEAD"
            data = error_response(error, self.id, keep_alive=keep_alive, body_wanted=not is_head)
            if not keep_alive:
                down.keep_alive = False
            self._answer(data, Ending.ANSWERED)

    def shut(self) -> None:
        """The drain's time is over."""
        self.fail(NoTarget("The relay is shutting down.", retry_after_s=1))

    def _answer(self, data: bytes, ending: Ending) -> None:
        # Settled first: the answer may let the next pipelined request in.
        down = self.down
        self._settle(ending, len(data))
        down.answer(data, down.keep_alive)

    def _guard(self, step: Callable[[], None]) -> None:
        try:
            step()
        except RelayError as error:
            self.fail(error)

    def _pool(self) -> Pool:
        assert self.target is not None
        return self._relay.pools[self.target.service.name]

    def _drop_upstream(self) -> None:
        upstream = self.upstream
        if upstream is not None and upstream.exchange is self:
            upstream.drop()

    def _leave_endpoint(self) -> None:
        if self._serving is not None:
            self._serving.in_flight -= 1
            self._serving = None

    def _settle(self, ending: Ending, own_bytes: int = 0) -> None:
        """Every path ends here, once."""
        if self._settled:
            return
        self._settled = True
        self._leave_endpoint()
        relay = self._relay
        relay.active.discard(self)
        self.bytes_in = self.down.body_seen
        line = record(self, ending, relay.reactor.now)
        if own_bytes:
            line["bytes_out"] = own_bytes
        relay.log.exchange(line)
