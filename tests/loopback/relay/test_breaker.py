"""A provider that keeps failing is left alone for a while, then tried once before it is trusted."""

import asyncio
import time

import pytest

from ccrelay.config.model import Affinity, Health
from ccrelay.fleet.breaker import State
from tests.loopback.relay.harness import Lab, Peer, eventually, provider, routing
from tests.loopback.relay.scripts import (
    JSON,
    STREAM,
    Reply,
    Stage,
    Turns,
    hang_up,
    refused_url,
    stall,
)
from tests.loopback.relay.wires import (
    BLOCK,
    CHUNKED_HEAD,
    EVENTS,
    OVERLOADED,
    START,
    STOP,
    STREAM_BODY,
    Answer,
    chunks,
    delta,
    fault,
    post,
    response,
)

DOWN = fault(500)
COUNTED = response(200, b'{"input_tokens":7}')


class Pair:
    """`one`, which is asked first, and `two`, which always answers."""

    def __init__(self, lab: Lab, one: object, health: Health | None = None, **fields: object):
        self.lab = lab
        self.one = one
        self.two = Turns(STREAM)
        url = one if isinstance(one, str) else lab.upstream(one)  # type: ignore[arg-type]
        given = {
            "strategy": "failover",
            "affinity": Affinity(enabled=False),
            "first_byte_s": 5.0,
            "queue_timeout_s": 0,
            **fields,
        }
        lab.start(
            provider(url, "one", models=["claude-*"]),
            provider(lab.upstream(self.two), "two"),
            routing=routing(**given),
            health=health or Health(open_s=30, probe="off"),
        )

    @property
    def state(self) -> State:
        return self.lab.relay.providers[0].endpoint.breaker.state

    async def ask(self, count: int = 1) -> list[str]:
        """Requests, one after the other; who answered."""
        for _ in range(count):
            answer = await self.lab.ask(post(STREAM_BODY))
            assert answer.status == 200, answer.body
        return [str(record["provider"]) for record in self.lab.sink.records[-count:]]

    def changes(self) -> list[object]:
        return [told["state"] for told in self.lab.sink.named("breaker")]


