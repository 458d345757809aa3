"""What web pages can make a browser send, and what of it is served: nothing, on any path."""

import asyncio
import time

import pytest

from ccrelay.config.model import Auth
from tests.loopback.relay.harness import Lab, provider, server
from tests.loopback.relay.scripts import JSON, always
from tests.loopback.relay.wires import BODY, padded, post, request

TOKEN = b"relay-token-1"
FRIEND = b"https://tools.example"
OPEN = server(allowed_origins=[FRIEND.decode()], allowed_hosts=["relay.lan"])
GUARDED = server(auth=Auth(tokens=[TOKEN.decode()]))
PATHS = [b"/", b"/health", b"/ready", b"/api/hello", b"/v1/models", b"/v1/files", b"/nowhere"]

Fields = list[tuple[bytes, bytes]]

SITE, ORIGIN, REFERER = b"Sec-Fetch-Site", b"Origin", b"Referer"
REFUSED: dict[str, Fields] = {
    "an image of another site": [(SITE, b"cross-site"), (b"Sec-Fetch-Dest", b"image")],
    "a page of another port": [(SITE, b"same-site")],
    "a word of a later standard": [(SITE, b"sibling-site")],
    "a word in other letters": [(SITE, b"None")],
    "no word": [(SITE, b"")],
    "two words": [(SITE, b"none, cross-site")],
    "a script": [(ORIGIN, b"https://evil.example"), (SITE, b"cross-site")],
    "a script that calls itself harmless": [(ORIGIN, b"https://evil.example"), (SITE, b"none")],
    "a sandboxed frame": [(ORIGIN, b"null")],
    "a file": [(ORIGIN, b"null"), (SITE, b"cross-site")],
    "an origin that begins well": [(ORIGIN, FRIEND + b".evil.example")],
    "an origin of another scheme": [(ORIGIN, b"http://tools.example")],
    "a relay's own page, which there is not": [(ORIGIN, b"http://localhost")],
    "a page of an allowed origin that says nothing of it": [
        (SITE, b"cross-site"),
        (REFERER, FRIEND),
    ],
    "an old browser": [(REFERER, b"https://evil.example/page")],
    "an old browser on another port": [(REFERER, b"http://localhost:3000/")],
    "an old browser with a name in front": [(REFERER, b"http://localhost@evil.example/")],
    "an old browser with a path behind": [(REFERER, b"http://evil.example/localhost")],
    "no URL": [(REFERER, b"localhost")],
    "a link from an app": [(REFERER, b"android-app://com.example.app/")],
    "a preflight to a private network": [
        (ORIGIN, b"https://evil.example"),
        (b"Access-Control-Request-Method", b"POST"),
        (b"Access-Control-Request-Private-Network", b"true"),
    ],
    "a WebSocket": [
        (ORIGIN, b"https://evil.example"),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Version", b"13"),
    ],
}
SERVED: dict[str, Fields] = {
    "Claude Code": [(b"User-Agent", b"claude-cli/2.1.330"), (b"Content-Type", b"application/json")],
    "curl -d": [(b"Content-Type", b"application/x-www-form-urlencoded")],
    "fetch of Node": [(b"Sec-Fetch-Mode", b"cors")],
    "the address bar": [(SITE, b"none"), (b"Sec-Fetch-Mode", b"navigate")],
    "the relay's own JSON": [(SITE, b"same-origin"), (REFERER, b"http://localhost/")],
    "an old browser's reload": [(REFERER, b"http://LOCALHOST/health")],
    "an allowed page": [(ORIGIN, FRIEND), (SITE, b"cross-site")],
    "an allowed page, written otherwise": [(ORIGIN, b"HTTPS://Tools.example")],
    "an allowed page in an old browser": [(REFERER, FRIEND + b"/page?x=1")],
    "OpenRouter's name for it": [(b"HTTP-Referer", b"https://evil.example")],
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_a_page_sends_is_refused_on_every_path(lab: Lab, kind: str) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, type="anthropic"), server=OPEN)
    fields = REFUSED[kind]
    client = await lab.client()
    assert (await client.ask(post())).status == 200  # what the connection remembers is no excuse
    for wire in (
        post(headers=fields),
        post(headers=[*fields, (b"Content-Type", b"text/plain")]),
        post(path=b"/v1/messages/count_tokens", headers=fields),
        request(b"OPTIONS", b"/v1/messages", fields),
        *(request(b"GET", path, fields) for path in PATHS),
    ):
        answer = await client.ask(wire, method="GET")
        assert (answer.status, answer.error["type"]) == (403, "permission_error")
        assert not [n for n, _ in answer.headers if n.lower().startswith(b"access-control-")]
    assert (await client.ask(post())).status == 200
    assert upstream.connections == 1


