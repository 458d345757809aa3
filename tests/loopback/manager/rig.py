"""An App behind a real grpc.aio server on a Unix socket, with a supervisor as the real one.

All tests of a process share one loop: grpc.aio does not take several well.
"""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc
import msgspec

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.load import Found, load_found
from ccrelay.config.model import Config
from ccrelay.config.overrides import Override, apply_overrides
from ccrelay.config.problems import ConfigError
from ccrelay.fleet.layout import Layout
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.ledger.record import Record
from ccrelay.manager.app import AnyServed, App, Books, Served
from ccrelay.manager.revisions import digest_of
from ccrelay.manager.tail import TailHub
from ccrelay.runtime.manager_link import (
    Command,
    ConfigChanged,
    DrainCommand,
    LogLevelCommand,
    ManagerStart,
    OverridesCommand,
    ReloadCommand,
    ReloadProblem,
    Reply,
    StatsCommand,
    ToManager,
    WorkerInfo,
)
from ccrelay.v1 import (
    config_pb2_grpc,
    providers_pb2_grpc,
    relay_pb2,
    relay_pb2_grpc,
    routing_pb2_grpc,
    setup_pb2_grpc,
)

Value = TypeVar("Value")
_runner: asyncio.Runner | None = None


class NoBooks:
    """Nothing is kept, and nothing is read."""

    ledger = None
    tail = TailHub()
    sums = None
    windows = None
    today = None

    def state(self) -> relay_pb2.Ledger:
        """Off."""
        return relay_pb2.Ledger(state=relay_pb2.Ledger.STATE_OFF)

    def services(self, running: Any) -> Sequence[AnyServed]:
        """None."""
        return ()

    def routes(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def add_sink(self, sink: Callable[[Sequence[Record]], None]) -> None:
        """Nothing is read, so there is nothing to tell."""

    async def start(self) -> None:
        """Do nothing."""

    def on_message(self, message: ToManager) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


CONFIG = """\
providers:
  - name: one
    type: anthropic
    base_url: http://127.0.0.1:9
    keys:
      - key: sk-test-a
        name: a
      - key: sk-test-b
        name: b
        rpm_limit: 50
  - name: two   # the second
    type: compatible
    base_url: http://127.0.0.1:9
    models: [glm-5]
    keys:
      - {key: sk-test-c, name: c}
routing:
  strategy: failover
"""


def run(work: Coroutine[Any, Any, Value]) -> Value:
    """Run on the loop of this process."""
    global _runner
    if _runner is None:
        _runner = asyncio.Runner()
    return _runner.run(asyncio.wait_for(work, 60))


class Log:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append((level, name, fields))

    def exchange(self, entry: object) -> None:
        raise AssertionError


class Supervisor:
    """Answers commands as the real one does."""

    def __init__(self, file: Path | None, config: Config, layout: Layout) -> None:
        self.file = file
        self.base = config
        self.digest = "" if file is None else digest_of(file.read_bytes())
        self.overrides: list[Override] = []
        self.layout = layout
        self.commands: list[Command] = []
        self.app: App | None = None
        self.fails_with = ""  # the next reload
        self.delay_s = 0.0
        self.queued = 0
        self.is_silent = False

    @property
    def config(self) -> Config:
        return apply_overrides(self.base, self.overrides)

    async def call(self, command: Command) -> Reply:
        self.commands.append(command)
        await asyncio.sleep(self.delay_s)
        if self.is_silent:
            return Reply(0, error="the supervisor is gone: this relay has ended")
        match command:
            case ReloadCommand():
                return self._reload(command)
            case OverridesCommand():
                self.overrides = list(command.overrides)
                self._changed("override")
                return Reply(1, changed=True)
            case LogLevelCommand():
                return Reply(1, previous="info")
            case StatsCommand():
                return Reply(1, stats=[{"queued": self.queued}, {"queued": 1}])
            case DrainCommand():
                return Reply(1, limit_s=3600.0)
            case _:
                return Reply(1)

    def _reload(self, command: ReloadCommand) -> Reply:
        problem, self.fails_with = self.fails_with, ""
        try:
            assert self.file is not None
            loaded = load_found(Found(self.file))
        except ConfigError as error:
            problem = str(error)
        else:
            if not problem:
                is_changed = loaded.config != self.base
                self.base, self.digest = loaded.config, loaded.digest
                self._changed(command.origin)
                return Reply(
                    1,
                    changed=is_changed,
                    warnings=[*map(str, loaded.warnings), "a warning of the reload"],
                )
        assert self.app is not None
        self.app.on_message(ReloadProblem(problem))
        return Reply(1, error=problem, is_refused=True)

    def _changed(self, origin: Any) -> None:
        assert self.app is not None
        known = {provider.name for provider in self.config.providers}
        if known - self.layout.targets.keys():
            self.layout = Layout.of(self.config)
        message = ConfigChanged(
            self.config, self.layout, list(self.overrides), origin, digest=self.digest
        )
        self.app.on_message(message)


class Doors:
    """A plain grpc.aio server."""

    def __init__(self, path: str, services: Sequence[Served], routes: Mapping[str, Any]) -> None:
        self.server = grpc.aio.server()
        for service in services:
            service.add_to_server(service.servicer, self.server)
        self.server.add_insecure_port(f"unix:{path}")

    async def start(self) -> None:
        await self.server.start()

    async def close(self, grace_s: float) -> None:
        await self.server.stop(grace_s)


class Rig:
    """What a test gets."""

    def __init__(
        self, app: App, supervisor: Supervisor, memory: SharedMemory, fd: int, log: Log
    ) -> None:
        self.app = app
        self.log = log
        self.supervisor = supervisor
        self.memory = memory  # as worker 0 has it
        self.fd = fd
        self.relay: Any = None
        self.providers: Any = None
        self.routing: Any = None
        self.config: Any = None
        self.setup: Any = None

    def worker(self, name: str) -> ProviderState:
        """A provider as a worker has it."""
        config = self.supervisor.config
        provider = next(one for one in config.providers if one.name == name)
        layout = self.supervisor.layout
        return ProviderState(
            provider,
            config.health,
            memory=self.memory,
            slots=layout.targets[name],
            endpoint_slot=layout.endpoints[name],
        )


@contextlib.asynccontextmanager
async def rig(
    folder: Path,
    text: str = CONFIG,
    *,
    has_file: bool = True,
    name: str = "ccrelay.yaml",
    books: Books | None = None,
    env: dict[str, str] | None = None,
    **start: Any,
) -> AsyncIterator[Rig]:
    """An App that serves."""
    file = folder / name
    file.write_text(text)
    file.chmod(0o600)
    config = load_found(Found(file)).config
    layout = Layout.of(config)
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    SharedMemory.format(fd, workers=2, targets=64, endpoints=64, bindings=64)
    supervisor = Supervisor(file if has_file else None, config, layout)
    message = ManagerStart(
        config=config,
        layout=layout,
        listen=["127.0.0.1:8787"],
        config_file=str(file) if has_file else "",
        pid=1234,
        started_at_ms=1_000,
        restarts=0,
        fingerprint_key=b"",
        socket="/run/x.sock",
        http_listen="",
        workers=[WorkerInfo(0, 55, 0, "serving", 2_000)],
        overrides=[],
        digest=supervisor.digest,
    )
    message = msgspec.structs.replace(message, **start)
    sockets = tempfile.mkdtemp(prefix="ccrelay-rig-")  # a path for AF_UNIX has to be short
    path = f"{sockets}/s"
    log = Log()
    app = App(
        message,
        supervisor,
        log,
        fd,
        None,
        None,
        books=books if books is not None else NoBooks(),
        make_doors=lambda services, routes: Doors(path, services, routes),
        env={"HOME": str(folder / "home"), **(env or {})},
    )
    supervisor.app = app
    made = Rig(app, supervisor, SharedMemory(fd, 0), fd, log)
    await app.start()
    try:
        async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
            made.relay = relay_pb2_grpc.RelayStub(channel)
            made.providers = providers_pb2_grpc.ProvidersStub(channel)
            made.routing = routing_pb2_grpc.RoutingStub(channel)
            made.config = config_pb2_grpc.ConfigStub(channel)
            made.setup = setup_pb2_grpc.SetupStub(channel)
            yield made
    finally:
        await app.close()
        await app.close()
        os.close(fd)
        shutil.rmtree(sockets)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    """Code and message of a call that must fail."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    raise AssertionError("the call was answered")
