from enum import IntEnum
from typing import Protocol

from ccrelay._fast.sse import SseTap
from ccrelay._fast.usage import Usage

class Expected(IntEnum):
    ANYTHING = 0
    A_MESSAGE = 1
    A_COUNT = 2

class ContentKind(IntEnum):
    UNDECIDED_KIND = 0
    EVENT_STREAM = 1
    ANSWER = 2
    JSON = 3
    FOREIGN_JSON = 4
    PAGE = 5
    TEXT = 6
    NOTHING = 7
    ENCODED = 8

class _Decoder(Protocol):
    def decode(self, data: bytes, most: int, /) -> tuple[bytes, bytes]: ...

class Taps:
    sse: SseTap | None
    kind: int
    declared: bool
    @property
    def size(self) -> int: ...
    @property
    def life_at(self) -> float: ...
    first_event_at: float
    def usage(self) -> Usage | None: ...
    def raw_usage(self) -> bytes | None: ...
