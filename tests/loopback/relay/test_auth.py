"""Who may come in, and whose credential goes where."""

import gzip

import pytest

from ccrelay.config.model import Auth
from tests.loopback.relay.harness import KEY, Lab, provider, server
from tests.loopback.relay.scripts import JSON, always, once, refused_url
from tests.loopback.relay.wires import BODY, Request, padded, post, request, response

TOKEN = b"relay-token-1"
OWN_KEY = b"client-own-key-1"
LOGIN = b"Bearer client-login-1"
GUARDED = server(auth=Auth(tokens=[TOKEN.decode(), "relay-token-2"]))
BETAS = (b"anthropic-beta", b"oauth-2025-04-20,claude-code-20250219")

Fields = list[tuple[bytes, bytes]]


@pytest.mark.parametrize(
    "fields",
    [
        [(b"x-api-key", TOKEN)],
        [(b"Authorization", b"Bearer " + TOKEN)],
        [(b"authorization", b"bearer relay-token-2")],
        [(b"x-api-key", TOKEN), (b"Authorization", b"Bearer " + TOKEN)],
        [(b"x-api-key", b"something-else"), (b"Authorization", b"Bearer " + TOKEN)],
        [(b"x-api-key", TOKEN), (b"Authorization", b"Bearer something-else")],
    ],
)
async def test_a_relay_token_in_either_field_opens_and_stays_here(lab: Lab, fields: Fields) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)), server=GUARDED)
    client = await lab.client()
    for _ in range(2):
        assert (await client.ask(post(headers=fields))).status == 200
    for seen in got:
        assert seen.all(b"x-api-key") == [KEY.encode()]
        assert seen.get(b"authorization") is None
        assert b"relay-token" not in seen.raw_head + seen.body
        assert b"something-else" not in seen.raw_head


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"x-api-key", b"relay-token-3")],
        [(b"x-api-key", TOKEN + b"x")],
        [(b"x-api-key", TOKEN[:-1])],
        [(b"x-api-key", b"")],
        [(b"Authorization", TOKEN)],
        [(b"Authorization", b"Basic " + TOKEN)],
        [(b"Authorization", b"Bearer")],
        [(b"X-Other", TOKEN)],
    ],
)
async def test_without_a_relay_token_the_answer_is_401_once_and_for_all(
    lab: Lab, fields: Fields
) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(upstream, server=GUARDED)
    client = await lab.client()
    for wire in (post(headers=fields), request(b"GET", b"/v1/models", fields)):
        answer = await client.ask(wire)
        assert (answer.status, answer.error["type"]) == (401, "authentication_error")
        assert answer.get(b"x-should-retry") == b"false"
        assert b"relay-token" not in answer.body
    assert upstream.connections == 0


async def test_a_kept_connection_is_asked_again_when_its_credential_changes(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=GUARDED)
    client = await lab.client()
    good, bad = [(b"x-api-key", TOKEN)], [(b"x-api-key", b"relay-token-9")]
    for fields, status in ((good, 200), (bad, 401), (good, 200), ([], 401), (good, 200)):
        assert (await client.ask(post(headers=fields))).status == status
    rebound = post(headers=good).replace(b"localhost", b"evil.test")
    assert (await client.ask(rebound)).status == 403


async def test_401_for_a_large_upload_is_still_read_by_the_client(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=GUARDED)
    answer = await lab.ask(post(padded(8_000_000)))
    assert (answer.status, answer.get(b"connection")) == (401, b"close")


async def test_health_needs_no_token_and_tells_no_secret(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=GUARDED)
    for path in (b"/", b"/health", b"/ready", b"/api/hello"):
        answer = await lab.ask(request(b"GET", path))
        assert answer.status == 200
        assert KEY.encode() not in answer.body


# ---- pass-through of the client's own credential


@pytest.mark.parametrize(
    "fields",
    [
        [(b"X-Api-Key", OWN_KEY)],
        [(b"Authorization", LOGIN), BETAS],
        [(b"X-Api-Key", OWN_KEY), (b"Authorization", LOGIN), (b"Cookie", b"a=b"), BETAS],
    ],
)
async def test_the_clients_own_credential_passes_untouched(lab: Lab, fields: Fields) -> None:
    got: list[Request] = []
    lab.start(provider(lab.upstream(always(JSON, into=got)), type="anthropic", keys=()))
    assert (await lab.ask(post(headers=fields))).status == 200
    passed = [field for field in got[0].headers if field in fields]
    assert passed == [field for field in fields if field[0] != b"Cookie"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("fields", "kept", "gone"),
    [
        ([(b"x-api-key", TOKEN), (b"Authorization", LOGIN)], b"authorization", b"x-api-key"),
        (
            [(b"x-api-key", OWN_KEY), (b"Authorization", b"Bearer " + TOKEN)],
            b"x-api-key",
            b"authorization",
        ),
    ],
)
async def test_beside_a_relay_token_the_own_credential_passes_and_the_token_does_not(
    lab: Lab, fields: Fields, kept: bytes, gone: bytes, packed: bool
) -> None:
    got: list[Request] = []
    upstream = lab.upstream(always(JSON, into=got))
    lab.start(provider(upstream, type="anthropic", keys=()), server=GUARDED)
    body = gzip.compress(BODY) if packed else BODY
    more = [(b"Content-Encoding", b"gzip")] if packed else []
    for path in (b"/v1/messages", b"/v1/messages/count_tokens"):
        assert (await lab.ask(post(body, path, [*fields, BETAS, *more]))).status == 200
    for seen in got:
        assert seen.get(kept) == {n.lower(): v for n, v in fields}[kept]
        assert seen.get(gone) is None
        assert seen.get(b"anthropic-beta") == BETAS[1]
        assert TOKEN not in seen.raw_head
        assert seen.body == BODY


