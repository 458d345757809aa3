"""The only place where tasks are created.

An event loop holds only weak references to tasks: an unreferenced task may be garbage-collected
while it runs, and the failure of one that is not awaited is reported late or never. A `TaskSet`
keeps references and reports failures.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

OnError = Callable[[str, BaseException], None]
"""Called with a task's name and the exception that ended it."""


class TaskSet:
    """A group of tasks that is cancelled together.

    Args:
        loop: the loop they run on.
        on_error: called with every exception that ends a task, except cancellation. An awaiting
            caller gets the exception too, so expected failures should be return values.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_error: OnError) -> None:
        self._loop = loop
        self._on_error = on_error
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coro: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Start `coro` as a task and keep a reference until it ends."""
        task = self._loop.create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def cancel_all(self) -> None:
        """Cancel every task except the calling one, and wait for all of them to end.

        Tasks started meanwhile are cancelled too. A task that ignores cancellation blocks this: the
        caller sets a time limit.
        """
        while others := self._tasks - {asyncio.current_task(self._loop)}:
            for task in others:
                task.cancel()
            await asyncio.wait(others)

    def _finished(self, task: asyncio.Task[Any]) -> None:
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
