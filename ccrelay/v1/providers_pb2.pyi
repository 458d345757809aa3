from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Billing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BILLING_UNSPECIFIED: _ClassVar[Billing]
    BILLING_TOKENS: _ClassVar[Billing]
    BILLING_PLAN: _ClassVar[Billing]
    BILLING_FREE: _ClassVar[Billing]

class ProbeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROBE_KIND_UNSPECIFIED: _ClassVar[ProbeKind]
    PROBE_KIND_CONNECT: _ClassVar[ProbeKind]
    PROBE_KIND_COUNT_TOKENS: _ClassVar[ProbeKind]
    PROBE_KIND_MESSAGE: _ClassVar[ProbeKind]
BILLING_UNSPECIFIED: Billing
BILLING_TOKENS: Billing
BILLING_PLAN: Billing
BILLING_FREE: Billing
PROBE_KIND_UNSPECIFIED: ProbeKind
PROBE_KIND_CONNECT: ProbeKind
PROBE_KIND_COUNT_TOKENS: ProbeKind
PROBE_KIND_MESSAGE: ProbeKind

class Provider(_message.Message):
    __slots__ = ("name", "type", "base_url", "enabled", "weight", "priority", "billing", "breaker", "first_event_ms", "keys", "models", "overrides")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    BILLING_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    FIRST_EVENT_MS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    base_url: str
    enabled: bool
    weight: int
    priority: int
    billing: Billing
    breaker: Breaker
    first_event_ms: float
    keys: _containers.RepeatedCompositeFieldContainer[Key]
    models: _containers.RepeatedScalarFieldContainer[str]
    overrides: _containers.RepeatedCompositeFieldContainer[Override]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., base_url: _Optional[str] = ..., enabled: bool = ..., weight: _Optional[int] = ..., priority: _Optional[int] = ..., billing: _Optional[_Union[Billing, str]] = ..., breaker: _Optional[_Union[Breaker, _Mapping]] = ..., first_event_ms: _Optional[float] = ..., keys: _Optional[_Iterable[_Union[Key, _Mapping]]] = ..., models: _Optional[_Iterable[str]] = ..., overrides: _Optional[_Iterable[_Union[Override, _Mapping]]] = ...) -> None: ...

class Breaker(_message.Message):
    __slots__ = ("state", "since_ms", "resumes_at_ms", "failures")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Breaker.State]
        STATE_CLOSED: _ClassVar[Breaker.State]
        STATE_OPEN: _ClassVar[Breaker.State]
        STATE_HALF_OPEN: _ClassVar[Breaker.State]
    STATE_UNSPECIFIED: Breaker.State
    STATE_CLOSED: Breaker.State
    STATE_OPEN: Breaker.State
    STATE_HALF_OPEN: Breaker.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    RESUMES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    state: Breaker.State
    since_ms: int
    resumes_at_ms: int
    failures: int
    def __init__(self, state: _Optional[_Union[Breaker.State, str]] = ..., since_ms: _Optional[int] = ..., resumes_at_ms: _Optional[int] = ..., failures: _Optional[int] = ...) -> None: ...

class Key(_message.Message):
    __slots__ = ("name", "fingerprint", "state", "enabled", "in_flight", "room", "cooldown_until_ms", "cooldown_reason", "group_cooldowns", "windows", "weight", "priority", "today", "overrides", "first_event_ms")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Key.State]
        STATE_IDLE: _ClassVar[Key.State]
        STATE_IN_USE: _ClassVar[Key.State]
        STATE_COOLDOWN: _ClassVar[Key.State]
        STATE_FULL: _ClassVar[Key.State]
        STATE_REFUSED: _ClassVar[Key.State]
        STATE_DISABLED: _ClassVar[Key.State]
    STATE_UNSPECIFIED: Key.State
    STATE_IDLE: Key.State
    STATE_IN_USE: Key.State
    STATE_COOLDOWN: Key.State
    STATE_FULL: Key.State
    STATE_REFUSED: Key.State
    STATE_DISABLED: Key.State
    NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    COOLDOWN_REASON_FIELD_NUMBER: _ClassVar[int]
    GROUP_COOLDOWNS_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TODAY_FIELD_NUMBER: _ClassVar[int]
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    FIRST_EVENT_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    fingerprint: str
    state: Key.State
    enabled: bool
    in_flight: int
    room: float
    cooldown_until_ms: int
    cooldown_reason: str
    group_cooldowns: _containers.RepeatedCompositeFieldContainer[GroupCooldown]
    windows: _containers.RepeatedCompositeFieldContainer[Window]
    weight: int
    priority: int
    today: Totals
    overrides: _containers.RepeatedCompositeFieldContainer[Override]
    first_event_ms: float
    def __init__(self, name: _Optional[str] = ..., fingerprint: _Optional[str] = ..., state: _Optional[_Union[Key.State, str]] = ..., enabled: bool = ..., in_flight: _Optional[int] = ..., room: _Optional[float] = ..., cooldown_until_ms: _Optional[int] = ..., cooldown_reason: _Optional[str] = ..., group_cooldowns: _Optional[_Iterable[_Union[GroupCooldown, _Mapping]]] = ..., windows: _Optional[_Iterable[_Union[Window, _Mapping]]] = ..., weight: _Optional[int] = ..., priority: _Optional[int] = ..., today: _Optional[_Union[Totals, _Mapping]] = ..., overrides: _Optional[_Iterable[_Union[Override, _Mapping]]] = ..., first_event_ms: _Optional[float] = ...) -> None: ...

