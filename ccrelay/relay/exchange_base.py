"""An exchange's state, and how it ends: replies, heartbeats, the one place where it finishes.

The lowest of seven layers, by phase; `exchange` names them all.
"""

from ccrelay._fast.asker import texts_of
from ccrelay._fast.downstream import Downstream
from ccrelay._fast.upstream import ExchangeHandler
from ccrelay.errors import NoTarget, RelayError, SlowClient, UpstreamFailed
from ccrelay.relay import accounting, local_reply, request_body, retry, tries
from ccrelay.relay.access_log import AccessLogEntry
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.credential_wait import CredentialWait
from ccrelay.relay.exchange_record import write_record
from ccrelay.relay.exchange_state import STATES, ExchangeState, allowed
from ccrelay.relay.heartbeat import Beat, next_beat
from ccrelay.relay.local_reply import ErrorReply, Rejection
from ccrelay.relay.outcome import STALLED, Outcome, result_of
from ccrelay.relay.remedies import Remedies
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import Ending, RequestClass
from ccrelay.upstream.pool import Pool
from ccrelay.wire.chunks import LAST_CHUNK, chunk, early_head
from ccrelay.wire.errors import PING, error_response, sse_error, sse_error_from_body

_MESSAGES = int(RequestClass.MESSAGES)
_ROUTING = int(ExchangeState.ROUTING)
_PREPARING = int(ExchangeState.PREPARING)
_QUEUED = int(ExchangeState.QUEUED)
_DONE = int(ExchangeState.DONE)
_STATES = int(STATES)
_ALLOWED = allowed()
# States in which the exchange waits for a peer; STREAMING and AWAITING_HEAD begin before the
# bytes are given to the socket.
_WAITS = bytes(
    state
    in (
        ExchangeState.AWAITING_BODY,
        ExchangeState.PREPARING,
        ExchangeState.QUEUED,
        ExchangeState.CONNECTING,
        ExchangeState.HOLDING,
        ExchangeState.COLLECTING_ERROR,
    )
    for state in ExchangeState
)


