"""The endpoints of the relay: a table of paths, their methods, and who answers them.

Nothing of a client's target is copied upstream. The path that is sent is written from the table,
with ids of one grammar; of the query go the names that the table lists, with values of one grammar.
The parser has refused targets that are not canonical (`_fast.targets`), so that a path means here
what it means to any server behind.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from ccrelay.errors import MethodNotAllowed, NotFound
from ccrelay.types import RequestClass
from ccrelay.wire.models import QUERY_MEMBERS_MAX

# Groups of endpoints. The last three are served where a provider's `passthrough` names them.
LOCAL = "local"
ROUTED = "routed"
MODELS = "models"
PASSTHROUGH = ("batches", "files", "skills")

# Anthropic's ids (`msgbatch_01...`, `file_011...`), names of skills, and `latest`.
_ID = r"[A-Za-z0-9_-]{1,128}"
# Cursors and page tokens too, which may be base64.
_VALUE = re.compile(r"[A-Za-z0-9_.~:=+/-]{1,512}")
_PAGE = "beta limit after_id before_id"


class ApiEndpoint(NamedTuple):
    """One row of the table."""

    group: str
    path: str  # `{}` stands for an id
    methods: tuple[bytes, ...]
    query: frozenset[str]  # names that go upstream
    kind: RequestClass


def _row(
    group: str, path: str, methods: str, query: str, kind: RequestClass = RequestClass.OTHER_V1
) -> ApiEndpoint:
    every = methods.replace("GET", "GET HEAD").split()
    return ApiEndpoint(
        group, path, tuple(m.encode() for m in every), frozenset(query.split()), kind
    )


TABLE = (
    # Claude Code asks for /api/hello below its base URL, which may end in /v1, before its first
    # request and in `doctor`, without a credential: so none is asked for (client reference,
    # sections 2 and 10).
    *(
        _row(LOCAL, path, "GET", "")
        for path in ("/", "/health", "/ready", "/api/hello", "/v1/api/hello")
    ),
    _row(ROUTED, "/v1/messages", "POST", "beta", RequestClass.MESSAGES),
    _row(ROUTED, "/v1/messages/count_tokens", "POST", "beta", RequestClass.COUNT_TOKENS),
    _row(MODELS, "/v1/models", "GET", ""),
    _row("batches", "/v1/messages/batches", "POST GET", _PAGE),
    _row("batches", "/v1/messages/batches/{}", "GET DELETE", "beta"),
    _row("batches", "/v1/messages/batches/{}/cancel", "POST", "beta"),
    _row("batches", "/v1/messages/batches/{}/results", "GET", "beta"),
    _row("files", "/v1/files", "POST GET", _PAGE + " scope_id"),
    _row("files", "/v1/files/{}", "GET DELETE", "beta"),
    _row("files", "/v1/files/{}/content", "GET", "beta"),
    _row("skills", "/v1/skills", "POST GET", "beta limit page source"),
    _row("skills", "/v1/skills/{}", "GET DELETE", "beta"),
    _row("skills", "/v1/skills/{}/versions", "POST GET", "beta limit page"),
    _row("skills", "/v1/skills/{}/versions/{}", "GET DELETE", "beta"),
)
# The first bytes of paths in the forms of clouds (`cloud_paths`); none of the table begins so.
CLOUD_PREFIXES = (
    b"/model/",
    b"/inference-profiles",
    b"/foundation-models",
    b"/projects/",
    b"/v1/projects/",
    b"/anthropic/",
)
LOCAL_PATHS = frozenset(row.path.encode() for row in TABLE if row.group == LOCAL)
# Names of models have slashes, colons and more: the path is read by `models_api`, and goes nowhere.
_ONE_MODEL = _row(MODELS, "/v1/models/{}", "GET", "")

_FIXED = {row.path.encode(): row for row in TABLE if "{}" not in row.path}
_PATTERNS = [
    (re.compile(row.path.replace("{}", f"({_ID})")), row) for row in TABLE if "{}" in row.path
]

# What Claude Code sends, by method and target as received: (kind, path to send).
DIRECT: dict[bytes, tuple[int, bytes]] = {
    b"POST " + row.path.encode() + query: (int(row.kind), row.path.encode() + query)
    for row in TABLE
    if row.group == ROUTED
    for query in (b"", b"?beta=true")
}


def match(
    method: bytes, path: bytes, query: bytes, served: Callable[[str], bool]
) -> tuple[ApiEndpoint, bytes]:
    """The endpoint of a request, and the path and query to send upstream.

    Args:
        method: as received.
        path: as received.
        query: as received, without `?`.
        served: whether a provider has a group of PASSTHROUGH.

    Raises:
        NotFound: there is none, or no provider has it.
        MethodNotAllowed: there is one for other methods.
    """
    found = _at(path)
    if found is None:
        raise NotFound(
            "There is nothing at this path. The relay serves /v1/messages, "
            "/v1/messages/count_tokens and /v1/models."
        )
    endpoint, ids = found
    if endpoint.group in PASSTHROUGH and not served(endpoint.group):
        raise NotFound(
            f"No provider serves this path: add passthrough: [{endpoint.group}] to one of type "
            "anthropic."
        )
    if method not in endpoint.methods:
        raise MethodNotAllowed(
            f"Use {_either(endpoint.methods)} for {endpoint.path.replace('{}', '{id}')}.",
            allow=b", ".join(endpoint.methods),
        )
    return endpoint, endpoint.path.format(*ids).encode() + _query(query, endpoint.query)


def _at(path: bytes) -> tuple[ApiEndpoint, tuple[str, ...]] | None:
    if (row := _FIXED.get(path)) is not None:
        return row, ()
    if path.startswith(b"/v1/models/"):
        return _ONE_MODEL, ("",)
    text = path.decode("latin-1")
    for pattern, row in _PATTERNS:
        if found := pattern.fullmatch(text):
            return row, found.groups()
    return None


def _query(query: bytes, names: frozenset[str]) -> bytes:
    """The allowed members, re-encoded; of a repeated name the last one."""
    if not query or not names or query.count(b"&") >= QUERY_MEMBERS_MAX:
        return b""
    members = parse_qsl(query.decode("latin-1"))
    kept = {name: value for name, value in members if name in names and _VALUE.fullmatch(value)}
    text = "&".join(f"{name}={quote(value, safe='')}" for name, value in kept.items())
    return f"?{text}".encode() if text else b""


def _either(methods: tuple[bytes, ...]) -> str:
    names = [method.decode() for method in methods if method != b"HEAD"]
    return " or ".join(names)