class GroupCooldown(_message.Message):
    __slots__ = ("group", "until_ms")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    group: str
    until_ms: int
    def __init__(self, group: _Optional[str] = ..., until_ms: _Optional[int] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("name", "utilization", "used", "limit", "resets_at_ms", "length_s", "observed_at_ms", "full_at_ms", "utilization_at_reset", "status")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    RESETS_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LENGTH_S_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    FULL_AT_MS_FIELD_NUMBER: _ClassVar[int]
    UTILIZATION_AT_RESET_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    name: str
    utilization: float
    used: int
    limit: int
    resets_at_ms: int
    length_s: int
    observed_at_ms: int
    full_at_ms: int
    utilization_at_reset: float
    status: str
    def __init__(self, name: _Optional[str] = ..., utilization: _Optional[float] = ..., used: _Optional[int] = ..., limit: _Optional[int] = ..., resets_at_ms: _Optional[int] = ..., length_s: _Optional[int] = ..., observed_at_ms: _Optional[int] = ..., full_at_ms: _Optional[int] = ..., utilization_at_reset: _Optional[float] = ..., status: _Optional[str] = ...) -> None: ...

class Totals(_message.Message):
    __slots__ = ("exchanges", "failovers", "lost", "passed_on", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "billed_micros", "plan_micros", "saved_micros", "moved_micros", "moves", "unpriced")
    EXCHANGES_FIELD_NUMBER: _ClassVar[int]
    FAILOVERS_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    PASSED_ON_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BILLED_MICROS_FIELD_NUMBER: _ClassVar[int]
    PLAN_MICROS_FIELD_NUMBER: _ClassVar[int]
    SAVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    MOVED_MICROS_FIELD_NUMBER: _ClassVar[int]
    MOVES_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_FIELD_NUMBER: _ClassVar[int]
    exchanges: int
    failovers: int
    lost: int
    passed_on: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    billed_micros: int
    plan_micros: int
    saved_micros: int
    moved_micros: int
    moves: int
    unpriced: int
    def __init__(self, exchanges: _Optional[int] = ..., failovers: _Optional[int] = ..., lost: _Optional[int] = ..., passed_on: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cache_read_tokens: _Optional[int] = ..., cache_write_tokens: _Optional[int] = ..., billed_micros: _Optional[int] = ..., plan_micros: _Optional[int] = ..., saved_micros: _Optional[int] = ..., moved_micros: _Optional[int] = ..., moves: _Optional[int] = ..., unpriced: _Optional[int] = ...) -> None: ...

class Override(_message.Message):
    __slots__ = ("id", "provider", "key", "setting", "value", "file_value", "set_at_ms")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SETTING_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    FILE_VALUE_FIELD_NUMBER: _ClassVar[int]
    SET_AT_MS_FIELD_NUMBER: _ClassVar[int]
    id: str
    provider: str
    key: str
    setting: str
    value: str
    file_value: str
    set_at_ms: int
    def __init__(self, id: _Optional[str] = ..., provider: _Optional[str] = ..., key: _Optional[str] = ..., setting: _Optional[str] = ..., value: _Optional[str] = ..., file_value: _Optional[str] = ..., set_at_ms: _Optional[int] = ...) -> None: ...

class ProvidersListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProvidersListResponse(_message.Message):
    __slots__ = ("providers",)
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedCompositeFieldContainer[Provider]
    def __init__(self, providers: _Optional[_Iterable[_Union[Provider, _Mapping]]] = ...) -> None: ...

class ProvidersWatchRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ProvidersWatchResponse(_message.Message):
    __slots__ = ("providers", "removed")
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedCompositeFieldContainer[Provider]
    removed: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, providers: _Optional[_Iterable[_Union[Provider, _Mapping]]] = ..., removed: _Optional[_Iterable[str]] = ...) -> None: ...