class ExchangeBase(ExchangeHandler):
    """The state of one exchange, and its end.

    Args:
        context: what the worker's exchanges share.
        down: the client's connection.
        kind: the endpoint, a `RequestClass`.
        auth: what authentication found.
        path: path and query that are sent upstream.
    """

    __slots__ = (
        "attempt",
        "best_error",
        "client",
        "config",
        "context",
        "early_head_sent",
        "outcome",
        "own_from",
        "own_until",
        "rejection",
        "remedies",
        "request",
        "resume",
        "retry_state",
        "route",
        "serial",
        "state",
        "waits",
    )

    def __init__(
        self,
        context: WorkerContext,
        down: Downstream,
        kind: int,
        auth: ClientAuth,
        path: bytes = b"/v1/messages",
    ) -> None:
        self.context = context
        self.config: RuntimeConfig = context.config  # the one this request began with
        self.client = ClientRequest(down, kind, auth, path)
        self.serial = context.next_serial()
        self.state = _ROUTING
        self.resume = 0  # a Resume
        self.route: Route | None = None  # the providers that serve the model
        self.request: RoutingRequest | None = None  # what it needs of a target
        self.attempt: Attempt | None = None  # the last one
        self.retry_state: RetryState | None = None  # attempts that failed
        self.best_error: ErrorReply | None = None  # of the errors so far the one to send
        # Why it is sent again without thinking, where the worker has yet to find some.
        self.rejection: Rejection | None = None
        self.remedies: Remedies | None = None  # of a request to a cloud
        self.waits: CredentialWait | None = None  # for a credential
        self.early_head_sent = False  # a 200 head went out before the provider's
        self.outcome = Outcome()
        self.own_until = 0.0  # the end of the last section that counts as own time
        self.own_from = 0.0  # the beginning of the one that gave the client its first bytes

    @property
    def id(self) -> str:
        """Names this exchange in the log and in answers of the relay's own."""
        return self.context.id_of(self.serial)

    @property
    def settled(self) -> bool:
        """Whether it is over."""
        return self.state == _DONE

    def _enter(self, state: int) -> None:
        """Change the state. Raises AssertionError on a transition that the table does not have."""
        assert _ALLOWED[self.state * _STATES + state], (
            f"no transition {ExchangeState(self.state).name} -> {ExchangeState(state).name}"
        )
        if self.state == _PREPARING:  # the thread's time, too: nothing else was waited for
            now = self.context.reactor.now
            self.outcome.own_s += now - self.own_until
            self.own_until = now
        self.state = state
        if _WAITS[state]:
            self._end_section()

    def _end_section(self) -> None:
        """Add a section to the relay's own time: it ends now.

        Sections are those in which neither the client nor a provider is waited for. Each begins
        when a socket, a timer or a thread woke the worker for this exchange, and ends when it
        waits: for a body, a place, a connection, a response; when its request has been given to the
        socket; when the first bytes of the answer have been given to the client; when it is over.
        A thread's work on a large body counts with its time in line. Left out are chunks forwarded
        later, pings, and what the kernel does by itself.
        """
        reactor = self.context.reactor
        began = reactor.now
        if began < self.own_until:
            began = self.own_until
        self.own_until = reactor.clock()
        self.outcome.own_s += self.own_until - began

    # ---- ends

    def finish(self, ending: int, own_bytes: int = 0) -> None:
        """Every path ends here, once: everything is given back and one log entry is written.

        Args:
            ending: an `Ending`.
            own_bytes: size of an answer of the relay's own that is about to be sent.
        """
        if self.state == _DONE:
            return
        self._enter(_DONE)
        self.resume = 0
        if self.waits is not None:
            self.waits.cancel()
            self.waits = None
        context, outcome, attempt = self.context, self.outcome, self.attempt
        self._end_last_section()
        now = context.reactor.now
        outcome.ending = ending
        outcome.own_bytes = own_bytes
        if context.queued:
            context.queue.leave(self)  # type: ignore[arg-type]  # the next layer queues
        exchange_id = context.id_of(self.serial)
        if attempt is not None:
            self._settle(attempt, now, exchange_id)
        self._judge(attempt, now)
        context.active.discard(self)
        self.client.release()
        client, route, request = self.client, self.route, self.request
        asker = texts_of(client.down.head)
        if context.records is not None:
            write_record(
                context.records,
                context.wall,
                exchange_id,
                client,
                route,
                request,
                attempt,
                outcome,
                now,
                asker,
            )
        context.totals.add(outcome)
        entry = AccessLogEntry.__new__(AccessLogEntry)
        entry.fill(exchange_id, client, route, request, attempt, outcome, now, asker)
        context.log.exchange(entry)

    def _end_last_section(self) -> None:
        """The exchange is over: the section that gave the client its first bytes, and this one."""
        attempt = self.attempt
        upstream = attempt.upstream if attempt is not None else None
        if self.own_from > 0.0 and upstream is not None and upstream.forwarded_at > self.own_from:
            self.outcome.own_s += upstream.forwarded_at - self.own_from
            self.own_until = upstream.forwarded_at
        self._end_section()

    def _settle(self, attempt: Attempt, now: float, exchange_id: str) -> None:
        """Read the usage, give back what the attempt acquired, learn from it, and price it."""
        outcome, route, request = self.outcome, self.route, self.request
        if attempt.upstream is not None:
            accounting.read_usage(attempt.upstream, outcome)
        if route is not None and request is not None:
            accounting.settle(
                self.context, self.config, route, request, attempt, outcome, now, exchange_id
            )
            self._poke_queue()
        accounting.charge(self.client, request, attempt, outcome)

    def _judge(self, attempt: Attempt | None, now: float) -> None:
        """Say how the exchange went, and add its last attempt to those that failed before it."""
        outcome = self.outcome
        changed_target = False
        if outcome.tries is not None and attempt is not None:
            tries.note_last(outcome, attempt, self.client.down.received_at, now)
            changed_target = tries.changed_target(outcome, attempt.target)
        outcome.result = result_of(
            outcome.status, outcome.ending, outcome.error, outcome.is_final, changed_target
        )

    def _poke_queue(self) -> None:
        if self.context.queued:
            self.context.queue.poke()

    def _answer(self, data: bytes, ending: int, keep_alive: bool) -> None:
        """End with a whole response of the relay's own making."""
        # Finished first: the answer may let the next pipelined request in.
        self.finish(ending, len(data))
        self.client.down.answer(data, keep_alive)

    def _reply(self, reply: ErrorReply) -> None:
        """End with an error that a provider sent, or with one of our own.

        Raises:
            RelayError: the error is our own.
        """
        if reply.error is not None:
            raise reply.error
        self.outcome.status = reply.status
        self.outcome.is_final = retry.is_final(reply, self.attempt)
        down = self.client.down
        if self.early_head_sent:
            event = sse_error_from_body(reply.status, reply.body)
            down.write(self._own_events(event) + LAST_CHUNK)
            self.finish(Ending.COMPLETE)
            down.finish()
            return
        keep_alive = down.keep_alive and down.body_complete()
        seconds = retry.retry_after_s(self.context, self.config, self.route, self.request, reply)
        extra = self._debug_fields() if self.config.debug else []
        render = local_reply.render_error
        if self.client.answers is not None:
            render = self.client.answers.render
        data = render(reply, seconds, keep_alive, extra)
        self._answer(data, Ending.COMPLETE, keep_alive)

    def fail(self, error: RelayError) -> None:
        """End with an error of the relay's own."""
        if self.state == _DONE:
            return
        may_send = self._may_send_event(error)
        self._drop_upstream()
        outcome, down = self.outcome, self.client.down
        outcome.error = outcome.error or error.message
        outcome.is_final = not isinstance(error, (NoTarget, UpstreamFailed)) and error.status < 500
        if down.is_closed():
            self.finish(Ending.CLIENT_LEFT)
        elif down.started:
            # Past the commit point no other attempt is made, and no ending is faked.
            if may_send:
                down.write(self._own_events(sse_error(error.type, error.message)) + LAST_CHUNK)
            self.finish(retry.ending_of(error))
            if may_send:
                down.finish()
            else:
                down.cut()
        else:
            outcome.status = error.status
            keep_alive = down.keep_alive and down.body_complete()
            self._answer(self._error_response(error, keep_alive), Ending.ANSWERED, keep_alive)

    def _error_response(self, error: RelayError, keep_alive: bool) -> bytes:
        """One of the relay's own errors as the client reads it."""
        down, answers = self.client.down, self.client.answers
        body_wanted = down.head is None or down.head.method != b"HEAD"
        fields = self._debug_fields() if self.config.debug else []
        if answers is not None:
            return answers.error_response(error, keep_alive=keep_alive, fields=fields)
        return error_response(
            error, self.id, keep_alive=keep_alive, body_wanted=body_wanted, fields=fields
        )

    def _own_events(self, events: bytes) -> bytes:
        """Events of the relay's own in a chunk, as the client reads them; empty: it reads none."""
        answers = self.client.answers
        if answers is not None:
            events = answers.events(events)
        return chunk(events) if events else b""

    def _may_send_event(self, error: RelayError) -> bool:
        """Whether an error event can go into a response that has begun.

        Not where it would break what was sent before, and not for a provider's cut, which is
        passed on as a cut.
        """
        upstream = self.attempt.upstream if self.attempt is not None else None
        if upstream is None or not upstream.committed:
            return self.early_head_sent
        down = self.client.down
        if down.head is None or down.head.minor == 0 or retry.is_cut(error):
            return False
        return upstream.may_insert()

    def _drop_upstream(self) -> None:
        """Abort the attempt under way, if there is one."""
        upstream = self.attempt.upstream if self.attempt is not None else None
        if upstream is not None and upstream.exchange is self:
            upstream.drop()

    def _pool(self) -> Pool:
        """The connections of the current target's endpoint."""
        assert self.attempt is not None
        pool: Pool = self.config.pools[self.attempt.target.provider.name]
        return pool

    def shut(self) -> None:
        """The time to drain is over."""
        self.fail(NoTarget("The relay is shutting down.", retry_after_s=1))

    def on_client_left(self) -> None:
        """The client closed: the upstream is aborted, no target is blamed."""
        self._drop_upstream()
        self.finish(Ending.CLIENT_LEFT)

    def on_bad_body(self, fault: int) -> None:
        """The body turned out unusable while it arrived."""
        self.fail(request_body.FAULTS[fault]())

    def on_slow_body(self) -> None:
        """The client stopped sending its body."""
        self.fail(SlowClient("The request body stopped arriving. Check the network to the relay."))

    # ---- heartbeats

    def on_wait(self) -> None:
        """Time has passed: abort a client that takes nothing, ping one that waits."""
        down, config = self.client.down, self.config.config
        if down.stalled_for() > config.server.timeouts.write_stall_s:
            self.outcome.error = STALLED
            self._drop_upstream()
            self.finish(Ending.TIMED_OUT)
            down.abort()
            return
        if self.outcome.stream is None:
            self.outcome.stream = self.client.asks_for_stream()
        wait_s = config.routing.ping_s
        if self.outcome.stream and down.head.minor == 1 and self.client.kind == _MESSAGES:
            wait_s = self._beat()
        down.wake_in(wait_s)

    def _beat(self) -> float:
        """Seconds until the next look."""
        down = self.client.down
        upstream = self.attempt.upstream if self.attempt is not None else None
        now = self.context.reactor.now
        due = next_beat(
            down,
            upstream,
            now,
            self.config.config.routing,
            self.early_head_sent,
            self.state == _QUEUED,
        )
        if due.beat is Beat.PING:
            down.write(self._own_events(PING))
        elif due.beat is Beat.FLUSH_HEAD:
            if down.flush_head():
                self.early_head_sent = True  # from here on an error is an event
                down.write(self._own_events(PING))
        elif due.beat is Beat.EARLY_HEAD:
            self.early_head_sent = True
            self.outcome.status = 200
            answers = self.client.answers
            head = early_head(self.id) if answers is None else answers.early_head()
            down.begin(head + self._own_events(PING))
        return due.wait_s

    # ---- debug headers

    def _debug_fields(self) -> list[tuple[bytes, bytes]]:
        """The `x-ccrelay-*` header fields: target, attempts, strategy."""
        route, outcome = self.route, self.outcome
        strategy = route.strategy if route is not None else self.config.strategy
        fields = [
            (b"x-ccrelay-attempts", b"%d" % outcome.attempts),
            (b"x-ccrelay-strategy", strategy.name.encode()),
            (b"x-ccrelay-queued-ms", b"%d" % (outcome.queued_s * 1000)),
        ]
        if self.attempt is not None:
            target = self.attempt.target
            fields.insert(0, (b"x-ccrelay-key", target.fingerprint.encode()))
            fields.insert(0, (b"x-ccrelay-provider", target.provider.name.encode()))
            prepared = self.attempt.prepared
            if prepared is not None and prepared.left_out:
                left_out = ", ".join(prepared.left_out).encode("ascii", "replace")
                fields.append((b"x-ccrelay-left-out", left_out))
        if route is not None and route.rule is not None:
            fields.append((b"x-ccrelay-rule", route.rule.name.encode("ascii", "replace")))
        return fields
