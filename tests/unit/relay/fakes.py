"""The C side of an exchange without sockets: a client, provider connections, their pool, a relay.

Each fake is a subclass of the real class, because compiled exchanges take nothing else. It does
what `_fast/downstream.pyx`, `_fast/upstream.pyx` and `upstream/pool.py` do as far as an exchange
can tell, asserts what they rely on, and is driven by the test: `arrive`, `respond`, `feed`,
`finish`, `lose`, `leave`, `pass_time`. Exchanges, their context, runtime configurations, pending
queue, routing, fleet, shared memory, dialects and parsers are the real ones.
"""

import heapq
import json
import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import msgspec

from ccrelay._fast.affinity_table import AffinityTable
from ccrelay._fast.conn import Reactor
from ccrelay._fast.downstream import Downstream
from ccrelay._fast.endpoint_stats import RetryBudget
from ccrelay._fast.handlers import ConnectionPool
from ccrelay._fast.head_writer import Framing, RequestPlan
from ccrelay._fast.http1 import Head, parse_request, parse_response
from ccrelay._fast.json import MemberKeys, scan
from ccrelay._fast.memory_account import MemoryAccount, Share
from ccrelay._fast.record_ring import RecordReader, RecordRing
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.sse import SseTap, Verdict
from ccrelay._fast.taps import ContentKind, Expected, Taps
from ccrelay._fast.upstream import Loss, Mode, Upstream
from ccrelay._fast.usage import Usage, usage_of_json, usage_of_stream
from ccrelay.config.model import Config, Health, Key, Provider, Routing
from ccrelay.errors import RelayError
from ccrelay.fleet.breaker import State
from ccrelay.fleet.credential_store import CredentialStore
from ccrelay.fleet.layout import Layout
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.ledger.record import Record
from ccrelay.relay.body_worker import Begin, Ready
from ccrelay.relay.client_auth import Authenticator, ClientAuth
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.credential_wait import end_lacks
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.exchange_state import ExchangeState
from ccrelay.relay.pending_queue import PendingQueue
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.types import RequestClass
from ccrelay.wire.cloud_credential import IssuedCredential

BODY = b'{"model":"m","stream":true,"messages":[]}'
# The bytes of BODY after which its model is known.
MODEL_SEEN = len(b'{"model":"m",')
MEMBERS = MemberKeys(["model", "stream"])
HOLD_MAX = 262_144  # of _fast/upstream.pyx

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
START = b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n'
CONTENT = b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
OVERLOADED = (
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"m"}}\n\n'
)


def json_head(status: int) -> bytes:
    """The head of a JSON answer, its end marked by chunks."""
    return (
        b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        % status
    )


def request_head(body: bytes | None, minor: int = 1, extra: bytes = b"") -> Head:
    framing = b"transfer-encoding: chunked" if body is None else b"content-length: %d" % len(body)
    data = b"POST /v1/messages HTTP/1.%d\r\nhost: localhost\r\n%b%b\r\n\r\n"
    parsed = parse_request(data % (minor, extra, framing))
    assert parsed is not None
    return parsed[0]


def provider(name: str = "one", kind: str = "compatible", **settings: object) -> Provider:
    resolved: dict[str, object] = {
        "base_url": "http://127.0.0.1:1",
        "auth": "bearer",
        "models": ["*"],
        "system_role": "keep",
        "count_tokens": "forward",
        "signatures": "none",
        "keys": [Key(key=f"test-key-{name}")],
        **settings,
    }
    return Provider(name=name, type=kind, **resolved)  # type: ignore[arg-type]


def provider_state(
    name: str = "one", kind: str = "compatible", **settings: object
) -> ProviderState:
    """A provider with memory of its own."""
    return ProviderState(provider(name, kind, **settings), Health())


IN_ORDER = Config(routing=Routing(strategy="failover"))


def keys(*names: str, **limits: Any) -> list[Key]:
    return [Key(key=f"test-key-{name}", **limits) for name in names]


