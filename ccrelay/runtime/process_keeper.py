"""Keeps one process beside the workers alive: starts it, listens to its heartbeat, replaces it.

    spawned --ready--> running --stop--> exits
       |                  |
       +---- exits, is killed, hangs, is not ready in time: killed, and replaced after a backoff

Nothing here concerns workers, and whatever happens to the process, the supervisor goes on.
"""

import asyncio
import contextlib
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple

import msgspec

from ccrelay.runtime import backoff
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import ControlError, Decoder, Message, send_first
from ccrelay.runtime.processes import WorkerProcess, describe_exit
from ccrelay.types import LogSink

CHECK_INTERVAL_S: Final = 0.5
LATE_S: Final = 0.5  # this process did not run in time itself, so that heartbeats are still unread
EXIT_LIMIT_S: Final = 1.0  # from the end of its channel to SIGKILL
LATE_START_S: Final = 5.0  # more than `stop_s` for one that has to start first
# One that had been ready is replaced within 2 s, however often it was killed before.
READY_EXITS_MAX: Final = 4


class KeeperLimits(NamedTuple):
    """Time limits of a kept process, seconds.

    Args:
        start_s: from spawn until it is ready.
        hang_s: without a heartbeat.
        stop_s: from the request to stop to SIGKILL.
        delay_max_s: between starts that fail again and again.
    """

    start_s: float
    hang_s: float
    stop_s: float
    delay_max_s: float


