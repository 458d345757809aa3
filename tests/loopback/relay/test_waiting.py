"""The main loop waits for a key, and its sub-agents do not eat up what it waits for.

The key's minute is used up in two portions that are given back half a second apart; a turn needs
both, a sub-agent's request a part of one. Before there were claims, sub-agents took the first.
"""

import asyncio
import json
from typing import Any

import pytest

from ccrelay._fast.affinity_table import hash64
from ccrelay.config.model import Key
from tests.loopback.relay.harness import Lab, Peer, eventually, provider, routing
from tests.loopback.relay.wires import MESSAGE, Answer, post, response

SESSION = b"x-claude-code-session-id"
AGENT = b"x-claude-code-agent-id"
NAME = b"x-name"
LIMIT = 10_000
BIG, SMALL = b"claude-big-1", b"claude-small-1"
OTHERWISE = rb"claude-big\u002d1"
# By estimate 6,200 and 1,600 tokens.
TURN_BYTES, AGENT_BYTES = 20_000, 5000
EVERY_S = 0.05  # a sub-agent comes


def served() -> bytes:
    """An answer by which the estimate was right."""
    message = json.loads(MESSAGE)
    message["usage"] = {"input_tokens": 1600, "output_tokens": 9}
    return response(200, json.dumps(message).encode())


def request(name: bytes, model: bytes, size: int, agent: bool, session: bytes = b"s-1") -> bytes:
    body = b'{"model":"%b","max_tokens":8,"messages":[{"role":"user","content":"%b"}]}'
    fields = [(NAME, name), (SESSION, session)] + [(AGENT, b"agent-1")] * agent
    return post(body % (model, b"x" * size), headers=fields)


class House:
    """A provider whose first key is used up for the next half second or so."""

    def __init__(self, lab: Lab, *more: Key, **fields: Any) -> None:
        self.lab = lab
        self.got: list[tuple[bytes, bytes]] = []  # who came, by which key
        self.asked: list[asyncio.Task[Answer]] = []
        lab.start(
            provider(
                lab.upstream(self.serve), keys=[Key(key="test-key-1", itpm_limit=LIMIT), *more]
            ),
            routing=routing(**{"queue_timeout_s": 3, **fields}),
        )
        self.first = lab.relay.providers[0].targets[0]
        now = lab.relay.reactor.clock()
        for ago_s in (60.6, 60.1):
            self.first.limits.reserve_unchecked(now - ago_s, LIMIT // 2, 0).commit(
                now - ago_s, LIMIT // 2, 0
            )

    async def serve(self, peer: Peer) -> None:
        while True:
            seen = await peer.request()
            self.got.append((seen.get(NAME) or b"", seen.get(b"x-api-key") or b""))
            await peer.send(served())

    def ask(self, *args: Any) -> asyncio.Task[Answer]:
        task = asyncio.ensure_future(self.lab.ask(request(*args)))
        self.asked.append(task)
        return task

    async def turn_among_agents(self, model: bytes) -> Answer:
        """A turn of the main loop, and sub-agents that come as long as it waits."""
        turn = self.ask(b"turn", BIG, TURN_BYTES, False)
        await eventually(lambda: len(self.lab.relay.context.queue) == 1)
        while not turn.done():
            self.ask(b"agent", model, AGENT_BYTES, True)
            await asyncio.sleep(EVERY_S)
        return await turn

    @property
    def before_turn(self) -> list[bytes]:
        """The keys by which sub-agents were served before it."""
        names = [name for name, _ in self.got]
        assert b"turn" in names
        return [key for _, key in self.got[: names.index(b"turn")]]

    async def leave(self) -> list[Answer]:
        """Those who still wait go; what the others were answered."""
        await asyncio.sleep(0)
        done = [task.result() for task in self.asked if task.done()]
        for task in self.asked:
            task.cancel()
        await asyncio.gather(*self.asked, return_exceptions=True)
        return done


@pytest.mark.parametrize("model", [BIG, SMALL, OTHERWISE], ids=["same", "other", "spelling"])
async def test_sub_agents_of_any_model_stand_behind_the_turn_at_its_key(
    lab: Lab, model: bytes
) -> None:
    house = House(lab)
    answer = await house.turn_among_agents(model)
    assert answer.status == 200
    assert house.before_turn == []
    assert len(house.asked) > 5
    await house.leave()


async def test_nobody_gets_past_a_full_room(lab: Lab) -> None:
    house = House(lab, queue_max=1)
    answer = await house.turn_among_agents(BIG)
    assert answer.status == 200
    assert house.before_turn == []
    refused = [other for other in await house.leave() if other.status != 200]
    assert {other.status for other in refused} == {429}
    assert len(refused) > 5
    assert "has capacity now" in refused[0].error["message"]


async def test_a_turn_that_waits_for_its_own_key_gets_it_before_its_sub_agents(lab: Lab) -> None:
    house = House(lab, Key(key="test-key-2", itpm_limit=10 * LIMIT))
    relay = lab.relay
    relay.context.affinity.keep(
        hash64(b"s-1"), house.first.slot, relay.reactor.clock(), prefix_tokens=60_000
    )
    answer = await house.turn_among_agents(BIG)
    assert answer.status == 200
    assert (b"turn", b"test-key-1") in house.got
    assert b"test-key-1" not in house.before_turn
    assert lab.sink.named("conversation_moved") == []
    await house.leave()


async def test_a_sub_agent_without_a_cache_there_goes_to_a_key_that_nobody_waits_for(
    lab: Lab,
) -> None:
    house = House(lab, Key(key="test-key-2", itpm_limit=10 * LIMIT))
    relay = lab.relay
    relay.context.affinity.keep(
        hash64(b"s-1"), house.first.slot, relay.reactor.clock(), prefix_tokens=60_000
    )
    turn = house.ask(b"turn", BIG, TURN_BYTES, False)
    await eventually(lambda: len(relay.context.queue) == 1)
    others = [house.ask(b"agent", SMALL, AGENT_BYTES, True, b"s-%d" % n) for n in range(2, 8)]
    for other in others:
        assert (await other).status == 200
    assert not turn.done()
    assert {key for _, key in house.got} == {b"test-key-2"}
    assert (await turn).status == 200
    assert house.got[-1] == (b"turn", b"test-key-1")
