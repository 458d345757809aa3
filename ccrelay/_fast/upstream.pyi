from enum import IntEnum
from typing import Any, Protocol, TypeAlias

from ccrelay._fast.conn import Conn, Reactor
from ccrelay._fast.downstream import Downstream
from ccrelay._fast.handlers import ConnectionPool, RequestHandler, UpstreamLimits
from ccrelay._fast.head_writer import RequestPlan
from ccrelay._fast.http1 import Head
from ccrelay._fast.taps import Taps, _Decoder

# Is None between messages; whoever asks in between knows that.
MaybeNone: TypeAlias = Any

class Mode(IntEnum):
    UNDECIDED = 0
    FORWARD = 1
    HOLD = 2
    COLLECT = 3

class Loss(IntEnum):
    CLOSED = 1
    RESET = 2
    GARBAGE = 3
    NO_FIRST_BYTE = 4
    IDLE = 5
    TOTAL = 6
    TOO_BIG = 7

class _Encoder(Protocol):
    def encode(self, data: bytes, /) -> bytes: ...

class ExchangeHandler(RequestHandler):
    def on_head(self, upstream: Upstream) -> object: ...
    def on_held_error(self, upstream: Upstream) -> object: ...
    def on_commit(self, upstream: Upstream) -> object: ...
    def on_unfinished(self, upstream: Upstream) -> object: ...
    def on_collected(self, upstream: Upstream, body: bytes) -> object: ...
    def on_done(self, upstream: Upstream) -> object: ...
    def on_lost(self, upstream: Upstream, reason: int) -> object: ...

class Upstream(Conn):
    exchange: ExchangeHandler | None
    session: Any
    uses: int
    head: Head | MaybeNone
    mode: int
    taps: Taps
    repairs: bool
    committed: bool
    any_byte: bool
    @property
    def bytes_in(self) -> int: ...
    started_at: float
    sent_at: float
    head_seen_at: float
    forwarded_at: float
    def is_event_stream(self) -> bool: ...
    def may_insert(self) -> bool: ...
    def keeps_framing(self) -> bool: ...
    def __init__(
        self, reactor: Reactor, fd: int, pool: ConnectionPool, limits: UpstreamLimits
    ) -> None: ...
    def send_request(
        self,
        exchange: ExchangeHandler,
        down: Downstream,
        plan: RequestPlan,
        model: bytes | None = None,
        body: bytes | None = None,
        path: bytes = b"/v1/messages",
        lines: bytes = b"",
    ) -> None: ...
    def expect(self, expected: int, whole_max: int = 0) -> None: ...
    def decode(self, decoder: _Decoder | None, for_client: bool) -> None: ...
    def encode(self, encoder: _Encoder | None) -> None: ...
    def forward(
        self,
        mode: int,
        framing: int,
        with_head: bool,
        extra: bytes = b"",
        repairs: bool = False,
        media_type: bytes = b"",
    ) -> None: ...
    def collect(self, limit: int) -> None: ...
    def release(self) -> None: ...
    def drop(self) -> None: ...
    def park(self) -> None: ...
    def retire(self) -> None: ...
