"""Targets and heads against a relay that allows everything: what reaches a provider."""

import pytest

from ccrelay.config.model import Auth
from tests.loopback.relay.harness import KEY, Lab, provider, server
from tests.loopback.relay.scripts import JSON, always
from tests.loopback.relay.wires import BODY, Request, post, request, response

TOKEN = b"relay-token-1"
GUARDED = server(auth=Auth(tokens=[TOKEN.decode(), "relay-token-22", "another-relay-token-3"]))
ALL = ["batches", "files", "skills"]
NOT_CANONICAL = [
    *(b"/v1/./messages", b"/v1/../admin", b"/v1/%2e%2e/%2e%2e/admin/keys", b"/v1/.%2E/messages"),
    *(b"//v1/messages", b"/v1//messages", b"/v1/messages/", b"/v1/messages//", b"/v1/..", b"/."),
    *(b"/v1/.../messages", b"/v1/messages;a=b", b"/v1/;/messages", b"/v1/messages%3B", b"/%2e/"),
    *(b"/v1/messages%2f", b"/v1%2Fmessages", b"/v1%5Cmessages", b"/v1\\messages", b"/v1/%2f/x"),
    *(b"/v1/%6Dessages", b"/v1/m%65ssages", b"/v1/messages%00", b"/v1/messages%0d%0a", b"/%7f"),
    *(b"/v1/%252e%252e/admin", b"/v1/messages%25", b"/v1/messages%", b"/v1/%zz", b"/v1/a%3f"),
    *(b"/v1/messages#x", b"/v1/messages%23x", b"/v1/%c0%ae%c0%ae/x", b"/v1/%ef%bc%8f", b"/v1/%u0"),
    *(b"http://localhost/v1/../admin", b"http://localhost//v1/messages", b"/v1/messages?a=%0d%0ab"),
    *(b"/v1/messages?b%65ta=true", b"/v1/files?after_id=relay%2Dtoken%2D1", b"/v1/files?a=%"),
    *(b"/v1/files/%2e%2e", b"/v1/files/..%2f..%2fadmin", b"/v1/models/%2e%2e", b"/v1/models/a//b"),
    *(b"/v1/v1/../messages", b"/v1/v1//messages"),
]  # fmt: skip


@pytest.mark.parametrize("path", NOT_CANONICAL)
async def test_what_is_not_canonical_is_400_and_reaches_nobody(lab: Lab, path: bytes) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, type="anthropic", passthrough=ALL))
    for method in (b"POST", b"GET", b"DELETE"):
        answer = await lab.ask(request(method, path, body=BODY if method == b"POST" else None))
        assert (answer.status, answer.get(b"connection")) == (400, b"close")
    assert upstream.connections == 0


@pytest.mark.parametrize(
    "method", [b"TRACE", b"CONNECT", b"OPTIONS", b"PUT", b"PATCH", b"PROPFIND", b"TRACK"]
)
async def test_no_other_method_reaches_a_provider(lab: Lab, method: bytes) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, type="anthropic", passthrough=ALL))
    for path in (b"/v1/messages", b"/v1/files", b"/v1/models", b"/v1/files/file_1", b"/health"):
        answer = await lab.ask(request(method, path), method=method.decode())
        assert answer.status == (400 if method == b"CONNECT" else 405)
        assert (b"GET" in (answer.get(b"allow") or b"")) == (
            answer.status == 405 and path != b"/v1/messages"
        )
    assert upstream.connections == 0


@pytest.mark.parametrize(
    "path", [b"/v1/complete", b"/v1/organizations/users", b"/v1/oauth/token", b"/admin/keys"]
)
async def test_what_is_in_no_table_reaches_nobody(lab: Lab, path: bytes) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, type="anthropic", passthrough=ALL))
    for method in (b"GET", b"POST"):
        assert (await lab.ask(request(method, path, body=b"{}"))).status == 404
    assert upstream.connections == 0


