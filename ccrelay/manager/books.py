"""The ledger with all that reads and writes it, put together for the manager."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ccrelay.config.model import Config, Provider
from ccrelay.ledger.prices import PRICES_VERSION
from ccrelay.ledger.record import Record
from ccrelay.manager.convert import totals_of
from ccrelay.manager.exchanges_service import ExchangesService
from ccrelay.manager.records import OPEN_WAIT_S, RecordPump, Ring
from ccrelay.manager.running import RunningExchanges
from ccrelay.manager.tail import TailHub
from ccrelay.manager.today import Today
from ccrelay.manager.usage_service import UsageService
from ccrelay.manager.windows import Windows
from ccrelay.runtime.manager_link import ConfigChanged, ToManager
from ccrelay.store.ledger import Ledger
from ccrelay.store.opening import default_path
from ccrelay.store.zones import local_zone
from ccrelay.types import LogSink
from ccrelay.upstream.tasks import TaskSet
from ccrelay.v1 import (
    exchanges_pb2,
    exchanges_pb2_grpc,
    providers_pb2,
    relay_pb2,
    usage_pb2,
    usage_pb2_grpc,
)

NO_PLACE = (
    "neither HOME, XDG_STATE_HOME nor STATE_DIRECTORY is set, so there is no place for the ledger: "
    "set ledger.path"
)


class Offered(NamedTuple):
    """A service, with what a server needs to offer it."""

    name: str
    servicer: Any
    add_to_server: Callable[[Any, Any], None]
    descriptor: Any


class DaySums:
    """Sums of today by key, from memory."""

    def __init__(self, today: Today) -> None:
        self._today = today

    async def totals(self, since_ms: int) -> Mapping[tuple[str, str], providers_pb2.Totals]:
        """Sums since local midnight by provider and fingerprint; `since_ms` is that midnight."""
        return {key: totals_of(sums) for key, sums in self._today.by_key().items()}


class LedgerBooks:
    """Rings, ledger, windows, sums of today and the two services.

    Call `start` in the loop of the manager. Changes of `ledger.keep_days` apply at once, of
    `ledger.path` and `ledger.enabled` with the next start.

    Args:
        config: in force.
        memory: identity of the shared memory.
        rings: those of its columns.
        log: of the process.
        env: environment.
        older: memories that workers of earlier images use: identity and rings.
        pid: of the relay, for another one that has the same ledger; 0: of this process.
    """

    def __init__(
        self,
        config: Config,
        memory: str,
        rings: Sequence[Ring],
        log: LogSink,
        env: Mapping[str, str] = os.environ,
        older: Sequence[tuple[str, Sequence[Ring]]] = (),
        pid: int = 0,
    ) -> None:
        self._config = config
        self._log = log
        self._tasks: TaskSet | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        path = config.ledger.path or default_path(env)
        self._problem = "" if path or not config.ledger.enabled else NO_PLACE
        self.ledger: Ledger | None = None
        if config.ledger.enabled and path:
            path = os.path.expanduser(path)
            self.ledger = Ledger(path, config.ledger.keep_days, on_event=self._event, owner=pid)
        self.tail = TailHub()
        self.windows = Windows(time.time)
        self.today = Today(time.time, local_zone)
        self.sums = DaySums(self.today)
        self.pump = RecordPump(
            memory,
            rings,
            ledger=self.ledger,
            tail=self.tail,
            windows=self.windows,
            today=self.today,
            on_event=self._event,
            older=older,
        )

    def state(self) -> relay_pb2.Ledger:
        """How the ledger is."""
        if self.ledger is None:
            return relay_pb2.Ledger(
                state=relay_pb2.Ledger.STATE_FAILING if self._problem else _OFF,
                problem=self._problem,
                dropped=self.pump.dropped,
                prices_version=PRICES_VERSION,
            )
        found = self.ledger.state()
        is_failing = found.condition == "failing"
        return relay_pb2.Ledger(
            state=relay_pb2.Ledger.STATE_FAILING if is_failing else relay_pb2.Ledger.STATE_OK,
            path=found.path,
            bytes=_size_of(found.path),
            written=found.written,
            dropped=self.pump.dropped + found.skipped,
            pending=self.pump.waiting + found.pending,
            problem=found.problem,
            prices_version=PRICES_VERSION,
        )

    def services(self, running: RunningExchanges) -> Sequence[Offered]:
        """Exchanges and Usage. `running`: exchanges under way."""
        exchanges = ExchangesService(self.ledger, self.tail, self._providers, running)
        usage = UsageService(self.ledger, self._providers)
        return (
            Offered(
                "ccrelay.v1.Exchanges",
                exchanges,
                exchanges_pb2_grpc.add_ExchangesServicer_to_server,
                exchanges_pb2.DESCRIPTOR.services_by_name["Exchanges"],
            ),
            Offered(
                "ccrelay.v1.Usage",
                usage,
                usage_pb2_grpc.add_UsageServicer_to_server,
                usage_pb2.DESCRIPTOR.services_by_name["Usage"],
            ),
        )

    def routes(self) -> Mapping[str, Any]:
        """Handlers of GET: none."""
        return {}

    def add_sink(self, sink: Callable[[Sequence[Record]], None]) -> None:
        """Tell all records to one more, from the next one on."""
        self.pump.sinks.append(sink)

    async def start(self) -> None:
        """Open the file in the background, and read the rings.

        Waits for the sums of today, so that no caller is told that there are none; not for a file
        that cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        self._tasks = TaskSet(self._loop, self._failed)
        if self.ledger is not None:
            self.ledger.start()
        self._tasks.spawn(self.pump.run(), "records")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_WAIT_S):
                await self.pump.has_started.wait()

    def on_message(self, message: ToManager) -> None:
        """Take over what the supervisor tells."""
        if isinstance(message, ConfigChanged):
            self._config = message.config
            if self.ledger is not None:
                self.ledger.keep(message.config.ledger.keep_days)

    async def close(self) -> None:
        """Write what there is, and close the file. May be called again."""
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return
        await tasks.cancel_all()
        await self.pump.finish()
        if self.ledger is not None:
            await self.ledger.stop()

    def _providers(self) -> Sequence[Provider]:
        return self._config.providers

    def _event(self, level: str, name: str, **fields: Any) -> None:
        """Log an event, from any thread."""
        if self._loop is None:
            self._log.event(level, name, **fields)
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(partial(self._log.event, level, name, **fields))

    def _failed(self, task: str, error: BaseException) -> None:
        self._log.event("error", "internal_error", task=task, error=repr(error))


_OFF = relay_pb2.Ledger.STATE_OFF


def _size_of(path: str) -> int:
    """The file with the log beside it, bytes."""
    size = 0
    for name in (path, f"{path}-wal"):
        with contextlib.suppress(OSError):
            size += os.stat(name).st_size
    return size
