"""The supervisor: keeps one worker in every slot, drains them, and ends with them.

    STARTING --all slots ready--> SERVING --SIGTERM, SIGINT--> DRAINING --all gone--> end, 0
        |                            |                             |
        +-- 5 failed starts: end     +-- a worker dies: replaced   +-- second signal: end at once, 1

One task keeps a slot filled; one more attends to each worker until it has been reaped. Nothing
here reads client bytes: between two signals the supervisor sleeps.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence

from ccrelay.config.model import Config
from ccrelay.runtime import listeners, restarts
from ccrelay.runtime.control import (
    Channel,
    ControlError,
    Decoder,
    Drain,
    Drained,
    Failed,
    FromWorker,
    Leaving,
    Ready,
    Start,
    Stats,
    StatsReply,
    Stop,
    send_start,
)
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.processes import WORKER_COMMAND, WorkerProcess, describe_exit, spawn
from ccrelay.types import LogSink

CLOSE_GRACE_S = 3.0  # from closing its channel to exiting: a worker flushes its log meanwhile
DRAIN_GRACE_S = 5.0  # beyond the drain limit: workers cut by themselves, this is for a stuck one
STOP_GRACE_S = 1.0  # from Stop to SIGKILL


class WorkersFailed(Exception):
    """No worker could be started. The message is the last worker's error."""


class _Member:
    """One worker of the crew, from its start until it has been reaped."""

    def __init__(self, slot: int, process: WorkerProcess) -> None:
        self.slot = slot
        self.process = process
        self.born_at = time.monotonic()
        self.channel: Channel[FromWorker] | None = None
        self.is_ready = False
        self.is_leaving = False
        self.error: str | None = None
        self.cut = 0
        self.vacated = asyncio.Event()  # its slot needs somebody else
        self.exited = asyncio.Event()
        self.asked: list[asyncio.Future[dict[str, int]]] = []

    def ending(self) -> tuple[str, bool, float]:
        """After its end: the error for people, whether it had started, how long it lived."""
        how = describe_exit(self.process.exit_code or 0)
        error = self.error or f"a worker could not start: {how}"
        return error, self.is_ready, time.monotonic() - self.born_at

    def __repr__(self) -> str:
        return f"<_Member slot={self.slot} ready={self.is_ready} {self.process!r}>"


