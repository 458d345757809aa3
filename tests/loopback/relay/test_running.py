"""Exchanges under way, as the manager is told of them: phases, names, sizes, and their end."""

import asyncio

import msgspec
import pytest

from ccrelay.config.model import Key
from ccrelay.ledger.running import Phase, Running, RunningList
from ccrelay.types import RequestClass, TrafficClass
from tests.loopback.relay.harness import Lab, Peer, eventually, provider, routing
from tests.loopback.relay.scripts import STREAM
from tests.loopback.relay.test_exchange_records import SESSION, WHO, with_fields, written
from tests.loopback.relay.wires import STREAM_BODY, post, response

BUSY = response(529, b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}')


def told(lab: Lab, limit: int = 500) -> RunningList:
    return msgspec.msgpack.decode(lab.relay.running(limit), type=RunningList)


def only(lab: Lab) -> Running:
    (found,) = told(lab).exchanges
    return found


class Steps:
    """A provider that answers by and by, when the test says so."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        self.asked.set()
        while piece := await self.pieces.get():
            await peer.send(piece)
        await peer.gone()


async def test_nothing_is_under_way(lab: Lab) -> None:
    lab.start(provider("http://127.0.0.1:9"))
    assert told(lab) == RunningList(0, [])


async def test_an_exchange_is_seen_in_its_phases_until_it_is_over(lab: Lab) -> None:
    steps = Steps()
    lab.start(provider(lab.upstream(steps), model_mapping={"claude-*": "claude-opus-5"}))
    client = await lab.client()
    raw = with_fields(post(STREAM_BODY), WHO)
    await client.send(raw[:-5])
    await eventually(lambda: told(lab).total == 1)
    preparing = only(lab)
    assert (preparing.phase, preparing.provider, preparing.attempts) == (Phase.PREPARING, "", 0)
    assert (preparing.session, preparing.agent, preparing.project) == (SESSION, "a-1", "web shop")
    await client.send(raw[-5:])
    await steps.asked.wait()
    awaiting = only(lab)
    assert (awaiting.phase, awaiting.attempts, awaiting.bytes_out) == (Phase.AWAITING, 1, 0)
    assert awaiting.id == preparing.id
    assert awaiting.kind == RequestClass.MESSAGES
    assert awaiting.traffic == TrafficClass.SUBAGENT
    assert (awaiting.provider, awaiting.sent) == ("first", "claude-opus-5")
    cut = STREAM.index(b"\r\n\r\n") + 4
    steps.pieces.put_nowait(STREAM[:cut])
    await eventually(lambda: only(lab).phase == Phase.HOLDING)
    assert only(lab).first_event_us == 0
    middle = len(STREAM) - 200
    steps.pieces.put_nowait(STREAM[cut:middle])
    await eventually(lambda: only(lab).phase == Phase.STREAMING)
    before = only(lab)
    assert before.bytes_out > 0
    assert before.first_event_us > 0
    steps.pieces.put_nowait(STREAM[middle : middle + 50])
    await eventually(lambda: only(lab).bytes_out > before.bytes_out)
    steps.pieces.put_nowait(STREAM[middle + 50 :])
    await eventually(lambda: told(lab).total == 0)
    steps.pieces.put_nowait(b"")
    (record,) = await written(lab)
    assert record.id == before.id
    assert abs(record.started_at_us - before.started_at_us) < 20_000
    assert record.first_event_us == pytest.approx(before.first_event_us, abs=2)
    for name in ("kind", "traffic", "model", "sent", "provider", "key", "key_name", "attempts"):
        assert getattr(record, name) == getattr(before, name), name


async def test_a_failed_attempt_is_told_and_is_not_the_present_one(lab: Lab) -> None:
    busy, steps = Steps(), Steps()
    lab.start(
        provider(lab.upstream(busy), name="first"), provider(lab.upstream(steps), name="second")
    )
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    await busy.asked.wait()
    busy.pieces.put_nowait(BUSY)
    await steps.asked.wait()
    found = only(lab)
    assert (found.provider, found.attempts, found.failed) == ("second", 2, "overloaded")
    busy.pieces.put_nowait(b"")


async def test_one_that_waits_for_room_has_no_target(lab: Lab) -> None:
    steps = Steps()
    key = Key(key="provider-key-1", max_concurrent=1)
    lab.start(provider(lab.upstream(steps), keys=[key]), routing=routing(queue_timeout_s=5))
    clients = [await lab.client() for _ in range(2)]
    await clients[0].send(post(STREAM_BODY))
    await steps.asked.wait()
    await clients[1].send(post(STREAM_BODY))
    await eventually(lambda: told(lab).total == 2)
    first, second = told(lab).exchanges
    assert (first.phase, second.phase) == (Phase.AWAITING, Phase.QUEUED)
    assert (second.provider, second.key, second.attempts) == ("", "", 0)


async def test_the_oldest_are_told_where_there_are_more_than_asked_for(lab: Lab) -> None:
    steps = Steps()
    lab.start(provider(lab.upstream(steps)))
    clients = [await lab.client() for _ in range(5)]
    for number, client in enumerate(clients, 1):
        await client.send(post(STREAM_BODY))
        await eventually(lambda n=number: told(lab).total == n)
    every, some = told(lab), told(lab, 2)
    assert (len(every.exchanges), some.total) == (5, 5)
    assert [one.id for one in some.exchanges] == [one.id for one in every.exchanges[:2]]
    starts = [one.started_at_us for one in every.exchanges]
    assert starts == sorted(starts)


async def test_a_defect_of_it_ends_no_exchange(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise ValueError("broken")

    lab.start(provider("http://127.0.0.1:9"))
    monkeypatch.setattr("ccrelay.relay.running.running", broken)
    assert lab.relay.running(500) == b""
    (event,) = lab.sink.named("internal_error")
    assert "broken" in str(event["error"])
    lab.sink.events.clear()  # it was expected
