"""The supervisor's side of the management plane: the manager, its doors, and what it asks for.

Management ── ManagerKeeper: the process
    |     └── Doors: the listeners
    +── tells it: configuration, workers, failed reloads
    +── carries out its commands, with the `Reloader` and the supervisor's own means
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

from ccrelay.config.fingerprint import current_key
from ccrelay.runtime.manager_doors import Doors, DoorsHandover
from ccrelay.runtime.manager_link import (
    Command,
    ConfigChanged,
    DrainCommand,
    EnvironmentCommand,
    LogLevelCommand,
    ManagerStart,
    Origin,
    OverridesCommand,
    ReloadCommand,
    ReloadProblem,
    Reply,
    SignInCode,
    StatsCommand,
    StopCommand,
    ToManager,
    WorkerInfo,
    WorkersChanged,
    WorkerState,
)
from ccrelay.runtime.manager_process import ManagerKeeper
from ccrelay.runtime.memory import MemoryAllocator
from ccrelay.runtime.processes import WorkerProcess
from ccrelay.runtime.reload import Reloader, ReloadObserver, ReloadResult
from ccrelay.runtime.worker_pool import Worker, WorkerPool
from ccrelay.types import LogSink

START_DELAY_S: Final = 0.2  # the first requests of a client have the machine for themselves
WORKERS_DELAY_S: Final = 0.1  # changes of workers come in bursts
STOPPING = "the relay is stopping"


class ManagementSetup(NamedTuple):
    """What a supervisor needs to run a manager.

    Args:
        doors: the listeners that it gets.
        start_process: starts a process.
        listen: addresses of the data plane.
        config_file: path; empty: none.
        pid: of the supervisor.
        started_at_ms: of the supervisor, since 1970.
        sign_in: the code of the banner; None: it has none.
    """

    doors: Doors
    start_process: Callable[[], WorkerProcess]
    listen: list[str]
    config_file: str
    pid: int
    started_at_ms: int
    sign_in: SignInCode | None = None


class Host(NamedTuple):
    """What a supervisor does for commands.

    Args:
        jobs: held during a reload or upgrade.
        spawn: runs a command to its end.
        drain: as SIGTERM, unless it drains already.
        stop: as a second SIGTERM.
    """

    jobs: Callable[[], AbstractAsyncContextManager[object]]
    spawn: Callable[[Coroutine[object, object, None]], None]
    drain: Callable[[], None]
    stop: Callable[[], None]


class Management(ReloadObserver):
    """The management plane as the supervisor sees it. Create it inside a running loop.

    Args:
        setup: what is started; None: there is no management plane.
        pool: the workers.
        memory: the shared memory.
        reloader: holds the configuration in force.
        log: receives the manager_* events.
        host: carries out commands.
    """

    def __init__(
        self,
        setup: ManagementSetup | None,
        pool: WorkerPool,
        memory: MemoryAllocator,
        reloader: Reloader,
        log: LogSink,
        host: Host,
    ) -> None:
        self.doors = Doors() if setup is None else setup.doors
        self.started_at_ms = 0 if setup is None else setup.started_at_ms
        self._setup = setup
        self._pool = pool
        self._reloader = reloader
        self._host = host
        self._origin: Origin = "start"
        self._digest = reloader.digest
        self._problem = ""
        self._sections = self._own_sections()
        self._start_timer: asyncio.TimerHandle | None = None  # kept when it has fired
        self._tasks: asyncio.TaskGroup
        self._workers_timer: asyncio.TimerHandle | None = None
        self._keeper: ManagerKeeper | None = None
        if setup is not None:
            self._keeper = ManagerKeeper(
                setup.start_process,
                lambda restarts: self._manager_start(setup, restarts),
                lambda: [memory.fd, *setup.doors.descriptors(), *memory.older],
                log,
                self._on_command,
            )
        reloader.observer = self

    # ---- the process

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Keep a manager from START_DELAY_S on. Does nothing while one is kept."""
        if self._keeper is not None and self._start_timer is None:
            loop = asyncio.get_running_loop()
            self._start_timer = loop.call_later(START_DELAY_S, self._keeper.start, tasks)
            self._tasks = tasks

    async def stop(self, *, is_end: bool = True) -> None:
        """Let the manager write what it has, a few seconds at most, and start no other.

        One that was to start soon, or is dead at the moment, is started for that: requests may have
        been answered meanwhile. Not so before another image (`is_end` is false), which goes on.
        """
        if self._keeper is None or self._start_timer is None:
            return  # it was never to be started
        self._start_timer.cancel()
        self._start_timer = None
        if is_end:
            self._keeper.start(self._tasks)
        await self._keeper.stop(is_end=is_end)

    def kill(self) -> None:
        """End the manager at once."""
        if self._keeper is not None:
            self._keeper.kill()

    def reap(self) -> None:
        """Collect the exit status of the manager if it has exited (SIGCHLD)."""
        if self._keeper is not None:
            self._keeper.reap()

    def doors_handover(self) -> DoorsHandover | None:
        """The doors for the next image."""
        return None if self._setup is None else self.doors.handover()

    def close(self) -> None:
        """Kill what is left of the manager, close the doors."""
        for timer in (self._start_timer, self._workers_timer):
            if timer is not None:
                timer.cancel()
        if self._keeper is not None:
            self._keeper.close()
        self.doors.close()

    def _send(self, message: ToManager) -> None:
        if self._keeper is not None:
            self._keeper.send(message)

    # ---- what the manager is told

    def _manager_start(self, setup: ManagementSetup, restarts: int) -> ManagerStart:
        snapshot = self._pool.snapshot
        return ManagerStart(
            config=snapshot.config,
            layout=snapshot.layout,
            listen=setup.listen,
            config_file=self._reloader.file or setup.config_file,
            pid=setup.pid,
            started_at_ms=setup.started_at_ms,
            restarts=restarts,
            fingerprint_key=current_key(),
            socket=self.doors.path,
            http_listen=self.doors.listen,
            workers=worker_infos(self._pool),
            overrides=self._reloader.overrides,
            origin=self._origin,
            digest=self._reloader.digest,
            reload_problem=self._problem,
            sign_in=setup.sign_in,
        )

    def config_changed(self, origin: Origin, warnings: list[str]) -> None:
        """Another configuration is in force.

        Where the manager has to open its files or its listener again, it is started again.
        """
        if self._reloader.digest != self._digest:  # else the text is the same one
            self._origin, self._digest = origin, self._reloader.digest
        self._problem = ""
        snapshot, overrides = self._pool.snapshot, self._reloader.overrides
        self._send(
            ConfigChanged(
                snapshot.config,
                snapshot.layout,
                overrides,
                origin,
                warnings,
                self._reloader.file,
                self._reloader.digest,
            )
        )
        if (sections := self._own_sections()) != self._sections:
            self._sections = sections
            if self._keeper is not None:
                self._keeper.restart()

    def _own_sections(self) -> tuple[object, object]:
        config = self._pool.snapshot.config
        return config.management, config.ledger

    def reload_problem(self, problem: str) -> None:
        """A reload has failed; empty: one that did not change anything has not."""
        if problem != self._problem:
            self._problem = problem
            self._send(ReloadProblem(problem))

    def workers_changed(self) -> None:
        """Tell it of all workers, soon."""
        if self._workers_timer is None and self._keeper is not None:
            loop = asyncio.get_running_loop()
            self._workers_timer = loop.call_later(WORKERS_DELAY_S, self._send_workers)

    def _send_workers(self) -> None:
        self._workers_timer = None
        self._send(WorkersChanged(worker_infos(self._pool)))

    # ---- what the manager asks for

    def _on_command(self, command: Command) -> None:
        match command:
            case DrainCommand(id) | StopCommand(id):
                # The reply goes first: afterwards no process may be left to send it.
                limit_s = self._pool.snapshot.config.server.timeouts.drain_s
                self._send(Reply(id, changed=True, limit_s=limit_s))
                (self._host.drain if isinstance(command, DrainCommand) else self._host.stop)()
            case EnvironmentCommand(id, names):
                self._send(self._environment(id, names))
            case _ if self._pool.shutdown is not None and not isinstance(command, StatsCommand):
                self._send(Reply(command.id, error=STOPPING))
            case _:
                self._host.spawn(self._answer(command))

    def _environment(self, id: int, names: list[str]) -> Reply:
        if self._reloader.file:
            return Reply(id, error="there is a configuration file", is_refused=True)
        from ccrelay.config.command_environment import keychain_environment

        values = {name: os.environ[name] for name in names if name in os.environ}
        return Reply(id, values=keychain_environment(os.environ) | values)

    async def _answer(
        self, command: ReloadCommand | LogLevelCommand | OverridesCommand | StatsCommand
    ) -> None:
        reply = Reply(command.id, error=STOPPING)  # of a command that the shutdown cancels
        try:
            if isinstance(command, StatsCommand):
                reply = await self._stats(command)
            else:
                async with self._host.jobs():
                    reply = _reply(command.id, await self._change(command))
        except Exception as error:
            reply = Reply(command.id, error=f"{type(error).__name__}: {error}")
            raise
        finally:
            self._send(reply)

    async def _stats(self, command: StatsCommand) -> Reply:
        if command.running:
            return Reply(command.id, running=await self._pool.running(command.running))
        return Reply(command.id, stats=await self._pool.stats())

    async def _change(
        self, command: ReloadCommand | LogLevelCommand | OverridesCommand
    ) -> ReloadResult:
        match command:
            case ReloadCommand(_, origin):
                return await self._reloader.reload(origin)
            case LogLevelCommand(_, level):
                return await self._reloader.set_log_level(level)
            case OverridesCommand(_, overrides):
                return await self._reloader.set_overrides(overrides)


def _reply(id: int, outcome: ReloadResult) -> Reply:
    return Reply(
        id,
        error=outcome.error,
        is_refused=outcome.is_refused,
        changed=outcome.changed,
        warnings=outcome.warnings,
        previous=outcome.previous,
    )


def worker_infos(pool: WorkerPool) -> list[WorkerInfo]:
    """All workers, by slot; of one slot the newest last."""
    infos = [_info(worker, pool) for worker in pool.workers]
    return sorted(infos, key=lambda info: (info.slot, info.started_at_ms))


def _info(worker: Worker, pool: WorkerPool) -> WorkerInfo:
    state: WorkerState = "serving" if worker.is_ready else "starting"
    if worker.is_draining or pool.shutdown is not None:
        state = "draining"
    column = -1 if worker.column is None else worker.column
    return WorkerInfo(worker.slot, worker.process.pid, column, state, worker.started_at_ms)
