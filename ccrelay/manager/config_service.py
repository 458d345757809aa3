"""The service Config: shows, checks and changes the configuration file."""

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ccrelay.config.mask import Masked, masked, unmasked
from ccrelay.config.model import Config
from ccrelay.config.problems import ConfigError, Problem, path_text
from ccrelay.config.show import redacted
from ccrelay.manager.config_changes import config_changes
from ccrelay.manager.config_text import NO_FILE, ConfigText
from ccrelay.manager.errors import Refused, invalid, not_found, precondition, unary
from ccrelay.manager.file_values import parse
from ccrelay.manager.pages import page
from ccrelay.manager.revisions import COMMENT_CHARACTERS_MAX, Entry, digest_of
from ccrelay.manager.state import RelayState
from ccrelay.printable import printable
from ccrelay.v1 import config_pb2 as v1, config_pb2_grpc

PAGE_SIZE = 50
PAGE_SIZE_MAX = 500
PROBLEMS_MAX = 500
FORMATS = ("yaml", "toml")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class ConfigService(config_pb2_grpc.ConfigServicer):
    """Implements ccrelay.v1.Config.

    Args:
        state: the configuration in force.
        text: its text, and the way to another one.
    """

    def __init__(self, state: RelayState, text: ConfigText) -> None:
        self._state = state
        self._text = text
        self._checks = asyncio.Semaphore(1)  # a check takes the interpreter for itself

    @unary
    async def Get(self, request: v1.ConfigGetRequest) -> v1.ConfigGetResponse:  # noqa: N802
        """See the schema."""
        path, number = self._text.path, self._state.revision
        data = b""
        if request.revision and request.revision != number:
            number = request.revision
            data = self._revision(number)
        elif path is not None:
            data = await self._current()
        shown = await self._masked(data)
        return v1.ConfigGetResponse(
            file=self._text.whole_path,
            format="" if path is None else self._format(),
            revision=number if path is not None else 0,
            text=shown.text,
            effective=await asyncio.to_thread(effective, self._state.config),
            digest=digest_of(data) if path is not None else "",
        )

    @unary
    async def Validate(self, request: v1.ValidateRequest) -> v1.ValidateResponse:  # noqa: N802
        """See the schema."""
        name = request.format or self._format()
        if name not in FORMATS:
            raise invalid("The format is yaml or toml; empty: as the file.")
        is_toml = name == "toml"
        path = self._text.path
        if path is None or is_toml != self._text.is_toml:
            folder = path.parent if path is not None else Path.cwd()
            path = folder / f"config.{name}"
        try:
            text = unmasked(request.text, (await self._shown()).secrets)
        except ValueError as error:
            problem = v1.Problem(error=True, message=f"{error}.")
            return v1.ValidateResponse(problems=[problem])
        async with self._checks:
            try:
                loaded = await self._text.check(text.encode(), path)
            except ConfigError as error:
                return v1.ValidateResponse(problems=problems(error.problems))
            changes = await asyncio.to_thread(self._changes, loaded.config, text, is_toml)
            had = await self._missing_in_force() if loaded.missing_secrets else frozenset()
        unset = [one for one in loaded.missing_secrets.values() if one.message not in had]
        found = [*loaded.warnings, *missing(unset)]
        return v1.ValidateResponse(ok=True, problems=problems(found), changes=changes)

    @unary
    async def Apply(self, request: v1.ApplyRequest) -> v1.ApplyResponse:  # noqa: N802
        """See the schema."""
        if len(request.comment) > COMMENT_CHARACTERS_MAX:
            raise invalid(f"The comment is longer than {COMMENT_CHARACTERS_MAX} characters.")
        if request.base and not _DIGEST.match(request.base):
            raise invalid("The base is the digest that Get returned, 64 hexadecimal digits.")
        if self._text.path is None:
            raise precondition(NO_FILE)
        try:
            text = unmasked(request.text, (await self._shown()).secrets)
        except ValueError as error:
            raise precondition(f"The text cannot be applied: {error}.") from None
        comment = " ".join(printable(request.comment).split())
        found = await self._text.apply(
            text.encode(), origin="apply", base=request.base, comment=comment
        )
        return v1.ApplyResponse(revision=self._state.revision, problems=problems(found))

    @unary
    async def ListRevisions(  # noqa: N802
        self, request: v1.ListRevisionsRequest
    ) -> v1.ListRevisionsResponse:
        """See the schema."""
        entries = await asyncio.to_thread(self._text.entries)
        size = min(request.page_size or PAGE_SIZE, PAGE_SIZE_MAX)
        newest_first = sorted(entries, key=lambda entry: -entry.number)
        found, token = page(newest_first, size, request.page_token, lambda entry: entry.number)
        return v1.ListRevisionsResponse(
            revisions=[_revision(entry) for entry in found], next_page_token=token
        )

    @unary
    async def Rollback(self, request: v1.RollbackRequest) -> v1.RollbackResponse:  # noqa: N802
        """See the schema."""
        if not request.revision:
            raise invalid("The revision is missing: `ccrelay config revisions` lists them.")
        if self._text.path is None:
            raise precondition(NO_FILE)
        data = self._revision(request.revision)
        found = await self._text.apply(
            data, origin="rollback", comment=f"text of revision {request.revision}"
        )
        return v1.RollbackResponse(revision=self._state.revision, problems=problems(found))

    # ---- parts

    async def _missing_in_force(self) -> frozenset[str]:
        """What the manager lacks of the configuration in force, and the supervisor has: variables
        with secrets are not in the environment of other processes."""
        if self._text.in_force is None:
            return frozenset()
        try:
            loaded = await self._text.check(self._text.in_force)
        except ConfigError:
            return frozenset()
        return frozenset(problem.message for problem in loaded.missing_secrets.values())

    def _format(self) -> str:
        return "toml" if self._text.is_toml else "yaml"

    async def _current(self) -> bytes:
        """The file as it stands; the text in force where it cannot be read."""
        try:
            return await self._text.read()
        except Refused:
            return self._text.in_force or b""

    async def _shown(self) -> Masked:
        """The masks that a client may have got: of the file, and of the text in force."""
        if self._text.path is None:
            return Masked("", {})
        secrets: dict[str, str] = {}
        for data in dict.fromkeys([self._text.in_force or b"", await self._current()]):
            secrets |= (await self._masked(data)).secrets
        return Masked("", secrets)

    async def _masked(self, data: bytes) -> Masked:
        """A text as it may be shown. In a thread: a large one takes a second."""
        async with self._checks:
            return await asyncio.to_thread(masked, _decoded(data), is_toml=self._text.is_toml)

    def _revision(self, number: int) -> bytes:
        data = self._text.text_of(number)
        if data is None:
            kept = [entry.number for entry in self._text.entries()]
            told = f"{kept[0]} to {kept[-1]} are kept" if kept else "none is kept"
            raise not_found(f"There is no revision {number}: {told}.")
        return data

    def _changes(self, config: Config, text: str, is_toml: bool) -> list[str]:
        before = self._text.in_force
        if before is None or self._text.path is None:
            return []
        try:
            old = load_before(before, self._text.path)
        except ConfigError:
            return []
        raw_before = parse(_decoded(before), is_toml=self._text.is_toml).data
        return config_changes(old, raw_before, config, parse(text, is_toml=is_toml).data)


