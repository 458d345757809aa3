from ccrelay.v1 import providers_pb2 as _providers_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_OK: _ClassVar[Outcome]
    OUTCOME_FAILOVER: _ClassVar[Outcome]
    OUTCOME_CLIENT_LEFT: _ClassVar[Outcome]
    OUTCOME_PASSED_ON: _ClassVar[Outcome]
    OUTCOME_REFUSED: _ClassVar[Outcome]
    OUTCOME_LOST: _ClassVar[Outcome]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_OK: Outcome
OUTCOME_FAILOVER: Outcome
OUTCOME_CLIENT_LEFT: Outcome
OUTCOME_PASSED_ON: Outcome
OUTCOME_REFUSED: Outcome
OUTCOME_LOST: Outcome

class Exchange(_message.Message):
    __slots__ = ("id", "started_at_ms", "duration_ms", "kind", "traffic_class", "model", "sent_model", "provider", "key", "key_fingerprint", "status", "outcome", "attempts", "session", "agent", "project", "tokens", "cost", "first_event_ms", "queued_ms", "own_us", "stream", "stop_reason", "error", "moved", "bytes_in", "bytes_out", "rule", "conversation")
    ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SENT_MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KEY_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    FIRST_EVENT_MS_FIELD_NUMBER: _ClassVar[int]
    QUEUED_MS_FIELD_NUMBER: _ClassVar[int]
    OWN_US_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    STOP_REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    id: str
    started_at_ms: int
    duration_ms: float
    kind: str
    traffic_class: str
    model: str
    sent_model: str
    provider: str
    key: str
    key_fingerprint: str
    status: int
    outcome: Outcome
    attempts: int
    session: str
    agent: str
    project: str
    tokens: Tokens
    cost: Cost
    first_event_ms: float
    queued_ms: float
    own_us: int
    stream: bool
    stop_reason: str
    error: str
    moved: bool
    bytes_in: int
    bytes_out: int
    rule: str
    conversation: str
    def __init__(self, id: _Optional[str] = ..., started_at_ms: _Optional[int] = ..., duration_ms: _Optional[float] = ..., kind: _Optional[str] = ..., traffic_class: _Optional[str] = ..., model: _Optional[str] = ..., sent_model: _Optional[str] = ..., provider: _Optional[str] = ..., key: _Optional[str] = ..., key_fingerprint: _Optional[str] = ..., status: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., attempts: _Optional[int] = ..., session: _Optional[str] = ..., agent: _Optional[str] = ..., project: _Optional[str] = ..., tokens: _Optional[_Union[Tokens, _Mapping]] = ..., cost: _Optional[_Union[Cost, _Mapping]] = ..., first_event_ms: _Optional[float] = ..., queued_ms: _Optional[float] = ..., own_us: _Optional[int] = ..., stream: bool = ..., stop_reason: _Optional[str] = ..., error: _Optional[str] = ..., moved: bool = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., rule: _Optional[str] = ..., conversation: _Optional[str] = ...) -> None: ...

class Tokens(_message.Message):
    __slots__ = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "thinking")
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_5M_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_1H_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    thinking: int
    def __init__(self, input: _Optional[int] = ..., output: _Optional[int] = ..., cache_read: _Optional[int] = ..., cache_write_5m: _Optional[int] = ..., cache_write_1h: _Optional[int] = ..., thinking: _Optional[int] = ...) -> None: ...

