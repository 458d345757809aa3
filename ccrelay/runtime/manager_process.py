"""Keeps one manager process alive."""

from collections.abc import Callable
from typing import Final

from ccrelay.runtime.manager_link import (
    Command,
    FromManager,
    Heartbeat,
    ManagerFailed,
    ManagerReady,
    ManagerStart,
    ManagerStop,
)
from ccrelay.runtime.process_keeper import KeeperLimits, ProcessKeeper
from ccrelay.runtime.processes import WorkerProcess
from ccrelay.types import LogSink

STOP_LIMIT_S: Final = 3.0  # from ManagerStop to SIGKILL: it writes its last records


class ManagerKeeper(ProcessKeeper[FromManager]):
    """Keeps one manager process. Create it inside a running loop.

    Args:
        start_process: starts a process that waits for ManagerStart; may raise OSError.
        make_start: ManagerStart, by how many managers before it have died.
        descriptors: what goes with it; they stay open here.
        log: receives the manager_* events.
        on_command: called with each command; `send` its Reply.
    """

    name = "manager"
    kind = FromManager
    # To start, it may have to migrate a ledger. Its heartbeat comes every 0.2 s.
    limits = KeeperLimits(start_s=20.0, hang_s=1.5, stop_s=STOP_LIMIT_S, delay_max_s=30.0)
    hint = "requests are not affected; another one is started"

    def __init__(
        self,
        start_process: Callable[[], WorkerProcess],
        make_start: Callable[[int], ManagerStart],
        descriptors: Callable[[], list[int]],
        log: LogSink,
        on_command: Callable[[Command], None],
    ) -> None:
        super().__init__(start_process, make_start, descriptors, log)
        self._on_command = on_command

    def stop_message(self) -> ManagerStop:
        """It writes what it has."""
        return ManagerStop()

    def log_started(self, level: str, **fields: object) -> None:
        """As `manager_started`."""
        self._log.event(level, "manager_started", **fields)

    def log_died(self, **fields: object) -> None:
        """As `manager_died`."""
        self._log.event("error", "manager_died", **fields)

    def on_message(self, message: FromManager) -> str:
        """Give commands to `on_command`."""
        match message:
            case ManagerReady():
                self.mark_ready()
            case ManagerFailed(error, detail):
                self._log.event("debug", "manager_start_failed", detail=detail)
                return error
            case Heartbeat():
                pass
            case command:
                self._on_command(command)
        return ""
