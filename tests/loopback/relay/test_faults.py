"""Providers that fail before the client has seen anything of their answer."""

import asyncio

import pytest

from ccrelay.config.model import Affinity, Health
from tests.loopback.relay.harness import Lab, Peer, eventually, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Stage, always, deaf, once, refused_url
from tests.loopback.relay.wires import (
    BODY,
    CHUNKED_HEAD,
    EVENTS,
    MESSAGE,
    SSE_HEAD,
    START,
    STREAM_BODY,
    Request,
    chunks,
    padded,
    post,
    request,
    response,
)


@pytest.mark.parametrize("strategy", ["simple-shuffle", "failover"])
async def test_where_one_provider_refuses_the_other_takes_over(lab: Lab, strategy: str) -> None:
    upstream = lab.upstream(always(JSON))
    relay = lab.start(
        provider(refused_url(), "gone"),
        provider(upstream, "there"),
        routing=routing(strategy=strategy, affinity=Affinity(enabled=False)),
        health=Health(failures=1, open_s=30.0),
    )
    for _ in range(30):
        assert (await lab.ask(post())).status == 200
    assert {record["provider"] for record in lab.sink.records} == {"there"}
    assert not relay.providers[0].usable(relay.reactor.clock())
    unreachable = [event for event in lab.sink.events if event[1] == "connect_failed"]
    assert len(unreachable) == 1  # it rests: nobody else was sent there


async def test_where_all_providers_refuse_the_answer_is_502(lab: Lab) -> None:
    lab.start(provider(refused_url(), "one"), provider(refused_url(), "two"))
    client = await lab.client()
    for _ in range(2):
        answer = await client.ask(post())
        assert (answer.status, answer.error["type"]) == (502, "api_error")
    assert [record["ending"] for record in lab.sink.records] == ["answered"] * 2


BEFORE_A_BYTE = {
    "close": once(b""),
    "reset": once(b"", ends="reset"),
    "half a head": once(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "half a head and reset": once(b"HTTP/1.1 200 OK\r\nContent-Ty", ends="reset", after_s=0.02),
    "garbage": once(b"hello there, this is not HTTP\r\n\r\n"),
    "wrong version": once(b"HTTP/2 200 OK\r\n\r\n"),
    "bad status": once(b"HTTP/1.1 20x OK\r\n\r\n"),
    "switching": once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"),
    "two framings": once(
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": once(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    "bare LF": once(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"),
    "oversized head": once(b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 400_000 + b"\r\n\r\n"),
    "body missing": once(response(200, b"", length=9)),
    "start, then close": once(CHUNKED_HEAD + chunks(START, last=False)),
    "start, then reset": once(CHUNKED_HEAD + chunks(START, last=False), ends="reset", after_s=0.05),
    "held, then bad chunk": once(CHUNKED_HEAD + chunks(START, last=False) + b"xyz\r\n"),
}


@pytest.mark.parametrize("fault", BEFORE_A_BYTE)
async def test_a_provider_that_fails_first_is_one_whole_502_and_nothing_follows_it(
    lab: Lab, fault: str
) -> None:
    lab.start(lab.upstream(BEFORE_A_BYTE[fault], always(STREAM)))
    client = await lab.client()
    answer = await client.ask(post(STREAM_BODY))
    assert (answer.status, answer.cut) == (502, False)
    assert answer.error["type"] == "api_error"
    assert "first" in answer.error["message"]
    assert await client.silent(0.05), client.pending
    assert (await client.ask(post(STREAM_BODY))).body == EVENTS
    records = await lab.records(2)
    assert (records[0]["status"], records[0]["ending"]) == (502, "answered")


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nDa", CHUNKED_HEAD + chunks(START, last=False)]
)
async def test_a_provider_that_falls_silent_first_is_504(lab: Lab, sent: bytes) -> None:
    lab.start(lab.upstream(once(sent, ends="stay")), routing=routing(first_byte_s=0.2, idle_s=0.2))
    client = await lab.client()
    answer = await client.ask(post(STREAM_BODY))
    assert (answer.status, answer.error["type"]) == (504, "timeout_error")
    assert await client.silent(0.05), client.pending


async def test_the_total_limit_counts_while_the_others_are_kept(lab: Lab) -> None:
    lab.start(lab.upstream(deaf), routing=routing(first_byte_s=30, total_s=0.3))
    answer = await lab.ask(post())
    assert answer.status == 504
    assert "total_s" in answer.error["message"]


async def test_interim_answers_are_for_the_relay_alone(lab: Lab) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    wire = early + STREAM

    async def script(peer: Peer) -> None:
        for size in (len(wire), 1, 7):
            await peer.request()
            parts = [wire[i : i + size] for i in range(0, len(wire), size)]
            await peer.send(*parts)

    lab.start(lab.upstream(script))
    client = await lab.client()
    for _ in range(3):
        answer = await client.ask(post(STREAM_BODY))
        assert (answer.status, answer.interim, answer.body) == (200, [], EVENTS)


