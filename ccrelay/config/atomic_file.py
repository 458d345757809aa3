"""Writes small files that are never seen half-written: a draft beside them takes their name.

Drafts have mode 0600 from the beginning, whatever the umask. What a killed process left is named
`.NAME.ccrelay-*`.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_NAME_MAX = 60  # characters of a name that its draft has; systems have limits


def replace_file(path: Path, data: bytes, *, like: os.stat_result | None = None) -> None:
    """Write a file in place of the one that has this name, or where there is none.

    Args:
        path: its folder exists. A symlink is replaced, not followed.
        data: the whole content.
        like: owner, group and mode that it gets (of the file that was there); else mode 0600.

    Raises:
        OSError: it cannot be written; what was there is as it was.
    """
    with _draft(path, data, like) as draft:
        os.replace(draft, path)
    _sync_folder(path.parent)


def create_file(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 that is not there yet; of two that do so at once, one wins.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written.
    """
    with _draft(path, data, None) as draft:
        try:
            os.link(draft, path)  # unlike a rename it does not replace what is there
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links: take the name, then give it the content
            _take(path)
            _move(draft, path)
        else:
            os.unlink(draft)
    _sync_folder(path.parent)


@contextlib.contextmanager
def _draft(path: Path, data: bytes, like: os.stat_result | None) -> Iterator[Path]:
    """Write the draft; it is removed when what is done with it fails."""
    name = f".{path.name[:_NAME_MAX]}.ccrelay-{os.getpid()}-{os.urandom(4).hex()}"
    draft = path.with_name(name)
    _write_new(draft, data, like)
    try:
        yield draft
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def _take(path: Path) -> None:
    """Make an empty file, which nothing else has made. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _move(draft: Path, path: Path) -> None:
    """Replace what `_take` made, or remove it. Raises OSError."""
    try:
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _write_new(path: Path, data: bytes, like: os.stat_result | None = None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        with open(descriptor, "wb") as file:
            if like is not None:
                _keep(file.fileno(), like)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


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
