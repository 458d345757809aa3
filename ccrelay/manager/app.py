"""The manager's parts, put together: state, ledger, services, doors."""

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ccrelay._fast.record_ring import RecordReader
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.control.methods import Service
from ccrelay.control.server import ControlServer
from ccrelay.control.token_file import TokenProblem, load_token
from ccrelay.ledger.record import Record
from ccrelay.manager.books import LedgerBooks
from ccrelay.manager.clock import Clock
from ccrelay.manager.config_service import ConfigService
from ccrelay.manager.config_text import ConfigText
from ccrelay.manager.errors import Link
from ccrelay.manager.facts import Averages, LedgerFacts, Sums, WindowsOf
from ccrelay.manager.probe import Prober
from ccrelay.manager.providers_service import ProvidersService
from ccrelay.manager.relay_service import RelayService, Statuses, is_same
from ccrelay.manager.routing_service import RoutingService
from ccrelay.manager.running import RunningExchanges
from ccrelay.manager.scrape import Scrape
from ccrelay.manager.setup_service import SetupService
from ccrelay.manager.sign_in import SignInLinks
from ccrelay.manager.state import RelayState
from ccrelay.manager.status_line import StatusLine
from ccrelay.manager.tail import TailHub
from ccrelay.manager.watch import Broadcast
from ccrelay.runtime.manager_link import ConfigChanged, ManagerStart, ToManager
from ccrelay.store.ledger import Ledger
from ccrelay.types import LogSink
from ccrelay.upstream.tasks import TaskSet
from ccrelay.v1 import (
    config_pb2,
    config_pb2_grpc,
    providers_pb2,
    providers_pb2_grpc,
    relay_pb2,
    relay_pb2_grpc,
    routing_pb2,
    routing_pb2_grpc,
    setup_pb2,
    setup_pb2_grpc,
)

PULSE_S = 1.0
GRACE_S = 0.5  # calls under way may end for so long


class Served(NamedTuple):
    """A service, as `control.methods.Service` takes it."""

    name: str
    servicer: Any
    add_to_server: Callable[[Any, Any], None]
    descriptor: Any


AnyServed = tuple[str, Any, Callable[[Any, Any], None], Any]
"""A service of another room: the members of `Served`."""


class Doors(Protocol):
    """What lets clients in: `control.server.ControlServer`."""

    async def start(self) -> None:
        """Serve. Raises OSError."""

    async def close(self, grace_s: float) -> None:
        """Accept no more, let calls under way end for so long."""


class Books(Protocol):
    """The ledger with all that reads and writes it."""

    @property
    def ledger(self) -> Ledger | None:
        """Where exchanges are kept; None: nowhere."""

    @property
    def tail(self) -> TailHub:
        """The last exchanges."""

    @property
    def sums(self) -> Sums | None:
        """Sums by key; None: nothing is kept."""

    @property
    def windows(self) -> WindowsOf | None:
        """Allowances that response headers told."""

    @property
    def today(self) -> Averages | None:
        """Times of today by key."""

    def state(self) -> relay_pb2.Ledger:
        """How it is."""

    def services(self, running: RunningExchanges) -> Sequence[AnyServed]:
        """Exchanges and Usage. `running`: exchanges under way."""

    def routes(self) -> Mapping[str, Any]:
        """Handlers of GET."""

    def add_sink(self, sink: Callable[[Sequence[Record]], None]) -> None:
        """Tell all records to one more, from the next one on."""

    async def start(self) -> None:
        """Open the file, and read the rings."""

    def on_message(self, message: ToManager) -> None:
        """What the supervisor tells."""

    async def close(self) -> None:
        """Write what there is."""


MakeDoors = Callable[[Sequence[Served], Mapping[str, Any]], Doors]


