"""An exchange with a target: send the request, decide about the response, forward it.

The fifth of seven layers, by phase: `exchange` decides what follows a failure.
"""

from ccrelay._fast.head_writer import Framing
from ccrelay._fast.http1 import FieldId
from ccrelay._fast.taps import Expected
from ccrelay._fast.upstream import Mode, Upstream
from ccrelay.errors import RelayError
from ccrelay.fleet.provider_state import Target
from ccrelay.ledger.record import Why
from ccrelay.relay import accounting, affinity, request_body, response_content, retry
from ccrelay.relay.attempt import Attempt, attempt_on
from ccrelay.relay.exchange_bridging import BridgingExchange
from ccrelay.relay.exchange_state import ExchangeState, Resume
from ccrelay.routing.availability import passed_over, why_taken
from ccrelay.routing.selection import Selection
from ccrelay.types import Ending, RequestClass
from ccrelay.wire.errors import sse_error

# A whole message where a stream was asked for; it is held, and decoded, before it is sent. The
# longest answer, of 128,000 tokens, has half a megabyte.
ANSWER_MAX = 8_388_608
# Events that are logged once: what providers send as a coding has no end.
NOTED_MAX = 256
# An error body is text for a person; providers send a few hundred bytes.
ERROR_BODY_MAX = 1_048_576

EVENT_STREAM = b"text/event-stream"

_CONTENT_ENCODING = int(FieldId.F_CONTENT_ENCODING)
_A_MESSAGE = int(Expected.A_MESSAGE)
_A_COUNT = int(Expected.A_COUNT)
_KEEP = int(Framing.KEEP)
_CHUNKED = int(Framing.CHUNKED)
_CLOSE = int(Framing.CLOSE)
_FORWARD = int(Mode.FORWARD)
_HOLD = int(Mode.HOLD)
_MESSAGES = int(RequestClass.MESSAGES)
_COUNT_TOKENS = int(RequestClass.COUNT_TOKENS)
_COMPLETE = int(Ending.COMPLETE)
_ROUTING = int(ExchangeState.ROUTING)
_AWAITING_BODY = int(ExchangeState.AWAITING_BODY)
_QUEUED = int(ExchangeState.QUEUED)
_CONNECTING = int(ExchangeState.CONNECTING)
_AWAITING_HEAD = int(ExchangeState.AWAITING_HEAD)
_HOLDING = int(ExchangeState.HOLDING)
_STREAMING = int(ExchangeState.STREAMING)
_COLLECTING_ERROR = int(ExchangeState.COLLECTING_ERROR)
_DONE = int(ExchangeState.DONE)
_ONLY = int(Why.ONLY)
_AFFINITY = int(Why.AFFINITY)
_QUEUE = int(Why.QUEUE)
_FAILOVER = int(Why.FAILOVER)
_LAST_RESORT = int(Why.LAST_RESORT)  # and PANIC: said by the router
# Where a target, or a place in the queue, is held while the body arrives. A dial ends by itself.
_HOLDS_PLACE = frozenset({_AWAITING_BODY, _QUEUED, _AWAITING_HEAD, _HOLDING, _STREAMING})


