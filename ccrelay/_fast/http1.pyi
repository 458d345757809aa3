from enum import IntEnum
from typing import Final

class FieldId(IntEnum):
    F_OTHER = 0
    F_HOST = 1
    F_CONTENT_LENGTH = 2
    F_TRANSFER_ENCODING = 3
    F_CONNECTION = 4
    F_KEEP_ALIVE = 5
    F_PROXY_CONNECTION = 6
    F_PROXY_AUTHORIZATION = 7
    F_PROXY_AUTHENTICATE = 8
    F_TE = 9
    F_TRAILER = 10
    F_UPGRADE = 11
    F_EXPECT = 12
    F_AUTHORIZATION = 13
    F_X_API_KEY = 14
    F_ACCEPT_ENCODING = 15
    F_CONTENT_ENCODING = 16
    F_CONTENT_TYPE = 17
    F_COOKIE = 18
    F_ORIGIN = 19
    F_ANTHROPIC_BETA = 20
    F_RETRY_AFTER = 21
    F_REQUEST_ID = 22
    F_X_SHOULD_RETRY = 23
    F_SESSION_ID = 24
    F_AGENT_ID = 25
    F_REQUEST_CLASS = 26
    F_USER_AGENT = 27
    F_API_KEY = 28
    F_ALIAS = 29
    F_HOP = 30
    F_CONDITIONAL = 31
    F_FORWARDING = 32
    F_OVERRIDE = 33
    F_CREDENTIAL = 34
    F_CLOUD = 35
    F_NAVIGATION = 36
    F_SET_COOKIE = 37
    F_CHALLENGE = 38
    F_BROWSER = 39
    F_RELAY = 40
    F_SEC_FETCH_SITE = 41
    F_REFERER = 42

class HeadFault(IntEnum):
    OK = 0
    BAD_START_LINE = 1
    BAD_METHOD = 2
    BAD_TARGET = 3
    BAD_VERSION = 4
    BAD_STATUS = 5
    BARE_LF = 6
    BAD_FIELD_NAME = 7
    BAD_FIELD_VALUE = 8
    OBS_FOLD = 9
    BAD_CONTENT_LENGTH = 10
    BAD_TRANSFER_ENCODING = 11
    BOTH_FRAMINGS = 12
    BAD_HOST = 13
    TOO_MANY_FIELDS = 14
    HEAD_TOO_LARGE = 15
    BAD_CHUNK = 16
    TRAILER_TOO_LARGE = 17
    NOT_CANONICAL = 18
    REPEATED_FIELD = 19

class BadHead(ValueError):
    fault: HeadFault
    def __init__(self, fault: int) -> None: ...

class Head:
    is_request: Final[bool]
    minor: Final[int]
    status: Final[int]
    content_length: Final[int]
    chunked: Final[bool]
    keep_alive: Final[bool]
    expects_continue: Final[bool]
    @property
    def method(self) -> bytes: ...
    @property
    def target(self) -> bytes: ...
    @property
    def path(self) -> bytes: ...
    @property
    def query(self) -> bytes: ...
    @property
    def raw(self) -> bytes: ...
    def method_and_target(self) -> bytes: ...
    def value(self, field_id: int) -> bytes | None: ...
    def get(self, name: bytes) -> bytes | None: ...
    def passing(self, name: bytes) -> bytes | None: ...
    def items(self) -> list[tuple[bytes, bytes]]: ...

class ChunkReader:
    consumed: Final[int]
    @property
    def done(self) -> bool: ...
    @property
    def between(self) -> bool: ...
    @property
    def fault(self) -> HeadFault: ...
    def __init__(self) -> None: ...
    def feed(self, data: bytes) -> list[bytes]: ...

def find_head_end(data: bytes, start: int = 0) -> int: ...
def parse_request(data: bytes, fields_max: int = 128) -> tuple[Head, int] | None: ...
def parse_response(data: bytes) -> tuple[Head, int] | None: ...
