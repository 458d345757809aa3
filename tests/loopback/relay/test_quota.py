"""Quotas and long contexts over real sockets: what rests, what comes back, what is told."""

import asyncio
import json
import time

import pytest

from ccrelay.config.model import Affinity
from tests.loopback.relay.harness import Lab, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Turns
from tests.loopback.relay.wires import MESSAGE, STREAM_BODY, fault, post, response

NOW = {"queue_timeout_s": 0, "affinity": Affinity(enabled=False), "strategy": "failover"}
SENTENCE = "Extra usage is required for long context requests."
LONG_CONTEXT = fault(
    429,
    "rate_limit_error",
    SENTENCE,
    [(b"retry-after", b"30")],
)


@pytest.mark.parametrize("status", [401, 403, 429, 500])
async def test_a_spent_quota_rests_until_its_reset_and_comes_back(lab: Lab, status: int) -> None:
    told = {"type": "permission_error", "message": "You've reached your usage limit."}
    body = json.dumps({"error": {**told, "resets_at": int(time.time()) + 2}}).encode()
    first, second = Turns(response(status, body), JSON), Turns(JSON)
    lab.start(
        provider(lab.upstream(first), "first"),
        provider(lab.upstream(second), "second"),
        routing=routing(**NOW),
    )
    for _ in range(2):
        answer = await lab.ask(post())
        assert (answer.status, answer.body) == (200, MESSAGE)
    assert (len(first.got), len(second.got)) == (1, 2)
    assert lab.sink.named("key_disabled") == []
    (rests,) = lab.sink.named("key_cooldown")
    assert rests["why"] == "quota_spent"
    assert 0.9 < float(str(rests["seconds"])) <= 2.0
    await asyncio.sleep(2.05)
    assert (await lab.ask(post())).status == 200
    assert len(first.got) == 2


async def test_a_long_context_rests_no_key_and_is_told_in_the_providers_words(lab: Lab) -> None:
    turns = Turns(LONG_CONTEXT, JSON)
    lab.start(provider(lab.upstream(turns)), routing=routing(**NOW))
    answer = await lab.ask(post())
    assert answer.status == 429
    assert answer.json()["error"]["message"] == SENTENCE
    assert (await lab.ask(post())).status == 200
    assert lab.sink.named("key_cooldown") == []


async def test_a_long_context_is_tried_at_other_targets_before_it_is_told(lab: Lab) -> None:
    turns, other = Turns(LONG_CONTEXT, LONG_CONTEXT), Turns(fault(429, "rate_limit_error"), STREAM)
    lab.start(
        provider(lab.upstream(turns), "first", keys=["test-key-1", "test-key-2"]),
        provider(lab.upstream(other), "second"),
        routing=routing(**NOW),
    )
    answer = await lab.ask(post(STREAM_BODY))
    assert (len(turns.got), len(other.got)) == (2, 1)
    assert (answer.status, answer.get(b"retry-after")) == (429, b"30")
    assert answer.json()["error"]["message"] == SENTENCE
    assert (await lab.ask(post(STREAM_BODY))).status == 200
    assert lab.sink.named("key_cooldown") == []
