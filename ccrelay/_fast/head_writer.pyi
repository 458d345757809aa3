from collections.abc import Iterable
from enum import IntEnum

from ccrelay._fast.http1 import Head

class Framing(IntEnum):
    KEEP = 0
    CHUNKED = 1
    CLOSE = 2
    LENGTH = 3

class RequestPlan:
    def __init__(
        self,
        *,
        prefix: bytes,
        host: bytes,
        lines: list[tuple[bytes, bytes]],
        pass_credentials: bool = False,
        drop_names: Iterable[bytes] = (),
        drop_betas: Iterable[bytes] | None = None,
    ) -> None: ...
    def render(
        self, head: Head, content_length: int, chunked: bool, path: bytes, more: bytes = b""
    ) -> bytes: ...

def render_response(
    head: Head,
    framing: int,
    length: int = -1,
    keep_alive: bool = True,
    extra: bytes = b"",
    plain: bool = False,
    media_type: bytes = b"",
) -> bytes: ...