@pytest.mark.parametrize("kind", SERVED)
async def test_who_is_no_page_or_a_trusted_one_is_served(lab: Lab, kind: str) -> None:
    lab.start(lab.upstream(always(JSON)), server=OPEN)
    client = await lab.client()
    for _ in range(2):
        assert (await client.ask(post(headers=SERVED[kind]))).status == 200
        assert (await client.ask(request(b"GET", b"/health", SERVED[kind]))).status == 200


async def test_who_trusts_every_page_gets_every_page(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(allowed_origins=["*"]))
    for fields in ([(SITE, b"cross-site")], [(ORIGIN, b"null")], [(REFERER, b"http://a.example/")]):
        assert (await lab.ask(post(headers=fields))).status == 200


@pytest.mark.parametrize(
    ("line", "host", "status"),
    [
        (b"GET /health HTTP/1.0", None, 400),
        (b"GET /health HTTP/1.1", None, 400),
        (b"GET /health HTTP/1.0", b"localhost", 200),
        (b"GET /health HTTP/1.0", b"rebound.example", 403),
        (b"GET http://rebound.example/health HTTP/1.0", None, 400),
        (b"GET http://rebound.example/health HTTP/1.1", b"localhost", 400),
        (b"GET http://rebound.example/health HTTP/1.0", b"localhost", 400),
        (b"GET http://localhost/health HTTP/1.1", b"rebound.example", 400),
        (b"GET http://rebound.example/health HTTP/1.1", b"rebound.example", 403),
        (b"GET http://rebound.example/health HTTP/1.0", b"rebound.example", 403),
        (b"GET http://localhost/health HTTP/1.1", b"LOCALHOST", 200),
        (b"GET http:///health HTTP/1.1", b"localhost", 400),
        (b"GET http://localhost@rebound.example/health HTTP/1.1", b"localhost", 400),
    ],
)
async def test_the_host_is_known_and_judged_whatever_the_form_of_the_request(
    lab: Lab, line: bytes, host: bytes | None, status: int
) -> None:
    lab.start(lab.upstream(always(JSON)))
    fields = b"" if host is None else b"Host: " + host + b"\r\n"
    answer = await lab.ask(line + b"\r\n" + fields + b"\r\n", method="GET")
    assert answer.status == status


@pytest.mark.parametrize("name", [b"Host", ORIGIN, SITE])
async def test_a_field_that_is_judged_comes_once(lab: Lab, name: bytes) -> None:
    lab.start(lab.upstream(always(JSON)), server=OPEN)
    fields = {b"Host": b"localhost", ORIGIN: FRIEND, SITE: b"none"}
    twice = post(headers=[(name, fields[name]), (name.lower(), fields[name])])
    assert (await lab.ask(twice)).status == 400


# ---- without a token


@pytest.mark.parametrize("path", [b"/", b"/health", b"/ready", b"/api/hello", b"/v1/api/hello"])
async def test_local_paths_name_nothing_without_a_token(lab: Lab, path: bytes) -> None:
    lab.start(lab.upstream(always(JSON)), server=GUARDED)
    for fields in ([], [(b"x-api-key", b"relay-token-9")]):
        answer = await lab.ask(request(b"GET", path, fields), method="GET")
        assert (answer.status, answer.body) in (
            (200, b'{"status":"ok"}'),
            (200, b'{"ready":true}'),
        )
        assert not answer.get(b"server")
    known = await lab.ask(request(b"GET", path, [(b"x-api-key", TOKEN)]), method="GET")
    assert (b"first" in known.body) == (path == b"/ready")
    assert (b"version" in known.body) == (path not in (b"/ready", b"/health"))


