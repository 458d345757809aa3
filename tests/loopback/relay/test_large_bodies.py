"""Bodies that cost work: refused before it, or worked on while others are served."""

import asyncio
import gzip
import json
import time

import pytest

from ccrelay.config.model import Auth, Key, Provider
from ccrelay.fleet.layout import Layout
from ccrelay.relay.body_worker import BodyWorker
from ccrelay.wire.bodies import ELEMENTS_MAX
from tests.loopback.relay.harness import Lab, config, eventually, provider, routing, server
from tests.loopback.relay.scripts import JSON, always
from tests.loopback.relay.wires import Request, fault, padded, post

GZIP = [(b"Content-Encoding", b"gzip")]
MB = 1_000_000
REWRITES = {"type": "ollama", "system_role": "user"}
TOO_MANY = b",".join([b"1"] * (ELEMENTS_MAX + 10))
# Where items may stand.
DENSE = {
    "messages": b'{"model":"m","messages":[%b]}',
    "blocks": b'{"model":"m","messages":[{"role":"user","content":[%b]}]}',
    "tools": b'{"model":"m","tools":[%b],"messages":[]}',
    "an unknown member": b'{"model":"m","x":{"y":[%b]},"messages":[]}',
    "before the model": b'{"x":[%b],"model":"m","messages":[]}',
}


def turns(count: int, text: bytes = b"x" * 900) -> bytes:
    """A conversation with a system turn and blocks that Ollama does not know."""
    turn = b'{"role":"user","content":[{"type":"text","text":"%b"},{"type":"strange"}]}' % text
    first = b'{"role":"system","content":"be kind"}'
    return b'{"model":"m","messages":[%b]}' % b",".join([first, *[turn] * count])


def rewriting(lab: Lab, into: list[Request] | None = None, **fields: object) -> Provider:
    return provider(lab.upstream(always(JSON, into=into)), **{**REWRITES, **fields})


class Held:
    """Keeps the worker from beginning anything until `go`."""

    def __init__(self, worker: BodyWorker) -> None:
        self._gate = asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.worker = worker
        worker.run(-1, lambda: self._wait, lambda *_: None, 9.0)

    def _wait(self) -> None:
        asyncio.run_coroutine_threadsafe(self._gate.wait(), self.loop).result(9.0)

    def go(self) -> None:
        self._gate.set()


@pytest.mark.parametrize("place", DENSE)
@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_with_too_many_elements_is_refused_only_where_it_is_rewritten(
    lab: Lab, place: str, packed: bool
) -> None:
    got: list[Request] = []
    plain = provider(lab.upstream(always(JSON, into=got)), "plain", models=["plain"])
    lab.start(rewriting(lab, models=["m"]), plain)
    body = DENSE[place] % TOO_MANY
    passes = body.replace(b'"model":"m"', b'"model":"plain"')
    if packed:
        wires = [post(gzip.compress(one, 1), headers=GZIP) for one in (body, passes)]
    else:
        wires = [post(body), post(passes)]
    answer = await lab.ask(wires[0])
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert "500,000 JSON items" in answer.error["message"]
    assert (await lab.ask(wires[1])).status == 200
    assert got[0].body == passes


