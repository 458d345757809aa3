"""A temporary folder for sockets that only this process uses, and what killed ones left behind."""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time

PREFIX = "ccrelay-control-"
# Between its making and its lock a folder looks unused.
YOUNG_S = 60.0


class PrivateFolder:
    """A folder of mode 0700 that is locked while it is in use. Raises OSError."""

    def __init__(self) -> None:
        _remove_stale(tempfile.gettempdir())
        self.path = tempfile.mkdtemp(prefix=PREFIX)  # 0700
        self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a filesystem without locks
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove it; may be called again."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _remove_stale(parent: str) -> None:
    """Remove our folders that no process has locked: theirs were killed."""
    try:
        with os.scandir(parent) as entries:
            paths = [entry.path for entry in entries if entry.name.startswith(PREFIX)]
    except OSError:
        return
    for path in paths:
        with contextlib.suppress(OSError):
            _remove_if_stale(path)


def _remove_if_stale(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        is_ours = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700
        if is_ours and time.time() - status.st_mtime > YOUNG_S:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
