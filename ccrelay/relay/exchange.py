"""One exchange: a request, the attempts to answer it, the one line that is left of it.

    ROUTING -> (waiting for model, body or a target) -> ACQUIRING -> SENDING -> AWAITING_HEAD
      -> HOLDING -> STREAMING -> SETTLING

Up to STREAMING an attempt that fails leads back to ROUTING (`relay.failing`).

The C side calls in when there is something to decide: `on_model`, `on_body`, `on_head`,
`on_held_error`, `on_collected`, `on_commit`, `on_unfinished`, `on_wait`, and one of `on_done`,
`on_lost`, `on_client_left`, `on_bad_body`, `on_slow_body` at the end. Every path passes `settle`
exactly once. What every request pays is written flat; the rest is in `asking`, `settling`, `rare`,
`failing`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ccrelay._fast.downstream import Downstream
from ccrelay._fast.http1 import Framing, RequestPlan
from ccrelay._fast.rate_limits import Reservation
from ccrelay._fast.upstream import Mode, Upstream
from ccrelay.errors import NoTarget, RelayError, SlowClient
from ccrelay.fleet.provider_state import Target
from ccrelay.relay import asking, failing, rare, settling
from ccrelay.relay.access_log import record, usage_of
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.local import not_served
from ccrelay.relay.request_body import FAULTS, missing_model, model_name
from ccrelay.relay.telling import ErrorReply, tell_own
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Candidate, Route
from ccrelay.routing.router import Selection, Unavailable
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import Ending, RequestClass, TrafficClass
from ccrelay.upstream.pool import Pool

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
_MESSAGES = RequestClass.MESSAGES
_COMPLETE = Ending.COMPLETE


class Exchange:
    """One request and all done to answer it."""

    __slots__ = (
        "_plan",
        "_sent_body",
        "_then",
        "attempts",
        "body",
        "candidate",
        "down",
        "early",
        "error",
        "fresh",
        "good",
        "kind",
        "left",
        "model",
        "moved",
        "passed",
        "relay",
        "request",
        "reservation",
        "retry_state",
        "route",
        "serial",
        "settled",
        "snap",
        "status",
        "stream",
        "strip",
        "target",
        "ticket",
        "told",
        "traffic",
        "upstream",
        "waited_s",
    )

    def __init__(
        self, relay: "Relay", down: Downstream, kind: RequestClass, passed: ClientAuth
    ) -> None:
        self.relay = relay
        self.snap = relay.snap  # the configuration this request began with
        self.down = down
        self.kind = kind
        self.passed = passed
        relay.served = self.serial = relay.served + 1
        self.status = 0
        self.attempts = 0
        self.model: str | None = None
        self.error: str | None = None
        self.route: Route | None = None  # who serves the model
        self.request: RoutingRequest | None = None  # what the request needs
        self.target: Target | None = None
        self.candidate: Candidate | None = None
        self.upstream: Upstream | None = None
        self.reservation: Reservation | None = None  # of the target's limits
        self.ticket: int | None = None  # of the endpoint's breaker
        self.good: bool | None = None  # what this attempt proves of the endpoint; None: nothing
        self.retry_state: RetryState | None = None  # attempts that failed
        self.told: ErrorReply | None = None  # the most telling error so far
        self.waited_s = 0.0  # for a target
        self.traffic: TrafficClass | None = None  # what rules found it to be
        # Why the conversation would leave the place it has, and whom, should this attempt serve.
        self.left: tuple[str, Target | None] | None = None
        self.moved = False  # it did
        self.strip: bool | None = None  # leave out foreign thinking blocks; True: all of them
        self.body: bytes | None = None  # a body of our own making; None: the client's bytes
        self.early = False  # a 200 head went out before the upstream's
        self.fresh = False  # the next attempt dials: a pooled connection was stale
        self.stream: bool | None = None  # whether the answer is an event stream, once known
        self.settled = False
        self._plan: RequestPlan | None = None  # how the head of the next attempt is written
        self._sent_body: bytes | None = None  # what is sent instead of the client's bytes
        self._then: Callable[[], None] | None = None  # what waits for the body

    @property
    def id(self) -> str:
        """Names this exchange in the log and in answers of the relay's own."""
        return self.relay.id_of(self.serial)

    # ---- routing

    def find_route(self) -> None:
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
        snap = self.snap
        candidates = snap.candidates
        route = candidates.remembered.get(raw) or candidates.of(raw, model_name(raw))
        self.model = route.model
        if snap.rules is not None:
            asking.apply_rules(self, route)
        else:
            self.begin(route)

    def begin(self, route: Route) -> None:
        """The slate is known: find out what the request asks for, then try.

        Raises:
            NotFound: nobody serves the model.
        """
        if not route.candidates:
            raise not_served(route.model, self.snap.candidates.served())
        self.route = route
        request = asking.ask_of(self, route)
        if request is not None:
            self.request = request
            self.relay.budget.request(request.now)
            self.attempt()

    def choose(self, *, stays: bool = True) -> Selection | Unavailable:
        """Take a target, or learn how long to wait for one."""
        request = self.request
        relay = self.relay
        assert request is not None
        assert self.route is not None
        request.now = relay.reactor.now
        choice: Selection | Unavailable
        if relay.waiting.seats:
            choice = relay.waiting.choose(self, stays=stays)
        else:
            router = self.snap.router
            choice = router.choose(self.route, request, self.retry_state, relay.rng, stays=stays)
        if request.rough and isinstance(choice, Unavailable) and asking.look_closer(self):
            return self.choose(stays=stays)
        return choice

    def attempt(self) -> None:
        """Go on with a target, or wait for one.

        Raises:
            RelayError: nobody can serve this, and waiting would not help.
        """
        choice = self.choose()
        if isinstance(choice, Selection):
            self.take(choice)
        else:
            failing.wait(self, choice)

    def take(self, taken: Selection) -> None:
        """Send to a target that was taken."""
        self.candidate, self.target, self.reservation, self.ticket = taken
        candidate, target = taken.candidate, taken.target
        request = self.request
        assert request is not None
        self.upstream = None  # an earlier attempt's belongs to others by now
        self.fresh = False
        self.good = None
        if self.retry_state is not None:
            failing.tell_failover(self, target)
        self.left = None
        binding = request.binding
        if (request.conversation and (binding is None or binding.slot != target.slot)) or (
            target.provider.validates and (request.marks or request.strip is not None)
        ):
            asking.settle_down(self, target)
        if (
            candidate.rewrites
            or self.strip is not None
            or (self.kind is _COUNT_TOKENS and candidate.estimates)
        ):
            rare.with_whole_body(self, candidate)
        else:
            self.send()

    # ---- acquiring and sending

    def send(self) -> None:
        """Take a connection to the target, and send.

        Raises:
            RelayError: nothing can be sent; no connection has been taken.
        """
        if not self.down.length_known and self.body is None:
            self.await_body(self.send)
            return
        target = self.target
        assert target is not None
        provider = target.provider
        passes = provider.passes_client_credential
        self._plan = rare.pass_through_plan(self, target) if passes else target.plan
        self._sent_body = None
        candidate = self.candidate
        if candidate is not None and (
            candidate.rewrites or self.body is not None or self.strip is not None
        ):
            self._plan, self._sent_body = rare.own_body(self, target, self._plan, candidate)
        pool = self.snap.pools[provider.name]
        # A pooled connection may be stale: then the body is sent a second time.
        can_repeat = self.down.can_replay or self.body is not None
        upstream = None if self.fresh or not can_repeat else pool.take()
        if upstream is None:
            pool.dial(self._connected)
        else:
            self._send(upstream)

    def _send(self, upstream: Upstream) -> None:
        assert self._plan is not None
        self.attempts += 1
        self.upstream = upstream
        splice = self.candidate.splice if self.candidate is not None else None
        upstream.send_request(self, self.down, self._plan, splice, self._sent_body)

    def _connected(self, upstream: Upstream | None, error: RelayError | None) -> None:
        """A dial has ended."""
        self.relay.reactor.clock()
        if upstream is None:
            assert error is not None
            failure = error
            self.guard(lambda: failing.on_unreachable(self, failure))
        elif self.settled:  # the client left meanwhile: the next one has a connection
            upstream.park()
            self.pool().give(upstream)
        else:
            connection = upstream
            self.guard(lambda: self._send(connection))

    # ---- called while the request arrives

    def on_model(self) -> None:
        """`model` is known, or the body is complete."""
        self.guard(self.find_route)

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
        provider = target.provider
        head = upstream.head
        status: int = head.status
        if status >= 400 and self.kind is _MESSAGES:
            settling.learn(self, target, upstream)
        if self.early:
            rare.follow_early(self, upstream)
            return
        self.status = status
        if status >= 400 and (self.candidate is not None or provider.dialect.translates_errors):
            if head.content_length <= ERROR_BODY_MAX or provider.dialect.translates_errors:
                upstream.collect(ERROR_BODY_MAX)
                return
            self.good = status < 500
        self.stream = stream = upstream.is_event_stream
        repairs = stream and status == 200 and provider.dialect.repairs_stream
        framing = _KEEP if upstream.keeps_framing and not repairs else _CHUNKED
        if self.down.head.minor == 0 and (framing == _CHUNKED or head.chunked):
            framing = _CLOSE
        mode = _HOLD if stream and status == 200 else _FORWARD
        extra = b"" if not self.snap.debug else rare.debug_lines(self)
        if mode == _HOLD and (
            target.limited
            or (self.ticket and self.ticket & settling.TRIAL)
            or upstream.head_seen_at >= target.learn_at
        ):
            upstream.tells = True  # limits are learnt, or want the true input; a breaker's trial
        upstream.forward(mode, framing, True, extra, repairs)

    def on_held_error(self, upstream: Upstream) -> None:
        """An error event came before any content: elsewhere, if somebody else can."""
        self.guard(lambda: failing.on_error_event(self, upstream))

    def on_commit(self, upstream: Upstream) -> None:
        """The first content is here, and somebody wants to know before the end."""
        settling.on_commit(self, upstream)

    def on_unfinished(self, upstream: Upstream) -> None:
        """A stream ended without message_stop, and its provider says nothing of failures."""
        rare.report_unfinished(self)

    def on_collected(self, upstream: Upstream, body: bytes, reusable: bool) -> None:
        """An error body is here whole."""
        self.guard(lambda: failing.on_error_answer(self, upstream, body))

    def on_wait(self) -> None:
        """Some time has passed since the request was complete."""
        rare.keep_company(self)

    # ---- ends

    def on_done(self, upstream: Upstream, reusable: bool) -> None:
        """The response is whole and forwarded."""
        if upstream.uses == 1 and upstream.session is not None:
            self.pool().learned(upstream)
        # Counting proves nothing of messages, as little as its failures do.
        if self.good is None and self.kind is _MESSAGES:
            self.good = self.error is None
        if self.stream:
            failing.note_late_error(self, upstream)
        self.settle(_COMPLETE)

    def on_lost(self, upstream: Upstream, reason: int) -> None:
        """The upstream is gone before its response was whole."""
        self.guard(lambda: failing.on_loss(self, upstream, reason))

    def on_client_left(self) -> None:
        """The client closed: the upstream is aborted, nobody is blamed."""
        self.drop_upstream()
        self.settle(Ending.CLIENT_LEFT)

    def redial(self) -> None:
        """Once more on a fresh connection of the same target: the same attempt."""
        self.fresh = True
        self.attempts -= 1
        self.upstream = None
        self.pool().dial(self._connected)

    def fail(self, error: RelayError) -> None:
        """End with an error of the relay's own."""
        if not self.settled:
            tell_own(self, error)

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
        return self.snap.pools[self.target.provider.name]

    def drop_upstream(self) -> None:
        """Abort the attempt under way, if there is one."""
        upstream = self.upstream
        if upstream is not None and upstream.exchange is self:
            upstream.drop()

    def settle(self, ending: Ending, own_bytes: int = 0) -> None:
        """Every path ends here, once: what was taken goes back, one line is written."""
        if self.settled:
            return
        self.settled = True
        self._then = None  # it refers back to this exchange
        relay = self.relay
        now = relay.reactor.now
        upstream = self.upstream
        usage, stop = usage_of(upstream) if upstream is not None else (None, None)
        if relay.waiting.seats:
            relay.waiting.leave(self)
        if self.request is not None:
            settling.close(self, ending, usage, now)
        relay.active.discard(self)
        relay.log.exchange(record(self, ending, now, own_bytes, usage, stop))
