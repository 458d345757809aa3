"""Slow clients, clients that leave, and the end of a worker."""

import asyncio
import hashlib
import time

import pytest

from tests.loopback.relay.harness import Client, Lab, Peer, eventually, provider, routing, server
from tests.loopback.relay.scripts import JSON, STREAM, Stage, always, deaf, full_url
from tests.loopback.relay.wires import (
    BLOCK,
    CHUNKED_HEAD,
    EVENTS,
    MESSAGE,
    START,
    STOP,
    STREAM_BODY,
    Ended,
    chunks,
    delta,
    names_in,
    padded,
    post,
    response,
)

# The loop looks every few milliseconds; the rest is for a machine that is busy with other tests.
AT_ONCE_S = 0.25


class Hose:
    """A provider that sends a stream of `count` chunks as fast as it may."""

    def __init__(self, count: int, size: int = 65_536) -> None:
        self.count = count
        self.chunk = chunks(delta("y" * size), last=False)
        self.sent = 0
        self.digest = hashlib.sha256()

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        await self._send(peer, CHUNKED_HEAD + chunks(START + BLOCK, last=False))
        for _ in range(self.count):
            await self._send(peer, self.chunk)
        await self._send(peer, chunks(STOP))

    async def _send(self, peer: Peer, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(peer.sock, data)
        self.sent += len(data)
        self.digest.update(data)


async def settled_at(hose: Hose) -> int:
    """Where the hose has come to a stop."""
    last = -1
    while hose.sent != last:
        last = hose.sent
        await asyncio.sleep(0.15)
    return last


# ---- slow clients


async def test_a_client_that_reads_nothing_stops_the_provider_and_later_gets_every_byte(
    lab: Lab,
) -> None:
    hose = Hose(800)  # 50 MB
    relay = lab.start(lab.upstream(hose))
    client = await lab.client(rcvbuf=65_536)
    await client.send(post(STREAM_BODY))
    stopped_at = await settled_at(hose)
    assert stopped_at < 25_000_000  # what three pairs of kernel buffers hold
    assert max(down.queued for down in relay.dispatcher.connections) < 1_000_000
    digest, tail = hashlib.sha256(), b""
    head = (await client.until(b"\r\n\r\n")).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    client.pending = client.pending[len(head) :]
    while not tail.endswith(b"\r\n0\r\n\r\n"):
        digest.update(client.pending)
        tail, client.pending = (tail + client.pending)[-10:], b""
        if not tail.endswith(b"\r\n0\r\n\r\n"):
            assert await client.more()
    expected = hashlib.sha256()
    expected.update(chunks(START + BLOCK, last=False))
    for _ in range(hose.count):
        expected.update(hose.chunk)
    expected.update(chunks(STOP))
    assert digest.digest() == expected.digest()
    assert (await lab.records())[0]["ending"] == "complete"


async def test_a_client_that_takes_nothing_for_too_long_is_cut_off(lab: Lab) -> None:
    hose = Hose(2000)
    lab.start(
        lab.upstream(hose),
        server=server(write_stall_s=0.4),
        routing=routing(idle_s=0.2, ping_s=0.3),
    )
    client = await lab.client(rcvbuf=4096)
    await client.send(post(STREAM_BODY))
    records = await lab.records()
    assert (records[0]["ending"], records[0]["error"]) == ("timed_out", "client_stalled")
    await client.rest()
    assert client.end is Ended.RESET


async def test_a_slow_but_steady_client_is_not_cut_off(lab: Lab) -> None:
    # The kernel tells of room only when a third of its buffer is free: steady means that fast.
    hose = Hose(160)
    lab.start(lab.upstream(hose), server=server(write_stall_s=0.7), routing=routing(ping_s=0.3))
    client = await lab.client(rcvbuf=65_536)
    await client.send(post(STREAM_BODY))
    begun_at = time.monotonic()
    tail = b""
    while not tail.endswith(b"\r\n0\r\n\r\n"):
        assert await client.more(), "cut off"
        tail, client.pending = (tail + client.pending)[-10:], b""
        await asyncio.sleep(0.01)
    assert time.monotonic() - begun_at > 0.9


# ---- clients that leave


async def left(lab: Lab, began_at: float) -> None:
    records = await lab.records()
    assert time.monotonic() - began_at < AT_ONCE_S
    assert (len(records), records[0]["ending"]) == (1, "client_left")


def leave(client: Client, how: str) -> float:
    if how == "reset":
        client.reset()
    else:
        client.close()
    return time.monotonic()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("where", ["before the head", "held", "in the stream", "in the body"])
async def test_when_the_client_leaves_the_provider_is_told_at_once(
    lab: Lab, where: str, how: str
) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage))
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await stage.peer()
    if where == "held":
        await peer.send(CHUNKED_HEAD + chunks(START, last=False))
        await asyncio.sleep(0.05)
    elif where == "in the stream":
        await peer.send(CHUNKED_HEAD + chunks(START + BLOCK, last=False))
        await client.until(BLOCK)
    elif where == "in the body":
        await peer.send(response(200, MESSAGE)[:-20])
        await client.until(MESSAGE[:-20])
    began_at = leave(client, how)
    await peer.gone(1)
    assert time.monotonic() - began_at < AT_ONCE_S
    await left(lab, began_at)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_leaving_in_the_middle_of_an_upload_tells_the_provider(lab: Lab, how: str) -> None:
    stage = Stage(whole_request=False)
    lab.start(lab.upstream(stage))
    client = await lab.client()
    await client.send(post(padded(3_000_000))[:700_000])
    peer = await stage.peer()
    began_at = leave(client, how)
    await peer.gone(1)
    await left(lab, began_at)


