"""Worker processes: spawning, the environment they inherit, reaping.

Imports little: `ccrelay serve` starts the first worker before it loads anything else, so that both
processes import at the same time.
"""

import contextlib
import fcntl
import os
import signal
import socket
import sys
from collections.abc import Collection, Sequence

from ccrelay.runtime.worker_environment import (
    NEEDED_NAMES,
    PASSED_NAMES,
    PATH_VARIABLE,
    credentials_environment,
    manager_environment,
    worker_environment,
)

CONTROL_FD = 3  # the worker's end of the control channel
BLOCKED_UNTIL_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)
# Descriptors that one image of the supervisor passes to the next (`ccrelay.runtime.upgrade`).
HANDOVER_VARIABLE = "CCRELAY_HANDOVER"
PREFLIGHT_VARIABLE = "CCRELAY_PREFLIGHT"
NO_FILE_VARIABLE = "CCRELAY_NO_FILE"  # for a preflight: there is none, so search for none
PREFLIGHT_VARIABLE_0_2 = "CCRELAY_REHEARSAL"  # set by ccrelay 0.2, whose handover cannot be read

BOOTSTRAP = (
    f"import os, sys; sys.path[:] = os.environ.pop({PATH_VARIABLE!r}).split(os.pathsep); "
    "from ccrelay.{} import main; main()"
)
# Built-in options only: -m would import runpy, 3 ms.
WORKER_COMMAND: Sequence[str] = (sys.executable, "-P", "-c", BOOTSTRAP.format("runtime.worker"))
MANAGER_COMMAND: Sequence[str] = (sys.executable, "-P", "-c", BOOTSTRAP.format("manager.main"))
CREDENTIALS_COMMAND: Sequence[str] = (
    *(sys.executable, "-P", "-c"),
    BOOTSTRAP.format("credentials.main"),
)


class WorkerProcess:
    """The pid of a worker, or another process, and the supervisor's end of its control socket.

    `exit_code` is None until the process has been reaped, then its exit status, or minus the signal
    number.
    """

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control
        self.exit_code: int | None = None

    def reap(self) -> bool:
        """Collect the exit status if there is one. True when the process has ended."""
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return self.exit_code is not None

    def kill(self) -> None:
        """Send SIGKILL, unless it has been reaped: the pid may belong to another process by now."""
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close the socket, kill and reap; blocks until the process is gone. Idempotent."""
        self.control.close()
        if not self.reap():
            self.kill()
            _, status = os.waitpid(self.pid, 0)
            self.exit_code = os.waitstatus_to_exitcode(status)

    def __repr__(self) -> str:
        state = "running" if self.exit_code is None else describe_exit(self.exit_code)
        return f"<WorkerProcess pid={self.pid} {state}>"


class PreforkedWorkers:
    """Spawns processes; the first worker can be started before it is needed.

    Args:
        command: starts a worker process.
        manager_command: starts a manager process.
        credentials_command: starts a credentials process.
    """

    def __init__(
        self,
        command: Sequence[str] = WORKER_COMMAND,
        manager_command: Sequence[str] = MANAGER_COMMAND,
        credentials_command: Sequence[str] = CREDENTIALS_COMMAND,
    ) -> None:
        self._command = command
        self._credentials_command = credentials_command
        self._manager_command = manager_command
        self._first: WorkerProcess | None = None

    def prefork(self) -> None:
        """Start the first, so that it imports while the configuration is loaded. Raises OSError."""
        self._first = spawn_worker(self._command)

    def spawn(self, withheld: Collection[str] = ()) -> WorkerProcess:
        """The preforked process, else a new one. Raises OSError when none can be started.

        `withheld`: variables that the configuration refers to. The preforked process was started
        before it was known, and is not used if its environment has one.
        """
        if self._first is not None and self._has_any(withheld):
            self.close()
        process, self._first = self._first or spawn_worker(self._command, withheld), None
        return process

    def spawn_manager(self, withheld: Collection[str] = ()) -> WorkerProcess:
        """Start a manager process, which waits for ManagerStart. Raises OSError as `spawn`."""
        environment = manager_environment(os.environ, sys.path, withheld)
        return _spawn(self._manager_command, environment)

    def spawn_credentials(self, withheld: Collection[str] = ()) -> WorkerProcess:
        """Start a credentials process, which waits for CredentialsStart. Raises as `spawn`."""
        environment = credentials_environment(os.environ, sys.path, withheld)
        return _spawn(self._credentials_command, environment)

    def close(self) -> None:
        """Kill the preforked process if it is unused."""
        if self._first is not None:
            self._first.close()
            self._first = None

    def _has_any(self, withheld: Collection[str]) -> bool:
        return any(name in PASSED_NAMES - NEEDED_NAMES and name in os.environ for name in withheld)


def spawn_worker(
    command: Sequence[str] = WORKER_COMMAND, withheld: Collection[str] = ()
) -> WorkerProcess:
    """Start a worker process. It imports, then waits for Start on its control channel.

    Raises OSError when the system cannot start a process.
    """
    return _spawn(command, worker_environment(os.environ, sys.path, withheld))


def _spawn(command: Sequence[str], environment: dict[str, str]) -> WorkerProcess:
    # Stop signals are blocked in it until it has installed handlers, so that Ctrl-C during startup
    # prints no traceback.
    ours, theirs = socket.socketpair()
    # dup2 onto itself would keep close-on-exec: move the descriptor out of the way first.
    inherited = fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, CONTROL_FD + 1)
    try:
        pid = os.posix_spawnp(
            command[0],
            list(command),
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, inherited, CONTROL_FD)],
            setsigmask=BLOCKED_UNTIL_HANDLED,
        )
    except OSError:
        ours.close()
        raise
    finally:
        os.close(inherited)
        theirs.close()
    return WorkerProcess(pid, ours)


def describe_exit(exit_code: int) -> str:
    """Describe an `exit_code`: "exit code 1", "killed by SIGSEGV"."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"killed by signal {-exit_code}"
