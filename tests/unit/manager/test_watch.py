"""One computation for all; slow readers get the newest, and an unchanged value is not sent."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import pytest

from ccrelay.manager.watch import WATCHERS_MAX, Broadcast, TooManyWatchers
from ccrelay.upstream.tasks import TaskSet

Made = tuple[Broadcast[int], list[int]]


def run(test: Callable[[Broadcast[int], list[int]], Awaitable[None]], **settings: float) -> None:
    async def main() -> None:
        errors: list[BaseException] = []
        tasks = TaskSet(asyncio.get_running_loop(), lambda _, error: errors.append(error))
        source = [0]
        made = Broadcast(
            lambda: source[0], int.__eq__, tasks, **{"every_s": 0.01, "alive_s": 60.0, **settings}
        )
        await test(made, source)
        assert not made.watchers
        await tasks.cancel_all()
        assert errors == []

    asyncio.run(asyncio.wait_for(main(), 20))


def test_a_slow_reader_gets_the_newest_only() -> None:
    async def test(made: Broadcast[int], source: list[int]) -> None:
        async with contextlib.aclosing(made.watch(0.0)) as values:
            assert await anext(values) == 0
            for value in range(1, 30):
                source[0] = value
                await asyncio.sleep(0.012)
            assert await anext(values) == 29

    run(test)


def test_an_unchanged_value_is_not_sent() -> None:
    async def test(made: Broadcast[int], source: list[int]) -> None:
        async with contextlib.aclosing(made.watch(0.0)) as values:
            await anext(values)
            waiting = asyncio.ensure_future(anext(values))
            done, _ = await asyncio.wait([waiting], timeout=0.3)
            assert not done
            source[0] = 1
            assert await waiting == 1

    run(test)


def test_a_sign_of_life_has_the_value_of_now() -> None:
    async def test(made: Broadcast[int], source: list[int]) -> None:
        async with contextlib.aclosing(made.watch(0.0)) as values:
            assert await anext(values) == await anext(values) == 0

    run(test, alive_s=0.1)


def test_messages_are_at_least_the_interval_apart() -> None:
    async def test(made: Broadcast[int], source: list[int]) -> None:
        loop = asyncio.get_running_loop()
        async with contextlib.aclosing(made.watch(0.2)) as values:
            await anext(values)
            began = loop.time()
            source[0] = 1
            await anext(values)
            assert loop.time() - began >= 0.19

    run(test)


def test_a_change_back_between_two_reads_is_still_told() -> None:
    async def test(made: Broadcast[int], source: list[int]) -> None:
        async with contextlib.aclosing(made.watch(0.0)) as values:
            await anext(values)
            source[0] = 1
            await asyncio.sleep(0.05)
            source[0] = 0
            assert await anext(values) == 0

    run(test)


def test_one_more_than_allowed_is_refused_and_places_come_back() -> None:
    async def test(made: Broadcast[int], source: list[int]) -> None:
        watchers = [made.watch(0.0) for _ in range(WATCHERS_MAX)]
        for watcher in watchers:
            await anext(watcher)
        assert made.watchers == WATCHERS_MAX
        with pytest.raises(TooManyWatchers):
            await anext(made.watch(0.0))
        for watcher in watchers:
            await watcher.aclose()
        async with contextlib.aclosing(made.watch(0.0)) as again:
            await anext(again)

    run(test)


def test_what_takes_long_is_computed_more_rarely() -> None:
    async def test(made: Broadcast[int], source: list[int]) -> None:
        compute = made._compute

        def slow() -> int:
            time.sleep(0.02)
            return compute()

        made._compute = slow
        async with contextlib.aclosing(made.watch(0.0)) as values:
            await anext(values)
            await asyncio.sleep(0.1)
            before = made.computed
            await asyncio.sleep(1.0)
            assert made.computed - before <= 6  # of 100 that would be due

    run(test)


def test_nothing_is_computed_while_nobody_watches() -> None:
    async def test(made: Broadcast[int], source: list[int]) -> None:
        async with contextlib.aclosing(made.watch(0.0)) as values:
            await anext(values)
        computed = made.computed
        await asyncio.sleep(0.1)
        assert made.computed == computed

    run(test)
