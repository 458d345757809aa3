from typing import Final

class Usage:
    input: Final[int]
    output: Final[int]
    cache_read: Final[int]
    cache_write_5m: Final[int]
    cache_write_1h: Final[int]
    thinking: Final[int]
    searches: Final[int]
    fast: Final[bool]
    in_us: Final[bool]
    def __init__(
        self,
        input: int = 0,
        output: int = 0,
        cache_read: int = 0,
        cache_write_5m: int = 0,
        cache_write_1h: int = 0,
        thinking: int = 0,
        searches: int = 0,
        fast: bool = False,
        in_us: bool = False,
    ) -> None: ...

def usage_of_stream(start: bytes | None, delta: bytes | None) -> Usage | None: ...
def usage_of_json(raw: bytes | None) -> Usage | None: ...
def stop_reason_of(delta: bytes | None) -> str | None: ...
def add_metrics(usage: Usage, metrics: bytes | None) -> None: ...
