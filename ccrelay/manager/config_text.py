"""The text of the configuration in force, its revisions, and the way to another one."""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc

from ccrelay.config.load import Loaded, load_text
from ccrelay.config.problems import ConfigError, Problem
from ccrelay.manager.clock import Clock
from ccrelay.manager.config_file import read_file, write_file
from ccrelay.manager.errors import Link, Refused, ask, precondition, to_the_end
from ccrelay.manager.file_values import FileTextValues
from ccrelay.manager.revisions import (
    Entry,
    NoRevisions,
    Revisions,
    digest_of,
    folder_of,
)
from ccrelay.manager.state import RelayState
from ccrelay.runtime.manager_link import Origin, ReloadCommand, Reply
from ccrelay.upstream.tasks import TaskSet

NO_FILE = (
    "There is no configuration file: write one with `ccrelay init`, and load it with "
    "`ccrelay reload`."
)


class ConfigText:
    """The file, the text in force, and its revisions. Changes are made one after the other.

    Args:
        state: learns number and values of the text in force.
        link: to the supervisor.
        tasks: run changes, which go on when their caller leaves.
        env: environment variables.
    """

    def __init__(
        self, state: RelayState, link: Link, tasks: TaskSet, env: Mapping[str, str] = os.environ
    ) -> None:
        self._state = state
        self._link = link
        self._tasks = tasks
        self._env = env
        self._lock = asyncio.Lock()  # of changes
        self._noted = asyncio.Lock()  # texts are recorded in the order in which they came
        self._noting: set[asyncio.Task[None]] = set()
        self.path: Path | None = None
        self.is_toml = False
        self.in_force: bytes | None = None
        self._digest = ""  # of the text in force, also of one that is not found
        self._expected: tuple[str, str, str] | None = None  # digest, origin, comment
        self.revisions: Revisions | None = None
        self.use(state.config_file)

    def use(self, file: str) -> None:
        """The file is this one from now on; empty: there is none. It changes once at most."""
        if not file or self.path is not None:
            return
        self.path = Path(file)
        self.is_toml = file.lower().endswith(".toml")
        folder = folder_of(self.path, self._env)
        if folder is not None:
            self.revisions = Revisions(folder, "toml" if self.is_toml else "yaml")

    @property
    def whole_path(self) -> str:
        """Path of the file for clients, which have other folders; empty: there is none."""
        return os.path.abspath(self.path) if self.path is not None else ""

    @property
    def clock(self) -> Clock:
        """Both clocks."""
        return self._state.clock

    def note_soon(self, origin: Origin, digest: str) -> None:
        """As `note`, without waiting for it."""
        task = self._tasks.spawn(self.note(origin, digest), "note the configuration")
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def settled(self) -> None:
        """Wait until all that came into force is recorded."""
        if self._noting:
            await asyncio.wait(list(self._noting))

    async def note(self, origin: Origin, digest: str) -> None:
        """A configuration came into force: record its text, if it is another one.

        Args:
            origin: how it came.
            digest: of the text, as the supervisor has read it; empty: there is none.
        """
        async with self._noted:
            if self.path is not None and digest and digest != self._digest:
                await self._note(self.path, origin, digest)

    async def _note(self, path: Path, origin: Origin, digest: str) -> None:
        text = await asyncio.to_thread(self._find, path, digest)
        self._digest = digest
        if text is None:
            self.in_force = None
            self._state.revision = max(self._state.revision, 1)
            return
        known: str = "file" if origin == "signal" else origin
        comment = ""
        if self._expected is not None and self._expected[0] == digest_of(text):
            _, known, comment = self._expected
        await self._record(text, known, comment)

    def _find(self, path: Path, digest: str) -> bytes | None:
        """The text with a digest: in the file, unless it has changed since; else a revision."""
        with contextlib.suppress(OSError):
            if digest_of(text := read_file(path, self._env)) == digest:
                return text
        for entry in reversed(self.entries()):
            if entry.digest == digest:
                return self.text_of(entry.number)
        return None

    async def _record(self, text: bytes, origin: str, comment: str) -> None:
        self.in_force, self._digest = text, digest_of(text)
        shown = text.decode("utf-8-sig", "replace")
        self._state.file_values = await asyncio.to_thread(
            FileTextValues, shown, is_toml=self.is_toml
        )
        if self.revisions is None:
            self._state.revision = max(self._state.revision, 1)
            self._state.text_problem = (
                "Revisions are not kept: HOME, XDG_STATE_HOME or STATE_DIRECTORY has to be set."
            )
            return
        try:
            entry = await asyncio.to_thread(
                self.revisions.record,
                text,
                origin=origin,
                comment=comment,
                at_ms=self.clock.now_ms(),
            )
        except NoRevisions as error:
            self._state.text_problem = str(error)
            self._state.revision = max(self._state.revision, 1)
            return
        self._state.text_problem = ""
        self._state.revision = entry.number

    async def is_in_force(self, text: bytes) -> bool:
        """Whether a text says what is in force; one that differs in comments only is taken over,
        since the relay need not have read it."""
        if digest_of(text) == self._digest:
            return True
        if self.in_force is None:
            return False
        try:
            now, then = await self.check(text), await self.check(self.in_force)
        except ConfigError:
            return False
        if now.config != then.config:
            return False
        await self._record(text, "file", "")
        return True

    def entries(self) -> list[Entry]:
        """All revisions, the oldest first."""
        return self.revisions.entries() if self.revisions is not None else []

    def text_of(self, number: int) -> bytes | None:
        """The text of a revision; None: it is not kept."""
        if number == self._state.revision and self.in_force is not None:
            return self.in_force
        return self.revisions.text(number) if self.revisions is not None else None

    async def read(self) -> bytes:
        """The content of the file as it stands.

        Raises:
            Refused: there is no file, or it cannot be read.
        """
        if self.path is None:
            raise precondition(NO_FILE)
        try:
            return await asyncio.to_thread(read_file, self.path, self._env)
        except OSError as error:
            raise precondition(
                f"The configuration file cannot be read: {error.strerror or error}."
            ) from None

    # ---- changes

    async def check(self, text: bytes, path: Path | None = None) -> Loaded:
        """Check a text as the content of the file. Raises ConfigError."""
        place = path or self.path or Path("ccrelay.yaml")
        return await asyncio.to_thread(load_text, text, place, env=self._env)

    async def apply(
        self, text: bytes, *, origin: Origin, base: str = "", comment: str = ""
    ) -> list[Problem]:
        """Check, write and reload; returns warnings. Goes on when the caller leaves.

        Args:
            text: the whole new content.
            origin: `apply`, `rollback` or `override`.
            base: digest of the content that was changed; empty: any.
            comment: for the list of revisions.

        Raises:
            Refused: nothing has changed.
        """
        work = self._apply(text, origin, base, comment)
        return await to_the_end(self._tasks, work, "apply")

    async def _apply(self, text: bytes, origin: Origin, base: str, comment: str) -> list[Problem]:
        async with self._lock:
            before = await self.read()
            assert self.path is not None
            if base and base != digest_of(before):
                raise Refused(
                    grpc.StatusCode.ABORTED,
                    "The file has changed since it was read: get it again and repeat the change.",
                )
            try:
                loaded = await self.check(text)
            except ConfigError as error:
                raise precondition(_first(error)) from None
            if text != before:
                await self._write(self.path, text)
            self._expected = (digest_of(text), origin, comment)
            try:
                reply = await ask(self._link, ReloadCommand(id=0, origin=origin))
                if reply.error:
                    raise precondition(reply.error)
            except BaseException as error:
                self._expected = None
                if text != before:
                    await self._restore(self.path, before, text)
                if isinstance(error, Refused):
                    raise Refused(error.code, f"{error.message} The file is as it was.") from None
                raise
            await self._record(text, origin, comment)
            self._expected = None
            return [*loaded.warnings, *_of_reply(reply, loaded.warnings)]

    async def _write(self, path: Path, text: bytes) -> None:
        try:
            await asyncio.to_thread(write_file, path, text)
        except OSError as error:
            raise precondition(
                f"The configuration file cannot be written: {error.strerror or error}."
            ) from None

    async def _restore(self, path: Path, before: bytes, ours: bytes) -> None:
        """Put the old text back, unless another process has written the file meanwhile."""
        with contextlib.suppress(OSError):
            if await asyncio.to_thread(read_file, path, self._env) == ours:
                await asyncio.to_thread(write_file, path, before)
        # So that the relay, too, has forgotten the text that failed.
        with contextlib.suppress(Refused):
            await ask(self._link, ReloadCommand(id=0, origin="file"))


def _of_reply(reply: Reply, known: Sequence[Problem]) -> list[Problem]:
    """What the reload has warned of, and the check has not."""
    told = set(map(str, known))
    return [Problem(message=one, severity="warning") for one in reply.warnings if one not in told]


def _first(error: ConfigError) -> str:
    """The first mistake, with its place."""
    mistakes = [problem for problem in error.problems if problem.severity == "error"]
    first = mistakes[0]
    more = f" ({len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return f"{first}{more}"