async def test_a_large_body_is_rewritten_like_a_small_one(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(rewriting(lab, got))
    for count in (3, 3000):
        assert (await lab.ask(post(turns(count)))).status == 200
    small, large = (json.loads(request.body) for request in got)
    assert small["messages"][0]["content"][0]["text"] == "be kind"
    assert large["messages"][:2] == small["messages"][:2]
    assert len(large["messages"]) == 3000
    assert all(one == small["messages"][1] for one in large["messages"][1:])


async def test_a_large_packed_body_has_its_model_mapped(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(provider(lab.upstream(always(JSON, into=got)), model_mapping={"*": "n"}))
    body = padded(5 * MB, model_last=True)
    assert (await lab.ask(post(gzip.compress(body, 1), headers=GZIP))).status == 200
    assert got[0].body == body.replace(b'"claude-test-1"', b'"n"')


async def test_tokens_of_a_large_body_are_counted_and_those_of_a_dense_one_by_its_length(
    lab: Lab,
) -> None:
    lab.start(rewriting(lab, count_tokens="estimate"))
    path = b"/v1/messages/count_tokens"
    answer = await lab.ask(post(turns(1000), path))
    assert 250_000 < answer.json()["input_tokens"] < 300_000
    answer = await lab.ask(post(DENSE["messages"] % TOO_MANY, path))
    assert answer.json()["input_tokens"] == pytest.approx(ELEMENTS_MAX * 2 / 3.6, rel=0.01)


@pytest.mark.parametrize("packed", [False, True])
async def test_a_client_that_leaves_meanwhile_leaves_nothing_behind(lab: Lab, packed: bool) -> None:
    got: list[Request] = []
    relay = lab.start(rewriting(lab, got))
    held = Held(relay.context.worker)
    client = await lab.client()
    body = turns(3000)
    await client.send(post(gzip.compress(body, 1), headers=GZIP) if packed else post(body))
    await eventually(lambda: len(relay.context.worker) == 2)
    client.close()
    await eventually(lambda: not relay.context.active)
    held.go()
    await eventually(lambda: len(relay.context.worker) == 0)
    assert got == []


async def test_a_reload_meanwhile_changes_nothing_for_it(lab: Lab) -> None:
    got: list[Request] = []
    relay = lab.start(rewriting(lab, got, keys=[Key(key="test-key-old")]))
    held = Held(relay.context.worker)
    asked = asyncio.ensure_future(lab.ask(post(turns(3000))))
    await eventually(lambda: len(relay.context.worker) == 2)
    made = config(rewriting(lab, keys=[Key(key="test-key-new")]))
    relay.reload(made, Layout.of(made))
    held.go()
    assert (await asked).status == 200
    assert got[0].get(b"x-api-key") == b"test-key-old"


async def test_a_drain_waits_for_it_and_ends_it_when_its_time_is_over(lab: Lab) -> None:
    relay = lab.start(rewriting(lab))
    held = Held(relay.context.worker)
    asked = asyncio.ensure_future(lab.ask(post(turns(3000))))
    await eventually(lambda: len(relay.context.worker) == 2)
    assert await relay.drain(0.1) == 1
    assert (await asked).status == 529
    held.go()


async def test_one_that_waits_for_too_long_is_told(lab: Lab) -> None:
    relay = lab.start(rewriting(lab), routing=routing(queue_timeout_s=0.1))
    held = Held(relay.context.worker)
    answer = await lab.ask(post(turns(3000)))
    assert (answer.status, answer.get(b"retry-after")) == (529, b"1")
    held.go()


async def test_what_is_made_of_bodies_counts_against_their_memory(lab: Lab) -> None:
    relay = lab.start(rewriting(lab), server=server(memory_bytes_max=12 * MB))  # a client has 9
    assert (await lab.ask(post(turns(2000)))).status == 200  # 2 MB, three times
    answer = await lab.ask(post(turns(4000)))
    assert answer.status == 529
    assert "memory_bytes_max" in answer.error["message"]
    packed = gzip.compress(padded(10 * MB), 1)
    assert (await lab.ask(post(packed, headers=GZIP))).status == 529
    await eventually(lambda: relay.reactor.account.held == 0)


async def test_signatures_that_a_large_body_has_are_stripped_after_a_rejection(lab: Lab) -> None:
    got: list[Request] = []
    rejected = fault(
        400, "invalid_request_error", "messages.1: Invalid `signature` in `thinking` block"
    )
    upstream = lab.upstream(always(rejected, into=got))
    lab.start(provider(upstream, type="anthropic", signatures="claude"))
    thought = b'{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},'
    thought += b'{"type":"text","text":"a"}]}'
    body = turns(300).replace(b'"messages":[', b'"messages":[' + thought + b",")
    answer = await lab.ask(post(body))
    assert answer.status == 400  # it says so once more
    assert [b'"thinking"' in request.body for request in got] == [True, False]
    answer = await lab.ask(post(turns(300)))  # nothing can be left out: no second time
    assert answer.status == 400
    assert b"signature" in answer.body
    assert len(got) == 3


async def test_a_small_request_is_not_held_up_by_a_large_one(lab: Lab) -> None:
    plain = provider(lab.upstream(always(JSON)), "plain", models=["claude-test-1"])
    lab.start(rewriting(lab, models=["m"]), plain)
    large = asyncio.ensure_future(lab.ask(post(DENSE["blocks"] % b",".join([b"{}"] * 50_000))))
    took = []
    client = await lab.client()
    while not large.done():
        began = time.perf_counter()
        assert (await client.ask(post())).status == 200
        took.append(time.perf_counter() - began)
    assert (await large).status == 200
    assert len(took) > 3  # inline it would be one


# ---- the pending queue


TOKENS = Auth(tokens=["test-token-1", "test-token-2"])


def asked_by(token: bytes) -> bytes:
    return post(headers=[(b"x-api-key", token)])


async def test_one_client_cannot_fill_the_pending_queue(lab: Lab) -> None:
    relay = lab.start(
        provider(lab.upstream(always(JSON)), keys=[Key(key="test-key-1", max_concurrent=1)]),
        routing=routing(queue_max=4, queue_timeout_s=2),
        server=server(auth=TOKENS),
    )
    target = relay.providers[0].targets[0]
    held = target.limits.reserve_unchecked(relay.reactor.clock(), 1, 1)
    waiting = [asyncio.ensure_future(lab.ask(asked_by(b"test-token-1"))) for _ in range(2)]
    await eventually(lambda: len(relay.context.queue) == 2)
    surplus = await lab.ask(asked_by(b"test-token-1"))
    assert surplus.status == 429
    assert surplus.get(b"retry-after") is not None
    waiting += [asyncio.ensure_future(lab.ask(asked_by(b"test-token-2")))]
    await eventually(lambda: len(relay.context.queue) == 3)
    first = relay.context.queue.waiters()
    assert [one.request.client == first[0].request.client for one in first] == [True, False, True]
    held.cancel(relay.reactor.clock())
    relay.context.queue.poke()
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 3