class ProcessKeeper(ABC, Generic[Message]):
    """Keeps one process. Create it inside a running loop.

    A subclass names the process and says what its messages mean.

    Args:
        start_process: starts a process that waits for its first message; may raise OSError.
        make_start: the first message, by how many before it have died or could not be started.
        descriptors: what goes with it; they stay open here.
        log: receives the events of the process.
    """

    name: str  # of the task
    kind: Any  # the union of the messages that it sends
    limits: KeeperLimits
    hint: str  # when it has died, while another one is started

    def __init__(
        self,
        start_process: Callable[[], WorkerProcess],
        make_start: Callable[[int], msgspec.Struct],
        descriptors: Callable[[], list[int]],
        log: LogSink,
    ) -> None:
        self._start_process = start_process
        self._make_start = make_start
        self._descriptors = descriptors
        self._log = log
        self._deaths = 0  # one that was asked to end is none
        self._process: WorkerProcess | None = None
        self._channel: Channel[Message] | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = asyncio.Event()
        self._is_last_due = False  # when it is dead at the end, another one finishes its work
        self._is_ready = False
        self._began_at = 0.0
        self._heard_at = 0.0
        self._exited = asyncio.Event()
        self._problem = ""  # why the one before ended; logged when it changes
        self._killed_for = ""

    @abstractmethod
    def stop_message(self) -> msgspec.Struct:
        """What asks it to finish its work and exit."""

    @abstractmethod
    def on_message(self, message: Message) -> str:
        """Take in a message; why the process cannot start, where that is what it says.

        Calls `mark_ready` on the message that says so.
        """

    @abstractmethod
    def log_started(self, level: str, **fields: object) -> None:
        """Log that it is ready."""

    @abstractmethod
    def log_died(self, **fields: object) -> None:
        """Log that it is to be replaced."""

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Keep a process from now on. Does nothing while one is kept."""
        if self._task is None or self._task.done():
            self._is_stopping.clear()
            self._is_last_due = False
            self._problem = ""
            self._task = tasks.create_task(self._keep(), name=self.name)

    def send(self, message: msgspec.Struct) -> None:
        """Send a message; without a process nothing happens: the next one starts with the state."""
        if self._channel is not None:
            self._channel.send(message)

    def restart(self) -> None:
        """Let it finish its work and exit; another one starts at once."""
        self.send(self.stop_message())

    async def stop(self, *, is_end: bool = True) -> None:
        """Let it finish its work, in a few seconds at most, and start no other.

        One that is dead, or dies of it, is replaced for that once, unless another image goes on
        with its work (`is_end` is false).
        """
        if self._task is None:
            return
        self._is_last_due = is_end
        self._is_stopping.set()
        self.send(self.stop_message())
        limit_s = self.limits.stop_s + (0.0 if self._is_ready else LATE_START_S)
        await asyncio.wait({self._task}, timeout=limit_s)
        if not self._task.done():
            self._is_last_due = False
            self._kill("it did not stop in time")
            await asyncio.wait({self._task})
        self._task = None

    def kill(self) -> None:
        """End it at once; while it is kept, another one is started."""
        self._is_last_due = False
        self._kill("a second signal")

    def reap(self) -> None:
        """Collect the exit status if it has exited (SIGCHLD)."""
        if self._process is not None and self._process.reap():
            self._exited.set()

    def close(self) -> None:
        """Kill and reap what is left, whatever happened; blocks for that moment."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def mark_ready(self) -> None:
        """It works from now on: its heartbeats count."""
        self._is_ready = True
        assert self._process is not None
        level = "info" if self._problem else "debug"
        self.log_started(level, pid=self._process.pid, restarts=self._deaths or None)
        self._problem = ""

    async def _keep(self) -> None:
        early_exits = 0
        problem = "it was not started yet"
        while not self._is_stopping.is_set():
            problem = await self._run_and_report()
            lived_s = time.monotonic() - self._began_at if self._is_ready else 0.0
            early_exits = backoff.early_exits(early_exits, lived_s)
            if self._is_ready:
                early_exits = min(early_exits, READY_EXITS_MAX)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._is_stopping.wait(), backoff.delay_s(early_exits, self.limits.delay_max_s)
                )
        if problem and self._is_last_due:
            self._is_last_due = False
            await self._run_and_report()

    async def _run_and_report(self) -> str:
        try:
            problem = await self._run_once()
        except Exception as error:  # outermost shell: the relay serves without this process
            where = "".join(traceback.format_exception(error))
            self._log.event("error", "internal_error", error=repr(error), where=where)
            problem = repr(error)
        if problem:
            self._deaths += 1
            self._report(problem)
        return problem

    def _report(self, problem: str) -> None:
        if self._is_ready or problem != self._problem:
            hint = None if self._is_stopping.is_set() else self.hint
            pid = None if self._process is None else self._process.pid
            self.log_died(reason=problem, pid=pid, hint=hint)
        self._problem = problem

    async def _run_once(self) -> str:
        """One process from spawn until it is reaped; why it ended, empty: it was asked to."""
        self._is_ready = False
        self._killed_for = ""
        self._exited.clear()
        self._process = None
        self._began_at = self._heard_at = time.monotonic()
        try:
            process = self._process = self._start_process()
        except OSError as error:
            return f"it cannot be started: {error}"
        problem = ""
        try:
            problem = self._send_start(process)
            if self._channel is not None:
                problem = await self._talk(self._channel)
            process.control.close()
            await self._wait_for_exit(process)
        finally:
            if self._channel is not None:
                self._channel.abort()
                self._channel = None
            process.close()
        if process.exit_code == 0 and not problem:
            return "" if self._is_ready else "it exited before it was ready"
        return self._killed_for or problem or describe_exit(process.exit_code or 0)

    def _send_start(self, process: WorkerProcess) -> str:
        start = self._make_start(self._deaths)
        process.control.setblocking(False)
        try:
            unsent = send_first(process.control, start, self._descriptors())
        except ControlError as error:
            process.kill()
            return str(error)
        except OSError:  # it has exited already; its exit status says why
            return ""
        decoder: Decoder[Message] = Decoder(self.kind)
        self._channel = Channel(process.control, decoder, unsent)
        if self._is_stopping.is_set():
            self._channel.send(self.stop_message())
        return ""

    async def _talk(self, channel: Channel[Message]) -> str:
        problem = ""
        async with asyncio.TaskGroup() as tasks:
            watch = tasks.create_task(self._watch())
            try:
                while (message := await channel.receive()) is not None:
                    self._heard_at = time.monotonic()
                    problem = self.on_message(message) or problem
            except ControlError as error:
                problem = str(error)
                self._kill(problem)
            watch.cancel()
        return problem

    async def _watch(self) -> None:
        """Kill a process from which nothing is heard."""
        hang_s, start_s = self.limits.hang_s, self.limits.start_s
        left_s = CHECK_INTERVAL_S
        while not self._is_stopping.is_set():
            due_at = time.monotonic() + min(CHECK_INTERVAL_S, left_s)
            await asyncio.sleep(due_at - time.monotonic())
            now = time.monotonic()
            if now - due_at > LATE_S:
                self._heard_at = max(self._heard_at, now - hang_s + LATE_S)
            if self._is_ready:
                left_s = self._heard_at + hang_s - now
                reason = f"it hangs: no heartbeat for {hang_s:g} s"
            else:
                left_s = self._began_at + start_s - now
                reason = f"it was not ready within {start_s:g} s"
            if left_s <= 0.0 and not self._is_stopping.is_set():
                self._kill(reason)
                return

    def _kill(self, reason: str) -> None:
        if self._process is not None:
            self._killed_for = self._killed_for or reason
            self._process.kill()

    async def _wait_for_exit(self, process: WorkerProcess) -> None:
        self.reap()  # SIGCHLD may have come before its handler was installed
        try:
            await asyncio.wait_for(self._exited.wait(), EXIT_LIMIT_S)
        except TimeoutError:
            self._kill("it did not exit")
            await self._exited.wait()
