"""One exchange: a request, the attempts to answer it, and what follows when one fails.

    ROUTING -> AWAITING_BODY, PREPARING, QUEUED -> CONNECTING -> AWAITING_HEAD -> HOLDING
        -> STREAMING -> DONE

`exchange_state` holds the whole table. ROUTING is entered again (retry, failover) from every state
before STREAMING, never from it: once content has gone to the client, no other attempt is made.

Five layers, by phase, make one class: `exchange_base` (state, endings), `exchange_routing`
(finding a target), `exchange_preparing` (the body that is sent), `exchange_sending` (request and
response), this one (failures). They alone act: every other file of this folder takes facts and
returns a decision. The connections call the methods named `on_*` (`_fast.downstream`,
`_fast.upstream`).
"""

from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.taps import ContentKind
from ccrelay._fast.upstream import Upstream
from ccrelay.errors import RelayError, UpstreamFailed
from ccrelay.fleet.learned import pause
from ccrelay.fleet.provider_state import Target
from ccrelay.relay import accounting, refusals, request_body, response_content, retry
from ccrelay.relay.attempt import Attempt, attempt_on
from ccrelay.relay.exchange_sending import SendingExchange
from ccrelay.relay.exchange_state import ExchangeState
from ccrelay.relay.local_reply import ErrorReply, Rejection
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.selection import Selection, Unavailable
from ccrelay.routing.verdict import Blame, ErrorPriority, Verdict, of_connect, of_loss
from ccrelay.types import Ending, RequestClass
from ccrelay.wire.bodies import ELEMENTS_MAX
from ccrelay.wire.chunks import LAST_CHUNK, chunk
from ccrelay.wire.errors import is_error
from ccrelay.wire.whole_message import events_of_message

_MESSAGES = int(RequestClass.MESSAGES)
_COUNT_TOKENS = int(RequestClass.COUNT_TOKENS)
_CONNECTING = int(ExchangeState.CONNECTING)
_COMPLETE = int(Ending.COMPLETE)
_ANSWER = int(ContentKind.ANSWER)
_ENCODED = int(ContentKind.ENCODED)


