"""Questions end when nobody waits for them, and see one state of the ledger."""

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from ccrelay.store.trouble import LedgerTrouble
from tests.unit.store.making import opened, record, write

ENDLESS = "WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def test_a_question_ends_when_its_asker_leaves(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    begun = threading.Event()
    ended = threading.Event()

    def ask(connection: sqlite3.Connection) -> None:
        begun.set()
        try:
            connection.execute(ENDLESS).fetchone()
        finally:
            ended.set()

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await ledger._readers.ask(ask)

    asyncio.run(leave())
    assert begun.is_set()
    assert ended.wait(10)
    assert asyncio.run(ledger.count()) == 0
    ledger.close()


def test_closing_ends_questions(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))

    async def ask() -> None:
        asking = asyncio.ensure_future(
            ledger._readers.ask(lambda connection: connection.execute(ENDLESS).fetchone())
        )
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await ledger.stop()
        assert time.monotonic() - began < 5
        with pytest.raises(LedgerTrouble, match="interrupted"):
            await asking

    asyncio.run(ask())


def test_a_question_sees_one_state(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    write(ledger, record(1))

    def twice(connection: sqlite3.Connection) -> list[int]:
        found = []
        for number in (2, 3):
            found.append(connection.execute("SELECT count(*) FROM exchanges").fetchone()[0])
            write(ledger, record(number))
        return found

    assert asyncio.run(ledger._readers.ask(twice)) == [1, 1]
    assert asyncio.run(ledger.count()) == 3
    ledger.close()


def test_many_questions_at_once(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    write(ledger, record(1))

    async def ask() -> list[int]:
        return list(await asyncio.gather(*[ledger.count() for _ in range(50)]))

    assert asyncio.run(ask()) == [1] * 50
    ledger.close()


def test_a_mistake_in_a_question_is_told(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    with pytest.raises(LedgerTrouble, match="no such table"):
        asyncio.run(ledger._readers.ask(lambda one: one.execute("SELECT 1 FROM no_table")))
    ledger.close()
