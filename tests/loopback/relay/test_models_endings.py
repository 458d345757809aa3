"""GET /v1/models: clients that leave, drains, bodies, and whose credential asks for what."""

import asyncio

import pytest

from ccrelay.config.model import Auth, Provider
from ccrelay.relay import model_discovery as discovery
from tests.loopback.relay.harness import KEY, Lab, Peer, eventually, provider, server
from tests.loopback.relay.listings import (
    CANARY,
    MODELS,
    ask,
    discovering,
    gated,
    get,
    ids,
    is_known,
    listing,
    passing,
)
from tests.loopback.relay.scripts import JSON, always, deaf
from tests.loopback.relay.wires import Ended, Request, post, request, response


@pytest.fixture
def short_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients wait for a tenth of a second only."""
    monkeypatch.setattr(discovery, "HOLD_S", 0.1)


# ---- clients and endings


@pytest.mark.usefixtures("short_hold")
async def test_a_client_that_leaves_takes_nothing_away_from_the_others(lab: Lab) -> None:
    gate = asyncio.Event()
    upstream = lab.upstream(gated(listing("m-1"), gate))
    lab.start(discovering(upstream))
    client = await lab.client()
    await client.send(get())
    await eventually(lambda: len(lab.relay.context.active) == 1)
    client.close()
    await eventually(lambda: not lab.relay.context.active)
    assert not lab.relay.dispatcher.connections
    gate.set()
    await eventually(lambda: is_known(lab))
    assert ids(await ask(lab)) == ["m-1"]
    assert upstream.connections == 1


async def test_a_drain_waits_for_an_answer_under_way(lab: Lab) -> None:
    gate = asyncio.Event()
    upstream = lab.upstream(gated(listing("m-1"), gate))
    relay = lab.start(discovering(upstream))
    client = await lab.client()
    await client.send(get())
    await eventually(lambda: len(relay.context.active) == 1)
    draining = asyncio.ensure_future(relay.drain(5))
    await asyncio.sleep(0.1)
    gate.set()
    assert ids(await client.answer("GET")) == ["m-1"]
    assert await draining == 0


async def test_the_end_of_a_drain_is_said(lab: Lab) -> None:
    upstream = lab.upstream(deaf)
    relay = lab.start(discovering(upstream))
    client = await lab.client()
    await client.send(get())
    await eventually(lambda: len(relay.context.active) == 1)
    assert await relay.drain(0.1) == 1
    answer = await client.answer("GET")
    assert answer.status == 529
    assert "shutting down" in answer.error["message"]


async def test_a_worker_that_closes_meanwhile_leaves_nothing(lab: Lab) -> None:
    upstream = lab.upstream(deaf)
    relay = lab.start(discovering(upstream))
    client = await lab.client()
    await client.send(get())
    await eventually(lambda: upstream.connections == 1)
    await relay.close()
    assert (await client.answer("GET")).status == 529
    assert (await client.rest(), relay.context.active) == (b"", set())


@pytest.mark.usefixtures("short_hold")
async def test_requests_behind_one_that_waits_keep_their_order(lab: Lab) -> None:
    upstream = lab.upstream(deaf)
    lab.start(discovering(upstream, models=["mine", "*"]))
    client = await lab.client()
    await client.send(get() + get(b"/health"))
    assert ids(await client.answer("GET")) == ["mine"]
    assert (await client.answer("GET")).json() == {"status": "ok"}


@pytest.mark.usefixtures("short_hold")
async def test_a_body_with_the_question_does_no_harm(lab: Lab) -> None:
    upstream = lab.upstream(deaf)
    lab.start(discovering(upstream, models=["mine", "*"]))
    client = await lab.client()
    whole = request(b"GET", MODELS, body=b"x" * 100)
    assert ids(await client.ask(whole, method="GET")) == ["mine"]
    half = request(b"GET", MODELS, body=b"x" * 100)[:-50]
    answer = await client.ask(half, method="GET")
    assert ids(answer) == ["mine"]
    assert answer.get(b"connection") == b"close"


async def test_a_body_with_broken_framing_is_refused(lab: Lab) -> None:
    upstream = lab.upstream(deaf)
    lab.start(discovering(upstream))
    client = await lab.client()
    await client.send(get(MODELS, (b"transfer-encoding", b"chunked")))
    await eventually(lambda: len(lab.relay.context.active) == 1)
    assert (await client.ask(b"no chunk\r\n", method="GET")).status == 400


async def test_a_body_that_stops_coming_is_refused(lab: Lab) -> None:
    upstream = lab.upstream(deaf)
    lab.start(discovering(upstream), server=server(body_idle_s=0.1))
    client = await lab.client()
    answer = await client.ask(request(b"GET", MODELS, body=b"x" * 100)[:-50], method="GET")
    assert answer.status == 408


# ---- credentials


async def test_a_client_s_own_credential_asks_for_that_client_only(lab: Lab) -> None:
    asked: list[Request] = []

    async def by_credential(peer: Peer) -> None:
        one = await peer.request()
        asked.append(one)
        name = (one.get(b"x-api-key") or one.get(b"authorization") or b"nobody").split()[-1]
        await peer.send(listing(f"models-of-{name.decode()}"))

    upstream = lab.upstream(by_credential)
    lab.start(passing(upstream))
    anna = await ask(lab, MODELS, (b"x-api-key", b"anna"))
    bert = await ask(
        lab, MODELS, (b"authorization", b"Bearer bert"), (b"anthropic-beta", b"oauth-2025-04-20")
    )
    assert (ids(anna), ids(bert)) == (["models-of-anna"], ["models-of-bert"])
    assert ids(await ask(lab)) == [], "without a credential nobody is asked"
    assert len(asked) == 2
    assert asked[1].get(b"anthropic-beta") == b"oauth-2025-04-20"
    assert asked[1].get(b"x-api-key") is None


async def test_a_relay_token_never_goes_on(lab: Lab) -> None:
    asked: list[Request] = []
    upstream = lab.upstream(always(listing("m-1"), into=asked))
    lab.start(passing(upstream), server=server(auth=Auth(tokens=["relay-token-1"])))
    token, own = b"relay-token-1", b"own-login-1"
    await ask(lab, MODELS, (b"x-api-key", token), (b"authorization", b"Bearer " + own))
    await ask(lab, MODELS, (b"x-api-key", own), (b"authorization", b"Bearer " + token))
    assert ids(await ask(lab, MODELS, (b"x-api-key", token))) == [], "no credential of its own"
    assert [own in one.raw_head for one in asked] == [True, True]
    assert not any(token in one.raw_head for one in asked)


@pytest.mark.usefixtures("short_hold")
async def test_a_late_answer_to_a_client_s_own_credential_is_thrown_away(lab: Lab) -> None:
    left: list[Ended] = []

    async def patient(peer: Peer) -> None:
        left.append(await peer.gone())

    lab.start(passing(lab.upstream(patient)))
    assert ids(await ask(lab, MODELS, (b"x-api-key", b"anna"))) == []
    await eventually(lambda: bool(left))


async def test_no_key_appears_in_the_log(lab: Lab) -> None:
    own = lab.upstream(always(response(401, CANARY.encode())))
    other = lab.upstream(always(response(403, CANARY.encode())))
    lab.start(passing(own), discovering(other, "second", keys=(CANARY,)))
    answer = await ask(lab, MODELS, (b"x-api-key", CANARY.encode()))
    assert ids(answer) == []
    assert len(lab.sink.events) == 2
    assert CANARY not in lab.sink.text()
    assert CANARY.encode() not in answer.body


async def test_a_provider_without_usable_key_is_not_asked(lab: Lab) -> None:
    upstream = lab.upstream(deaf)
    disabled = discovering(upstream, models=["mine", "*"])
    keys = [type(disabled.keys[0])(key=KEY, enabled=False)]
    lab.start(type(disabled)(**{**_fields(disabled), "keys": keys}))
    assert ids(await ask(lab)) == ["mine"]
    assert upstream.connections == 0


def _fields(made: Provider) -> dict[str, object]:
    return {name: getattr(made, name) for name in made.__struct_fields__}


async def test_messages_go_on_while_lists_are_awaited(lab: Lab) -> None:
    slow = lab.upstream(deaf)
    quick = lab.upstream(always(JSON))
    lab.start(discovering(slow, models=["other"]), provider(quick, "second"))
    client = await lab.client()
    await client.send(get())
    await eventually(lambda: len(lab.relay.context.active) == 1)
    assert (await lab.ask(post())).status == 200
    client.close()