class Cost(_message.Message):
    __slots__ = ("known", "micros", "uncached_micros", "moved_micros", "billing", "prices_version")
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    UNCACHED_MICROS_FIELD_NUMBER: _ClassVar[int]
    MOVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    BILLING_FIELD_NUMBER: _ClassVar[int]
    PRICES_VERSION_FIELD_NUMBER: _ClassVar[int]
    known: bool
    micros: int
    uncached_micros: int
    moved_micros: int
    billing: _providers_pb2.Billing
    prices_version: str
    def __init__(self, known: bool = ..., micros: _Optional[int] = ..., uncached_micros: _Optional[int] = ..., moved_micros: _Optional[int] = ..., billing: _Optional[_Union[_providers_pb2.Billing, str]] = ..., prices_version: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("provider", "key", "started_ms", "duration_ms", "status", "verdict", "error", "sent_model")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SENT_MODEL_FIELD_NUMBER: _ClassVar[int]
    provider: str
    key: str
    started_ms: float
    duration_ms: float
    status: int
    verdict: str
    error: str
    sent_model: str
    def __init__(self, provider: _Optional[str] = ..., key: _Optional[str] = ..., started_ms: _Optional[float] = ..., duration_ms: _Optional[float] = ..., status: _Optional[int] = ..., verdict: _Optional[str] = ..., error: _Optional[str] = ..., sent_model: _Optional[str] = ...) -> None: ...

class Passed(_message.Message):
    __slots__ = ("target", "why")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    target: str
    why: str
    def __init__(self, target: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class Choice(_message.Message):
    __slots__ = ("rule", "strategy", "reason", "sentence", "passed")
    RULE_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    rule: str
    strategy: str
    reason: str
    sentence: str
    passed: _containers.RepeatedCompositeFieldContainer[Passed]
    def __init__(self, rule: _Optional[str] = ..., strategy: _Optional[str] = ..., reason: _Optional[str] = ..., sentence: _Optional[str] = ..., passed: _Optional[_Iterable[_Union[Passed, _Mapping]]] = ...) -> None: ...

class ExchangesListRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token", "since_ms", "until_ms")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    filter: str
    page_size: int
    page_token: str
    since_ms: int
    until_ms: int
    def __init__(self, filter: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., since_ms: _Optional[int] = ..., until_ms: _Optional[int] = ...) -> None: ...

class ExchangesListResponse(_message.Message):
    __slots__ = ("exchanges", "next_page_token")
    EXCHANGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    exchanges: _containers.RepeatedCompositeFieldContainer[Exchange]
    next_page_token: str
    def __init__(self, exchanges: _Optional[_Iterable[_Union[Exchange, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ExchangesGetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ExchangesGetResponse(_message.Message):
    __slots__ = ("exchange", "attempts", "choice", "bill")
    EXCHANGE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    BILL_FIELD_NUMBER: _ClassVar[int]
    exchange: Exchange
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    choice: Choice
    bill: _containers.RepeatedCompositeFieldContainer[BillLine]
    def __init__(self, exchange: _Optional[_Union[Exchange, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., choice: _Optional[_Union[Choice, _Mapping]] = ..., bill: _Optional[_Iterable[_Union[BillLine, _Mapping]]] = ...) -> None: ...

class BillLine(_message.Message):
    __slots__ = ("item", "tokens", "price_micros", "micros")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    PRICE_MICROS_FIELD_NUMBER: _ClassVar[int]
    MICROS_FIELD_NUMBER: _ClassVar[int]
    item: str
    tokens: int
    price_micros: int
    micros: int
    def __init__(self, item: _Optional[str] = ..., tokens: _Optional[int] = ..., price_micros: _Optional[int] = ..., micros: _Optional[int] = ...) -> None: ...

class TailRequest(_message.Message):
    __slots__ = ("filter", "last")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    filter: str
    last: int
    def __init__(self, filter: _Optional[str] = ..., last: _Optional[int] = ...) -> None: ...

class TailResponse(_message.Message):
    __slots__ = ("exchanges", "dropped")
    EXCHANGES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    exchanges: _containers.RepeatedCompositeFieldContainer[Exchange]
    dropped: int
    def __init__(self, exchanges: _Optional[_Iterable[_Union[Exchange, _Mapping]]] = ..., dropped: _Optional[int] = ...) -> None: ...

class Running(_message.Message):
    __slots__ = ("id", "started_at_ms", "phase", "kind", "traffic_class", "model", "sent_model", "provider", "key", "attempts", "session", "agent", "project", "first_event_ms", "bytes_out", "failed")
    class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PHASE_UNSPECIFIED: _ClassVar[Running.Phase]
        PHASE_PREPARING: _ClassVar[Running.Phase]
        PHASE_QUEUED: _ClassVar[Running.Phase]
        PHASE_CONNECTING: _ClassVar[Running.Phase]
        PHASE_AWAITING: _ClassVar[Running.Phase]
        PHASE_HOLDING: _ClassVar[Running.Phase]
        PHASE_STREAMING: _ClassVar[Running.Phase]
    PHASE_UNSPECIFIED: Running.Phase
    PHASE_PREPARING: Running.Phase
    PHASE_QUEUED: Running.Phase
    PHASE_CONNECTING: Running.Phase
    PHASE_AWAITING: Running.Phase
    PHASE_HOLDING: Running.Phase
    PHASE_STREAMING: Running.Phase
    ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_CLASS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SENT_MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    FIRST_EVENT_MS_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    id: str
    started_at_ms: int
    phase: Running.Phase
    kind: str
    traffic_class: str
    model: str
    sent_model: str
    provider: str
    key: str
    attempts: int
    session: str
    agent: str
    project: str
    first_event_ms: float
    bytes_out: int
    failed: str
    def __init__(self, id: _Optional[str] = ..., started_at_ms: _Optional[int] = ..., phase: _Optional[_Union[Running.Phase, str]] = ..., kind: _Optional[str] = ..., traffic_class: _Optional[str] = ..., model: _Optional[str] = ..., sent_model: _Optional[str] = ..., provider: _Optional[str] = ..., key: _Optional[str] = ..., attempts: _Optional[int] = ..., session: _Optional[str] = ..., agent: _Optional[str] = ..., project: _Optional[str] = ..., first_event_ms: _Optional[float] = ..., bytes_out: _Optional[int] = ..., failed: _Optional[str] = ...) -> None: ...

class WatchRunningRequest(_message.Message):
    __slots__ = ("interval_ms",)
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    interval_ms: int
    def __init__(self, interval_ms: _Optional[int] = ...) -> None: ...

class WatchRunningResponse(_message.Message):
    __slots__ = ("running", "total", "at_ms")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    running: _containers.RepeatedCompositeFieldContainer[Running]
    total: int
    at_ms: int
    def __init__(self, running: _Optional[_Iterable[_Union[Running, _Mapping]]] = ..., total: _Optional[int] = ..., at_ms: _Optional[int] = ...) -> None: ...
