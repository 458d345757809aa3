"""Work is bounded per turn of the loop: who sends much at once waits, and nobody waits for it."""

import asyncio
import time
from collections.abc import Callable

import pytest

from ccrelay.config.model import Auth
from tests.loopback.relay.harness import Client, Lab, eventually, server
from tests.loopback.relay.scripts import JSON, always
from tests.loopback.relay.wires import padded, post, request

TOKEN = "test-token-1"
MINE = [(b"X-Api-Key", TOKEN.encode())]
GUARDED = Auth(tokens=[TOKEN])
COUNT = 6000

# What a connection without a token can send, again and again, and its status.
ANSWERED_WITHOUT_A_TOKEN = {
    "health": (request(b"GET", b"/health"), 200),
    "ready": (request(b"GET", b"/ready"), 200),
    "hello": (request(b"HEAD", b"/api/hello"), 200),
    "no token": (request(b"GET", b"/v1/models"), 401),
    "no path": (request(b"GET", b"/nowhere"), 401),
    "no host": (request(b"GET", b"/health", [(b"Origin", b"https://evil.example")]), 403),
}
# With a token, and without an exchange that awaits anything.
ANSWERED_AT_ONCE = {
    "health": (request(b"GET", b"/health"), 200),
    "models": (request(b"GET", b"/v1/models", MINE), 200),
    "no path": (request(b"GET", b"/nowhere", MINE), 404),
    "no method": (request(b"GET", b"/v1/messages", MINE), 405),
    "no model": (post(b'{"model":7}', headers=MINE), 400),
}


async def longest_wait(lab: Lab, busy: Callable[[], bool]) -> float:
    """The longest that another client waited for a small answer while something was busy."""
    client = await lab.client()
    longest = 0.0
    while busy():
        began_at = time.monotonic()
        assert (await client.ask(request(b"GET", b"/health"), method="GET")).status == 200
        longest = max(longest, time.monotonic() - began_at)
        await asyncio.sleep(0.001)
    return longest


async def drain(client: Client, marker: bytes, count: int) -> None:
    """Read that many answers."""
    seen = 0
    while seen < count:
        assert await client.more()
        seen += client.pending.count(marker)
        client.pending = client.pending[-(len(marker) - 1) :]


def longest_turn(lab: Lab) -> Callable[[], float]:
    """Measure how long the loop is kept by one callback or more at a time, from now on.

    In CPU time: what else runs on the machine keeps the loop, too, and is not meant.
    """
    loop = asyncio.get_running_loop()
    seen = [time.thread_time(), 0.0]

    def look() -> None:
        now = time.thread_time()
        seen[1] = max(seen[1], now - seen[0])
        seen[0] = now
        handle[0] = loop.call_soon(look)

    handle = [loop.call_soon(look)]
    lab.closers.append(lambda: handle[0].cancel())
    return lambda: seen[1]


@pytest.mark.parametrize("kind", ANSWERED_WITHOUT_A_TOKEN)
async def test_without_a_token_each_pipelined_request_waits_for_a_turn(lab: Lab, kind: str) -> None:
    """One loop turn answers one request: the others are served in between."""
    wire, status = ANSWERED_WITHOUT_A_TOKEN[kind]
    relay = lab.start(lab.upstream(always(JSON)), server=server(auth=GUARDED))
    client = await lab.client()
    await eventually(lambda: len(relay.dispatcher.connections) == 1)
    marker = b"HTTP/1.1 %d " % status
    client.sock.send(wire * 20)
    answered = []
    for _ in range(40):
        await asyncio.sleep(0)
        before = len(answered)
        try:
            client.pending += client.sock.recv(1 << 20)
        except BlockingIOError:
            continue
        answered += [True] * (client.pending.count(marker) - before)
        assert len(answered) - before <= 2, "several requests in one turn"
    while len(answered) < 20:
        assert await client.more()
        answered = [True] * client.pending.count(marker)


