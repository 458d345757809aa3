"""Conversations stay with their key, where their prompt cache is."""

import json
import random
import time
from collections import defaultdict
from functools import partial

from bench.resilience import load
from bench.resilience.client import Answer, Request, ask, message
from bench.resilience.findings import Finding, Findings
from bench.resilience.stage import Stage, provider, until

KEYS = 3
CONVERSATIONS = 20
TURNS = 30


async def affinity(stage: Stage) -> list[Finding]:
    """20 conversations of 30 turns on 3 keys that are available all the time, on two workers."""
    found = Findings("affinity")
    turns = 10 if stage.quick else TURNS
    mock = await stage.mock("p1", "--gap-ms", "1")
    relay = await stage.relay("relay", providers=[provider(mock, KEYS, key_rpm_limit=100_000)])
    dice = random.Random(5)
    histories = [[_user(f"conversation {number}, turn 0")] for number in range(CONVERSATIONS)]

    async def send(number: int) -> Answer:
        history = histories[number]
        answer = await ask(relay.port, _turn(number, history))
        history += [{"role": "assistant", "content": "ok"}]
        history += [_user(f"conversation {number}, turn {len(history) // 2}")]
        return answer

    async def shuffled(order: list[int], place: int) -> Answer:
        return await send(order[place])

    answers: list[Answer] = []
    for _ in range(turns):
        # All conversations at once, in another order each time.
        offsets = sorted(dice.uniform(0, 0.2) for _ in histories)
        order = dice.sample(range(CONVERSATIONS), CONVERSATIONS)
        now = time.monotonic()
        answers += await load.offer(offsets, partial(shuffled, order), begins_at=now)
    total = CONVERSATIONS * turns
    await until(lambda: len(mock.recorded()) >= len(answers), "the provider missed requests")
    keys = keys_by_conversation(mock.recorded())
    stayed = sum(used.count(used[0]) for used in keys.values())
    found.exactly("turns answered", sum(a.is_complete for a in answers), total)
    found.at_least("turns that stayed on their key", 100 * stayed / max(1, total), 100, "%")
    found.at_least("keys used", len({key for used in keys.values() for key in used}), KEYS)
    per_key: dict[str, int] = defaultdict(int)
    for used in keys.values():
        per_key[used[0]] += 1
    told = " / ".join(str(count) for count in sorted(per_key.values()))
    found.tell("conversations per key", told)
    return found.all


def keys_by_conversation(recorded: list[dict[str, object]]) -> dict[int, list[str]]:
    """The keys that each conversation's turns came with, in order, from a mock's record."""
    keys: dict[int, list[str]] = defaultdict(list)
    for line in recorded:
        headers = line["headers"]
        assert isinstance(headers, list)
        key = next(value for name, value in headers if name.lower() == "x-api-key")
        first = json.loads(str(line["body"]))["messages"][0]["content"]
        keys[int(first.split(",")[0].split()[1])].append(key)
    return keys


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _turn(number: int, history: list[dict[str, str]]) -> Request:
    """A conversation is known by a header, by `metadata`, or by its beginning."""
    kind = number % 3
    request = message("", session=f"session-{number}" if kind == 0 else None)
    body = json.loads(request.body)
    body["messages"] = history
    if kind == 1:
        body["metadata"] = {"user_id": json.dumps({"session_id": f"session-{number}"})}
    request.body = json.dumps(body).encode()
    return request
