"""Keeps all credentials fresh: which are due, one call for each at a time, what is told to whom.

entries -> Renewal of each --due--> Calls: Source.obtain in a thread
              |                          | Obtained, or a failure
              +-- Issued to the supervisor <--+
"""

import asyncio
import os
import random
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from ccrelay.credentials.adapters import source_of
from ccrelay.credentials.calls import Calls
from ccrelay.credentials.renewal import Now, Renewal, Tell
from ccrelay.credentials.source import Obtained, ObtainFailed, Source, WatchedFiles
from ccrelay.runtime.credentials_link import CredentialEntry
from ccrelay.wire.cloud_credential import IssuedCredential

FILES_MAX: Final = 100  # of a folder that is looked at

Name = tuple[str, str]
Stamps = tuple[tuple[str, int, int, int], ...]
Issue = Callable[[list[IssuedCredential]], None]


class Issuer:
    """Keeps the credentials of all entries fresh. Create it inside a running loop.

    Args:
        issued: the newest of a process before.
        issue: receives what workers are to know.
        tell: receives events for the log: level, name, fields.
        now: reads the clocks.
        calls: runs blocking calls.
        make_source: makes the source of an entry; blocks; may raise ObtainFailed.
        rng: spreads refreshes.
    """

    def __init__(
        self,
        issued: Iterable[IssuedCredential],
        issue: Issue,
        tell: Tell,
        now: Callable[[], Now],
        calls: Calls,
        make_source: Callable[[CredentialEntry], Source] = source_of,
        rng: random.Random | None = None,
    ) -> None:
        self._issued = {(one.provider, one.key): one for one in issued}
        self._issue = issue
        self._tell = tell
        self._now = now
        self._calls = calls
        self._make_source = make_source
        self._rng = rng or random.Random()
        self._kept: dict[Name, _Kept] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.failure: BaseException | None = None  # why this process cannot go on

    def set_entries(self, entries: list[CredentialEntry]) -> None:
        """Keep exactly these fresh from now on."""
        kept = {}
        for entry in entries:
            name = entry.provider, entry.key
            was = self._kept.get(name)
            if was is not None and was.renewal.entry == entry:
                kept[name] = was
                continue
            before = was.renewal.issued if was is not None else self._issued.get(name)
            kept[name] = _Kept(Renewal(entry, before, self._rng, self._tell))
        self._kept = kept
        self.tick()

    def refused(self, provider: str, key: str, serial: int) -> None:
        """The cloud refused the credential with this serial; 0: a request waits for the first."""
        if kept := self._kept.get((provider, key)):
            kept.renewal.refused(serial, self._now())
            self.tick()

    def look_at_files(self) -> None:
        """Notice files that were changed; call it every few seconds."""
        now = self._now()
        for kept in self._kept.values():
            kept.look_at_files(now)
        self.tick()

    def tick(self) -> None:
        """Start the attempts that are due; call it every second."""
        now = self._now()
        for kept in self._kept.values():
            kept.renewal.look(now)
            if kept.renewal.is_due(now):
                kept.renewal.begin(now)
                task = asyncio.get_running_loop().create_task(self._renew(kept))
                self._tasks.add(task)
                task.add_done_callback(self._on_done)

    async def close(self) -> None:
        """Wait for nothing: what runs is left to its thread."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _renew(self, kept: "_Kept") -> None:
        renewal = kept.renewal
        try:
            result = await self._calls.run(lambda: kept.obtain(self._make_source))
        except TimeoutError:
            limit_s = self._calls.limit_s
            result = ObtainFailed(
                f"there was no answer within {limit_s:g} s",
                "check the network, and the address or the program that gives the credential",
                is_final=False,
            )
            self._tell(
                "warning",
                "credential_call_abandoned",
                provider=renewal.entry.provider,
                key=renewal.entry.key_name or None,
                threads=self._calls.abandoned,
            )
        now = self._now()
        if isinstance(result, ObtainFailed):
            issued = renewal.failed(result, now)
        else:
            issued = renewal.succeeded(result, now)
        if issued is not None and self._kept.get((issued.provider, issued.key)) is kept:
            self._issue([issued])

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = task.exception()


class _Kept:
    """One credential: its renewal, its source, the files that this depends on."""

    def __init__(self, renewal: Renewal) -> None:
        self.renewal = renewal
        self._source: Source | None = None
        self._settings: Stamps | None = None  # None: not looked at yet
        self._caches: Stamps | None = None

    def obtain(self, make_source: Callable[[CredentialEntry], Source]) -> Obtained | ObtainFailed:
        """Ask for the credential; blocks."""
        try:
            source = self._source
            if source is None:
                source = self._source = make_source(self.renewal.entry)
        except ObtainFailed as failure:
            return failure
        return source.attempt()

    def look_at_files(self, now: Now) -> None:
        """Compare the files with what they were at the last look."""
        if self._source is None:
            return
        watched = _files(self._source)
        settings, caches = stamps(watched.settings), stamps(watched.caches)
        was, self._settings = self._settings, settings
        if was is not None and was != settings:
            self.renewal.settings_changed(now)
        was, self._caches = self._caches, caches
        if was is not None and was != caches:
            self.renewal.caches_changed(now)


def _files(source: Source) -> WatchedFiles:
    try:
        return source.files()
    except (OSError, ValueError):  # a path that no file can have
        return WatchedFiles()


def stamps(paths: Iterable[str]) -> Stamps:
    """What changes when a file is written or replaced, of files and of those in folders."""
    found = []
    for path in paths:
        for file in _expanded(path):
            try:
                status = os.stat(file)
            except (OSError, ValueError):
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((file, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def _expanded(path: str) -> list[str]:
    if not path:  # it would be the working directory
        return []
    try:
        folder = Path(path)
        if not folder.is_dir():
            return [path]
        return sorted(str(file) for file in folder.iterdir())[:FILES_MAX]
    except (OSError, ValueError):
        return []
