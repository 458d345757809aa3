"""What reviews found in the relay as a whole, so that it does not come back."""

import asyncio
import itertools
import time

import pytest

from ccrelay.config.model import Affinity, Health, Key
from ccrelay.fleet.breaker import JITTER, State
from ccrelay.relay.health_checks import LOOK_EVERY_S
from tests.loopback.relay.harness import Lab, Peer, eventually, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Stage, Turns, hang_up, then
from tests.loopback.relay.wires import (
    BLOCK,
    BODY,
    CHUNKED_HEAD,
    EVENTS,
    MESSAGE,
    OVERLOADED,
    START,
    STREAM_BODY,
    chunks,
    delta,
    fault,
    padded,
    post,
    response,
)

SESSION = b"x-claude-code-session-id"
AGENT = b"x-claude-code-agent-id"
CLASS = b"x-claude-code-request-class"
MAIN = [(SESSION, b"s-1")]
SUB_AGENT = [*MAIN, (AGENT, b"a-1")]
ANYWHERE = Affinity(enabled=False)
COUNT = b"/v1/messages/count_tokens"
# The answer to a long conversation: a prefix worth waiting for.
LONG = response(
    200,
    MESSAGE.replace(b'"cache_read_input_tokens": 4', b'"cache_read_input_tokens": 59985'),
)


def limited(seconds: int) -> bytes:
    return fault(429, "rate_limit_error", headers=[(b"retry-after", b"%d" % seconds)])


async def reply(peer: Peer, wire: bytes) -> None:
    """The next request comes on a connection of its own."""
    await peer.send(wire)
    peer.close()


def rest_first_key(lab: Lab, name: str, seconds: float) -> None:
    service = next(service for service in lab.relay.providers if service.name == name)
    service.targets[0].limits.start_cooldown(lab.relay.reactor.clock() + seconds, 1)


async def waiting(lab: Lab, count: int) -> None:
    await eventually(lambda: len(lab.relay.context.queue) == count, f"{count} should wait")


# ---- one answer to the client


async def test_the_head_of_an_attempt_that_failed_does_not_follow_an_early_head(lab: Lab) -> None:
    second = Stage()
    lab.start(
        provider(lab.upstream(Turns(CHUNKED_HEAD + chunks(START, OVERLOADED))), "one"),
        provider(lab.upstream(second), "two"),
        routing=routing(strategy="failover", ping_s=0.1, early_head_s=0.1),
    )
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await second.peer()
    await client.until(b"event: ping")
    await peer.send(STREAM)
    raw = await client.until(b"message_stop")
    assert raw.count(b"HTTP/1.1 200") == 1
    assert raw.count(b"message_start") == EVENTS.count(b"message_start")


async def test_a_stream_that_ends_cleanly_without_content_is_asked_elsewhere(lab: Lab) -> None:
    lab.start(
        provider(lab.upstream(Turns(CHUNKED_HEAD + chunks(START))), "one"),
        provider(lab.upstream(Turns(STREAM)), "two"),
        routing=routing(strategy="failover"),
    )
    assert (await lab.ask(post(STREAM_BODY))).body == EVENTS


# ---- who waits, and for how long


@pytest.mark.parametrize("bounds", [{"queue_timeout_s": 0}, {"queue_max": 0}], ids=["time", "room"])
async def test_a_conversation_that_may_not_wait_for_its_key_goes_elsewhere(
    lab: Lab, bounds: dict[str, int]
) -> None:
    stage = Stage()
    keys = [Key(key=key, max_concurrent=1) for key in ("test-key-1", "test-key-2")]
    lab.start(provider(lab.upstream(stage), keys=keys), routing=routing(**bounds))
    first, sub_agent, second = [await lab.client() for _ in range(3)]
    await first.send(post(headers=MAIN))
    await reply(await stage.peer(), LONG)
    assert (await first.answer()).status == 200
    await sub_agent.send(post(headers=SUB_AGENT))
    home = await stage.peer()
    await second.send(post(headers=MAIN))
    other = await stage.peer()
    assert other.seen.get(b"x-api-key") != home.seen.get(b"x-api-key")
    await reply(home, LONG)
    await reply(other, LONG)
    assert [(await client.answer()).status for client in (sub_agent, second)] == [200, 200]


