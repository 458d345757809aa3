"""The control channel between supervisor and manager: messages over a socketpair.

    supervisor                                manager
      ManagerStart + descriptors -->
                                            <-- ManagerReady, then Heartbeat again and again
                                                | ManagerFailed(error, detail)
      ConfigChanged, ReloadProblem,
        WorkersChanged -->
                                            <-- a command with an `id`
      Reply(id, ...) -->
      ManagerStop -->

Frames are those of `ccrelay.runtime.control`. The descriptors of the shared memory, the Unix socket
and the TCP listener are sent with the first byte of ManagerStart, in this order, and behind them
those of memories that older workers still write records to. A manager exits when its supervisor
closes the channel.
"""

from typing import Literal

import msgspec

from ccrelay.config.model import Config
from ccrelay.config.overrides import Override
from ccrelay.fleet.layout import Layout

WorkerState = Literal["starting", "serving", "draining"]
# How a configuration came into force.
Origin = Literal["start", "signal", "file", "apply", "rollback", "override"]


class WorkerInfo(msgspec.Struct, frozen=True):
    """One worker process."""

    slot: int
    pid: int
    column: int  # of the shared memory; -1: it uses an older memory
    state: WorkerState
    started_at_ms: int


class SignInCode(msgspec.Struct, frozen=True):
    """A code that signs a browser in to the web page, once: that of the banner.

    Args:
        code: the secret.
        expires_at_ms: when it ends, since 1970.
    """

    code: str
    expires_at_ms: int


class ManagerStart(msgspec.Struct, tag="manager_start", frozen=True):
    """The first message to a manager; carries descriptors.

    Args:
        config: in force, overrides included.
        layout: slots of the shared memory.
        listen: addresses of the data plane, HOST:PORT.
        config_file: path; empty: none.
        pid: of the supervisor.
        started_at_ms: of the supervisor, since 1970.
        restarts: how often a manager before it died, hung, or could not be started.
        fingerprint_key: that of the supervisor.
        socket: path of the Unix socket whose listener is passed.
        http_listen: address of the TCP listener that is passed; empty: none is.
        workers: all of them.
        overrides: in force, oldest first.
        origin: how the text of the file came into force.
        digest: SHA-256 of that text, hexadecimal; empty: not known.
        reload_problem: why the last reload changed nothing; empty: it did not fail.
        sign_in: the code of the banner; None: it has none.
    """

    config: Config
    layout: Layout
    listen: list[str]
    config_file: str
    pid: int
    started_at_ms: int
    restarts: int
    fingerprint_key: bytes
    socket: str
    http_listen: str
    workers: list[WorkerInfo]
    overrides: list[Override]
    origin: Origin = "start"
    digest: str = ""
    reload_problem: str = ""
    sign_in: SignInCode | None = None


class ConfigChanged(msgspec.Struct, tag="config_changed", frozen=True):
    """Another configuration is in force.

    `config_file` is its path, empty: there is none; `digest` as in ManagerStart.
    """

    config: Config
    layout: Layout
    overrides: list[Override]
    origin: Origin
    warnings: list[str] = []
    config_file: str = ""
    digest: str = ""


class ReloadProblem(msgspec.Struct, tag="reload_problem", frozen=True):
    """A reload changed nothing, and why; empty: what was wrong is mended, nothing else changed."""

    problem: str


class WorkersChanged(msgspec.Struct, tag="workers_changed", frozen=True):
    """All workers, as they are now."""

    workers: list[WorkerInfo]


class Reply(msgspec.Struct, tag="reply", frozen=True):
    """The result of a command.

    Args:
        id: of the command.
        error: one sentence; empty: it was done.
        is_refused: the error is about what was asked, not about the relay.
        changed: whether anything differs now.
        warnings: what a reload warned of, and settings that need a restart.
        previous: the log level before.
        stats: counters of every worker.
        running: exchanges under way, a `ccrelay.ledger.running.RunningList` of each worker.
        limit_s: the time to drain.
        values: variables of the environment.
    """

    id: int
    error: str = ""
    is_refused: bool = False
    changed: bool = False
    warnings: list[str] = []
    previous: str = ""
    stats: list[dict[str, int]] = []
    running: list[bytes] = []
    limit_s: float = 0.0
    values: dict[str, str] = {}


class ManagerStop(msgspec.Struct, tag="manager_stop", frozen=True):
    """Write what there is, and exit."""


class ManagerReady(msgspec.Struct, tag="manager_ready", frozen=True):
    """The doors are open. `listen` is the address for browsers and scrapers."""


class ManagerFailed(msgspec.Struct, tag="manager_failed", frozen=True):
    """The manager could not start and exits; `error` is one line, `detail` a traceback."""

    error: str
    detail: str


class Heartbeat(msgspec.Struct, tag="heartbeat", frozen=True):
    """The manager's loop runs."""


class ReloadCommand(msgspec.Struct, tag="reload_command", frozen=True):
    """Load the file again and wait until all workers use it."""

    id: int
    origin: Origin = "signal"


class DrainCommand(msgspec.Struct, tag="drain_command", frozen=True):
    """As SIGTERM."""

    id: int


class StopCommand(msgspec.Struct, tag="stop_command", frozen=True):
    """As a second SIGTERM."""

    id: int


class LogLevelCommand(msgspec.Struct, tag="log_level_command", frozen=True):
    """Change `logging.level` in all processes."""

    id: int
    level: str


class OverridesCommand(msgspec.Struct, tag="overrides_command", frozen=True):
    """Use exactly these overrides from now on, and wait until all workers do."""

    id: int
    overrides: list[Override]


class StatsCommand(msgspec.Struct, tag="stats_command", frozen=True):
    """Ask for the counters of every worker.

    `running`: instead of them for so many exchanges under way of each worker, the oldest.
    """

    id: int
    running: int = 0


class EnvironmentCommand(msgspec.Struct, tag="environment_command", frozen=True):
    """Ask for variables of the relay: these, and those that a keychain needs.

    Refused where there is a configuration file: what is in it is all that a manager has to know.
    """

    id: int
    names: list[str]


Command = (
    ReloadCommand
    | DrainCommand
    | StopCommand
    | LogLevelCommand
    | OverridesCommand
    | StatsCommand
    | EnvironmentCommand
)
ToManager = ManagerStart | ConfigChanged | ReloadProblem | WorkersChanged | Reply | ManagerStop
FromManager = ManagerReady | ManagerFailed | Heartbeat | Command
