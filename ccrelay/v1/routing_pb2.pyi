from ccrelay.v1 import exchanges_pb2 as _exchanges_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExplainRequest(_message.Message):
    __slots__ = ("model", "traffic_class", "tokens", "images", "thinking", "tools", "headers", "session")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_CLASS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    model: str
    traffic_class: str
    tokens: int
    images: bool
    thinking: bool
    tools: bool
    headers: _containers.ScalarMap[str, str]
    session: str
    def __init__(self, model: _Optional[str] = ..., traffic_class: _Optional[str] = ..., tokens: _Optional[int] = ..., images: bool = ..., thinking: bool = ..., tools: bool = ..., headers: _Optional[_Mapping[str, str]] = ..., session: _Optional[str] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("target", "sent_model", "available", "why", "available_at_ms", "room", "in_flight", "new_micros", "cached_micros", "first_event_ms", "left_out")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SENT_MODEL_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_AT_MS_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    NEW_MICROS_FIELD_NUMBER: _ClassVar[int]
    CACHED_MICROS_FIELD_NUMBER: _ClassVar[int]
    FIRST_EVENT_MS_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    target: str
    sent_model: str
    available: bool
    why: str
    available_at_ms: int
    room: float
    in_flight: int
    new_micros: int
    cached_micros: int
    first_event_ms: float
    left_out: _containers.RepeatedCompositeFieldContainer[RefusedFeature]
    def __init__(self, target: _Optional[str] = ..., sent_model: _Optional[str] = ..., available: bool = ..., why: _Optional[str] = ..., available_at_ms: _Optional[int] = ..., room: _Optional[float] = ..., in_flight: _Optional[int] = ..., new_micros: _Optional[int] = ..., cached_micros: _Optional[int] = ..., first_event_ms: _Optional[float] = ..., left_out: _Optional[_Iterable[_Union[RefusedFeature, _Mapping]]] = ...) -> None: ...

class RefusedFeature(_message.Message):
    __slots__ = ("feature", "until_ms")
    FEATURE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    feature: str
    until_ms: int
    def __init__(self, feature: _Optional[str] = ..., until_ms: _Optional[int] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("target", "sent_model", "choice", "traffic_class", "candidates", "ineligible", "rules_missed", "waits_ms", "affinity_target", "affinity_tokens")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    SENT_MODEL_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    TRAFFIC_CLASS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    INELIGIBLE_FIELD_NUMBER: _ClassVar[int]
    RULES_MISSED_FIELD_NUMBER: _ClassVar[int]
    WAITS_MS_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_TARGET_FIELD_NUMBER: _ClassVar[int]
    AFFINITY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    target: str
    sent_model: str
    choice: _exchanges_pb2.Choice
    traffic_class: str
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    ineligible: _containers.RepeatedCompositeFieldContainer[Ineligible]
    rules_missed: _containers.RepeatedCompositeFieldContainer[RuleMiss]
    waits_ms: int
    affinity_target: str
    affinity_tokens: int
    def __init__(self, target: _Optional[str] = ..., sent_model: _Optional[str] = ..., choice: _Optional[_Union[_exchanges_pb2.Choice, _Mapping]] = ..., traffic_class: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., ineligible: _Optional[_Iterable[_Union[Ineligible, _Mapping]]] = ..., rules_missed: _Optional[_Iterable[_Union[RuleMiss, _Mapping]]] = ..., waits_ms: _Optional[int] = ..., affinity_target: _Optional[str] = ..., affinity_tokens: _Optional[int] = ...) -> None: ...

class Ineligible(_message.Message):
    __slots__ = ("provider", "reasons")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, provider: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class RuleMiss(_message.Message):
    __slots__ = ("rule", "unmet")
    RULE_FIELD_NUMBER: _ClassVar[int]
    UNMET_FIELD_NUMBER: _ClassVar[int]
    rule: str
    unmet: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rule: _Optional[str] = ..., unmet: _Optional[_Iterable[str]] = ...) -> None: ...

class ListRulesRequest(_message.Message):
    __slots__ = ("since_ms",)
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    since_ms: int
    def __init__(self, since_ms: _Optional[int] = ...) -> None: ...

class RuleInfo(_message.Message):
    __slots__ = ("name", "when", "use", "matched", "last_matched_at_ms", "cost_micros")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    USE_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    LAST_MATCHED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    COST_MICROS_FIELD_NUMBER: _ClassVar[int]
    name: str
    when: _containers.RepeatedScalarFieldContainer[str]
    use: _containers.RepeatedScalarFieldContainer[str]
    matched: int
    last_matched_at_ms: int
    cost_micros: int
    def __init__(self, name: _Optional[str] = ..., when: _Optional[_Iterable[str]] = ..., use: _Optional[_Iterable[str]] = ..., matched: _Optional[int] = ..., last_matched_at_ms: _Optional[int] = ..., cost_micros: _Optional[int] = ...) -> None: ...

class ListRulesResponse(_message.Message):
    __slots__ = ("rules", "unmatched")
    RULES_FIELD_NUMBER: _ClassVar[int]
    UNMATCHED_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[RuleInfo]
    unmatched: int
    def __init__(self, rules: _Optional[_Iterable[_Union[RuleInfo, _Mapping]]] = ..., unmatched: _Optional[int] = ...) -> None: ...
