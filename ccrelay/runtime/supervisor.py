"""The supervisor: keeps one worker in every slot, reloads, upgrades and shuts down.

    STARTING --all slots ready--> SERVING --SIGTERM, SIGINT--> DRAINING --all exited--> exit 0
        |                         |  |  |                          |
        |                         |  |  +-- SIGHUP, file: reload   +-- second signal: exit 1 at once
        |                         |  +-- SIGUSR2: exec a new image, which is STARTING
        +-- 5 failed starts: exit +-- a worker dies: respawned

SIGHUP after the terminal has been closed is a SIGTERM (`ccrelay.runtime.terminal`).

Once all slots serve, a manager is started (`ccrelay.runtime.management`); it is no worker, and is
stopped when all workers are gone.

One task per slot keeps it filled; one more per worker monitors it until it has been reaped. The
supervisor never reads client bytes.
"""

import asyncio
import contextlib
import signal
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Literal, TypeAlias

from ccrelay.runtime import backoff, listeners
from ccrelay.runtime.closing_words import ClosingWords
from ccrelay.runtime.cloud_credentials import CloudCredentials
from ccrelay.runtime.control import Drain, Stop
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.management import Host, Management, ManagementSetup
from ccrelay.runtime.manager_link import Origin
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.processes import WorkerProcess
from ccrelay.runtime.reload import NO_FILE, Reloader, drain_limit_s, notify_reloading
from ccrelay.runtime.source import Source
from ccrelay.runtime.upgrade import (
    BLOCKED_SIGNALS,
    HandoverState,
    UpgradeFailed,
    preflight,
    replace_image,
)
from ccrelay.runtime.watch import Watcher
from ccrelay.runtime.worker_pool import Worker, WorkerPool

DRAIN_GRACE_S = 5.0  # beyond the drain limit, which workers enforce: SIGKILL for a stuck one
STOP_GRACE_S = 1.0  # from Stop to SIGKILL
HANGUP_CHECK_S = 1.0  # from a SIGHUP for a reload to another look at the terminal
EXIT_WAIT_S = 10.0  # several times worker_pool.EXIT_TIMEOUT_S: workers may exit one after another

_Job: TypeAlias = Literal["reload", "check_file", "upgrade"]


class WorkersFailed(Exception):
    """No worker could be started; the message is the last worker's error."""


