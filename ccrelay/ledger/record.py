"""The record of an exchange that is over: what a worker tells the manager.

A worker writes records as msgpack arrays into its ring in the shared memory (`_fast.record_ring`);
the manager decodes them with these types. Members are in the order of the array. New ones go to the
end, with a default, so that a manager reads the records of an older worker; none is removed.

Prompts and answers are not part of a record.
"""

import enum

import msgspec


class Result(enum.IntEnum):
    """How an exchange went; numbers as in `ccrelay.v1.Outcome`."""

    OK = 1
    FAILOVER = 2
    CLIENT_LEFT = 3
    PASSED_ON = 4
    REFUSED = 5
    LOST = 6


class Why(enum.IntEnum):
    """Why the last target was taken; names as in `ccrelay.v1.Choice.reason`."""

    UNKNOWN = 0
    ONLY = 1  # the only target
    AFFINITY = 2  # the conversation's own target
    STRATEGY = 3
    QUEUE = 4  # after it had waited in the queue
    FAILOVER = 5  # after another target had failed
    LAST_RESORT = 6  # what is not asked otherwise: a refused key, another key of a failed endpoint
    PANIC = 7  # all breakers were open


class Billing(enum.IntEnum):
    """How tokens are paid; numbers as in `ccrelay.v1.Billing`."""

    UNKNOWN = 0
    TOKENS = 1
    PLAN = 2
    FREE = 3


class Try(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One attempt. Times in microseconds from the request."""

    provider: str
    key: str  # fingerprint
    key_name: str
    sent: str  # model
    started_us: int
    ended_us: int
    status: int
    verdict: str
    error: str


class WindowSeen(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An allowance that response headers told: `5h`, `7d`, `7d_sonnet`, `requests`, ..."""

    name: str
    utilization: float  # 0 to 1; negative: not told
    resets_at_ms: int  # since 1970; 0: not told
    limit: int  # 0: not told
    remaining: int
    status: str


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One exchange. Times in microseconds, sizes in bytes, money in millionths of a dollar."""

    id: str
    started_at_us: int  # since 1970
    duration_us: int
    kind: int  # RequestClass
    traffic: int  # TrafficClass; -1: not known
    model: str  # requested; empty: not known
    sent: str  # to the provider
    provider: str  # of the last attempt; empty: none
    key: str  # its fingerprint
    key_name: str
    status: int
    ending: int  # Ending
    result: int  # Result
    attempts: int
    bytes_in: int
    bytes_out: int
    has_usage: bool
    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    thinking: int
    head_us: int  # from the request to the head of the response; 0: none
    first_event_us: int  # to its first event; 0: none
    queued_us: int
    own_us: int  # the relay's own time: neither side was waited for
    stream: bool
    moved: bool
    stop_reason: str
    error: str
    rule: str
    strategy: str
    why: int  # Why
    conversation: int
    session: str
    agent: str
    project: str
    cost_micros: int  # -1: no price is known
    uncached_micros: int
    moved_micros: int
    billing: int  # Billing
    prices_version: str
    candidates: str  # `provider/key` of all targets for the model, separated by spaces
    passed: str  # `provider/key=why` of those that could not take it, separated by spaces
    tries: list[Try] = []  # only where there was more than one
    windows: list[WindowSeen] = []  # as often as limits are learned
    traceparent: str = ""  # of the request, W3C trace context
