"""Runs a relay for as long as it is used: `python -m ccrelay.cli.relay_guard PID FOLDER ...`.

The launcher becomes Claude Code by exec, so that terminal, signals and exit code are Claude Code's
own; so nothing of ours is left that could end the relay afterwards. This process does. It is in a
session of its own and a child of init, so that Ctrl-C does not reach it and Claude Code sees no
child that it did not start. What it waits for is the end of a process, not of a pipe: a pipe would
be inherited by what Claude Code leaves running.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from ccrelay.cli import relay_users

# A relay cuts what still runs after server.timeouts.drain_s, for a client that is gone.
DRAIN_S = 5.0
STOP_S = 5.0
POLL_S = 0.5


def main(arguments: list[str]) -> None:
    """Start a command, and end it when no process uses it any more.

    Args:
        arguments: the id of the process that uses it first, the folder of the state, the command.
    """
    if os.fork():
        os._exit(0)
    pid, state, *command = arguments
    user = _Life(int(pid))
    relay = subprocess.Popen(command, pass_fds=_passed(), stdin=subprocess.DEVNULL)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    users = relay_users.users_file(Path(state), relay.pid)
    with contextlib.suppress(OSError):
        relay_users.create(users)
    _close(_passed())
    _wait(relay, user, users)
    _end(relay)
    users.unlink(missing_ok=True)


def _wait(relay: "subprocess.Popen[bytes]", user: "_Life", users: Path) -> None:
    """Wait until the relay has ended, or all that use it have."""
    while relay.poll() is None:
        if not user.has_ended(POLL_S):
            continue
        other = relay_users.next_user(users)
        if other is None:
            return
        user.close()
        user = _Life(other)


def _passed() -> tuple[int, ...]:
    """The descriptor on which the relay says that it is ready."""
    given = os.environ.get("CCRELAY_READY_FD", "")
    return (int(given),) if given.isdigit() else ()


def _close(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


class _Life:
    """Whether a process, which need not be a child, has ended."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptor = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):  # no such call, or no such process
                self._descriptor = os.pidfd_open(pid)

    def has_ended(self, wait_s: float) -> bool:
        """Wait for its end for a while; return whether it has come."""
        if self._descriptor >= 0:
            readable, _, _ = select.select([self._descriptor], [], [], wait_s)
            return bool(readable)
        time.sleep(wait_s)
        return not relay_users.is_alive(self._pid)

    def close(self) -> None:
        """Forget the process."""
        if self._descriptor >= 0:
            os.close(self._descriptor)


def _end(relay: "subprocess.Popen[bytes]") -> None:
    for number, wait_s in ((signal.SIGTERM, DRAIN_S), (signal.SIGTERM, STOP_S)):
        if relay.poll() is None:
            relay.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                relay.wait(wait_s)
    if relay.poll() is None:
        relay.kill()
        relay.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
