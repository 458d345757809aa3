from enum import IntEnum
from typing import Any, Protocol, TypeAlias

from ccrelay._fast.conn import Conn, Reactor
from ccrelay._fast.downstream import Downstream
from ccrelay._fast.http1 import Head, RequestPlan
from ccrelay._fast.taps import Taps

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

class UpstreamLimits:
    first_byte_s: float
    idle_s: float
    total_s: float
    pool_idle_s: float
    event_bytes_max: int
    def __init__(
        self,
        *,
        first_byte_s: float,
        idle_s: float,
        total_s: float,
        pool_idle_s: float,
        event_bytes_max: int,
    ) -> None: ...

class Owner(Protocol):
    def on_idle_closed(self, upstream: Upstream) -> None: ...

class Upstream(Conn):
    # Whom it works for: an exchange, or whatever takes the same calls.
    exchange: Any
    session: Any
    # Whether `exchange.on_commit` is called when the first content goes on.
    tells: bool
    @property
    def uses(self) -> int: ...
    @property
    def head(self) -> Head | MaybeNone: ...
    @property
    def mode(self) -> int: ...
    @property
    def taps(self) -> Taps: ...
    @property
    def repairs(self) -> bool: ...
    @property
    def committed(self) -> bool: ...
    @property
    def any_byte(self) -> bool: ...
    @property
    def bytes_in(self) -> int: ...
    @property
    def started_at(self) -> float: ...
    @property
    def sent_at(self) -> float: ...
    @property
    def head_seen_at(self) -> float: ...
    @property
    def is_event_stream(self) -> bool: ...
    @property
    def may_insert(self) -> bool: ...
    @property
    def keeps_framing(self) -> bool: ...
    def __init__(self, reactor: Reactor, fd: int, pool: Owner, limits: UpstreamLimits) -> None: ...
    def send_request(
        self,
        exchange: Any,
        down: Downstream,
        plan: RequestPlan,
        model: bytes | None = None,
        body: bytes | None = None,
        path: bytes | None = None,
    ) -> None: ...
    def forward(
        self,
        mode: int,
        framing: int,
        with_head: bool,
        extra: bytes = b"",
        repairs: bool = False,
    ) -> None: ...
    def collect(self, limit: int) -> None: ...
    def release(self) -> None: ...
    def drop(self) -> None: ...
    def park(self) -> None: ...
    def retire(self) -> None: ...
