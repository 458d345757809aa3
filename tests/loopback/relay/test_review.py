"""Reproductions of a review."""

import asyncio
import time

import pytest

from ccrelay.config.model import Affinity, Health, Key
from tests.loopback.relay.harness import Lab, eventually, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Reply, Stage, Turns, hang_up, then
from tests.loopback.relay.wires import (
    BODY,
    CHUNKED_HEAD,
    EVENTS,
    START,
    STREAM_BODY,
    OVERLOADED,
    chunks,
    fault,
    post,
    request,
)


class Desk:
    """A provider whose requests, over all connections, are answered when the test says so."""

    def __init__(self):
        self._asked = asyncio.Queue()

    async def __call__(self, peer):
        while True:
            peer.seen = await peer.request()
            peer.freed = asyncio.Event()
            self._asked.put_nowait(peer)
            await peer.freed.wait()

    async def peer(self):
        return await asyncio.wait_for(self._asked.get(), 5)


async def reply(peer, data):
    await peer.send(data)
    if hasattr(peer, "freed"):
        peer.freed.set()


ANYWHERE = Affinity(enabled=False)
SESSION = b"x-claude-code-session-id"
AGENT = b"x-claude-code-agent-id"


async def test_head_of_a_failed_attempt_never_goes_out(lab: Lab) -> None:
    second = Stage()
    one = provider(lab.upstream(Turns(CHUNKED_HEAD + chunks(START, OVERLOADED))), "one")
    lab.start(
        one,
        provider(lab.upstream(second), "two"),
        routing=routing(strategy="failover", ping_s=0.1, early_head_s=0.3),
    )
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await second.peer()
    await asyncio.sleep(0.8)
    await peer.send(STREAM)
    raw = await client.until(b"message_stop")
    print(raw)
    assert raw.count(b"HTTP/1.1 200") == 1


@pytest.mark.parametrize("bounds", [{"max_wait_s": 0}, {"waiting_max": 0}])
async def test_conversation_that_cannot_wait_for_its_key_goes_elsewhere(lab: Lab, bounds) -> None:
    turns = Turns(JSON)
    keys = [Key(key="test-key-1", max_concurrent=1), Key(key="test-key-2", max_concurrent=1)]
    stage = Desk()
    lab.start(provider(lab.upstream(stage), keys=keys), routing=routing(**bounds))
    a = await lab.client()
    big = BODY.replace(b"hi", b"hi" * 4000)
    await a.send(post(big, headers=[(SESSION, b"s1")]))
    peer = await stage.peer()
    from tests.loopback.relay.wires import response

    msg = (
        b'{"id":"m","type":"message","role":"assistant","content":[],"model":"claude-test-1",'
        b'"stop_reason":"end_turn","usage":{"input_tokens":3000,"output_tokens":9}}'
    )
    await reply(peer, response(200, msg))
    await a.answer()
    # home is busy with a sub-agent of the same session
    b = await lab.client()
    await b.send(post(big, headers=[(SESSION, b"s1"), (AGENT, b"x")]))
    held = await stage.peer()
    c = await lab.client()
    await c.send(post(big, headers=[(SESSION, b"s1")]))

    async def serve():
        p = await stage.peer()
        await reply(p, response(200, msg))

    task = asyncio.create_task(serve())
    answer = await c.answer()
    print(
        answer.status,
        [(t.gauge.in_flight, t.slot) for t in lab.relay.services[0].targets],
        lab.relay.snap.router._affinity_wait_s,
        lab.sink.events,
        [(r["key"], r["attempts"], r.get("waited_ms")) for r in lab.sink.records],
    )
    await reply(held, response(200, msg))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert answer.status == 200


