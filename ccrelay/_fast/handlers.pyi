from typing import Any

from ccrelay._fast.body import BodyLimits

class DownstreamLimits:
    head_bytes_max: int
    fields_max: int
    head_s: float
    body_idle_s: float
    keepalive_s: float
    write_stall_s: float
    wait_s: float
    body_rate_min: float
    body_slow_s: float
    def __init__(
        self,
        *,
        head_bytes_max: int,
        fields_max: int,
        body: BodyLimits,
        head_s: float,
        body_idle_s: float,
        keepalive_s: float,
        write_stall_s: float,
        wait_s: float,
        body_rate_min: float = ...,
        body_slow_s: float = ...,
    ) -> None: ...

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

class RequestHandler:
    def on_model(self) -> object: ...
    def on_body(self) -> object: ...
    def on_bad_body(self, fault: int) -> object: ...
    def on_slow_body(self) -> object: ...
    def on_body_stalls(self) -> object: ...
    def on_wait(self) -> object: ...
    def on_client_left(self) -> object: ...

class ConnectionPool:
    def give(self, upstream: Any) -> object: ...
    def on_idle_closed(self, upstream: Any) -> object: ...
