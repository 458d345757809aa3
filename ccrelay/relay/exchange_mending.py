"""An exchange that sends its request to the same target once more, with something mended.

The sixth of seven layers, by phase. What is mended: thinking blocks that the target did not sign;
of a cloud an expired credential, the time of a signature, features that it refuses. Each is tried
once, counts no failure, and costs the target nothing. `exchange` decides what follows where
nothing can be mended.
"""

from datetime import UTC, datetime

from ccrelay._fast.upstream import Upstream
from ccrelay.fleet.provider_state import Target
from ccrelay.relay import cloud_request, request_body, tries
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.exchange_bridging import COUNTED
from ccrelay.relay.exchange_sending import SendingExchange
from ccrelay.relay.local_reply import ErrorReply, Rejection
from ccrelay.relay.remedies import Remedies
from ccrelay.routing.selection import Selection
from ccrelay.types import RequestClass
from ccrelay.wire.bodies import ELEMENTS_MAX
from ccrelay.wire.thinking import thinking_to_strip

_COUNT_TOKENS = int(RequestClass.COUNT_TOKENS)
_MAY_BE_CLOCK = frozenset({400, 401, 403})
LEARNED_S = 86_400.0  # `fleet.refused_features`


class MendingExchange(SendingExchange):
    """An exchange that mends a request which its target refused."""

    __slots__ = ()

    # ---- the same target once more

    def _note_try(self, attempt: Attempt, verdict: str, reply: ErrorReply) -> None:
        """Keep what became of an attempt, for the record."""
        down = self.client.down
        error = tries.error_of(reply, down.head, attempt.target)
        now = self.context.reactor.now
        tries.note(self.outcome, attempt, down.received_at, now, verdict, error)

    def _may_mend(self) -> bool:
        """Whether the request can be sent again at all."""
        client = self.client
        return (
            self.request is not None
            and client.is_complete()
            and client.can_resend(self.early_head_sent)
        )

    def _again(self, why: str, reply: ErrorReply) -> Selection | None:
        """End the attempt, which blames nothing, and acquire its target once more.

        None: its endpoint admits no request now.
        """
        attempt, request, context = self.attempt, self.request, self.context
        assert attempt is not None
        assert request is not None
        target, now = attempt.target, context.reactor.now
        self._note_try(attempt, why, reply)
        attempt.breaker_result = True
        attempt.finish(now, context.rng, 0, 0)
        self._poke_queue()
        ticket = target.provider.endpoint.breaker.admit(now, context.rng)
        if ticket is None:
            return None
        reservation = None
        if self.client.kind != _COUNT_TOKENS:
            reservation = target.limits.reserve_unchecked(
                now, request.need(target.slot), request.tokens_out
            )
        self._drop_upstream()  # the refusal may have come inside a stream
        candidate = attempt.candidate
        assert candidate is not None
        return Selection(candidate, target, reservation, ticket)

    # ---- thinking

    def _retry_without_thinking(self, reply: ErrorReply) -> bool:
        """Once more on the same target, without the thinking blocks that it did not sign.

        `reply` is how it rejected them. What to leave out of a large body is found by the worker.
        """
        attempt, request, client = self.attempt, self.request, self.client
        assert attempt is not None
        if (
            not self._may_mend()
            or request is None
            or request.mended
            or attempt.strip_thinking is True
            or client.elements() > ELEMENTS_MAX
        ):
            return False
        is_large = request_body.is_large(client)
        everything: bool | None = False
        if not is_large:
            everything = thinking_to_strip(client.whole(), attempt.strip_thinking)
        if everything is None:
            return False
        rejection = Rejection(reply, attempt.strip_thinking) if is_large else None
        request.mended = True
        request.strip = everything
        selection = self._again("signature", reply)
        if selection is None:
            return False
        if rejection is None:
            self._log_stripped(attempt.target, everything)
        self.rejection = rejection
        self._start_attempt(selection, everything)
        return True

    # ---- a cloud's request

    def _retry_mended(
        self, upstream: Upstream, status: int, body: bytes, reply: ErrorReply
    ) -> bool:
        """Once more on the same target, if a cloud's error says what was wrong with the request.

        Args:
            upstream: the attempt's.
            status: of the error, by its meaning where it came in a stream.
            body: of the error, or the data of the event.
            reply: the error as the client would get it.
        """
        attempt = self.attempt
        assert attempt is not None
        if attempt.prepared is None or not self._may_mend():
            return False
        if self.remedies is None:
            self.remedies = Remedies()
        why = self._mend(attempt, upstream, status, body)
        if not why:
            return False
        selection = self._again(why, reply)
        if selection is None:
            return False
        self._start_attempt(selection, attempt.strip_thinking)
        return True

    def _mend(self, attempt: Attempt, upstream: Upstream, status: int, body: bytes) -> str:
        """Mend what an error says is wrong; why it was, for the log. Empty: nothing is mended."""
        remedies, target = self.remedies, attempt.target
        assert remedies is not None
        if self._clock_was_off(attempt, status) and remedies.may_set_clock(target):
            skew = round(target.provider.clock_skew_s, 1)
            self.context.log.event(
                "warning", "clock_skew", provider=target.provider.name, seconds=skew
            )
            return "clock_skew"
        dialect, head = target.provider.dialect, upstream.head
        if attempt.serial and dialect.is_expired(status, body, head.get):
            return self._replace_credential(attempt)
        if status == 400:
            return self._leave_out(attempt, dialect.features_refused(status, body), body)
        return ""

    def _clock_was_off(self, attempt: Attempt, status: int) -> bool:
        """Whether the time of the signature explains that it was refused."""
        if status not in _MAY_BE_CLOCK or attempt.signed_at == 0.0:
            return False
        return cloud_request.is_off(attempt.signed_at, self._now_there(attempt.target.provider))

    def _replace_credential(self, attempt: Attempt) -> str:
        remedies, credential = self.remedies, attempt.target.credential
        assert remedies is not None
        assert credential is not None
        if not remedies.may_refresh(attempt.target):
            return ""
        if attempt.serial == credential.issued.serial:  # else there is another one already
            remedies.refused = credential.issued
            credential.reject()
        return "credential_expired"

    def _leave_out(self, attempt: Attempt, features: tuple[str, ...], body: bytes) -> str:
        """Leave out what the cloud refuses, now and for a day; what is guessed only if it helps."""
        remedies, candidate = self.remedies, attempt.candidate
        assert remedies is not None
        assert candidate is not None
        provider, model = attempt.target.provider.name, candidate.sent
        dialect, prepared = attempt.target.provider.dialect, attempt.prepared
        assert prepared is not None
        known = self._dropped(provider, model)
        is_guess = bool(features) and dialect.guesses_features(400, body)
        if is_guess:  # what the request did not have is no use of the few tries
            header = cloud_request.betas_sent(prepared)
            features = dialect.sent_features(features, header, prepared.body)
        fresh = [feature for feature in features if feature not in known]
        dropped = remedies.drop(provider, model, tuple(fresh))
        if self.client.kind == _COUNT_TOKENS:
            model = COUNTED + model
        if is_guess:
            remedies.guessed(provider, model, dropped)
        else:
            for feature in dropped:
                self._learn(provider, model, feature)
        # What another worker has learned meanwhile is left out the next time, too.
        is_new = bool(dropped) or self._learned_since(attempt, features)
        return "feature_refused" if is_new else ""

    def _keep_remedies(self, provider: str) -> None:
        """A provider answers: what was guessed to be in the way was."""
        remedies = self.remedies
        assert remedies is not None
        for where, model, feature in remedies.helped(provider):
            self._learn(where, model, feature)

    def _learn(self, provider: str, model: str, feature: str) -> None:
        context = self.context
        wall = context.wall()
        if context.refused is not None:
            context.refused.learn(provider, model, feature, wall)
        until = datetime.fromtimestamp(wall + LEARNED_S, UTC)
        context.log.event(
            "warning",
            "feature_refused",
            id=self.id,
            provider=provider,
            model=model,
            feature=feature,
            until=until.isoformat(timespec="seconds"),
        )

    def _learned_since(self, attempt: Attempt, features: tuple[str, ...]) -> bool:
        """Whether another exchange has learned what this one is told, since it was bridged."""
        remedies, candidate, prepared = self.remedies, attempt.candidate, attempt.prepared
        assert remedies is not None
        assert candidate is not None
        assert prepared is not None
        if not features or remedies.has_caught_up:
            return False
        dropped = self._dropped(attempt.target.provider.name, candidate.sent)
        remedies.has_caught_up = True
        return not (dropped - prepared.dropped).isdisjoint(features)

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