async def test_leaving_while_the_relay_dials_is_noticed(lab: Lab) -> None:
    with full_url() as url:
        lab.start(provider(url))
        client = await lab.client()
        await client.send(post())
        await asyncio.sleep(0.1)
        await left(lab, leave(client, "close"))


async def test_leaving_before_the_model_is_known_is_noticed(lab: Lab) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(upstream)
    client = await lab.client()
    await client.send(post(padded(100_000, model_last=True))[:50_000])
    await asyncio.sleep(0.05)
    await left(lab, leave(client, "close"))
    assert upstream.connections == 0


async def test_leaving_with_the_answer_unread_is_noticed(lab: Lab) -> None:
    hose = Hose(800)
    lab.start(lab.upstream(hose))
    client = await lab.client(rcvbuf=4096)
    await client.send(post(STREAM_BODY))
    await settled_at(hose)
    began_at = leave(client, "close")
    await left(lab, began_at)


async def test_a_connection_dialled_for_a_client_that_left_serves_the_next_one(lab: Lab) -> None:
    upstream = lab.upstream(always(JSON))
    relay = lab.start(upstream)
    await _dial_for_nobody(lab)
    assert (await lab.ask(post())).status == 200
    assert (upstream.connections, relay.stats()["dialled"]) == (1, 1)


async def test_such_a_connection_may_be_stale_without_the_next_client_noticing(lab: Lab) -> None:
    async def dies(peer: Peer) -> None:
        await peer.request()

    upstream = lab.upstream(dies, always(JSON))
    lab.start(upstream)
    await _dial_for_nobody(lab)
    assert (await lab.ask(post())).status == 200
    assert upstream.connections == 2


async def _dial_for_nobody(lab: Lab) -> None:
    """Let a client leave while its connection is dialled."""
    relay = lab.relay
    pool = relay.context.config.pools["first"]
    dial = pool.dialer.dial
    began = asyncio.Event()

    async def slowly() -> object:
        began.set()
        await asyncio.sleep(0.1)
        return await dial()

    pool.dialer.dial = slowly  # type: ignore[method-assign]
    client = await lab.client()
    await client.send(post())
    await began.wait()
    client.close()
    await lab.records()
    await eventually(lambda: relay.stats()["idle_upstreams"] == 1)
    pool.dialer.dial = dial  # type: ignore[method-assign]


# ---- draining


