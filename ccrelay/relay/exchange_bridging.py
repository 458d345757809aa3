"""An exchange on its way to a cloud: its credential, its bridged body, its header lines.

The fourth of seven layers, by phase. What differs for a cloud is here and in `exchange_mending`;
other exchanges pass both without a step. An exchange that waits for a credential is PREPARING, as
one whose body the worker's thread bridges.
"""

from ccrelay._fast.upstream import Upstream
from ccrelay.errors import CannotServe, RelayError, UpstreamFailed
from ccrelay.fleet.learned import clock_of
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.relay import cloud_request, request_body
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.body_worker import Job
from ccrelay.relay.cloud_request import Prepared
from ccrelay.relay.credential_wait import CredentialWait, wait_s
from ccrelay.relay.exchange_preparing import PreparingExchange
from ccrelay.relay.exchange_state import ExchangeState
from ccrelay.relay.local_reply import request_id
from ccrelay.routing.verdict import CANNOT_SERVE, NO_CREDENTIAL, Verdict
from ccrelay.types import RequestClass

_ROUTING = int(ExchangeState.ROUTING)
_PREPARING = int(ExchangeState.PREPARING)
_DONE = int(ExchangeState.DONE)
_COUNT_TOKENS = int(RequestClass.COUNT_TOKENS)
# A clock does not change from one response to the next.
READ_CLOCK_EVERY_S = 10.0
# Counting refuses more than messages do: what is learned of it is kept under the model's name with
# this before it.
COUNTED = "count_tokens "
NOTHING_DROPPED: frozenset[str] = frozenset()