async def test_groups_go_to_the_first_provider_that_allows_them(lab: Lab) -> None:
    got: dict[str, list[Request]] = {"one": [], "two": [], "three": []}
    one, two, three = (lab.upstream(always(JSON, into=into)) for into in got.values())
    lab.start(
        provider(one, "one", type="anthropic"),
        provider(two, "two", type="anthropic", passthrough=["files"]),
        provider(three, "three", type="anthropic", passthrough=["files", "batches"]),
    )
    client = await lab.client()
    assert (await client.ask(request(b"GET", b"/v1/files?limit=1&x=2"))).status == 200
    assert (await client.ask(request(b"POST", b"/v1/messages/batches", body=b"{}"))).status == 200
    answer = await client.ask(request(b"GET", b"/v1/skills"))
    assert (answer.status, "passthrough: [skills]" in answer.error["message"]) == (404, True)
    assert [r.line for r in got["two"]] == [b"GET /v1/files?limit=1 HTTP/1.1"]
    assert [r.line for r in got["three"]] == [b"POST /v1/messages/batches HTTP/1.1"]
    assert got["one"] == []


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 306, 307, 308, 399])
@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/messages/count_tokens", b"/v1/files"])
async def test_a_3xx_is_never_an_answer(lab: Lab, status: int, path: bytes) -> None:
    wire = response(status, b"" if status == 304 else b"{}", [(b"Location", b"https://evil.test/")])
    lab.start(provider(lab.upstream(always(wire)), type="anthropic", passthrough=ALL))
    method = b"GET" if path == b"/v1/files" else b"POST"
    answer = await lab.ask(request(method, path, body=None if method == b"GET" else BODY))
    assert (answer.status, answer.get(b"location")) == (502, None)


# ---- heads


BAD_ANSWER_FIELDS = [
    (b"Location", b"https://evil.test/"),
    (b"Refresh", b"0;url=https://evil.test/"),
    (b"Set-Cookie", b"a=1"),
    (b"set_cookie", b"a=1"),
    (b"Alt-Svc", b'h3="evil.test:443"'),
    (b"Strict-Transport-Security", b"max-age=1"),
    (b"Access-Control-Allow-Origin", b"*"),
    (b"x-ccrelay-provider", b"forged"),
    (b"X-Accel-Redirect", b"/etc/passwd"),
    (b"WWW-Authenticate", b"Basic"),
    (b"Clear-Site-Data", b'"*"'),
]


