"""What the manager knows of the relay: the configuration in force, processes, the live state."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence

from ccrelay import __version__
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.overrides import Override
from ccrelay.manager.clock import Clock
from ccrelay.manager.file_values import FileTextValues
from ccrelay.manager.live import BreakerTimes, KeyFacts, LiveState
from ccrelay.manager.overrides import message as override_message
from ccrelay.runtime.manager_link import (
    ConfigChanged,
    ManagerStart,
    ReloadProblem,
    ToManager,
    WorkerInfo,
    WorkersChanged,
)
from ccrelay.v1 import providers_pb2, relay_pb2 as v1

LOCATED = ": warning: "  # as in `str(Problem)`


class RelayState:
    """The state that all services share; changed by messages of the supervisor only.

    Args:
        start: the first message.
        memory: of all workers.
        clock: both clocks.
        facts: what the ledger and response headers tell of keys.
        ledger: its state.
    """

    def __init__(
        self,
        start: ManagerStart,
        memory: SharedMemory,
        clock: Clock,
        facts: KeyFacts,
        ledger: Callable[[], v1.Ledger],
    ) -> None:
        self.start = start
        self.memory = memory
        self.clock = clock
        self.facts = facts
        self.ledger = ledger
        self.config = start.config
        self.layout = start.layout
        self.overrides: Sequence[Override] = start.overrides
        self.workers: Sequence[WorkerInfo] = start.workers
        self.reload_problem = start.reload_problem
        self.warnings: list[str] = []  # of the last reload
        self.text_problem = ""  # why revisions are not kept
        self.token_problem = ""  # why management.listen lets none in, until it is mended
        self.tls_problem = ""  # the same, until the next start
        self.file_values = FileTextValues("", is_toml=False)
        self.revision = 0
        self.http_listen = start.http_listen
        self.config_file = start.config_file
        self.queued = 0  # as the workers told last
        self.is_draining = False  # a client has asked for it
        self.today = providers_pb2.Totals()
        self._breakers = BreakerTimes()
        self._updated = asyncio.Event()
        self.live = LiveState(memory, self.config, self.layout, clock)

    def on_message(self, message: ToManager) -> None:
        """Take over what the supervisor tells."""
        if isinstance(message, ConfigChanged):
            self.config = message.config
            self.config_file = message.config_file or self.config_file
            self.layout = message.layout
            self.overrides = message.overrides
            if message.origin != "override":  # what needs a restart needs it still
                self.warnings = list(message.warnings)
            self.reload_problem = ""
            self.live = LiveState(self.memory, self.config, self.layout, self.clock)
        elif isinstance(message, ReloadProblem):
            self.reload_problem = message.problem
        elif isinstance(message, WorkersChanged):
            self.workers = message.workers
        updated, self._updated = self._updated, asyncio.Event()
        updated.set()

    async def until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Wait for messages until a condition holds; False: it did not in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while not condition():
                    await self._updated.wait()
        return condition()

    def look(self) -> dict[str, int]:
        """Notice breakers that have changed; since when each is as it is."""
        return self._breakers.look(self.live.providers, self.clock.now_ms())

    def providers(self) -> list[providers_pb2.Provider]:
        """All providers with their overrides, as of now."""
        messages = self.live.messages(self.facts, self.look())
        shown = [override_message(self.config, one, self.file_values) for one in self.overrides]
        for provider in messages:
            own = [one for one in shown if one.provider == provider.name]
            provider.overrides.extend(one for one in own if not one.key)
            for key in provider.keys:
                key.overrides.extend(one for one in own if one.key == key.fingerprint)
        return messages

    def remarks(self) -> list[str]:
        """What is to be said of the configuration in force, such as what needs a restart.

        Warnings at a place in the file are no news: `ccrelay config check` tells them.
        """
        found = [warning for warning in self.warnings if LOCATED not in warning]
        problems = [self.text_problem, self.token_problem, self.tls_problem]
        return [*found, *(problem for problem in problems if problem)]

    def provider(self, name: str) -> providers_pb2.Provider | None:
        """One provider, as of now; None: there is none of that name."""
        return next((one for one in self.providers() if one.name == name), None)

    def live_key(self, provider: str, key: str) -> providers_pb2.Key | None:
        """A key by its name or fingerprint, as of now, without overrides; None: there is none."""
        return self.live.key(provider, key, self.facts)

    def life(self) -> v1.Status.State:
        """What the relay does with requests, by its workers."""
        states = [worker.state for worker in self.workers]
        if self.is_draining or set(states) == {"draining"}:
            return v1.Status.STATE_DRAINING
        if "serving" not in states or "starting" in states:
            return v1.Status.STATE_STARTING
        return v1.Status.STATE_SERVING

    def head(self) -> v1.Status:
        """The status without providers and what follows from them."""
        start = self.start
        return v1.Status(
            version=__version__,
            pid=start.pid,
            started_at_ms=start.started_at_ms,
            listen=start.listen,
            config_file=os.path.abspath(self.config_file) if self.config_file else "",
            revision=self.revision,
            state=self.life(),
            workers=[
                v1.Worker(
                    slot=worker.slot,
                    pid=worker.pid,
                    state=worker.state,
                    started_at_ms=worker.started_at_ms,
                )
                for worker in sorted(self.workers, key=lambda worker: (worker.slot, worker.pid))
            ],
            in_flight=self.live.in_flight(),
            queued=self.queued,
            today=self.today,
            management=v1.Management(
                pid=os.getpid(),
                listen=self.http_listen,
                socket=start.socket,
                restarts=start.restarts,
                ledger=self.ledger(),
            ),
            at_ms=self.clock.now_ms(),
            strategy=self.config.routing.strategy,
            rules=len(self.config.routing.rules),
            reload_problem=self.reload_problem,
        )
