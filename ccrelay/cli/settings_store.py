"""Claude Code's settings file on disk, and the record of what was written into it.

Order of a change: the record of what was before and what will be, then the file, then the record as
it is from then on. Each is replaced at once. So a process that is killed at any point leaves an old
or a new file, and a record with which the next `connect` or `disconnect` goes on.
"""

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ccrelay.cli.settings_merge import Change, Record, from_json, to_json
from ccrelay.config.atomic_file import replace_file
from ccrelay.config.places import make_private, state_folder

FILE = "settings.json"
BYTES_MAX = 1 << 22
_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
LOCK_S = 10.0
_POLL_S = 0.1


class StoreError(Exception):
    """A file cannot be read or written. `str()` is one sentence."""


def settings_file(env: Mapping[str, str]) -> Path:
    """Return the path of Claude Code's settings of this user. Raises StoreError."""
    own = env.get("CLAUDE_CONFIG_DIR") or ""
    if own:
        return Path(os.path.abspath(own), FILE)
    home = env.get("HOME") or ""
    if not os.path.isabs(home):
        raise StoreError("Claude Code's settings cannot be found: HOME is not set.")
    return Path(home, ".claude", FILE)


class Store:
    """A settings file and its record.

    Args:
        file: path of the settings; a symbolic link is followed, and stays.
        env: names the folder of the record.
    """

    def __init__(self, file: Path, env: Mapping[str, str]) -> None:
        self.file = file
        state = state_folder(env)
        if state is None:
            raise StoreError("No place for the record: neither HOME nor XDG_STATE_HOME is set.")
        name = hashlib.sha256(os.fsencode(file)).hexdigest()[:16]
        self._record = state / "connect" / f"{name}.json"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands of ours away. Raises StoreError."""
        with _explained(self._record.parent):
            make_private(self._record.parent)
            lock = os.open(self._record.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(lock, time.monotonic() + LOCK_S)
            _remove_leftovers(self._record)
            _remove_leftovers(Path(os.path.realpath(self.file)))
            yield
        finally:
            os.close(lock)

    def text(self) -> str | None:
        """Return the settings; None: there is no file. Raises StoreError."""
        with _explained(self.file):
            return _read(self.file)

    def is_readable_by_others(self) -> bool:
        """Return whether other users may read the settings. Raises StoreError."""
        with _explained(self.file):
            return bool(self.file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))

    def record(self) -> Record | None:
        """Return the record; None: there is none. Raises StoreError."""
        with _explained(self._record):
            text = _read(self._record)
        if text is None:
            return None
        try:
            return from_json(text)
        except ValueError:
            raise StoreError(
                f"{self._record} is damaged: take back by hand what ccrelay wrote into "
                f"{self.file}, and remove the record."
            ) from None

    def apply(self, change: Change, seen: str | None) -> None:
        """Write a change.

        Args:
            change: what to write.
            seen: the text that it was made from.

        Raises:
            StoreError: something cannot be written, or the file has changed meanwhile.
        """
        target = Path(os.path.realpath(self.file))
        if change.text != seen:
            _check_writable(target)
        if change.during is not None:
            self._write_record(change.during)
        with _explained(self.file):
            if _read(target) != seen:
                raise StoreError(f"{self.file} was changed just now: try again.")
            if change.text is None:
                target.unlink(missing_ok=True)
            elif change.text != seen:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                _replace(target, change.text)
        if change.after is None:
            with _explained(self._record):
                self._record.unlink(missing_ok=True)
        elif change.after != change.during:
            self._write_record(change.after)

    def _write_record(self, record: Record) -> None:
        with _explained(self._record):
            _replace(self._record, to_json(record, str(self.file)))


def _lock(descriptor: int, ends_at: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > ends_at:
                raise StoreError(
                    "Try again: another ccrelay connect or disconnect is at work, or suspended."
                ) from None
        except OSError:  # a filesystem without locks
            return None
        time.sleep(_POLL_S)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise StoreError(f"{path} is no UTF-8 text.") from None
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}.") from None


def _read(path: Path) -> str | None:
    try:
        return read_bytes(path).decode()
    except FileNotFoundError:
        return None


def read_bytes(path: Path) -> bytes:
    """Return a file, and never wait for a writer of what is none. Raises OSError, StoreError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"{path} is no file.")
        data = file.read(BYTES_MAX + 1)
    if len(data) > BYTES_MAX:
        raise StoreError(f"{path} is larger than {BYTES_MAX >> 20} MB.")
    return data


def _check_writable(path: Path) -> None:
    """A file that its owner has made read-only is not replaced, as no editor would write it."""
    with _explained(path):
        try:
            mode = path.stat().st_mode
        except FileNotFoundError:
            return
        if not mode & _WRITABLE:
            raise StoreError(f"chmod u+w {path} first: it is read-only. Nothing was changed.")


def _replace(path: Path, text: str) -> None:
    """Put a new file in place of one, with its mode and owner. Raises OSError."""
    status = path.stat() if path.exists() else None
    replace_file(path, text.encode(), like=status)


def _remove_leftovers(path: Path) -> None:
    """Remove what a killed process left; we are locked, so none of ours is at work."""
    for left in path.parent.glob(f".{path.name}.ccrelay-*"):
        with contextlib.suppress(OSError):
            left.unlink()
