"""A conversation stays with its provider and key, where its prompt cache is."""

import asyncio
import json
from collections import defaultdict

import pytest

from ccrelay._fast.affinity_table import MOVED, hash64
from ccrelay.config.model import Affinity, Health, Key, Routing
from tests.loopback.relay.harness import Lab, Peer, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Stage, Turns
from tests.loopback.relay.wires import (
    BODY,
    CHUNKED_HEAD,
    EVENTS,
    MESSAGE,
    STREAM_BODY,
    Request,
    chunked_post,
    chunks,
    fault,
    post,
    response,
)

SESSION = b"x-claude-code-session-id"
AGENT = b"x-claude-code-agent-id"
KEYS = ["test-key-1", "test-key-2", "test-key-3"]
# What a long conversation reports: 60 000 tokens of prefix.
LONG = response(
    200,
    MESSAGE.replace(b'"cache_read_input_tokens": 4', b'"cache_read_input_tokens": 59985'),
)
LONG_STREAM = CHUNKED_HEAD + chunks(
    EVENTS.replace(b'"cache_read_input_tokens": 22', b'"cache_read_input_tokens": 59919')
)


def turn(session: str, agent: str = "", body: bytes = BODY, path: bytes = b"/v1/messages") -> bytes:
    fields = [(SESSION, session.encode())]
    if agent:
        fields.append((AGENT, agent.encode()))
    return post(body, path, fields)


def limited(seconds: float) -> bytes:
    fields = [(b"retry-after", b"60"), (b"retry-after-ms", b"%d" % (seconds * 1000))]
    return fault(429, "rate_limit_error", headers=fields)


def who(request: Request) -> str:
    return (request.get(b"x-api-key") or b"").decode()