@pytest.mark.parametrize("status", [200, 400, 404, 413, 429, 500, 529])
@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/files"])
async def test_fields_that_act_upon_a_client_pass_with_no_status(
    lab: Lab, status: int, path: bytes
) -> None:
    body = JSON.partition(b"\r\n\r\n")[2] if status == 200 else b'{"error":{"type":"x"}}'
    wire = response(status, body, [*BAD_ANSWER_FIELDS, (b"X-Kept", b"1"), (b"request-id", b"r")])
    lab.start(provider(lab.upstream(always(wire)), type="anthropic", passthrough=ALL))
    method = b"GET" if path == b"/v1/files" else b"POST"
    answer = await lab.ask(request(method, path, body=None if method == b"GET" else BODY))
    assert answer.status == status
    assert answer.get(b"request-id") == b"r"
    bad = {name.lower() for name, _ in BAD_ANSWER_FIELDS}
    assert not bad & {name.lower() for name, _ in answer.headers}


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/files"])
async def test_trailers_of_an_answer_do_not_pass(lab: Lab, size: int, path: bytes) -> None:
    body = JSON.partition(b"\r\n\r\n")[2]
    wire = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    wire += b"%x\r\n%b\r\n0\r\nSet-Cookie: a=1\r\nL: https://evil.test\r\n\r\n" % (len(body), body)

    async def script(peer) -> None:
        while True:
            await peer.request()
            await peer.send(*[wire[i : i + size] for i in range(0, len(wire), size)])

    lab.start(provider(lab.upstream(script), type="anthropic", passthrough=ALL))
    client = await lab.client()
    method = b"GET" if path == b"/v1/files" else b"POST"
    for _ in range(2):
        await client.send(request(method, path, body=None if method == b"GET" else BODY))
        raw = await client.until(b"0\r\n\r\n")
        assert b"Set-Cookie" not in raw
        assert b"evil" not in raw
        answer = await client.answer()
        assert (answer.status, answer.body, answer.cut) == (200, body, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"X-Custom", TOKEN),
        (b"X-Custom", b"a" * 40 + TOKEN + b"b"),
        (b"X-Custom", b"Bearer " + TOKEN),
        (b"anthropic-beta", b"one," + TOKEN),
        (b"User-Agent", TOKEN + b"/1"),
        (b"X-Custom", b"relay-token-22"),
        (b"X-Custom", b"x another-relay-token-3"),
        (b"Content-Type", b"application/json;" + TOKEN),
        (TOKEN, b"x"),
        (b"Authorization", b"Basic " + TOKEN),
    ],
)
@pytest.mark.parametrize("keys", [(KEY,), ()])
async def test_no_field_with_a_relay_token_goes_on(
    lab: Lab, name: bytes, value: bytes, keys: tuple[str, ...]
) -> None:
    got: list[Request] = []
    upstream = lab.upstream(always(JSON, into=got))
    lab.start(provider(upstream, type="anthropic", keys=keys, passthrough=ALL), server=GUARDED)
    own = b"X-Api-Key" if name == b"Authorization" else b"Authorization"
    credentials = [(own, TOKEN if own == b"X-Api-Key" else b"Bearer " + TOKEN)]
    if own == b"Authorization":
        credentials.append((b"x-api-key", b"client-own-key-1"))
    fields = [*credentials, (b"X-Kept", b"1"), (name, value), (b"X-Kept-Too", b"2")]
    for wire in (post(headers=fields), request(b"GET", b"/v1/files", fields)):
        assert (await lab.ask(wire)).status == 200
    assert len(got) == 2
    for seen in got:
        for token in GUARDED.auth.tokens:
            assert token.encode() not in seen.raw_head
        assert (seen.get(b"x-kept"), seen.get(b"x-kept-too")) == (b"1", b"2")


async def test_no_field_with_a_relay_token_goes_on_when_models_are_discovered(lab: Lab) -> None:
    got: list[Request] = []
    upstream = lab.upstream(always(JSON, into=got))
    lab.start(provider(upstream, type="anthropic", keys=(), discover_models=True), server=GUARDED)
    fields = [
        (b"x-api-key", TOKEN),
        (b"Authorization", b"Basic " + TOKEN),
        (b"anthropic-beta", TOKEN),
    ]
    assert (await lab.ask(request(b"GET", b"/v1/models", fields), method="GET")).status == 200
    assert [seen for seen in got if TOKEN in seen.raw_head] == []
    fields = [(b"x-api-key", TOKEN), (b"Authorization", b"Bearer client-login-1")]
    assert (await lab.ask(request(b"GET", b"/v1/models", fields), method="GET")).status == 200
    assert got[-1].get(b"authorization") == b"Bearer client-login-1"


async def test_a_relay_token_in_the_target_is_refused_and_not_logged(lab: Lab) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, type="anthropic", passthrough=ALL), server=GUARDED)
    fields = [(b"x-api-key", TOKEN)]
    for path in (b"/v1/files/" + TOKEN, b"/v1/files?after_id=" + TOKEN, b"/" + TOKEN):
        assert (await lab.ask(request(b"GET", path, fields))).status == 400
        assert (await lab.ask(request(b"GET", path))).status == 401
    assert upstream.connections == 0
    assert TOKEN.decode() not in lab.sink.text()


async def test_dropped_headers_are_the_providers_choice(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(provider(lab.upstream(always(JSON, into=got)), drop_headers=["X_Team", "user-agent"]))
    fields = [(b"x-team", b"1"), (b"X_TEAM", b"2"), (b"User-Agent", b"3"), (b"X-Teams", b"4")]
    assert (await lab.ask(post(headers=fields))).status == 200
    names = {name.lower() for name, _ in got[0].headers}
    assert b"x-teams" in names
    assert not names & {b"x-team", b"x_team", b"user-agent"}
