import enum
from typing import Final

GUARDED: Final[tuple[str, ...]]

class BodyFault(enum.IntEnum):
    FINE = 0
    NOT_JSON = 1
    SECOND_MODEL = 2
    TOO_LONG = 3
    BAD_FRAMING = 4
    NO_ROOM = 5
    TOO_DEEP = 6
    OTHER_CASE = 7

class BodyLimits:
    body_bytes_max: int
    replay_bytes_max: int
    def __init__(self, *, body_bytes_max: int, replay_bytes_max: int) -> None: ...

class RequestBody: ...
