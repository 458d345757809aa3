"""Limits of keys, ours and theirs: who goes, who waits, who is told when to come again."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from ccrelay._fast.rate_limits import Cooldown, Dimension
from ccrelay.config.model import Affinity, Health, Key
from ccrelay.fleet.layout import Layout
from tests.loopback.relay.harness import Client, Lab, Peer, eventually, provider, routing
from tests.loopback.relay.listings import gated
from tests.loopback.relay.scripts import JSON, STREAM, Stage, Turns, always
from tests.loopback.relay.wires import (
    BODY,
    EVENTS,
    MESSAGE,
    STREAM_BODY,
    Answer,
    Request,
    events_in,
    fault,
    padded,
    post,
    response,
)

SESSION = b"x-claude-code-session-id"
AGENT = b"x-claude-code-agent-id"
ANYWHERE = Affinity(enabled=False)
NOW = {"queue_timeout_s": 0, "affinity": ANYWHERE}
KEYS = ["test-key-1", "test-key-2"]
LIMITED = fault(429, "rate_limit_error", "Too many", [(b"retry-after", b"1")])


def keys(**limits: int) -> list[Key]:
    return [Key(key=key, **limits) for key in KEYS]


async def burst(lab: Lab, count: int, body: bytes = BODY) -> list[Answer]:
    """So many requests at once, each on a connection of its own."""
    clients = [await lab.client() for _ in range(count)]
    for client in clients:
        await client.send(post(body))
    return [await client.answer() for client in clients]


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


async def waiting(lab: Lab, count: int) -> None:
    await eventually(lambda: len(lab.relay.context.queue) == count, f"{count} should wait")


# ---- configured limits


@pytest.mark.parametrize("strategy", ["most-room", "least-loaded", "round-robin", "random"])
async def test_no_key_gets_more_requests_than_its_limit(lab: Lab, strategy: str) -> None:
    turns = Turns(JSON)
    lab.start(
        provider(lab.upstream(turns), keys=keys(rpm_limit=6), key_strategy=strategy),
        routing=routing(**NOW),
    )
    assert statuses(await burst(lab, 8)) == {200: 8}
    assert statuses(await burst(lab, 8)) == {200: 4, 429: 4}
    assert Counter(turns.keys) == {"test-key-1": 6, "test-key-2": 6}
    refused = await lab.ask(post())
    assert refused.error["type"] == "rate_limit_error"
    assert "first" in refused.error["message"]
    assert 57 <= int(refused.get(b"retry-after") or 0) <= 61  # any 60 seconds have 6
    assert Counter(turns.keys) == {"test-key-1": 6, "test-key-2": 6}


async def test_no_key_gets_more_tokens_than_its_limit(lab: Lab) -> None:
    got: list[Request] = []
    gate = asyncio.Event()
    # Every answer reports 3 + 12 tokens in and 9 out; before it is known, 700 out are reserved.
    lab.start(
        provider(
            lab.upstream(gated(JSON, gate, into=got)), keys=keys(itpm_limit=200, otpm_limit=1500)
        ),
        routing=routing(**NOW),
    )
    gauges = [target.limits for target in lab.relay.providers[0].targets]
    clients = [await lab.client() for _ in range(6)]
    for client in clients:
        await client.send(post())
    await eventually(lambda: len(got) == 4 and len(lab.sink.records) == 2)
    now = lab.relay.reactor.clock()
    assert [gauge.used(Dimension.OUTPUT, now) for gauge in gauges] == [1400, 1400]
    gate.set()
    assert statuses([await client.answer() for client in clients]) == {200: 4, 429: 2}
    await eventually(lambda: not lab.relay.context.active)
    assert [gauge.used(Dimension.OUTPUT, now) for gauge in gauges] == [18, 18]
    assert [gauge.used(Dimension.INPUT, now) for gauge in gauges] == [30, 30]
    assert statuses(await burst(lab, 2)) == {200: 2}


async def test_no_key_has_more_exchanges_at_once_than_its_limit(lab: Lab) -> None:
    running: Counter[str] = Counter()
    peak: Counter[str] = Counter()

    async def script(peer: Peer) -> None:
        while True:
            key = ((await peer.request()).get(b"x-api-key") or b"").decode()
            running[key] += 1
            peak[key] = max(peak[key], running[key])
            await asyncio.sleep(0.03)
            running[key] -= 1
            await peer.send(JSON)

    lab.start(
        provider(lab.upstream(script), keys=keys(max_concurrent=2)),
        routing=routing(affinity=ANYWHERE),
    )
    assert statuses(await burst(lab, 20)) == {200: 20}
    assert peak == {"test-key-1": 2, "test-key-2": 2}
    assert max(float(str(record.get("queued_ms", 0))) for record in lab.sink.records) > 50


async def test_beyond_max_concurrent_who_may_not_wait_is_told_so(lab: Lab) -> None:
    stage = Stage()
    lab.start(
        provider(lab.upstream(stage), keys=[Key(key="test-key-1", max_concurrent=1)]),
        routing=routing(**NOW),
    )
    client = await lab.client()
    await client.send(post())
    peer = await stage.peer()
    answer = await lab.ask(post())
    assert (answer.status, answer.get(b"retry-after")) == (429, b"1")
    await peer.send(JSON)
    assert (await client.answer()).status == 200


async def test_counting_tokens_takes_nothing_of_the_limits(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(provider(lab.upstream(turns), keys=keys(rpm_limit=1)), routing=routing(**NOW))
    for _ in range(5):
        assert (await lab.ask(post(path=b"/v1/messages/count_tokens"))).status == 200
    assert statuses(await burst(lab, 3)) == {200: 2, 429: 1}
    assert (await lab.ask(post(path=b"/v1/messages/count_tokens"))).status == 200


async def test_what_fails_before_it_is_sent_elsewhere_counts_for_its_own_key_only(
    lab: Lab,
) -> None:
    first, second = Turns(fault(500)), Turns(JSON)
    lab.start(
        provider(lab.upstream(first), "one", keys=[Key(key="test-key-1", rpm_limit=2)]),
        provider(lab.upstream(second), "two", keys=[Key(key="test-key-2", rpm_limit=3)]),
        routing=routing(**NOW, strategy="failover"),
        health=Health(failures=100),
    )
    assert [(await lab.ask(post())).status for _ in range(4)] == [200, 200, 200, 429]
    assert (len(first.got), len(second.got)) == (2, 3)


# ---- learned limits


DIMENSIONS = {
    "requests": b"anthropic-ratelimit-requests",
    "tokens": b"anthropic-ratelimit-tokens",
    "input": b"anthropic-ratelimit-input-tokens",
    "output": b"anthropic-ratelimit-output-tokens",
}


def spent(name: bytes, limit: int, seconds: float) -> list[tuple[bytes, bytes]]:
    """Headers that say: so many allowed, nothing left for so long."""
    until = datetime.fromtimestamp(time.time() + seconds, UTC).isoformat().removesuffix("+00:00")
    return [
        (b"content-type", b"application/json"),
        (name + b"-limit", b"%d" % limit),
        (name + b"-remaining", b"0"),
        (name + b"-reset", until.encode() + b"Z"),
    ]


@pytest.mark.parametrize("dimension", DIMENSIONS)
async def test_a_key_that_says_it_is_spent_is_left_alone_until_its_reset(
    lab: Lab, dimension: str
) -> None:
    seen: list[float] = []

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            seen.append(time.time())
            fields = spent(DIMENSIONS[dimension], 1000, 0.6)
            await peer.send(response(200, MESSAGE, fields if len(seen) < 3 else ()))

    lab.start(
        provider(lab.upstream(script), keys=KEYS),
        routing=routing(affinity=ANYWHERE, queue_timeout_s=4),
    )
    began_at = time.time()
    for _ in range(3):
        assert (await lab.ask(post())).status == 200
    assert seen[1] - began_at < 0.4  # the other key knew of no limit
    assert 0.5 <= seen[2] - began_at <= 1.2, "until the reset, and no longer"
    assert lab.sink.records[2]["queued_ms"]


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("count", [1, 2])
async def test_a_learned_limit_never_refuses_what_its_reset_comes_too_late_for(
    lab: Lab, dimension: str, count: int
) -> None:
    spent_now = response(200, MESSAGE, spent(DIMENSIONS[dimension], 50, 30.0))
    turns = Turns(*[spent_now] * count, fault(429, "rate_limit_error", "theirs"), JSON)
    lab.start(provider(lab.upstream(turns), keys=KEYS[:count]), routing=routing(**NOW))
    for _ in range(count):
        assert (await lab.ask(post())).status == 200
    answer = await lab.ask(post())  # the provider's word is the answer
    if count == 1:
        assert (answer.status, answer.json()["error"]["message"]) == (429, "theirs")
        assert len(turns.got) == 2
    else:
        assert (answer.status, answer.body) == (200, MESSAGE)
        assert len(turns.got) == 4


# What the answer to a small prompt says, and the size of the next prompt.
GREW = {
    "almost all left": (400_000, 399_000, 1_300_000),
    "more than the whole limit": (40_000, 40_000, 600_000),
    "nothing left": (400_000, 0, 300_000),
    "no limit named": (0, 20_000, 300_000),
}


@pytest.mark.parametrize("configured", [{}, {"tpm_limit": 2_000_000}], ids=["learned", "both"])
@pytest.mark.parametrize("told", GREW)
async def test_a_big_prompt_after_a_small_one_is_sent_at_once(
    lab: Lab, told: str, configured: dict[str, int]
) -> None:
    limit, remaining, size = GREW[told]
    fields = [(b"content-type", b"application/json")]
    if limit:
        fields.append((b"anthropic-ratelimit-tokens-limit", b"%d" % limit))
    fields.append((b"anthropic-ratelimit-tokens-remaining", b"%d" % remaining))
    until = datetime.fromtimestamp(time.time() + 55, UTC).isoformat()
    fields.append((b"anthropic-ratelimit-tokens-reset", until.encode()))
    turns = Turns(response(200, MESSAGE, fields))
    lab.start(provider(lab.upstream(turns), keys=keys(**configured)), routing=routing())
    assert (await lab.ask(post())).status == 200
    began_at = time.monotonic()
    grown = post(padded(size))
    assert (await lab.ask(grown)).status == 200
    assert time.monotonic() - began_at < 2.0
    assert len(turns.got) == 2


async def test_a_learned_limit_prefers_another_key(lab: Lab) -> None:
    fields = [(b"x-ratelimit-limit-requests", b"3"), (b"x-ratelimit-remaining-requests", b"2")]
    fields += [(b"x-ratelimit-reset-requests", b"60s"), (b"content-type", b"application/json")]
    turns = Turns(response(200, MESSAGE, fields))
    lab.start(provider(lab.upstream(turns), keys=KEYS), routing=routing(**NOW))
    assert [(await lab.ask(post())).status for _ in range(6)] == [200] * 6
    assert sorted(Counter(turns.keys).values()) == [3, 3]


@pytest.mark.parametrize("value", [b"1", b"millis"])
async def test_a_key_rests_as_long_as_its_429_says_and_comes_back(lab: Lab, value: bytes) -> None:
    fields = {
        b"1": [(b"retry-after", b"1")],
        b"millis": [(b"retry-after", b"60"), (b"retry-after-ms", b"400")],
    }[value]
    wire = fault(429, "rate_limit_error", headers=fields)
    turns = Turns(wire, JSON)
    lab.start(provider(lab.upstream(turns), keys=KEYS), routing=routing(**NOW))
    for _ in range(4):
        assert (await lab.ask(post())).status == 200
    tired, other = turns.keys[:2]
    assert turns.keys == [tired, other, other, other, other]  # the other one serves meanwhile
    rests = lab.sink.named("key_cooldown")
    assert [told["why"] for told in rests] == ["rate_limited"]
    assert float(str(rests[0]["seconds"])) == (1.0 if value == b"1" else 0.4)
    await asyncio.sleep(float(str(rests[0]["seconds"])) + 0.05)
    for _ in range(4):
        assert (await lab.ask(post())).status == 200
    assert tired in turns.keys[5:]


async def test_a_429_that_says_nothing_keeps_no_request_from_a_lone_key(lab: Lab) -> None:
    turns = Turns(fault(429, "rate_limit_error"), JSON)
    lab.start(provider(lab.upstream(turns)), routing=routing(**NOW))
    assert [(await lab.ask(post())).status for _ in range(2)] == [429, 200]
    assert lab.sink.named("key_cooldown") == []


def of_sonnet(seconds: int) -> list[tuple[bytes, bytes]]:
    """Headers of a 429: the week of one family is spent."""
    name = b"anthropic-ratelimit-unified-"
    at = b"%d" % (time.time() + seconds)
    return [
        (name + b"status", b"rejected"),
        (name + b"representative-claim", b"seven_day_sonnet"),
        (name + b"7d_sonnet-status", b"rejected"),
        (name + b"7d_sonnet-reset", at),
        (name + b"reset", at),
    ]


REFUSALS = {
    "one family's window": fault(429, "rate_limit_error", headers=of_sonnet(3600)),
    "no time": fault(429, "rate_limit_error"),
    "the key's window": fault(429, "rate_limit_error", headers=[(b"retry-after", b"3600")]),
    "no access to the model": fault(403, "permission_error", "No access to this model."),
}
# It is not said for how long: a second at first.
RESTS = ("no time", "no access to the model")


@pytest.mark.parametrize("why", REFUSALS)
@pytest.mark.parametrize("affinity", [True, False])
async def test_spent_keys_cost_no_attempts(lab: Lab, why: str, affinity: bool) -> None:
    spent_keys = [f"test-key-{n}" for n in range(5)]
    got: Counter[str] = Counter()

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            key = (request.get(b"x-api-key") or b"").decode()
            got[key] += 1
            if key in spent_keys and b"sonnet" in request.body:
                await peer.send(REFUSALS[why])
            else:
                await peer.send(JSON)

    lab.start(
        provider(lab.upstream(script), keys=[*spent_keys, "test-key-9"], models=["claude-*"]),
        routing=routing(attempts_max=3, affinity=Affinity(enabled=affinity)),
    )
    sonnet = BODY.replace(b"claude-test-1", b"claude-sonnet-4-5")
    for n in range(20):
        answer = await lab.ask(post(sonnet, headers=[(SESSION, b"s-%d" % n)]))
        assert answer.status == 200
    assert all(got[key] <= (6 if why in RESTS else 1) for key in spent_keys)
    if why != "the key's window":
        opus = BODY.replace(b"claude-test-1", b"claude-opus-4-5")
        before = got["test-key-9"]
        for n in range(20, 40):
            assert (await lab.ask(post(opus, headers=[(SESSION, b"s-%d" % n)]))).status == 200
        assert got["test-key-9"] - before < 20, "the others serve Opus"
    if why == "one family's window":
        told = lab.sink.named("key_cooldown")
        assert [(one["why"], one["model"]) for one in told] == [("window_spent", "sonnet")] * 5


async def test_when_every_key_rests_a_request_waits_for_the_first(lab: Lab) -> None:
    first = Turns(LIMITED, JSON)
    second = Turns(fault(429, "rate_limit_error", headers=[(b"retry-after", b"30")]), JSON)
    lab.start(
        provider(lab.upstream(first), "one"),
        provider(lab.upstream(second), "two"),
        routing=routing(affinity=ANYWHERE),
    )
    began_at = time.monotonic()
    answers = [asyncio.ensure_future(lab.ask(post())) for _ in range(2)]
    assert [(await answer).status for answer in answers] == [200, 200]
    assert 0.8 < time.monotonic() - began_at < 1.5
    record = lab.sink.records[-1]
    assert record["provider"] == "one"
    assert 800 < float(str(record["queued_ms"])) < 1500


@pytest.mark.parametrize("count", [1, 2])
async def test_a_short_reset_of_one_family_is_waited_for_as_well(lab: Lab, count: int) -> None:
    turns = Turns(*[fault(429, "rate_limit_error", headers=of_sonnet(2))] * count, JSON)
    lab.start(
        provider(lab.upstream(turns), keys=KEYS[:count], models=["claude-*"]), routing=routing()
    )
    began_at = time.monotonic()
    sonnet = BODY.replace(b"claude-test-1", b"claude-sonnet-4-5")
    assert (await lab.ask(post(sonnet))).status == 200
    assert 0.9 < time.monotonic() - began_at < 2.5
    assert len(turns.got) == count + 1


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_ten_clients_of_two_spent_keys_are_all_served_when_the_keys_are_back(
    lab: Lab, is_stream: bool
) -> None:
    got: Counter[str] = Counter()
    back_at = time.monotonic() + 2.0

    async def script(peer: Peer) -> None:
        while True:
            got[((await peer.request()).get(b"x-api-key") or b"").decode()] += 1
            left_ms = b"%d" % max((back_at - time.monotonic()) * 1000, 0)
            fields = [(b"retry-after", b"60"), (b"retry-after-ms", left_ms)]
            served = STREAM if is_stream else JSON
            refused = fault(429, "rate_limit_error", headers=fields)
            await peer.send(served if time.monotonic() > back_at else refused)

    lab.start(provider(lab.upstream(script), keys=KEYS), routing=routing())
    answers = await burst(lab, 10, STREAM_BODY if is_stream else BODY)
    assert statuses(answers) == {200: 10}
    assert 0.0 < time.monotonic() - back_at < 1.0, "after the first one they wait for nothing"
    assert sum(got.values()) <= 32


FIRST_BACK = {
    "a message": (BODY, JSON, 200),
    "events": (STREAM_BODY, STREAM, 200),
    "a message where events are due": (STREAM_BODY, JSON, 200),
    "an error of the request": (BODY, fault(400, "invalid_request_error"), 400),
}


@pytest.mark.parametrize("ping_s", [12.0, 0.05], ids=["", "pings"])
@pytest.mark.parametrize("what", FIRST_BACK)
async def test_after_a_cooldown_the_first_answer_lets_all_others_go(
    lab: Lab, what: str, ping_s: float
) -> None:
    body, wire, status = FIRST_BACK[what]
    stage = Stage()
    lab.start(
        provider(lab.upstream(stage), keys=KEYS[:1]), routing=routing(ping_s=ping_s, early_head_s=0)
    )
    limits = lab.relay.providers[0].targets[0].limits
    limits.start_cooldown(lab.relay.reactor.clock() + 0.3, int(Cooldown.RATE))
    clients = [await lab.client() for _ in range(5)]
    for client in clients:
        await client.send(post(body))
    first = await stage.peer()
    await waiting(lab, 4)
    began_at = time.monotonic()
    await first.send(wire)
    first.close()
    for _ in range(4):
        peer = await stage.peer()
        await peer.send(STREAM if body == STREAM_BODY else JSON)
        peer.close()
    assert time.monotonic() - began_at < 1.0
    has_begun = body == STREAM_BODY and ping_s < 1.0
    assert statuses([await client.answer() for client in clients]) == Counter(
        [200] * 4 + [200 if has_begun else status]
    )


async def test_one_that_failed_elsewhere_waits_for_a_key_that_it_has_not_tried(lab: Lab) -> None:
    first, second = Turns(fault(500), JSON), Turns(JSON)
    lab.start(
        provider(lab.upstream(first), "one", models=["claude-*"]),
        provider(lab.upstream(second), "two"),
        routing=routing(affinity=ANYWHERE, strategy="failover"),
    )
    relay = lab.relay
    limits = relay.providers[1].targets[0].limits
    limits.start_cooldown(relay.reactor.clock() + 1.0, int(Cooldown.RATE))
    answer = await lab.ask(post())
    assert (answer.status, answer.body) == (200, MESSAGE)
    record = lab.sink.records[-1]
    assert (record["provider"], record["attempts"]) == ("two", 2)
    assert 800 < float(str(record["queued_ms"])) < 1500


async def test_a_spent_quota_rests_long_and_a_refused_key_until_a_reload_or_a_trial(
    lab: Lab,
) -> None:
    refused, spent_ = fault(401, "authentication_error"), fault(402, "billing_error")
    bad, poor, good = Turns(refused, JSON), Turns(spent_, JSON), Turns(JSON)
    relay = lab.start(
        provider(lab.upstream(bad), "bad"),
        provider(lab.upstream(poor), "poor"),
        provider(lab.upstream(good), "good"),
        routing=routing(**NOW, strategy="failover"),
    )
    for _ in range(4):
        assert (await lab.ask(post())).status == 200
    assert [len(turns.got) for turns in (bad, poor, good)] == [1, 1, 4]
    (out,) = lab.sink.named("key_disabled")
    assert (out["provider"], out["seconds"]) == ("bad", 30.0)
    assert "reload" in str(out["hint"])
    assert [(level, name) for level, name, _ in lab.sink.events if name == "key_disabled"] == [
        ("error", "key_disabled")
    ]
    (rests,) = lab.sink.named("key_cooldown")
    assert (rests["provider"], rests["seconds"]) == ("poor", 900.0)
    relay.reload(relay.config, Layout.of(relay.config))
    for target in relay.context.config.by_slot.values():  # the supervisor's part of a reload
        target.refusals.clear()
    assert (await lab.ask(post())).status == 200
    assert [len(turns.got) for turns in (bad, poor, good)] == [2, 1, 4]


# ---- waiting


async def test_the_third_of_two_times_one_waits_or_is_told_when(lab: Lab) -> None:
    turns = Turns(JSON)
    lab.start(
        provider(lab.upstream(turns), keys=keys(rpm_limit=1)), routing=routing(queue_timeout_s=100)
    )
    assert statuses(await burst(lab, 2)) == {200: 2}
    client = await lab.client()
    await client.send(post())
    await waiting(lab, 1)
    assert await client.silent(0.2)
    client.close()
    await waiting(lab, 0)
    record = lab.sink.records[-1]
    assert (record["ending"], record["attempts"]) == ("client_left", 0)
    assert float(str(record["queued_ms"])) > 100
    assert len(turns.got) == 2


async def test_who_could_not_be_served_in_time_is_told_at_once(lab: Lab) -> None:
    lab.start(
        provider(lab.upstream(Turns(JSON)), keys=keys(rpm_limit=1)),
        routing=routing(queue_timeout_s=20),
    )
    assert statuses(await burst(lab, 2)) == {200: 2}
    began_at = time.monotonic()
    answer = await lab.ask(post())
    assert time.monotonic() - began_at < 0.5
    assert answer.status == 429
    assert 57 <= int(answer.get(b"retry-after") or 0) <= 61


class OneAtATime:
    """A provider of one key that takes one exchange at once, and clients that queue for it."""

    def __init__(self, lab: Lab, count: int = 1, **fields: object) -> None:
        self.lab = lab
        self.stage = Stage()
        self.order: list[bytes] = []
        made = [Key(key=key, max_concurrent=1) for key in KEYS[:count]]
        lab.start(provider(lab.upstream(self.stage), keys=made), routing=routing(**fields))

    async def occupy(self) -> Peer:
        client = await self.lab.client()
        await client.send(post(headers=[(b"x-name", b"first")]))
        return await self.stage.peer()

    async def queue(
        self, name: bytes, session: bytes, agent: bytes = b"", body: bytes = BODY
    ) -> Client:
        fields = [(b"x-name", name), (SESSION, session)]
        if agent:
            fields.append((AGENT, agent))
        before = len(self.lab.relay.context.queue)
        client = await self.lab.client()
        await client.send(post(body, headers=fields))
        await waiting(self.lab, before + 1)
        return client

    async def play(self, peer: Peer, count: int) -> list[bytes]:
        """Answer, and see who comes next; so many times."""
        names = []
        for _ in range(count):
            await peer.send(JSON)
            peer.close()
            peer = await self.stage.peer()
            names.append(peer.seen.get(b"x-name") or b"")
        await peer.send(JSON)
        return names


@pytest.mark.parametrize("count", [1, 2])
async def test_the_main_loop_goes_before_sub_agents(lab: Lab, count: int) -> None:
    """With one key there is nothing to choose, and the order holds all the same."""
    house = OneAtATime(lab, count)
    peers = [await house.occupy() for _ in range(count)]
    await house.queue(b"agent 1", b"s-1", b"agent-1")
    await house.queue(b"agent 2", b"s-1", b"agent-2")
    await house.queue(b"main", b"s-1")
    await house.queue(b"agent 3", b"s-2", b"agent-3")
    order = await house.play(peers[-1], 4)
    assert order == [b"main", b"agent 1", b"agent 3", b"agent 2"]
    for peer in peers[:-1]:
        await peer.send(JSON)


@pytest.mark.parametrize("count", [1, 2])
async def test_conversations_take_turns(lab: Lab, count: int) -> None:
    house = OneAtATime(lab, count)
    peers = [await house.occupy() for _ in range(count)]
    for name in (b"a1", b"a2", b"a3"):
        await house.queue(name, b"s-a")
    for name in (b"b1", b"b2"):
        await house.queue(name, b"s-b")
    await house.queue(b"c1", b"s-c")
    order = await house.play(peers[-1], 6)
    assert order == [b"a1", b"b1", b"c1", b"a2", b"b2", b"a3"]
    for peer in peers[:-1]:
        await peer.send(JSON)


async def test_who_comes_later_does_not_go_before_those_who_wait(lab: Lab) -> None:
    house = OneAtATime(lab)
    peer = await house.occupy()
    first = await house.queue(b"first in line", b"s-1")
    late = await lab.client()
    await peer.send(JSON)
    peer.close()
    await late.send(post(headers=[(b"x-name", b"late"), (SESSION, b"s-2")]))
    peer = await house.stage.peer()
    assert peer.seen.get(b"x-name") == b"first in line"
    assert await house.play(peer, 1) == [b"late"]
    assert [(await client.answer()).status for client in (first, late)] == [200, 200]


async def test_a_client_that_leaves_while_waiting_leaves_nothing(lab: Lab) -> None:
    house = OneAtATime(lab)
    peer = await house.occupy()
    leavers = [await house.queue(b"x", b"s-1"), await house.queue(b"y", b"s-2", b"agent")]
    stays = await house.queue(b"stays", b"s-3")
    leavers[0].close()
    leavers[1].reset()
    await waiting(lab, 1)
    assert await house.play(peer, 1) == [b"stays"]
    assert (await stays.answer()).status == 200
    endings = [record["ending"] for record in await lab.records(4)]
    assert sorted(map(str, endings)) == ["client_left", "client_left", "complete", "complete"]


async def test_only_so_many_wait(lab: Lab) -> None:
    house = OneAtATime(lab, queue_max=2)
    peer = await house.occupy()
    clients = [await house.queue(b"w", b"s-1"), await house.queue(b"w", b"s-2")]
    answer = await lab.ask(post())
    assert (answer.status, answer.get(b"retry-after")) == (429, b"1")
    await house.play(peer, 2)
    assert [(await client.answer()).status for client in clients] == [200, 200]


async def test_who_has_waited_long_enough_is_told(lab: Lab) -> None:
    house = OneAtATime(lab, queue_timeout_s=0.3)
    peer = await house.occupy()
    began_at = time.monotonic()
    clients = [await house.queue(b"w", b"s-1"), await house.queue(b"w", b"s-1")]
    for client in clients:
        answer = await client.answer()
        assert (answer.status, answer.get(b"retry-after")) == (429, b"1")
    assert 0.25 < time.monotonic() - began_at < 0.8
    await peer.send(JSON)


async def test_a_waiting_stream_gets_its_head_and_pings_and_then_its_events(lab: Lab) -> None:
    stage = Stage()
    lab.start(
        provider(lab.upstream(stage), keys=[Key(key="test-key-1", max_concurrent=1)]),
        routing=routing(early_head_s=0.1, ping_s=0.15),
    )
    first, second = await lab.client(), await lab.client()
    await first.send(post(STREAM_BODY))
    peer = await stage.peer()
    await peer.send(STREAM[:-5])
    await second.send(post(STREAM_BODY))
    await waiting(lab, 1)
    await asyncio.sleep(0.5)
    raw = await second.until(b"event: ping")
    assert raw.startswith(b"HTTP/1.1 200 ")
    await peer.send(STREAM[-5:])
    peer.close()
    await (await stage.peer()).send(STREAM)
    answer = await second.answer()
    found = events_in(answer.body)
    assert (answer.status, answer.cut) == (200, False)
    assert 2 <= [name for name, _ in found].count("ping") <= 6
    assert [e for e in found if e[0] != "ping"] == events_in(EVENTS)
    events = events_in((await first.answer()).body)
    assert [e for e in events if e[0] != "ping"] == events_in(EVENTS)


async def test_a_waiting_stream_that_is_given_up_ends_with_an_error_event(lab: Lab) -> None:
    stage = Stage()
    lab.start(
        provider(lab.upstream(stage), keys=[Key(key="test-key-1", max_concurrent=1)]),
        routing=routing(early_head_s=0.1, ping_s=0.1, queue_timeout_s=0.4),
    )
    busy = await lab.client()
    await busy.send(post())
    peer = await stage.peer()
    client = await lab.client()
    answer = await client.ask(post(STREAM_BODY))
    name, data = events_in(answer.body)[-1]
    assert (answer.status, answer.cut, name) == (200, False, "error")
    assert '"rate_limit_error"' in data
    assert await client.silent(0.03)
    await peer.send(JSON)


async def test_a_drain_lets_those_who_wait_have_their_turn(lab: Lab) -> None:
    house = OneAtATime(lab)
    peer = await house.occupy()
    client = await house.queue(b"patient", b"s-1")
    draining = asyncio.ensure_future(lab.relay.drain(5))
    await asyncio.sleep(0.1)
    assert await house.play(peer, 1) == [b"patient"]
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, MESSAGE)
    assert await draining == 0


@pytest.mark.parametrize("body", [BODY, STREAM_BODY], ids=["whole", "stream"])
async def test_the_end_of_a_drain_tells_those_who_wait(lab: Lab, body: bytes) -> None:
    house = OneAtATime(lab, early_head_s=0.1)
    peer = await house.occupy()
    client = await house.queue(b"patient", b"s-1", body=body)
    await asyncio.sleep(0.2)
    assert await lab.relay.drain(0.1) == 2
    answer = await client.answer()
    if body == STREAM_BODY:
        assert events_in(answer.body)[-1][0] == "error"
    else:
        assert (answer.status, answer.error["type"]) == (529, "overloaded_error")
    await peer.gone(1)
    assert len(lab.relay.context.queue) == 0


async def test_the_next_request_on_a_kept_connection_waits_its_turn_too(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(
        provider(
            lab.upstream(always(JSON, into=got)), keys=[Key(key="test-key-1", max_concurrent=1)]
        )
    )
    client = await lab.client()
    await client.send(post() * 10)
    assert [(await client.answer()).status for _ in range(10)] == [200] * 10
    assert len(got) == 10
