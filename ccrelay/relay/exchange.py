"""One exchange: a request, the attempts to answer it, and what follows when one fails.

    ROUTING -> AWAITING_BODY, PREPARING, QUEUED -> CONNECTING -> AWAITING_HEAD -> HOLDING
        -> STREAMING -> DONE

`exchange_state` holds the whole table. ROUTING is entered again (retry, failover) from every state
before STREAMING, never from it: once content has gone to the client, no other attempt is made.

Seven layers, by phase, make one class: `exchange_base` (state, endings), `exchange_routing`
(finding a target), `exchange_preparing` (the body that is sent), `exchange_bridging` (a cloud's
request), `exchange_sending` (request and response), `exchange_mending` (the same target once
more), this one (failures). They alone act: every other file of this folder takes facts and
returns a decision. The connections call the methods named `on_*` (`_fast.downstream`,
`_fast.upstream`).
"""

from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.taps import ContentKind
from ccrelay._fast.upstream import Upstream
from ccrelay.errors import RelayError, UpstreamFailed
from ccrelay.fleet.learned import pause
from ccrelay.fleet.provider_state import Target
from ccrelay.relay import accounting, refusals, response_content, retry
from ccrelay.relay.attempt import Attempt, attempt_on
from ccrelay.relay.exchange_mending import MendingExchange
from ccrelay.relay.exchange_state import ExchangeState
from ccrelay.relay.local_reply import ErrorReply, passed_on
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.selection import Selection, Unavailable
from ccrelay.routing.verdict import (
    CANNOT_SERVE,
    NOT_ASKED,
    Blame,
    ErrorPriority,
    Verdict,
    of_connect,
    of_loss,
)
from ccrelay.types import Ending, RequestClass
from ccrelay.wire.chunks import LAST_CHUNK
from ccrelay.wire.errors import is_error
from ccrelay.wire.whole_message import events_of_message

_MESSAGES = int(RequestClass.MESSAGES)
_COUNT_TOKENS = int(RequestClass.COUNT_TOKENS)
_CONNECTING = int(ExchangeState.CONNECTING)
_COMPLETE = int(Ending.COMPLETE)
_ANSWER = int(ContentKind.ANSWER)
_ENCODED = int(ContentKind.ENCODED)


class Exchange(MendingExchange):
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
        if attempt.prepared is not None and self._retry_mended(
            upstream, upstream.head.status, body, reply
        ):
            return
        if not (verdict.blame is Blame.SIGNATURE and self._retry_without_thinking(reply)):
            self._failed(verdict, reply)

    def _on_no_answer(self, upstream: Upstream, body: bytes) -> None:
        """A response below 400 is here whole: no answer, or one that has to become events."""
        attempt, context = self.attempt, self.context
        assert attempt is not None
        target = attempt.target
        is_cloud = attempt.prepared is not None or self.client.answers is not None
        if is_cloud and self.client.kind == _COUNT_TOKENS:
            if self._deliver_count(attempt, upstream, body):
                return
        elif upstream.taps.kind == _ANSWER and self._deliver_whole(upstream, body):
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

    def _deliver_count(self, attempt: Attempt, upstream: Upstream, body: bytes) -> bool:
        """A cloud's count of tokens, in Anthropic's form. False: it is none."""
        dialect = attempt.target.provider.dialect
        try:
            translated = dialect.translate_answer(RequestClass.COUNT_TOKENS, body)
        except ValueError:
            return False
        if translated is None and upstream.taps.kind != _ANSWER:
            return False
        fields = passed_on(upstream.head, False)
        body = body if translated is None else translated
        self._reply(ErrorReply(ErrorPriority.FINAL, upstream.head.status, body, fields=fields))
        return True

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
            down.write(self._own_events(body) + LAST_CHUNK)
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
        head = upstream.head
        assert head is not None
        reply = retry.reply_of_event(target, verdict, data, head.get)
        if not is_error(reply.body):
            self._drop_upstream()
            self._on_no_answer(upstream, data)
            return
        if refusals.is_told_by_us(verdict):
            reply = refusals.reply(target, verdict, reply.status)
        self._cool_down_client(verdict, upstream)
        if attempt.prepared is not None and self._retry_mended(upstream, reply.status, data, reply):
            return
        if verdict.blame is Blame.SIGNATURE and self._retry_without_thinking(reply):
            return
        self._finish_attempt(verdict, "error_event", reply)
        self.best_error = retry.better_of(self.best_error, reply)
        choice = self._next_target(verdict)
        if choice is not None:
            self._drop_upstream()
            self._go_on_with(choice)
        elif (
            self.best_error is reply
            and reply.error is None
            and is_error(data)
            and attempt.prepared is None  # a cloud's becomes the HTTP error that it means
        ):
            self.outcome.is_final = retry.is_final(reply, attempt)
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

    def _not_sent(self, verdict: Verdict, error: RelayError) -> None:
        attempt = self.attempt
        assert attempt is not None
        attempt.cancel(self.context.reactor.now)
        self._failed(verdict, ErrorReply(verdict.priority, error.status, error=error))

    def _failed(self, verdict: Verdict, reply: ErrorReply, *counts: bool | None) -> None:
        """An attempt has failed: go on with another target, or reply."""
        self._finish_attempt(verdict, verdict.reason, reply, *counts)
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

    def _finish_attempt(
        self, verdict: Verdict, reason: str, reply: ErrorReply, *counts: bool | None
    ) -> None:
        """Give back what the attempt acquired, say what it proves of its key, and note it."""
        attempt, request, context = self.attempt, self.request, self.context
        assert attempt is not None
        target, now = attempt.target, context.reactor.now
        self._note_try(attempt, verdict.reason, reply)
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
        elif verdict.per_model and verdict.cooldown_s > 0.0 and attempt.candidate is not None:
            accounting.start_group_cooldown(
                context, target, attempt.candidate, verdict.cooldown_s, reason
            )
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
                verdict.blame is not Blame.KEY
                and verdict.priority is not ErrorPriority.CROWDED
                and verdict is not CANNOT_SERVE
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
        if verdict in NOT_ASKED or context.budget.retry(now, budget.ratio, budget.minimum):
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
