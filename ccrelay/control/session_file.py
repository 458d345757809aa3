"""The sessions of the web page on disk: `page-sessions-PORT.json` in the state folder, mode 0600.

A manager that is replaced, and a relay that is restarted, know who was signed in. The file holds
digests only (`ccrelay.control.sessions`). One that cannot be read or written costs a sign-in, and
is logged.
"""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ccrelay.config.atomic_file import replace_file
from ccrelay.config.places import make_private
from ccrelay.types import LogSink

PREFIX = "page-sessions-"
BYTES_MAX = 64 * 1024
STALE_S = 30 * 86_400.0  # what was not written for so long holds no session that is valid


@dataclass
class Stored:
    """What the file holds.

    Args:
        sessions: by digest: whether it may only read, and when it expires, seconds since 1970.
        spent: digests of codes that were used, and when they would have ended.
    """

    sessions: dict[str, tuple[bool, float]] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)


class SessionFile:
    """The file of one relay.

    Args:
        folder: of the state.
        port: of the page, which the cookie's name has, too.
        log: of the process.
    """

    def __init__(self, folder: Path, port: int, log: LogSink) -> None:
        self.path = folder / f"{PREFIX}{port}.json"
        self._log = log

    def load(self) -> Stored:
        """Return what was saved; nothing where there is none, or none that makes sense."""
        _remove_stale(self.path)
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                return msgspec.json.decode(file.read(BYTES_MAX), type=Stored)
        except FileNotFoundError:
            return Stored()
        except (OSError, msgspec.DecodeError) as error:
            self._failed(error)
            return Stored()

    def save(self, stored: Stored) -> None:
        """Replace what was saved."""
        try:
            make_private(self.path.parent)
            replace_file(self.path, msgspec.json.encode(stored))
        except OSError as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._log.event("warning", "page_sessions_failed", file=str(self.path), error=str(error))


def _remove_stale(own: Path) -> None:
    """Remove the files of relays whose port was another one each time."""
    for path in own.parent.glob(f"{PREFIX}*.json"):
        with contextlib.suppress(OSError):
            if path != own and time.time() - path.lstat().st_mtime > STALE_S:
                path.unlink()
