"""The ledger as the manager uses it."""

import asyncio
from pathlib import Path

import pytest

from ccrelay.store.filters import parse
from ccrelay.store.ledger import Ledger
from ccrelay.store.pages import bounds
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.store.usage import Question
from ccrelay.store.writes import WindowRow
from tests.unit.store.making import NOON_US, opened, record, wait_until, write


def test_questions_and_answers(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    window = WindowRow("zai", "hmac:1", "5h", 4, b"x")
    ledger.submit("memory", 0, 3, [record(1), record(2, provider="zai")], [window])
    wait_until(lambda: not ledger.pending)

    async def ask() -> None:
        first, end = bounds(0, 0)
        found = await ledger.page(parse("provider:zai"), first=first, end=end, limit=10)
        assert [one.record.id for one in found] == [record(2).id]
        question = Question(("provider",), parse(""), 0, 0, NOON_US // 1_000_000)
        groups = await ledger.usage(question)
        assert {group: sums[0] for group, sums in groups.items()} == {
            ("anthropic",): 1,
            ("zai",): 1,
        }
        assert await ledger.windows() == [window]
        assert await ledger.costs_by_hour(parse(""), 0) == {NOON_US // 3_600_000_000: 2000}
        await ledger.stop()

    asyncio.run(ask())
    assert ledger.state().written == 2


def test_before_it_is_open_questions_are_refused_and_records_are_kept(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger.db"), 90)
    with pytest.raises(LedgerTrouble, match="being opened"):
        asyncio.run(ledger.count())
    ledger.submit("memory", 0, 1, [record(1)])
    opened_times: list[int] = []
    ledger.on_opened(lambda: opened_times.append(ledger.cursor("memory", 0)))
    ledger.start()
    wait_until(lambda: not ledger.pending)
    assert opened_times == [0]
    ledger.keep(1)
    ledger.close()


def test_it_can_be_closed_before_it_was_started_and_twice(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger.db"), 90)
    ledger.close()
    other = opened(str(tmp_path / "ledger.db"))
    write(other, record(1))
    other.close()
    other.close()
