"""Bodies that come slowly: they hold no target while they come, and not for ever."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable

import pytest

from ccrelay.config.model import Key
from tests.loopback.relay.harness import Client, Lab, Peer, eventually, provider, routing, server
from tests.loopback.relay.scripts import JSON, Stage, always
from tests.loopback.relay.wires import BODY, Request, chunked_post, padded, post

MB = 1_000_000
ONE_AT_A_TIME = Key(key="test-key-1", max_concurrent=1)
GZIP = [(b"Content-Encoding", b"gzip")]

LONG = padded(300_000)
SLOW_WIRES: dict[str, tuple[bytes, int]] = {
    # What is sent, and how much of it at once before it drips.
    "small": (post(), -len(BODY) + 30),
    "long, model first": (post(LONG), 1000),
    "long, model last": (post(padded(300_000, model_last=True)), 1000),
    "long, most of it late": (post(LONG), 30_000),
    "chunked": (chunked_post([BODY[:40], BODY[40:]]), -20),
    "chunked, long": (chunked_post([LONG[:200_000], LONG[200_000:]]), 200_000),
    "gzip": (post(gzip.compress(BODY), headers=GZIP), -10),
    "count_tokens": (post(path=b"/v1/messages/count_tokens"), -10),
}


async def dripping(client: Client, wire: bytes, at_once: int) -> AsyncIterator[None]:
    """Send some at once and the rest a byte at a time, for as long as it is asked for."""
    head_end = wire.index(b"\r\n\r\n") + 4
    first = at_once if at_once < 0 else head_end + at_once
    await client.send(wire[:first])
    for byte in wire[first:]:
        client.sock.send(bytes([byte]))
        yield


async def drip(client: Client, wire: bytes, at_once: int, count: int = 20) -> None:
    drips = dripping(client, wire, at_once)
    for _ in range(count):
        await anext(drips)
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("rewrites", [False, True])
@pytest.mark.parametrize("kind", SLOW_WIRES)
async def test_a_dripped_body_holds_no_place(lab: Lab, kind: str, rewrites: bool) -> None:
    upstream = lab.upstream(always(JSON))
    relay = lab.start(
        provider(upstream, keys=[ONE_AT_A_TIME], model_mapping={"*": "m-2"} if rewrites else {}),
        routing=routing(queue_timeout_s=0.5),
    )
    wire, at_once = SLOW_WIRES[kind]
    for _ in range(3):
        await drip(await lab.client(), wire, at_once, 5)
    await eventually(lambda: len(relay.context.active) == 3)
    assert relay.providers[0].key_pool.in_flight == 0
    began_at = time.monotonic()
    assert (await lab.ask(post())).status == 200
    assert time.monotonic() - began_at < 0.4
    assert upstream.connections == 1


@pytest.mark.parametrize("kind", [kind for kind in SLOW_WIRES if kind != "count_tokens"])
async def test_a_dripped_body_is_served_when_it_is_whole(lab: Lab, kind: str) -> None:
    got: list[Request] = []
    lab.start(provider(lab.upstream(always(JSON, into=got)), keys=[ONE_AT_A_TIME]))
    wire, at_once = SLOW_WIRES[kind]
    client = await lab.client()
    head_end = wire.index(b"\r\n\r\n") + 4
    first = at_once if at_once < 0 else head_end + at_once
    await client.send(wire[:first])
    await asyncio.sleep(0.02)
    await client.send(wire[first : first + 5], wire[first + 5 :], pause_s=0.02)
    assert (await client.answer()).status == 200
    assert len(got) == 1


async def test_a_body_that_comes_fast_goes_on_while_it_arrives(lab: Lab) -> None:
    stage = Stage(whole_request=False)
    lab.start(provider(lab.upstream(stage), keys=[ONE_AT_A_TIME]))
    client = await lab.client()
    wire = post(padded(MB))
    await client.send(wire[:70_000])
    peer = await stage.peer()
    await client.send(wire[70_000:])
    while len(peer.pending) < MB:
        assert await peer.more()
    await peer.send(JSON)
    assert (await client.answer()).status == 200


async def test_a_place_is_given_back_when_the_body_stops_coming_fast(lab: Lab) -> None:
    """The attempt ends without blame; the request is sent when its body is whole."""
    got: list[Request] = []
    first_peer = asyncio.Event()

    async def script(peer: Peer) -> None:
        if not first_peer.is_set():
            first_peer.set()
            await peer.gone(20)
            return
        got.append(await peer.request())
        await peer.send(JSON)

    relay = lab.start(
        provider(lab.upstream(script), keys=[ONE_AT_A_TIME]),
        routing=routing(queue_timeout_s=10.0, first_byte_s=30.0, total_s=60.0),
    )
    client = await lab.client()
    wire = post(padded(MB))
    await client.send(wire[:100_000])
    await asyncio.wait_for(first_peer.wait(), 5)
    assert relay.providers[0].key_pool.in_flight == 1
    # 100 KB are enough for the first two seconds; nothing is not, for the next two.
    await eventually(lambda: relay.providers[0].key_pool.in_flight == 0, wait_s=8)
    assert (await lab.ask(post())).status == 200
    await client.send(wire[100_000:])
    assert (await client.answer()).status == 200
    assert [request.body for request in got] == [BODY, padded(MB)]
    assert relay.providers[0].usable(relay.reactor.now)


async def test_a_body_that_is_not_kept_and_stops_coming_is_408(lab: Lab) -> None:
    stage = Stage(whole_request=False)
    lab.start(
        provider(lab.upstream(stage), keys=[ONE_AT_A_TIME]), server=server(replay_bytes_max=0)
    )
    client = await lab.client()
    await client.send(post(padded(MB))[:200_000])
    peer = await stage.peer()
    assert (await client.answer(wait_s=8)).status == 408
    await peer.gone()


# ---- the deadline by size and rate

NARROW = {"body_rate_min": 1000, "body_slow_s": 0.3}
RATES: list[tuple[str, dict[str, float], Callable[[int], bytes], bool]] = [
    # name, limits, the piece sent n-th of 50, 20 ms apart, whether it is served
    ("a byte at a time", NARROW, lambda n: b" ", False),
    ("above the rate", NARROW, lambda n: b" " * 40, True),
    ("no rate asked for", {**NARROW, "body_rate_min": 0}, lambda n: b" ", True),
    ("a burst does not pay for later", NARROW, lambda n: b" " * (1 if n else 5000), False),
    ("slow within the allowance", {**NARROW, "body_slow_s": 5.0}, lambda n: b" ", True),
]


@pytest.mark.parametrize(("name", "limits", "piece", "served"), RATES)
async def test_a_body_below_the_least_rate_is_408(
    lab: Lab,
    name: str,
    limits: dict[str, float],
    piece: Callable[[int], bytes],
    served: bool,
) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(**limits))
    client = await lab.client()
    pieces = [piece(n) for n in range(50)]
    body = BODY + b"".join(pieces)
    wire = post(body)
    await client.send(wire[: len(wire) - len(body) + len(BODY)])
    answering = asyncio.ensure_future(client.answer())
    for one in pieces:
        if answering.done():
            break
        client.sock.send(one)
        await asyncio.sleep(0.02)
    answer = await answering
    assert answer.status == (200 if served else 408), name
    if not served:
        assert answer.get(b"connection") == b"close"


async def test_a_slow_uplink_is_fast_enough(lab: Lab) -> None:
    """256 kbit/s, here 32 times as fast as in life, with the limits scaled likewise."""
    lab.start(
        lab.upstream(always(JSON)), server=server(body_rate_min=1024 * 32, body_slow_s=60 / 32)
    )
    client = await lab.client()
    wire = post(padded(2 * MB))
    for at in range(0, len(wire), 32 * 1024):
        await client.send(wire[at : at + 32 * 1024])
        await asyncio.sleep(0.03)
    assert (await client.answer()).status == 200