class Exchange(SendingExchange):
    """One request and everything that is done to answer it."""

    __slots__ = ()

    # ---- failures

    def _on_connect_failed(self, error: RelayError) -> None:
        attempt = self.attempt
        assert attempt is not None
        self.outcome.attempts += 1
        if isinstance(error, UpstreamFailed) and error.is_own:
            # No other target would fare better, and none is to blame.
            self.context.notices.event(
                "error", "resources_exhausted", what="connect", reason=error.message
            )
            attempt.cancel(self.context.reactor.now)
            raise error
        self.context.log.event(
            "warning",
            "connect_failed",
            provider=attempt.target.provider.name,
            reason=error.message,
        )
        attempt.cancel(self.context.reactor.now)
        verdict = of_connect()
        self._failed(verdict, ErrorReply(verdict.priority, error.status, error=error))

    def on_collected(self, upstream: Upstream, body: bytes) -> None:
        """An error response is here whole."""
        try:
            self._on_error_response(upstream, body)
        except RelayError as error:
            self.fail(error)

    def _on_error_response(self, upstream: Upstream, body: bytes) -> None:
        attempt = self.attempt
        assert attempt is not None
        target = attempt.target
        if upstream.head.status < 400:
            self._on_no_answer(upstream, body)
            return
        if upstream.taps.kind == _ENCODED and target.provider.translates_errors:
            body = b""  # nothing of it can be read
        reply = retry.read_response(upstream, target, body)
        reply.plain = upstream.taps.kind != _ENCODED
        self.outcome.status = reply.status
        if attempt.candidate is None:
            self._reply(reply)
            return
        verdict = retry.classify_response(
            self.context, self.config, self.client, target, upstream, body
        )
        self._cool_down_client(verdict, upstream)
        if refusals.is_told_by_us(verdict):
            reply = refusals.reply(target, verdict, upstream.head.status)
        reply.priority = verdict.priority
        if not (verdict.blame is Blame.SIGNATURE and self._retry_without_thinking(reply)):
            self._failed(verdict, reply)

    def _on_no_answer(self, upstream: Upstream, body: bytes) -> None:
        """A response below 400 is here whole: no answer, or one that has to become events."""
        attempt, context = self.attempt, self.context
        assert attempt is not None
        target = attempt.target
        if upstream.taps.kind == _ANSWER and self._deliver_whole(upstream, body):
            return
        error = response_content.error_of(target, upstream, body)
        if attempt.candidate is None:
            raise error
        context.log.event(
            "warning",
            "no_answer",
            id=self.id,
            provider=target.provider.name,
            key=target.fingerprint,
            status=upstream.head.status,
            reason=error.message,
            text=response_content.shown(
                body, response_content.secrets_of(self.client.down.head, target)
            ),
        )
        verdict = response_content.classify(
            context, self.config, self.client.kind, target, upstream, body
        )
        if refusals.is_told_by_us(verdict):
            reply = refusals.reply(target, verdict, upstream.head.status)
        else:
            reply = response_content.reply(target, verdict, upstream, body, error)
        self._failed(verdict, reply)

    def _deliver_whole(self, upstream: Upstream, body: bytes) -> bool:
        """A whole message came where events were announced. False: it only claims to be one."""
        attempt, down = self.attempt, self.client.down
        assert attempt is not None
        wants_events = self.early_head_sent or self.client.asks_for_stream()
        if wants_events:
            try:
                body = events_of_message(body)
            except ValueError:
                return False
        attempt.breaker_result = True
        accounting.end_trial(self.context, attempt)
        self.outcome.stream = wants_events
        if self.early_head_sent:
            down.write(chunk(body) + LAST_CHUNK)
            self.finish(_COMPLETE)
            down.finish()
            return True
        reply = ErrorReply(ErrorPriority.FINAL, upstream.head.status, body, head=upstream.head)
        reply.plain = True
        self._reply(reply)
        return True

    def on_held_error(self, upstream: Upstream) -> None:
        """A response proves to be no answer, begins with an `error` event, or has no content."""
        try:
            if upstream.is_event_stream():
                self._on_error_event(upstream)
            else:
                self._collect(upstream)
        except RelayError as error:
            self.fail(error)

    def _on_error_event(self, upstream: Upstream) -> None:
        attempt, sse = self.attempt, upstream.taps.sse
        assert attempt is not None
        data = sse.error() if sse is not None else None
        if attempt.candidate is None:
            self._forward_held(upstream)
            return
        target = attempt.target
        if data is None:
            self._drop_upstream()
            self._on_no_answer(upstream, b"")
            return
        verdict = retry.classify_event(self.context, self.config, target, upstream, data)
        reply = retry.reply_of_event(target, verdict, data)
        if not is_error(reply.body):
            self._drop_upstream()
            self._on_no_answer(upstream, data)
            return
        if refusals.is_told_by_us(verdict):
            reply = refusals.reply(target, verdict, reply.status)
        self._cool_down_client(verdict, upstream)
        if verdict.blame is Blame.SIGNATURE and self._retry_without_thinking(reply):
            return
        self._finish_attempt(verdict, "error_event")
        self.best_error = retry.better_of(self.best_error, reply)
        choice = self._next_target(verdict)
        if choice is not None:
            self._drop_upstream()
            self._go_on_with(choice)
        elif self.best_error is reply and reply.error is None and is_error(data):
            self._forward_held(upstream)
        else:
            self._drop_upstream()
            self._reply(self.best_error)

    def _forward_held(self, upstream: Upstream) -> None:
        """Send the error to the client as it came."""
        assert self.attempt is not None
        self.outcome.error = "error_event"
        self.attempt.breaker_result = False
        upstream.release()

    def on_lost(self, upstream: Upstream, reason: int) -> None:
        """The upstream is gone before its response was whole."""
        try:
            self._on_lost(upstream, reason)
        except RelayError as error:
            self.fail(error)

    def _on_lost(self, upstream: Upstream, reason: int) -> None:
        attempt, client = self.attempt, self.client
        assert attempt is not None
        if (
            retry.is_stale(upstream, reason, attempt.needs_new_connection)
            and not client.down.is_closed()
            and client.is_kept()
        ):
            self._redial()
            return
        error = retry.loss_error(attempt.target, reason)
        verdict = of_loss(reason)
        counts = verdict.counts if client.is_complete() else None  # a trickling client did this
        if upstream.committed and client.down.started:
            self.outcome.error = retry.loss_name(reason)
            attempt.breaker_result = counts
            raise error
        if attempt.candidate is None:
            raise error
        self._failed(verdict, ErrorReply(verdict.priority, error.status, error=error), counts)

    def _redial(self) -> None:
        """The same attempt once more, on a fresh connection."""
        attempt = self.attempt
        assert attempt is not None
        attempt.needs_new_connection = True
        attempt.upstream = None
        self.outcome.attempts -= 1
        self._enter(_CONNECTING)
        self._pool().dial(self._connected)

    # ---- what follows

    def _failed(self, verdict: Verdict, reply: ErrorReply, *counts: bool | None) -> None:
        """An attempt has failed: go on with another target, or reply."""
        self._finish_attempt(verdict, verdict.reason, *counts)
        self.best_error = retry.better_of(self.best_error, reply)
        choice = self._next_target(verdict)
        if choice is not None:
            self._go_on_with(choice)
        else:
            self._reply(reply if verdict.priority is ErrorPriority.FINAL else self.best_error)

    def _go_on_with(self, choice: Selection | Unavailable) -> None:
        if isinstance(choice, Selection):
            self._start_attempt(choice, None)
        else:
            self._queue(choice)

    def _finish_attempt(self, verdict: Verdict, reason: str, *counts: bool | None) -> None:
        """Give back what the attempt acquired, say what it proves of its key, and note it."""
        attempt, request, context = self.attempt, self.request, self.context
        assert attempt is not None
        target, now = attempt.target, context.reactor.now
        attempt.breaker_result = counts[0] if counts else verdict.counts
        tokens_in = 0
        if request is not None:
            if retry.prompt_was_read(verdict):
                tokens_in = request.need(target.slot)
            request.waits_since = now - self.outcome.queued_s  # an attempt is no queue time
        attempt.finish(now, context.rng, tokens_in, 0)
        self._poke_queue()
        self._judge_key(attempt, verdict, reason)
        self._note_failure(target, verdict)

    def _judge_key(self, attempt: Attempt, verdict: Verdict, reason: str) -> None:
        """Start a cooldown of the key, or disable it, or end its trial."""
        context, target = self.context, attempt.target
        if target.refusals.count() and self.client.kind == _MESSAGES:
            refusals.judged(context, target, verdict)
        if verdict.cooldown_reason is Cooldown.REFUSED:
            refusals.refused(context, target)
        elif verdict.cooldown_reason is not Cooldown.NONE:
            accounting.start_cooldown(
                context, target, verdict.cooldown_s, verdict.cooldown_reason, reason
            )
        elif verdict.blame is Blame.REQUEST and verdict.counts and self.client.kind == _MESSAGES:
            accounting.end_trial(context, attempt)  # nothing of the key was in its way
        if (
            verdict.priority is ErrorPriority.CROWDED
            or (verdict.blame is Blame.KEY and verdict.priority is ErrorPriority.MODEL)
        ) and attempt.candidate is not None:
            accounting.rest_group(context, target, attempt.candidate, verdict.reason)

    def _note_failure(self, target: Target, verdict: Verdict) -> None:
        """Remember where not to go on, and what it cost."""
        if self.retry_state is None:
            self.retry_state = RetryState()
        if self.retry_state.was_told_when and self.retry_state.last is target:
            self.best_error = None  # that time is over
        if retry.is_waited_for(self.config, self.retry_state, verdict):
            self.retry_state.add_wait(target, verdict.reason)
            return
        self.retry_state.add(
            target,
            verdict.reason,
            endpoint_failed=verdict.blame is Blame.ENDPOINT,
            could_serve=(
                verdict.blame is not Blame.KEY and verdict.priority is not ErrorPriority.CROWDED
            ),
        )
        if verdict.blame is Blame.MODEL:
            self.retry_state.exclude(target.provider)

    def _next_target(self, verdict: Verdict) -> Selection | Unavailable | None:
        """Where to go on; None: reply to the client."""
        route, retry_state, context = self.route, self.retry_state, self.context
        assert retry_state is not None
        if (
            self.request is None
            or not retry.may_retry(self.config, route, retry_state, verdict)
            or not self.client.can_resend(self.early_head_sent)
        ):
            return None
        choice = self._choose()
        if not isinstance(choice, Selection):
            return self._settle_for(choice)
        budget, now = self.config.config.routing.retry_budget, context.reactor.now
        if context.budget.retry(now, budget.ratio, budget.minimum):
            return choice
        context.log.event("warning", "retry_budget_spent", id=self.id)
        unused = attempt_on(choice)
        unused.cancel(now)
        unused.finish(now, context.rng, 0, 0)
        return None

    def _cool_down_client(self, verdict: Verdict, upstream: Upstream) -> None:
        """The client's own credential is rate-limited: prefer other providers for a while."""
        attempt, request, context = self.attempt, self.request, self.context
        assert attempt is not None
        provider = attempt.target.provider
        if (
            verdict.blame is not Blame.KEY
            or verdict.cooldown_reason is not Cooldown.NONE
            or not provider.passes_client_credential
        ):
            return
        head = upstream.head
        after = pause(head.get, context.wall())
        if request is not None and request.credential and after is not None:
            seconds = min(after.seconds, self.config.config.health.key_cooldown_max_s)
            provider.cool_down_client(request.credential, context.reactor.now + seconds)

    def _retry_without_thinking(self, reply: ErrorReply) -> bool:
        """Once more on the same target, without the thinking blocks that it did not sign.

        `reply` is how it rejected them. What to leave out of a large body is found by the worker.
        """
        attempt, request, client, context = self.attempt, self.request, self.client, self.context
        assert attempt is not None
        if (
            request is None
            or request.mended
            or attempt.strip_thinking is True
            or not client.is_complete()
            or not client.can_resend(self.early_head_sent)
            or client.elements() > ELEMENTS_MAX
        ):
            return False
        is_large = request_body.is_large(client)
        everything: bool | None = False
        if not is_large:
            everything = request_body.thinking_to_strip(client.whole(), attempt.strip_thinking)
        if everything is None:
            return False
        rejection = Rejection(reply, attempt.strip_thinking) if is_large else None
        target, now = attempt.target, context.reactor.now
        request.mended = True
        request.strip = everything
        attempt.breaker_result = True
        attempt.finish(now, context.rng, 0, 0)
        self._poke_queue()
        ticket = target.provider.endpoint.breaker.admit(now, context.rng)
        if ticket is None:
            return False
        if rejection is None:
            self._log_stripped(target, everything)
        reservation = None
        if client.kind != _COUNT_TOKENS:
            reservation = target.limits.reserve_unchecked(
                now, request.need(target.slot), request.tokens_out
            )
        self._drop_upstream()  # the refusal may have come inside a stream
        candidate = attempt.candidate
        assert candidate is not None
        selection = Selection(candidate, target, reservation, ticket)
        self.rejection = rejection
        self._start_attempt(selection, everything)
        return True

    def _log_failover(self, target: Target) -> None:
        """Log that another target is tried, or the same one again, unless that was logged."""
        retry_state = self.retry_state
        assert retry_state is not None
        before = retry_state.last
        if not retry_state.why or before is None:
            return
        known = {"provider": before.provider.name, "key": before.fingerprint}
        why, log = retry_state.why, self.context.log
        retry_state.why = ""
        if before is target:
            log.event("info", "retry", id=self.id, **known, why=why)
            return
        log.event(
            "info",
            "failover",
            id=self.id,
            **known,
            why=why,
            to_provider=target.provider.name,
            to_key=target.fingerprint,
        )
