"""Request targets as log lines show them: short, printable, without secrets."""

import re

# Longer than any path of the API with its ids; what scanners send is cut.
SHOWN_MAX = 200
# Bytes that are looked at, of a path and of a query: a head may have 64 KB of either.
_READ_MAX = 4 * SHOWN_MAX
HIDDEN = "***"

# Query values that cannot be a credential, e.g. `beta=true`, `limit=1000`; and names of members.
_PLAIN_VALUE = re.compile(r"true|false|[0-9]{1,6}")
_PLAIN_NAME = re.compile(r"[A-Za-z_.-]{1,32}(\[\])?")
_API_PREFIX = "/v1/"
# Below the API's prefix a long segment is an id; elsewhere a base URL may have a credential in it.
_KEY = re.compile(r"(?i)sk-")
_SEGMENT_MAX = 20


def shown_target(path: bytes, query: bytes) -> str:
    """Path and query for a log line, at most SHOWN_MAX characters and three dots.

    Hidden are values of the query that are no plain number or flag, path segments that begin as
    Anthropic's and OpenAI's keys do and, outside the API's paths, all long ones.
    """
    is_cut = max(len(path), len(query)) > _READ_MAX
    if is_cut:
        path = path[:_READ_MAX]
        query = query[:_READ_MAX].rpartition(b"&")[0]  # half a value may look harmless
    text = path.decode("ascii", "backslashreplace")
    is_api = text.startswith(_API_PREFIX)
    shown = "/".join(_segment(segment, is_api) for segment in text.split("/"))
    if query:
        members = query.decode("ascii", "backslashreplace").split("&")
        shown += "?" + "&".join(_member(member) for member in members)
    if len(shown) > SHOWN_MAX:
        return shown[:SHOWN_MAX] + "..."
    return shown + "..." if is_cut else shown


def _segment(segment: str, is_api: bool) -> str:
    if _KEY.match(segment) or (not is_api and len(segment) > _SEGMENT_MAX):
        return HIDDEN
    return segment


def _member(member: str) -> str:
    name, equals, value = member.partition("=")
    if not _PLAIN_NAME.fullmatch(name) or _KEY.match(name):
        return HIDDEN
    return name + equals + (value if not value or _PLAIN_VALUE.fullmatch(value) else HIDDEN)
