"""The HTTP/1.1 corpus: messages as raw bytes, with what is to be made of them in `index.json`.

An entry is one whole message. `verdict` is "OK" or the name of a HeadFault; `expect` holds
properties of its head, and `body`.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    name: str
    kind: str
    verdict: str
    data: bytes
    note: str = ""
    expect: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def _load() -> Iterator[Entry]:
    index = json.loads((HERE / "index.json").read_text())
    for path, entry in index.items():
        name = path.removesuffix(".raw").partition("/")[2]
        yield Entry(name=name, data=(HERE / path).read_bytes(), **entry)


ENTRIES = list(_load())


def read_message(api: ModuleType, kind: str, data: bytes) -> tuple[str, Any, bytes]:
    """What `api` (ours or the reference) makes of one message: verdict, head, body.

    The verdict is "OK", "SHORT" when bytes are missing, or the name of a fault.
    """
    try:
        parsed = (api.parse_request if kind == "request" else api.parse_response)(data)
    except api.BadHead as error:
        return error.fault.name, None, b""
    if parsed is None:
        return "SHORT", None, b""
    head, end = parsed
    rest = data[end:]
    if head.status // 100 == 1 or head.status in (204, 304):
        return "OK", head, b""
    if head.chunked:
        reader = api.ChunkReader()
        body = b"".join(reader.feed(rest))
        verdict = reader.fault.name if reader.fault else "OK" if reader.done else "SHORT"
        return verdict, head, body
    if head.content_length >= 0:
        body = rest[: head.content_length]
        return "OK" if len(body) == head.content_length else "SHORT", head, body
    return "OK", head, b"" if kind == "request" else rest