class Supervisor:
    """Runs the workers of one `ccrelay serve`. Create it inside a running loop.

    Args:
        state: configuration, listening sockets, memory; closed by `run`.
        log: receives the events of workers, reloads and upgrades.
        notifier: sends READY, RELOADING and STOPPING to the service manager.
        on_ready: called once, when every slot serves.
        start_process: starts a worker process.
        source: where the configuration came from; None when it cannot be reloaded.
        say: prints where the banner was printed; None: nothing is said.
        management: how to run a manager; None: there is none.
        credentials: those of clouds; None: there are none.
    """

    def __init__(
        self,
        state: HandoverState,
        log: LogWriter,
        *,
        notifier: Notifier,
        on_ready: Callable[[], None],
        start_process: Callable[[], WorkerProcess],
        source: Source | None = None,
        say: Callable[[str], None] | None = None,
        management: ManagementSetup | None = None,
        credentials: CloudCredentials | None = None,
    ) -> None:
        self._slots = state.slots
        self._listen = state.listen
        self._surplus = state.surplus
        self._memory = state.memory
        self._log = log
        self._notifier = notifier
        self._on_ready = on_ready
        self._start_process = start_process
        self._source = source
        self._pool = WorkerPool(state.snapshot, state.memory, log, self._on_change, credentials)
        self._pool.workers.update(state.previous)
        self._pool.past_totals = state.totals
        self._is_upgrade = bool(state.previous)
        self._is_reload_due = state.is_reload_due
        self._is_upgrade_due = state.is_upgrade_due
        self._terminal = state.terminal
        self._closing = ClosingWords(self._pool, log, state.terminal, state.started_at, say)
        self._is_ready = False
        self._has_served = self._is_upgrade  # there may be records to write
        self._failure: str | None = None
        self._exit_code = 0
        self._stopping = asyncio.Event()
        # Set when every slot serves, or when the workers of an upgrade have failed to start.
        self._startup_done = asyncio.Event()
        self._job_lock = asyncio.Lock()  # reloads and upgrades run one at a time
        self._jobs: set[asyncio.Task[None]] = set()
        self._pending: Counter[_Job] = Counter()  # jobs that have not started
        self._watcher: Watcher | None = None
        self._reloader = Reloader(
            source,
            self._pool,
            state.memory,
            log,
            notifier,
            running_config=state.running_config,
            base=state.base,
            adjustments=state.adjustments,
        )
        self._are_workers_gone = False
        host = Host(self._exclusively, self._add_job, self._drain, self._stop_at_once)
        self._management = Management(
            management, self._pool, state.memory, self._reloader, log, host
        )

    async def run(self) -> int:
        """Serve until a signal ends it; return the exit code. Call it in the main thread.

        Raises WorkersFailed when no worker could be started. On return every worker is reaped.
        """
        self._loop = asyncio.get_running_loop()
        handlers: dict[int, Callable[[], object]] = {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGHUP: self._on_sighup,
            signal.SIGUSR2: self._on_upgrade,
            signal.SIGCHLD: self._reap,
        }
        for number, handler in handlers.items():
            self._loop.add_signal_handler(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_SIGNALS)
        try:
            async with asyncio.TaskGroup() as manager_tasks:
                self._manager_tasks = manager_tasks
                self._pool.credentials.start(manager_tasks)
                await self._run_workers()
                await self._pool.credentials.stop()
                self._are_workers_gone = True
                if self._has_served:  # perhaps before all workers were ready
                    self._management.start(manager_tasks)
                await self._management.stop()
        finally:
            for number in handlers:
                self._loop.remove_signal_handler(number)
            self._close()
        if self._failure is not None:
            raise WorkersFailed(self._failure)
        was_ready = self._is_ready or self._is_upgrade
        self._closing.stopped(self._exit_code, was_ready=was_ready)
        return self._exit_code

    async def _run_workers(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._polling = tasks.create_task(self._closing.poll())
            for worker in self._pool.workers:
                tasks.create_task(self._pool.monitor(worker))
            for slot in range(len(self._slots)):
                tasks.create_task(self._run_slot(slot), name=f"slot-{slot}")
            if self._is_reload_due:
                self._reload_by_signal()
            if self._is_upgrade_due:
                self._on_upgrade()
            self._check_terminal()  # SIGHUP was ignored until now

    def stop(self) -> None:
        """Drain all workers; when called again, stop them at once."""
        if self._are_workers_gone:
            self._management.kill()  # nothing else is left to wait for
        elif self._pool.shutdown is None:
            limit_s = self._pool.snapshot.config.server.timeouts.drain_s
            workers = len(self._pool.workers)
            self._log.event("info", "draining", limit_s=limit_s, workers=workers)
            asked = self._pool.ask_stats()  # before they drain
            self._tasks.create_task(self._closing.stopping(asked, limit_s))
            self._shut_down(Drain(limit_s), kill_after_s=limit_s + DRAIN_GRACE_S)
        else:
            self._exit_code = 1
            self._force()

    async def stats(self) -> list[dict[str, int]]:
        """Counters of every worker that is ready; one that exits meanwhile is left out."""
        return await self._pool.stats()

    def _drain(self) -> None:
        if self._pool.shutdown is None:
            self.stop()

    def _stop_at_once(self) -> None:
        # Asked for with all its consequences, unlike a second signal: exit code 0, since a service
        # manager that restarts after failures is not to bring the relay back.
        self._drain()
        if self._are_workers_gone:
            self._management.kill()
        else:
            self._force()

    def _force(self) -> None:
        self._log.event("warning", "forced_shutdown", workers=len(self._pool.workers))
        self._shut_down(Stop(), kill_after_s=STOP_GRACE_S)

    def _reap(self) -> None:
        self._pool.reap()
        self._management.reap()

    # ---- slots

    async def _run_slot(self, slot: int) -> None:
        early_exits = 0
        failed_starts = 0
        while not self._stopping.is_set():
            worker = self._spawn(slot)
            if isinstance(worker, Worker):
                await worker.slot_free.wait()
                if worker.is_draining:
                    continue  # a requested exit needs no backoff
                error, was_ready, lived_s = worker.exit_report()
            else:
                error, was_ready, lived_s = str(worker), False, 0.0
            early_exits = backoff.early_exits(early_exits, lived_s)
            failed_starts = 0 if was_ready else failed_starts + 1
            if failed_starts >= backoff.START_FAILURES_MAX and not self._is_ready:
                self._on_start_failures(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff.delay_s(early_exits))

    def _spawn(self, slot: int) -> Worker | OSError:
        try:
            worker = self._pool.spawn(slot, self._start_process, self._slots[slot])
        except OSError as error:  # out of memory or processes: the other workers go on serving
            self._log.event("error", "worker_spawn_failed", worker=slot, error=str(error))
            return error
        self._tasks.create_task(self._pool.monitor(worker), name=f"worker-{worker.process.pid}")
        self._management.workers_changed()
        return worker

    def _on_change(self) -> None:
        self._management.workers_changed()
        self._has_served = self._has_served or self._pool.slots_ready() > 0
        if self._pool.shutdown is not None:
            return
        if not self._is_ready and self._pool.slots_ready() == len(self._slots):
            self._on_all_ready()
        ready = self._pool.slots_ready()
        self._notifier.send(f"STATUS={ready} of {len(self._slots)} workers ready")

    def _on_all_ready(self) -> None:
        self._is_ready = True
        self._startup_done.set()
        self._notifier.send("READY=1")
        self._on_ready()
        config = self._pool.snapshot.config
        previous = [w for w in self._pool.workers if w.is_previous and not w.is_draining]
        self._pool.drain(previous, drain_limit_s(config))
        listeners.close([list(self._surplus)])
        self._watch()
        self._management.start(self._manager_tasks)

    def _on_start_failures(self, error: str) -> None:
        if not self._is_upgrade:
            self._failure = error
            self._shut_down(Stop(), kill_after_s=STOP_GRACE_S)
        elif not self._startup_done.is_set():
            # The previous workers go on serving; new ones are tried every second.
            self._startup_done.set()
            self._log.event("error", "upgrade_failed", error=error)
            self._notifier.send("READY=1")
            self._watch()  # the error may be fixed in the file
            self._management.start(self._manager_tasks)

    # ---- reload and upgrade

    def _on_sighup(self) -> None:
        if self._terminal.has_hung_up():
            self._on_terminal_closed()
            return
        self._reload_by_signal()
        # A shell that exits sends SIGHUP to its jobs, and the terminal is closed after that.
        self._loop.call_later(HANGUP_CHECK_S, self._check_terminal)

    def _check_terminal(self) -> None:
        if self._terminal.has_hung_up():
            self._on_terminal_closed()

    def _on_terminal_closed(self) -> None:
        # Shell and kernel both send the signal: the second one must not force the shutdown.
        if self._pool.shutdown is None:
            self._log.event("info", "terminal_closed")
            self.stop()

    def _reload_by_signal(self) -> None:
        if self._reloader.can_reload:
            self._submit("reload", self._reload("signal"))
        else:
            self._log.event("info", "reload_unavailable", reason=NO_FILE)

    def _on_file_event_in_thread(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._on_file_event)

    def _on_file_event(self) -> None:
        self._submit("check_file", self._reload("file"))

    def _on_watch_failed_in_thread(self, problem: str) -> None:
        with contextlib.suppress(RuntimeError):  # as above
            self._loop.call_soon_threadsafe(self._on_watch_failed, problem)

    def _on_watch_failed(self, problem: str) -> None:
        self._log.event(
            "warning",
            "watch_failed",
            problem=problem,
            hint="retrying every second; until it works, send SIGHUP after a change",
        )

    def _on_upgrade(self) -> None:
        if self._source is None:
            self._log.event("info", "upgrade_unavailable", reason="--demo cannot be upgraded")
        else:
            self._submit("upgrade", self._upgrade(self._source))

    def _submit(self, kind: _Job, job: Coroutine[object, object, None]) -> None:
        if self._stopping.is_set() or self._pending[kind]:
            job.close()  # a pending job of this kind will see the newest state
            return
        self._pending[kind] += 1
        self._add_job(self._run_exclusively(kind, job))

    def _add_job(self, job: Coroutine[object, object, None]) -> None:
        # What the manager asks for at the end may come when the workers' group is over.
        tasks = self._tasks if self._pool.shutdown is None else self._manager_tasks
        task = tasks.create_task(self._run_job(job))
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    async def _run_job(self, job: Coroutine[object, object, None]) -> None:
        try:
            await job
        except Exception as error:  # outermost shell: a failed job must not stop serving
            detail = "".join(traceback.format_exception(error))
            self._log.event("error", "internal_error", error=repr(error), where=detail)
        finally:
            job.close()

    @contextlib.asynccontextmanager
    async def _exclusively(self) -> AsyncIterator[None]:
        async with self._job_lock:
            await self._startup_done.wait()
            yield
            self._watch()

    async def _run_exclusively(self, kind: _Job, job: Coroutine[object, object, None]) -> None:
        try:
            async with self._exclusively():
                self._pending[kind] -= 1
                await job
        finally:
            job.close()

    async def _reload(self, trigger: Origin) -> None:
        await self._reloader.reload(trigger)

    def _watch(self) -> None:
        is_wanted = self._pool.snapshot.config.server.watch
        if self._watcher is not None and not is_wanted:
            self._watcher.join()
            self._watcher = None
        elif self._watcher is None and is_wanted and self._source and self._source.path:
            self._watcher = Watcher(
                self._source.path, self._on_file_event_in_thread, self._on_watch_failed_in_thread
            )
            self._watcher.start()

    async def _upgrade(self, source: Source) -> None:
        self._log.event("info", "upgrade_started")
        try:
            preflight_result = await preflight(source.path)
            notify_reloading(self._notifier)
            await self._management.stop(is_end=False)  # the new image starts one of its own
            await self._pool.credentials.stop()
            await self._wait_for_exits()
            replace_image(
                self._pool,
                self._slots,
                self._memory,
                preflight_result,
                listen=self._listen,
                # A pending check_file is not handed over: the new image checks the file anyway.
                is_reload_due=self._pending["reload"] > 0,
                is_upgrade_due=self._pending["upgrade"] > 0,
                terminal=self._terminal,
                is_file_unnamed=source.is_unnamed,
                started_at=self._closing.started_at,
                log=self._log,
                adjustments=self._reloader.adjustments,
                doors=self._management.doors_handover(),
                started_at_ms=self._management.started_at_ms,
            )
        except (UpgradeFailed, OSError) as error:
            self._log.event("error", "upgrade_failed", error=str(error))
            self._notifier.send("READY=1")
        finally:  # reached only when the exec failed, or was called off: some process has to write
            self._management.start(self._manager_tasks)
            self._pool.credentials.start(self._manager_tasks)

    async def _wait_for_exits(self) -> None:
        try:
            await asyncio.wait_for(self._pool.wait_for_exits(), EXIT_WAIT_S)
        except TimeoutError:
            raise UpgradeFailed(f"workers were still exiting after {EXIT_WAIT_S:g} s") from None

    # ---- shutdown

    def _shut_down(self, command: Drain | Stop, *, kill_after_s: float) -> None:
        self._stopping.set()
        self._polling.cancel()
        self._notifier.send("STOPPING=1", f"STATUS={type(command).__name__.lower()}")
        self._pool.shut_down(command)
        self._management.workers_changed()  # who watches sees that it drains
        for job in self._jobs:
            job.cancel()
        if self._watcher is not None:
            self._watcher.stop()
        # These are copies of the workers' sockets: while one is open, the kernel goes on queueing
        # connections that no worker will accept.
        listeners.close([*self._slots, list(self._surplus)])
        self._loop.call_later(kill_after_s, self._pool.kill)

    def _close(self) -> None:
        self._pool.close()
        self._management.close()
        listeners.close([*self._slots, list(self._surplus)])
        self._memory.close()
        if self._watcher is not None:
            self._watcher.join()
