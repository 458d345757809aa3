"""One exchange: a request, the attempts to answer it, the one line that is left of it.

    ROUTING -> (waiting for model or body) -> ACQUIRING -> SENDING -> AWAITING_HEAD -> HOLDING
      -> STREAMING -> SETTLING

The C side calls in when there is something to decide: `on_model`, `on_body`, `on_head`,
`on_held_error`, `on_collected`, `on_unfinished`, `on_wait`, and one of `on_done`, `on_lost`,
`on_client_left`, `on_bad_body`, `on_slow_body` at the end. Every path passes `settle` exactly
once. What is paid per request is written flat; what is rare lives in `relay.rare`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ccrelay._fast.downstream import Downstream
from ccrelay._fast.http1 import Framing, RequestPlan
from ccrelay._fast.upstream import Mode, Upstream
from ccrelay.errors import NoTarget, RelayError, SlowClient, Unauthorized
from ccrelay.fleet.endpoint import Endpoint
from ccrelay.fleet.service import Service, Target
from ccrelay.relay import rare
from ccrelay.relay.gate import Pass
from ccrelay.relay.local import not_served
from ccrelay.relay.pool import Pool
from ccrelay.relay.record import record
from ccrelay.relay.requests import FAULTS, missing_model, model_name
from ccrelay.routing.candidates import Candidate
from ccrelay.types import Ending, RequestClass
from ccrelay.wire.chunks import LAST_CHUNK, chunk
from ccrelay.wire.errors import error_response, sse_error

if TYPE_CHECKING:
    from ccrelay.relay.server import Relay

# An error body is text for a person; providers send a few hundred bytes.
ERROR_BODY_MAX = 1_048_576

# Looked up once: an enum's members cost 40 ns each time they are named.
_KEEP = int(Framing.KEEP)
_CHUNKED = int(Framing.CHUNKED)
_CLOSE = int(Framing.CLOSE)
_FORWARD = int(Mode.FORWARD)
_HOLD = int(Mode.HOLD)
_COUNT_TOKENS = RequestClass.COUNT_TOKENS
_COMPLETE = Ending.COMPLETE


class Exchange:
    """One request and all done to answer it."""

    __slots__ = (
        "_candidates",
        "_plan",
        "_sent_body",
        "_serving",
        "_then",
        "_tried",
        "attempts",
        "body",
        "candidate",
        "down",
        "early",
        "error",
        "fresh",
        "kind",
        "model",
        "passed",
        "relay",
        "serial",
        "settled",
        "status",
        "stream",
        "target",
        "upstream",
    )

    def __init__(self, relay: "Relay", down: Downstream, kind: RequestClass, passed: Pass) -> None:
        self.relay = relay
        self.down = down
        self.kind = kind
        self.passed = passed
        relay.served = self.serial = relay.served + 1
        self.status = 0
        self.attempts = 0
        self.model: str | None = None
        self.error: str | None = None
        self.target: Target | None = None
        self.candidate: Candidate | None = None
        self.upstream: Upstream | None = None
        self.body: bytes | None = None  # a body of our own making; None: the client's bytes
        self.early = False  # a 200 head went out before the upstream's
        self.fresh = False  # the next attempt dials: a pooled connection was stale
        self.stream: bool | None = None  # whether the answer is an event stream, once known
        self.settled = False
        self._candidates: Sequence[Candidate] = ()
        self._tried: Sequence[Candidate] = ()
        self._serving: Endpoint | None = None  # counted in its in_flight
        self._plan: RequestPlan | None = None  # how the head of the next attempt is written
        self._sent_body: bytes | None = None  # what is sent instead of the client's bytes
        self._then: Callable[[], None] | None = None  # what waits for the body

    @property
    def id(self) -> str:
        """Names this exchange in the log and in answers of the relay's own."""
        return self.relay.id_of(self.serial)

    # ---- routing

    def route(self) -> None:
        """Find out the model; wait for it if it has not come yet.

        Raises:
            RelayError: the request cannot be served.
        """
        raw = self.down.model()
        if raw is None:
            if self.down.body_complete:
                raise missing_model()
            self.down.await_model()
            return
        self.route_model(raw)

    def route_model(self, raw: bytes) -> None:
        """Find who serves the model, given as raw JSON, and go on with one of them."""
        candidates = self.relay.candidates
        slate = candidates.remembered.get(raw) or candidates.of(raw, model_name(raw))
        self.model = slate.model
        self._candidates = slate.candidates
        if not self._candidates:
            raise not_served(slate.model, candidates.served())
        self._attempt()

    def _attempt(self) -> None:
        relay = self.relay
        candidate = relay.choose(self._candidates, self._tried, relay.reactor.now, relay.rng)
        if candidate is None:
            raise NoTarget("No provider is left to try.", retry_after_s=1)
        self.candidate = candidate
        if candidate.rewrites or (self.kind is _COUNT_TOKENS and candidate.estimates):
            rare.with_whole_body(self, candidate)
        else:
            self.send_to(candidate.service)

    # ---- acquiring and sending

    def send_to(self, service: Service) -> None:
        """Take a credential and a connection of this provider, and send.

        Raises:
            RelayError: nothing can be sent; no connection has been taken.
        """
        if not self.down.length_known and self.body is None:
            self.await_body(lambda: self.send_to(service))
            return
        self.target = target = service.choose_target(self.relay.rng)
        passes = service.passes_client_credential
        self._plan = self._pass_through_plan(target) if passes else target.plan
        self._sent_body = None
        candidate = self.candidate
        if candidate is not None and (candidate.rewrites or self.body is not None):
            self._plan, self._sent_body = rare.own_body(self, target, self._plan, candidate)
        pool = self.relay.pools[service.name]
        upstream = None if self.fresh else pool.take()
        if upstream is None:
            pool.dial(self._connected)
        else:
            self._send(upstream)

    def _send(self, upstream: Upstream) -> None:
        assert self.target is not None
        assert self._plan is not None
        self.attempts += 1
        self.upstream = upstream
        self._serving = endpoint = self.target.service.endpoint
        endpoint.in_flight += 1
        splice = self.candidate.splice if self.candidate is not None else None
        upstream.send_request(self, self.down, self._plan, splice, self._sent_body)

    def _pass_through_plan(self, target: Target) -> RequestPlan:
        """How to write the head so that the client's own credential goes on, and no relay token."""
        passed = self.passed
        if not (passed.token_in_key or passed.token_in_bearer):
            return target.plan
        if not passed.has_own:
            raise Unauthorized(
                f"Provider {target.service.name} has no key of its own, and the request carries "
                "no credential besides the relay token. Configure a key for it.",
                should_retry=False,
            )
        return target.plan_no_key if passed.token_in_key else target.plan_no_bearer

    def _connected(self, upstream: Upstream | None, error: RelayError | None) -> None:
        """A dial has ended."""
        if upstream is None:
            assert error is not None
            failure = error
            self.guard(lambda: self._unreachable(failure))
        elif self.settled:  # the client left meanwhile: the next one has a connection
            upstream.park()
            self.pool().give(upstream)
        else:
            connection = upstream
            self.guard(lambda: self._send(connection))

    def _unreachable(self, error: RelayError) -> None:
        """A connection could not be made: the next candidate, or the error."""
        if self.settled:
            return
        relay = self.relay
        assert self.target is not None
        service = self.target.service
        service.endpoint.unreachable(relay.reactor.clock())
        relay.log.event("warning", "unreachable", provider=service.name, reason=error.message)
        if self.candidate is None:
            raise error
        self._tried = [*self._tried, self.candidate]
        if len(self._tried) >= len(self._candidates):
            raise error
        self.fresh = False
        self._attempt()

    # ---- called while the request arrives

    def on_model(self) -> None:
        """`model` is known, or the body is complete."""
        self.guard(self.route)

    def on_body(self) -> None:
        """The body that was waited for is complete."""
        step = self._then
        assert step is not None
        self._then = None
        self.guard(step)

    def await_body(self, step: Callable[[], None]) -> None:
        """Go on with `step` when the request body is whole.

        Raises:
            NoTarget: there is no memory to keep it.
        """
        if not self.down.can_replay:
            raise NoTarget(
                "The relay's memory for request bodies (server.limits.replay_bytes_max) is spent.",
                retry_after_s=1,
            )
        self._then = step
        self.down.await_body()

    def on_bad_body(self, fault: int) -> None:
        """The body turned out unusable while it arrived."""
        self.fail(FAULTS[fault]())

    def on_slow_body(self) -> None:
        """The client stopped sending its body."""
        self.fail(SlowClient("The request body stopped coming. Check the network to the relay."))

    # ---- called while the response arrives

    def on_head(self, upstream: Upstream) -> None:
        """The upstream's response head is here: decide what becomes of the response."""
        target = self.target
        assert target is not None
        service = target.service
        if service.endpoint.failures:
            service.endpoint.reached()
        if self.early:
            rare.follow_early(self, upstream)
            return
        head = upstream.head
        status: int = head.status
        self.status = status
        if status >= 400 and service.dialect.translates_errors:
            upstream.collect(ERROR_BODY_MAX)
            return
        self.stream = stream = upstream.is_event_stream
        repairs = stream and status == 200 and service.dialect.repairs_stream
        framing = _KEEP if upstream.keeps_framing and not repairs else _CHUNKED
        if self.down.head.minor == 0 and (framing == _CHUNKED or head.chunked):
            framing = _CLOSE
        mode = _HOLD if stream and status == 200 else _FORWARD
        upstream.forward(mode, framing, True, b"", repairs)

    def on_held_error(self, upstream: Upstream) -> None:
        """An error event came before any content. Later versions try elsewhere; it is passed on."""
        self.error = "error_event"
        upstream.release()

    def on_unfinished(self, upstream: Upstream) -> None:
        """A stream ended without message_stop, and its provider says nothing of failures."""
        rare.report_unfinished(self)

    def on_collected(self, upstream: Upstream, body: bytes, reusable: bool) -> None:
        """An error body is here whole."""
        rare.answer_collected(self, upstream, body)

    def on_wait(self) -> None:
        """Some time has passed since the request was complete."""
        rare.keep_company(self)

    # ---- ends

    def on_done(self, upstream: Upstream, reusable: bool) -> None:
        """The response is whole and forwarded."""
        if upstream.uses == 1 and upstream.session is not None:
            self.pool().learned(upstream)
        self.settle(_COMPLETE)

    def on_lost(self, upstream: Upstream, reason: int) -> None:
        """The upstream is gone before its response was whole."""
        self._leave_endpoint()
        self.guard(lambda: rare.handle_loss(self, upstream, reason))

    def on_client_left(self) -> None:
        """The client closed: the upstream is aborted, nobody is blamed."""
        self.drop_upstream()
        self.settle(Ending.CLIENT_LEFT)

    def redial(self) -> None:
        """Once more on a fresh connection of the same target."""
        self.fresh = True
        self.pool().dial(self._connected)

    def fail(self, error: RelayError) -> None:
        """End with an error of the relay's own."""
        if self.settled:
            return
        may_say = self._may_say(error)
        self.drop_upstream()
        self.error = self.error or error.message
        down = self.down
        if down.is_closed:
            self.settle(Ending.CLIENT_LEFT)
        elif down.started:
            # Past the commit point nothing is run again, and no ending is faked.
            if may_say:
                down.write(chunk(sse_error(error.type, error.message)) + LAST_CHUNK)
            self.settle(rare.ending_of(error))
            if may_say:
                down.finish()
            else:
                down.cut()
        else:
            self.status = error.status
            keep_alive = down.keep_alive and down.body_complete
            body_wanted = down.head is None or down.head.method != b"HEAD"
            self.answer(
                error_response(error, self.id, keep_alive=keep_alive, body_wanted=body_wanted),
                Ending.ANSWERED,
                keep_alive=keep_alive,
            )

    def _may_say(self, error: RelayError) -> bool:
        """Whether an error event can go into a response that has begun.

        Not where it would break what went before, and not for a provider's cut, which is passed on
        as a cut.
        """
        upstream = self.upstream
        if upstream is None or not upstream.committed:
            return self.early
        if self.down.head is None or self.down.head.minor == 0 or rare.is_cut(error):
            return False
        return upstream.may_insert

    def shut(self) -> None:
        """The drain's time is over."""
        self.fail(NoTarget("The relay is shutting down.", retry_after_s=1))

    def answer(self, data: bytes, ending: Ending, *, keep_alive: bool) -> None:
        """End with a whole response of the relay's own making."""
        # Settled first: the answer may let the next pipelined request in.
        self.settle(ending, len(data))
        self.down.answer(data, keep_alive)

    def guard(self, step: Callable[[], None]) -> None:
        """Run a step; an error it raises is the client's answer."""
        try:
            step()
        except RelayError as error:
            self.fail(error)

    def pool(self) -> Pool:
        """The connections of the current target's endpoint."""
        assert self.target is not None
        return self.relay.pools[self.target.service.name]

    def drop_upstream(self) -> None:
        """Abort the attempt under way, if there is one."""
        upstream = self.upstream
        if upstream is not None and upstream.exchange is self:
            upstream.drop()

    def _leave_endpoint(self) -> None:
        if self._serving is not None:
            self._serving.in_flight -= 1
            self._serving = None

    def settle(self, ending: Ending, own_bytes: int = 0) -> None:
        """Every path ends here, once: counts go back, one line is written."""
        if self.settled:
            return
        self.settled = True
        self._then = None  # it refers back to this exchange
        if self._serving is not None:
            self._serving.in_flight -= 1
            self._serving = None
        relay = self.relay
        relay.active.discard(self)
        relay.log.exchange(record(self, ending, relay.reactor.now, own_bytes))
