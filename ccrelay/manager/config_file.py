"""Reads and replaces the configuration file."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from ccrelay.config.atomic_file import replace_file
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
    replace_file(target, data, like=status)
