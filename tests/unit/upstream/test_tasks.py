"""Tasks are held, reported and ended together."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from ccrelay.upstream.tasks import TaskSet


class _NoSelector:
    def select(self, timeout: float | None) -> list[Any]:
        assert timeout is not None, "every task waits: the test would hang"
        return []


class SocketlessLoop(asyncio.BaseEventLoop):
    """An event loop for tasks and callbacks only; the usual ones open sockets for themselves."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _NoSelector()

    def _process_events(self, events: list[Any]) -> None:
        assert not events


@pytest.fixture
def loop() -> Iterator[SocketlessLoop]:
    made = SocketlessLoop()
    yield made
    made.close()


@pytest.fixture
def errors() -> list[tuple[str, BaseException]]:
    return []


@pytest.fixture
def tasks(loop: SocketlessLoop, errors: list[tuple[str, BaseException]]) -> TaskSet:
    return TaskSet(loop, lambda name, error: errors.append((name, error)))


def test_a_finished_task_is_released(
    loop: SocketlessLoop, tasks: TaskSet, errors: list[tuple[str, BaseException]]
) -> None:
    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    task = tasks.spawn(work(), "work")
    assert len(tasks) == 1
    assert repr(tasks) == "<TaskSet work>"

    assert loop.run_until_complete(task) == 7
    loop.run_until_complete(asyncio.sleep(0))
    assert len(tasks) == 0
    assert repr(tasks) == "<TaskSet empty>"
    assert errors == []


def test_an_unreferenced_task_is_not_garbage_collected(
    loop: SocketlessLoop, tasks: TaskSet
) -> None:
    done: list[int] = []
    refs: list[weakref.ref[asyncio.Future[None]]] = []

    async def wait_alone() -> None:
        # Only this task refers to the future, and only the set to the task.
        future: asyncio.Future[None] = loop.create_future()
        refs.append(weakref.ref(future))
        await future
        done.append(1)

    async def main() -> None:
        tasks.spawn(wait_alone(), "alone")
        await asyncio.sleep(0)
        gc.collect()
        future = refs[0]()
        assert future is not None
        future.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert done == [1]


def test_an_exception_is_reported_with_the_tasks_name(
    loop: SocketlessLoop, tasks: TaskSet, errors: list[tuple[str, BaseException]]
) -> None:
    boom = RuntimeError("boom")

    async def fail() -> None:
        raise boom

    async def main() -> None:
        tasks.spawn(fail(), "failing")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert errors == [("failing", boom)]
    assert len(tasks) == 0


def test_cancel_all_waits_for_clean_up_and_reports_nothing(
    loop: SocketlessLoop, tasks: TaskSet, errors: list[tuple[str, BaseException]]
) -> None:
    cleaned: list[int] = []

    async def work(number: int) -> None:
        try:
            await loop.create_future()
        finally:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            cleaned.append(number)

    async def main() -> None:
        for number in range(3):
            tasks.spawn(work(number), f"work {number}")
        await asyncio.sleep(0)
        await tasks.cancel_all()
        assert sorted(cleaned) == [0, 1, 2]

    loop.run_until_complete(main())
    assert errors == []
    assert len(tasks) == 0


def test_cancel_all_also_cancels_tasks_started_meanwhile(
    loop: SocketlessLoop, tasks: TaskSet
) -> None:
    late: list[asyncio.Task[None]] = []

    async def forever() -> None:
        await loop.create_future()

    async def work() -> None:
        try:
            await forever()
        finally:
            late.append(tasks.spawn(forever(), "late"))

    async def main() -> None:
        tasks.spawn(work(), "work")
        await asyncio.sleep(0)
        await tasks.cancel_all()

    loop.run_until_complete(main())
    assert [task.cancelled() for task in late] == [True]


def test_a_task_may_call_cancel_all_itself(loop: SocketlessLoop, tasks: TaskSet) -> None:
    async def forever() -> None:
        await loop.create_future()

    async def last() -> str:
        await tasks.cancel_all()
        return "still here"

    async def main() -> str:
        other = tasks.spawn(forever(), "other")
        result = await tasks.spawn(last(), "last")
        assert other.cancelled()
        return result

    assert loop.run_until_complete(main()) == "still here"


def test_cancel_all_of_an_empty_set_returns_at_once(loop: SocketlessLoop, tasks: TaskSet) -> None:
    loop.run_until_complete(tasks.cancel_all())
    assert len(tasks) == 0
