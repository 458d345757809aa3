from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KeyStore(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KEY_STORE_UNSPECIFIED: _ClassVar[KeyStore]
    KEY_STORE_KEYCHAIN: _ClassVar[KeyStore]
    KEY_STORE_FILE: _ClassVar[KeyStore]
    KEY_STORE_ENVIRONMENT: _ClassVar[KeyStore]
KEY_STORE_UNSPECIFIED: KeyStore
KEY_STORE_KEYCHAIN: KeyStore
KEY_STORE_FILE: KeyStore
KEY_STORE_ENVIRONMENT: KeyStore

class DetectRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Found(_message.Message):
    __slots__ = ("type", "name", "source", "usable", "note", "models", "base_url")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    USABLE_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    type: str
    name: str
    source: str
    usable: bool
    note: str
    models: _containers.RepeatedScalarFieldContainer[str]
    base_url: str
    def __init__(self, type: _Optional[str] = ..., name: _Optional[str] = ..., source: _Optional[str] = ..., usable: bool = ..., note: _Optional[str] = ..., models: _Optional[_Iterable[str]] = ..., base_url: _Optional[str] = ...) -> None: ...

class DetectResponse(_message.Message):
    __slots__ = ("found", "file", "has_config", "keychain", "keychain_problem", "command")
    FOUND_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    HAS_CONFIG_FIELD_NUMBER: _ClassVar[int]
    KEYCHAIN_FIELD_NUMBER: _ClassVar[int]
    KEYCHAIN_PROBLEM_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    found: _containers.RepeatedCompositeFieldContainer[Found]
    file: str
    has_config: bool
    keychain: bool
    keychain_problem: str
    command: str
    def __init__(self, found: _Optional[_Iterable[_Union[Found, _Mapping]]] = ..., file: _Optional[str] = ..., has_config: bool = ..., keychain: bool = ..., keychain_problem: _Optional[str] = ..., command: _Optional[str] = ...) -> None: ...

class SetupProvider(_message.Message):
    __slots__ = ("type", "name", "base_url", "key", "variable", "store", "pass_through", "settings")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    PASS_THROUGH_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    type: str
    name: str
    base_url: str
    key: str
    variable: str
    store: KeyStore
    pass_through: bool
    settings: _containers.ScalarMap[str, str]
    def __init__(self, type: _Optional[str] = ..., name: _Optional[str] = ..., base_url: _Optional[str] = ..., key: _Optional[str] = ..., variable: _Optional[str] = ..., store: _Optional[_Union[KeyStore, str]] = ..., pass_through: bool = ..., settings: _Optional[_Mapping[str, str]] = ...) -> None: ...

class CheckRequest(_message.Message):
    __slots__ = ("provider", "model")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    provider: SetupProvider
    model: str
    def __init__(self, provider: _Optional[_Union[SetupProvider, _Mapping]] = ..., model: _Optional[str] = ...) -> None: ...

class CheckResponse(_message.Message):
    __slots__ = ("ok", "latency_ms", "status", "message", "models", "cost_micros", "unproven")
    OK_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    COST_MICROS_FIELD_NUMBER: _ClassVar[int]
    UNPROVEN_FIELD_NUMBER: _ClassVar[int]
    ok: bool
    latency_ms: float
    status: int
    message: str
    models: _containers.RepeatedScalarFieldContainer[str]
    cost_micros: int
    unproven: bool
    def __init__(self, ok: bool = ..., latency_ms: _Optional[float] = ..., status: _Optional[int] = ..., message: _Optional[str] = ..., models: _Optional[_Iterable[str]] = ..., cost_micros: _Optional[int] = ..., unproven: bool = ...) -> None: ...

class WriteRequest(_message.Message):
    __slots__ = ("providers", "dry_run")
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedCompositeFieldContainer[SetupProvider]
    dry_run: bool
    def __init__(self, providers: _Optional[_Iterable[_Union[SetupProvider, _Mapping]]] = ..., dry_run: bool = ...) -> None: ...

class WriteResponse(_message.Message):
    __slots__ = ("file", "text", "revision", "written", "command")
    FILE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    file: str
    text: str
    revision: int
    written: _containers.RepeatedScalarFieldContainer[str]
    command: str
    def __init__(self, file: _Optional[str] = ..., text: _Optional[str] = ..., revision: _Optional[int] = ..., written: _Optional[_Iterable[str]] = ..., command: _Optional[str] = ...) -> None: ...