async def test_one_that_waits_for_the_key_it_has_not_tried_blocks_nobody(lab: Lab) -> None:
    calls = []

    async def script(peer):
        while True:
            req = await peer.request()
            key = req.get(b"x-api-key").decode()
            calls.append((key, req.body))
            if key == "test-key-1" and b"bad" in req.body:
                await reply(peer, fault(429, "rate_limit_error"))
            else:
                await reply(peer, JSON)

    keys = [Key(key="test-key-1", priority=1), Key(key="test-key-2", rpm_limit=1)]
    lab.start(
        provider(lab.upstream(script), keys=keys), routing=routing(affinity=ANYWHERE, max_wait_s=2)
    )
    # use up key 2: let key 1 fail once
    a = await lab.ask(post(BODY.replace(b"hi", b"bad")))
    assert a.status == 200
    # key 2's window is 60 s; with max_wait 2 that gives up at once. Make key 2 rest for 1.5 s
    gauge = lab.relay.services[0].targets[1].gauge
    gauge.wake()
    gauge.limit()
    gauge.rest(lab.relay.reactor.clock() + 1.5, 1)
    x = await lab.client()
    await x.send(post(BODY.replace(b"hi", b"bad")))
    await eventually(lambda: len(lab.relay.waiting) == 1)
    began = time.monotonic()
    y = await lab.ask(post(BODY))
    took = time.monotonic() - began
    print(y.status, took, calls, lab.sink.events)
    await x.answer()
    assert took < 0.5


LIMITED_LONG = fault(429, "rate_limit_error", "Yours", [(b"retry-after", b"3600")])


async def test_retry_after_of_a_clients_own_credential_is_the_true_one(lab: Lab) -> None:
    own = provider(lab.upstream(Turns(LIMITED_LONG)), "own", keys=(), type="anthropic", auth=None)
    other = provider(lab.upstream(Turns(LIMITED_LONG)), "other")
    lab.start(own, other, routing=routing(strategy="failover", affinity=ANYWHERE, max_wait_s=3))
    headers = [(b"authorization", b"Bearer mine")]
    first = await lab.ask(post(headers=headers))
    print(first.status, first.headers, lab.sink.events)
    began = time.monotonic()
    second = await lab.ask(post(headers=headers))
    took = time.monotonic() - began
    print(second.status, second.headers, took)
    assert int(first.get(b"retry-after")) > 1000
    assert took < 1
    assert int(second.get(b"retry-after")) > 1000


async def test_a_sub_agent_that_ends_late_does_not_take_the_main_loop_back(lab: Lab) -> None:
    stage_one, two = Desk(), Turns(STREAM)
    lab.start(
        provider(lab.upstream(stage_one), "one"),
        provider(lab.upstream(two), "two"),
        routing=routing(strategy="failover", affinity=Affinity(wait_s=0)),
    )
    main = [(SESSION, b"s1")]
    a = await lab.client()
    await a.send(post(STREAM_BODY, headers=main))
    peer = await stage_one.peer()
    await reply(peer, STREAM)
    await a.answer()
    # the sub-agent begins on provider one, and takes long
    sub = await lab.client()
    await sub.send(post(STREAM_BODY, headers=[*main, (AGENT, b"x")]))
    slow = await stage_one.peer()
    # main turn: provider one limits its key, the conversation moves to two
    await a.send(post(STREAM_BODY, headers=main))
    peer = await stage_one.peer()
    await reply(peer, fault(429, "rate_limit_error", headers=[(b"retry-after", b"1")]))
    assert (await a.answer()).status == 200
    await eventually(lambda: len(lab.sink.records) == 2)
    assert lab.sink.records[-1]["provider"] == "two"
    from ccrelay._fast.places import hash64

    now = lab.relay.reactor.clock()
    where = lab.relay.places.find(hash64(b"s1"), now)
    slots = {s.targets[0].slot: s.name for s in lab.relay.services}
    assert slots[where.slot] == "two"
    await reply(slow, STREAM)
    await sub.answer()
    await eventually(lambda: len(lab.sink.records) == 3)
    where = lab.relay.places.find(hash64(b"s1"), now)
    print(slots[where.slot], where.prefix_tokens, where.flags)
    assert slots[where.slot] == "two"