class Trail:
    """The states in which exchanges were seen from outside, in order, repetitions left out.

    ROUTING is seldom seen: an exchange leaves it before it calls anything.
    """

    def __init__(self) -> None:
        self._by_exchange: dict[Exchange, list[ExchangeState]] = {}

    def see(self, exchange: Exchange) -> None:
        state = ExchangeState(exchange.state)
        states = self._by_exchange.setdefault(exchange, [])
        if not states or states[-1] is not state:
            states.append(state)

    def expect(self, exchange: Exchange, state: ExchangeState) -> None:
        """An exchange that does this has to be in this state."""
        assert exchange.state == state, ExchangeState(exchange.state)
        self.see(exchange)

    def of(self, exchange: Exchange) -> list[ExchangeState]:
        self.see(exchange)
        return self._by_exchange[exchange]

    def exchanges(self) -> list[Exchange]:
        return list(self._by_exchange)


class FakeReactor(Reactor):
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.trail = Trail()

    def clock(self) -> float:
        return self.now


class FakeTimer:
    def __init__(self) -> None:
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """What is to be called soon or later; nothing is until `run`."""

    def __init__(self, reactor: FakeReactor) -> None:
        self._reactor = reactor
        self._order = count()
        self._later: list[tuple[float, int, FakeTimer, Callable[[], None]]] = []
        self._soon: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def call_later(self, delay: float, callback: Callable[[], None]) -> FakeTimer:
        assert delay >= 0.0
        timer = FakeTimer()
        at = self._reactor.now + delay
        heapq.heappush(self._later, (at, next(self._order), timer, callback))
        return timer

    @property
    def next_at(self) -> float:
        """When something is due; inf: nothing is."""
        while self._later and self._later[0][2].is_cancelled:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else float("inf")

    def run(self) -> None:
        """Call what is due now."""
        for _ in range(10_000):
            if self._soon:
                self._soon.pop(0)()
            elif self.next_at <= self._reactor.now:
                heapq.heappop(self._later)[3]()
            else:
                return
        raise AssertionError("the loop never comes to rest")


