"""Readers get what they want, slow ones lose the oldest and are told."""

import asyncio

import pytest

from ccrelay.ledger.record import Record
from ccrelay.manager.tail import TailHub
from tests.unit.store.making import record


def everything(_: Record) -> bool:
    return True


def ids(records: list[Record]) -> list[str]:
    return [one.id for one in records]


def test_a_reader_gets_what_it_wants_in_order() -> None:
    async def main() -> None:
        hub = TailHub()
        reader = hub.open(lambda one: one.provider == "zai")
        hub.publish([record(1), record(2, provider="zai"), record(3, provider="zai")])
        hub.publish([record(4, provider="zai")])
        records, dropped = await reader.next()
        assert (ids(records), dropped) == (ids([record(n) for n in (2, 3, 4)]), 0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.next(), 0.01)

    asyncio.run(main())


def test_a_slow_reader_loses_the_oldest_and_is_told_once() -> None:
    async def main() -> None:
        hub = TailHub(reader_max=5)
        slow, other = hub.open(everything), hub.open(everything)
        for number in range(12):
            hub.publish([record(number)])
            if number == 3:
                assert len((await other.next())[0]) == 4
        records, dropped = await slow.next()
        assert (ids(records), dropped) == (ids([record(n) for n in range(7, 12)]), 7)
        hub.publish([record(99)])
        assert (await slow.next())[1] == 0

    asyncio.run(main())


def test_a_reader_that_is_closed_gets_nothing_more() -> None:
    hub = TailHub()
    reader = hub.open(everything)
    assert len(hub) == 1
    hub.close(reader)
    hub.close(reader)
    assert len(hub) == 0
    hub.publish([record(1)])
    assert ids(hub.recent(everything)) == [record(1).id]


def test_the_last_ones_are_remembered_within_bounds() -> None:
    hub = TailHub(recent_max=3)
    hub.publish([record(number) for number in range(10)])
    assert ids(hub.recent(everything)) == ids([record(n) for n in (7, 8, 9)])
    assert hub.recent(lambda one: one.id == record(8).id) == [record(8)]
