"""The key of this installation's fingerprints: a file of 32 random bytes, made when it is missing.

`$STATE_DIRECTORY` (systemd's StateDirectory=), else `$XDG_STATE_HOME/ccrelay`, else
`~/.local/state/ccrelay`; the file is `fingerprint.key`, mode 0600. Where none can be written the
key is random, and fingerprints change with every start.
"""

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ccrelay.config.atomic_file import create_file
from ccrelay.config.places import make_private, state_folder

FILE = "fingerprint.key"
KEY_BYTES = 32


class FingerprintKey(NamedTuple):
    """The key, and why it is not that of an earlier start; "" when it is, or will be."""

    key: bytes
    problem: str = ""


def load_key(env: Mapping[str, str]) -> FingerprintKey:
    """Return the key of this installation. Makes the file when there is none; never raises."""
    folder = state_folder(env)
    if folder is None:
        return FingerprintKey(os.urandom(KEY_BYTES), "neither HOME nor STATE_DIRECTORY is set")
    path = folder / FILE
    try:
        return FingerprintKey(_read(path))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        return FingerprintKey(os.urandom(KEY_BYTES), f"{path}: {_reason(error)}")
    try:
        return FingerprintKey(_create(path))
    except (OSError, ValueError) as error:
        return FingerprintKey(os.urandom(KEY_BYTES), f"{path}: {_reason(error)}")


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (os.geteuid(), 0):
            raise ValueError("not a file of this user")
        if status.st_mode & 0o077:
            raise ValueError("readable by others: chmod 600")
        key = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(key) != KEY_BYTES:
        raise ValueError(f"not {KEY_BYTES} bytes: remove it")
    return key


def _create(path: Path) -> bytes:
    make_private(path.parent)
    with contextlib.suppress(FileExistsError):  # of two that start, one wins
        create_file(path, os.urandom(KEY_BYTES))
    return _read(path)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