async def test_a_limit_on_counting_tokens_rests_no_key(lab: Lab) -> None:
    async def script(peer):
        while True:
            req = await peer.request()
            if b"count_tokens" in req.line:
                await reply(peer, fault(429, "rate_limit_error", headers=[(b"retry-after", b"30")]))
            else:
                await reply(peer, JSON)

    lab.start(
        provider(lab.upstream(script), keys=["test-key-1", "test-key-2"], count_tokens="forward"),
        routing=routing(affinity=ANYWHERE, max_wait_s=0),
    )
    await lab.ask(post(path=b"/v1/messages/count_tokens"))
    answer = await lab.ask(post())
    print(answer.status, lab.sink.named("key_rests"))
    assert answer.status == 200


@pytest.mark.parametrize("limits", [{}, {"tpm_limit": 1000000}])
async def test_cuts_behind_content_trip_the_breaker(lab: Lab, limits) -> None:
    from tests.loopback.relay.wires import BLOCK, delta

    cut = then(CHUNKED_HEAD + chunks(START, BLOCK, delta("x"), last=False))
    keys = [Key(key="test-key-1", **limits), Key(key="test-key-2", **limits)]
    lab.start(
        provider(lab.upstream(Turns(cut)), keys=keys),
        routing=routing(affinity=ANYWHERE, max_wait_s=0),
        health=Health(failures=3),
    )
    for _ in range(3):
        answer = await lab.ask(post(STREAM_BODY))
        assert answer.cut
    print(lab.relay.services[0].endpoint)
    assert lab.relay.services[0].endpoint.breaker.state != 0


async def test_a_stream_that_ends_without_content_is_asked_elsewhere(lab: Lab) -> None:
    lab.start(
        provider(lab.upstream(Turns(CHUNKED_HEAD + chunks(START))), "one"),
        provider(lab.upstream(Turns(STREAM)), "two"),
        routing=routing(strategy="failover"),
    )
    answer = await lab.ask(post(STREAM_BODY))
    print(answer.status, answer.body)
    assert answer.body == EVENTS


async def test_a_client_that_trickles_its_body_trips_no_breaker(lab: Lab) -> None:
    async def impatient(peer):
        await peer.until(b"\r\n\r\n")
        await asyncio.sleep(0.05)

    lab.start(
        provider(lab.upstream(impatient)),
        routing=routing(affinity=ANYWHERE, max_wait_s=0),
        health=Health(failures=2),
    )
    whole = post(STREAM_BODY)
    for _ in range(2):
        client = await lab.client()
        await client.send(whole[:-20])
        answer = await client.answer()
        print(answer.status, answer.body)
        client.close()
    print(lab.relay.services[0].endpoint)
    assert lab.relay.services[0].endpoint.breaker.state == 0


async def test_while_a_trial_is_out_others_wait_for_it(lab: Lab) -> None:
    stage = Desk()
    lab.start(
        provider(lab.upstream(stage), "one"),
        routing=routing(affinity=ANYWHERE, max_wait_s=5, panic="refuse"),
        health=Health(failures=1, rest_s=0.2, probe="off"),
    )
    a = await lab.client()
    await a.send(post())
    peer = await stage.peer()
    await reply(peer, fault(500))
    # second key is tried after, or not
    answer = await a.answer()
    assert answer.status == 500
    await asyncio.sleep(0.3)
    b = await lab.client()
    await b.send(post())
    peer = await stage.peer()
    c = await lab.client()
    await c.send(post())
    await asyncio.sleep(0.1)
    waits = len(lab.relay.waiting)
    await reply(peer, JSON)
    assert (await b.answer()).status == 200
    if waits:
        peer = await stage.peer()
        await reply(peer, JSON)
    answer = await c.answer()
    print(answer.status, answer.headers, answer.body)
    assert answer.status == 200


