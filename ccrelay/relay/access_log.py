"""The access log: one entry per exchange."""

from ccrelay._fast.asker import texts_of
from ccrelay._fast.log_line import DictLine, LogLine
from ccrelay._fast.row_line import RowLine
from ccrelay.ledger.record import Why
from ccrelay.relay import log_row
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.outcome import Outcome
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.rules import CLASSES
from ccrelay.types import Ending, RequestClass, RowGroup, TrafficClass
from ccrelay.wire.targets import shown_target

_OTHER_V1 = int(RequestClass.OTHER_V1)
_ENDINGS = [ending.name.lower() for ending in Ending]
_CLASS_NAMES = {traffic: name for name, traffic in CLASSES.items()}  # as rules spell them
_CLASSES = [_CLASS_NAMES[traffic] for traffic in TrafficClass]
_WHY = [why.name.lower() for why in Why]
_KINDS = [kind.name.lower() for kind in RequestClass]


class AccessLogEntry:
    """One exchange that is over. Valid while the sink is called, which writes it at once.

    Args:
        exchange_id: names the exchange.
        client: the request.
        route: None: the request was not routed.
        request: what it needed; None: that was never known.
        attempt: the last one; None: no target was tried.
        outcome: how it went.
        now: monotonic seconds.
        asker: who asked, by the head, as `_fast.asker` has it; None: read it from there.
    """

    __slots__ = (
        "_asker",
        "_attempt",
        "_client",
        "_exchange_id",
        "_now",
        "_outcome",
        "_request",
        "_route",
    )

    def __init__(
        self,
        exchange_id: str,
        client: ClientRequest,
        route: Route | None,
        request: RoutingRequest | None,
        attempt: Attempt | None,
        outcome: Outcome,
        now: float,
        asker: tuple[str, str, str, str] | None = None,
    ) -> None:
        self.fill(exchange_id, client, route, request, attempt, outcome, now, asker)

    def fill(
        self,
        exchange_id: str,
        client: ClientRequest,
        route: Route | None,
        request: RoutingRequest | None,
        attempt: Attempt | None,
        outcome: Outcome,
        now: float,
        asker: tuple[str, str, str, str] | None,
    ) -> None:
        """As the constructor, for one that `__new__` has made: it spares the arguments a trip."""
        self._exchange_id = exchange_id
        self._client = client
        self._route = route
        self._request = request
        self._attempt = attempt
        self._outcome = outcome
        self._now = now
        self._asker = asker

    def write(self, line: LogLine) -> None:
        """Give all members to a line, in order. Times in milliseconds, sizes in bytes."""
        client, outcome = self._client, self._outcome
        down = client.down
        attempt = self._attempt
        received_at = down.received_at
        line.token(b"id", self._exchange_id)
        line.token(b"kind", _KINDS[client.kind])
        line.text(b"model", client.model)
        if attempt is None:
            line.text(b"sent", None)
            line.text(b"provider", None)
            line.text(b"key", None)
        else:
            candidate = attempt.candidate
            line.text(b"sent", candidate.sent if candidate is not None else None)
            line.text(b"provider", attempt.target.provider.name)
            line.token(b"key", attempt.target.fingerprint)
        line.count(b"status", outcome.status)
        line.token(b"ending", _ENDINGS[outcome.ending])
        line.count(b"attempts", outcome.attempts)
        line.count(b"bytes_in", down.body_seen())
        line.count(b"bytes_out", outcome.own_bytes or down.bytes_out)
        line.millis(b"ms", self._now - received_at)
        if attempt is not None and attempt.upstream is not None and outcome.usage is not None:
            self._write_upstream(line, received_at)
        self._write_choice(line)
        if outcome.prices_version:
            line.count(b"cost_micros", outcome.cost_micros)
        if outcome.own_s > 0.0:
            line.count(b"own_us", int(outcome.own_s * 1e6))
        if client.kind == _OTHER_V1:
            line.text(b"method", down.head.method.decode("ascii", "backslashreplace"))
            line.text(b"path", shown_target(down.head.path, down.head.query))
        if outcome.error is not None:
            line.text(b"error", outcome.error)

    def _write_choice(self, line: LogLine) -> None:
        """What the request was, who asked, and where it went and why."""
        outcome, request, route = self._outcome, self._request, self._route
        if request is not None and request.conversation:
            line.token(b"class", _CLASSES[request.traffic])
            line.token(b"conversation", f"{request.conversation:016x}")
        self._write_asker(line)
        if outcome.queued_s:
            line.millis(b"queued_ms", outcome.queued_s)
        if outcome.moved:
            line.flag(b"moved")
        if route is not None and route.rule is not None:
            line.text(b"rule", route.rule.name)
        if outcome.why:
            line.token(b"why", _WHY[outcome.why])

    def _write_asker(self, line: LogLine) -> None:
        """Who asked, as far as the head tells."""
        asker = self._asker
        if asker is None:
            asker = texts_of(self._client.down.head)
        session, agent, project, _ = asker
        if session:
            line.token(b"session", session)
        if agent:
            line.text(b"agent", agent)
        if project:
            line.text(b"project", project)

    def _write_upstream(self, line: LogLine, received_at: float) -> None:
        outcome, attempt = self._outcome, self._attempt
        assert attempt is not None
        usage, upstream = outcome.usage, attempt.upstream
        assert usage is not None
        assert upstream is not None
        line.count(b"input", usage.input)
        line.count(b"output", usage.output)
        line.count(b"cache_read", usage.cache_read)
        line.count(b"cache_write_5m", usage.cache_write_5m)
        line.count(b"cache_write_1h", usage.cache_write_1h)
        line.count(b"thinking", usage.thinking)
        line.millis(b"head_ms", upstream.head_seen_at - received_at)
        if outcome.stop_reason is not None:
            line.text(b"stop", outcome.stop_reason)
        if upstream.taps.first_event_at:
            line.millis(b"first_event_ms", upstream.taps.first_event_at - received_at)

    def row(self, row: RowLine, clock: bytes) -> bool:
        """Write it as a row for people; whether such rows are folded."""
        return log_row.write(
            row,
            clock,
            self._exchange_id,
            self._client,
            self._request,
            self._attempt,
            self._outcome,
            self._now,
        )

    def group(self) -> RowGroup:
        """By what its row is folded."""
        return log_row.group(self._client, self._attempt, self._outcome, self._now)

    def members(self) -> dict[str, object]:
        """The members as a dictionary, for sinks that keep them."""
        line = DictLine()
        self.write(line)
        return line.members
