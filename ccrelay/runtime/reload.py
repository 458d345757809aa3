"""Apply a changed configuration while requests run; on any error the running one stays in force.

load --invalid--> reload_failed
  |
  v
compare --equal--> reload_unchanged
  |
  v
every worker builds it, then swaps --a worker fails--> roll back all workers, reload_failed
  |
  v
reloaded
"""

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

from ccrelay.config.diff import Diff, changes
from ccrelay.config.load import Loaded
from ccrelay.config.model import Config
from ccrelay.config.problems import ConfigError
from ccrelay.runtime.control import ControlError
from ccrelay.runtime.memory import MemoryAllocator
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.source import Source
from ccrelay.runtime.worker_pool import ConfigSnapshot, WorkerPool
from ccrelay.types import LogSink

Trigger = Literal["signal", "file"]
Value = TypeVar("Value")

UPGRADE_INCOMPLETE = (
    "the last upgrade did not complete: the running workers keep their configuration, new ones "
    "start with this one"
)


class Reloader:
    """Reloads the configuration. Calls of `reload` must not overlap.

    Args:
        source: where the configuration is loaded from.
        pool: the workers that receive it.
        memory: assigns slots to its targets and endpoints.
        log: receives the reload events.
        notifier: sends RELOADING and READY, see sd_notify(3).
        running_config: what listeners, processes and logs were created with; these settings change
            with a restart or an upgrade only.
    """

    def __init__(
        self,
        source: Source,
        pool: WorkerPool,
        memory: MemoryAllocator,
        log: LogSink,
        notifier: Notifier,
        *,
        running_config: Config,
    ) -> None:
        self._source = source
        self._pool = pool
        self._memory = memory
        self._log = log
        self._notifier = notifier
        self._running_config = running_config
        self._last_failed = False  # then an unchanged file is worth an info event

    async def reload(self, trigger: Trigger) -> None:
        """Reload, unless the trigger is "file" and the content is the same. Problems are logged."""
        if trigger == "file":
            digest = await _in_thread(self._source.digest)
            if digest == self._source.last_digest:
                self._log.event("debug", "reload_unchanged", trigger=trigger)
                return
            if digest is None:
                self._on_unreadable()
                return
        notify_reloading(self._notifier)
        try:
            await self._reload(trigger)
        except ConfigError as error:
            for problem in error.problems:  # its warnings are logged once it is in force
                if problem.severity == "error":
                    self._on_failure(str(problem))
        except ControlError as error:
            self._on_failure(str(error))
        finally:
            self._notifier.send("READY=1")

    async def _reload(self, trigger: Trigger) -> None:
        is_signalled = trigger == "signal"
        loaded = await _in_thread(lambda: self._source.load(is_signalled=is_signalled))
        previous = self._pool.snapshot
        diff = changes(previous.config, loaded.config)
        if diff.is_empty:
            self._on_unchanged(
                trigger, self._memory.clear_refused(previous.layout) if trigger == "signal" else 0
            )
            return
        snapshot = ConfigSnapshot(loaded.config, self._memory.assign_layout(loaded.config))
        try:
            failed = await self._pool.reload(snapshot)
        except ControlError:
            self._memory.assign_layout(previous.config)
            raise
        if not failed:
            self._on_success(trigger, diff, loaded, self._memory.clear_refused(snapshot.layout))
            return
        for worker, error in failed.items():
            self._on_failure(error, worker=worker.slot)
        await self._roll_back(previous.config)

    async def _roll_back(self, config: Config) -> None:
        # All workers, the failed ones too: a slot may have changed.
        snapshot = ConfigSnapshot(config, self._memory.assign_layout(config))
        if failed := await self._pool.reload(snapshot):
            self._pool.drain(failed, drain_limit_s(config))

    def _on_unreadable(self) -> None:
        self._source.last_digest = None  # logged once, and the file is loaded when it is back
        self._last_failed = True
        self._log.event(
            "warning",
            "config_unreadable",
            file=str(self._source.path),
            hint="the running configuration stays in force until the file is readable",
        )

    def _on_unchanged(self, trigger: Trigger, cooldowns_cleared: int) -> None:
        if self._pool.is_upgrade_incomplete:
            self._on_failure(UPGRADE_INCOMPLETE)
            return
        level = "info" if trigger == "signal" or self._last_failed else "debug"
        self._last_failed = False
        self._log.event(
            level, "reload_unchanged", trigger=trigger, cooldowns_cleared=cooldowns_cleared or None
        )

    def _on_success(
        self, trigger: Trigger, diff: Diff, loaded: Loaded, cooldowns_cleared: int
    ) -> None:
        if self._pool.is_upgrade_incomplete:
            self._on_failure(UPGRADE_INCOMPLETE)
            return
        self._last_failed = False
        fields = {
            "providers_added": diff.providers_added,
            "providers_removed": diff.providers_removed,
            "providers_changed": diff.providers_changed,
            "keys_added": diff.keys_added,
            "keys_removed": diff.keys_removed,
            "settings": diff.settings,
            "cooldowns_cleared": cooldowns_cleared,
        }
        shown = {name: value for name, value in fields.items() if value}
        self._log.event("info", "reloaded", trigger=trigger, **shown)
        for warning in loaded.warnings:
            self._log.event("warning", "config_warning", problem=str(warning))
        if fixed := changes(self._running_config, loaded.config).needs_restart:
            self._log.event(
                "warning",
                "reload_needs_restart",
                settings=fixed,
                hint="send SIGUSR2 to this process for an upgrade without downtime",
            )

    def _on_failure(self, problem: str, **fields: object) -> None:
        self._last_failed = True
        self._log.event("error", "reload_failed", problem=problem, **fields)


async def _in_thread(function: Callable[[], Value]) -> Value:
    """`asyncio.to_thread` with a daemon thread: exit does not wait for a `${cmd:...}`."""
    done: concurrent.futures.Future[Value] = concurrent.futures.Future()
    done.set_running_or_notify_cancel()  # so that a cancelled waiter cannot cancel it

    def run() -> None:
        try:
            done.set_result(function())
        except BaseException as error:  # outermost shell of the thread: re-raised by the await
            done.set_exception(error)

    threading.Thread(target=run, name="ccrelay-load", daemon=True).start()
    return await asyncio.wrap_future(done)


def notify_reloading(notifier: Notifier) -> None:
    """Send RELOADING=1 with the monotonic time that sd_notify(3) requires."""
    notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def drain_limit_s(config: Config) -> float:
    """The longest `total_s` of this configuration, seconds: no exchange runs longer."""
    own = [provider.timeouts.total_s for provider in config.providers if provider.timeouts]
    return max([config.routing.timeouts.total_s, *own])
