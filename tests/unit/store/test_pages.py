"""Pages stay right while exchanges are added; ids are found by their beginning."""

import asyncio
from pathlib import Path

from ccrelay.store import pages
from ccrelay.store.filters import parse
from tests.unit.store.making import NOON_US, attempt, opened, record, write


def test_pages_show_each_exchange_once_while_others_are_added(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    write(ledger, *[record(n, started_at_us=NOON_US + n * 1000) for n in range(100)])

    async def walk() -> list[str]:
        seen: list[str] = []
        first, end = pages.bounds(0, 0)
        number = 1000
        while True:
            found = await ledger.page(parse(""), first=first, end=end, limit=7)
            if not found:
                return seen
            seen += [one.record.id for one in found]
            end = found[-1].seq
            number += 1
            write(ledger, record(number, started_at_us=NOON_US + number * 1000))
            # Long exchanges end late and began among those that were shown.
            write(ledger, record(number * 7, started_at_us=NOON_US + 99_000))

    seen = asyncio.run(walk())
    assert seen == [record(n).id for n in reversed(range(100))]
    ledger.close()


def test_a_range_of_time_holds_its_first_instant_and_not_its_last(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    write(ledger, *[record(n, started_at_us=NOON_US + n * 1000) for n in range(10)])
    first, end = pages.bounds(NOON_US // 1000 + 3, NOON_US // 1000 + 6)
    found = asyncio.run(ledger.page(parse(""), first=first, end=end, limit=100))
    assert [one.record.id for one in found] == [record(n).id for n in (5, 4, 3)]
    ledger.close()


def test_an_id_is_found_by_any_unique_beginning(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    names = [f"req_ccrelay_0aabbccddee{n:x}" for n in (1, 0xF, 0x10, 0x1FF, 0x1000, 0x1FFFF)]
    odd = ["", "x", "Ünïcode", "ends-in-ABC", "a%b_c", "0"]
    write(ledger, *[record(id=name) for name in [*names, *odd]])

    async def check() -> None:
        for name in names:
            got = await ledger.get(name)
            assert got is not None
            assert got.record.id == name
            for length in range(4, len(name) + 1):
                begin = name[:length]
                alike = {other for other in [*names, *odd] if other.startswith(begin)}
                assert set(await ledger.find(begin)) == alike or len(alike) > 6, begin
        for name in odd[1:]:
            assert name in await ledger.find(name)
        assert await ledger.find("req_ccrelay_%") == []
        assert await ledger.get("req_ccrelay_none") is None

    asyncio.run(check())
    ledger.close()


def test_the_newest_of_two_with_one_id_is_shown(tmp_path: Path) -> None:
    ledger = opened(str(tmp_path / "ledger.db"))
    later = record(1, started_at_us=NOON_US + 5_000_000, status=529, tries=[attempt()])
    write(ledger, record(1), later)
    got = asyncio.run(ledger.get(later.id))
    assert got is not None
    assert got.record == later
    ledger.close()
