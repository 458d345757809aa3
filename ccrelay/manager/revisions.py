"""Texts of the configuration file that were in force, numbered from 1, on disk.

    $XDG_STATE_HOME/ccrelay/revisions/<digest of the path>/index.json
                                                           000001.yaml, 000002.yaml, ...

In $STATE_DIRECTORY where systemd sets it, else in ~/.local/state/ccrelay without XDG_STATE_HOME.
Folders 0700, files 0600: a text may hold secrets, as the file itself. The texts are the record; a
damaged index is made again from them, with what their names and times tell.
"""

import contextlib
import difflib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from ccrelay.config.atomic_file import replace_file
from ccrelay.config.load import FILE_BYTES_MAX
from ccrelay.config.places import make_private
from ccrelay.config.trust import record_path

KEPT_MAX = 200
COMMENT_CHARACTERS_MAX = 200
_NAME = re.compile(r"([0-9]{6,9})\.(yaml|toml)\Z")
_LINES_DIFFED_MAX = 20_000  # a longer text is compared by the count of its lines


class Entry(msgspec.Struct, frozen=True):
    """One revision. `digest` is the SHA-256 of its text, hexadecimal."""

    number: int
    applied_at_ms: int
    origin: str
    comment: str
    digest: str
    lines_added: int = 0
    lines_removed: int = 0


class NoRevisions(Exception):
    """They cannot be read or written; the message says why."""


def folder_of(file: Path, env: Mapping[str, str]) -> Path | None:
    """The folder for a configuration file; None: no home is known."""
    state = env.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd's StateDirectory=
    record = record_path(env)
    if os.path.isabs(state):
        parent = Path(state)
    elif record is not None:
        parent = record.parent
    else:
        return None
    name = hashlib.sha256(os.fsencode(os.path.abspath(file))).hexdigest()[:16]
    return parent / "revisions" / name


def digest_of(text: bytes) -> str:
    """SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text).hexdigest()


class Revisions:
    """The revisions of one file.

    Args:
        folder: where they are kept; made when the first one is recorded.
        suffix: `yaml` or `toml`.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self._folder = folder
        self._suffix = suffix

    def record(self, text: bytes, *, origin: str, comment: str = "", at_ms: int) -> Entry:
        """Record a text that came into force; the last one again if it is the same.

        Raises:
            NoRevisions: it cannot be written.
        """
        try:
            with self._locked():
                entries = self._entries()
                last = entries[-1] if entries else None
                digest = digest_of(text)
                if last is not None and last.digest == digest:
                    return last
                before = b"" if last is None else self._text(last.number)
                added, removed = lines_changed(before or b"", text)
                number = self._next_number(entries)
                entry = Entry(
                    number=number,
                    applied_at_ms=at_ms,
                    origin=origin,
                    comment=comment[:COMMENT_CHARACTERS_MAX],
                    digest=digest,
                    lines_added=added,
                    lines_removed=removed,
                )
                replace_file(self._folder / f"{number:06d}.{self._suffix}", text)
                self._write_index(self._pruned([*entries, entry]))
                return entry
        except OSError as error:
            raise NoRevisions(
                f"Revisions cannot be written to {self._folder}: {error.strerror}."
            ) from None

    def entries(self) -> list[Entry]:
        """All revisions, the oldest first; empty where they cannot be read."""
        try:
            return self._entries()
        except OSError:
            return []

    def text(self, number: int) -> bytes | None:
        """The text of a revision; None: it is not kept."""
        try:
            return self._text(number)
        except OSError:
            return None

    # ---- the folder

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Two relays with one file share the revisions."""
        make_private(self._folder)
        for folder in (self._folder, self._folder.parent):
            if folder.stat().st_mode & 0o077:  # of an earlier version, or of a copy
                folder.chmod(0o700)
        fd = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _files(self) -> dict[int, Path]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return {}
        found = {}
        for name in sorted(names):
            if match := _NAME.match(name):
                found[int(match[1])] = self._folder / name
        return found

    def _text(self, number: int) -> bytes | None:
        path = self._files().get(number)
        if path is None:
            return None
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            return file.read(FILE_BYTES_MAX + 1)

    def _entries(self) -> list[Entry]:
        """What the index says of the texts that are there; the rest by their files."""
        known = {entry.number: entry for entry in self._index()}
        found = []
        for number, path in sorted(self._files().items()):
            entry = known.get(number)
            with contextlib.suppress(OSError):  # what is none of ours stays, and counts for nothing
                found.append(entry if entry is not None else self._guessed(number, path))
        return found

    def _index(self) -> list[Entry]:
        try:
            data = (self._folder / "index.json").read_bytes()
            return msgspec.json.decode(data, type=list[Entry])
        except (OSError, msgspec.MsgspecError, ValueError):
            return []

    def _guessed(self, number: int, path: Path) -> Entry:
        text = self._text(number) or b""
        at_ms = path.stat().st_mtime_ns // 1_000_000
        return Entry(number, at_ms, "file", "", digest_of(text))

    def _next_number(self, entries: list[Entry]) -> int:
        # Also after those that were only in the index: a number is not used twice.
        numbers = [entry.number for entry in [*entries, *self._index()]]
        return max([*numbers, *self._files()], default=0) + 1

    def _pruned(self, entries: list[Entry]) -> list[Entry]:
        files = self._files()
        for entry in entries[:-KEPT_MAX]:
            with contextlib.suppress(OSError):
                files[entry.number].unlink()
        return entries[-KEPT_MAX:]

    def _write_index(self, entries: list[Entry]) -> None:
        data = json.dumps(msgspec.to_builtins(entries), indent=1)
        replace_file(self._folder / "index.json", data.encode())


def lines_changed(before: bytes, after: bytes) -> tuple[int, int]:
    """Lines added and removed."""
    old, new = before.splitlines(), after.splitlines()
    if len(old) + len(new) > _LINES_DIFFED_MAX:
        return max(len(new) - len(old), 0), max(len(old) - len(new), 0)
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    kept = sum(block.size for block in matcher.get_matching_blocks())
    return len(new) - kept, len(old) - kept