async def test_one_that_waits_for_a_key_it_has_not_tried_blocks_nobody(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        while True:
            bad = b"bad" in (await peer.request()).body
            await peer.send(fault(429, "rate_limit_error") if bad else JSON)

    lab.start(
        provider(lab.upstream(script), "one"),
        provider(lab.upstream(script), "two"),
        routing=routing(strategy="failover", affinity=ANYWHERE, queue_timeout_s=20),
    )
    rest_first_key(lab, "two", 10)
    waits = await lab.client()
    await waits.send(post(BODY.replace(b"hi", b"bad")))
    await waiting(lab, 1)
    assert (await lab.ask(post())).status == 200
    assert len(lab.relay.context.queue) == 1
    waits.close()


async def test_a_client_whose_own_credential_rests_blocks_no_other_client(lab: Lab) -> None:
    async def script(peer: Peer) -> None:
        while True:
            who = (await peer.request()).get(b"authorization") or b""
            await peer.send(limited(3600) if b"tired" in who else JSON)

    lab.start(
        provider(lab.upstream(script), "own", keys=(), type="anthropic", auth=None),
        provider(lab.upstream(Turns(JSON)), "other"),
        routing=routing(strategy="failover", affinity=ANYWHERE, queue_timeout_s=20),
    )
    tired, fresh = ([(b"authorization", b"Bearer " + name)] for name in (b"tired", b"fresh"))
    assert (await lab.ask(post(headers=tired))).status == 200
    assert (await lab.records())[0]["provider"] == "other"
    rest_first_key(lab, "other", 10)
    waits = await lab.client()
    await waits.send(post(headers=tired))
    await waiting(lab, 1)
    assert (await lab.ask(post(headers=fresh))).status == 200
    assert len(lab.relay.context.queue) == 1
    waits.close()


async def test_a_client_whose_own_credential_rests_is_told_at_once_and_for_how_long(
    lab: Lab,
) -> None:
    lab.start(
        provider(lab.upstream(Turns(limited(3600))), "own", keys=(), type="anthropic", auth=None),
        provider(lab.upstream(Turns(limited(3600))), "other"),
        routing=routing(strategy="failover", affinity=ANYWHERE, queue_timeout_s=3),
    )
    began_at = time.monotonic()
    for _ in range(2):
        answer = await lab.ask(post(headers=[(b"authorization", b"Bearer mine")]))
        assert answer.status == 429
        assert 3500 < int(answer.get(b"retry-after") or 0) <= 3600
    assert time.monotonic() - began_at < 2


async def test_the_time_to_come_again_is_told_once(lab: Lab) -> None:
    sooner = [(b"retry-after", b"2"), (b"retry-after-ms", b"500")]
    later = [(b"retry-after-ms", b"60000")]
    lab.start(
        provider(lab.upstream(Turns(fault(429, "rate_limit_error", headers=sooner))), "one"),
        provider(lab.upstream(Turns(fault(429, "rate_limit_error", headers=later))), "two"),
        routing=routing(strategy="failover", affinity=ANYWHERE, queue_timeout_s=0),
    )
    answer = await lab.ask(post())
    assert (answer.get(b"retry-after"), answer.get(b"retry-after-ms")) == (b"1", None)


# ---- where a conversation lives


async def test_a_sub_agent_that_ends_late_does_not_take_the_main_loop_back(lab: Lab) -> None:
    stage = Stage()
    lab.start(
        provider(lab.upstream(stage), "one"),
        provider(lab.upstream(Turns(STREAM)), "two"),
        routing=routing(strategy="failover", affinity=Affinity(wait_s=0)),
    )
    main, sub_agent = await lab.client(), await lab.client()
    await main.send(post(STREAM_BODY, headers=MAIN))
    await reply(await stage.peer(), STREAM)
    await main.answer()
    await sub_agent.send(post(STREAM_BODY, headers=SUB_AGENT))
    slow = await stage.peer()
    await main.send(post(STREAM_BODY, headers=MAIN))
    await reply(await stage.peer(), limited(30))
    await main.answer()
    await reply(slow, STREAM)
    await sub_agent.answer()
    # Its rest ends, else nobody could go back.
    lab.relay.memory.clear_target(lab.relay.providers[0].targets[0].slot)
    await main.ask(post(STREAM_BODY, headers=MAIN))
    served = [(record["provider"], record["attempts"]) for record in await lab.records(4)]
    assert served == [("one", 1), ("two", 2), ("one", 1), ("two", 1)]


async def test_two_models_of_one_session_do_not_move_it_to_and_fro(lab: Lab) -> None:
    lab.start(
        provider(lab.upstream(Turns(STREAM)), "big", models=["claude-test-1"]),
        provider(lab.upstream(Turns(STREAM)), "small", models=["claude-small-1"]),
        provider(lab.upstream(Turns(STREAM)), "third", models=["claude-test-1", "claude-small-1"]),
        routing=routing(strategy="round-robin"),
    )
    client = await lab.client()
    for _ in range(4):
        for model in (b"claude-test-1", b"claude-small-1"):
            body = STREAM_BODY.replace(b"claude-test-1", model)
            assert (await client.ask(post(body, headers=MAIN))).status == 200
    served = {(record["model"], record["provider"]) for record in await lab.records(8)}
    assert len(served) == 2
    assert lab.sink.named("conversation_moved") == []


@pytest.mark.parametrize("told", [b"main", b"auxiliary"])
async def test_a_call_of_another_model_does_not_bring_a_moved_conversation_back(
    lab: Lab, told: bytes
) -> None:
    keys = ["test-key-1", "test-key-2", "test-key-3"]
    lab.start(
        provider(lab.upstream(Turns(STREAM)), "big", keys=keys, models=["claude-test-1"]),
        # Two keys: where there is nothing to choose, no place is looked for.
        provider(lab.upstream(Turns(STREAM)), "small", keys=keys[:2], models=["claude-small-1"]),
        routing=routing(affinity=Affinity(wait_s=0)),
    )
    client = await lab.client()

    async def turn(body: bytes = STREAM_BODY, kind: bytes = b"main") -> object:
        before = len(lab.sink.records)
        assert (await client.ask(post(body, headers=[*MAIN, (CLASS, kind)]))).status == 200
        return (await lab.records(before + 1))[-1]["key"]

    first = await turn()
    gauge = next(t.limits for t in lab.relay.providers[0].targets if t.fingerprint == first)
    gauge.start_cooldown(lab.relay.reactor.clock() + 30, 1)
    moved_to = await turn()
    assert moved_to != first
    lab.relay.memory.clear_target(gauge.slot)  # its rest ends
    await turn(STREAM_BODY.replace(b"claude-test-1", b"claude-small-1"), told)
    assert await turn() == moved_to


# ---- what proves nothing of messages


SPENT = [
    (b"anthropic-ratelimit-requests-limit", b"50"),
    (b"anthropic-ratelimit-requests-remaining", b"0"),
    (b"anthropic-ratelimit-requests-reset", b"2099-01-01T00:00:00Z"),
]


@pytest.mark.parametrize(
    "wire",
    [
        limited(30),
        fault(403, "permission_error", "not for you"),
        fault(500),
        response(200, b'{"input_tokens":7}', SPENT),
    ],
    ids=["429", "403", "500", "a spent limit"],
)
async def test_what_counting_tokens_meets_says_nothing_of_messages(lab: Lab, wire: bytes) -> None:
    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(wire if COUNT in request.line else JSON)

    lab.start(
        provider(lab.upstream(script), count_tokens="forward"),
        routing=routing(affinity=ANYWHERE, queue_timeout_s=0),
        health=Health(failures=1, probe="off"),
    )
    await lab.ask(post(path=COUNT))
    assert lab.relay.providers[0].endpoint.breaker.state is State.CLOSED
    assert (await lab.ask(post())).status == 200
    assert lab.sink.named("key_cooldown") + lab.sink.named("key_disabled") == []


# ---- breakers


async def test_cuts_behind_content_open_the_breaker_of_keys_with_a_token_limit(lab: Lab) -> None:
    cut = then(CHUNKED_HEAD + chunks(START, BLOCK, delta("x"), last=False))
    keys = [Key(key=key, tpm_limit=1_000_000) for key in ("test-key-1", "test-key-2")]
    lab.start(
        provider(lab.upstream(Turns(cut)), keys=keys),
        routing=routing(affinity=ANYWHERE, queue_timeout_s=0),
        health=Health(failures=3, probe="off"),
    )
    for _ in range(3):
        assert (await lab.ask(post(STREAM_BODY))).cut
    assert lab.relay.providers[0].endpoint.breaker.state is State.OPEN


@pytest.mark.parametrize("wire", [b"", fault(408)], ids=["closed", "408"])
async def test_a_client_that_trickles_its_body_opens_no_breaker(lab: Lab, wire: bytes) -> None:
    async def impatient(peer: Peer) -> None:
        await peer.until(b"\r\n\r\n")
        await peer.send(wire)
        await asyncio.sleep(0.02)  # a reset would take it away

    lab.start(
        provider(lab.upstream(impatient)),
        routing=routing(affinity=ANYWHERE, queue_timeout_s=0),
        health=Health(failures=2, probe="off"),
    )
    for _ in range(2):
        client = await lab.client()
        # Long enough to be sent on while it arrives; a short one waits until it is whole.
        assert (await client.ask(post(padded(100_000))[:-20])).status in (408, 502)
        client.close()
    assert lab.relay.providers[0].endpoint.breaker.state is State.CLOSED


@pytest.mark.parametrize("is_alone", [True, False], ids=["alone", "the other rests"])
async def test_while_a_trial_is_out_the_others_wait_for_it(lab: Lab, is_alone: bool) -> None:
    stage = Stage()
    others = [] if is_alone else [provider(lab.upstream(Turns(limited(90))), "two")]
    lab.start(
        provider(lab.upstream(stage), "one"),
        *others,
        routing=routing(strategy="failover", affinity=ANYWHERE, queue_timeout_s=5, panic="refuse"),
        health=Health(failures=1, open_s=0.1, probe="off"),
    )
    failed, trial, behind = [await lab.client() for _ in range(3)]
    await failed.send(post())
    await reply(await stage.peer(), fault(500))
    assert (await failed.answer()).status in (429, 500)
    breaker = lab.relay.providers[0].endpoint.breaker
    await eventually(lambda: breaker.due(lab.relay.reactor.clock()))
    await trial.send(post())
    peer = await stage.peer()
    await behind.send(post())
    await waiting(lab, 1)
    await reply(peer, JSON)
    assert (await trial.answer()).status == 200
    await reply(await stage.peer(), JSON)
    assert (await behind.answer()).status == 200


async def test_an_endpoint_that_takes_connections_and_hangs_up_rests_longer_and_longer(
    lab: Lab,
) -> None:
    open_s = 0.05
    lab.start(
        provider(lab.upstream(Turns(hang_up)), "one"),
        provider(lab.upstream(Turns(JSON)), "two"),
        routing=routing(strategy="failover", affinity=ANYWHERE),
        health=Health(open_s=open_s, failures=3, probe="connect"),
    )
    breaker = lab.relay.providers[0].endpoint.breaker
    ends: list[float] = []  # of its rests
    while len(ends) < 4:
        assert (await lab.ask(post())).status == 200
        if breaker.state is State.OPEN and breaker.resumes_at not in ends:
            ends.append(breaker.resumes_at)
            if len(ends) == 1:  # time for a probe, which would find it well
                await asyncio.sleep(open_s * (1 + JITTER) + LOOK_EVERY_S + 0.1)
        await asyncio.sleep(0.01)
    assert lab.sink.named("probe") == []
    # A rest begins when the one before is over: however slow the machine, it is no shorter.
    gaps = [after - before for before, after in itertools.pairwise(ends)]
    doubled = [open_s * (1 - JITTER) * 2**times for times in (1, 2, 3)]
    assert all(gap >= least for gap, least in zip(gaps, doubled, strict=True)), gaps


async def test_panic_does_not_count_on_a_provider_without_a_key_that_works(lab: Lab) -> None:
    lab.start(
        provider(lab.upstream(Turns(fault(500), JSON)), "one"),
        provider(lab.upstream(Turns(fault(401, "authentication_error"))), "two"),
        routing=routing(strategy="failover", affinity=ANYWHERE, queue_timeout_s=0),
        health=Health(failures=1, open_s=20, probe="off"),
    )
    assert (await lab.ask(post())).status == 500
    assert (await lab.ask(post())).status == 200
