"""The only place where tasks are created.

An event loop keeps weak references to its tasks: one that nobody holds may vanish half-way, and
the failure of one that nobody awaits is reported late or never. A `TaskSet` holds and reports.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

OnError = Callable[[str, BaseException], None]
"""Called with a task's name and the exception that ended it."""


class TaskSet:
    """Tasks that belong together and end together.

    Args:
        loop: the loop they run on.
        on_error: told of every exception that ends a task, cancellation excepted. Whoever awaits
            the task gets the exception too, so failures that are expected should be return values.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_error: OnError) -> None:
        self._loop = loop
        self._on_error = on_error
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start `coro` and hold it until it ends."""
        task = self._loop.create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._settle)
        return task

    async def cancel_all(self) -> None:
        """Cancel every task but the calling one, and wait until the last has cleaned up.

        Tasks started meanwhile are cancelled too. A task that refuses to end keeps this waiting:
        the caller sets the time limit.
        """
        while others := self._tasks - {asyncio.current_task(self._loop)}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)

    def _settle(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._on_error(task.get_name(), error)

    def __len__(self) -> int:
        return len(self._tasks)

    def __repr__(self) -> str:
        names = sorted(task.get_name() for task in self._tasks)
        return f"<TaskSet {' '.join(names) or 'empty'}>"
