"""One computation of a changing value for all who watch it.

While there are watchers, the value is computed ten times a second. Who waits gets the newest value
that differs from the one it has seen: a slow reader misses states and holds none back.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

from ccrelay.upstream.tasks import TaskSet

Value = TypeVar("Value")

EVERY_S = 0.1
ALIVE_S = 15.0  # a sign of life after so long without a change
WATCHERS_MAX = 256
TOO_MANY = "Too many clients watch the relay: close some of them, or ask again later."
PAUSE = 9  # times as long as a computation takes


class TooManyWatchers(Exception):
    """As many as are allowed are watching."""


class Broadcast(Generic[Value]):
    """The newest value, for any number of watchers.

    Args:
        compute: makes the value; must not be changed afterwards.
        is_same: whether two values are the same to a watcher.
        tasks: runs the computation.
        every_s: time between two computations.
        alive_s: a watcher gets a value after so long, changed or not.
    """

    def __init__(
        self,
        compute: Callable[[], Value],
        is_same: Callable[[Value, Value], bool],
        tasks: TaskSet,
        *,
        every_s: float = EVERY_S,
        alive_s: float = ALIVE_S,
    ) -> None:
        self._compute = compute
        self._is_same = is_same
        self._tasks = tasks
        self._every_s = every_s
        self._alive_s = alive_s
        self._watchers = 0
        self._value: Value | None = None
        self._version = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.computed = 0

    @property
    def watchers(self) -> int:
        """How many are watching."""
        return self._watchers

    async def watch(self, interval_s: float) -> AsyncGenerator[Value, None]:
        """The value now, then whenever it has changed, at least `interval_s` apart.

        Raises:
            TooManyWatchers: as many as are allowed are watching.
        """
        if self._watchers >= WATCHERS_MAX:
            raise TooManyWatchers
        self._watchers += 1
        try:
            self._look()
            self._start()
            interval_s = max(interval_s, self._every_s)
            while True:
                seen = self._version
                assert self._value is not None
                yield self._value
                await asyncio.sleep(interval_s)
                await self._wait_for_another(seen, self._alive_s - interval_s)
        finally:
            self._watchers -= 1
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _wait_for_another(self, seen: int, limit_s: float) -> None:
        """Return when there is another value than the one seen, or the time is over."""
        try:
            async with asyncio.timeout(max(limit_s, 0.0)):
                while self._version == seen:
                    await self._changed.wait()
        except TimeoutError:
            self._look()  # a sign of life has the time of now

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = self._tasks.spawn(self._run(), "watch")

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        spent_s = 0.0
        while True:
            # A large relay's state is computed more rarely: other calls need the loop, too.
            await asyncio.sleep(max(self._every_s, PAUSE * spent_s))
            began_at = clock()
            self._look()
            spent_s = clock() - began_at

    def _look(self) -> None:
        value = self._compute()
        self.computed += 1
        if self._value is not None and self._is_same(self._value, value):
            self._value = value  # the same but for the time
            return
        self._value = value
        self._version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
