"""Work on large bodies beside the loop: one thread, a bounded queue, clients in turn.

Unpacking gives the interpreter's lock up while it works. Rewriting does not, but is made of many
short steps, between which the loop gets it (`SWITCH_S`). One thread is enough: more would share
that lock, and hold more bodies at once.

A body waits where its connection has received it. It is copied, and charged to the memory of
bodies, when its turn comes.
"""

import asyncio
import sys
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ccrelay.errors import NoTarget, RelayError

Job = Callable[[], Any]
"""Runs in the thread. Raises RelayError for what the client has to hear."""
Begin = Callable[[], Job | None]
"""Called in the loop when it is its turn; None: the job was cancelled."""
Ready = Callable[[Any, RelayError | None], None]
"""Called in the loop with the result or the error."""

# Bodies that wait for the thread, and how many of them may be one client's.
WAITING_MAX = 256
WAITING_CLIENT_MAX = 128
# How soon the loop gets the interpreter's lock back while a job runs. By default 5 ms, which the
# loop would wait in each of its turns. Without a job that is better: the log's thread asks, too.
SWITCH_S = 0.0002


class _Waiting:
    __slots__ = ("begin", "expires_at", "ready")

    def __init__(self, begin: Begin, ready: Ready, expires_at: float) -> None:
        self.begin = begin
        self.ready = ready
        self.expires_at = expires_at


class BodyWorker:
    """Runs jobs one at a time, clients in turn; within a client in order.

    Args:
        loop: the worker's event loop.
        on_error: called with what went wrong in a job, other than a RelayError.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_error: Callable[[str, BaseException], None]
    ) -> None:
        self._loop = loop
        self._on_error = on_error
        self._executor: ThreadPoolExecutor | None = None  # a thread costs memory: on first use
        self._lines: OrderedDict[int, deque[_Waiting]] = OrderedDict()  # by client, next one first
        self._size = 0
        self._running: _Waiting | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._switch_s = sys.getswitchinterval()

    def __len__(self) -> int:
        return self._size + (self._running is not None)

    def run(self, client: int, begin: Begin, ready: Ready, timeout_s: float) -> None:
        """Queue a job; `ready` follows later, never from inside of this call.

        Args:
            client: whose it is.
            begin: makes the job.
            ready: takes the result.
            timeout_s: how long it may wait to begin.

        Raises:
            NoTarget: too many wait, of all clients or of this one.
        """
        line = self._lines.get(client)
        if self._size >= WAITING_MAX or (line is not None and len(line) >= WAITING_CLIENT_MAX):
            raise _busy()
        if line is None:
            line = self._lines[client] = deque()
        line.append(_Waiting(begin, ready, self._loop.time() + timeout_s))
        self._size += 1
        if self._running is None:
            self._next()
        elif self._timer is None:
            self._timer = self._loop.call_later(timeout_s, self._expire)

    def close(self) -> None:
        """Forget what waits; what runs is not waited for."""
        self._is_closed = True
        self._lines.clear()
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
        sys.setswitchinterval(self._switch_s)
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> None:
        """Start the next job that was not cancelled."""
        while self._lines and self._running is None:
            client, line = self._lines.popitem(last=False)
            waiting = line.popleft()
            self._size -= 1
            if line:
                self._lines[client] = line  # behind the others
            try:
                job = waiting.begin()
            except RelayError as error:
                self._loop.call_soon(waiting.ready, None, error)
                continue
            if job is None:
                continue
            if self._executor is None:
                self._executor = ThreadPoolExecutor(1, "bodies")
            self._running = waiting
            sys.setswitchinterval(SWITCH_S)
            self._executor.submit(job).add_done_callback(self._finished)

    def _finished(self, future: "Future[Any]") -> None:
        """In the thread: a job has ended."""
        if not self._is_closed and not future.cancelled():
            self._loop.call_soon_threadsafe(self._deliver, future)

    def _deliver(self, future: "Future[Any]") -> None:
        waiting, self._running = self._running, None
        if self._is_closed or waiting is None:
            return
        failure = future.exception()
        result = None if failure is not None else future.result()
        error = failure if isinstance(failure, RelayError) else None
        if failure is not None and error is None:
            self._on_error("body worker", failure)
            error = RelayError("The relay failed on this body; its log says where.", status=500)
        try:
            waiting.ready(result, error)
        finally:
            self._next()
            if self._running is None:
                sys.setswitchinterval(self._switch_s)

    def _expire(self) -> None:
        """Tell those that have waited for too long, and look again when the next one may have."""
        self._timer = None
        now = self._loop.time()
        late: list[_Waiting] = []
        next_at = None
        for client in list(self._lines):
            line = self._lines[client]
            late += [one for one in line if one.expires_at <= now]
            kept = deque(one for one in line if one.expires_at > now)
            if kept:
                self._lines[client] = kept  # in its place
                soonest = min(one.expires_at for one in kept)
                next_at = soonest if next_at is None else min(next_at, soonest)
            else:
                del self._lines[client]
        self._size -= len(late)
        if next_at is not None:
            self._timer = self._loop.call_later(max(next_at - now, 0.001), self._expire)
        for one in late:
            one.ready(None, _busy())


def _busy() -> RelayError:
    return NoTarget(
        "The relay has too many large request bodies to work on: try again in a moment.",
        retry_after_s=1,
    )
