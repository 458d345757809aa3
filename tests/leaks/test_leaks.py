"""Thousands of exchanges of every kind, and nothing is left of them."""

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator

import pytest
import uvloop

from ccrelay.config.model import Health, Key
from tests.loopback.relay.harness import Lab, Peer, eventually, provider, routing, server
from tests.loopback.relay.scripts import JSON, STREAM, always, refused_url
from tests.loopback.relay.wires import (
    BLOCK,
    CHUNKED_HEAD,
    EVENTS,
    START,
    STREAM_BODY,
    chunked_post,
    chunks,
    fault,
    padded,
    post,
    request,
    response,
)

ROUNDS = 300  # of more than a dozen exchanges each
# Those that the collector knows; what holds no objects shows in the memory of the process.
WATCHED = (
    *("Upstream", "Downstream", "Exchange", "Attempt", "Outcome", "ClientRequest", "Task"),
    *("Target", "Candidate"),
    *(
        "RoutingRequest",
        "Route",
        "Selection",
        "RetryState",
        "ErrorReply",
        "Reservation",
        "Binding",
        "_Entry",
    ),
)
GROWTH_BYTES_MAX = 1_000_000  # 0.2 KB an exchange: less than one forgotten head


@pytest.fixture(params=["uvloop", "asyncio"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield runner


def census() -> Counter[str]:
    """How many objects of the relay's kinds exist."""
    gc.collect()
    names = (type(thing).__name__ for thing in gc.get_objects())
    return Counter(name for name in names if name in WATCHED)


def rss() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def body(model: str, more: str = "") -> bytes:
    return b'{"model":"%b"%b}' % (model.encode(), more.encode())


THINKING = ',"messages":[{"role":"assistant","content":[{"type":"thinking"},{"type":"text"}]}]'
SIGNATURE = fault(400, "invalid_request_error", "Invalid `signature` in `thinking` block")


async def torn(peer: Peer) -> None:
    """A provider that breaks off every stream."""
    await peer.request()
    await peer.send(CHUNKED_HEAD + chunks(START, BLOCK, last=False))
    peer.reset()


async def one_round(lab: Lab) -> None:
    """Sixteen exchanges of all kinds, on one connection that is kept and some that are not."""
    client = await lab.client()
    assert (await client.ask(post(STREAM_BODY))).body == EVENTS
    assert (await client.ask(post(body("json")))).status == 200
    assert (await client.ask(post(body("mapped")))).status == 200
    assert (await client.ask(chunked_post([body("json")]))).status == 200
    assert (await client.ask(post(padded(70_000)))).status == 200
    assert (await client.ask(post(body("refused")))).status == 502
    assert (await client.ask(post(body("unknown")))).status == 404
    assert (await client.ask(post(body("busy")))).status == 429
    assert (await client.ask(request(b"GET", b"/v1/models"), method="GET")).status == 200
    assert (await client.ask(post(body("moves", ',"stream":true')))).body == EVENTS
    assert (await client.ask(post(body("fails")))).status == 529
    assert (await client.ask(post(body("foreign", THINKING)))).status == 400
    assert (await client.ask(post(body("torn", ',"stream":true')))).cut
    one, other = await lab.client(), await lab.client()
    await one.send(post(body("narrow")))
    await other.send(post(body("narrow")))  # waits for its turn
    assert [(await one.answer()).status, (await other.answer()).status] == [200, 200]
    for wire in (post(body("deaf")), post(padded(9000))[:5000]):
        leaver = await lab.client()
        await leaver.send(wire)
        await asyncio.sleep(0)
        leaver.reset()
    assert (await lab.ask(post(body("x")[:-1]))).status == 400
    for left in lab.clients:
        left.close()
    lab.clients.clear()


async def rounds(lab: Lab, count: int) -> int:
    """So many rounds; how many exchanges were recorded. What the log would have is not kept."""
    recorded = 0
    for _ in range(count):
        await one_round(lab)
        recorded += len(lab.sink.records)
        lab.sink.records.clear()
        lab.sink.events.clear()
    relay = lab.relay
    await eventually(lambda: not relay.context.active and not relay.dispatcher.connections)
    await asyncio.sleep(0.05)
    return recorded


async def soak(lab: Lab) -> None:
    async def never(peer: Peer) -> None:
        await peer.gone(60)

    busy = response(429, b'{"error":{"code":"1302","message":"slow down"}}')
    relay = lab.start(
        provider(lab.upstream(always(STREAM)), "stream", models=["claude-*"]),
        provider(
            lab.upstream(always(JSON)), "json", models=["json"], model_mapping={"mapped": "m"}
        ),
        provider(lab.upstream(always(busy)), "busy", type="zai", auth="bearer", models=["busy"]),
        provider(lab.upstream(torn), "torn", models=["torn"]),
        provider(lab.upstream(never), "deaf", models=["deaf"]),
        provider(refused_url(), "refused", models=["refused"]),
        provider(lab.upstream(always(fault(529))), "ill", models=["moves", "fails"]),
        provider(refused_url(), "gone", models=["moves", "fails"]),
        provider(lab.upstream(always(STREAM)), "well", models=["moves"]),
        provider(lab.upstream(always(SIGNATURE)), "strict", models=["foreign"]),
        provider(
            lab.upstream(always(JSON)),
            "narrow",
            models=["narrow"],
            keys=[Key(key="test-key-1", max_concurrent=1)],
        ),
        server=server(keepalive_s=30),
        routing=routing(strategy="failover"),
        # What fails here fails every time, and is to be tried every time.
        health=Health(failures=1000, failure_rate=1.0, window_requests_min=1 << 20),
    )
    await rounds(lab, 10)
    witness = await lab.client()
    assert (await witness.ask(post(STREAM_BODY))).body == EVENTS
    before = census()
    assert min(before["Upstream"], before["Downstream"], before["Target"]) > 0
    witness.close()
    memory = rss()
    tasks = len(asyncio.all_tasks())
    idle = relay.stats()["idle_upstreams"]
    assert await rounds(lab, ROUNDS) >= 5000
    after = census()
    grown = {name: after[name] - before[name] for name in after if after[name] > before[name] + 3}
    assert grown == {}
    assert rss() - memory < GROWTH_BYTES_MAX
    assert len(asyncio.all_tasks()) <= tasks + 2
    assert relay.reactor.arena.out == 0
    assert relay.stats()["idle_upstreams"] <= idle + 2
    assert relay.reactor.connections == relay.stats()["idle_upstreams"]
    assert [service.key_pool.in_flight for service in relay.providers] == [0] * len(relay.providers)
    assert relay.stats()["queued"] == 0


@pytest.mark.slow
def test_five_thousand_exchanges_of_all_kinds_leave_nothing(runner: asyncio.Runner) -> None:
    lab = Lab()
    runner.get_loop().set_exception_handler(lambda _, context: lab.complaints.append(context))
    runner.run(lab.open())
    try:
        runner.run(asyncio.wait_for(soak(lab), 100))
    finally:
        runner.run(asyncio.wait_for(lab.finish(), 20))
