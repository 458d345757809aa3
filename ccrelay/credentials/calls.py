"""Blocking calls in threads that end in time, or are given up."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Final, TypeVar

Value = TypeVar("Value")

RUNNING_MAX: Final = 4  # at the same time; more wait
CALL_LIMIT_S: Final = 30.0  # several times what the limits of the libraries come to
# Threads that never came back. A process with so many is replaced.
ABANDONED_MAX: Final = 8


class TooManyAbandoned(Exception):
    """So many calls never came back that this process is to be replaced."""


class Calls:
    """Runs blocking calls, a few at a time. Create it inside a running loop.

    Args:
        limit_s: seconds after which a call is given up. Its thread cannot be stopped, and goes on.
        running_max: how many run at the same time.
    """

    def __init__(self, limit_s: float = CALL_LIMIT_S, running_max: int = RUNNING_MAX) -> None:
        self.limit_s = limit_s
        self._free = asyncio.Semaphore(running_max)
        self._abandoned: set[threading.Thread] = set()

    @property
    def abandoned(self) -> int:
        """How many threads of calls that were given up still run."""
        self._abandoned = {thread for thread in self._abandoned if thread.is_alive()}
        return len(self._abandoned)

    async def run(self, function: Callable[[], Value]) -> Value:
        """Call it in a thread. Raises what it raises, and TimeoutError.

        Raises TooManyAbandoned when no further thread should be started.
        """
        async with self._free:
            if self.abandoned >= ABANDONED_MAX:
                raise TooManyAbandoned(f"{ABANDONED_MAX} calls never came back")
            done: concurrent.futures.Future[Value] = concurrent.futures.Future()
            done.set_running_or_notify_cancel()  # so that giving it up cannot cancel it
            thread = threading.Thread(
                target=_call, args=(function, done), name="ccrelay-obtain", daemon=True
            )
            thread.start()
            try:
                return await asyncio.wait_for(asyncio.wrap_future(done), self.limit_s)
            except TimeoutError:
                if not done.done():
                    self._abandoned.add(thread)
                raise


def _call(function: Callable[[], Value], done: "concurrent.futures.Future[Value]") -> None:
    try:
        done.set_result(function())
    except BaseException as error:  # outermost shell of the thread: re-raised by the await
        done.set_exception(error)