class Supervisor:
    """Runs the workers of one `ccrelay serve`.

    Args:
        config: handed to every worker whole.
        slots: listening sockets, one list per worker; closed by `run`.
        log: where starts, deaths and endings are told.
        worker_command: program and arguments of a worker.
        notifier: the service manager, told READY and STOPPING.
        on_ready: called once, when every slot serves.
        first: a worker that was started ahead of everything, for slot 0.
    """

    def __init__(
        self,
        config: Config,
        slots: listeners.Slots,
        log: LogSink,
        *,
        notifier: Notifier,
        on_ready: Callable[[], None] = lambda: None,
        worker_command: Sequence[str] = WORKER_COMMAND,
        first: WorkerProcess | None = None,
    ) -> None:
        self._config = config
        self._slots = slots
        self._log = log
        self._notifier = notifier
        self._on_ready = on_ready
        self._worker_command = worker_command
        self._first = first
        self._crew: set[_Member] = set()
        self._is_announced = False
        self._failure: str | None = None
        self._exit_code = 0
        # None until the first signal; every worker that is or will be there is told.
        self._order: Drain | Stop | None = None

    async def run(self) -> int:
        """Serve until a signal ends it; return the exit code. Call it in the main thread.

        Raises WorkersFailed when no worker could be started. No worker is left afterwards.
        """
        self._stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        handlers = {
            signal.SIGTERM: self._on_stop_signal,
            signal.SIGINT: self._on_stop_signal,
            signal.SIGHUP: self._on_hangup,
            signal.SIGCHLD: self._reap,
        }
        for number, handler in handlers.items():
            self._loop.add_signal_handler(number, handler)
        try:
            async with asyncio.TaskGroup() as tasks:
                for slot in range(len(self._slots)):
                    tasks.create_task(self._keep(slot, tasks), name=f"slot-{slot}")
        finally:
            for number in handlers:
                self._loop.remove_signal_handler(number)
            self._abandon()
        if self._failure is not None:
            raise WorkersFailed(self._failure)
        self._log.event("info", "stopped", exit_code=self._exit_code)
        return self._exit_code

    def stop(self) -> None:
        """Drain all workers; when called again, end them at once."""
        if self._order is None:
            limit_s = self._config.server.timeouts.drain_s
            self._log.event("info", "draining", limit_s=limit_s, workers=len(self._crew))
            self._give(Drain(limit_s), kill_after_s=limit_s + DRAIN_GRACE_S)
        else:
            self._log.event("warning", "stopping_at_once", workers=len(self._crew))
            self._exit_code = 1
            self._give(Stop(), kill_after_s=STOP_GRACE_S)

    async def stats(self) -> list[dict[str, int]]:
        """Counters of every worker that is ready; one that dies meanwhile is left out."""
        asked: list[asyncio.Future[dict[str, int]]] = []
        for member in self._crew:
            if member.is_ready and member.channel is not None:
                member.asked.append(self._loop.create_future())
                asked.append(member.asked[-1])
                member.channel.send(Stats())
        replies = await asyncio.gather(*asked, return_exceptions=True)
        return [reply for reply in replies if isinstance(reply, dict)]

    async def _keep(self, slot: int, tasks: asyncio.TaskGroup) -> None:
        quick_deaths = 0
        failed_starts = 0
        while not self._stopping.is_set():
            member = self._hire(slot)
            if isinstance(member, _Member):
                tasks.create_task(self._attend(member), name=f"worker-{member.process.pid}")
                await member.vacated.wait()
                if member.is_leaving:
                    continue  # it was asked to go by its own SIGTERM: that is no death
                error, is_started, lived_s = member.ending()
            else:
                error, is_started, lived_s = str(member), False, 0.0
            quick_deaths = restarts.quick_deaths(quick_deaths, lived_s)
            failed_starts = 0 if is_started else failed_starts + 1
            if failed_starts >= restarts.BOOT_FAILURES_MAX and not self._is_announced:
                self._fail(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), restarts.pause_s(quick_deaths))

    def _hire(self, slot: int) -> _Member | OSError:
        try:
            process, self._first = self._first or spawn(self._worker_command), None
        except OSError as error:  # no memory, no process left: what serves already goes on
            self._log.event("error", "worker_not_started", worker=slot, error=str(error))
            return error
        member = _Member(slot, process)
        self._crew.add(member)
        return member

    async def _attend(self, member: _Member) -> None:
        try:
            await self._talk(member)
        except ControlError as error:
            member.error = member.error or str(error)
            self._log.event("error", "worker_garbled", worker=member.slot, error=str(error))
            member.process.kill()
        member.process.control.close()  # one that is still there takes this as its end
        self._reap()  # its signal may have come before our handler stood
        try:
            await asyncio.wait_for(member.exited.wait(), CLOSE_GRACE_S)
        except TimeoutError:
            member.process.kill()
            await member.exited.wait()
        self._part(member)

    async def _talk(self, member: _Member) -> None:
        control = member.process.control
        control.setblocking(False)
        start = Start(self._config, member.slot)
        if self._order is not None:
            return  # the listeners are closed already
        try:
            rest = send_start(control, start, self._slots[member.slot])
        except OSError:
            return  # it died already; its exit status tells how
        decoder: Decoder[FromWorker] = Decoder(FromWorker)
        channel = await Channel.open(control, decoder)
        member.channel = channel
        try:
            channel.send_raw(rest)
            if self._order is not None:
                channel.send(self._order)
            while (message := await channel.receive()) is not None:
                self._on_message(member, message)
        finally:
            channel.abort()

    def _on_message(self, member: _Member, message: FromWorker) -> None:
        match message:
            case Ready():
                member.is_ready = True
                self._log.event("debug", "worker_ready", worker=member.slot, pid=member.process.pid)
                self._announce()
            case Failed(error, detail):
                member.error = error
                self._log.event("debug", "worker_failed", worker=member.slot, detail=detail)
            case Leaving():
                member.is_leaving = True
                member.vacated.set()
                self._log.event(
                    "info", "worker_leaving", worker=member.slot, pid=member.process.pid
                )
            case Drained(cut):
                member.cut = cut
            case StatsReply(values):
                if member.asked:
                    member.asked.pop(0).set_result(values)

    def _part(self, member: _Member) -> None:
        self._crew.discard(member)
        member.process.end()
        for future in member.asked:
            future.cancel()
        member.vacated.set()
        exit_code = member.process.exit_code or 0
        fields: dict[str, object] = {
            "worker": member.slot,
            "pid": member.process.pid,
            "how": describe_exit(exit_code),
            "cut": member.cut,
            "error": member.error,
        }
        if exit_code == 0 and (member.is_leaving or self._order is not None):
            self._log.event("info", "worker_gone", **fields)
        else:
            self._log.event("error", "worker_died", **fields)
        if self._order is None:
            self._tell_status()

    def _announce(self) -> None:
        if not self._is_announced and self._slots_ready() == len(self._slots):
            self._is_announced = True
            self._notifier.send("READY=1")
            self._on_ready()
        self._tell_status()

    def _tell_status(self) -> None:
        self._notifier.send(f"STATUS={self._slots_ready()} of {len(self._slots)} workers ready")

    def _slots_ready(self) -> int:
        return len({m.slot for m in self._crew if m.is_ready and not m.is_leaving})

    def _fail(self, error: str) -> None:
        self._failure = error
        self._give(Stop(), kill_after_s=STOP_GRACE_S)

    def _give(self, order: Drain | Stop, *, kill_after_s: float) -> None:
        self._order = order
        self._stopping.set()
        self._notifier.send("STOPPING=1", f"STATUS={type(order).__name__.lower()}")
        for member in self._crew:
            if member.channel is not None:
                member.channel.send(order)
        # Ours are copies of the workers' sockets: while one is open, the kernel goes on queueing
        # connections that nobody will answer.
        listeners.close(self._slots)
        self._loop.call_later(kill_after_s, self._kill_all)

    def _kill_all(self) -> None:
        for member in self._crew:
            self._log.event("warning", "worker_killed", worker=member.slot, pid=member.process.pid)
            member.process.kill()

    def _abandon(self) -> None:
        for member in self._crew:
            member.process.end()
        self._crew.clear()
        if self._first is not None:
            self._first.end()
        listeners.close(self._slots)

    def _on_stop_signal(self) -> None:
        self.stop()

    def _on_hangup(self) -> None:
        self._log.event("info", "hangup_ignored", why="reload comes with a later version")

    def _reap(self) -> None:
        for member in self._crew:
            if member.process.reap():
                member.exited.set()