def load_before(text: bytes, path: Path) -> Config:
    """The configuration of the text in force. Raises ConfigError."""
    from ccrelay.config.load import load_text

    return load_text(text, path).config


def effective(config: Config) -> str:
    """A configuration as YAML, secrets as fingerprints."""
    import yaml

    text: str = yaml.safe_dump(redacted(config), sort_keys=False, width=100, allow_unicode=True)
    return text


def problems(found: Iterable[Problem]) -> list[v1.Problem]:
    """As messages, mistakes first."""
    ordered = sorted(found, key=lambda problem: problem.severity != "error")
    return [
        v1.Problem(
            error=problem.severity == "error",
            line=problem.mark.line if problem.mark else 0,
            column=problem.mark.column if problem.mark else 0,
            path=path_text(problem.path),
            message=printable(problem.message),
        )
        for problem in ordered[:PROBLEMS_MAX]
    ]


def missing(secrets: Iterable[Problem]) -> list[Problem]:
    """Warnings about secrets that could not be had here."""
    return [msgspec.structs.replace(problem, severity="warning") for problem in secrets]


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _revision(entry: Entry) -> v1.Revision:
    return v1.Revision(
        revision=entry.number,
        applied_at_ms=entry.applied_at_ms,
        origin=entry.origin,
        comment=printable(entry.comment),
        digest=entry.digest,
        lines_added=entry.lines_added,
        lines_removed=entry.lines_removed,
    )
