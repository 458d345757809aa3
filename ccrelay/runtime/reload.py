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

What was set at run time (`ccrelay.runtime.adjustments`) is applied to what the file says, and a
change of it goes the same way.
"""

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable
from typing import TypeVar, get_args

import msgspec

from ccrelay.config.diff import Diff, changes
from ccrelay.config.load import Loaded
from ccrelay.config.model import Config, Level
from ccrelay.config.overrides import Override
from ccrelay.config.problems import ConfigError, Problem
from ccrelay.runtime.adjustments import Adjustments, describe, judge
from ccrelay.runtime.control import ControlError
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.manager_link import Origin
from ccrelay.runtime.memory import MemoryAllocator
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.source import Source
from ccrelay.runtime.worker_pool import ConfigSnapshot, Worker, WorkerPool
from ccrelay.types import LogSink

Value = TypeVar("Value")

NO_FILE = "there is no configuration file"
UPGRADE_INCOMPLETE = (
    "the last upgrade did not complete: the running workers keep their configuration, new ones "
    "start with this one"
)


class ReloadResult(msgspec.Struct, frozen=True):
    """How a change of the configuration went.

    Args:
        error: why nothing changed, one sentence; empty: it did not fail.
        is_refused: the error is in what was asked.
        changed: whether another configuration is in force now.
        warnings: of the check, and settings that need a restart.
        previous: the log level before, where that was asked for.
    """

    error: str = ""
    is_refused: bool = False
    changed: bool = False
    warnings: list[str] = []
    previous: str = ""


class ReloadObserver:
    """Is told what comes of reloads; this one ignores it."""

    def config_changed(self, origin: Origin, warnings: list[str]) -> None:
        """Another configuration is in force."""

    def reload_problem(self, problem: str) -> None:
        """A reload has failed; empty: one that did not change anything has not."""


class Reloader:
    """Changes the configuration in force. Calls must not overlap.

    Args:
        source: where the configuration is loaded from; None, or without a path: nowhere.
        pool: the workers that receive it.
        memory: assigns slots to its targets and endpoints.
        log: receives the reload events; follows `logging.level`.
        notifier: sends RELOADING and READY, see sd_notify(3).
        running_config: what listeners, processes and logs were created with; these settings change
            with a restart or an upgrade only.
        base: what the file says; None: the configuration in force.
        adjustments: what was set at run time, applied already.

    `digest`: SHA-256 of the file's text that is in force, hexadecimal; empty: there is none. The
    file itself may hold another one by now, with mistakes.
    """

    def __init__(
        self,
        source: Source | None,
        pool: WorkerPool,
        memory: MemoryAllocator,
        log: LogSink,
        notifier: Notifier,
        *,
        running_config: Config,
        base: Config | None = None,
        adjustments: Adjustments | None = None,
    ) -> None:
        self._source = source
        self._pool = pool
        self._memory = memory
        self._log = log
        self._notifier = notifier
        self._running_config = running_config
        self.base = base or pool.snapshot.config
        self.adjustments = adjustments or Adjustments()
        last = None if source is None else source.last_digest
        self.digest = "" if last is None else last.hex()
        self.observer = ReloadObserver()
        self._last_failed = False  # then an unchanged file is worth an info event

    @property
    def can_reload(self) -> bool:
        """Whether there is a file, or has come one since the start."""
        return self._source is not None and bool(self._source.path or self._source.appeared())

    @property
    def file(self) -> str:
        """Path of the configuration file; empty: there is none."""
        return "" if self._source is None or self._source.path is None else str(self._source.path)

    @property
    def overrides(self) -> list[Override]:
        """Those in force, oldest first."""
        return self.adjustments.overrides

    async def reload(self, trigger: Origin) -> ReloadResult:
        """Reload, unless the trigger is "file" and the content is the same. Problems are logged.

        Without a file, one that has come since the start is taken over, if it can be loaded.
        """
        if self._source is None:
            return ReloadResult(f"{NO_FILE} to reload", is_refused=True)
        is_first = self._source.path is None
        if is_first and not self._source.adopt():
            return ReloadResult(f"{NO_FILE} to reload", is_refused=True)
        result = await self._reload_from(self._source, trigger, is_first)
        if is_first and result.error:
            self._source.path = None
        return result

    async def _reload_from(self, source: Source, trigger: Origin, is_first: bool) -> ReloadResult:
        if trigger == "file":
            digest = await _in_thread(source.digest)
            if digest == source.last_digest:
                self._log.event("debug", "reload_unchanged", trigger=trigger)
                return ReloadResult()
            if digest is None:
                return self._on_unreadable(source)
        notify_reloading(self._notifier)
        try:
            return await self._reload(source, trigger, is_first)
        except ConfigError as error:
            # Its warnings are logged once it is in force.
            problems = [str(p) for p in error.problems if p.severity == "error"]
            for problem in problems:
                self._on_failure(problem)
            more = f" (and {len(problems) - 1} more, in the log)" if problems[1:] else ""
            return ReloadResult(f"{problems[0] if problems else error}{more}", is_refused=True)
        except ControlError as error:
            return self._on_failure(str(error))
        finally:
            self._notifier.send("READY=1")

    async def set_overrides(self, overrides: list[Override]) -> ReloadResult:
        """Use exactly these from now on. Refused ones change nothing."""
        judgement = judge(self.base, overrides, self.overrides)
        if judgement.problem:
            return ReloadResult(judgement.problem, is_refused=True)
        words = describe(self.base, self.overrides, overrides)
        adjustments = msgspec.structs.replace(self.adjustments, overrides=overrides)
        if error := await self._adjust(adjustments, judgement.warnings):
            return ReloadResult(error)
        if words:
            self._log.event("info", "overrides_changed", changes=words)
        return ReloadResult(changed=bool(words), warnings=judgement.warnings)

    async def set_log_level(self, level: str) -> ReloadResult:
        """Log from this level on in all processes, until the file says another one."""
        previous = self._pool.snapshot.config.logging.level
        if level not in get_args(Level):
            levels = ", ".join(get_args(Level))
            return ReloadResult(f"there is no such log level; there are {levels}", is_refused=True)
        adjustments = msgspec.structs.replace(self.adjustments, log_level=level)
        if error := await self._adjust(adjustments, []):
            return ReloadResult(error)
        if level != previous:
            self._log.event("info", "log_level_changed", to=level, previous=previous)
        return ReloadResult(changed=level != previous, previous=previous)

    async def _adjust(self, adjustments: Adjustments, warnings: list[str]) -> str:
        """Put it in force; why that failed, empty: it did not."""
        if self._pool.is_upgrade_incomplete:
            return UPGRADE_INCOMPLETE
        try:
            failed = await self._put_in_force(adjustments.apply(self.base))
        except (ConfigError, ControlError) as error:
            return str(error)
        if failed:
            return next(iter(failed.values()))
        self.adjustments = adjustments
        self.observer.config_changed("override", warnings)
        return ""

    async def _reload(self, source: Source, trigger: Origin, is_first: bool) -> ReloadResult:
        is_signalled = trigger == "signal" or is_first
        loaded = await _in_thread(lambda: source.load(is_signalled=is_signalled))
        adjustments = self._adjustments_over(loaded.config)
        config = adjustments.apply(loaded.config)
        previous = self._pool.snapshot
        diff = changes(previous.config, config)
        if diff.is_empty:
            is_news = is_first or loaded.digest != self.digest  # other comments are another text
            self._take_over(loaded, adjustments)
            cleared = self._memory.clear_refused(previous.layout) if is_signalled else 0
            if is_signalled:
                self._memory.forget_refused_features(previous.layout.targets)
            result = self._on_unchanged(trigger, cleared)
            if is_news and not result.error:
                self.observer.config_changed(trigger, list(map(str, loaded.warnings)))
            return result
        failed = await self._put_in_force(config)
        if failed:
            for worker, error in failed.items():
                self._on_failure(error, worker=worker.slot)
            return ReloadResult(next(iter(failed.values())))
        self._take_over(loaded, adjustments)
        cleared = self._memory.clear_refused(self._pool.snapshot.layout)
        touched = {*diff.providers_removed, *diff.providers_changed}
        touched |= diff.keys_added.keys() | diff.keys_removed.keys()
        self._memory.forget_refused_features(previous.layout.targets if is_signalled else touched)
        return self._on_success(trigger, diff, loaded, cleared)

    def _take_over(self, loaded: Loaded, adjustments: Adjustments) -> None:
        self.base, self.adjustments, self.digest = loaded.config, adjustments, loaded.digest

    def _adjustments_over(self, config: Config) -> Adjustments:
        """Those that stay over a file that says something else.

        Raises ConfigError when it cannot be used with the overrides.
        """
        adjustments = self.adjustments
        if config.logging.level != self.base.logging.level:
            adjustments = msgspec.structs.replace(adjustments, log_level="")
        if problem := judge(config, adjustments.overrides, adjustments.overrides).problem:
            overrides = ", ".join(describe(config, [], adjustments.overrides))
            message = f"{problem}, with what was set at run time: {overrides}"
            raise ConfigError([Problem(message=message)])
        return adjustments

    async def _put_in_force(self, config: Config) -> dict[Worker, str]:
        """Send a configuration to all workers; when one fails, return to the previous one.

        Returns the workers that failed. Raises ConfigError and ControlError; nothing has changed
        then.
        """
        previous = self._pool.snapshot
        snapshot = ConfigSnapshot(config, self._memory.assign_layout(config))
        try:
            failed = await self._pool.reload(snapshot)
        except ControlError:
            self._memory.assign_layout(previous.config)
            raise
        if failed:
            await self._roll_back(previous.config)
        elif isinstance(self._log, LogWriter):
            self._log.set_level(config.logging.level)
        return failed

    async def _roll_back(self, config: Config) -> None:
        # All workers, the failed ones too: a slot may have changed.
        snapshot = ConfigSnapshot(config, self._memory.assign_layout(config))
        if failed := await self._pool.reload(snapshot):
            self._pool.drain(failed, drain_limit_s(config))

    def _on_unreadable(self, source: Source) -> ReloadResult:
        source.last_digest = None  # logged once, and the file is loaded when it is back
        self._last_failed = True
        self._log.event(
            "warning",
            "config_unreadable",
            file=str(source.path),
            hint="the running configuration stays in force until the file is readable",
        )
        problem = f"{source.path} is missing or unreadable"
        self.observer.reload_problem(problem)
        return ReloadResult(problem, is_refused=True)

    def _on_unchanged(self, trigger: Origin, cooldowns_cleared: int) -> ReloadResult:
        if self._pool.is_upgrade_incomplete:
            return self._on_failure(UPGRADE_INCOMPLETE)
        level = "info" if trigger == "signal" or self._last_failed else "debug"
        self._last_failed = False
        self._log.event(
            level, "reload_unchanged", trigger=trigger, cooldowns_cleared=cooldowns_cleared or None
        )
        self.observer.reload_problem("")
        return ReloadResult()

    def _on_success(
        self, trigger: Origin, diff: Diff, loaded: Loaded, cooldowns_cleared: int
    ) -> ReloadResult:
        if self._pool.is_upgrade_incomplete:
            return self._on_failure(UPGRADE_INCOMPLETE)
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
        warnings = list(map(str, loaded.warnings))
        for warning in warnings:
            self._log.event("warning", "config_warning", problem=warning)
        if fixed := changes(self._running_config, loaded.config).needs_restart:
            self._log.event(
                "warning",
                "reload_needs_restart",
                settings=fixed,
                hint="send SIGUSR2 to this process for an upgrade without downtime",
            )
            warnings.append(f"{', '.join(fixed)}: in force after an upgrade (SIGUSR2) or a restart")
        self.observer.config_changed(trigger, warnings)
        return ReloadResult(changed=True, warnings=warnings)

    def _on_failure(self, problem: str, **fields: object) -> ReloadResult:
        self._last_failed = True
        self._log.event("error", "reload_failed", problem=problem, **fields)
        self.observer.reload_problem(problem)
        return ReloadResult(problem)


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
