"""The table of endpoints: what is served, what of a target goes upstream, and what is refused."""

import pytest

from ccrelay.errors import MethodNotAllowed, NotFound
from ccrelay.relay.api_endpoints import DIRECT, PASSTHROUGH, TABLE, match
from ccrelay.types import RequestClass

ID = b"msgbatch_013Zva2CMHLNnXjNJJKqJ2EF"


def everything(group: str) -> bool:
    return group in PASSTHROUGH


def nothing(group: str) -> bool:
    return False


SERVED = {
    b"POST /v1/messages": "routed",
    b"POST /v1/messages/count_tokens": "routed",
    b"GET /v1/models": "models",
    b"HEAD /v1/models": "models",
    b"GET /v1/models/claude-opus-5-5": "models",
    b"GET /v1/models/org/name:30b": "models",
    b"GET /v1/models/claude-x%5B1m%5D": "models",
    b"GET /": "local",
    b"HEAD /health": "local",
    b"GET /ready": "local",
    b"GET /api/hello": "local",
}
OPT_IN = {
    b"POST /v1/messages/batches": "batches",
    b"GET /v1/messages/batches": "batches",
    b"GET /v1/messages/batches/" + ID: "batches",
    b"DELETE /v1/messages/batches/" + ID: "batches",
    b"POST /v1/messages/batches/" + ID + b"/cancel": "batches",
    b"GET /v1/messages/batches/" + ID + b"/results": "batches",
    b"POST /v1/files": "files",
    b"GET /v1/files": "files",
    b"HEAD /v1/files/file_011": "files",
    b"GET /v1/files/file_011/content": "files",
    b"DELETE /v1/files/file_011": "files",
    b"POST /v1/skills": "skills",
    b"GET /v1/skills/pptx": "skills",
    b"DELETE /v1/skills/skill_01": "skills",
    b"POST /v1/skills/skill_01/versions": "skills",
    b"GET /v1/skills/skill_01/versions/latest": "skills",
    b"DELETE /v1/skills/skill_01/versions/1759178010641129": "skills",
}
NEVER = [
    *(b"/v1/complete", b"/v1/embeddings", b"/v1/chat/completions", b"/v1/responses"),
    *(b"/v1/organizations/users", b"/v1/organizations/api_keys", b"/v1/organization/me"),
    *(b"/v1/oauth/token", b"/oauth/token", b"/api/oauth/usage", b"/v1/me", b"/v1/keys"),
    *(b"/api/oauth/claude_cli/create_api_key", b"/api/claude_cli_profile", b"/user/bootstrap"),
    *(b"/admin", b"/admin/keys", b"/v1/admin", b"/v1/usage", b"/v1/environments", b"/v1/sessions"),
    *(b"/v1", b"/v1/message", b"/v1/messagesx", b"/V1/messages", b"/v1/Messages", b"/v2/messages"),
    *(b"/v1/messages/x", b"/v1/messages/batches/a/b", b"/v1/messages/batches/a/cancel/b"),
    *(b"/v1/files/a/content/b", b"/v1/files/a/thumbnail", b"/v1/skills/a/b", b"/v1/messages:x"),
    *(b"/v1/files/" + b"a" * 129, b"/v1/files/a.b", b"/v1/files/a%20b", b"/v1/files/a:b", b"*"),
    *(b"/v1/messages\n", b"/v1/files/a\n", b"/.well-known/oauth-authorization-server"),
]
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"OPTIONS", b"CONNECT")


@pytest.mark.parametrize("line", [*SERVED, *OPT_IN])
def test_every_endpoint_is_found_and_its_path_is_written(line: bytes) -> None:
    method, path = line.split(b" ")
    endpoint, sent = match(method, path, b"", everything)
    assert endpoint.group == {**SERVED, **OPT_IN}[line]
    if endpoint.group != "models":
        assert sent == path


@pytest.mark.parametrize("line", OPT_IN)
def test_what_no_provider_allows_is_a_404_that_names_the_option(line: bytes) -> None:
    method, path = line.split(b" ")
    with pytest.raises(NotFound, match=rf"passthrough: \[{OPT_IN[line]}\]"):
        match(method, path, b"", nothing)
    allowed = {"batches", "files", "skills"} - {OPT_IN[line]}
    with pytest.raises(NotFound):
        match(method, path, b"", allowed.__contains__)


@pytest.mark.parametrize("path", NEVER)
@pytest.mark.parametrize("method", METHODS)
def test_every_other_path_is_a_404_whatever_is_allowed(method: bytes, path: bytes) -> None:
    with pytest.raises(NotFound, match="nothing at this path"):
        match(method, path, b"", everything)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.path)
def test_every_other_method_is_a_405_that_lists_the_right_ones(row) -> None:
    path = row.path.replace("{}", "a").encode()
    for method in (*METHODS, b"PROPFIND", b"get", b""):
        if method in row.methods:
            continue
        with pytest.raises(MethodNotAllowed) as refused:
            match(method, path, b"", everything)
        assert refused.value.allow == b", ".join(row.methods)


def test_methods_that_reach_a_provider_are_three_and_head() -> None:
    assert {method for row in TABLE for method in row.methods} == {
        *(b"GET", b"HEAD", b"POST", b"DELETE")
    }


@pytest.mark.parametrize(
    ("line", "query", "sent"),
    [
        (b"POST /v1/messages", b"beta=true", b"?beta=true"),
        (b"POST /v1/messages", b"beta=true&admin=1", b"?beta=true"),
        (b"POST /v1/messages", b"x=1&beta=false&beta=true", b"?beta=true"),
        (b"POST /v1/messages", b"limit=1", b""),
        (b"POST /v1/messages", b"Beta=true&beta&=&beta=", b""),
        (b"POST /v1/messages", b"beta=a%20b", b""),
        (b"POST /v1/messages", b"beta=a%26x%3D1", b""),
        (b"POST /v1/messages", b"beta=" + b"a" * 513, b""),
        (b"GET /v1/files", b"limit=3&after_id=file_1&before_id=x&scope_id=s&key=k",
         b"?limit=3&after_id=file_1&before_id=x&scope_id=s"),
        (b"GET /v1/files/file_1", b"limit=3&beta=true", b"?beta=true"),
        (b"GET /v1/skills", b"page=MjAy%3D%3D&source=custom", b"?page=MjAy%3D%3D&source=custom"),
        (b"GET /v1/messages/batches", b"after_id=../../admin", b"?after_id=..%2F..%2Fadmin"),
        (b"GET /v1/messages/batches", b"after_id=a;limit=1", b""),
        (b"GET /v1/files", b"x=1&" * 30 + b"limit=2", b"?limit=2"),
        (b"GET /v1/files", b"x=1&" * 32 + b"limit=2", b""),
    ],
)  # fmt: skip
def test_of_a_query_goes_what_the_table_lists(line: bytes, query: bytes, sent: bytes) -> None:
    method, path = line.split(b" ")
    assert match(method, path, query, everything)[1] == path + sent


def test_the_direct_ones_are_those_of_the_table() -> None:
    for line, (kind, path) in DIRECT.items():
        method, target = line.split(b" ")
        plain, _, query = target.partition(b"?")
        endpoint, sent = match(method, plain, query, nothing)
        assert (sent, int(endpoint.kind)) == (path, kind)
        assert path == target
    assert {kind for kind, _ in DIRECT.values()} == {
        int(RequestClass.MESSAGES),
        int(RequestClass.COUNT_TOKENS),
    }