async def test_a_client_whose_own_credential_rests_blocks_no_other_client(lab: Lab) -> None:
    async def script(peer):
        while True:
            req = await peer.request()
            await peer.send(LIMITED_LONG if b"tired" in req.get(b"authorization") else JSON)

    own = provider(lab.upstream(script), "own", keys=(), type="anthropic", auth=None)
    other = provider(lab.upstream(Turns(JSON)), "other")
    lab.start(own, other, routing=routing(strategy="failover", affinity=ANYWHERE, max_wait_s=5))
    tired, fresh = ([(b"authorization", b"Bearer " + name)] for name in (b"tired", b"fresh"))
    assert (await lab.ask(post(headers=tired))).status == 200  # by the other
    gauge = lab.relay.services[1].targets[0].gauge
    gauge.rest(lab.relay.reactor.clock() + 2, 1)
    x = await lab.client()
    await x.send(post(headers=tired))
    await eventually(lambda: len(lab.relay.waiting) == 1)
    began = time.monotonic()
    assert (await lab.ask(post(headers=fresh))).status == 200
    took = time.monotonic() - began
    await x.answer()
    assert took < 0.5


async def test_retry_after_ms_does_not_contradict(lab: Lab) -> None:
    limited = fault(
        429, "rate_limit_error", "x", [(b"retry-after", b"2"), (b"retry-after-ms", b"500")]
    )
    longer = fault(429, "rate_limit_error", "x", [(b"retry-after-ms", b"60000")])
    lab.start(
        provider(lab.upstream(Turns(limited)), "one"),
        provider(lab.upstream(Turns(longer)), "two"),
        routing=routing(strategy="failover", affinity=ANYWHERE, max_wait_s=0),
    )
    answer = await lab.ask(post())
    print(answer.headers)
    assert answer.get(b"retry-after") == b"1"
    assert answer.get(b"retry-after-ms") is None or int(answer.get(b"retry-after-ms")) <= 1000


async def test_limits_of_other_paths_are_not_those_of_messages(lab: Lab) -> None:
    from tests.loopback.relay.wires import response

    reset = b"2099-01-01T00:00:00Z"
    told = [
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"anthropic-ratelimit-requests-remaining", b"0"),
        (b"anthropic-ratelimit-requests-reset", reset),
    ]

    async def script(peer):
        while True:
            req = await peer.request()
            await peer.send(
                JSON
                if req.line.startswith(b"POST /v1/messages HTTP")
                else response(200, b'{"input_tokens":1}', told)
            )

    lab.start(
        provider(lab.upstream(script), count_tokens="forward"),
        routing=routing(affinity=ANYWHERE, max_wait_s=0),
    )
    assert (await lab.ask(post(path=b"/v1/messages/count_tokens"))).status == 200
    answer = await lab.ask(post())
    print(answer.status, answer.headers)
    assert answer.status == 200


async def test_two_models_of_one_session_do_not_move_it_to_and_fro(lab: Lab) -> None:
    lab.start(
        provider(lab.upstream(Turns(STREAM)), "big", models=["claude-test-1"]),
        provider(
            lab.upstream(Turns(STREAM)),
            "small",
            keys=["test-key-1", "test-key-2"],
            models=["claude-small-1"],
        ),
        provider(lab.upstream(Turns(STREAM)), "third", models=["claude-test-1"]),
        routing=routing(strategy="round-robin"),
    )
    client = await lab.client()
    for _ in range(4):
        for body in (STREAM_BODY, STREAM_BODY.replace(b"claude-test-1", b"claude-small-1")):
            await client.send(post(body, headers=[(SESSION, b"s1")]))
            assert (await client.answer()).status == 200
    await eventually(lambda: len(lab.sink.records) == 8)
    used = [r["provider"] for r in lab.sink.records if r["model"] == "claude-test-1"]
    print(used, len(lab.sink.named("moved")))
    assert len(set(used)) == 1
    assert lab.sink.named("moved") == []


async def test_an_endpoint_that_hangs_up_rests_longer_and_longer(lab: Lab) -> None:
    bad = Turns(hang_up)
    lab.start(
        provider(lab.upstream(bad), "one"),
        provider(lab.upstream(Turns(JSON)), "two"),
        routing=routing(strategy="failover", affinity=ANYWHERE),
        health=Health(rest_s=0.3, failures=3),
    )
    ends = time.monotonic() + 6
    opened = []
    while time.monotonic() < ends:
        assert (await lab.ask(post())).status == 200
        await asyncio.sleep(0.02)
    opened = [e for e in lab.sink.named("breaker")]
    print(len(bad.got), len(opened), len(lab.sink.named("probe")))
    assert len(bad.got) < 12