async def test_ready_says_503_to_a_load_balancer(lab: Lab) -> None:
    relay = lab.start(provider("http://127.0.0.1:9", keys=["k-1"]), server=GUARDED)
    relay.providers[0].targets[0].limits.start_cooldown(relay.reactor.now + 60, 3)
    answer = await lab.ask(request(b"GET", b"/ready"), method="GET")
    known = await lab.ask(request(b"GET", b"/ready", [(b"x-api-key", TOKEN)]), method="GET")
    assert answer.status == known.status


# ---- wrong tokens


async def test_wrong_tokens_take_longer_and_longer_and_right_ones_do_not(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=GUARDED)
    client, other = await lab.client(), await lab.client()
    took = []
    for path in (b"/v1/messages", b"/v1/models", b"/ready"):  # every door costs the same
        began = time.monotonic()
        wire = request(b"GET", path, [(b"x-api-key", b"relay-token-9")])
        status = (await client.ask(wire, method="GET")).status
        took.append(time.monotonic() - began)
        assert status == (200 if path == b"/ready" else 401)
        began = time.monotonic()
        assert (await other.ask(post(headers=[(b"x-api-key", TOKEN)]))).status == 200
        assert (await other.ask(post())).status == 401  # no guess: a token is missing
        assert time.monotonic() - began < 0.1
    assert took[0] > 0.09
    assert took[1] > 0.19
    assert took[2] > 0.39


@pytest.mark.parametrize("ending", ["reset", "close", "wait"])
async def test_an_upload_with_a_wrong_token_holds_no_memory(lab: Lab, ending: str) -> None:
    relay = lab.start(lab.upstream(always(JSON)), server=GUARDED)
    client = await lab.client()
    wire = post(padded(8_000_000), headers=[(b"x-api-key", b"relay-token-9")])
    await client.send(wire[:200_000])
    for _ in range(50):
        if relay.dispatcher.token_throttle.waiting:
            break
        await asyncio.sleep(0.005)
    assert relay.dispatcher.token_throttle.waiting == 1
    assert relay.reactor.arena.out == 0
    if ending == "reset":
        client.reset()
    elif ending == "close":
        client.close()
    else:
        await client.send(wire[200_000:])
        assert (await client.answer()).status == 401


async def test_a_pipelined_request_waits_behind_a_wrong_token(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=GUARDED)
    client = await lab.client()
    good = post(headers=[(b"x-api-key", TOKEN)])
    await client.send(post(BODY, headers=[(b"x-api-key", b"relay-token-9")]) + good)
    assert (await client.answer()).status == 401
    assert (await client.answer()).status == 200


# ---- the log


async def test_a_flood_of_refusals_is_one_line_and_names_the_peer(lab: Lab) -> None:
    relay = lab.start(lab.upstream(always(JSON)), server=GUARDED)
    client = await lab.client()
    for _ in range(20):
        await client.ask(post())
    for _ in range(20):
        await client.ask(request(b"GET", b"/nowhere", [(b"x-api-key", TOKEN)]), method="GET")
    for _ in range(20):
        await lab.ask(b"GET /bad HTTP/9.9\r\nHost: localhost\r\n\r\n")
    lines = lab.sink.named("request_rejected")
    assert [(line["status"], line["peer"]) for line in lines] == [
        (401, "127.0.0.1"),
        (404, "127.0.0.1"),
        (400, "127.0.0.1"),
    ]
    relay.dispatcher.refusal_log.flush()
    counts = [line["count"] for line in lab.sink.named("requests_rejected")]
    assert counts == [19, 19, 19]