async def test_no_field_that_repeats_a_relay_token_reaches_a_pass_through_provider(
    lab: Lab,
) -> None:
    got: list[Request] = []
    upstream = lab.upstream(always(JSON, into=got))
    lab.start(provider(upstream, type="anthropic", keys=()), server=GUARDED)
    fields = [
        (b"x-api-key", OWN_KEY),
        (b"x-api-key", TOKEN),
        (b"Authorization", b"Bearer " + TOKEN),
    ]
    await lab.ask(post(headers=fields))
    assert [seen for seen in got if TOKEN in seen.raw_head] == []


@pytest.mark.parametrize("path", [b"/v1/messages", b"/v1/files"])
async def test_a_relay_token_alone_cannot_pay_a_pass_through_provider(
    lab: Lab, path: bytes
) -> None:
    got: list[Request] = []
    upstream = lab.upstream(always(JSON, into=got))
    lab.start(provider(upstream, type="anthropic", keys=(), passthrough=["files"]), server=GUARDED)
    for fields in ([(b"x-api-key", TOKEN)], [(b"Authorization", b"Bearer " + TOKEN)]):
        answer = await lab.ask(post(path=path, headers=fields))
        assert (answer.status, answer.get(b"x-should-retry")) == (401, b"false")
        assert "first" in answer.error["message"]
    assert got == []


async def test_a_clients_login_never_reaches_a_provider_with_a_key(lab: Lab) -> None:
    got: list[Request] = []
    fields = [(b"Authorization", LOGIN), (b"X-Api-Key", OWN_KEY), (b"Cookie", b"session=1")]
    for kind, auth in (("anthropic", "x-api-key"), ("compatible", "bearer"), ("zai", "bearer")):
        upstream = lab.upstream(always(JSON, into=got))
        relay = lab.start(provider(upstream, type=kind, auth=auth))
        assert (await lab.ask(post(headers=fields))).status == 200
        await lab.stop(relay)
    ollama = lab.upstream(always(JSON, into=got))
    lab.start(provider(ollama, type="ollama", auth="none", keys=()))
    assert (await lab.ask(post(headers=fields))).status == 200
    assert len(got) == 4
    for seen in got:
        assert b"client-" not in seen.raw_head
        assert b"session=1" not in seen.raw_head
    assert got[0].get(b"x-api-key") == KEY.encode()
    assert got[1].get(b"authorization") == b"Bearer " + KEY.encode()
    assert got[3].get(b"x-api-key") is got[3].get(b"authorization") is None


# ---- canaries


async def test_no_secret_shows_in_any_record_event_error_repr_or_count(lab: Lab) -> None:
    key, token, login = "canary-key-7f3a", "canary-token-7f3a", "canary-login-7f3a"
    good = lab.upstream(always(JSON))
    bad = lab.upstream(once(b"garbage\r\n\r\n"))
    relay = lab.start(
        provider(good, "good", keys=[key], models=["good"]),
        provider(bad, "bad", keys=[key + "-2"], models=["bad"]),
        provider(refused_url(), "gone", keys=[key + "-3"], models=["gone"]),
        provider(
            lab.upstream(always(response(401, b"{}"))),
            "own",
            keys=(),
            type="anthropic",
            models=["own"],
        ),
        server=server(auth=Auth(tokens=[token])),
    )
    shown = ""
    for model in (b"good", b"bad", b"gone", b"own", b"unknown"):
        body = b'{"model":"%b"}' % model
        for credential in (token, "canary-wrong-7f3a"):
            fields = [
                (b"x-api-key", credential.encode()),
                (b"Authorization", b"Bearer " + login.encode()),
            ]
            answer = await lab.ask(post(body, headers=fields))
            shown += repr(answer)
    snap = relay.context.config
    for thing in (relay.config, relay.providers, relay.stats(), snap.routes, snap.pools):
        shown += repr(thing)
    shown += repr((snap.by_slot, snap.routes.remembered, snap.pool_keys, snap.strategy))
    for service in relay.providers:
        shown += repr((service, service.targets, service.dialect, service.endpoint))
        shown += repr([target.plan for target in service.targets])
    shown += lab.sink.text()
    assert "canary" not in shown
    assert len(lab.sink.records) == 5
