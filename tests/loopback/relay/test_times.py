"""A 429 with a time is waited for by the request that drew it: it is no failure of its key."""

import asyncio
import time

import pytest

from ccrelay.config.model import Affinity
from ccrelay.relay import retry
from tests.loopback.relay.harness import Lab, Peer, provider, routing
from tests.loopback.relay.scripts import JSON, STREAM, Turns
from tests.loopback.relay.wires import STREAM_BODY, events_in, fault, post

ANYWHERE = Affinity(enabled=False)
KEYS = ["test-key-1", "test-key-2"]


def later(seconds: int) -> bytes:
    return fault(429, "rate_limit_error", "Too many", [(b"retry-after", b"%d" % seconds)])


class Exhausted:
    """A provider whose keys are all at their limit for a while, from the first request on."""

    def __init__(self, for_s: int) -> None:
        self.for_s = for_s
        self.ends_at = 0.0
        self.refused = self.served = 0

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.request()
            now = time.monotonic()
            self.ends_at = self.ends_at or now + self.for_s
            if now < self.ends_at:
                self.refused += 1
                await peer.send(later(self.for_s))
            else:
                self.served += 1
                await peer.send(STREAM)


@pytest.mark.parametrize(("keys", "clients"), [(KEYS, 10), (KEYS[:1], 1), (KEYS[:1], 6)])
async def test_all_are_served_when_the_keys_have_room_again(
    lab: Lab, keys: list[str], clients: int
) -> None:
    house = Exhausted(1)
    lab.start(
        provider(lab.upstream(house), keys=keys),
        routing=routing(affinity=ANYWHERE, queue_timeout_s=4),
    )
    asked = [asyncio.ensure_future(lab.ask(post(STREAM_BODY))) for _ in range(clients)]
    assert [(await answer).status for answer in asked] == [200] * clients
    assert house.served == clients
    assert house.refused <= clients * len(keys)
    assert lab.sink.named("retry") or len(keys) > 1
    assert all(800 < float(str(record["queued_ms"])) < 3000 for record in lab.sink.records)


async def test_a_time_beyond_the_queue_timeout_is_told_at_once(lab: Lab) -> None:
    turns = Turns(later(3), JSON)
    lab.start(provider(lab.upstream(turns)), routing=routing(affinity=ANYWHERE, queue_timeout_s=2))
    began_at = time.monotonic()
    answer = await lab.ask(post())
    assert (answer.status, answer.get(b"retry-after")) == (429, b"3")
    assert time.monotonic() - began_at < 1
    assert len(turns.got) == 1


async def test_a_provider_that_always_names_another_time_is_asked_for_so_long(lab: Lab) -> None:
    turns = Turns(later(1))
    lab.start(
        provider(lab.upstream(turns)), routing=routing(affinity=ANYWHERE, queue_timeout_s=2.5)
    )
    began_at = time.monotonic()
    answer = await lab.ask(post())
    assert answer.status == 429
    assert 1.5 < time.monotonic() - began_at < 3
    assert len(turns.got) == 3


async def test_and_not_more_often_than_so_many_times(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "WAITS_MAX", 3)
    soon = fault(429, "rate_limit_error", headers=[(b"retry-after-ms", b"20")])
    turns = Turns(soon)
    lab.start(provider(lab.upstream(turns)), routing=routing(affinity=ANYWHERE))
    assert (await lab.ask(post())).status == 429
    assert len(turns.got) == 4


async def test_a_failure_after_the_wait_is_one(lab: Lab) -> None:
    turns = Turns(later(1), fault(529, "overloaded_error"), JSON)
    lab.start(provider(lab.upstream(turns)), routing=routing(affinity=ANYWHERE))
    assert (await lab.ask(post())).status == 529
    assert len(turns.got) == 2


async def test_while_another_target_has_room_nobody_waits(lab: Lab) -> None:
    first, second = Turns(later(1)), Turns(JSON)
    lab.start(
        provider(lab.upstream(first), "first"),
        provider(lab.upstream(second), "second"),
        routing=routing(affinity=ANYWHERE, strategy="failover"),
    )
    began_at = time.monotonic()
    assert (await lab.ask(post())).status == 200
    assert time.monotonic() - began_at < 0.5


STREAMED_LATER = [(STREAM, "message_stop"), (fault(400, "invalid_request_error", "no"), "error")]


@pytest.mark.parametrize(("reply", "last"), STREAMED_LATER, ids=["stream", "error"])
@pytest.mark.parametrize("after_s", [0.0, 0.5], ids=["queued at once", "queued later"])
async def test_a_stream_in_the_queue_gets_a_head_and_pings_and_then_events(
    lab: Lab, reply: bytes, last: str, after_s: float
) -> None:
    async def slowly_later(peer: Peer) -> None:
        await asyncio.sleep(after_s)
        await peer.send(later(1))

    turns = Turns(slowly_later, reply)
    lab.start(
        provider(lab.upstream(turns)),
        routing=routing(affinity=ANYWHERE, ping_s=0.4, early_head_s=30.0),
    )
    client = await lab.client()
    began_at = time.monotonic()
    await client.send(post(STREAM_BODY))
    await client.until(b"event: ping")
    assert time.monotonic() - began_at < after_s + 0.8, "while it is queued"
    answer = await client.answer()
    assert answer.status == 200
    names = [name for name, _ in events_in(answer.body)]
    assert names.count("ping") >= 2
    assert names[-1] == last


async def test_what_is_not_streamed_gets_no_early_head(lab: Lab) -> None:
    turns = Turns(later(1), fault(400, "invalid_request_error", "no"))
    lab.start(
        provider(lab.upstream(turns)),
        routing=routing(affinity=ANYWHERE, ping_s=0.2, early_head_s=30.0),
    )
    assert (await lab.ask(post())).status == 400
