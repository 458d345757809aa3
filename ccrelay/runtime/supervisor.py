"""The supervisor: keeps one worker in every slot, reloads, upgrades, drains, and ends with them.

    STARTING --all slots ready--> SERVING --SIGTERM, SIGINT--> DRAINING --all gone--> end, 0
        |                         |  |  |                          |
        |                         |  |  +-- SIGHUP, file: reload   +-- second signal: end at once, 1
        |                         |  +-- SIGUSR2: STARTING again, as a new image
        +-- 5 failed starts: end  +-- a worker dies: replaced

One task keeps a slot filled; one more attends to each worker until it has been reaped. Nothing
here reads client bytes.
"""

import asyncio
import contextlib
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Literal, TypeAlias

from ccrelay.runtime import listeners, restarts
from ccrelay.runtime.control import Drain, Stop
from ccrelay.runtime.crew import Crew, Member
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.processes import WorkerProcess
from ccrelay.runtime.reload import Reloader, Why, drain_limit_s, tell_reloading
from ccrelay.runtime.source import Source
from ccrelay.runtime.upgrade import HELD_BACK, Estate, UpgradeFailed, rehearse, replace_image
from ccrelay.runtime.watch import Watcher

DRAIN_GRACE_S = 5.0  # beyond the drain limit: workers cut by themselves, this is for a stuck one
STOP_GRACE_S = 1.0  # from Stop to SIGKILL
SETTLE_S = 10.0  # for one that is ending crew.CLOSE_GRACE_S would do

_Chore: TypeAlias = Literal["reload", "look", "upgrade"]  # look: has the file changed?


class WorkersFailed(Exception):
    """No worker could be started. The message is the last worker's error."""


