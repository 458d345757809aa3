"""Take a changed configuration while requests run, or change nothing.

read --wrong--> reload_failed      (nothing has changed)
  |
  v
compare --same--> reload_unchanged
  |
  v
every worker builds it, then swaps --one cannot--> all are given the one before, reload_failed
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
from ccrelay.runtime.crew import Crew, Snapshot
from ccrelay.runtime.memory import Memory
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.source import Source
from ccrelay.types import LogSink

Why = Literal["signal", "file"]
Value = TypeVar("Value")

HALF_UPGRADED = (
    "the upgrade before has not succeeded: the workers that serve keep their configuration, those "
    "that are tried get this one"
)


class Reloader:
    """Reloads, one at a time.

    Args:
        source: where to read from.
        crew: who gets it.
        memory: where the new layout is taken from.
        log: where everything is told.
        notifier: told RELOADING and READY, see sd_notify(3).
        started: what listeners, processes and logs were made with: they are as before until a
            restart.
    """

    def __init__(
        self,
        source: Source,
        crew: Crew,
        memory: Memory,
        log: LogSink,
        notifier: Notifier,
        *,
        started: Config,
    ) -> None:
        self._source = source
        self._crew = crew
        self._memory = memory
        self._log = log
        self._notifier = notifier
        self._started = started
        self._has_failed = False  # the attempt before; its end is told, too

    async def reload(self, why: Why) -> None:
        """Do it, unless a file event brought no new content. Problems are logged, not raised."""
        if why == "file":
            digest = await _in_thread(self._source.digest)
            if digest == self._source.seen:
                self._log.event("debug", "reload_unchanged", why=why)
                return
            if digest is None:
                self._lose_sight()
                return
        tell_reloading(self._notifier)
        try:
            await self._reload(why)
        except ConfigError as error:
            for problem in error.problems:  # its warnings will be told when it can be used
                if problem.severity == "error":
                    self._fail(str(problem))
        except ControlError as error:
            self._fail(str(error))
        finally:
            self._notifier.send("READY=1")

    async def _reload(self, why: Why) -> None:
        loaded = await _in_thread(self._source.load)
        before = self._crew.snapshot
        diff = changes(before.config, loaded.config)
        if diff.is_empty:
            self._stay(why, self._memory.clear_cooldown(before.layout) if why == "signal" else 0)
            return
        snapshot = Snapshot(loaded.config, self._memory.layout(loaded.config))
        try:
            failed = await self._crew.reload(snapshot)
        except ControlError:
            self._memory.layout(before.config)
            raise
        if not failed:
            self._succeed(why, diff, loaded, self._memory.clear_cooldown(snapshot.layout))
            return
        for member, error in failed.items():
            self._fail(error, worker=member.slot)
        await self._go_back(before.config)

    async def _go_back(self, config: Config) -> None:
        # Everyone, also those who failed: a slot may be another one this time.
        snapshot = Snapshot(config, self._memory.layout(config))
        if stuck := await self._crew.reload(snapshot):
            self._crew.retire(stuck, drain_limit_s(config))

    def _lose_sight(self) -> None:
        self._source.seen = None  # so this is told once, and what comes back is read
        self._has_failed = True
        self._log.event(
            "warning",
            "config_unreadable",
            file=str(self._source.path),
            next="the configuration read last stays in force until the file is back",
        )

    def _stay(self, why: Why, pardoned: int) -> None:
        if self._crew.is_half_upgraded:
            self._fail(HALF_UPGRADED)
            return
        level = "info" if why == "signal" or self._has_failed else "debug"
        self._has_failed = False
        self._log.event(level, "reload_unchanged", why=why, pardoned=pardoned or None)

    def _succeed(self, why: Why, diff: Diff, loaded: Loaded, pardoned: int) -> None:
        if self._crew.is_half_upgraded:
            self._fail(HALF_UPGRADED)
            return
        self._has_failed = False
        fields = {
            "providers_added": diff.providers_added,
            "providers_removed": diff.providers_removed,
            "providers_changed": diff.providers_changed,
            "keys_added": diff.keys_added,
            "keys_removed": diff.keys_removed,
            "settings": diff.settings,
            "pardoned": pardoned,
        }
        told = {name: value for name, value in fields.items() if value}
        self._log.event("info", "reloaded", why=why, **told)
        for warning in loaded.warnings:
            self._log.event("warning", "config_warning", problem=str(warning))
        if waiting := changes(self._started, loaded.config).needs_restart:
            self._log.event(
                "warning",
                "reload_needs_restart",
                settings=waiting,
                next="send SIGUSR2 to this process: it replaces all processes without a gap",
            )

    def _fail(self, problem: str, **fields: object) -> None:
        self._has_failed = True
        self._log.event("error", "reload_failed", problem=problem, **fields)


async def _in_thread(call: Callable[[], Value]) -> Value:
    """`asyncio.to_thread`, but the end of this process does not wait for a `${cmd:...}` in it."""
    done: concurrent.futures.Future[Value] = concurrent.futures.Future()
    done.set_running_or_notify_cancel()  # from here on its outcome is welcome, and may be ignored

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:  # outermost shell of the thread: the caller is told
            done.set_exception(error)

    threading.Thread(target=run, name="ccrelay-load", daemon=True).start()
    return await asyncio.wrap_future(done)


def tell_reloading(notifier: Notifier) -> None:
    """Say so to the service manager, with the instant it asks for: sd_notify(3), RELOADING=1."""
    notifier.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def drain_limit_s(config: Config) -> float:
    """How long an exchange may take at most, by this configuration."""
    own = [provider.timeouts.total_s for provider in config.providers if provider.timeouts]
    return max([config.routing.timeouts.total_s, *own])
