"""What the relay does while nothing happens: holding back, pings, an early head."""

import asyncio
import time

import pytest

from tests.loopback.relay.harness import Client, Lab, Peer, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Stage, deaf, full_url, once
from tests.loopback.relay.wires import (
    BLOCK,
    CHUNKED_HEAD,
    CLOSE_HEAD,
    EVENTS,
    OVERLOADED,
    PING,
    SSE_HEAD,
    START,
    STOP,
    STREAM_BODY,
    Answer,
    chunks,
    delta,
    events_in,
    names_in,
    post,
    response,
)

RELAYS_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
REST = BLOCK + delta("Hello") + STOP


def without_pings(body: bytes) -> list[tuple[str, str]]:
    return [event for event in events_in(body) if event[0] != "ping"]


async def ask(lab: Lab, body: bytes = STREAM_BODY) -> Client:
    client = await lab.client()
    await client.send(post(body))
    return client


# ---- holding


async def test_message_start_is_held_until_content_proves_it_meant(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage))
    client = await ask(lab)
    peer = await stage.peer()
    await peer.send(CHUNKED_HEAD + chunks(PING, START, b": comment\n\n", PING, last=False))
    assert await client.silent(0.1)
    await peer.send(chunks(BLOCK[:20], last=False))
    assert await client.silent(0.05)
    await peer.send(chunks(BLOCK[20:], last=False))
    await client.until(BLOCK[-10:])
    await peer.send(chunks(delta("Hello"), STOP))
    answer = await client.answer()
    assert answer.body == PING + START + b": comment\n\n" + PING + REST


async def test_a_held_stream_that_turns_into_an_error_passes_both_on(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage))
    client = await ask(lab)
    peer = await stage.peer()
    await peer.send(CHUNKED_HEAD + chunks(START, last=False))
    assert await client.silent(0.05)
    await peer.send(chunks(OVERLOADED))
    assert (await client.answer()).body == START + OVERLOADED


async def test_what_is_held_is_bounded(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage))
    client = await ask(lab)
    peer = await stage.peer()
    comment = b": " + b"c" * 998 + b"\n\n"
    await peer.send(CHUNKED_HEAD + chunks(*[comment] * 300, last=False))
    await client.until(b"cccc")  # more than anybody holds back
    await peer.send(chunks(EVENTS))
    assert (await client.answer()).body == comment * 300 + EVENTS


# ---- pings


async def finish(client: Client, peer: Peer, wire: bytes) -> Answer:
    await peer.send(wire)
    return await client.answer()


@pytest.mark.parametrize("kind", ["chunked", "close"])
async def test_silence_between_events_is_filled_with_pings(lab: Lab, kind: str) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage), routing=routing(ping_s=0.2))
    client = await ask(lab)
    peer = await stage.peer()
    begun = START + BLOCK
    begin = CHUNKED_HEAD + chunks(begun, last=False) if kind == "chunked" else CLOSE_HEAD + begun
    await peer.send(begin)
    await client.until(RELAYS_PING)
    await asyncio.sleep(0.4)
    await peer.send(chunks(delta("Hello"), STOP) if kind == "chunked" else delta("Hello") + STOP)
    peer.close()
    answer = await client.answer()
    assert not answer.cut
    assert names_in(answer.body).count("ping") >= 2
    assert without_pings(answer.body) == events_in(START + REST)


async def test_no_ping_while_the_provider_is_lively(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunks(START + BLOCK, last=False))
        for _ in range(12):
            await peer.send(chunks(delta("x"), last=False), b"", pause_s=0.04)
        await peer.send(chunks(STOP))

    lab.start(lab.upstream(script), routing=routing(ping_s=0.4))
    answer = await (await ask(lab)).answer()
    assert "ping" not in names_in(answer.body)