# One of each path by which an attempt fails; tests/faults says of every fault what it counts as.
FAILURES: dict[str, Reply] = {
    "500": DOWN,
    "closed": hang_up,
    "silence": stall,
    "error event": CHUNKED_HEAD + chunks(START, OVERLOADED),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_the_breaker_opens_after_three_failures_and_blocks_requests(
    lab: Lab, failure: str
) -> None:
    first_byte_s = 0.4 if failure == "silence" else 5.0
    pair = Pair(lab, Turns(FAILURES[failure]), first_byte_s=first_byte_s)
    assert await pair.ask(3) == ["two"] * 3
    assert pair.state is State.OPEN
    assert await pair.ask(5) == ["two"] * 5
    assert len(pair.one.got) == 3
    assert pair.changes() == ["open"]
    assert len(lab.sink.named("failover")) == 3


async def test_the_breaker_opens_after_three_refused_connections(lab: Lab) -> None:
    pair = Pair(lab, refused_url())
    assert await pair.ask(6) == ["two"] * 6
    assert len(lab.sink.named("connect_failed")) == 3
    assert pair.changes() == ["open"]


async def test_rate_limits_do_not_open_the_breaker(lab: Lab) -> None:
    pair = Pair(lab, Turns(fault(429, "rate_limit_error")))
    assert await pair.ask(6) == ["two"] * 6
    assert pair.state is State.CLOSED
    assert pair.one.got  # each 429 without a time makes it rest for a while


async def test_one_success_resets_the_count_of_failures(lab: Lab) -> None:
    pair = Pair(lab, Turns(DOWN, DOWN, STREAM, DOWN, DOWN, STREAM, DOWN, DOWN, DOWN))
    assert await pair.ask(8) == ["two", "two", "one", "two", "two", "one", "two", "two"]
    assert pair.state is State.CLOSED
    await pair.ask()
    assert pair.state is State.OPEN


async def test_a_large_share_of_failures_opens_it_without_three_in_a_row(lab: Lab) -> None:
    replies = [reply for _ in range(10) for reply in (STREAM, DOWN)]
    health = Health(failure_rate=0.5, window_requests_min=8, open_s=30, probe="off")
    pair = Pair(lab, Turns(*replies), health)
    await pair.ask(7)
    assert pair.state is State.CLOSED
    await pair.ask(1)
    assert pair.state is State.OPEN
    assert len(pair.one.got) == 8


async def test_a_stream_that_breaks_behind_its_content_counts_too(lab: Lab) -> None:
    begun = CHUNKED_HEAD + chunks(START + BLOCK + delta("Hello"), last=False)

    async def torn(peer: Peer) -> None:
        await peer.send(begun)
        await asyncio.sleep(0.02)

    pair = Pair(lab, Turns(torn))
    for _ in range(3):
        assert (await lab.ask(post(STREAM_BODY))).cut
    assert pair.state is State.OPEN


async def test_a_client_that_leaves_is_no_failure(lab: Lab) -> None:
    stage = Stage()
    pair = Pair(lab, stage)
    for _ in range(4):
        client = await lab.client()
        await client.send(post(STREAM_BODY))
        peer = await stage.peer()
        client.close()
        await peer.gone(1)
    assert pair.state is State.CLOSED


# ---- the way back


SHORT = Health(open_s=0.3, open_max_s=5.0, probe="off")


async def test_after_its_rest_one_request_is_the_trial_and_closes_it(lab: Lab) -> None:
    pair = Pair(lab, Turns(DOWN, DOWN, DOWN, STREAM), SHORT)
    await pair.ask(3)
    await asyncio.sleep(0.4)
    assert await pair.ask(3) == ["one"] * 3
    assert pair.changes() == ["open", "half_open", "closed"]


async def test_a_trial_that_fails_is_answered_elsewhere_and_the_rest_grows(lab: Lab) -> None:
    pair = Pair(lab, Turns(DOWN), SHORT)
    await pair.ask(3)
    await asyncio.sleep(0.4)
    assert await pair.ask() == ["two"]
    assert pair.changes() == ["open", "half_open", "open"]
    await asyncio.sleep(0.4)
    assert await pair.ask() == ["two"]  # 0.6 s this time, more or less a fifth
    assert len(pair.one.got) == 4
    await asyncio.sleep(0.4)
    await pair.ask()
    assert len(pair.one.got) == 5


async def test_there_is_one_trial_at_a_time(lab: Lab) -> None:
    stage = Stage()
    script = iter([DOWN, DOWN, DOWN])

    async def one(peer: Peer) -> None:
        reply = next(script, None)
        if reply is None:
            await stage(peer)
        else:
            await peer.request()
            await peer.send(reply)

    pair = Pair(lab, one, SHORT)
    await pair.ask(3)
    await asyncio.sleep(0.4)
    trial = await lab.client()
    await trial.send(post(STREAM_BODY))
    peer = await stage.peer()
    assert await pair.ask(4) == ["two"] * 4
    assert pair.state is State.HALF_OPEN
    # Content proves it, long before the end.
    await peer.send(CHUNKED_HEAD + chunks(START + BLOCK + delta("Hello"), last=False))
    await trial.until(b"Hello")
    assert pair.state is State.CLOSED
    other = await lab.client()
    await other.send(post(STREAM_BODY))
    await (await stage.peer()).send(STREAM)
    assert (await other.answer()).body == EVENTS
    await peer.send(chunks(delta(", world") + STOP))
    assert (await trial.answer()).body == EVENTS


async def test_a_client_that_leaves_during_the_trial_leaves_it_to_the_next(lab: Lab) -> None:
    stage = Stage()
    script = iter([DOWN, DOWN, DOWN])

    async def one(peer: Peer) -> None:
        reply = next(script, None)
        if reply is None:
            await stage(peer)
        else:
            await peer.request()
            await peer.send(reply)

    pair = Pair(lab, one, SHORT)
    await pair.ask(3)
    await asyncio.sleep(0.4)
    trial = await lab.client()
    await trial.send(post(STREAM_BODY))
    peer = await stage.peer()
    trial.close()
    await peer.gone(1)
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    await (await stage.peer()).send(STREAM)
    assert (await client.answer()).body == EVENTS
    assert pair.state is State.CLOSED


# ---- probes


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_connection_that_can_be_made_again_closes_it_without_a_request(lab: Lab) -> None:
    url = refused_url()
    health = Health(open_s=0.3, open_max_s=0.3, probe="connect")
    pair = Pair(lab, url, health)
    await pair.ask(3)
    await eventually(lambda: len(lab.sink.named("probe")) >= 2)
    assert {told["good"] for told in lab.sink.named("probe")} == {False}
    back = Turns(STREAM)
    upstream = lab.upstream(back, port=port_of(url))
    began_at = time.monotonic()
    await eventually(lambda: pair.state is State.CLOSED)
    assert time.monotonic() - began_at < 0.3 + 0.25 + 0.25  # a rest, a look, some slack
    assert (upstream.connections, len(back.got)) == (1, 0)
    told = lab.sink.named("probe")[-1]
    assert (told["provider"], told["kind"], told["good"]) == ("one", "connect", True)
    assert await pair.ask(2) == ["one", "one"]
    await eventually(lambda: len(lab.sink.records) == 5)


async def test_a_connection_says_nothing_where_answers_failed(lab: Lab) -> None:
    pair = Pair(lab, Turns(DOWN), Health(open_s=0.2, probe="connect"))
    await pair.ask(3)
    await asyncio.sleep(0.8)
    assert lab.sink.named("probe") == []
    assert pair.state is State.OPEN
    await pair.ask()
    assert len(pair.one.got) == 4  # the request is the trial


@pytest.mark.parametrize(
    ("kind", "line"),
    [("count_tokens", b"POST /v1/messages/count_tokens"), ("message", b"POST /v1/messages")],
)
async def test_a_probe_that_asks_is_answered_and_closes_it(
    lab: Lab, kind: str, line: bytes
) -> None:
    health = Health(open_s=0.2, open_max_s=0.2, probe=kind, probe_model="claude-test-1")
    pair = Pair(lab, Turns(DOWN, DOWN, DOWN, fault(529), COUNTED, STREAM), health)
    await pair.ask(3)
    await eventually(lambda: pair.state is State.CLOSED)
    assert [told["good"] for told in lab.sink.named("probe")] == [False, True]
    probes = pair.one.got[3:]
    assert [probe.line for probe in probes] == [line + b" HTTP/1.1"] * 2
    assert {probe.get(b"x-api-key") for probe in probes} == {b"provider-key-1"}
    assert b'"claude-test-1"' in probes[0].body
    assert (b"max_tokens" in probes[0].body) == (kind == "message")
    assert await pair.ask() == ["one"]
    assert b"provider-key" not in lab.sink.text().encode()


async def test_a_probe_that_is_not_answered_in_time_has_failed(lab: Lab) -> None:
    health = Health(open_s=0.2, probe="message", probe_model="claude-test-1", probe_timeout_s=0.2)
    pair = Pair(lab, Turns(DOWN, DOWN, DOWN, stall), health)
    await pair.ask(3)
    await eventually(lambda: len(lab.sink.named("probe")) >= 1)
    told = lab.sink.named("probe")[0]
    assert told["good"] is False
    assert "0.2 s" in str(told["reason"])
    assert pair.state is State.OPEN


async def test_without_health_checks_only_a_request_tries_the_endpoint(lab: Lab) -> None:
    url = refused_url()
    pair = Pair(lab, url, Health(open_s=0.2, probe="off"))
    await pair.ask(3)
    upstream = lab.upstream(Turns(STREAM), port=port_of(url))
    await asyncio.sleep(0.7)
    assert (upstream.connections, pair.state) == (0, State.OPEN)
    assert await pair.ask() == ["one"]
    assert pair.state is State.CLOSED


# ---- all of them are open


class Both:
    """Two providers that fail for their first so many requests each."""

    def __init__(self, lab: Lab, count: int, health: Health, **fields: object) -> None:
        self.lab = lab
        self.turns = [Turns(*[DOWN] * count, JSON) for _ in range(2)]
        lab.start(
            *[provider(lab.upstream(t), n) for t, n in zip(self.turns, ("a", "b"), strict=True)],
            routing=routing(**{"affinity": Affinity(enabled=False), **fields}),
            health=health,
        )

    async def open_both(self) -> Answer:
        for _ in range(3):
            answer = await self.lab.ask(post())
            assert answer.status == 500
        assert [s.endpoint.breaker.state for s in self.lab.relay.providers] == [State.OPEN] * 2
        return answer

    @property
    def counts(self) -> list[int]:
        return [len(turns.got) for turns in self.turns]


async def test_in_panic_one_is_tried_all_the_same(lab: Lab) -> None:
    both = Both(lab, 3, Health(open_s=30, probe="off"), queue_timeout_s=0)
    await both.open_both()
    assert both.counts == [3, 3]
    assert (await lab.ask(post())).status == 200
    assert sum(both.counts) == 7
    states = {service.endpoint.breaker.state for service in lab.relay.providers}
    assert State.CLOSED in states  # whoever answered is trusted again


async def test_in_panic_a_failure_is_told_as_it_came(lab: Lab) -> None:
    both = Both(lab, 99, Health(open_s=30, probe="off"), queue_timeout_s=0)
    await both.open_both()
    for _ in range(3):
        answer = await lab.ask(post())
        assert (answer.status, answer.body) == (500, DOWN.partition(b"\r\n\r\n")[2])
    assert sum(both.counts) == 6 + 3  # one each, and not two


async def test_who_refuses_in_panic_asks_nobody_and_says_when(lab: Lab) -> None:
    both = Both(lab, 3, Health(open_s=10, probe="off"), queue_timeout_s=0, panic="refuse")
    await both.open_both()
    answer = await lab.ask(post())
    assert (answer.status, answer.error["type"]) == (529, "overloaded_error")
    assert 7 <= int(answer.get(b"retry-after") or 0) <= 12
    assert both.counts == [3, 3]


async def test_who_refuses_in_panic_may_wait_for_the_first_to_come_back(lab: Lab) -> None:
    both = Both(lab, 3, Health(open_s=0.4, probe="off"), queue_timeout_s=5, panic="refuse")
    await both.open_both()
    began_at = time.monotonic()
    assert (await lab.ask(post())).status == 200
    assert 0.2 < time.monotonic() - began_at < 1.0
    assert sum(both.counts) == 7


async def test_a_provider_alone_is_asked_even_while_its_breaker_is_open(lab: Lab) -> None:
    turns = Turns(DOWN, DOWN, DOWN, DOWN, JSON)
    lab.start(lab.upstream(turns), health=Health(open_s=30, probe="off"))
    assert [(await lab.ask(post())).status for _ in range(5)] == [500] * 4 + [200]
    assert lab.relay.providers[0].endpoint.breaker.state is State.CLOSED
    assert lab.sink.records[-1]["attempts"] == 1
