"""Keeps one credentials process alive."""

from collections.abc import Callable

from ccrelay.runtime.credentials_link import (
    CredentialsBeat,
    CredentialsFailed,
    CredentialsReady,
    CredentialsStart,
    CredentialsStop,
    FromCredentials,
    Issued,
    Told,
)
from ccrelay.runtime.process_keeper import KeeperLimits, ProcessKeeper
from ccrelay.runtime.processes import WorkerProcess
from ccrelay.types import LogSink
from ccrelay.wire.cloud_credential import IssuedCredential


class CredentialsKeeper(ProcessKeeper[FromCredentials]):
    """Keeps one credentials process. Create it inside a running loop.

    Args:
        start_process: starts a process that waits for CredentialsStart; may raise OSError.
        make_start: CredentialsStart, by how many processes before it have died.
        log: receives the credentials_* events, and those that the process tells.
        on_issued: called with credentials.
    """

    name = "credentials"
    kind = FromCredentials
    # Its heartbeat comes every second; importing a library holds the interpreter's lock at times.
    limits = KeeperLimits(start_s=20.0, hang_s=5.0, stop_s=1.0, delay_max_s=30.0)
    hint = "workers use the credentials that they have; another process is started"

    def __init__(
        self,
        start_process: Callable[[], WorkerProcess],
        make_start: Callable[[int], CredentialsStart],
        log: LogSink,
        on_issued: Callable[[list[IssuedCredential]], None],
    ) -> None:
        super().__init__(start_process, make_start, list, log)
        self._on_issued = on_issued

    def stop_message(self) -> CredentialsStop:
        """It has nothing to finish."""
        return CredentialsStop()

    def log_started(self, level: str, **fields: object) -> None:
        """As `credentials_started`."""
        self._log.event(level, "credentials_started", **fields)

    def log_died(self, **fields: object) -> None:
        """As `credentials_died`."""
        self._log.event("error", "credentials_died", **fields)

    def on_message(self, message: FromCredentials) -> str:
        """Pass on what was issued, log what is told."""
        match message:
            case CredentialsReady():
                self.mark_ready()
            case CredentialsFailed(error, detail):
                self._log.event("debug", "credentials_start_failed", detail=detail or error)
                return error
            case CredentialsBeat():
                pass
            case Issued(issued):
                self._on_issued(issued)
            case Told(level, event, fields):
                self._log.event(level, event, **fields)
        return ""