@pytest.mark.parametrize("gap", ["inside an event", "inside a chunk", "inside a chunk size"])
async def test_a_ping_never_breaks_an_event_or_a_chunk(lab: Lab, gap: str) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage), routing=routing(ping_s=0.2))
    client = await ask(lab)
    peer = await stage.peer()
    begun = CHUNKED_HEAD + chunks(START + BLOCK, last=False)
    text = delta("Hello")
    if gap == "inside an event":
        first, second = chunks(text[:30], last=False), chunks(text[30:], last=False)
    elif gap == "inside a chunk":
        wire = chunks(text + text[:50], last=False)
        first, second = wire[: wire.index(b"\n\n") + 2], wire[wire.index(b"\n\n") + 2 :]
        second += chunks(text[50:], last=False)
    else:
        wire = chunks(text, last=False)
        first, second = wire[:1], wire[1:]
    await peer.send(begun + first)
    await asyncio.sleep(0.4)
    answer = await finish(client, peer, second + chunks(STOP))
    assert not answer.cut
    texts = events_in(text) * (2 if gap == "inside a chunk" else 1)
    assert without_pings(answer.body) == events_in(START + BLOCK) + texts + events_in(STOP)


async def test_a_stream_of_known_length_gets_no_ping(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage), routing=routing(ping_s=0.2))
    client = await ask(lab)
    peer = await stage.peer()
    await peer.send(SSE_HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENTS) + EVENTS[:-80])
    await asyncio.sleep(0.4)
    answer = await finish(client, peer, EVENTS[-80:])
    assert (answer.body, answer.cut) == (EVENTS, False)


async def test_an_old_client_gets_no_ping(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage), routing=routing(ping_s=0.2, early_head_s=0.2))
    client = await lab.client()
    await client.send(post(STREAM_BODY, version=b"1.0"))
    peer = await stage.peer()
    await asyncio.sleep(0.4)
    await peer.send(CHUNKED_HEAD + chunks(START + BLOCK, last=False))
    await asyncio.sleep(0.4)
    answer = await finish(client, peer, chunks(delta("Hello"), STOP))
    assert answer.body == START + REST


async def test_a_held_stream_shows_its_head_and_pings_but_not_its_start(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage), routing=routing(ping_s=0.2))
    client = await ask(lab)
    peer = await stage.peer()
    await peer.send(CHUNKED_HEAD + chunks(START, last=False))
    seen = await client.until(RELAYS_PING)
    assert b"request-id: req_upstream_1" in seen
    await asyncio.sleep(0.4)
    await client.until(RELAYS_PING)
    assert b"message_start" not in client.pending
    answer = await finish(client, peer, chunks(REST))
    assert without_pings(answer.body) == events_in(START + REST)
    assert names_in(answer.body)[0] == "ping"


@pytest.mark.parametrize("ends", ["reset", "stay"])
async def test_a_held_stream_that_dies_after_a_ping_ends_in_an_error_event(
    lab: Lab, ends: str
) -> None:
    wire = CHUNKED_HEAD + chunks(START, last=False)
    upstream = lab.upstream(once(wire, ends=ends, after_s=0.45))
    lab.start(upstream, routing=routing(ping_s=0.2, idle_s=0.45))
    answer = await (await ask(lab)).answer()
    assert (answer.status, answer.cut) == (200, False)
    assert names_in(answer.body)[-1] == "error"
    assert "message_start" not in names_in(answer.body)
    records = await lab.records()
    assert records[0]["ending"] in ("timed_out", "upstream_cut")


# ---- the early head


EARLY = {"early_head_s": 0.15, "ping_s": 0.2}


