from ccrelay.v1 import providers_pb2 as _providers_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(_message.Message):
    __slots__ = ("version", "pid", "started_at_ms", "listen", "config_file", "revision", "state", "workers", "in_flight", "queued", "providers", "today", "notices", "management", "answering", "at_ms", "strategy", "rules", "reload_problem")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Status.State]
        STATE_STARTING: _ClassVar[Status.State]
        STATE_SERVING: _ClassVar[Status.State]
        STATE_DRAINING: _ClassVar[Status.State]
    STATE_UNSPECIFIED: Status.State
    STATE_STARTING: Status.State
    STATE_SERVING: Status.State
    STATE_DRAINING: Status.State
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FILE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    TODAY_FIELD_NUMBER: _ClassVar[int]
    NOTICES_FIELD_NUMBER: _ClassVar[int]
    MANAGEMENT_FIELD_NUMBER: _ClassVar[int]
    ANSWERING_FIELD_NUMBER: _ClassVar[int]
    AT_MS_FIELD_NUMBER: _ClassVar[int]
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    RELOAD_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    version: str
    pid: int
    started_at_ms: int
    listen: _containers.RepeatedScalarFieldContainer[str]
    config_file: str
    revision: int
    state: Status.State
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    in_flight: int
    queued: int
    providers: _containers.RepeatedCompositeFieldContainer[_providers_pb2.Provider]
    today: _providers_pb2.Totals
    notices: _containers.RepeatedCompositeFieldContainer[Notice]
    management: Management
    answering: bool
    at_ms: int
    strategy: str
    rules: int
    reload_problem: str
    def __init__(self, version: _Optional[str] = ..., pid: _Optional[int] = ..., started_at_ms: _Optional[int] = ..., listen: _Optional[_Iterable[str]] = ..., config_file: _Optional[str] = ..., revision: _Optional[int] = ..., state: _Optional[_Union[Status.State, str]] = ..., workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ..., in_flight: _Optional[int] = ..., queued: _Optional[int] = ..., providers: _Optional[_Iterable[_Union[_providers_pb2.Provider, _Mapping]]] = ..., today: _Optional[_Union[_providers_pb2.Totals, _Mapping]] = ..., notices: _Optional[_Iterable[_Union[Notice, _Mapping]]] = ..., management: _Optional[_Union[Management, _Mapping]] = ..., answering: bool = ..., at_ms: _Optional[int] = ..., strategy: _Optional[str] = ..., rules: _Optional[int] = ..., reload_problem: _Optional[str] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("slot", "pid", "state", "started_at_ms")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    slot: int
    pid: int
    state: str
    started_at_ms: int
    def __init__(self, slot: _Optional[int] = ..., pid: _Optional[int] = ..., state: _Optional[str] = ..., started_at_ms: _Optional[int] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("severity", "subject", "message", "command")
    class Severity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        SEVERITY_UNSPECIFIED: _ClassVar[Notice.Severity]
        SEVERITY_WARNING: _ClassVar[Notice.Severity]
        SEVERITY_ERROR: _ClassVar[Notice.Severity]
    SEVERITY_UNSPECIFIED: Notice.Severity
    SEVERITY_WARNING: Notice.Severity
    SEVERITY_ERROR: Notice.Severity
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    severity: Notice.Severity
    subject: str
    message: str
    command: str
    def __init__(self, severity: _Optional[_Union[Notice.Severity, str]] = ..., subject: _Optional[str] = ..., message: _Optional[str] = ..., command: _Optional[str] = ...) -> None: ...

class Management(_message.Message):
    __slots__ = ("pid", "listen", "socket", "restarts", "ledger")
    PID_FIELD_NUMBER: _ClassVar[int]
    LISTEN_FIELD_NUMBER: _ClassVar[int]
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    pid: int
    listen: str
    socket: str
    restarts: int
    ledger: Ledger
    def __init__(self, pid: _Optional[int] = ..., listen: _Optional[str] = ..., socket: _Optional[str] = ..., restarts: _Optional[int] = ..., ledger: _Optional[_Union[Ledger, _Mapping]] = ...) -> None: ...

class Ledger(_message.Message):
    __slots__ = ("state", "path", "bytes", "written", "dropped", "pending", "problem", "prices_version")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Ledger.State]
        STATE_OK: _ClassVar[Ledger.State]
        STATE_FAILING: _ClassVar[Ledger.State]
        STATE_OFF: _ClassVar[Ledger.State]
    STATE_UNSPECIFIED: Ledger.State
    STATE_OK: Ledger.State
    STATE_FAILING: Ledger.State
    STATE_OFF: Ledger.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    PRICES_VERSION_FIELD_NUMBER: _ClassVar[int]
    state: Ledger.State
    path: str
    bytes: int
    written: int
    dropped: int
    pending: int
    problem: str
    prices_version: str
    def __init__(self, state: _Optional[_Union[Ledger.State, str]] = ..., path: _Optional[str] = ..., bytes: _Optional[int] = ..., written: _Optional[int] = ..., dropped: _Optional[int] = ..., pending: _Optional[int] = ..., problem: _Optional[str] = ..., prices_version: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: Status
    def __init__(self, status: _Optional[_Union[Status, _Mapping]] = ...) -> None: ...

class WatchStatusRequest(_message.Message):
    __slots__ = ("interval_ms",)
    INTERVAL_MS_FIELD_NUMBER: _ClassVar[int]
    interval_ms: int
    def __init__(self, interval_ms: _Optional[int] = ...) -> None: ...

class WatchStatusResponse(_message.Message):
    __slots__ = ("status", "whole", "removed_providers")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    REMOVED_PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    status: Status
    whole: bool
    removed_providers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, status: _Optional[_Union[Status, _Mapping]] = ..., whole: bool = ..., removed_providers: _Optional[_Iterable[str]] = ...) -> None: ...

class ReloadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadResponse(_message.Message):
    __slots__ = ("changed", "revision", "warnings")
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    changed: bool
    revision: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changed: bool = ..., revision: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ("in_flight", "limit_s")
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_S_FIELD_NUMBER: _ClassVar[int]
    in_flight: int
    limit_s: float
    def __init__(self, in_flight: _Optional[int] = ..., limit_s: _Optional[float] = ...) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopResponse(_message.Message):
    __slots__ = ("in_flight",)
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    in_flight: int
    def __init__(self, in_flight: _Optional[int] = ...) -> None: ...

class SetLogLevelRequest(_message.Message):
    __slots__ = ("level",)
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    level: str
    def __init__(self, level: _Optional[str] = ...) -> None: ...

class SetLogLevelResponse(_message.Message):
    __slots__ = ("previous",)
    PREVIOUS_FIELD_NUMBER: _ClassVar[int]
    previous: str
    def __init__(self, previous: _Optional[str] = ...) -> None: ...

class GetVersionRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetVersionResponse(_message.Message):
    __slots__ = ("version", "python", "platform", "libraries")
    class LibrariesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PYTHON_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    LIBRARIES_FIELD_NUMBER: _ClassVar[int]
    version: str
    python: str
    platform: str
    libraries: _containers.ScalarMap[str, str]
    def __init__(self, version: _Optional[str] = ..., python: _Optional[str] = ..., platform: _Optional[str] = ..., libraries: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CreateSignInLinkRequest(_message.Message):
    __slots__ = ("read_only",)
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    read_only: bool
    def __init__(self, read_only: bool = ...) -> None: ...

class CreateSignInLinkResponse(_message.Message):
    __slots__ = ("url", "expires_at_ms")
    URL_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_MS_FIELD_NUMBER: _ClassVar[int]
    url: str
    expires_at_ms: int
    def __init__(self, url: _Optional[str] = ..., expires_at_ms: _Optional[int] = ...) -> None: ...
