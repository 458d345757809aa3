"""Exchanges under way: merged, asked for once, and only while somebody watches."""

import asyncio
import contextlib

import msgspec
import pytest

from ccrelay.ledger.running import Phase, Running, RunningList
from ccrelay.manager import running as module
from ccrelay.manager.clock import Clock
from ccrelay.manager.running import RUNNING_MAX, NotTold, RunningExchanges, merged
from ccrelay.manager.watch import TooManyWatchers
from ccrelay.types import RequestClass, TrafficClass
from ccrelay.v1 import exchanges_pb2 as v1
from tests.loopback.manager.served import Workers

ONE = Running(
    id="req_ccrelay_1",
    started_at_us=1_700_000_000_123_456,
    phase=Phase.STREAMING,
    kind=RequestClass.MESSAGES,
    traffic=TrafficClass.SUBAGENT,
    model="claude-sonnet-5-5",
    sent="glm-5.3",
    provider="zai",
    key="sha256:51aa",
    key_name="plan",
    attempts=2,
    session="3f8c",
    agent="a-1",
    project="payments-api",
    first_event_us=1_500,
    bytes_out=2_000,
    failed="overloaded",
)


def told(*exchanges: Running, total: int = 0) -> bytes:
    return msgspec.msgpack.encode(RunningList(total or len(exchanges), list(exchanges)))


def started(at_us: int, name: str = "") -> Running:
    return msgspec.structs.replace(ONE, started_at_us=at_us, id=name or str(at_us))


def test_an_exchange_is_told_as_the_schema_has_it() -> None:
    (found,) = merged([told(ONE)], 7).running
    assert found == v1.Running(
        id="req_ccrelay_1",
        started_at_ms=1_700_000_000_123,
        phase=v1.Running.PHASE_STREAMING,
        kind="messages",
        traffic_class="subagent",
        model="claude-sonnet-5-5",
        sent_model="glm-5.3",
        provider="zai",
        key="plan",
        attempts=2,
        session="3f8c",
        agent="a-1",
        project="payments-api",
        first_event_ms=1.5,
        bytes_out=2_000,
        failed="overloaded",
    )


def test_phases_are_those_of_the_schema() -> None:
    names = {name.removeprefix("PHASE_"): number for name, number in v1.Running.Phase.items()}
    assert {one.name: int(one) for one in Phase} == {
        name: number for name, number in names.items() if number
    }


def test_workers_are_merged_oldest_first_and_cut() -> None:
    first = told(*[started(at) for at in range(0, 2 * RUNNING_MAX, 2)], total=5_000)
    answer = merged([first, b"\xc1", told(started(1)), told(started(3))], 7)
    assert [one.id for one in answer.running[:5]] == ["0", "1", "2", "3", "4"]
    assert (len(answer.running), answer.total, answer.at_ms) == (RUNNING_MAX, 5_002, 7)


def test_who_asks_at_the_same_time_causes_one_question() -> None:
    async def main() -> None:
        workers = Workers()
        workers.running = [told(ONE)]
        running = RunningExchanges(workers, Clock())
        assert workers.asked == []
        answers = await asyncio.gather(*[running.newest() for _ in range(50)])
        assert workers.asked == [RUNNING_MAX]
        assert all(one is answers[0] for one in answers)
        await asyncio.sleep(module.KEPT_S + 0.01)
        await running.newest()
        assert len(workers.asked) == 2

    asyncio.run(main())


def test_one_that_leaves_takes_no_answer_from_the_others() -> None:
    async def main() -> None:
        workers = Workers()
        running = RunningExchanges(workers, Clock())
        leaves, stays = [asyncio.ensure_future(running.newest()) for _ in range(2)]
        await asyncio.sleep(0.005)
        leaves.cancel()
        assert (await stays).total == 0

    asyncio.run(main())


def test_watchers_are_counted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCHERS_MAX", 1)

    async def main() -> None:
        running = RunningExchanges(Workers(), Clock())
        async with contextlib.aclosing(running.watch(0.0)) as first:
            await anext(first)
            with pytest.raises(TooManyWatchers):
                await anext(running.watch(0.0))
        await anext(running.watch(0.0))

    asyncio.run(main())


def test_a_supervisor_that_does_not_answer_is_no_empty_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LIMIT_S", 0.001)

    async def main() -> None:
        workers = Workers()
        running = RunningExchanges(workers, Clock())
        with pytest.raises(NotTold, match="does not answer"):
            await running.newest()
        monkeypatch.setattr(module, "LIMIT_S", 5.0)
        monkeypatch.setattr(module, "KEPT_S", 0.0)
        workers.error = "the relay is stopping"
        with pytest.raises(NotTold, match="is stopping"):
            await running.newest()

    asyncio.run(main())
