"""Who uses a relay that a launcher started: other launchers that found it running, by process id.

The file has one line per process and is locked while it is read and changed, so that a relay is not
ended between the moment another launcher finds it and the moment that launcher is counted. Once no
process uses the relay, the file says so until the relay has ended.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = "launched"
USERS_MAX = 4096  # bytes that are read: hundreds of processes
ENDING = b"ending\n"
# A start takes a second or two, at most detach.READY_TIMEOUT_S; a launcher that was suspended
# meanwhile is not waited for any longer.
START_S = 65.0
POLL_S = 0.1


def users_file(state: Path, relay_pid: int) -> Path:
    """Return the file of the relay whose supervisor has this process id."""
    return state / FOLDER / f"{relay_pid}.users"


def create(file: Path) -> None:
    """Make the file, without users, and remove those of relays that were killed. Raises OSError."""
    from ccrelay.config.places import make_private

    make_private(file.parent)
    for other in file.parent.glob("*.users"):
        if other.stem.isdigit() and not is_alive(int(other.stem)):
            with contextlib.suppress(OSError):
                other.unlink()
    file.unlink(missing_ok=True)
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def join(file: Path, pid: int) -> bool:
    """Count a process as a user of a relay; False: the relay is ending.

    True, and nothing is counted, where no launcher started the relay.
    """
    try:
        with _locked(file) as descriptor:
            listed = os.read(descriptor, USERS_MAX)
            if os.fstat(descriptor).st_nlink == 0 or listed == ENDING:
                return False
            _write(descriptor, b"".join(b"%d\n" % one for one in [*_living(listed), pid]))
    except OSError:
        pass
    return True


def next_user(file: Path) -> int | None:
    """Return a user that lives; None: there is none, and from now on none can join."""
    try:
        with _locked(file) as descriptor:
            for pid in _living(os.read(descriptor, USERS_MAX)):
                return pid
            _write(descriptor, ENDING)
    except OSError:
        pass
    return None


def _living(listed: bytes) -> list[int]:
    return [pid for pid in map(int, filter(bytes.isdigit, listed.split())) if is_alive(pid)]


def _write(descriptor: int, text: bytes) -> None:
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


@contextlib.contextmanager
def starting(state: Path | None) -> Iterator[None]:
    """Let one launcher at a time look for a relay and start one: the others find it then.

    Where there is no place or no lock, each starts its own.
    """
    descriptor = None if state is None else _folder(state / FOLDER)
    try:
        if descriptor is not None:
            _lock(descriptor, time.monotonic() + START_S)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _folder(path: Path) -> int | None:
    from ccrelay.config.places import make_private

    try:
        make_private(path)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None


def _lock(descriptor: int, ends_at: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends_at:
                return None
        except OSError:  # a filesystem without locks
            return None
        time.sleep(POLL_S)


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[int]:
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def is_alive(pid: int) -> bool:
    """Return whether there is a process with this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