async def test_a_provider_without_token_counting_keeps_its_breaker_and_its_key(lab: Lab) -> None:
    async def script(peer):
        while True:
            req = await peer.request()
            await peer.send(
                fault(403, "permission_error", "not for you")
                if b"count_tokens" in req.line
                else JSON
            )

    lab.start(
        provider(lab.upstream(script), count_tokens="forward"),
        routing=routing(affinity=ANYWHERE, max_wait_s=0),
    )
    await lab.ask(post(path=b"/v1/messages/count_tokens"))
    answer = await lab.ask(post())
    print(answer.status, answer.body)
    assert answer.status == 200


async def test_panic_where_the_only_other_provider_has_no_key_that_works(lab: Lab) -> None:
    one = Turns(fault(500), JSON)
    lab.start(
        provider(lab.upstream(one), "one"),
        provider(lab.upstream(Turns(fault(401, "authentication_error"))), "two"),
        routing=routing(strategy="failover", affinity=ANYWHERE, max_wait_s=0),
        health=Health(failures=1, rest_s=20, probe="off"),
    )
    assert (await lab.ask(post())).status == 500
    answer = await lab.ask(post())
    print(answer.status, answer.body)
    assert answer.status == 200


async def test_with_another_key_limited_a_trial_is_waited_for(lab: Lab) -> None:
    desk = Desk()
    lab.start(
        provider(lab.upstream(desk), "one"),
        provider(
            lab.upstream(Turns(fault(429, "rate_limit_error", headers=[(b"retry-after", b"90")]))),
            "two",
        ),
        routing=routing(strategy="failover", affinity=ANYWHERE, max_wait_s=5),
        health=Health(failures=1, rest_s=0.2, probe="off"),
    )
    a = await lab.client()
    await a.send(post())
    await reply(await desk.peer(), fault(500))
    print((await a.answer()).status)
    await asyncio.sleep(0.3)
    b, c = await lab.client(), await lab.client()
    await b.send(post())
    peer = await desk.peer()
    await c.send(post())
    await asyncio.sleep(0.1)
    waits = len(lab.relay.waiting)
    await reply(peer, JSON)
    assert (await b.answer()).status == 200
    if waits:
        await reply(await desk.peer(), JSON)
    answer = await c.answer()
    print(answer.status, answer.headers)
    assert answer.status == 200


async def test_a_title_call_elsewhere_does_not_bring_a_moved_conversation_back(lab: Lab) -> None:
    lab.start(
        provider(
            lab.upstream(Turns(STREAM)),
            "big",
            keys=["test-key-1", "test-key-2", "test-key-3"],
            models=["claude-test-1"],
        ),
        provider(
            lab.upstream(Turns(STREAM)),
            "small",
            keys=["test-key-4", "test-key-5"],
            models=["claude-small-1"],
        ),
        routing=routing(affinity=Affinity(wait_s=0)),
    )
    client = await lab.client()
    head = [(SESSION, b"s1"), (b"x-claude-code-request-class", b"main")]
    title = [(SESSION, b"s1"), (b"x-claude-code-request-class", b"auxiliary")]
    small = STREAM_BODY.replace(b"claude-test-1", b"claude-small-1")

    async def turn(body, headers):
        await client.send(post(body, headers=headers))
        assert (await client.answer()).status == 200
        count = len(lab.sink.records)
        await asyncio.sleep(0.01)
        return lab.sink.records[-1]["key"]

    first = await turn(STREAM_BODY, head)
    gauge = next(t.gauge for t in lab.relay.services[0].targets if t.fingerprint == first)
    gauge.rest(lab.relay.reactor.clock() + 0.3, 1)
    second = await turn(STREAM_BODY, head)
    assert second != first
    await asyncio.sleep(0.4)
    await turn(small, head if PLAIN else title)
    third = await turn(STREAM_BODY, head)
    print(first, second, third, lab.sink.named("moved"))
    assert third == second


PLAIN = False  # a haiku turn of a sub-task without a hint, or /model to and fro