class FakeDown(Downstream):
    """A client connection with one request."""

    # In place of what the real class keeps in C.
    reactor: FakeReactor = None  # type: ignore[assignment]
    queued = 0
    exchange: Any

    def __init__(
        self,
        reactor: FakeReactor,
        *,
        body: bytes = BODY,
        arrived: int | None = None,
        chunked: bool = False,
        windowed: bool = False,
        minor: int = 1,
        session: str | None = None,
        extra: bytes = b"",
    ) -> None:
        self.reactor = reactor
        self.body = body
        self.chunked = chunked
        self.windowed = windowed
        self.arrived = len(body) if arrived is None else arrived
        if session is not None:
            extra += b"x-claude-code-session-id: %b\r\n" % session.encode()
        self.head = request_head(None if chunked else body, minor, extra)
        self.source: Any = None
        self.keep_alive = minor == 1
        self.pending_head: bytes | None = None
        self.received_at = self.last_out_at = reactor.now
        self.started = self.closed = False
        self.stall_s = 0.0
        self.wake_at = 0.0  # when `on_wait` is due; 0: as the limits of the connection say
        self.wants: str | None = None
        self.is_spent = False  # some of the body was sent
        self.flowing = True  # what is not here yet comes fast
        self.client_share = MemoryAccount().share(b"test-client")
        # What the client got.
        self.heads: list[bytes] = []
        self.got = b""
        self.ended: str | None = None  # complete, cut, abort or left
        self.breaks = False  # the client has gone; the next byte sent finds out

    # ---- what an exchange reads

    @property
    def memory(self) -> Share:
        return self.client_share

    def is_closed(self) -> bool:
        return self.closed

    def body_complete(self) -> bool:
        return self.arrived >= len(self.body)

    def body_fault(self) -> int:
        return 0

    def body_seen(self) -> int:
        return self.arrived

    def can_replay(self) -> bool:
        return not self.windowed

    def length_known(self) -> bool:
        return self.body_complete() or not self.chunked

    def flows(self) -> bool:
        return self.body_complete() or (self.flowing and not self.chunked)

    def stalled_for(self) -> float:
        return self.stall_s

    def model(self) -> bytes | None:
        return scan(self.body[: self.arrived], MEMBERS).value(0)

    def stream_flag(self) -> bool:
        return scan(self.body[: self.arrived], MEMBERS).value(1) == b"true"

    def body_elements(self) -> int:
        return scan(self.body[: self.arrived], MEMBERS).elements

    def body_piece(self, at: int, n: int) -> bytes:
        return self.body[: self.arrived][at : at + n]

    def body_bytes(self) -> bytes:
        assert self.body_complete()
        return self.body

    # ---- what an exchange asks for

    def await_model(self) -> None:
        self.reactor.trail.expect(self.exchange, ExchangeState.AWAITING_BODY)
        self.wants = "model"

    def await_body(self) -> None:
        assert not self.body_complete(), "on_body would never be called"
        assert self.can_replay(), "a window keeps no whole body"
        self.reactor.trail.expect(self.exchange, ExchangeState.AWAITING_BODY)
        self.wants = "body"

    def await_flow(self) -> None:
        assert not self.flows(), "on_body would never be called"
        self.reactor.trail.expect(self.exchange, ExchangeState.AWAITING_BODY)
        self.wants = "flow"

    def wake_in(self, seconds: float) -> None:
        assert seconds > 0.0
        self.wake_at = self.reactor.now + seconds

    def answer(self, data: bytes, keep_alive: bool) -> None:
        if self.is_closed():
            return
        self.keep_alive = self.keep_alive and keep_alive
        self.pending_head = None
        self._begin(data.partition(b"\r\n\r\n")[0])
        if self._send(data):
            self.complete()

    def begin(self, head: bytes) -> None:
        if not self.is_closed():
            self.last_out_at = self.reactor.now
            self.pending_head = None
            self._begin(head.partition(b"\r\n\r\n")[0])
            self._send(head)

    def flush_head(self) -> bool:
        if self.pending_head is None:
            return False
        self.forward(b"")
        return True

    def write(self, data: bytes) -> bool:
        return not self.is_closed() and self.forward(data)

    def forward(self, data: bytes) -> bool:
        self.last_out_at = self.reactor.now
        if self.pending_head is not None:
            head, self.pending_head = self.pending_head, None
            self._begin(head)
        assert self.started, "body bytes without a head"
        return self._send(data)

    def finish(self) -> None:
        if not self.is_closed():
            self.complete()

    def complete(self) -> None:
        assert self.ended is None
        exchange = self.exchange
        assert exchange is None or exchange.settled
        self.exchange = self.source = None
        if self.pending_head is not None:
            self.forward(b"")
        if not self.is_closed():
            self._end("complete")

    def cut(self) -> None:
        if not self.is_closed():
            self.closed = True
            self._end("cut")

    def abort(self) -> None:
        if not self.is_closed():
            self.closed = True
            self._end("abort")

    def _begin(self, head: bytes) -> None:
        assert not self.started, "a second head"
        self.started = True
        self.heads.append(head)

    def _send(self, data: bytes) -> bool:
        assert self.ended is None, "bytes behind the end of the response"
        if self.breaks:
            self.leave()
            return False
        self.got += data
        self.bytes_out += len(data)
        return True

    def _end(self, how: str) -> None:
        assert self.ended is None
        self.ended = how
        self.exchange = self.source = self.head = self.pending_head = self.wants = None

    # ---- what a client does

    def arrive(self, upto: int) -> None:
        """More of the body comes."""
        self.arrived = max(self.arrived, min(upto, len(self.body)))
        if self.wants == "model" and (self.body_complete() or self.model() is not None):
            self.wants = None
            self.exchange.on_model()
        elif (self.wants == "body" and self.body_complete()) or (
            self.wants == "flow" and self.flows()
        ):
            self.wants = None
            self.exchange.on_body()

    def leave(self) -> None:
        """The client closes."""
        exchange = self.exchange
        if self.is_closed():
            return
        self.closed = True
        self._end("left")
        if exchange is not None:
            exchange.on_client_left()


