"""Providers that fail in the middle of their answer: nothing is run again, nothing is faked."""

import hashlib

import pytest

from tests.loopback.relay.harness import Lab, Peer, Script, eventually, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Stage, always, once
from tests.loopback.relay.wires import (
    BLOCK,
    CHUNKED_HEAD,
    CLOSE_HEAD,
    EVENTS,
    OVERLOADED,
    SSE_HEAD,
    START,
    STOP,
    STREAM_BODY,
    chunks,
    delta,
    names_in,
    post,
    response,
)

BEGUN = START + BLOCK + delta("Hello")


def rss() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.parametrize("place", ["between events", "inside an event"])
async def test_a_stream_that_falls_silent_ends_with_an_error_or_a_cut(lab: Lab, place: str) -> None:
    sent = BEGUN if place == "between events" else BEGUN + delta("x")[:30]
    wire = CHUNKED_HEAD + chunks(sent, last=False)
    lab.start(lab.upstream(once(wire, ends="stay")), routing=routing(idle_s=0.3))
    answer = await lab.ask(post(STREAM_BODY))
    assert answer.status == 200
    if place == "between events":
        assert not answer.cut
        assert names_in(answer.body)[-1] == "error"
        assert b'"timeout_error"' in answer.body
    else:
        assert answer.cut
        assert answer.body == sent
    records = await lab.records()
    assert records[0]["ending"] == "timed_out"
    assert records[0]["error"] == "upstream_idle"


async def test_pings_of_a_dead_stream_are_no_sign_of_life(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunks(BEGUN, last=False))
        while True:
            ping = b'event: ping\ndata: {"type": "ping"}\n\n'
            await peer.send(chunks(ping, last=False), b"", pause_s=0.05)

    lab.start(lab.upstream(script), routing=routing(idle_s=0.4))
    answer = await lab.ask(post(STREAM_BODY))
    assert names_in(answer.body)[-1] == "error"


async def test_the_total_limit_ends_a_lively_stream(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunks(BEGUN, last=False))
        for _ in range(60):
            await peer.send(chunks(delta("x"), last=False), b"", pause_s=0.02)
        await peer.send(chunks(STOP))

    lab.start(lab.upstream(script), routing=routing(total_s=0.4, idle_s=20, first_byte_s=20))
    answer = await lab.ask(post(STREAM_BODY))
    assert "message_stop" not in names_in(answer.body)
    assert answer.cut or names_in(answer.body)[-1] == "error"
    assert (await lab.records())[0]["error"] == "upstream_total"


async def test_a_stream_that_ends_early_but_cleanly_is_passed_on_as_it_is(lab: Lab) -> None:
    upstream = lab.upstream(always(CHUNKED_HEAD + chunks(BEGUN)))
    lab.start(upstream)
    client = await lab.client()
    for _ in range(2):
        answer = await client.ask(post(STREAM_BODY))
        assert (answer.body, answer.cut) == (BEGUN, False)
    assert upstream.connections == 1


async def test_an_error_event_first_passes_on_in_its_own_words(lab: Lab) -> None:
    for events in (OVERLOADED, START + OVERLOADED, b": hm\n\n" + OVERLOADED + delta("late")):
        relay = lab.start(lab.upstream(always(CHUNKED_HEAD + chunks(events))))
        answer = await lab.ask(post(STREAM_BODY))
        assert (answer.status, answer.body, answer.cut) == (200, events, False)
        assert lab.sink.records[-1]["error"] == "error_event"
        await lab.stop(relay)


# ---- providers that say nothing of their failures


OLLAMA_WIRES = {
    "chunked": lambda events: CHUNKED_HEAD + chunks(events),
    "close": lambda events: CLOSE_HEAD + events,
    "length": lambda events: SSE_HEAD + b"Content-Length: %d\r\n\r\n" % len(events) + events,
}


@pytest.mark.parametrize("wire", OLLAMA_WIRES)
async def test_an_ollama_stream_that_just_ends_gets_an_error_event(lab: Lab, wire: str) -> None:
    upstream = lab.upstream(once(OLLAMA_WIRES[wire](BEGUN)))
    lab.start(provider(upstream, type="ollama", auth="none", keys=()))
    answer = await lab.ask(post(STREAM_BODY))
    assert answer.body.startswith(BEGUN)
    assert names_in(answer.body)[len(names_in(BEGUN)) :] == ["error"]
    assert not answer.cut
    assert (await lab.records())[0]["error"] == "unfinished"


@pytest.mark.parametrize("wire", OLLAMA_WIRES)
async def test_an_ollama_stream_that_is_whole_gets_nothing_added(lab: Lab, wire: str) -> None:
    upstream = lab.upstream(once(OLLAMA_WIRES[wire](EVENTS)))
    lab.start(provider(upstream, type="ollama", auth="none", keys=()))
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.body, answer.cut) == (EVENTS, False)


async def test_an_ollama_stream_that_ends_inside_an_event_is_not_taken_for_whole(
    lab: Lab,
) -> None:
    sent = BEGUN + delta("torn")[:40]
    upstream = lab.upstream(once(CHUNKED_HEAD + chunks(sent)))
    lab.start(provider(upstream, type="ollama", auth="none", keys=()))
    answer = await lab.ask(post(STREAM_BODY))
    assert answer.cut or names_in(answer.body)[-1] == "error"


# ---- sizes and connections


