"""A reload under traffic: what runs goes on, what comes is new, and nothing is forgotten."""

import asyncio
import time
from collections import Counter

import pytest

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Affinity, Auth, Config, Health, Key, Provider, Rule, Use
from ccrelay.fleet.breaker import State
from ccrelay.fleet.layout import Layout
from ccrelay.relay.server import Relay
from tests.loopback.relay.harness import (
    Client,
    Lab,
    Upstream,
    config,
    eventually,
    provider,
    routing,
    server,
)
from tests.loopback.relay.scripts import JSON, STREAM, Stage, Turns, always, refused_url, stall
from tests.loopback.relay.wires import (
    BLOCK,
    BODY,
    CHUNKED_HEAD,
    EVENTS,
    MESSAGE,
    START,
    STOP,
    STREAM_BODY,
    chunks,
    delta,
    events_in,
    fault,
    padded,
    post,
    request,
)

SESSION = b"x-claude-code-session-id"
ANYWHERE = Affinity(enabled=False)
LIMITED = fault(429, "rate_limit_error", headers=[(b"retry-after", b"30")])


class Shop:
    """A relay whose shared memory has room, and whose credentials keep their slots."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.memory = SharedMemory.private(targets=32, endpoints=16, bindings=256)
        self.slots: dict[tuple[str, str], int] = {}
        self.endpoints: dict[str, int] = {}

    def layout(self, made: Config) -> Layout:
        """What the supervisor does: known ones keep theirs, new ones get fresh ones."""
        targets = {
            entry.name: [
                self.slots.setdefault((entry.name, key), len(self.slots))
                for key in ([key.key for key in entry.keys] or [""])
            ]
            for entry in made.providers
        }
        ends = {
            entry.name: self.endpoints.setdefault(
                f"{entry.name} {entry.base_url}", len(self.endpoints)
            )
            for entry in made.providers
        }
        return Layout(targets, ends)

    def start(self, *providers: Provider | Upstream, **sections: object) -> Relay:
        layout = self.layout(config(*providers, **sections))
        return self.lab.start(*providers, memory=self.memory, layout=layout, **sections)

    def reload(self, *providers: Provider | Upstream, **sections: object) -> None:
        made = config(*providers, **sections)
        self.lab.relay.reload(made, self.layout(made))


async def begin(lab: Lab, stage: Stage) -> tuple[Client, object]:
    """A stream with its first content out."""
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    peer = await stage.peer()
    await peer.send(CHUNKED_HEAD + chunks(START + BLOCK + delta("Hello"), last=False))
    await client.until(b"Hello")
    return client, peer


# ---- what runs, what comes


async def test_a_running_stream_ends_where_it_began_and_the_next_request_is_new(lab: Lab) -> None:
    shop, stage, fresh = Shop(lab), Stage(), Turns(STREAM)
    relay = shop.start(provider(lab.upstream(stage), "old"))
    client, peer = await begin(lab, stage)
    shop.reload(provider(lab.upstream(fresh), "new"))
    assert (await lab.ask(post(STREAM_BODY))).body == EVENTS
    assert len(fresh.got) == 1
    await peer.send(chunks(delta(", world") + STOP))
    answer = await client.answer()
    assert (answer.status, answer.cut, answer.body) == (200, False, EVENTS)
    # Its connection is not kept: nobody will ask for it again.
    await peer.gone(1)
    assert (await client.ask(post(STREAM_BODY))).body == EVENTS
    assert [record["provider"] for record in lab.sink.records] == ["new", "old", "new"]
    assert relay.stats()["idle_upstreams"] == 1


async def test_a_request_under_way_fails_over_among_those_it_began_with(lab: Lab) -> None:
    shop, stage, second, fresh = Shop(lab), Stage(), Turns(JSON), Turns(JSON)
    ordered = routing(strategy="failover", affinity=ANYWHERE)
    shop.start(
        provider(lab.upstream(stage), "one"),
        provider(lab.upstream(second), "two"),
        routing=ordered,
    )
    client = await lab.client()
    await client.send(post())
    peer = await stage.peer()
    shop.reload(provider(lab.upstream(fresh), "new"))
    await peer.send(fault(529))
    assert (await client.answer()).body == MESSAGE
    assert [len(second.got), len(fresh.got)] == [1, 0]
    assert (await lab.ask(post())).status == 200
    assert [len(second.got), len(fresh.got)] == [1, 1]
    await eventually(lambda: lab.relay.stats()["idle_upstreams"] == 1)


async def test_connections_to_a_provider_that_stays_are_kept(lab: Lab) -> None:
    shop = Shop(lab)
    upstream = lab.upstream(always(JSON))
    shop.start(upstream)
    client = await lab.client()
    for keys in (("test-key-1",), ("test-key-2",), ("test-key-2", "test-key-3")):
        assert (await client.ask(post())).status == 200
        shop.reload(provider(upstream, keys=keys))
    assert (await client.ask(post())).status == 200
    assert upstream.connections == 1


async def test_idle_connections_to_a_provider_that_goes_are_closed_at_once(lab: Lab) -> None:
    shop, stage = Shop(lab), Stage()
    upstream = lab.upstream(stage)
    relay = shop.start(upstream)
    client = await lab.client()
    await client.send(post())
    peer = await stage.peer()
    await peer.send(JSON)
    assert (await client.answer()).status == 200
    assert relay.stats()["idle_upstreams"] == 1
    shop.reload(provider(lab.upstream(always(JSON)), "new"))
    await peer.gone(0.5)
    assert relay.stats()["idle_upstreams"] == 0


async def test_new_time_limits_hold_for_new_requests_only(lab: Lab) -> None:
    shop, stage = Shop(lab), Stage()
    upstream = lab.upstream(stage)
    shop.start(upstream, routing=routing(first_byte_s=5.0))
    slow = await lab.client()
    await slow.send(post())
    peer = await stage.peer()
    shop.reload(upstream, routing=routing(first_byte_s=0.2))
    assert (await lab.ask(post())).status == 504
    await peer.send(JSON)
    assert (await slow.answer()).status == 200


async def test_models_and_health_follow(lab: Lab) -> None:
    shop = Shop(lab)
    upstream = lab.upstream(always(JSON))
    shop.start(provider(upstream, "one", models=["claude-a"]))
    shop.reload(provider(upstream, "two", models=["claude-b"]))
    listed = await lab.ask(request(b"GET", b"/v1/models"), method="GET")
    assert [model["id"] for model in listed.json()["data"]] == ["claude-b"]
    ready = await lab.ask(request(b"GET", b"/ready"), method="GET")
    assert ready.json()["providers"] == ["two"]
    assert (await lab.ask(post(b'{"model":"claude-a"}'))).status == 404
    assert (await lab.ask(post(b'{"model":"claude-b"}'))).status == 200


async def test_rules_and_debug_headers_follow(lab: Lab) -> None:
    shop = Shop(lab)
    one, two = lab.upstream(always(JSON)), lab.upstream(always(JSON))
    both = (provider(one, "one"), provider(two, "two"))
    shop.start(*both, routing=routing(strategy="failover"))
    client = await lab.client()
    assert (await client.ask(post())).get(b"x-ccrelay-provider") is None
    rule = Rule(name="now", use=Use(providers=["two"]))
    shop.reload(*both, routing=routing(debug=True, rules=[rule]))
    answer = await client.ask(post())
    assert answer.get(b"x-ccrelay-provider") == b"two"
    assert answer.get(b"x-ccrelay-rule") == b"now"


async def test_a_token_that_was_taken_back_is_refused_on_kept_connections_too(lab: Lab) -> None:
    shop = Shop(lab)
    upstream = lab.upstream(always(JSON))
    guarded = [server(auth=Auth(tokens=[token])) for token in ("relay-token-1", "relay-token-2")]
    shop.start(upstream, server=guarded[0])
    client = await lab.client()
    old, new = ([(b"x-api-key", b"relay-token-%d" % n)] for n in (1, 2))
    assert (await client.ask(post(headers=old))).status == 200
    shop.reload(upstream, server=guarded[1])
    assert (await client.ask(post(headers=old))).status == 401
    assert (await client.ask(post(headers=new))).status == 200
    shop.reload(upstream)
    assert (await client.ask(post(headers=old))).status == 200


@pytest.mark.parametrize(("before", "after"), [(1 << 20, 100_000), (100_000, 1 << 20)])
async def test_a_new_bound_of_bodies_holds_on_kept_connections_without_a_hang(
    lab: Lab, before: int, after: int
) -> None:
    shop = Shop(lab)
    upstream = lab.upstream(always(JSON))
    shop.start(upstream, server=server(body_bytes_max=before))
    client, body = await lab.client(), padded(200_000)
    assert (await client.ask(post())).status == 200
    shop.reload(upstream, server=server(body_bytes_max=after))
    await client.send(post(body))
    assert (await client.answer(wait_s=1)).status in ((200, 413) if after > before else (413,))
    assert (await lab.ask(post(body))).status == (200 if after > before else 413)


# ---- what is remembered


async def test_counts_and_rests_stay_with_their_keys(lab: Lab) -> None:
    shop = Shop(lab)
    turns = Turns(LIMITED, JSON)
    upstream = lab.upstream(turns)
    keys = [Key(key=f"test-key-{n}", rpm_limit=3) for n in (1, 2)]
    now = routing(queue_timeout_s=0, affinity=ANYWHERE)
    shop.start(provider(upstream, keys=keys), routing=now)
    assert (await lab.ask(post())).status == 200  # one key rests, the other has served once
    tired, other = turns.keys
    keys = [Key(key="test-key-9", rpm_limit=1), *reversed(keys)]
    shop.reload(provider(upstream, keys=keys), routing=now)
    statuses = [(await lab.ask(post())).status for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    assert Counter(turns.keys[2:]) == {other: 2, "test-key-9": 1}
    assert tired not in turns.keys[2:]


async def test_limits_that_were_changed_hold_for_what_was_counted_before(lab: Lab) -> None:
    shop, turns = Shop(lab), Turns(JSON)
    upstream = lab.upstream(turns)
    now = routing(queue_timeout_s=0)
    shop.start(provider(upstream, keys=[Key(key="test-key-1", rpm_limit=2)]), routing=now)
    assert [(await lab.ask(post())).status for _ in range(3)] == [200, 200, 429]
    shop.reload(provider(upstream, keys=[Key(key="test-key-1", rpm_limit=3)]), routing=now)
    assert [(await lab.ask(post())).status for _ in range(2)] == [200, 429]
    shop.reload(provider(upstream, keys=[Key(key="test-key-1")]), routing=now)
    assert (await lab.ask(post())).status == 200


async def test_what_runs_on_the_old_counts_for_the_new(lab: Lab) -> None:
    shop, stage = Shop(lab), Stage()
    upstream = lab.upstream(stage)
    one = provider(upstream, keys=[Key(key="test-key-1", max_concurrent=1)])
    shop.start(one)
    client, peer = await begin(lab, stage)
    shop.reload(one)
    second = await lab.client()
    await second.send(post())
    await eventually(lambda: len(lab.relay.context.queue) == 1)
    await peer.send(chunks(delta(", world") + STOP))
    peer.close()
    assert (await client.answer()).body == EVENTS
    await (await stage.peer()).send(JSON)
    assert (await second.answer()).body == MESSAGE


async def test_an_open_breaker_stays_open(lab: Lab) -> None:
    shop, first, second = Shop(lab), Turns(fault(500)), Turns(JSON)
    both = (provider(lab.upstream(first), "one"), provider(lab.upstream(second), "two"))
    given = {
        "routing": routing(strategy="failover", affinity=ANYWHERE),
        "health": Health(open_s=30, probe="off"),
    }
    relay = shop.start(*both, **given)
    for _ in range(3):
        assert (await lab.ask(post())).status == 200
    shop.reload(*both, **given)
    assert relay.providers[0].endpoint.breaker.state is State.OPEN
    assert (await lab.ask(post())).status == 200
    assert len(first.got) == 3


async def test_a_provider_that_goes_while_a_probe_of_it_is_due_takes_nothing_down(
    lab: Lab,
) -> None:
    shop, turns = Shop(lab), Turns(JSON)
    gone = provider(refused_url(), "gone")
    stays = provider(lab.upstream(turns), "stays")
    given = {
        "routing": routing(strategy="failover", affinity=ANYWHERE),
        "health": Health(failures=1, open_s=0.1, open_max_s=0.1, probe="connect"),
    }
    relay = shop.start(gone, stays, **given)
    assert (await lab.ask(post())).status == 200
    pulse = relay.providers[0].endpoint.stats
    await eventually(lambda: relay.providers[0].endpoint.breaker.due(relay.reactor.clock()))
    relay._health_checks._look()  # its probe is to run next
    shop.reload(stays, **given)
    await eventually(lambda: len(lab.sink.named("probe")) > 0)
    assert lab.sink.named("internal_error") == []
    assert pulse.lease(relay.reactor.clock(), 1.0)  # it was given back
    assert (await lab.ask(post())).status == 200


async def test_conversations_stay_with_their_keys_whatever_their_order(lab: Lab) -> None:
    shop, turns = Shop(lab), Turns(JSON)
    upstream = lab.upstream(turns)
    keys = ["test-key-1", "test-key-2", "test-key-3"]
    shop.start(provider(upstream, keys=keys))
    wires = [post(headers=[(SESSION, b"s-%d" % number)]) for number in range(10)]
    for order in (keys, [*keys[::-1], "test-key-4"], [keys[1], keys[0], keys[2]]):
        shop.reload(provider(upstream, keys=order))
        for wire in wires:
            assert (await lab.ask(wire)).status == 200
    homes = [turns.keys[at : at + 10] for at in (0, 10, 20)]
    assert homes[0] == homes[1] == homes[2]
    assert lab.sink.named("conversation_moved") == []


async def test_a_conversation_whose_key_is_gone_finds_another(lab: Lab) -> None:
    shop, turns = Shop(lab), Turns(JSON)
    upstream = lab.upstream(turns)
    shop.start(provider(upstream, keys=["test-key-1", "test-key-2"]))
    wire = post(headers=[(SESSION, b"s-1")])
    assert (await lab.ask(wire)).status == 200
    left = {"test-key-1", "test-key-2"} - set(turns.keys)
    shop.reload(provider(upstream, keys=[*left, "test-key-3"]))
    for _ in range(3):
        assert (await lab.ask(wire)).status == 200
    assert len(set(turns.keys[1:])) == 1
    (moved,) = lab.sink.named("conversation_moved")
    assert (moved["why"], moved["from_key"]) == ("not_offered", None)


# ---- those who wait


@pytest.mark.parametrize("stream", [False, True])
async def test_those_who_wait_are_routed_anew(lab: Lab, stream: bool) -> None:
    shop, turns = Shop(lab), Turns(LIMITED)
    upstream = lab.upstream(turns)
    given = {"routing": routing(queue_timeout_s=60, early_head_s=0.1, ping_s=0.1)}
    shop.start(upstream, **given)
    client = await lab.client()
    await client.send(post(STREAM_BODY if stream else BODY))
    await eventually(lambda: len(lab.relay.context.queue) == 1)
    await asyncio.sleep(0.2)
    fresh = Turns(STREAM if stream else JSON)
    shop.reload(upstream, provider(lab.upstream(fresh), "new"), **given)
    answer = await client.answer(wait_s=1)
    assert (answer.status, answer.cut) == (200, False)
    if stream:
        found = [event for event in events_in(answer.body) if event[0] != "ping"]
        assert found == events_in(EVENTS)
    else:
        assert answer.body == MESSAGE
    assert [len(turns.got), len(fresh.got)] == [1, 1]
    record = lab.sink.records[-1]
    assert record["provider"] == "new"
    assert float(str(record["queued_ms"])) > 150


async def test_those_who_wait_keep_their_order(lab: Lab) -> None:
    shop, stage = Shop(lab), Stage()
    upstream = lab.upstream(stage)
    one = provider(upstream, keys=[Key(key="test-key-1", max_concurrent=1)])
    shop.start(one)
    client, peer = await begin(lab, stage)
    clients = []
    for number in range(4):
        clients.append(await lab.client())
        await clients[-1].send(post(headers=[(b"x-name", b"%d" % number)]))
        await eventually(lambda count=number + 1: len(lab.relay.context.queue) == count)
    shop.reload(one)
    await eventually(lambda: len(lab.relay.context.queue) == 4)
    await peer.send(chunks(delta(", world") + STOP))
    peer.close()
    names = []
    for _ in clients:
        peer = await stage.peer()
        names.append(peer.seen.get(b"x-name"))
        await peer.send(JSON)
        peer.close()
    assert names == [b"0", b"1", b"2", b"3"]
    assert [(await c.answer()).status for c in clients] == [200] * 4
    assert (await client.answer()).body == EVENTS


async def test_reloads_do_not_make_anybody_wait_longer_than_they_may(lab: Lab) -> None:
    shop, stage = Shop(lab), Stage()
    given = {"routing": routing(queue_timeout_s=1.0, affinity=ANYWHERE)}
    busy = provider(lab.upstream(stage), keys=[Key(key="test-key-1", max_concurrent=1)])
    shop.start(busy, **given)
    first = await lab.client()
    await first.send(post())
    peer = await stage.peer()
    client = await lab.client()
    await client.send(post())
    await eventually(lambda: len(lab.relay.context.queue) == 1)
    for _ in range(4):
        await asyncio.sleep(0.2)
        shop.reload(busy, **given)
    reloaded_at = time.monotonic()
    assert (await client.answer()).status == 429
    # Had a reload begun the wait again, it would last a second from the last one.
    assert time.monotonic() - reloaded_at < 0.8
    await peer.send(JSON)
    assert (await first.answer()).status == 200


async def test_who_waits_for_a_model_that_is_gone_is_told(lab: Lab) -> None:
    shop, turns = Shop(lab), Turns(LIMITED)
    upstream = lab.upstream(turns)
    shop.start(upstream, routing=routing(queue_timeout_s=60))
    client = await lab.client()
    await client.send(post())
    await eventually(lambda: len(lab.relay.context.queue) == 1)
    shop.reload(provider(upstream, models=["other"]), routing=routing(queue_timeout_s=60))
    answer = await client.answer(wait_s=1)
    assert (answer.status, answer.error["type"]) == (404, "not_found_error")


# ---- what cannot be served


async def test_a_bad_reload_changes_nothing(lab: Lab) -> None:
    shop, stage, turns = Shop(lab), Stage(), Turns(LIMITED, JSON)
    one = provider(lab.upstream(stage), "one", models=["claude-*"])
    two = provider(lab.upstream(turns), "two", models=["other"])
    relay = shop.start(one, two)
    client, peer = await begin(lab, stage)
    assert (await lab.ask(post(b'{"model":"other"}'))).status == 429
    snap, stats = relay.context.config, relay.stats()
    bad = provider(lab.upstream(always(JSON)), "bad", keys=["test-key-\n1"])
    with pytest.raises(ValueError, match="bad"):
        shop.reload(one, bad)
    unresolved = Config(providers=[Provider(name="one", keys=[Key(key="test-key-1")])])
    with pytest.raises(ValueError, match="one"):
        relay.reload(unresolved, Layout.of(unresolved))
    assert relay.context.config is snap
    assert relay.stats() == stats
    await peer.send(chunks(delta(", world") + STOP))
    assert (await client.answer()).body == EVENTS
    shop.reload(one, two)  # and a good one is taken after it
    assert relay.context.config is not snap


# ---- under load


async def test_no_request_fails_or_is_cut_by_reloads_under_load(lab: Lab) -> None:
    shop = Shop(lab)
    upstreams = [lab.upstream(always(STREAM, pause_s=0.002)) for _ in range(3)]
    slow = lab.upstream(always(STREAM[:-5], STREAM[-5:], pause_s=0.02))
    sets = [
        (provider(upstreams[0], "one"), provider(slow, "slow")),
        (provider(upstreams[1], "one", keys=["test-key-1", "test-key-2"]),),
        (provider(slow, "slow"), provider(upstreams[2], "three")),
    ]
    shop.start(*sets[0])
    done = asyncio.Event()
    served = Counter[int]()

    async def work(number: int) -> None:
        client = await lab.client()
        while not done.is_set():
            wire = post(STREAM_BODY, headers=[(SESSION, b"s-%d" % number)])
            answer = await client.ask(wire)
            assert (answer.status, answer.cut, answer.body) == (200, False, EVENTS)
            served[number] += 1

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(work(number))
        for turn in range(40):
            await asyncio.sleep(0.02)
            shop.reload(*sets[turn % 3])
        done.set()
    assert min(served.values()) > 3
    assert {record["status"] for record in lab.sink.records} == {200}


async def test_a_client_that_leaves_after_a_reload_leaves_nothing_of_the_old(lab: Lab) -> None:
    shop, stage = Shop(lab), Stage()
    relay = shop.start(provider(lab.upstream(stage), "old"))
    old = relay.providers[0]
    client, peer = await begin(lab, stage)
    shop.reload(provider(lab.upstream(always(JSON)), "new"))
    assert old.key_pool.in_flight == 1
    client.reset()
    await peer.gone(1)
    await eventually(lambda: old.key_pool.in_flight == 0)


async def test_a_drain_after_a_reload_waits_for_the_old(lab: Lab) -> None:
    shop, stage = Shop(lab), Stage()
    relay = shop.start(provider(lab.upstream(stage), "old"))
    client, peer = await begin(lab, stage)
    shop.reload(provider(lab.upstream(stall), "new"))
    draining = asyncio.ensure_future(relay.drain(5))
    await asyncio.sleep(0.1)
    assert not draining.done()
    await peer.send(chunks(delta(", world") + STOP))
    assert (await client.answer()).body == EVENTS
    assert await draining == 0
