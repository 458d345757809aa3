from enum import IntEnum
from typing import Final

class Verdict(IntEnum):
    WAITING = 0
    STARTED = 1
    CONTENT = 2
    FAILED = 3

class SseTap:
    events: Final[int]
    pings: Final[int]
    at_boundary: Final[bool]
    verdict: Final[int]
    stopped: Final[bool]
    def __init__(self, event_max: int = 262144) -> None: ...
    def feed_bytes(self, data: bytes) -> None: ...
    def start(self) -> bytes | None: ...
    def delta(self) -> bytes | None: ...
    def error(self) -> bytes | None: ...