class BridgingExchange(PreparingExchange):
    """An exchange that makes a cloud's request of its own."""

    __slots__ = ()

    # ---- for the layers above

    def _not_sent(self, verdict: Verdict, error: RelayError) -> None:
        """The target was not asked: another one may serve the request."""
        raise NotImplementedError

    def _keep_remedies(self, provider: str) -> None:
        """A provider answers: what was guessed to be in the way was."""
        raise NotImplementedError

    # ---- the request

    def _bridge(self) -> None:
        """Make the request to send, as soon as there is a credential for it; then connect.

        Raises:
            RelayError: it cannot be made.
        """
        attempt = self.attempt
        assert attempt is not None
        request_body.check_elements(self.client)
        if self._lacks_credential(attempt.target):
            self._await_credential(attempt.target)
        else:
            self._make_request()

    def _make_request(self) -> None:
        client, attempt = self.client, self.attempt
        assert attempt is not None
        if request_body.is_large(client):
            self._enter(_PREPARING)
            self.context.worker.run(
                client.auth.client, self._begin_bridging, self._bridged, self._queue_timeout_s()
            )
            return
        try:
            prepared = self._bridging()()
        except CannotServe as error:
            self._not_sent(CANNOT_SERVE, error)
            return
        self._send_prepared(attempt, prepared)

    def _bridging(self) -> cloud_request.Bridging:
        attempt = self.attempt
        assert attempt is not None
        candidate, target = attempt.candidate, attempt.target
        assert candidate is not None
        dropped = self._dropped(target.provider.name, candidate.sent)
        return cloud_request.bridging(
            self.client, target, candidate.sent, attempt.strip_thinking, dropped
        )

    def _dropped(self, provider: str, model: str) -> frozenset[str]:
        """The features that are left out there: learned before, or for this request."""
        dropped = NOTHING_DROPPED
        refused = self.context.refused
        if refused is not None:
            wall = self.context.wall()
            dropped = refused.of(provider, model, wall)
            if self.client.kind == _COUNT_TOKENS:
                dropped |= refused.of(provider, COUNTED + model, wall)
        if self.remedies is not None:
            dropped |= self.remedies.dropped(provider, model)
        return dropped

    def _begin_bridging(self) -> Job | None:
        """It is its turn; None: the client has left.

        Raises:
            NoTarget: there is no memory for a copy.
        """
        if self.state == _DONE:
            return None
        # The copy that is worked on, and what is made of it.
        if not self.client.charge_copies(2 * self.client.size()):
            raise request_body.no_memory()
        rejection = self.rejection
        stripped = rejection.stripped if rejection is not None else None
        return cloud_request.job(self._bridging(), rejection is not None, stripped)

    def _bridged(self, prepared: Prepared | None, error: RelayError | None) -> None:
        """The worker has made the request."""
        if self.state == _DONE:
            return
        self.context.reactor.clock()
        self._enter(_ROUTING)
        attempt, rejection = self.attempt, self.rejection
        assert attempt is not None
        self.rejection = None
        try:
            if isinstance(error, CannotServe):
                self._not_sent(CANNOT_SERVE, error)
                return
            if error is not None:
                raise error
            if prepared is None:  # there is no thinking to be left out
                assert rejection is not None
                self._take_rejection(rejection)
                return
            if prepared.stripped is not None:
                attempt.strip_thinking = prepared.stripped
                self._log_stripped(attempt.target, prepared.stripped)
            self._send_prepared(attempt, prepared)
        except RelayError as failure:
            self.fail(failure)

    def _send_prepared(self, attempt: Attempt, prepared: Prepared) -> None:
        attempt.prepared = prepared
        attempt.body = prepared.body
        self._connect()

    # ---- the credential

    def _now_there(self, provider: ProviderState) -> float:
        """Seconds since 1970, by the cloud's clock."""
        return self.context.wall() + provider.clock_skew_s

    def _lacks_credential(self, target: Target) -> bool:
        credential = target.credential
        if credential is None:
            return False
        return credential.secret(self._now_there(target.provider)) is None

    def _await_credential(self, target: Target) -> None:
        """Wait for a credential; none will come while the last attempt to obtain one has failed."""
        credential = target.credential
        assert credential is not None
        issued = credential.issued
        is_fresh = self.remedies is None or self.remedies.refused is not issued
        if (issued.error and is_fresh) or self.context.loop is None:
            self._give_up_credential(target)
            return
        self._enter(_PREPARING)
        self.waits = CredentialWait(
            self.context.loop, credential, wait_s(self._queue_timeout_s()), self._credential_came
        )

    def _credential_came(self, in_time: bool) -> None:
        """A credential was issued, or cannot be, or (not `in_time`) it has taken too long."""
        self.waits = None
        if self.state == _DONE:
            return
        self.own_until = self.context.reactor.clock()  # the cloud's time, not ours
        self._enter(_ROUTING)
        attempt = self.attempt
        assert attempt is not None
        try:
            if not self._lacks_credential(attempt.target):
                self._make_request()
            else:
                self._give_up_credential(attempt.target)
        except RelayError as failure:
            self.fail(failure)

    def _give_up_credential(self, target: Target) -> None:
        """There is none: another key or provider may serve the request."""
        target.lacks_until = self.context.reactor.now + NO_CREDENTIAL.cooldown_s
        self._not_sent(NO_CREDENTIAL, cloud_request.no_credential(target))

    # ---- one attempt

    def _lines_over(self, upstream: Upstream, attempt: Attempt) -> bytes | None:
        """The header lines of an attempt that is sent now: a signature is as old as its request.

        None: the credential cannot be sent. The connection was given back, and the exchange goes on
        without this target.
        """
        target, prepared = attempt.target, attempt.prepared
        assert prepared is not None
        credential = target.credential
        secret = None
        now_there = self._now_there(target.provider)
        if credential is not None:
            # What has expired since it was looked at may still do: the cloud decides.
            secret = credential.secret(now_there) or credential.issued.secret
            attempt.serial = credential.issued.serial
        attempt.signed_at = now_there if prepared.body_hash else 0.0
        try:
            return cloud_request.header_lines(target, prepared, secret, now_there)
        except (UpstreamFailed, ValueError) as error:
            upstream.park()
            self._pool().give(upstream)
            self._not_sent(NO_CREDENTIAL, cloud_request.unusable(target, error))
        return None

    # ---- its response

    def _begin_response(self, upstream: Upstream) -> bytes:
        """Read a cloud's response head. Returns lines to add to it for the client."""
        attempt, head = self.attempt, upstream.head
        assert attempt is not None
        if attempt.serial:
            self._read_clock(attempt.target.provider, upstream)
        if self.remedies is not None and head.status < 300:
            self._keep_remedies(attempt.target.provider.name)
        if head.get(b"request-id") is None:
            named = request_id(head)
            if named is not None:
                return b"request-id: %b\r\n" % named
        return b""

    def _read_clock(self, provider: ProviderState, upstream: Upstream) -> None:
        now = self.context.reactor.now
        if now < provider.clock_read_at and upstream.head.status < 400:
            return
        provider.clock_read_at = now + READ_CLOCK_EVERY_S
        head = upstream.head
        wall = self.context.wall()
        provider.clock_skew_s = cloud_request.skew(clock_of(head.get, wall), wall)

    def _is_read_whole(self, upstream: Upstream) -> bool:
        """Whether an answer is not forwarded as it comes.

        A count may have to be translated. Events are no answer for a client of AWS that asked for a
        message: it would read them as its JSON.
        """
        attempt, answers = self.attempt, self.client.answers
        assert attempt is not None
        is_cloud = attempt.prepared is not None
        if self.client.kind == _COUNT_TOKENS:
            return is_cloud or answers is not None
        if answers is None or answers.stream:
            return False
        dialect, head = attempt.target.provider.dialect, upstream.head
        return upstream.taps.declared or (is_cloud and dialect.stream_decoder(head.get) is not None)

    def _undo_frames(self, upstream: Upstream) -> bool:
        """Make server-sent events of a stream in a cloud's own framing. False: it has none."""
        attempt = self.attempt
        assert attempt is not None
        head = upstream.head
        decoder = attempt.target.provider.dialect.stream_decoder(head.get)
        if decoder is None:
            return False
        upstream.decode(decoder, True)
        return True