class Pool:
    """A provider of three keys; a key in `tired` is told to rest."""

    def __init__(self, lab: Lab, wire: bytes = JSON, **fields: object) -> None:
        self.got: list[Request] = []
        self.tired: dict[str, bytes] = {}
        self.wire = wire
        self.lab = lab
        lab.start(
            provider(lab.upstream(self.serve), keys=KEYS),
            routing=routing(**{"queue_timeout_s": 0, **fields}),
        )

    async def serve(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            self.got.append(request)
            await peer.send(self.tired.get(who(request), self.wire))

    async def ask(self, wire: bytes) -> str:
        """The key that served it."""
        answer = await self.lab.ask(wire)
        assert answer.status == 200, answer.body
        return who(self.got[-1])

    async def neighbour(self, key: str) -> str:
        """Another conversation that lives there."""
        for number in range(99):
            if await self.ask(turn(f"x-{number}")) == key:
                return f"x-{number}"
        raise AssertionError(f"nobody goes to {key}")

    def placed(self) -> int:
        """How many conversations have a place; none has one afterwards."""
        relay = self.lab.relay
        return sum(relay.context.affinity.forget_slot(t.slot) for t in relay.providers[0].targets)


async def test_twenty_conversations_stay_with_their_keys(lab: Lab) -> None:
    pool = Pool(lab)
    homes: dict[int, set[str]] = defaultdict(set)
    for _ in range(6):
        for number in range(20):
            homes[number].add(await pool.ask(turn(f"session-{number}")))
    assert all(len(keys) == 1 for keys in homes.values())
    assert {key for keys in homes.values() for key in keys} == set(KEYS)
    assert lab.sink.named("conversation_moved") == []
    named = {record["conversation"] for record in lab.sink.records}
    assert len(named) == 20


async def test_at_once_they_stay_as_well(lab: Lab) -> None:
    pool = Pool(lab, STREAM)
    clients = [await lab.client() for _ in range(20)]
    homes: dict[int, set[str]] = defaultdict(set)
    for _ in range(4):
        pool.got.clear()
        for number, client in enumerate(clients):
            await client.send(turn(f"session-{number}", body=STREAM_BODY))
        for client in clients:
            assert (await client.answer()).body == EVENTS
        for request in pool.got:
            number = int((request.get(SESSION) or b"").rpartition(b"-")[2])
            homes[number].add(who(request))
    assert len(homes) == 20
    assert all(len(keys) == 1 for keys in homes.values())


async def test_another_worker_sends_a_new_conversation_to_the_same_key(lab: Lab) -> None:
    """Rendezvous hashing needs no shared table, and no order of keys either."""
    pool = Pool(lab)
    first = [await pool.ask(turn(f"session-{number}")) for number in range(12)]
    await lab.stop(lab.relay)
    lab.start(
        provider(lab.upstreams[0], keys=list(reversed(KEYS))), routing=routing(queue_timeout_s=0)
    )
    assert [await pool.ask(turn(f"session-{number}")) for number in range(12)] == first


def with_user(user_id: str, text: str = "hi") -> bytes:
    return json.dumps(
        {
            "model": "claude-test-1",
            "metadata": {"user_id": user_id},
            "messages": [{"role": "user", "content": text}],
        }
    ).encode()


def beginning(system: object, first: object, *more: str) -> bytes:
    turns = [{"role": "user", "content": first}]
    for text in more:
        turns += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": text}]
    return json.dumps({"model": "claude-test-1", "system": system, "messages": turns}).encode()


@pytest.mark.parametrize("how", ["header", "metadata", "older metadata", "beginning"])
async def test_a_conversation_is_known_by(lab: Lab, how: str) -> None:
    pool = Pool(lab)

    def body(number: int, round_: int) -> bytes:
        if how == "metadata":
            return with_user(json.dumps({"session_id": f"s-{number}"}), f"text {round_}")
        if how == "older metadata":
            return with_user(f"user_ab_account_cd_session_s-{number}", f"text {round_}")
        if how == "beginning":
            more = [f"then {k}" for k in range(round_)]
            first: object = f"task {number}"
            if round_:
                first = [
                    {
                        "type": "text",
                        "text": f"task {number}",
                        "cache_control": {"type": "ephemeral"},
                    }
                ]
            return beginning([{"type": "text", "text": "You help."}], first, *more)
        return BODY

    homes: dict[int, set[str]] = defaultdict(set)
    for round_ in range(4):
        for number in range(10):
            fields = [(SESSION, b"s-%d" % number)] if how == "header" else []
            homes[number].add(await pool.ask(post(body(number, round_), headers=fields)))
    assert all(len(keys) == 1 for keys in homes.values())
    assert len({record["conversation"] for record in lab.sink.records}) == 10


async def test_header_and_metadata_name_the_same_conversation(lab: Lab) -> None:
    pool = Pool(lab)
    body = with_user(json.dumps({"session_id": "the-one"}))
    homes = {await pool.ask(post(body)), await pool.ask(turn("the-one"))}
    pieces = [body[:30], body[30:]]
    homes.add(await pool.ask(chunked_post(pieces)))
    assert len(homes) == 1
    assert len({record["conversation"] for record in lab.sink.records}) == 1


async def test_a_known_conversation_is_sent_on_before_its_body_is_whole(lab: Lab) -> None:
    stage = Stage(whole_request=False)
    lab.start(provider(lab.upstream(stage), keys=KEYS))
    wire = turn("s-1", body=BODY + b" " * 100_000)
    client = await lab.client()
    await client.send(wire[:50_000])
    peer = await stage.peer()
    await client.send(wire[50_000:])
    await peer.request()
    await peer.send(JSON)
    assert (await client.answer()).status == 200


# ---- moving


async def test_it_moves_when_its_key_rests_and_stays_moved_where_it_is_warm(lab: Lab) -> None:
    pool = Pool(lab, LONG)
    home = await pool.ask(turn("s-1"))
    pool.tired[home] = limited(0.4)
    away = await pool.ask(turn("s-1"))
    assert away != home
    pool.tired.clear()
    assert await pool.ask(turn("s-1")) == away
    (moved,) = lab.sink.named("conversation_moved")
    assert (moved["why"], moved["prefix_tokens"]) == ("failed", 60_000)
    assert moved["conversation"] == f"{hash64(b's-1'):016x}"
    assert moved["from_key"] != moved["key"]
    assert isinstance(moved["prefix_usd"], float)
    assert [record.get("moved") for record in lab.sink.records] == [None, True, None]
    await asyncio.sleep(0.5)  # the old key is back
    for _ in range(3):
        assert await pool.ask(turn("s-1")) == away
    place = lab.relay.context.affinity.find(hash64(b"s-1"), lab.relay.reactor.clock())
    assert place is not None
    assert place.flags & MOVED
    assert len(lab.sink.named("conversation_moved")) == 1


async def test_it_moves_without_being_refused_when_its_key_is_known_to_rest(lab: Lab) -> None:
    pool = Pool(lab, LONG)
    home = await pool.ask(turn("s-1"))
    other = await pool.neighbour(home)
    pool.tired[home] = limited(30)
    await pool.ask(turn(other))
    pool.got.clear()
    away = await pool.ask(turn("s-1"))
    assert (away != home, len(pool.got)) == (True, 1)
    moved = lab.sink.named("conversation_moved")[-1]
    assert (moved["why"], moved["conversation"]) == ("cooldown", f"{hash64(b's-1'):016x}")


async def test_a_warm_conversation_waits_a_while_for_its_own_key(lab: Lab) -> None:
    pool = Pool(lab, LONG, affinity=Affinity(wait_s=3.0), queue_timeout_s=5)
    home = await pool.ask(turn("s-1"))
    other = await pool.neighbour(home)
    pool.tired[home] = limited(0.4)
    await pool.ask(turn(other))
    pool.tired.clear()
    assert await pool.ask(turn("s-1")) == home
    assert 200 < float(str(lab.sink.records[-1]["queued_ms"])) < 900
    assert [
        m
        for m in lab.sink.named("conversation_moved")
        if m["conversation"] == f"{hash64(b's-1'):016x}"
    ] == []


@pytest.mark.parametrize("how", ["header", "text", "error event"])
async def test_a_warm_conversation_waits_for_the_reset_that_it_is_told_itself(
    lab: Lab, how: str
) -> None:
    told = {"type": "error", "error": {"type": "rate_limit_error", "message": "try again in 1s"}}
    event = b"event: error\ndata: " + json.dumps(told).encode() + b"\n\n"
    wires = {
        "header": fault(429, "rate_limit_error", headers=[(b"retry-after", b"1")]),
        "text": fault(429, "rate_limit_error", "try again in 1s"),
        "error event": CHUNKED_HEAD + chunks(event),
    }
    pool = Pool(lab, LONG_STREAM, queue_timeout_s=Routing().queue_timeout_s)
    warm = turn("s-1", body=STREAM_BODY)
    home = await pool.ask(warm)
    pool.tired[home] = wires[how]
    asyncio.get_running_loop().call_later(0.5, pool.tired.clear)
    assert await pool.ask(warm) == home, "although two keys are free"
    assert [who(request) for request in pool.got] == [home] * 3
    record = lab.sink.records[-1]
    assert (record["attempts"], record.get("moved")) == (2, None)
    assert 900 < float(str(record["queued_ms"])) < 1500
    assert lab.sink.named("conversation_moved") == []


async def test_a_short_conversation_has_nothing_to_wait_for(lab: Lab) -> None:
    pool = Pool(lab, affinity=Affinity(wait_s=3.0), queue_timeout_s=5)
    home = await pool.ask(turn("s-1"))
    other = await pool.neighbour(home)
    pool.tired[home] = limited(0.4)
    await pool.ask(turn(other))
    assert await pool.ask(turn("s-1")) != home
    assert "queued_ms" not in lab.sink.records[-1]


async def test_it_goes_to_another_provider_and_stays_there_while_it_is_warm(lab: Lab) -> None:
    first, second = Turns(LONG, fault(529), LONG), Turns(LONG)
    lab.start(
        provider(lab.upstream(first), "one"),
        provider(lab.upstream(second), "two"),
        routing=routing(strategy="failover"),
        health=Health(failures=100),
    )
    for _ in range(4):
        assert (await lab.ask(turn("s-1"))).status == 200
    assert [record["provider"] for record in lab.sink.records] == ["one", "two", "two", "two"]
    assert (await lab.ask(turn("s-2"))).status == 200  # a new one begins where it should
    assert lab.sink.records[-1]["provider"] == "one"


# ---- who follows, and who does not


async def test_sub_agents_follow_their_session(lab: Lab) -> None:
    pool = Pool(lab, LONG_STREAM)
    for number in range(8):
        session = f"s-{number}"
        home = await pool.ask(turn(session, body=STREAM_BODY))
        for agent in ("a-1", "a-2", "a-3"):
            assert await pool.ask(turn(session, agent, body=STREAM_BODY)) == home
        assert await pool.ask(turn(session, body=STREAM_BODY)) == home
    classes = {str(record["class"]) for record in lab.sink.records}
    assert classes == {"main", "subagent"}


async def test_a_sub_agent_that_had_to_go_elsewhere_does_not_move_its_session(lab: Lab) -> None:
    pool = Pool(lab, LONG)
    home = await pool.ask(turn("s-1"))
    pool.tired[home] = limited(0.4)
    assert await pool.ask(turn("s-1", "agent-1")) != home
    pool.tired.clear()
    await asyncio.sleep(0.5)
    assert await pool.ask(turn("s-1")) == home


async def test_counting_tokens_goes_along_and_moves_nobody(lab: Lab) -> None:
    counted = response(200, b'{"input_tokens":7}')
    count = b"/v1/messages/count_tokens"
    pool = Pool(lab, LONG)
    home = await pool.ask(turn("s-1"))
    pool.wire = counted
    assert await pool.ask(turn("s-1", path=count)) == home
    pool.tired[home] = limited(0.4)
    assert await pool.ask(turn("s-1", path=count)) != home
    pool.tired.clear()
    pool.wire = LONG
    await asyncio.sleep(0.5)
    assert await pool.ask(turn("s-1")) == home
    assert lab.sink.named("conversation_moved") == []


async def test_counting_tokens_first_settles_nobody(lab: Lab) -> None:
    pool = Pool(lab, response(200, b'{"input_tokens":7}'))
    await pool.ask(turn("s-1", path=b"/v1/messages/count_tokens"))
    assert pool.placed() == 0


async def test_without_affinity_every_request_is_routed_anew(lab: Lab) -> None:
    pool = Pool(lab, affinity=Affinity(enabled=False))
    homes = {await pool.ask(turn("s-1")) for _ in range(30)}
    assert homes == set(KEYS)
    assert pool.placed() == 0
    assert "conversation" not in lab.sink.records[0]


async def test_a_conversation_that_was_never_answered_keeps_no_place_that_failed(lab: Lab) -> None:
    pool = Pool(lab)
    for key in KEYS[:2]:
        pool.tired[key] = fault(500)
    for number in range(6):
        assert await pool.ask(turn(f"s-{number}")) == KEYS[2]
    assert {await pool.ask(turn(f"s-{number}")) for number in range(6)} == {KEYS[2]}
    assert [r["attempts"] for r in lab.sink.records[6:]] == [1] * 6


async def test_a_conversation_whose_key_is_busy_goes_to_another(lab: Lab) -> None:
    stage = Stage()
    lab.start(
        provider(lab.upstream(stage), keys=[Key(key=key, max_concurrent=1) for key in KEYS]),
        routing=routing(),
    )
    first = await lab.client()
    await first.send(turn("s-1"))
    peer = await stage.peer()
    home = who(peer.seen)
    second = await lab.client()
    await second.send(turn("s-1"))
    other = await stage.peer()
    assert who(other.seen) != home
    for at in (peer, other):
        await at.send(JSON)
    assert [(await client.answer()).status for client in (first, second)] == [200, 200]