def kind_of(body: bytes, expected: int, *, over: bool) -> ContentKind:
    """What a body is, by what there is of it."""
    text = body.lstrip(b" \t\r\n")
    if not text:
        return ContentKind.NOTHING if over else ContentKind.UNDECIDED_KIND
    if text.startswith((b"data:", b"event:", b":", b"id:", b"retry:")):
        return ContentKind.EVENT_STREAM
    if not text.startswith(b"{"):
        return ContentKind.PAGE if text.startswith(b"<") else ContentKind.TEXT
    try:
        found = json.loads(text)
    except ValueError:
        if b'"type":"message"' in text:
            return ContentKind.ANSWER
        return ContentKind.FOREIGN_JSON if over else ContentKind.JSON
    if found.get("type") == "message" or (
        found.get("error") is None and ("content" in found or expected == Expected.A_COUNT)
    ):
        return ContentKind.ANSWER
    return ContentKind.FOREIGN_JSON


class FakeTaps(Taps):
    """Taps whose JSON answer is given by the test."""

    def __init__(self) -> None:
        self.json_usage: bytes | None = None

    def usage(self) -> Usage | None:
        if self.sse is not None:
            return usage_of_stream(self.sse.start(), self.sse.delta())
        return usage_of_json(self.json_usage)

    def raw_usage(self) -> bytes | None:
        return self.json_usage