async def test_a_drain_lets_a_running_stream_finish_with_its_pings(lab: Lab) -> None:
    stage = Stage()
    relay = lab.start(lab.upstream(stage), routing=routing(ping_s=0.3))
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await stage.peer()
    await peer.send(CHUNKED_HEAD + chunks(START + BLOCK, last=False))
    await client.until(BLOCK)
    draining = asyncio.ensure_future(relay.drain(5))
    await client.until(b"event: ping")
    assert not draining.done()
    await peer.send(chunks(delta("Hello"), STOP))
    answer = await client.answer()
    assert not answer.cut
    assert names_in(answer.body)[-1] == "message_stop"
    assert await draining == 0
    assert await client.rest() == b""


async def test_a_drain_closes_idle_connections_and_takes_no_new_ones(lab: Lab) -> None:
    stage = Stage()
    relay = lab.start(lab.upstream(stage))
    idle, fresh, busy = [await lab.client() for _ in range(3)]
    await idle.send(post())
    await (await stage.peer()).send(JSON)
    await idle.answer()
    await busy.send(post())
    peer = await stage.peer() if not stage._peers.empty() else None
    draining = asyncio.ensure_future(relay.drain(0.4))
    assert await idle.rest(1) == b""
    assert await fresh.rest(1) == b""
    late = await lab.client()
    await late.send(post())
    assert await late.silent(0.1)
    assert peer is None or not draining.done()
    await draining


async def test_a_request_behind_another_is_told_to_close_while_draining(lab: Lab) -> None:
    stage = Stage()
    relay = lab.start(lab.upstream(stage))
    client = await lab.client()
    await client.send(post() + post())
    peer = await stage.peer()
    draining = asyncio.ensure_future(relay.drain(3))
    await asyncio.sleep(0.02)
    await peer.send(JSON)
    assert (await client.answer()).status == 200
    await peer.request()
    await peer.send(JSON)
    answer = await client.answer()
    assert (answer.status, answer.get(b"connection")) == (200, b"close")
    assert await client.rest() == b""
    assert await draining == 0


@pytest.mark.parametrize("begun", [False, True])
async def test_the_drain_limit_cuts_what_still_runs(lab: Lab, begun: bool) -> None:
    stage = Stage()
    relay = lab.start(lab.upstream(stage))
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await stage.peer()
    if begun:
        await peer.send(CHUNKED_HEAD + chunks(START + BLOCK + delta("x")[:30], last=False))
        await client.until(b"content_block_delta")
    assert await relay.drain(0.1) == 1
    answer = await client.answer()
    if begun:
        assert answer.cut
    else:
        assert (answer.status, answer.error["type"]) == (529, "overloaded_error")
    await peer.gone(1)


async def test_a_listener_that_had_to_pause_stays_stopped(lab: Lab) -> None:
    relay = lab.start(lab.upstream(always(JSON)), server=server(connections_max=1))
    first, second = await lab.client(), await lab.client()
    await eventually(lambda: len(relay.dispatcher.connections) == 1)
    await asyncio.sleep(0.05)
    relay.stop_listening()
    first.close()
    await asyncio.sleep(0.3)
    assert not relay.dispatcher.connections
    assert await second.silent(0.01)


async def test_the_limit_of_connections_counts_clients_and_lets_the_next_one_in(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(connections_max=2))
    first = await lab.client()
    assert (await first.ask(post())).status == 200
    second = await lab.client()
    assert (await second.ask(post())).status == 200
    third = await lab.client()
    await third.send(post())
    assert await third.silent(0.2)
    first.close()
    assert (await third.answer()).status == 200


async def test_closing_the_relay_ends_everything_in_every_state(lab: Lab) -> None:
    relay = lab.start(lab.upstream(deaf), provider(lab.upstream(Hose(800)), "hose", models=["h"]))
    clients = [await lab.client(rcvbuf=4096) for _ in range(5)]
    await clients[1].send(post()[:20])
    await clients[2].send(post())
    await clients[3].send(post(STREAM_BODY))
    await clients[4].send(post(padded(500_000))[:300_000])
    await asyncio.sleep(0.2)
    await relay.close()
    for client in clients:
        await client.rest(1)
        assert client.end is not None
    assert relay.reactor.connections == 0


async def test_a_stream_ends_before_the_next_request_begins(lab: Lab) -> None:
    lab.start(lab.upstream(always(STREAM)))
    client = await lab.client()
    for _ in range(5):
        assert (await client.ask(post(STREAM_BODY))).body == EVENTS