class App:
    """All of the manager but its process.

    Args:
        start: the first message of the supervisor.
        link: to it.
        log: of the process.
        memory_fd: of the shared memory; stays open as long as this lives.
        unix_listener: for the command line; None: there is none.
        tcp_listener: for browsers and scrapers; None: there is none.
        older_fds: of memories to which workers of earlier images write their records.
        books: the ledger; None: that of the configuration.
        make_doors: makes what lets clients in, of services and routes; None: the control server.
    """

    def __init__(
        self,
        start: ManagerStart,
        link: Link,
        log: LogSink,
        memory_fd: int,
        unix_listener: socket.socket | None,
        tcp_listener: socket.socket | None,
        older_fds: Sequence[int] = (),
        *,
        books: Books | None = None,
        make_doors: MakeDoors | None = None,
        env: Mapping[str, str] = os.environ,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._start = start
        self._log = log
        self._memory_fd = memory_fd
        self._listeners = (unix_listener, tcp_listener)
        self._env = env
        self._tasks = TaskSet(loop, self._failed)
        self._make_doors = make_doors or self._control_server
        self._doors: Doors | None = None
        self._control: ControlServer | None = None
        clock = Clock()
        memory = SharedMemory(memory_fd)
        self._books: Books = books if books is not None else self._ledger_books(memory, older_fds)
        facts = LedgerFacts(self._books.sums, self._books.windows, clock, self._books.today)
        self.state = RelayState(start, memory, clock, facts, self._books.state)
        self.text = ConfigText(self.state, link, self._tasks, env)
        self._sign_in = SignInLinks(self.state, env, log)
        self._statuses = Statuses(self.state, facts, link)
        self._broadcast = Broadcast(self._statuses.compute, is_same, self._tasks)
        statuses = self._statuses
        self._scrape = Scrape(start.config, log, env, statuses.refresh, statuses.compute)
        self._books.add_sink(self._scrape.observe)
        self._running = RunningExchanges(link, clock)
        self._status_line = StatusLine(
            self.state, facts, self._books.ledger, self._books.tail, self._running
        )
        self._link = link
        self._rng = random.Random()

    async def start(self) -> None:
        """Open the ledger, then the doors. Raises OSError."""
        await self._books.start()
        await self.text.note(self._start.origin, self._start.digest)
        others = [Served(*service) for service in self._books.services(self._running)]
        services = [*self._services(), *others]
        routes = {
            **self._books.routes(),
            **self._scrape.routes(),
            **self._status_line.routes(),
        }
        self._doors = self._make_doors(services, routes)
        await self._doors.start()
        self._tasks.spawn(self._pulse(), "pulse")

    def on_message(self, message: ToManager) -> None:
        """Take over what the supervisor tells."""
        self.state.on_message(message)
        self._books.on_message(message)
        self._scrape.on_message(message)
        if isinstance(message, ConfigChanged):
            self.text.use(message.config_file)
            self.text.note_soon(message.origin, message.digest)

    async def close(self) -> None:
        """Close the doors, write what there is. May be called again."""
        doors, self._doors = self._doors, None
        if doors is not None:
            await doors.close(GRACE_S)
        await self._tasks.cancel_all()
        await self._books.close()
        await self._scrape.close()  # with what the books have still read

    def _services(self) -> list[Served]:
        prober = Prober(self._env)
        relay = RelayService(
            self.state, self._statuses, self._broadcast, self._link, self.text, self._sign_in
        )
        providers = ProvidersService(
            self.state,
            self._statuses,
            self._broadcast,
            self._link,
            self.text,
            prober,
            self._tasks,
            self._log,
        )
        routing = RoutingService(self.state, self._memory_fd, self._rng, self._books.ledger)
        config = ConfigService(self.state, self.text)
        setup = SetupService(self.state, self.text, self._link, self._tasks)
        return [
            _served(relay_pb2, "Relay", relay, relay_pb2_grpc),
            _served(providers_pb2, "Providers", providers, providers_pb2_grpc),
            _served(routing_pb2, "Routing", routing, routing_pb2_grpc),
            _served(config_pb2, "Config", config, config_pb2_grpc),
            _served(setup_pb2, "Setup", setup, setup_pb2_grpc),
        ]

    async def _pulse(self) -> None:
        """What has to be noticed between calls, and fetched for those who watch."""
        while True:
            await asyncio.sleep(PULSE_S)
            self.state.look()
            if self.state.token_problem:
                self._load_token()
            if self._broadcast.watchers:
                await self._statuses.refresh()

    def _ledger_books(self, memory: SharedMemory, older_fds: Sequence[int]) -> Books:
        def rings(one: SharedMemory) -> tuple[str, list[RecordReader]]:
            readers = [RecordReader(one, column) for column in range(one.workers)]
            return one.identity, readers

        older = []
        for fd in older_fds:
            with contextlib.suppress(ValueError, OSError):  # one of another version
                older.append(rings(SharedMemory(fd)))
        config = self._start.config
        made: Books = LedgerBooks(
            config, *rings(memory), self._log, self._env, older=older, pid=self._start.pid
        )
        return made

    def _control_server(self, services: Sequence[Served], routes: Mapping[str, Any]) -> Doors:
        management = self._start.config.management
        tls = None
        if management.tls_cert and management.tls_key:
            files = (management.tls_cert, management.tls_key)
            tls = (os.path.expanduser(files[0]), os.path.expanduser(files[1]))
        unix, tcp = self._listeners

        def made(tcp: socket.socket | None) -> ControlServer:
            return ControlServer(
                [Service(*service) for service in services],
                unix=unix,
                tcp=tcp,
                token="",
                allowed_hosts=management.allowed_hosts,
                tls=tls if tcp is not None else None,
                routes=routes,
                log=self._log,
                page=self._sign_in.page if tcp is not None else None,
            )

        try:
            self._control = made(tcp)
        except OSError as error:  # ssl.SSLError, too
            if unix is None:
                raise
            self.state.tls_problem = (
                "management.tls_cert and tls_key cannot be used, so none is let in by "
                f"management.listen: {error.strerror or error}. Mend them, and restart the relay."
            )
            self._log.event("error", "management_tls_unusable", reason=str(error))
            tcp = None
            self._control = made(None)
        if tcp is not None:
            self._load_token()
        return self._control

    def _load_token(self) -> None:
        """Let clients in who have the token. The Unix socket goes on without one, so that
        `ccrelay status` can say what is wrong."""
        before = self.state.token_problem
        try:
            token, problem = load_token(self._env), ""
        except TokenProblem as error:
            token, problem = "", str(error)
        if self._control is not None:
            self._control.use_token(token)
        self.state.token_problem = problem
        if problem and problem != before:
            self._log.event(
                "error",
                "management_token_unusable",
                reason=problem,
                hint="until then none is let in by management.listen; requests are not affected",
            )

    def _failed(self, task: str, error: BaseException) -> None:
        self._log.event("error", "internal_error", task=task, error=repr(error))


def _served(messages: Any, name: str, servicer: Any, generated: Any) -> Served:
    return Served(
        f"ccrelay.v1.{name}",
        servicer,
        getattr(generated, f"add_{name}Servicer_to_server"),
        messages.DESCRIPTOR.services_by_name[name],
    )