class FakeUpstream(Upstream):
    """A connection to a provider."""

    exchange: Any

    def __init__(self, pool: "FakePool") -> None:
        self.pool = pool
        self.down: Any = None
        self.closed = False
        self.between = True  # no tunnelled chunk is open
        self.sent: list[tuple[RequestPlan, bytes | None, bytes | None]] = []
        self.targets: list[tuple[bytes, bytes]] = []  # of the same: path, own header lines
        self._clear()

    def _clear(self) -> None:
        self.head = None
        self.mode = int(Mode.UNDECIDED)
        self.framing = int(Framing.KEEP)
        self.committed = self.any_byte = self.repairs = False
        self.taps = FakeTaps()
        self.expected = int(Expected.ANYTHING)
        self.whole_max = 0
        self.body = b""
        self.decoding: tuple[Any, bool] | None = None
        self.encoder: Any = None
        self.media_type = b""
        self.started_at = self.head_seen_at = 0.0
        self.extra = b""
        self.held = b""
        self.limit = 0  # of what is collected
        self.walked = False  # some of the body has come

    # ---- what an exchange asks for

    def is_closed(self) -> bool:
        return self.closed

    def send_request(
        self,
        exchange: Any,
        down: Any,
        plan: RequestPlan,
        model: bytes | None = None,
        body: bytes | None = None,
        path: bytes = b"/v1/messages",
        lines: bytes = b"",
    ) -> None:
        assert self.exchange is None
        assert not self.is_closed()
        assert self not in self.pool.idle
        assert not down.is_closed()
        assert down.source is None or down.source.is_closed(), "two attempts at once"
        assert down.can_replay() or body is not None or not down.is_spent, "a window is sent once"
        assert body is not None or down.length_known(), "a body without framing"
        down.reactor.trail.expect(exchange, ExchangeState.AWAITING_HEAD)
        self._clear()
        self.exchange, self.down = exchange, down
        self.uses += 1
        self.started_at = down.reactor.now
        self.sent.append((plan, model, body))
        self.targets.append((path, lines))
        assert exchange.attempt is not None
        self.pool.sends.append((exchange, exchange.attempt.target))
        down.source = self
        down.pending_head = None
        down.is_spent = True

    def expect(self, expected: int, whole_max: int = 0) -> None:
        assert self.mode == Mode.UNDECIDED
        self.expected, self.whole_max = expected, whole_max
        self.taps.sse = None
        self.taps.kind = int(ContentKind.UNDECIDED_KIND)

    def decode(self, decoder: Any, for_client: bool) -> None:
        assert self.mode == Mode.UNDECIDED
        self.decoding = decoder, for_client

    def encode(self, encoder: Any) -> None:
        assert self.mode == Mode.UNDECIDED
        self.encoder = encoder

    def forward(
        self,
        mode: int,
        framing: int,
        with_head: bool,
        extra: bytes = b"",
        repairs: bool = False,
        media_type: bytes = b"",
    ) -> None:
        assert self.mode == Mode.UNDECIDED
        assert framing != Framing.KEEP or self.encoder is None
        self.down.reactor.trail.expect(self.exchange, ExchangeState.HOLDING)
        self.mode, self.framing, self.repairs = mode, framing, repairs
        self.extra, self.media_type = extra, media_type
        if with_head:
            if framing == Framing.CLOSE or not self.down.body_complete:
                self.down.keep_alive = False
            self.down.pending_head = b"upstream %d" % self.head.status
        else:
            assert self.down.started
        self.committed = mode == Mode.FORWARD

    def collect(self, limit: int) -> None:
        assert self.mode in (Mode.UNDECIDED, Mode.HOLD)
        assert limit > 0
        self.held = self.body
        self.down.reactor.trail.expect(self.exchange, ExchangeState.COLLECTING_ERROR)
        self.limit = limit
        self.mode = int(Mode.COLLECT)

    def release(self) -> None:
        self._commit(b"")

    def drop(self) -> None:
        self.exchange = self.down = None
        self.closed = True

    def park(self) -> None:
        self.uses = self.uses or 1
        self.exchange = self.down = None

    def retire(self) -> None:
        self.closed = True

    def is_event_stream(self) -> bool:
        return self.taps.sse is not None

    def keeps_framing(self) -> bool:
        chunked: bool = self.head.chunked or self.head.content_length >= 0
        return chunked

    def may_insert(self) -> bool:
        packed = self.head.get(b"content-encoding") is not None
        decoded = self.decoding is not None and self.decoding[1]
        if self.head.content_length >= 0 or (packed and not decoded):
            return False
        if self.mode == Mode.HOLD:
            return self.taps.sse is not None or self.taps.declared
        if self.taps.sse is None or self.taps.sse.stopped or not self.taps.sse.at_boundary:
            return False
        if self.framing == Framing.KEEP and self.head.chunked:
            return self.between and self.walked
        return True

    # ---- what a provider does

    def respond(self, data: bytes) -> None:
        """A response head comes."""
        parsed = parse_response(data)
        assert parsed is not None
        self.any_byte = True
        self.head = parsed[0]
        self.head_seen_at = self.down.reactor.now
        kind, coding = self.head.get(b"content-type"), self.head.get(b"content-encoding")
        self.taps.declared = (kind or b"").startswith(b"text/event-stream")
        if coding is None and self.taps.declared:
            self.taps.sse = SseTap()
        self.exchange.on_head(self)

    def _verdict(self, *, over: bool = False) -> int:
        """What the taps would say of the body so far."""
        taps = self.taps
        if self.expected and taps.sse is None:
            taps.kind = int(kind_of(self.body, self.expected, over=over))
            if taps.kind == ContentKind.EVENT_STREAM:
                taps.sse = SseTap()
                taps.sse.feed_bytes(self.body)
        if taps.sse is not None:
            return taps.sse.verdict
        if not self.expected or taps.kind == ContentKind.ANSWER:
            return int(Verdict.CONTENT)
        if taps.kind in (ContentKind.UNDECIDED_KIND, ContentKind.JSON):
            return int(Verdict.WAITING)
        return int(Verdict.FAILED)

    def feed(self, data: bytes) -> None:
        """Some of the body comes."""
        self.walked = True
        data, broken = self._decoded(data)
        self.body += data
        if self.taps.sse is not None:
            self.taps.sse.feed_bytes(data)
        verdict = self._verdict()
        is_content = self.taps.sse is not None and verdict >= Verdict.CONTENT
        if is_content and not self.taps.first_event_at:
            self.taps.first_event_at = self.down.reactor.now
        if self.mode == Mode.COLLECT:
            self._collected(data)
            return
        try:
            self._pass_on(data if self.encoder is None else self.encoder.encode(data), verdict)
        except ValueError:
            broken = True
        if self.exchange is not None and self.mode == Mode.HOLD and verdict == Verdict.FAILED:
            self.exchange.on_held_error(self)
        elif self.exchange is not None and broken:
            self.lose(Loss.GARBAGE)

    def _decoded(self, data: bytes) -> tuple[bytes, bool]:
        """What a decoder makes of it for the client, and whether it can go on."""
        decoder, for_client = self.decoding or (None, False)
        if decoder is None or not for_client:
            return data, False
        pieces = []
        while data:
            try:
                piece, data = decoder.decode(data, 262_144)
            except ValueError:
                return b"".join(pieces), True
            pieces.append(piece)
        return b"".join(pieces), False

    def _collected(self, data: bytes) -> None:
        if len(self.held) + len(data) <= self.limit:
            self.held += data
        elif self.head.status < 400 and self.taps.kind != ContentKind.ANSWER:
            self.finish(reusable=False)  # enough of what is no answer
        else:
            self.lose(Loss.TOO_BIG)

    def _pass_on(self, data: bytes, verdict: int) -> None:
        """`data` as the client gets it."""
        if self.mode == Mode.FORWARD:
            self.down.forward(data)
        elif verdict == Verdict.CONTENT or len(self.held) + len(data) > HOLD_MAX:
            if self.whole_max and self.taps.sse is None:
                self.mode, self.held = int(Mode.COLLECT), self.body
                self.limit = self.whole_max
            else:
                self._commit(data)
        else:
            self.held += data

    def _commit(self, data: bytes) -> None:
        held, self.held = self.held, b""
        self.mode = int(Mode.FORWARD)
        self.committed = True
        if self.exchange is not None:
            self.exchange.on_commit(self)
            self.down.reactor.trail.expect(self.exchange, ExchangeState.STREAMING)
        if held:
            self.down.forward(held)
        if data and self.down is not None:
            self.down.forward(data)

    def finish(self, *, reusable: bool = True) -> None:
        """The response is whole."""
        exchange, down = self.exchange, self.down
        if self.mode == Mode.HOLD and self._verdict(over=True) != Verdict.CONTENT:
            exchange.on_held_error(self)
        if self.exchange is exchange and self.mode == Mode.HOLD:
            self._commit(b"")
        if self.exchange is not exchange:
            return
        sse = self.taps.sse
        if self.mode == Mode.FORWARD and sse is not None and not sse.stopped:
            exchange.on_unfinished(self)
        chunks = self.framing == Framing.CHUNKED and self.mode == Mode.FORWARD
        if chunks and self.exchange is not None:
            down.forward(b"0\r\n\r\n")
        if self.exchange is not None and self.mode == Mode.FORWARD and down.pending_head:
            down.forward(b"")
        if self.exchange is None:
            return
        if self.mode == Mode.COLLECT:
            down.source = None
            exchange.on_collected(self, self.held)
        else:
            exchange.on_done(self)
            if self.mode == Mode.FORWARD and not down.is_closed() and down.source is self:
                down.complete()
        if self.exchange is exchange:
            self._settle(reusable)

    def _settle(self, reusable: bool) -> None:
        self.exchange = self.down = None
        if reusable and not self.is_closed():
            self.park()
            self.pool.give(self)
        else:
            self.closed = True

    def lose(self, reason: int) -> None:
        """The connection breaks, or one of its time limits passes."""
        exchange = self.exchange
        if self.down.source is self:
            self.down.source = None
        self.closed = True
        self.exchange = None
        before = exchange.outcome.attempts
        exchange.on_lost(self, int(reason))
        if exchange.outcome.attempts < before:
            self.pool.stale.append(exchange)
        self.down = None