class Supervisor:
    """Runs the workers of one `ccrelay serve`. Make it inside the loop.

    Args:
        estate: configuration, listening sockets, memory; closed by `run`.
        log: where starts, deaths and endings are told.
        notifier: the service manager, told READY, RELOADING and STOPPING.
        on_ready: called once, when every slot serves.
        recruit: starts a worker process.
        source: where the configuration came from; None: it cannot be read again.
    """

    def __init__(
        self,
        estate: Estate,
        log: LogWriter,
        *,
        notifier: Notifier,
        on_ready: Callable[[], None],
        recruit: Callable[[], WorkerProcess],
        source: Source | None = None,
    ) -> None:
        self._slots = estate.slots
        self._listen = estate.listen
        self._surplus = estate.surplus
        self._memory = estate.memory
        self._log = log
        self._notifier = notifier
        self._on_ready = on_ready
        self._recruit = recruit
        self._source = source
        self._crew = Crew(estate.snapshot, estate.memory, log, self._on_change)
        self._crew.members.update(estate.old)
        self._is_upgrade = bool(estate.old)
        self._is_reload_due = estate.is_reload_due
        self._is_upgrade_due = estate.is_upgrade_due
        self._is_announced = False
        self._failure: str | None = None
        self._exit_code = 0
        self._stopping = asyncio.Event()
        # Every slot serves, or the workers of an upgrade have failed often enough.
        self._settled = asyncio.Event()
        self._turn = asyncio.Lock()  # one reload or upgrade at a time
        self._chores: set[asyncio.Task[None]] = set()
        self._waiting: Counter[_Chore] = Counter()  # those of them whose turn has not come
        self._watcher: Watcher | None = None
        self._reloader: Reloader | None = None
        if source is not None and source.path is not None:
            self._reloader = Reloader(
                source, self._crew, estate.memory, log, notifier, started=estate.started
            )

    async def run(self) -> int:
        """Serve until a signal ends it; return the exit code. Call it in the main thread.

        Raises WorkersFailed when no worker could be started. No worker is left afterwards.
        """
        self._loop = asyncio.get_running_loop()
        handlers: dict[int, Callable[[], object]] = {
            signal.SIGTERM: self.stop,
            signal.SIGINT: self.stop,
            signal.SIGHUP: self._on_hangup,
            signal.SIGUSR2: self._on_upgrade,
            signal.SIGCHLD: self._crew.reap,
        }
        for number, handler in handlers.items():
            self._loop.add_signal_handler(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for member in self._crew.members:
                    tasks.create_task(self._crew.attend(member))
                for slot in range(len(self._slots)):
                    tasks.create_task(self._keep(slot), name=f"slot-{slot}")
                if self._is_reload_due:
                    self._on_hangup()
                if self._is_upgrade_due:
                    self._on_upgrade()
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
        if self._crew.order is None:
            limit_s = self._crew.snapshot.config.server.timeouts.drain_s
            workers = len(self._crew.members)
            self._log.event("info", "draining", limit_s=limit_s, workers=workers)
            self._give(Drain(limit_s), kill_after_s=limit_s + DRAIN_GRACE_S)
        else:
            self._log.event("warning", "stopping_at_once", workers=len(self._crew.members))
            self._exit_code = 1
            self._give(Stop(), kill_after_s=STOP_GRACE_S)

    async def stats(self) -> list[dict[str, int]]:
        """Counters of every worker that is ready; one that dies meanwhile is left out."""
        return await self._crew.stats()

    # ---- slots

    async def _keep(self, slot: int) -> None:
        quick_deaths = 0
        failed_starts = 0
        while not self._stopping.is_set():
            member = self._hire(slot)
            if isinstance(member, Member):
                await member.vacated.wait()
                if member.is_leaving:
                    continue  # it was asked to go: that is no death
                error, is_started, lived_s = member.ending()
            else:
                error, is_started, lived_s = str(member), False, 0.0
            quick_deaths = restarts.quick_deaths(quick_deaths, lived_s)
            failed_starts = 0 if is_started else failed_starts + 1
            if failed_starts >= restarts.BOOT_FAILURES_MAX and not self._is_announced:
                self._fail(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), restarts.pause_s(quick_deaths))

    def _hire(self, slot: int) -> Member | OSError:
        try:
            member = self._crew.hire(slot, self._recruit, self._slots[slot])
        except OSError as error:  # no memory, no process left: what serves already goes on
            self._log.event("error", "worker_not_started", worker=slot, error=str(error))
            return error
        self._tasks.create_task(self._crew.attend(member), name=f"worker-{member.process.pid}")
        return member

    def _on_change(self) -> None:
        if self._crew.order is not None:
            return
        if not self._is_announced and self._crew.slots_ready() == len(self._slots):
            self._announce()
        ready = self._crew.slots_ready()
        self._notifier.send(f"STATUS={ready} of {len(self._slots)} workers ready")

    def _announce(self) -> None:
        self._is_announced = True
        self._settled.set()
        self._notifier.send("READY=1")
        self._on_ready()
        config = self._crew.snapshot.config
        old = [m for m in self._crew.members if m.is_old and not m.is_leaving]
        self._crew.retire(old, drain_limit_s(config))
        listeners.close([list(self._surplus)])
        self._watch()

    def _fail(self, error: str) -> None:
        if not self._is_upgrade:
            self._failure = error
            self._give(Stop(), kill_after_s=STOP_GRACE_S)
        elif not self._settled.is_set():
            # The old ones serve on. New ones are tried on, once a second.
            self._settled.set()
            self._log.event("error", "upgrade_failed", error=error)
            self._notifier.send("READY=1")
            self._watch()  # what was wrong may be mended in the file

    # ---- reload and upgrade

    def _on_hangup(self) -> None:
        if self._reloader is None:
            self._log.event("info", "nothing_to_reload", why="there is no configuration file")
        else:
            self._begin("reload", self._reload(self._reloader, "signal"))

    def _on_file_event_in_thread(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._on_file_event)

    def _on_file_event(self) -> None:
        if self._reloader is not None:
            self._begin("look", self._reload(self._reloader, "file"))

    def _on_watch_failed_in_thread(self, problem: str) -> None:
        with contextlib.suppress(RuntimeError):  # as above
            self._loop.call_soon_threadsafe(self._on_watch_failed, problem)

    def _on_watch_failed(self, problem: str) -> None:
        self._log.event(
            "warning",
            "watch_failed",
            problem=problem,
            next="it is tried again every second; until then send SIGHUP after a change",
        )

    def _on_upgrade(self) -> None:
        if self._source is None:
            self._log.event("info", "nothing_to_upgrade", why="the demo ends with its process")
        else:
            self._begin("upgrade", self._upgrade(self._source))

    def _begin(self, what: _Chore, chore: Coroutine[object, object, None]) -> None:
        if self._stopping.is_set() or self._waiting[what]:
            chore.close()  # one that waits already will see what is there by then
            return
        self._waiting[what] += 1
        task = self._tasks.create_task(self._contain(what, chore))
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _contain(self, what: _Chore, chore: Coroutine[object, object, None]) -> None:
        try:
            async with self._turn:
                await self._settled.wait()
                self._waiting[what] -= 1
                await chore
        except Exception as error:  # outermost shell: serving goes on whatever happens here
            detail = "".join(traceback.format_exception(error))
            self._log.event("error", "internal_error", error=repr(error), where=detail)
        finally:
            chore.close()

    async def _reload(self, reloader: Reloader, why: Why) -> None:
        await reloader.reload(why)
        self._watch()

    def _watch(self) -> None:
        is_wanted = self._crew.snapshot.config.server.watch
        if self._watcher is not None and not is_wanted:
            self._watcher.join()
            self._watcher = None
        elif self._watcher is None and is_wanted and self._source and self._source.path:
            self._watcher = Watcher(
                self._source.path, self._on_file_event_in_thread, self._on_watch_failed_in_thread
            )
            self._watcher.start()

    async def _upgrade(self, source: Source) -> None:
        self._log.event("info", "upgrading")
        try:
            prepared = await rehearse(source.path)
            tell_reloading(self._notifier)
            await self._settle()
            replace_image(
                self._crew,
                self._slots,
                self._memory,
                prepared,
                listen=self._listen,
                # What a file event was about is found anyway: the new image looks at the file.
                is_reload_due=self._waiting["reload"] > 0,
                is_upgrade_due=self._waiting["upgrade"] > 0,
                log=self._log,
            )
        except (UpgradeFailed, OSError) as error:
            self._log.event("error", "upgrade_failed", error=str(error))
            self._notifier.send("READY=1")

    async def _settle(self) -> None:
        try:
            await asyncio.wait_for(self._crew.settled(), SETTLE_S)
        except TimeoutError:
            raise UpgradeFailed(f"workers were still ending after {SETTLE_S:g} s") from None

    # ---- the end

    def _give(self, order: Drain | Stop, *, kill_after_s: float) -> None:
        self._stopping.set()
        self._notifier.send("STOPPING=1", f"STATUS={type(order).__name__.lower()}")
        self._crew.give(order)
        for chore in self._chores:
            chore.cancel()
        if self._watcher is not None:
            self._watcher.stop()
        # Ours are copies of the workers' sockets: while one is open, the kernel goes on queueing
        # connections that nobody will answer.
        listeners.close([*self._slots, list(self._surplus)])
        self._loop.call_later(kill_after_s, self._crew.kill)

    def _abandon(self) -> None:
        self._crew.abandon()
        listeners.close([*self._slots, list(self._surplus)])
        self._memory.close()
        if self._watcher is not None:
            self._watcher.join()
