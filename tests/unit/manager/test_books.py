"""Ledger, pump and services put together."""

import asyncio
import time
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ccrelay.config.model import Config, Ledger
from ccrelay.manager.books import LedgerBooks
from ccrelay.manager.clock import Clock
from ccrelay.manager.running import RunningExchanges
from ccrelay.v1 import relay_pb2
from tests.loopback.manager.served import Workers
from tests.unit.manager.rings import Events, FakeRing
from tests.unit.store.making import record


def books(env: dict[str, str], ring: FakeRing, log: Any = None, **ledger: Any) -> LedgerBooks:
    config = replace(Config(), ledger=Ledger(**ledger))
    return LedgerBooks(config, "memory", [ring], log or Events(), env)


def test_records_are_in_the_file_after_closing(tmp_path: Path) -> None:
    async def main() -> None:
        ring, env = FakeRing(), {"XDG_STATE_HOME": str(tmp_path)}
        one = books(env, ring)
        await one.start()
        ring.put(record(1), record(2))
        for _ in range(400):
            if one.state().written == 2:
                break
            await asyncio.sleep(0.01)
        state = one.state()
        assert (state.state, state.written, state.dropped) == (relay_pb2.Ledger.STATE_OK, 2, 0)
        assert state.path == str(tmp_path / "ccrelay" / "ledger.db")
        assert state.bytes > 0
        assert state.prices_version
        ring.put(record(3))
        await one.close()
        await one.close()
        again = books(env, ring)
        await again.start()
        for _ in range(400):
            if again.ledger is not None and again.ledger.is_open:
                break
            await asyncio.sleep(0.01)
        assert again.ledger is not None
        assert await again.ledger.count() == 3
        await again.close()

    asyncio.run(main())


def test_closing_at_once_writes_what_is_in_the_rings(tmp_path: Path) -> None:
    async def main() -> None:
        ring = FakeRing()
        ring.put(record(1))
        one = books({"HOME": str(tmp_path)}, ring)
        await one.start()
        await one.close()
        assert ring.released == ring.head

    asyncio.run(main())


def test_without_a_ledger_watching_works(tmp_path: Path) -> None:
    async def main() -> None:
        ring = FakeRing()
        one = books({"HOME": str(tmp_path)}, ring, enabled=False)
        await one.start()
        reader = one.tail.open(lambda _: True)
        ring.put(record(1))
        records, _ = await asyncio.wait_for(reader.next(), 10)
        assert [each.id for each in records] == [record(1).id]
        assert one.state().state == relay_pb2.Ledger.STATE_OFF
        await one.close()
        assert not list(tmp_path.iterdir())

    asyncio.run(main())


def test_without_a_home_it_says_what_to_set() -> None:
    one = books({}, FakeRing())
    state = one.state()
    assert state.state == relay_pb2.Ledger.STATE_FAILING
    assert "set ledger.path" in state.problem


def test_both_services_are_offered(tmp_path: Path) -> None:
    one = books({"HOME": str(tmp_path)}, FakeRing(), enabled=False)
    assert [service.name for service in one.services(RunningExchanges(Workers(), Clock()))] == [
        "ccrelay.v1.Exchanges",
        "ccrelay.v1.Usage",
    ]
    for service in one.services(RunningExchanges(Workers(), Clock())):
        for method in service.descriptor.methods:
            assert callable(getattr(service.servicer, method.name))
    assert one.routes() == {}


def test_trouble_is_logged_in_the_thread_of_the_loop(tmp_path: Path) -> None:
    async def main() -> None:
        log = Events()
        (tmp_path / "ledger.db").mkdir()
        one = books({}, FakeRing(), log, path=str(tmp_path / "ledger.db"))
        await one.start()
        for _ in range(400):
            if "ledger_failing" in log.names():
                break
            await asyncio.sleep(0.01)
        assert "ledger_failing" in log.names()
        assert one.state().state == relay_pb2.Ledger.STATE_FAILING
        assert "is not a file" in one.state().problem
        await one.close()

    asyncio.run(main())


def test_the_sums_of_today_are_known_before_anyone_can_ask(tmp_path: Path) -> None:
    async def main() -> None:
        ring, env = FakeRing(), {"XDG_STATE_HOME": str(tmp_path)}
        one = books(env, ring)
        await one.start()
        ring.put(replace(record(1), started_at_us=int(time.time() * 1e6)))
        await one.close()
        again = books(env, ring)
        began = again.today.start_s  # midnight may have passed: then there is nothing of today
        await again.start()
        assert began != one.today.start_s or again.today.total().exchanges == 1
        await again.close()

    asyncio.run(main())