@pytest.mark.parametrize(
    "framing", [b"", b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n"]
)
async def test_an_answer_that_has_no_body_ends_with_its_head(lab: Lab, framing: bytes) -> None:
    wire = b"HTTP/1.1 204 Nothing\r\nETag: 1\r\n%b\r\n" % framing
    upstream = lab.upstream(always(wire))
    lab.start(provider(upstream, type="anthropic", passthrough=["files"]))
    client = await lab.client()
    for _ in range(3):
        answer = await client.ask(request(b"GET", b"/v1/files"), method="GET")
        assert (answer.status, answer.body, answer.get(b"etag")) == (204, b"", b"1")
        assert answer.get(b"content-length") is answer.get(b"transfer-encoding") is None
    assert upstream.connections == 1


async def test_a_body_that_ends_with_the_connection_is_whole(lab: Lab) -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + MESSAGE
    upstream = lab.upstream(once(wire))
    lab.start(upstream)
    client = await lab.client()
    for _ in range(2):
        answer = await client.ask(post())
        assert (answer.status, answer.body, answer.cut) == (200, MESSAGE, False)
    assert upstream.connections == 2


@pytest.mark.parametrize("kind", ["json", "stream"])
async def test_an_answer_before_the_request_is_whole_reaches_the_client(
    lab: Lab, kind: str
) -> None:
    stage = Stage(whole_request=False)
    lab.start(lab.upstream(stage))
    client = await lab.client()
    wire = post(padded(400_000))
    await client.send(wire[:100_000])
    peer = await stage.peer()
    await peer.send(JSON if kind == "json" else STREAM)
    answer = await client.answer()
    assert (answer.status, answer.get(b"connection")) == (200, b"close")
    assert answer.body == (MESSAGE if kind == "json" else EVENTS)
    await peer.gone()
    await client.send(wire[100_000:])  # whoever wants to may still send the rest
    assert await client.rest() == b""


async def test_a_413_sent_before_the_upload_ends_is_not_lost_in_the_noise(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.send(response(413, b'{"type":"error"}'))

    lab.start(lab.upstream(script))
    for _ in range(3):
        answer = await lab.ask(post(padded(8_000_000)))
        assert answer.status in (413, 502)


async def test_a_provider_error_to_be_translated_closes_what_it_could_not_read(lab: Lab) -> None:
    stage = Stage(whole_request=False)
    lab.start(provider(lab.upstream(stage), type="zai", auth="bearer"))
    client = await lab.client()
    await client.send(post(padded(400_000))[:100_000])
    peer = await stage.peer()
    await peer.send(response(429, b'{"error":{"code":"1302","message":"slow down"}}'))
    answer = await client.answer()
    assert (answer.status, answer.get(b"connection")) == (429, b"close")


async def test_zai_errors_are_told_in_anthropics_terms(lab: Lab) -> None:
    fields = [
        (b"Content-Type", b"application/json"),
        (b"request-id", b"r1"),
        (b"Retry-After", b"1"),
    ]
    body = b'{"error":{"code":"1113","message":"Insufficient balance"}}'
    upstream = lab.upstream(always(response(429, body, fields)))
    lab.start(provider(upstream, type="zai", auth="bearer"))
    client = await lab.client()
    for _ in range(2):
        answer = await client.ask(post(STREAM_BODY))
        assert (answer.status, answer.get(b"x-should-retry")) == (402, b"false")
        assert answer.json()["error"]["type"] == "billing_error"
        assert "1113" in answer.json()["error"]["message"]
        assert answer.get(b"retry-after") == b"1"
        assert answer.get(b"request-id") == b"r1"
    assert upstream.connections == 1
    assert [record["status"] for record in lab.sink.records] == [402, 402]


async def test_an_error_body_too_large_to_translate_is_502(lab: Lab) -> None:
    wire = response(500, b"x" * 2_000_000)
    lab.start(provider(lab.upstream(always(wire)), type="zai", auth="bearer"))
    assert (await lab.ask(post())).status == 502


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","messages":' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","k\xff":1}',
    ],
)
async def test_a_body_that_cannot_be_rewritten_costs_no_connection(lab: Lab, body: bytes) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, type="ollama", auth="none", keys=()))
    client = await lab.client()
    statuses = {(await client.ask(post(body))).status for _ in range(3)}
    assert statuses <= {200, 400}
    assert (await client.ask(post())).status == 200


async def test_keys_of_a_provider_take_turns(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(
        provider(lab.upstream(always(JSON, into=got)), keys=["test-key-1", "test-key-2"]),
        routing=routing(affinity=Affinity(enabled=False)),
    )
    client = await lab.client()
    for _ in range(40):
        await client.ask(post(BODY))
    assert {r.get(b"x-api-key") for r in got} == {b"test-key-1", b"test-key-2"}


async def test_a_rested_provider_is_tried_again(lab: Lab) -> None:
    health = Health(failures=1, open_s=0.1, open_max_s=0.1, probe="off")
    relay = lab.start(provider(refused_url(), "gone"), health=health)
    assert (await lab.ask(post())).status == 502
    assert not relay.providers[0].usable(relay.reactor.clock())
    await asyncio.sleep(0.15)
    assert relay.providers[0].usable(relay.reactor.clock())
    await eventually(lambda: not relay.context.active)


async def test_a_head_that_says_close_is_not_used_again(lab: Lab) -> None:
    wire = SSE_HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(EVENTS)
    upstream = lab.upstream(always(wire))
    lab.start(upstream)
    client = await lab.client()
    for _ in range(3):
        answer = await client.ask(post(STREAM_BODY))
        assert (answer.body, answer.get(b"connection"), answer.end) == (EVENTS, None, None)
    assert upstream.connections == 3