class FakePool(ConnectionPool):
    """Connections of one endpoint; dials end when the test says so."""

    def __init__(self, trail: Trail) -> None:
        self.trail = trail
        self.idle: list[FakeUpstream] = []
        self.dials: list[Callable[[Any, Any], None]] = []
        self.all: list[FakeUpstream] = []
        self.sends: list[tuple[Exchange, Target | None]] = []
        self.refused: list[Exchange] = []  # whose dials failed
        self.sessions: list[FakeUpstream] = []
        self.stale: list[Exchange] = []  # whose pooled connection was replaced: the same attempt

    def add_idle(self) -> FakeUpstream:
        upstream = FakeUpstream(self)
        upstream.park()
        self.all.append(upstream)
        self.idle.append(upstream)
        return upstream

    def take(self) -> FakeUpstream | None:
        return self.idle.pop() if self.idle else None

    def give(self, upstream: Any) -> None:
        assert upstream not in self.idle
        assert upstream.exchange is None
        assert not upstream.is_closed()
        self.idle.append(upstream)

    def dial(self, ready: Callable[[Any, Any], None]) -> None:
        exchange: Exchange = ready.__self__  # type: ignore[attr-defined]
        self.trail.expect(exchange, ExchangeState.CONNECTING)
        self.dials.append(ready)

    def learned(self, upstream: FakeUpstream) -> None:
        self.sessions.append(upstream)

    def connect(self) -> FakeUpstream:
        """The oldest dial succeeds."""
        upstream = FakeUpstream(self)
        self.all.append(upstream)
        self.dials.pop(0)(upstream, None)
        return upstream

    def connect_for(self, exchange: Exchange) -> FakeUpstream:
        """The dial of this exchange succeeds."""
        at = next(n for n, ready in enumerate(self.dials) if ready.__self__ is exchange)  # type: ignore[attr-defined]
        self.dials.insert(0, self.dials.pop(at))
        return self.connect()

    def refuse(self, error: RelayError) -> None:
        """The oldest dial fails."""
        ready = self.dials.pop(0)
        exchange: Exchange = ready.__self__  # type: ignore[attr-defined]
        if not exchange.settled:
            self.refused.append(exchange)
        ready(None, error)