async def test_one_event_of_20_mb_passes_without_being_stored(lab: Lab) -> None:
    piece = b"y" * 65_536
    count = 320

    async def script(peer: Peer) -> None:
        await peer.request()
        first = b'event: content_block_delta\ndata: {"type":"content_block_delta","x":"'
        await peer.send(CHUNKED_HEAD + chunks(START + first, last=False))
        part = chunks(piece, last=False)
        for _ in range(count):
            await peer.send(part)
        await peer.send(chunks(b'"}\n\n' + STOP))

    relay = lab.start(lab.upstream(script))
    client = await lab.client()
    before = rss()
    await client.send(post(STREAM_BODY))
    await client.until(b'"x":"')
    total, worst, tail = 0, 0, b""
    while not tail.endswith(b"0\r\n\r\n"):
        assert await client.more()
        total += len(client.pending)
        tail, client.pending = (tail + client.pending)[-100:], b""
        worst = max(worst, *(down.queued for down in relay.dispatcher.connections))
    assert total > count * 65_536
    assert worst <= 1_000_000
    assert rss() - before < 16_000_000
    assert (await lab.records())[0]["output"] == 55


async def test_bytes_behind_an_answer_end_the_trust_in_its_connection(lab: Lab) -> None:
    for wire in (JSON + b"more", STREAM + STREAM):
        upstream = lab.upstream(always(wire))
        relay = lab.start(upstream)
        client = await lab.client()
        for _ in range(3):
            answer = await client.ask(post(STREAM_BODY))
            assert answer.status == 200
            assert not client.pending
        assert upstream.connections == 3
        await lab.stop(relay)


async def test_bytes_on_an_idle_connection_end_it(lab: Lab) -> None:
    async def chatty(peer: Peer) -> None:
        await peer.request()
        await peer.send(JSON, response(408, b"{}"), pause_s=0.03)
        await peer.gone()

    upstream = lab.upstream(chatty)
    relay = lab.start(upstream)
    client = await lab.client()
    for n in range(3):
        assert (await client.ask(post())).status == 200
        await eventually(lambda: relay.stats()["idle_upstreams"] == 0)
        assert upstream.connections == n + 1


async def test_an_idle_connection_closed_by_the_provider_is_forgotten(lab: Lab) -> None:
    upstream = lab.upstream(once(JSON, after_s=0.05))
    relay = lab.start(upstream)
    client = await lab.client()
    for _ in range(3):
        assert (await client.ask(post())).status == 200
        await eventually(lambda: relay.stats()["idle_upstreams"] == 0)
    assert {record["attempts"] for record in lab.sink.records} == {1}


async def test_an_idle_connection_is_closed_after_its_time(lab: Lab) -> None:
    stage = Stage()
    relay = lab.start(lab.upstream(stage), routing=routing(pool_idle_s=0.2))
    client = await lab.client()
    await client.send(post())
    peer = await stage.peer()
    await peer.send(JSON)
    await client.answer()
    assert relay.stats()["idle_upstreams"] == 1
    await peer.gone(1)
    assert relay.stats()["idle_upstreams"] == 0


# ---- connections that died while they were idle


def dies_at_second(sent: bytes, ends: str = "close") -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(JSON)
        await peer.request()
        await peer.send(sent)
        if ends == "reset":
            peer.reset()

    return script


@pytest.mark.parametrize("ends", ["close", "reset"])
async def test_a_stale_connection_is_replaced_without_the_client_noticing(
    lab: Lab, ends: str
) -> None:
    upstream = lab.upstream(dies_at_second(b"", ends), always(STREAM))
    lab.start(provider(upstream, model_mapping={"*": "m-2"}))
    client = await lab.client()
    assert (await client.ask(post())).status == 200
    answer = await client.ask(post(STREAM_BODY))
    assert (answer.status, answer.body) == (200, EVENTS)
    assert [record["attempts"] for record in lab.sink.records] == [1, 1]
    assert upstream.connections == 2


async def test_a_fresh_connection_is_not_replaced_a_second_time(lab: Lab) -> None:
    upstream = lab.upstream(dies_at_second(b""), once(b""), always(JSON))
    lab.start(upstream)
    client = await lab.client()
    assert (await client.ask(post())).status == 200
    assert (await client.ask(post())).status == 502
    assert upstream.connections == 2


@pytest.mark.parametrize("sent", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", CHUNKED_HEAD])
async def test_once_a_byte_has_come_nothing_is_sent_twice(lab: Lab, sent: bytes) -> None:
    upstream = lab.upstream(dies_at_second(sent), always(JSON))
    lab.start(upstream)
    client = await lab.client()
    assert (await client.ask(post())).status == 200
    assert (await client.ask(post())).status == 502
    assert upstream.connections == 1


async def test_a_large_upload_into_a_dead_connection_is_sent_again_whole(lab: Lab) -> None:
    body = STREAM_BODY[:-1] + b',"x":"' + b"y" * 3_000_000 + b'"}'
    got: list[str] = []

    async def closes(peer: Peer) -> None:
        await peer.request()
        await peer.send(JSON)
        await peer.until(b"\r\n\r\n")
        peer.reset()

    async def digests(peer: Peer) -> None:
        got.append(hashlib.sha256((await peer.request()).body).hexdigest())
        await peer.send(JSON)

    lab.start(lab.upstream(closes, digests))
    client = await lab.client()
    assert (await client.ask(post())).status == 200
    assert (await client.ask(post(body))).status == 200
    assert got == [hashlib.sha256(body).hexdigest()]
