"""The pump: everything once, to everybody, whatever the ledger does."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ccrelay.ledger.record import Record, WindowSeen
from ccrelay.manager import records as pump_module
from ccrelay.manager.records import RecordPump
from ccrelay.manager.tail import TailHub
from ccrelay.manager.today import Today
from ccrelay.manager.windows import Windows
from ccrelay.store import writer
from ccrelay.store.ledger import Ledger
from tests.unit.manager.rings import Events, FakeRing
from tests.unit.store.making import NOON_US, record

NOW_S = NOON_US / 1e6 + 60


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_MAX_S", 0.05)
    monkeypatch.setattr(writer, "CHORES_S", 0.02)
    monkeypatch.setattr(writer, "BATCH_S", 0.01)
    monkeypatch.setattr(pump_module, "OPEN_WAIT_S", 0.5)


class Bench:
    """A pump with rings, and all that it feeds."""

    def __init__(
        self, ledger: Ledger | None, *rings: FakeRing, older: tuple[FakeRing, ...] = ()
    ) -> None:
        self.ledger = ledger
        self.rings = rings or (FakeRing(),)
        self.events = Events()
        self.tail = TailHub()
        self.windows = Windows(lambda: NOW_S)
        self.today = Today(lambda: NOW_S, lambda _: 0)
        self.seen: list[str] = []
        self.pump = RecordPump(
            "memory",
            self.rings,
            ledger=ledger,
            tail=self.tail,
            windows=self.windows,
            today=self.today,
            on_event=self.events,
            older=[("older", older)],
        )
        self.pump.sinks.append(lambda records: self.seen.extend(one.id for one in records))

    async def until(self, is_true: Callable[[], bool]) -> None:
        for _ in range(2000):
            await self.pump.turn()
            if is_true():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it did not come to be so")


def new_ledger(path: Path, **options: Any) -> Ledger:
    ledger = Ledger(str(path), 36_500, clock=lambda: NOW_S, zone=lambda _: 0, **options)
    ledger.start()
    return ledger


def stored(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT p.text || printf('%03x', e.tail) "
        "FROM exchanges e JOIN prefixes p ON p.id = e.prefix"
    ).fetchall()
    connection.close()
    return sorted(row[0] for row in rows)


def names(*numbers: int) -> list[str]:
    return sorted(record(number).id for number in numbers)


def many(first: int, end: int) -> list[Record]:
    return [record(number) for number in range(first, end)]


def test_records_reach_all_and_the_ring_is_released_when_they_are_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        bench = Bench(new_ledger(path), FakeRing(), FakeRing())
        bench.rings[0].put(*many(0, 700))
        bench.rings[1].put(*many(1000, 1010))
        await bench.pump.start()
        await bench.until(lambda: all(ring.released == ring.head for ring in bench.rings))
        assert sorted(bench.seen) == names(*range(700), *range(1000, 1010))
        assert bench.today.total().exchanges == 710
        assert bench.today.of("anthropic", "hmac:04f4a1b2").billed == 710_000
        assert (bench.pump.read, bench.pump.waiting) == (710, 0)
        assert bench.ledger is not None
        await bench.ledger.stop()

    asyncio.run(main())
    assert stored(path) == names(*range(700), *range(1000, 1010))


def test_a_frame_that_is_no_record_is_counted_and_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        bench = Bench(new_ledger(path))
        wrong = [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x91" * 2000, b"\xda\xff\xff" + b"\xff" * 9]
        bench.rings[0].put(record(1), *wrong, record(2))
        await bench.pump.start()
        await bench.until(lambda: bench.rings[0].released == bench.rings[0].head)
        assert bench.pump.undecoded == len(wrong)
        assert bench.events.names().count("record_undecoded") == 1
        bench.rings[0].put(b"only such a one")
        await bench.until(lambda: bench.rings[0].released == bench.rings[0].head)
        assert bench.ledger is not None
        await bench.ledger.stop()

    asyncio.run(main())
    assert stored(path) == names(1, 2)


def test_a_sink_that_fails_stops_no_other() -> None:
    async def main() -> None:
        bench = Bench(None)

        def fail(_: object) -> None:
            raise KeyError("sink")

        bench.pump.sinks.insert(0, fail)
        bench.rings[0].put(record(1))
        await bench.pump.start()
        await bench.pump.turn()
        assert bench.seen == [record(1).id]
        assert "record_sink_failed" in bench.events.names()
        assert bench.rings[0].released == bench.rings[0].head  # nothing is kept

    asyncio.run(main())


def test_a_new_pump_goes_on_after_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ring = FakeRing()

    async def first() -> None:
        ring.is_deaf = True
        bench = Bench(new_ledger(path), ring)
        ring.put(*many(0, 10))
        await bench.pump.start()
        await bench.until(lambda: bench.ledger is not None and bench.ledger.state().written == 10)
        # It dies before the ring is released.
        assert bench.ledger is not None
        bench.ledger.close()

    async def second() -> None:
        bench = Bench(new_ledger(path), ring)
        ring.put(*many(10, 15))
        await bench.pump.start()
        await bench.until(lambda: ring.released == ring.head)
        assert sorted(bench.seen) == names(*range(10, 15))
        assert bench.today.total().exchanges == 15  # ten of them from the ledger
        assert bench.ledger is not None
        await bench.ledger.stop()

    asyncio.run(first())
    ring.is_deaf = False
    asyncio.run(second())
    assert stored(path) == names(*range(15))


def test_while_the_ledger_fails_watchers_go_on_and_the_ring_keeps_what_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "PENDING_MAX", 20)
    path = tmp_path / "ledger.db"
    size = len(msgspec.msgpack.encode(record(100))) + 8

    async def main() -> int:
        bench = Bench(new_ledger(path), FakeRing(size * 200))
        ring = bench.rings[0]
        await bench.pump.start()
        ring.put(*many(0, 10))
        await bench.until(lambda: ring.released == ring.head)
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (tmp_path / name).rename(tmp_path / f"away-{name}")
        path.mkdir()
        released = ring.released
        assert bench.ledger is not None
        for number in range(10, 400):
            ring.put(record(number))
            if number % 10 == 0:
                await bench.pump.turn()
                await asyncio.sleep(0.001)
        await bench.pump.turn()
        assert bench.ledger.state().condition == "failing"
        assert ring.released == released
        assert ring.dropped > 100
        kept = 390 - ring.dropped
        assert len(bench.seen) == kept + 10  # all that the ring could hold
        assert bench.ledger.pending <= 30
        assert bench.pump.waiting >= kept - 30
        path.rmdir()
        await bench.until(lambda: ring.released == ring.head)
        ring.put(*many(1000, 1010))
        await bench.until(lambda: ring.released == ring.head)
        assert len(bench.seen) == len(set(bench.seen)) == kept + 20
        await bench.ledger.stop()
        return kept

    kept = asyncio.run(main())
    found = stored(path)
    assert len(found) == len(set(found)) == kept + 10
    assert set(names(*range(1000, 1010))) <= set(found)


def test_a_ledger_that_opens_late_gets_everything_once(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ring = FakeRing()

    async def before() -> None:
        ring.is_deaf = True
        bench = Bench(new_ledger(path), ring)
        ring.put(*many(0, 10))
        await bench.pump.start()
        await bench.until(lambda: bench.ledger is not None and bench.ledger.state().written == 10)
        assert bench.ledger is not None
        bench.ledger.close()

    async def after() -> None:
        away = tmp_path / "away.db"
        path.rename(away)
        path.mkdir()
        bench = Bench(new_ledger(path), ring)
        ring.put(*many(10, 20))  # one read with those that are stored
        await bench.pump.start()
        await bench.pump.turn()
        ring.put(*many(20, 30))
        await bench.pump.turn()
        assert sorted(bench.seen) == names(*range(30))
        path.rmdir()
        away.rename(path)
        await bench.until(lambda: ring.released == ring.head)
        assert bench.ledger is not None
        await bench.ledger.stop()

    asyncio.run(before())
    ring.is_deaf = False
    asyncio.run(after())
    assert stored(path) == names(*range(30))


def test_two_rings_that_are_partly_stored_when_it_opens_late_are_stored_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump_module, "PENDING_MAX", 15)  # what the first ring holds is enough
    path = tmp_path / "ledger.db"
    rings = (FakeRing(), FakeRing())

    async def before() -> None:
        bench = Bench(new_ledger(path), *rings)
        for number, ring in enumerate(rings):
            ring.is_deaf = True
            ring.put(*many(100 * number, 100 * number + 10))
        await bench.pump.start()
        await bench.until(lambda: bench.ledger is not None and bench.ledger.state().written == 20)
        assert bench.ledger is not None
        bench.ledger.close()

    async def after() -> None:
        away = tmp_path / "away.db"
        path.rename(away)
        path.mkdir()
        bench = Bench(new_ledger(path), *rings)
        for number, ring in enumerate(rings):
            ring.is_deaf = False
            ring.put(*many(100 * number + 10, 100 * number + 30))
        await bench.pump.start()
        await bench.pump.turn()
        path.rmdir()
        away.rename(path)
        await bench.until(lambda: all(ring.released == ring.head for ring in rings))
        assert bench.ledger is not None
        await bench.ledger.stop()

    asyncio.run(before())
    asyncio.run(after())
    assert stored(path) == names(*range(30), *range(100, 130))


def test_records_in_an_older_memory_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ring, older = FakeRing(), FakeRing()

    async def main(numbers: range) -> None:
        bench = Bench(new_ledger(path), ring, older=(older,))
        ring.put(*many(numbers.start, numbers.start + 5))
        older.put(*many(numbers.start + 5, numbers.stop))
        await bench.pump.start()
        await bench.until(lambda: (ring.released, older.released) == (ring.head, older.head))
        assert sorted(bench.seen) == names(*numbers)
        assert bench.ledger is not None
        await bench.ledger.stop()

    asyncio.run(main(range(12)))
    asyncio.run(main(range(20, 40)))  # both positions are found again
    assert stored(path) == names(*range(12), *range(20, 40))


def test_windows_outlive_the_pump(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    resets = int(NOW_S * 1000) + 3_600_000

    async def first() -> None:
        bench = Bench(new_ledger(path))
        seen = WindowSeen("5h", 0.62, resets, 0, 0, "allowed")
        bench.rings[0].put(record(1, windows=[seen]))
        await bench.pump.start()
        await bench.until(lambda: bench.rings[0].released == bench.rings[0].head)
        assert bench.ledger is not None
        await bench.ledger.stop()

    async def second() -> None:
        bench = Bench(new_ledger(path))
        await bench.pump.start()
        (window,) = bench.windows.of("anthropic", "hmac:04f4a1b2")
        assert (window.name, window.utilization, window.resets_at_ms) == ("5h", 0.62, resets)
        assert bench.ledger is not None
        await bench.ledger.stop()

    asyncio.run(first())
    asyncio.run(second())


def test_a_position_beyond_the_ring_is_that_of_another(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main(*made: Record) -> None:
        bench = Bench(new_ledger(path))
        await bench.pump.start()
        bench.rings[0].put(*made)
        await bench.until(lambda: bench.rings[0].released == bench.rings[0].head)
        assert bench.ledger is not None
        await bench.ledger.stop()

    asyncio.run(main(*many(0, 10)))
    asyncio.run(main(record(20)))
    assert stored(path) == names(*range(10), 20)


def test_finishing_writes_what_is_in_the_rings(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def main() -> None:
        bench = Bench(new_ledger(path))
        await bench.pump.start()
        bench.rings[0].put(*many(0, 300))
        await bench.pump.finish()
        assert bench.ledger is not None
        await bench.ledger.stop()

    asyncio.run(main())
    assert stored(path) == names(*range(300))


def test_a_ring_that_cannot_be_read_is_told_and_the_others_are_read() -> None:
    class Broken(FakeRing):
        def read(self, after: int, bytes_max: int) -> tuple[list[bytes], int]:
            raise ValueError("garbled")

    async def main() -> None:
        bench = Bench(None, Broken(), FakeRing())
        bench.rings[1].put(record(1))
        await bench.pump.start()
        await bench.pump.turn()
        assert bench.seen == [record(1).id]
        assert "record_ring_unreadable" in bench.events.names()

    asyncio.run(main())


def test_it_runs_until_it_is_cancelled() -> None:
    async def main() -> None:
        bench = Bench(None)
        running = asyncio.ensure_future(bench.pump.run())
        await asyncio.sleep(0.01)
        bench.rings[0].put(record(1))
        for _ in range(400):
            if bench.seen:
                break
            await asyncio.sleep(0.005)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert bench.seen == [record(1).id]

    asyncio.run(main())
