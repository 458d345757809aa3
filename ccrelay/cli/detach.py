"""`ccrelay serve --detach`: the relay in a session of its own, and what it said when it was ready.

The child is the same command without `--detach`. Its outputs go to a log file; what it prints when
it is ready comes back over a pipe as well, so no caller guesses when that is. Top-level imports
are few: `serve` starts its first worker before anything else is loaded.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ccrelay.config.places import make_private, state_folder

if TYPE_CHECKING:
    import subprocess

VARIABLE = "CCRELAY_READY_FD"
OPTION = "--detach"
FILE = "relay.log"
READY_TIMEOUT_S = 60.0  # programs of ${cmd:...} may take their time
STOP_TIMEOUT_S = 5.0
LOG_BYTES_MAX = 16 << 20  # a larger one is set aside before a start
ERROR_BYTES_MAX = 16_384
FAILED = 1
INTERRUPTED = 130


def telling(print_out: Callable[[str], None]) -> Callable[[str], None]:
    """Return what prints as `print_out`, and tells the first text to the command that detached us.

    The variable is removed, so that no child inherits it. Elsewhere it is `print_out` itself.
    """
    given = os.environ.pop(VARIABLE, "")
    if not given.isdigit():
        return print_out
    descriptors = [int(given)]
    os.set_inheritable(descriptors[0], False)

    def print_and_tell(text: str) -> None:
        print_out(text)  # first: it is in the log when the command returns
        while descriptors:
            _tell(descriptors.pop(), text)

    return print_and_tell


def _tell(descriptor: int, text: str) -> None:
    try:
        with open(descriptor, "wb") as pipe:
            pipe.write(text.encode(errors="replace"))
    except OSError:
        pass  # the command was interrupted; the relay goes on


def start_detached(env: Mapping[str, str], echo: Callable[..., None]) -> int:
    """Start the relay in the background; return the exit code that `serve` would have.

    0 once it serves. Else what it said goes to standard error, and its own code is returned.

    Args:
        env: environment of the relay.
        echo: prints; with `err=True` to standard error.
    """
    import subprocess

    path = log_path(env)
    if path is None:
        echo("no place for the log: neither HOME nor XDG_STATE_HOME is set", err=True)
        return FAILED
    try:
        log = open_log(path)
    except OSError as error:
        echo(f"cannot write {path}: {error.strerror or error}", err=True)
        return FAILED
    with log:
        begins_at = log.seek(0, os.SEEK_END)
        ready, told = os.pipe()
        try:
            child = subprocess.Popen(
                [sys.executable, *_words()],
                env={**env, VARIABLE: str(told)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(told,),
                start_new_session=True,
            )
        except BaseException:
            os.close(ready)
            raise
        finally:
            os.close(told)
        with open(ready, "rb", buffering=0) as pipe:
            return _outcome(child, pipe, path, begins_at, echo)


def _words() -> list[str]:
    """The command line of this process, without the option: an upgrade runs it again as it is."""
    return [word for word in sys.orig_argv[1:] if word != OPTION]


def log_path(env: Mapping[str, str]) -> Path | None:
    """Return the file for the outputs of a detached relay; None: there is no folder for it."""
    folder = state_folder(env)
    return folder / FILE if folder else None


def open_log(path: Path) -> BinaryIO:
    """Open the log to append, mode 0600; a large one becomes `relay.log.1`. Raises OSError."""
    make_private(path.parent)
    try:
        if path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_name(FILE + ".1"))
    except FileNotFoundError:
        pass
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return open(os.open(path, flags, 0o600), "r+b", buffering=0)


def _outcome(
    child: "subprocess.Popen[bytes]",
    pipe: BinaryIO,
    path: Path,
    begins_at: int,
    echo: Callable[..., None],
) -> int:
    try:
        text = read_ready(pipe)
    except KeyboardInterrupt:
        _stop(child)
        return INTERRUPTED
    if text:
        echo(text)
        echo(_how_to_stop(child.pid, path))
        return 0
    if text is None:
        _stop(child)
        echo(said_since(path, begins_at), err=True)
        echo(f"it was not ready within {READY_TIMEOUT_S:g} s and was stopped: {path}", err=True)
        return FAILED
    code = child.wait()
    echo(said_since(path, begins_at), err=True)
    if code == FAILED and (running := describe_running()):
        echo(running, err=True)
    return code if code > 0 else FAILED


def read_ready(pipe: BinaryIO) -> str | None:
    """Return what the relay said when it was ready; empty: it ended; None: it took too long."""
    import select
    import time

    end = time.monotonic() + READY_TIMEOUT_S
    found = b""
    while True:
        readable, _, _ = select.select([pipe], [], [], max(end - time.monotonic(), 0))
        if not readable:
            return None
        piece = pipe.read(65_536)
        if not piece:
            return found.decode(errors="replace")
        found += piece


def _stop(child: "subprocess.Popen[bytes]") -> None:
    import subprocess

    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def said_since(path: Path, begins_at: int) -> str:
    """Return what the relay wrote since its start, its beginning."""
    with path.open("rb") as file:
        file.seek(begins_at)
        return file.read(ERROR_BYTES_MAX).decode(errors="replace").rstrip()


def _how_to_stop(pid: int, path: Path) -> str:
    return (
        f"\nIt runs in the background, pid {pid}. What it says is in {path},\n"
        "or where logging.file says.\n\n"
        f"  Finish what runs, then stop:   ccrelay drain   (or: kill {pid})\n"
        "  Stop at once:                  ccrelay stop"
    )


def describe_running() -> str:
    """Say which relay runs already; empty: none is found."""
    from ccrelay.control.client import Client, ControlError, find_socket
    from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse

    try:
        client = Client(find_socket(os.environ))
        status = client.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse, 3.0).status
    except ControlError:
        return ""
    where = ", ".join(status.listen)
    return (
        f"A relay runs already: {where}, pid {status.pid}, version {status.version}. "
        "See it: ccrelay status. Stop it: ccrelay drain"
    )
