"""The service Exchanges over a real server and client."""

import asyncio
from pathlib import Path

import grpc
import msgspec
import pytest

from ccrelay.ledger.record import Result, Why
from ccrelay.ledger.running import RunningList
from ccrelay.v1 import exchanges_pb2 as v1
from tests.loopback.manager.served import refused, serving
from tests.unit.manager.test_running import started
from tests.unit.store.making import NOON_US, attempt, record, wait_until

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PROVIDERS = ("anthropic", "zai")


def some(count: int) -> list[object]:
    return [
        record(n, started_at_us=NOON_US + n * 1000, provider=PROVIDERS[n % 2]) for n in range(count)
    ]


def test_pages_filters_and_ranges(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            served.ledger.submit("m", 0, 1, some(250))
            wait_until(lambda: not served.ledger.pending)
            first = await served.exchanges.List(v1.ExchangesListRequest())
            assert len(first.exchanges) == 100
            assert first.exchanges[0].id == record(249).id
            seen = [one.id for one in first.exchanges]
            token = first.next_page_token
            extra = 1000
            while token:
                extra += 1
                served.ledger.submit("m", 0, extra, [record(extra, started_at_us=NOON_US + 10**9)])
                page = await served.exchanges.List(v1.ExchangesListRequest(page_token=token))
                seen += [one.id for one in page.exchanges]
                token = page.next_page_token
            assert seen == [record(n).id for n in reversed(range(250))]
            since = NOON_US // 1000
            zai = await served.exchanges.List(
                v1.ExchangesListRequest(
                    filter="provider:zai", since_ms=since + 10, until_ms=since + 20, page_size=1000
                )
            )
            assert [one.id for one in zai.exchanges] == [record(n).id for n in range(19, 10, -2)]
            assert zai.next_page_token == ""
            none = await served.exchanges.List(v1.ExchangesListRequest(filter="nobody"))
            assert list(none.exchanges) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (v1.ExchangesListRequest(filter="provder:zai"), "did you mean 'provider'"),
        (v1.ExchangesListRequest(page_size=1001), "At most 1000"),
        (v1.ExchangesListRequest(page_token="nonsense"), "page token"),
        (v1.ExchangesListRequest(page_token="ÄÖÜ"), "page token"),
        (v1.ExchangesListRequest(since_ms=5, until_ms=4), "empty"),
        (v1.ExchangesListRequest(since_ms=-5), "not negative"),
        (v1.ExchangesListRequest(filter="x" * 5000), "longer"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, request_: v1.ExchangesListRequest, told: str) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            code, message = await refused(served.exchanges.List(request_))
            assert code == INVALID
            assert told in message
            assert message.endswith(".")

    asyncio.run(main())


def test_a_token_belongs_to_its_filter(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            served.ledger.submit("m", 0, 1, some(5))
            wait_until(lambda: not served.ledger.pending)
            page = await served.exchanges.List(v1.ExchangesListRequest(page_size=2))
            code, _ = await refused(
                served.exchanges.List(
                    v1.ExchangesListRequest(page_token=page.next_page_token, filter="zai")
                )
            )
            assert code == INVALID

    asyncio.run(main())


def test_one_exchange_with_all_reasons(tmp_path: Path) -> None:
    made = record(
        0xABC,
        provider="zai",
        key="hmac:2",
        key_name="plan",
        sent="glm-5.3",
        attempts=2,
        result=int(Result.FAILOVER),
        why=int(Why.FAILOVER),
        tries=[attempt(), attempt(provider="zai", key_name="plan", status=200, error="")],
        candidates="anthropic/team-a zai/plan x/y",
        passed="x/y=cooldown",
        input=100,
        output=10,
        cache_read=0,
        cache_write_5m=0,
        cache_write_1h=0,
        cost_micros=120,
    )

    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            served.ledger.submit("m", 0, 1, [made, record(0xABD), record(0x1)])
            wait_until(lambda: not served.ledger.pending)
            short = made.id.removeprefix("req_ccrelay_")
            for name in (made.id, short, f"  {short} "):
                got = await served.exchanges.Get(v1.ExchangesGetRequest(id=name))
                assert got.exchange.id == made.id
            assert [one.status for one in got.attempts] == [529, 200]
            assert [(one.target, one.why) for one in got.choice.passed] == [
                ("anthropic/team-a", "tried"),
                ("x/y", "cooldown"),
            ]
            assert got.choice.sentence == (
                "anthropic/team-a failed (status 529), so zai/plan was asked."
            )
            assert [(one.item, one.price_micros, one.micros) for one in got.bill] == [
                ("input", 1_000_000, 100),
                ("output", 2_000_000, 20),
            ]
            code, message = await refused(
                served.exchanges.Get(v1.ExchangesGetRequest(id=short[:-1]))
            )
            assert code == INVALID
            assert made.id in message
            assert record(0xABD).id in message
            code, message = await refused(served.exchanges.Get(v1.ExchangesGetRequest(id="zz\x1b")))
            assert code == grpc.StatusCode.NOT_FOUND
            assert "\x1b" not in message
            code, _ = await refused(served.exchanges.Get(v1.ExchangesGetRequest()))
            assert code == INVALID

    asyncio.run(main())


def test_what_has_just_ended_is_known_before_the_ledger_has_it(tmp_path: Path) -> None:
    made = record(0xABC, attempts=2, tries=[attempt(), attempt(status=200, error="")])

    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            served.tail.publish([made])
            got = await served.exchanges.Get(v1.ExchangesGetRequest(id=made.id))
            assert [one.status for one in got.attempts] == [529, 200]

    asyncio.run(main())


def test_tail_begins_with_the_last_ones_and_goes_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            old = some(20)
            served.ledger.submit("m", 0, 1, old)
            wait_until(lambda: not served.ledger.pending)
            served.tail.publish(old[15:])  # the hub remembers the last of them
            call = served.exchanges.Tail(v1.TailRequest(filter="provider:zai", last=5))
            first = await call.read()
            assert [one.id for one in first.exchanges] == [
                record(n).id for n in (11, 13, 15, 17, 19)
            ]
            served.tail.publish([record(101, provider="zai"), record(102)])
            assert [one.id for one in (await call.read()).exchanges] == [record(101).id]
            call.cancel()
            for _ in range(200):
                if not len(served.tail):
                    break
                await asyncio.sleep(0.01)
            assert len(served.tail) == 0

    asyncio.run(main())


def test_a_slow_reader_is_told_what_it_missed(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            call = served.exchanges.Tail(v1.TailRequest())
            for _ in range(1000):
                if len(served.tail):
                    break
                await asyncio.sleep(0.01)
            for number in range(3000):
                served.tail.publish([record(number)])
            count = dropped = 0
            while count + dropped < 3000:
                message = await call.read()
                count += len(message.exchanges)
                dropped += message.dropped
            assert (count, dropped) == (1000, 2000)
            assert message.exchanges[-1].id == record(2999).id
            call.cancel()

    asyncio.run(main())


def test_exchanges_under_way_go_on_as_long_as_they_are_watched() -> None:
    async def main() -> None:
        async with serving(None) as served:  # without a ledger, too
            served.workers.running = [msgspec.msgpack.encode(RunningList(3, []))]
            async with asyncio.TaskGroup() as tasks:
                calls = [
                    served.exchanges.WatchRunning(v1.WatchRunningRequest(interval_ms=ms))
                    for ms in (0, 200, 1)
                ]
                firsts = [tasks.create_task(call.read()) for call in calls]
            assert {first.result().total for first in firsts} == {3}
            assert len(served.workers.asked) == 1
            served.workers.running = []
            before = firsts[1].result()
            after = await calls[1].read()
            assert after.total == 0
            assert after.at_ms >= before.at_ms + 190
            for call in calls:
                call.cancel()
            await asyncio.sleep(0.3)
            asked = len(served.workers.asked)
            await asyncio.sleep(0.5)
            assert len(served.workers.asked) == asked  # nobody watches any more

    asyncio.run(main())


def test_a_slow_reader_of_exchanges_under_way_gets_the_newest() -> None:
    async def main() -> None:
        async with serving(None) as served:
            large = [started(number) for number in range(500)]
            served.workers.running = [msgspec.msgpack.encode(RunningList(1, large))]
            call = served.exchanges.WatchRunning(v1.WatchRunningRequest(interval_ms=200))
            await call.read()
            await asyncio.sleep(1.5)
            served.workers.running = [msgspec.msgpack.encode(RunningList(2, []))]
            behind = 0
            while (await call.read()).total != 2:
                behind += 1
            # What is on the way comes first: not more than the pipe holds.
            assert behind <= 8
            call.cancel()

    asyncio.run(main())


def test_exchanges_under_way_are_refused_without_a_supervisor() -> None:
    async def main() -> None:
        async with serving(None) as served:
            served.workers.error = "the relay is stopping"
            call = served.exchanges.WatchRunning(v1.WatchRunningRequest())
            code, text = await refused(call)
            assert (code, text) == (grpc.StatusCode.UNAVAILABLE, "The relay is stopping.")

    asyncio.run(main())


def test_a_wrong_tail_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            for request in (v1.TailRequest(filter="cost>x"), v1.TailRequest(last=1001)):
                code, _ = await refused(served.exchanges.Tail(request))
                assert code == INVALID
            assert len(served.tail) == 0

    asyncio.run(main())


def test_without_a_ledger_lists_are_refused_and_tail_works() -> None:
    async def main() -> None:
        async with serving(None) as served:
            for call in (
                served.exchanges.List(v1.ExchangesListRequest()),
                served.exchanges.Get(v1.ExchangesGetRequest(id="x")),
            ):
                code, message = await refused(call)
                assert code == grpc.StatusCode.UNAVAILABLE
                assert "ledger.enabled" in message
            served.tail.publish([record(1)])
            call = served.exchanges.Tail(v1.TailRequest(last=1))
            assert [one.id for one in (await call.read()).exchanges] == [record(1).id]
            call.cancel()

    asyncio.run(main())


def test_a_ledger_that_is_closed_or_in_trouble_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            served.ledger.submit("m", 0, 1, some(5))
            wait_until(lambda: not served.ledger.pending)
            for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
                (tmp_path / name).rename(tmp_path / f"away-{name}")
            (tmp_path / "ledger.db").mkdir()
            wait_until(lambda: served.ledger.state().condition == "failing")
            code, message = await refused(served.exchanges.List(v1.ExchangesListRequest()))
            assert code == grpc.StatusCode.UNAVAILABLE
            assert str(tmp_path) in message
            (tmp_path / "ledger.db").rmdir()
            served.ledger.close()
            code, message = await refused(served.exchanges.List(v1.ExchangesListRequest()))
            assert (code, "closed" in message) == (grpc.StatusCode.UNAVAILABLE, True)

    asyncio.run(main())
