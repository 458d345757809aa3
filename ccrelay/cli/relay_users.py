"""Who uses a relay that a launcher started: other launchers that found it running, by process id.

The file has one line per process and is locked while it is read and changed, so that a relay is not
ended between the moment another launcher finds it and the moment that launcher is counted.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

FOLDER = "launched"
USERS_MAX = 4096  # bytes that are read: hundreds of processes


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
    """Count a process as a user; False: the relay was not started by a launcher, or is ending."""
    try:
        with _locked(file) as descriptor:
            if os.fstat(descriptor).st_nlink == 0:
                return False
            os.lseek(descriptor, 0, os.SEEK_END)
            os.write(descriptor, b"%d\n" % pid)
    except OSError:
        return False
    return True


def next_user(file: Path) -> int | None:
    """Return a user that lives; None: there is none, and from now on none can join."""
    try:
        with _locked(file) as descriptor:
            words = os.read(descriptor, USERS_MAX).split()
            for pid in (int(word) for word in words if word.isdigit()):
                if is_alive(pid):
                    return pid
            file.unlink(missing_ok=True)
    except OSError:
        pass
    return None


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
