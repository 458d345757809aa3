"""The cloud credentials of a relay as the supervisor sees them.

    configuration -> entries -> CredentialsKeeper: the process that obtains them
                                    | IssuedCredential
                                    v
                     CloudCredentials: the newest of each -> workers, also those of later
    a worker: CredentialRejected ---+--> RefreshCredential -> the process

Only while an enabled provider has a key with `credential` is there a process. It is imported here
when it is needed first, as most relays need none.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from ccrelay.config.model import Config
from ccrelay.runtime.processes import WorkerProcess
from ccrelay.types import LogSink
from ccrelay.wire.cloud_credential import IssuedCredential

if TYPE_CHECKING:
    from ccrelay.runtime.credentials_link import CredentialEntry
    from ccrelay.runtime.credentials_process import CredentialsKeeper


class HandedCredential(msgspec.Struct, frozen=True):
    """A credential on its way from one image to the next, and whose it is (`Cloud`)."""

    cloud: str
    issued: IssuedCredential


Send = Callable[[list[IssuedCredential]], None]


class CloudCredentials:
    """Holds what was issued, and keeps the process that obtains it. Create it in a running loop.

    Args:
        config: in force.
        log: receives the credentials_* and credential_* events.
        start_process: starts the process; None: there never is one.
        handed: of the image before.
    """

    def __init__(
        self,
        config: Config,
        log: LogSink,
        start_process: Callable[[], WorkerProcess] | None = None,
        handed: Iterable[HandedCredential] = (),
    ) -> None:
        self.on_issued: Send = lambda issued: None  # called with what goes to the workers
        self._log = log
        self._start_process = start_process
        self._issued: dict[tuple[str, str], IssuedCredential] = {}
        self._entries: list[CredentialEntry] = []
        self._keeper: CredentialsKeeper | None = None
        self._tasks: asyncio.TaskGroup | None = None  # None: not started, or stopped
        self._keeping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.configure(config)
        clouds = self._clouds()
        for one in handed:
            name = one.issued.provider, one.issued.key
            if clouds.get(name) == one.cloud:
                self._issued[name] = one.issued

    def configure(self, config: Config) -> None:
        """Obtain what this configuration needs, and drop the rest."""
        was = self._entries
        self._entries = _entries_of(config)
        if self._entries == was:
            return
        clouds = self._clouds()
        for one in was:
            name = one.provider, one.key
            if clouds.get(name) != one.cloud and name in self._issued:
                # A name that is used for another cloud must not get the credential of this one.
                gone = msgspec.structs.replace(self._issued.pop(name), secret=None, error="")
                self.on_issued([gone])
        if self._keeper is not None:
            from ccrelay.runtime.credentials_link import EntriesChanged

            self._keeper.send(EntriesChanged(self._entries))
        self._keep_if_needed()

    def issued(self) -> list[IssuedCredential]:
        """The newest credential of every entry, for a worker that starts."""
        return list(self._issued.values())

    def handover(self) -> list[HandedCredential]:
        """The same for the next image of the supervisor."""
        clouds = self._clouds()
        return [HandedCredential(clouds[name], one) for name, one in self._issued.items()]

    def rejected(self, provider: str, key: str, serial: int) -> None:
        """A cloud refused the credential with this serial, or a request waits for the first."""
        newest = self._issued.get((provider, key))
        is_newest = newest is None or serial >= newest.serial
        if self._keeper is not None and is_newest:  # else the worker has got another meanwhile
            from ccrelay.runtime.credentials_link import RefreshCredential

            self._keeper.send(RefreshCredential(provider, key, serial))

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Keep a process from now on, while one is needed."""
        self._tasks = tasks
        self._keep_if_needed()

    async def stop(self) -> None:
        """End the process, and start no other."""
        self._tasks = None
        self._changed.set()
        if self._keeping is not None:
            await self._keeping
            self._keeping = None

    def reap(self) -> None:
        """Collect the exit status of the process if it has exited (SIGCHLD)."""
        if self._keeper is not None:
            self._keeper.reap()

    def close(self) -> None:
        """Kill what is left of the process."""
        if self._keeper is not None:
            self._keeper.close()

    def _clouds(self) -> dict[tuple[str, str], str]:
        return {(one.provider, one.key): one.cloud for one in self._entries}

    def _keep_if_needed(self) -> None:
        self._changed.set()
        if self._entries and self._tasks and self._start_process and self._keeping is None:
            self._keeping = self._tasks.create_task(
                self._keep(self._start_process), name="credentials-needed"
            )

    async def _keep(self, start_process: Callable[[], WorkerProcess]) -> None:
        from ccrelay.runtime.credentials_link import CredentialsStart
        from ccrelay.runtime.credentials_process import CredentialsKeeper

        keeper = self._keeper = CredentialsKeeper(
            start_process,
            lambda _: CredentialsStart(self._entries, self.issued()),
            self._log,
            self._take,
        )
        while self._tasks is not None:
            self._changed.clear()
            if self._entries:
                keeper.start(self._tasks)
            else:
                await keeper.stop(is_end=False)
            await self._changed.wait()
        await keeper.stop(is_end=False)

    def _take(self, issued: list[IssuedCredential]) -> None:
        needed = {(one.provider, one.key) for one in self._entries}
        taken = [one for one in issued if (one.provider, one.key) in needed]
        self._issued.update({(one.provider, one.key): one for one in taken})
        if taken:
            self.on_issued(taken)


def _entries_of(config: Config) -> "list[CredentialEntry]":
    if not any(key.credential for provider in config.providers for key in provider.keys):
        return []
    from ccrelay.runtime.credentials_link import entries_of

    return entries_of(config)
