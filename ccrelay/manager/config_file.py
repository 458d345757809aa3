"""Reads and replaces the configuration file."""

import contextlib
import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ccrelay.config.files import open_trusted
from ccrelay.config.load import FILE_BYTES_MAX


def read_file(path: Path, env: Mapping[str, str]) -> bytes:
    """Its content, at most FILE_BYTES_MAX + 1 bytes.

    Raises:
        Untrusted: others can change it.
        OSError: it cannot be read.
    """
    descriptor = open_trusted(path, env)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(None, "it is no regular file")
        os.set_blocking(descriptor, True)
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(FILE_BYTES_MAX + 1)
    finally:
        os.close(descriptor)


def write_file(path: Path, data: bytes) -> None:
    """Replace its content at once; mode and owner stay, a new file has 0600.

    A symlink stays one: the file that it leads to is replaced.

    Raises:
        OSError: it cannot be written; the file is as it was.
    """
    target = Path(os.path.realpath(path))
    try:
        status: os.stat_result | None = target.stat()
    except FileNotFoundError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        raise OSError(None, "it is no regular file")
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            if status is not None:
                _keep(file.fileno(), status)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    _sync_folder(target.parent)


def _keep(descriptor: int, status: os.stat_result) -> None:
    """Give a new file the owner, group and mode of the old one. Raises OSError."""
    if status.st_uid != os.geteuid():
        os.chown(descriptor, status.st_uid, -1)  # only root may
    with contextlib.suppress(PermissionError):
        os.chown(descriptor, -1, status.st_gid)
    os.chmod(descriptor, stat.S_IMODE(status.st_mode))


def _sync_folder(folder: Path) -> None:
    """So that the new name lasts over a power cut."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
