from ccrelay.v1 import providers_pb2 as _providers_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Dimension(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIMENSION_UNSPECIFIED: _ClassVar[Dimension]
    DIMENSION_PROVIDER: _ClassVar[Dimension]
    DIMENSION_MODEL: _ClassVar[Dimension]
    DIMENSION_KEY: _ClassVar[Dimension]
    DIMENSION_CLASS: _ClassVar[Dimension]
    DIMENSION_SESSION: _ClassVar[Dimension]
    DIMENSION_PROJECT: _ClassVar[Dimension]
    DIMENSION_AGENT: _ClassVar[Dimension]
    DIMENSION_DAY: _ClassVar[Dimension]
    DIMENSION_HOUR: _ClassVar[Dimension]
    DIMENSION_RULE: _ClassVar[Dimension]

class ExportFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_FORMAT_UNSPECIFIED: _ClassVar[ExportFormat]
    EXPORT_FORMAT_JSON_LINES: _ClassVar[ExportFormat]
    EXPORT_FORMAT_CSV: _ClassVar[ExportFormat]
DIMENSION_UNSPECIFIED: Dimension
DIMENSION_PROVIDER: Dimension
DIMENSION_MODEL: Dimension
DIMENSION_KEY: Dimension
DIMENSION_CLASS: Dimension
DIMENSION_SESSION: Dimension
DIMENSION_PROJECT: Dimension
DIMENSION_AGENT: Dimension
DIMENSION_DAY: Dimension
DIMENSION_HOUR: Dimension
DIMENSION_RULE: Dimension
EXPORT_FORMAT_UNSPECIFIED: ExportFormat
EXPORT_FORMAT_JSON_LINES: ExportFormat
EXPORT_FORMAT_CSV: ExportFormat

class QueryRequest(_message.Message):
    __slots__ = ("group_by", "since_ms", "until_ms", "filter", "page_size", "page_token")
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    group_by: _containers.RepeatedScalarFieldContainer[Dimension]
    since_ms: int
    until_ms: int
    filter: str
    page_size: int
    page_token: str
    def __init__(self, group_by: _Optional[_Iterable[_Union[Dimension, str]]] = ..., since_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., filter: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class UsageRow(_message.Message):
    __slots__ = ("group", "totals")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    group: _containers.RepeatedScalarFieldContainer[str]
    totals: _providers_pb2.Totals
    def __init__(self, group: _Optional[_Iterable[str]] = ..., totals: _Optional[_Union[_providers_pb2.Totals, _Mapping]] = ...) -> None: ...

class QueryResponse(_message.Message):
    __slots__ = ("rows", "total", "next_page_token", "prices_version", "today_expected_micros")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PRICES_VERSION_FIELD_NUMBER: _ClassVar[int]
    TODAY_EXPECTED_MICROS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[UsageRow]
    total: _providers_pb2.Totals
    next_page_token: str
    prices_version: str
    today_expected_micros: int
    def __init__(self, rows: _Optional[_Iterable[_Union[UsageRow, _Mapping]]] = ..., total: _Optional[_Union[_providers_pb2.Totals, _Mapping]] = ..., next_page_token: _Optional[str] = ..., prices_version: _Optional[str] = ..., today_expected_micros: _Optional[int] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("format", "since_ms", "until_ms", "filter")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    format: ExportFormat
    since_ms: int
    until_ms: int
    filter: str
    def __init__(self, format: _Optional[_Union[ExportFormat, str]] = ..., since_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., filter: _Optional[str] = ...) -> None: ...

class ExportResponse(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class PricesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ModelPrice(_message.Message):
    __slots__ = ("model", "provider", "configured", "input_micros", "output_micros", "cache_read_micros", "cache_write_5m_micros", "cache_write_1h_micros", "above_tokens")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    CONFIGURED_FIELD_NUMBER: _ClassVar[int]
    INPUT_MICROS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_MICROS_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_MICROS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_5M_MICROS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_1H_MICROS_FIELD_NUMBER: _ClassVar[int]
    ABOVE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    model: str
    provider: str
    configured: bool
    input_micros: int
    output_micros: int
    cache_read_micros: int
    cache_write_5m_micros: int
    cache_write_1h_micros: int
    above_tokens: int
    def __init__(self, model: _Optional[str] = ..., provider: _Optional[str] = ..., configured: bool = ..., input_micros: _Optional[int] = ..., output_micros: _Optional[int] = ..., cache_read_micros: _Optional[int] = ..., cache_write_5m_micros: _Optional[int] = ..., cache_write_1h_micros: _Optional[int] = ..., above_tokens: _Optional[int] = ...) -> None: ...

class PricesResponse(_message.Message):
    __slots__ = ("prices", "version")
    PRICES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    prices: _containers.RepeatedCompositeFieldContainer[ModelPrice]
    version: str
    def __init__(self, prices: _Optional[_Iterable[_Union[ModelPrice, _Mapping]]] = ..., version: _Optional[str] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("since_ms", "until_ms", "filter", "page_size", "page_token")
    SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    UNTIL_MS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    since_ms: int
    until_ms: int
    filter: str
    page_size: int
    page_token: str
    def __init__(self, since_ms: _Optional[int] = ..., until_ms: _Optional[int] = ..., filter: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("session", "project", "first_at_ms", "last_at_ms", "turns", "agents", "totals", "target", "model", "prompt_tokens")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    FIRST_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_AT_MS_FIELD_NUMBER: _ClassVar[int]
    TURNS_FIELD_NUMBER: _ClassVar[int]
    AGENTS_FIELD_NUMBER: _ClassVar[int]
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    session: str
    project: str
    first_at_ms: int
    last_at_ms: int
    turns: int
    agents: int
    totals: _providers_pb2.Totals
    target: str
    model: str
    prompt_tokens: int
    def __init__(self, session: _Optional[str] = ..., project: _Optional[str] = ..., first_at_ms: _Optional[int] = ..., last_at_ms: _Optional[int] = ..., turns: _Optional[int] = ..., agents: _Optional[int] = ..., totals: _Optional[_Union[_providers_pb2.Totals, _Mapping]] = ..., target: _Optional[str] = ..., model: _Optional[str] = ..., prompt_tokens: _Optional[int] = ...) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