class SendingExchange(BridgingExchange):
    """An exchange that sends its request and forwards the response."""

    __slots__ = ()

    # ---- for the layer above

    def _log_failover(self, target: Target) -> None:
        """Log that another target is tried."""
        raise NotImplementedError

    def _on_connect_failed(self, error: RelayError) -> None:
        """No connection could be made."""
        raise NotImplementedError

    # ---- one attempt

    def _start_attempt(self, selection: Selection, strip_thinking: bool | None) -> None:
        """Send to a target that was acquired."""
        if self.state != _ROUTING:
            self._enter(_ROUTING)
        attempt = attempt_on(selection)
        attempt.strip_thinking = strip_thinking
        attempt.started_at = self.context.reactor.now
        self.attempt = attempt
        target = attempt.target
        request, route = self.request, self.route
        assert request is not None
        assert route is not None
        self._explain(selection)
        if self.retry_state is not None:
            self._log_failover(target)
        binding = request.binding
        if (request.conversation and (binding is None or binding.slot != target.slot)) or (
            target.provider.validates and (request.marks or request.strip is not None)
        ):
            affinity.bind(
                self.context,
                self.config,
                self.client,
                route,
                request,
                attempt,
                self.retry_state,
            )
        candidate = selection.candidate
        if (
            candidate.rewrites
            or attempt.strip_thinking is not None
            or (candidate.estimates and self.client.kind == _COUNT_TOKENS)
        ):
            self._with_whole_body()
        else:
            self._send()

    def _explain(self, selection: Selection) -> None:
        """Note why the target was taken, and which others could not take the request."""
        route, request, outcome = self.route, self.request, self.outcome
        retry_state = self.retry_state
        assert route is not None
        assert request is not None
        why = why_taken(route, request, selection)
        if why < _LAST_RESORT:
            if retry_state is not None and retry_state.last is not selection.target:
                why = _FAILOVER
            elif outcome.queued_s > 0.0:
                why = _QUEUE
        outcome.why = why
        outcome.passed = None
        if why != _AFFINITY and why != _ONLY:  # else the others were not looked at
            outcome.passed = passed_over(route, request, retry_state, selection.target)

    def _with_whole_body(self) -> None:
        """Go on with a candidate that needs the body whole."""
        attempt = self.attempt
        assert attempt is not None
        if not self.client.is_complete():
            self._await_body(Resume.WHOLE_BODY)
            return
        candidate = attempt.candidate
        assert candidate is not None
        if candidate.estimates and self.client.kind == _COUNT_TOKENS:
            self._answer_estimate()
        else:
            self._send()

    def send_to(self, target: Target) -> None:
        """Send a request that is not routed: no limit counts it, no other target is tried."""
        self.attempt = Attempt(None, target, None, None)
        self.attempt.started_at = self.context.reactor.now
        self._send()

    def _send(self) -> None:
        """Get the body that is sent, and a connection to the target, and send.

        Raises:
            RelayError: nothing can be sent; no connection was acquired.
        """
        client, attempt = self.client, self.attempt
        assert attempt is not None
        if client.body is None and not client.down.length_known():
            self._await_body(Resume.SEND)
            return
        candidate, target = attempt.candidate, attempt.target
        plan = target.plan
        if target.provider.passes_client_credential:
            plan = request_body.pass_through_plan(client.auth, target)
        if client.body is not None and candidate is not None:
            plan = target.decoded_plan(plan)
            attempt.body = client.body
        attempt.plan = plan
        if candidate is not None and (
            candidate.rewrites
            or attempt.strip_thinking is not None
            or (client.body is not None and (candidate.splice or client.respelt) is not None)
        ):
            if candidate.bridges:
                self._bridge()
            else:
                self._rewrite()
        else:
            self._connect()

    def _connect(self) -> None:
        """The body is ready: get a connection to the target, and send."""
        client, attempt = self.client, self.attempt
        assert attempt is not None
        pool = self.config.pools[attempt.target.provider.name]
        # A pooled connection may be stale: then the body is sent a second time.
        upstream = pool.take() if client.is_kept() and not attempt.needs_new_connection else None
        if upstream is None:
            self._enter(_CONNECTING)
            pool.dial(self._connected)
        else:
            self._send_over(upstream)

    def _send_over(self, upstream: Upstream) -> None:
        attempt = self.attempt
        assert attempt is not None
        path, lines = self.client.path, b""
        if attempt.prepared is not None:
            made = self._lines_over(upstream, attempt)
            if made is None:
                return
            path, lines = attempt.prepared.path, made
        self.outcome.attempts += 1
        attempt.upstream = upstream
        self._enter(_AWAITING_HEAD)
        splice = attempt.candidate.splice if attempt.candidate is not None else None
        if splice is None:
            splice = self.client.respelt
        plan = attempt.plan
        assert plan is not None
        upstream.send_request(self, self.client.down, plan, splice, attempt.body, path, lines)
        if self.state == _AWAITING_HEAD:
            self._end_section()

    def _connected(self, upstream: Upstream | None, error: RelayError | None) -> None:
        """A dial has ended."""
        self.context.reactor.clock()
        try:
            if upstream is None:
                assert error is not None
                if self.state != _DONE:
                    self._on_connect_failed(error)
            elif self.state == _DONE:  # the client left: the next request has a connection
                upstream.park()
                self._pool().give(upstream)
            else:
                self._send_over(upstream)
        except RelayError as failure:
            self.fail(failure)

    # ---- the response

    def on_head(self, upstream: Upstream) -> None:
        """The response head is here: decide what becomes of the response."""
        attempt, client, outcome = self.attempt, self.client, self.outcome
        assert attempt is not None
        target = attempt.target
        provider = target.provider
        head = upstream.head
        status = head.status
        extra = self._begin_response(upstream) if attempt.prepared is not None else b""
        if status >= 400 and client.kind == _MESSAGES:
            accounting.learn_limits(self.context, self.config, target, outcome, upstream)
        if self.early_head_sent:
            self._follow_early_head(upstream)
            return
        outcome.status = status
        is_routed = attempt.candidate is not None
        if status >= 300 and (
            response_content.is_redirect(status)
            or (is_routed and status < 400)
            or (
                (status >= 400 and (is_routed or provider.translates_errors))
                and (head.content_length <= ERROR_BODY_MAX or provider.translates_errors)
            )
        ):
            self._collect(upstream)
            return
        if status >= 400 and is_routed:
            attempt.breaker_result = status < 500
        self._forward(upstream, extra)

    def _forward(self, upstream: Upstream, extra: bytes) -> None:
        """Let a response through that may be an answer. `extra`: lines to add to its head."""
        attempt, client = self.attempt, self.client
        assert attempt is not None
        head, answers = upstream.head, client.answers
        status = head.status
        stream = upstream.taps.declared
        must_prove = attempt.candidate is not None and status < 300
        repairs = attempt.target.provider.repairs_stream
        repairs = must_prove and repairs and (stream or client.asks_for_stream())
        unpacked, media_type = False, b""
        if must_prove:
            # An answer that turns out to be JSON behind a flushed head is sent as events.
            whole = stream or (answers is not None and answers.stream)
            upstream.expect(self._expected(), ANSWER_MAX if whole else 0)
            if self._is_read_whole(upstream):
                self._collect(upstream)
                return
            unpacked = self._decode(upstream, repairs)
            if attempt.prepared is not None and not unpacked and self._undo_frames(upstream):
                unpacked, media_type = True, EVENT_STREAM
            if answers is not None and answers.stream:
                upstream.encode(answers.encoder())
                unpacked, media_type = True, answers.media_type
        else:
            self.outcome.stream = upstream.is_event_stream()
        framing = _KEEP if upstream.keeps_framing() and not repairs and not unpacked else _CHUNKED
        if client.down.head.minor == 0 and (framing == _CHUNKED or head.chunked):
            framing = _CLOSE
        if self.config.debug:
            extra += b"".join([b"%b: %b\r\n" % field for field in self._debug_fields()])
        # Its head waits for the first byte of the body: until then another attempt is possible.
        self._enter(_HOLDING)
        mode = _HOLD if must_prove or (upstream.is_event_stream() and status == 200) else _FORWARD
        if answers is not None:
            extra += answers.lines(head)
        upstream.forward(mode, framing, True, extra, repairs, media_type)

    def _expected(self) -> int:
        return _A_MESSAGE if self.client.kind == _MESSAGES else _A_COUNT

    def _collect(self, upstream: Upstream) -> None:
        """Read a response whole: it is no answer."""
        if self.state != _HOLDING:
            self._decode(upstream, False)
        self._enter(_COLLECTING_ERROR)
        upstream.collect(ERROR_BODY_MAX)

    def _decode(self, upstream: Upstream, for_client: bool) -> bool:
        """Undo a content coding that was not asked for. True: for the client too."""
        head = upstream.head
        if head.value(_CONTENT_ENCODING) is None:
            return False
        coding, decoder, needed = response_content.decoding(self.client.down.head, head)
        for_client = for_client or needed
        if not coding:
            upstream.decode(None, False)  # identity, in so many words
            return False
        assert self.attempt is not None
        name = self.attempt.target.provider.name
        if decoder is None:
            noted = ("coding", name, coding.decode("latin-1"))
            if noted not in self.context.noted and len(self.context.noted) < NOTED_MAX:
                self.context.noted.add(noted)
                hint = "Its responses are passed on unread: install ccrelay-proxy[compression]."
                self.context.log.event(
                    "warning", "coding_unknown", provider=name, coding=noted[2], hint=hint
                )
            return False
        upstream.decode(decoder, for_client)
        return for_client

    def _follow_early_head(self, upstream: Upstream) -> None:
        """The client has its 200 and pings: events follow, or another attempt."""
        attempt = self.attempt
        assert attempt is not None
        head = upstream.head
        self.outcome.status = head.status  # an attempt before it may have left another
        if head.status >= 300:
            self._collect(upstream)
            return
        upstream.expect(_A_MESSAGE, ANSWER_MAX)
        unpacked = self._decode(upstream, True)
        if attempt.prepared is not None and not unpacked:
            unpacked = self._undo_frames(upstream)
        if self.client.answers is not None:
            upstream.encode(self.client.answers.encoder())
            unpacked = True
        repairs = attempt.target.provider.repairs_stream
        framing = _KEEP if head.chunked and not repairs and not unpacked else _CHUNKED
        self._enter(_HOLDING)
        upstream.forward(_HOLD, framing, False, b"", repairs)

    def on_commit(self, upstream: Upstream) -> None:
        """What was held goes to the client."""
        self._enter(_STREAMING)
        self.own_from = max(self.context.reactor.now, self.own_until)
        attempt, request = self.attempt, self.request
        self.outcome.stream = upstream.is_event_stream()
        if attempt is None or self.client.kind != _MESSAGES:
            return
        if (
            request is not None
            and request.binding is None
            and request.conversation
            and upstream.head.status == 200
        ):
            affinity.begin(self.context, request, attempt, self.context.reactor.now)
        if self.outcome.stream:
            accounting.on_content(self.context, self.config, attempt, self.outcome, upstream)
        elif upstream.head.status < 400:
            accounting.end_trial(self.context, attempt)

    def on_unfinished(self, upstream: Upstream) -> None:
        """A stream ended without message_stop, or JSON inside: a failure, whatever was sent."""
        attempt, sse = self.attempt, upstream.taps.sse
        assert attempt is not None
        if attempt.candidate is None or (sse is not None and sse.error() is not None):
            return
        self.outcome.error = "unfinished"
        if sse is None or not upstream.repairs:
            return  # it ends as it came
        if not sse.at_boundary:
            # Half an event was sent: another one behind it would be read as its other half.
            self._drop_upstream()
            self.finish(Ending.UPSTREAM_CUT)
            self.client.down.cut()
            return
        name = attempt.target.provider.name
        message = f"Provider {name} ended the stream before the message was complete."
        self.client.down.write(self._own_events(sse_error("api_error", message)))

    def on_done(self, upstream: Upstream) -> None:
        """The response is whole and forwarded."""
        attempt, outcome = self.attempt, self.outcome
        assert attempt is not None
        if upstream.uses == 1 and upstream.session is not None:
            self._pool().learned(upstream)
        # Counting tokens proves nothing of messages.
        if attempt.breaker_result is None and self.client.kind == _MESSAGES:
            attempt.breaker_result = outcome.error is None
        if upstream.head.status >= 400:
            outcome.is_final = upstream.head.status < 500
        if outcome.stream:
            self._note_late_error(upstream)
        self.finish(_COMPLETE)

    def _note_late_error(self, upstream: Upstream) -> None:
        """An `error` event behind content was passed on; it proves as much as one before."""
        attempt, sse = self.attempt, upstream.taps.sse
        assert attempt is not None
        data = sse.error() if sse is not None else None
        if data is None or self.outcome.error is not None:
            return
        self.outcome.error = "error_event"
        verdict = retry.classify_event(self.context, self.config, attempt.target, upstream, data)
        attempt.breaker_result = verdict.counts

    # ---- a body that comes slowly

    def on_body_stalls(self) -> None:
        """The body comes too slowly to hold a target: give it back, and wait for the whole body."""
        state, attempt, context = self.state, self.attempt, self.context
        if self.request is None or state not in _HOLDS_PLACE:
            return
        is_kept = self.client.down.can_replay()
        if state == _QUEUED:
            if not is_kept:
                return
            context.queue.leave(self)
        else:
            if attempt is None or attempt.finished:
                return  # it waits for its body already
            if not is_kept or state == _STREAMING:
                self.on_slow_body()
                return
            self._drop_upstream()
            now = context.reactor.now
            attempt.cancel(now)
            attempt.finish(now, context.rng, 0, 0)
            self._poke_queue()
        self.resume = int(Resume.SELECT)
        if state != _AWAITING_BODY:
            self._enter(_ROUTING)
            self._await_body(Resume.SELECT)