class ProbeRequest(_message.Message):
    __slots__ = ("provider", "key", "kind", "model")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    provider: str
    key: str
    kind: ProbeKind
    model: str
    def __init__(self, provider: _Optional[str] = ..., key: _Optional[str] = ..., kind: _Optional[_Union[ProbeKind, str]] = ..., model: _Optional[str] = ...) -> None: ...

class ProbeResponse(_message.Message):
    __slots__ = ("ok", "latency_ms", "status", "message", "model", "cost_micros")
    OK_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COST_MICROS_FIELD_NUMBER: _ClassVar[int]
    ok: bool
    latency_ms: float
    status: int
    message: str
    model: str
    cost_micros: int
    def __init__(self, ok: bool = ..., latency_ms: _Optional[float] = ..., status: _Optional[int] = ..., message: _Optional[str] = ..., model: _Optional[str] = ..., cost_micros: _Optional[int] = ...) -> None: ...

class SetEnabledRequest(_message.Message):
    __slots__ = ("provider", "enabled")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    provider: str
    enabled: bool
    def __init__(self, provider: _Optional[str] = ..., enabled: bool = ...) -> None: ...

class SetEnabledResponse(_message.Message):
    __slots__ = ("provider",)
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    provider: Provider
    def __init__(self, provider: _Optional[_Union[Provider, _Mapping]] = ...) -> None: ...

class SetKeyEnabledRequest(_message.Message):
    __slots__ = ("provider", "key", "enabled")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    provider: str
    key: str
    enabled: bool
    def __init__(self, provider: _Optional[str] = ..., key: _Optional[str] = ..., enabled: bool = ...) -> None: ...

class SetKeyEnabledResponse(_message.Message):
    __slots__ = ("provider",)
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    provider: Provider
    def __init__(self, provider: _Optional[_Union[Provider, _Mapping]] = ...) -> None: ...

class ClearCooldownRequest(_message.Message):
    __slots__ = ("provider", "key")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    provider: str
    key: str
    def __init__(self, provider: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class ClearCooldownResponse(_message.Message):
    __slots__ = ("cleared", "provider")
    CLEARED_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    cleared: int
    provider: Provider
    def __init__(self, cleared: _Optional[int] = ..., provider: _Optional[_Union[Provider, _Mapping]] = ...) -> None: ...

class SetWeightRequest(_message.Message):
    __slots__ = ("provider", "key", "weight")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    provider: str
    key: str
    weight: int
    def __init__(self, provider: _Optional[str] = ..., key: _Optional[str] = ..., weight: _Optional[int] = ...) -> None: ...

class SetWeightResponse(_message.Message):
    __slots__ = ("provider",)
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    provider: Provider
    def __init__(self, provider: _Optional[_Union[Provider, _Mapping]] = ...) -> None: ...

class ListOverridesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListOverridesResponse(_message.Message):
    __slots__ = ("overrides",)
    OVERRIDES_FIELD_NUMBER: _ClassVar[int]
    overrides: _containers.RepeatedCompositeFieldContainer[Override]
    def __init__(self, overrides: _Optional[_Iterable[_Union[Override, _Mapping]]] = ...) -> None: ...

class WriteOverridesRequest(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class WriteOverridesResponse(_message.Message):
    __slots__ = ("file", "revision")
    FILE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    file: str
    revision: int
    def __init__(self, file: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class DropOverridesRequest(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, ids: _Optional[_Iterable[str]] = ...) -> None: ...

class DropOverridesResponse(_message.Message):
    __slots__ = ("dropped",)
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    dropped: int
    def __init__(self, dropped: _Optional[int] = ...) -> None: ...