async def test_a_late_stream_follows_an_early_head(lab: Lab) -> None:
    for wire in (
        STREAM,
        CLOSE_HEAD + EVENTS,
        SSE_HEAD + b"Content-Length: %d\r\n\r\n" % len(EVENTS) + EVENTS,
    ):
        stage = Stage()
        relay = lab.start(lab.upstream(stage), routing=routing(**EARLY))
        begun_at = time.monotonic()
        client = await ask(lab)
        peer = await stage.peer()
        seen = await client.until(RELAYS_PING)
        assert 0.1 < time.monotonic() - begun_at < 0.6
        assert seen.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"text/event-stream" in seen
        await asyncio.sleep(0.25)
        await peer.send(wire)
        peer.close()
        answer = await client.answer()
        assert (answer.status, answer.cut) == (200, False)
        assert names_in(answer.body).count("ping") >= 2
        assert without_pings(answer.body) == events_in(EVENTS)
        await lab.stop(relay)


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (
            response(529, b'{"type":"error","error":{"type":"overloaded_error","message":"Over"}}'),
            b'"overloaded_error"',
        ),
        (
            response(
                400,
                b'{"type":"error","error":{"type":"invalid_request_error",\n"message":"m: 5 > 4"}}',
            ),
            b"m: 5 > 4",
        ),
        (response(502, b"<html>", [(b"Content-Type", b"text/html")]), b"502"),
        (b"garbage\r\n\r\n", b"not valid HTTP"),
        (b"", b"closed the connection"),
    ],
    ids=["529", "400", "html", "garbage", "close"],
)
async def test_a_late_error_becomes_an_event_of_the_stream(
    lab: Lab, wire: bytes, expected: bytes
) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage), routing=routing(**EARLY))
    client = await ask(lab)
    peer = await stage.peer()
    await client.until(RELAYS_PING)
    await peer.send(wire)
    peer.close()
    answer = await client.answer()
    assert (answer.status, answer.cut) == (200, False)
    assert names_in(answer.body)[-1] == "error"
    assert set(names_in(answer.body)[:-1]) == {"ping"}
    assert expected in answer.body
    assert len(await lab.records()) == 1


async def test_no_answer_at_all_becomes_an_event_too(lab: Lab) -> None:
    lab.start(lab.upstream(deaf), routing=routing(**EARLY, first_byte_s=0.5))
    answer = await (await ask(lab)).answer()
    assert names_in(answer.body)[-1] == "error"
    assert b"timeout_error" in answer.body


async def test_a_stream_that_breaks_behind_an_early_head_is_cut(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage), routing=routing(**EARLY))
    client = await ask(lab)
    peer = await stage.peer()
    await client.until(RELAYS_PING)
    await peer.send(CHUNKED_HEAD + chunks(START + BLOCK, delta("Hello")[:40], last=False))
    await client.until(BLOCK)
    peer.reset()
    answer = await client.answer()
    assert answer.cut


async def test_a_drain_limit_inside_a_chunk_behind_an_early_head_is_a_cut(lab: Lab) -> None:
    stage = Stage()
    relay = lab.start(lab.upstream(stage), routing=routing(**EARLY))
    client = await ask(lab)
    peer = await stage.peer()
    await client.until(RELAYS_PING)
    await peer.send(CHUNKED_HEAD + chunks(START + BLOCK + delta("x" * 500), last=False)[:-100])
    await client.until(b"xxxxx")
    assert await relay.drain(0.05) == 1
    answer = await client.answer()
    assert answer.cut
    assert "error" not in names_in(answer.body)


async def test_after_an_early_head_the_next_request_finds_its_connection_kept(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage), routing=routing(**EARLY))
    client = await ask(lab)
    peer = await stage.peer()
    await client.until(RELAYS_PING)
    assert not (await finish(client, peer, STREAM)).cut
    await client.send(post(STREAM_BODY))
    await peer.request()
    assert (await finish(client, peer, STREAM)).body == EVENTS


async def test_an_answer_that_is_not_to_be_streamed_gets_no_early_head(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage), routing=routing(**EARLY))
    client = await lab.client()
    await client.send(post())
    peer = await stage.peer()
    assert await client.silent(0.4)
    assert (await finish(client, peer, JSON)).status == 200


async def test_dialling_takes_its_time_behind_an_early_head(lab: Lab) -> None:
    with full_url() as full:
        lab.start(provider(full), routing=routing(**EARLY, connect_s=0.4))
        answer = await (await ask(lab)).answer()
    assert answer.status == 200
    assert names_in(answer.body)[-1] == "error"


async def test_time_spent_dialling_is_not_taken_from_the_first_byte(lab: Lab) -> None:
    async def late(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.1)
        await peer.send(JSON)

    upstream = lab.upstream(late)
    relay = lab.start(upstream, routing=routing(first_byte_s=0.3))
    pool = relay.context.config.pools["first"]
    dial = pool.dialer.dial

    async def slowly() -> object:
        await asyncio.sleep(0.4)
        return await dial()

    pool.dialer.dial = slowly  # type: ignore[method-assign]
    assert (await lab.ask(post())).status == 200
