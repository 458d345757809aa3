"""Which request targets are canonical, and which of them are served: the oracle of the fuzz target.

Written from RFC 3986 and from the table in docs, not from the code: split, decode, compare.
"""

import re
from urllib.parse import unquote_to_bytes

UNRESERVED = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)  # fmt: skip
DELIMITERS = frozenset(b"/\\%;?#")
# Where an ARN may be a segment, with its slashes escaped.
ARN_PATHS = (b"/model/", b"/inference-profiles/")
NEVER_IN_A_PATH = frozenset(b";^`{|}")
ID = re.compile(r"[A-Za-z0-9_-]{1,128}")

# Path, `*` for an id -> methods.
SERVED = {
    "/": "GET HEAD",
    "/health": "GET HEAD",
    "/ready": "GET HEAD",
    "/api/hello": "GET HEAD",
    "/v1/api/hello": "GET HEAD",
    "/v1/messages": "POST",
    "/v1/messages/count_tokens": "POST",
    "/v1/models": "GET HEAD",
    "/v1/messages/batches": "GET HEAD POST",
    "/v1/messages/batches/*": "GET HEAD DELETE",
    "/v1/messages/batches/*/cancel": "POST",
    "/v1/messages/batches/*/results": "GET HEAD",
    "/v1/files": "GET HEAD POST",
    "/v1/files/*": "GET HEAD DELETE",
    "/v1/files/*/content": "GET HEAD",
    "/v1/skills": "GET HEAD POST",
    "/v1/skills/*": "GET HEAD DELETE",
    "/v1/skills/*/versions": "GET HEAD POST",
    "/v1/skills/*/versions/*": "GET HEAD DELETE",
}


def is_canonical(target: bytes) -> bool:
    """Of a target in origin form whose bytes a target may have."""
    path, _, query = target.partition(b"?")
    segments = path.split(b"/")[1:]
    if path != b"/" and any(not segment.strip(b".") for segment in segments):
        return False
    if NEVER_IN_A_PATH & set(path):
        return False
    in_path, in_query = escaped_bytes(path), escaped_bytes(query)
    if in_path is None or in_query is None:
        return False
    if path.startswith(ARN_PATHS):
        in_path = in_path.replace(b"/", b"")
    if any(byte in DELIMITERS or byte > 126 for byte in in_path):
        return False
    return not any(byte in UNRESERVED or byte < 32 or byte == 127 for byte in in_path + in_query)


def escaped_bytes(part: bytes) -> bytes | None:
    """What the escapes of a part stand for; None: one is no escape."""
    found = re.findall(rb"%([^%]?[^%]?)", part)
    if not all(re.fullmatch(rb"[0-9A-Fa-f]{2}", digits) for digits in found):
        return None
    return unquote_to_bytes(b"".join(b"%" + digits for digits in found))


def methods_of(path: bytes) -> set[str] | None:
    """Methods of a canonical path, with everything allowed; None: it is not served."""
    segments = path.decode("latin-1").split("/")
    if segments[:3] == ["", "v1", "models"] and len(segments) > 3:
        return {"GET", "HEAD"}
    for row, methods in SERVED.items():
        wanted = row.split("/")
        if len(wanted) == len(segments) and all(
            ID.fullmatch(mine) if theirs == "*" else mine == theirs
            for mine, theirs in zip(segments, wanted, strict=True)
        ):
            return set(methods.split())
    return None