@pytest.mark.parametrize("kind", ANSWERED_AT_ONCE)
async def test_with_a_token_a_few_pipelined_requests_share_a_turn(lab: Lab, kind: str) -> None:
    wire, status = ANSWERED_AT_ONCE[kind]
    lab.start(lab.upstream(always(JSON)), server=server(auth=GUARDED))
    client = await lab.client()
    assert (await client.ask(post(headers=MINE))).status == 200
    marker = b"HTTP/1.1 %d " % status
    client.sock.send(wire * 40)
    most = seen = 0
    while seen < 40:
        await asyncio.sleep(0)
        try:
            client.pending += client.sock.recv(1 << 20)
        except BlockingIOError:
            continue
        now = client.pending.count(marker)
        most = max(most, now - seen)
        seen = now
    assert most <= 8, "more than a few in one turn"


@pytest.mark.parametrize("kind", ANSWERED_WITHOUT_A_TOKEN)
async def test_who_pipelines_without_a_token_keeps_nobody_waiting(lab: Lab, kind: str) -> None:
    wire, status = ANSWERED_WITHOUT_A_TOKEN[kind]
    lab.start(lab.upstream(always(JSON)), server=server(auth=GUARDED))
    noisy = [await lab.client() for _ in range(4)]
    flood = [asyncio.ensure_future(client.send(wire * COUNT)) for client in noisy]
    marker = b"HTTP/1.1 %d " % status
    reading = [asyncio.ensure_future(drain(client, marker, COUNT // 4)) for client in noisy]
    longest = await longest_wait(lab, lambda: not all(task.done() for task in reading))
    for task in [*flood, *reading]:
        task.cancel()
    await asyncio.gather(*flood, *reading, return_exceptions=True)
    assert longest < 0.5  # it was seconds


async def test_before_the_first_admitted_request_no_more_than_a_head_is_read(lab: Lab) -> None:
    relay = lab.start(lab.upstream(always(JSON)), server=server(auth=GUARDED, head_bytes_max=4096))
    client = await lab.client(rcvbuf=4096)
    sending = asyncio.ensure_future(client.send(request(b"GET", b"/health") * 100_000))
    held = 0
    for _ in range(40):
        await asyncio.sleep(0.005)
        held = max(held, relay.reactor.account.held)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    # Twice: a buffer grows by doubling; and the answer that waits for the client.
    assert 0 < held <= 2 * 4096 + 1024


async def test_what_is_pipelined_behind_a_request_under_way_is_64_kb(lab: Lab) -> None:
    release = asyncio.Event()

    async def late(peer) -> None:  # type: ignore[no-untyped-def]
        while True:
            await peer.request()
            await release.wait()
            await peer.send(JSON)

    relay = lab.start(lab.upstream(late))
    client = await lab.client()
    wire = post(padded(20_000))
    sending = asyncio.ensure_future(client.send(wire * 40))
    await eventually(lambda: len(relay.context.active) == 1)
    await asyncio.sleep(0.1)
    assert relay.reactor.account.held <= 2 * 65_536 + 32_768  # doubled, and the body under way
    release.set()
    for _ in range(40):
        assert (await client.answer()).status == 200
    await sending


async def test_pipelined_requests_are_answered_in_order_over_many_turns(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    kinds = [request(b"GET", b"/health"), request(b"GET", b"/nowhere"), post()]
    statuses = [200, 404, 200]
    await client.send(b"".join(kinds * 60))
    for turn in range(180):
        method = "POST" if turn % 3 == 2 else "GET"
        assert (await client.answer(method)).status == statuses[turn % 3]


async def test_a_client_that_leaves_while_its_requests_wait_leaves_nothing(lab: Lab) -> None:
    relay = lab.start(lab.upstream(always(JSON)))
    for _ in range(5):
        client = await lab.client()
        await client.send(request(b"GET", b"/health") * 500)
        await client.more()
        client.reset()
    await eventually(lambda: not relay.dispatcher.connections)
    assert relay.reactor.account.held == 0


async def test_deadlines_that_fall_due_together_do_not_stop_the_others(lab: Lab) -> None:
    relay = lab.start(lab.upstream(always(JSON)), server=server(head_s=2))
    slow = [await lab.client() for _ in range(200)]
    for client in slow:
        client.sock.send(b"GET /")
    await eventually(lambda: relay.reactor.account.held >= 200 * 1024)
    turn = longest_turn(lab)
    for client in slow:
        assert (await client.answer("GET")).status == 408
    assert turn() < 0.1