class FakeLog:
    """Keeps log entries."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.events: list[str] = []
        self.entries: list[tuple[str, str, dict[str, Any]]] = []  # level, name, members

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append(name)
        self.entries.append((level, name, fields))

    def exchange(self, entry: Any) -> None:
        self.records.append(entry.members())

    def members(self, name: str) -> list[dict[str, Any]]:
        """The members of each event of this name."""
        return [fields for _, event, fields in self.entries if event == name]


class FakeWorker:
    """Jobs on large bodies; nothing is done until `work`."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Begin, Ready]] = []

    def run(self, client: int, begin: Begin, ready: Ready, timeout_s: float) -> None:
        assert timeout_s >= 0.0
        self.waiting.append((begin, ready))

    def work(self, at: int = 0) -> None:
        """Do one of the jobs."""
        begin, ready = self.waiting.pop(at)
        try:
            job = begin()
            result = job() if job is not None else None
        except RelayError as error:
            ready(None, error)
        else:
            if job is not None:
                ready(result, None)


class FakeRelay:
    """A worker's context and configuration. Providers share one memory, as in a worker.

    Without a configuration they are taken in the order they are given.
    """

    queue_class = PendingQueue

    def __init__(self, *providers: Provider, config: Config | None = None) -> None:
        self.reactor = FakeReactor()
        self.loop = FakeLoop(self.reactor)
        self.log = FakeLog()
        self.rng = random.Random(5)
        self.wall_offset = 1_700_000_000.0
        self.memory = SharedMemory.private(workers=2, targets=64, endpoints=16, bindings=64)
        self.affinity = AffinityTable(self.memory)
        self.worker = FakeWorker()
        self.queue = self.queue_class(self.loop, self.reactor)  # type: ignore[arg-type]
        self.context = WorkerContext(
            reactor=self.reactor,
            log=self.log,
            rng=self.rng,
            wall=self.wall,
            affinity=self.affinity,
            budget=RetryBudget(self.memory),
            queue=self.queue,
            worker=self.worker,  # type: ignore[arg-type]
            id_prefix="req_",
            records=RecordRing(self.memory),
            loop=self.loop,  # type: ignore[arg-type]
        )
        self.credentials = CredentialStore()
        self.pools: dict[str, FakePool] = {}
        self._slots: dict[str, int] = {}
        self.configure(*(providers or (provider(),)), config=config or IN_ORDER)

    def runtime_config(self, config: Config, providers: Sequence[Provider]) -> RuntimeConfig:
        """The running form of a configuration."""

        # Slots stay with their credentials, as the supervisor has it.
        def slot_of(name: str) -> int:
            return self._slots.setdefault(name, len(self._slots))

        targets = {
            one.name: [slot_of(f"{one.name} {key.key}") for key in one.keys]
            or [slot_of(f"{one.name} no key")]
            for one in providers
        }
        for one in providers:
            self.pools.setdefault(one.name, FakePool(self.reactor.trail))
        names = list(self.pools)
        layout = Layout(targets, {one.name: names.index(one.name) for one in providers})
        states = [
            ProviderState(
                one,
                config.health,
                memory=self.memory,
                slots=layout.targets[one.name],
                endpoint_slot=layout.endpoints[one.name],
                on_change=self._breaker_changed,
                credentials=self.credentials,
            )
            for one in providers
        ]
        return RuntimeConfig(config, states, dict(self.pools), Authenticator(config.server))  # type: ignore[arg-type]

    def configure(self, *providers: Provider, config: Config | None = None) -> None:
        """Put a configuration in force; requests that are queued keep theirs."""
        self.context.config = self.runtime_config(config or self.config, providers)

    def _breaker_changed(self, name: str, _old: State, new: State) -> None:
        self.log.event("warning", "breaker", provider=name, state=new.name.lower())
        self.queue.poke()

    @property
    def config(self) -> Config:
        return self.context.config.config

    @property
    def providers(self) -> list[ProviderState]:
        return self.context.config.providers

    @property
    def active(self) -> set[Exchange]:
        return self.context.active

    def wall(self) -> float:
        return self.wall_offset + self.reactor.now

    def take_credentials(self, *issued: IssuedCredential) -> None:
        """As `Relay.take_credentials`."""
        self.credentials.update(issued)
        if end_lacks(self.providers, self.reactor.now, self.wall()):
            self.queue.poke()

    def reload(self, *providers: Provider, config: Config | None = None) -> None:
        """As `Relay.reload`: queued requests are routed again, the others go on as they were."""
        self.configure(*providers, config=config)
        queued = self.queue.waiters()
        for exchange in queued:
            self.queue.leave(exchange)
        for exchange in queued:
            exchange.reroute()

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what is due on the way is called."""
        ends_at = self.reactor.now + seconds
        self.loop.run()
        while self.loop.next_at <= ends_at:
            self.reactor.now = max(self.loop.next_at, self.reactor.now)
            self.loop.run()
        self.reactor.now = ends_at

    def open(
        self,
        down: FakeDown,
        kind: RequestClass = RequestClass.MESSAGES,
        auth: ClientAuth | None = None,
    ) -> Exchange:
        """An exchange for the request of a client, as the dispatcher opens it; not yet routed."""
        exchange = Exchange(self.context, down, int(kind), auth or ClientAuth(False, False, False))
        down.exchange = exchange
        self.active.add(exchange)
        self.reactor.trail.see(exchange)
        return exchange

    def request(
        self,
        down: FakeDown,
        kind: RequestClass = RequestClass.MESSAGES,
        auth: ClientAuth | None = None,
        *,
        is_packed: bool = False,
    ) -> Exchange:
        """The same, started as the dispatcher starts it."""
        exchange = self.open(down, kind, auth)
        try:
            exchange.start(is_packed)
        except RelayError as error:
            exchange.fail(error)
        return exchange

    def written(self) -> list[Record]:
        """The records of all exchanges that are over, as the manager reads them."""
        frames, _ = RecordReader(self.memory, 0).read(0, 1 << 20)
        return [msgspec.msgpack.decode(frame, type=Record) for frame in frames]

    def upstreams(self) -> "list[FakeUpstream]":
        return [upstream for pool in self.pools.values() for upstream in pool.all]

    def in_flight(self) -> int:
        return sum(one.key_pool.in_flight for one in self.providers)
