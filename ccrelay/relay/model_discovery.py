"""Model lists of providers with `discover_models: true`.

A list is fetched when a client requests models, cached, and shared by all clients. Exception: the
list of a provider that gets the client's own credential is fetched for each request and not cached.
A client waits at most HOLD_S; a later response is cached for the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from ccrelay import __version__
from ccrelay._fast.http1 import Head
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.types import LogSink
from ccrelay.upstream.dial import Dialer
from ccrelay.upstream.fetch import Fields, fetch
from ccrelay.upstream.tasks import TaskSet
from ccrelay.wire.models import (
    ModelEntry,
    configured_entries,
    discovered_entries,
    merge,
    next_page,
)

Fetch = Callable[[ProviderState, bytes, Fields], Awaitable[bytes]]
"""GETs a path with query from a provider, with these header fields. Raises UpstreamFailed."""

# Claude Code waits 3 s, then uses its built-in list (gateway contract, section 8).
HOLD_S = 2.5
FETCH_S = 15.0  # longer than HOLD_S: a slow response serves the next client
KEPT_S = 300.0  # new models come a few times a year
FAILURE_KEPT_S = 30.0
LIST_BYTES_MAX = 4 << 20  # of all pages; the largest list, OpenRouter's, is 400 models in 0.5 MB
PAGES_MAX = 20  # of a provider that ignores `limit`, too

# 1000 is Anthropic's maximum; others ignore the parameter.
QUERY = b"/v1/models?limit=1000"
_VERSION = (b"anthropic-version", b"2023-06-01")
# The client's credential fields; an OAuth bearer is accepted only together with its beta header.
_CLIENT_FIELDS = (b"authorization", b"x-api-key", b"anthropic-beta")


class _Found(NamedTuple):
    """What a provider's pages held."""

    entries: list[ModelEntry]
    is_whole: bool  # False: a further page could not be fetched


class _List:
    """The cached list of one provider."""

    __slots__ = ("entries", "fresh_until", "provider", "task")

    def __init__(self, provider: ProviderState) -> None:
        self.provider = provider
        self.entries: list[ModelEntry] = []  # of the last successful fetch; kept over failures
        self.fresh_until = 0.0  # loop time before which it is not fetched again
        self.task: asyncio.Task[None] | None = None  # the fetch in flight

    def __repr__(self) -> str:
        state = "fetching" if self.task else f"fresh until {self.fresh_until:.1f}"
        return f"<_List {self.provider.name} {len(self.entries)} models, {state}>"


class ModelDiscovery:
    """The models of all providers: configured ones first, then discovered ones.

    Args:
        providers: all enabled providers.
        fetch: fetches a list.
        loop: the worker's event loop; its clock expires lists.
        tasks: runs fetches.
        log: gets one event per failed fetch.
    """

    def __init__(
        self,
        providers: Sequence[ProviderState],
        fetch: Fetch,
        *,
        loop: asyncio.AbstractEventLoop,
        tasks: TaskSet,
        log: LogSink,
    ) -> None:
        self.configured = merge(configured_entries(provider.config) for provider in providers)
        # Clouds list models at other hosts, or not at all.
        self._services = [
            s for s in providers if s.config.discover_models and s.targets and not s.bridges
        ]
        self._lists = {
            provider.name: _List(provider)
            for provider in self._services
            if not provider.passes_client_credential
        }
        self._passing = [s for s in self._services if s.passes_client_credential]
        self._fetch = fetch
        self._loop = loop
        self._tasks = tasks
        self._log = log

    def credential_of(self, head: Head, passed: ClientAuth) -> Fields:
        """The client's own credential, for providers that get it; empty when no provider does."""
        if not self._passing or not passed.has_own:
            return ()
        held_back = set()
        if passed.token_in_bearer:
            held_back.add(b"authorization")
        if passed.token_in_key:
            held_back.add(b"x-api-key")
        names = (name for name in _CLIENT_FIELDS if name not in held_back)
        return [(name, value) for name in names if (value := head.passing(name)) is not None]

    def at_once(self, client: Fields) -> list[ModelEntry] | None:
        """All models when no list has to be fetched now, else None."""
        if self._passing and client:
            return None
        now = self._loop.time()
        if any(known.fresh_until <= now for known in self._lists.values()):
            return None
        return self._merged({})

    async def gather(self, client: Fields) -> list[ModelEntry]:
        """All models known after at most HOLD_S.

        Args:
            client: the client's own credential (`credential_of`).
        """
        now = self._loop.time()
        due = [known for known in self._lists.values() if known.fresh_until <= now]
        shared = [known.task or self._refresh(known) for known in due]
        own = {
            provider.name: self._tasks.spawn(
                self._ask(provider, client), f"models of {provider.name} for a client"
            )
            for provider in (self._passing if client else ())
        }
        asked: list[asyncio.Task[None] | asyncio.Task[_Found | None]] = [*shared]
        asked += own.values()
        try:
            if asked:
                await asyncio.wait(asked, timeout=HOLD_S)
        finally:
            # Lists for one client's credential are of no use to others.
            for task in own.values():
                task.cancel()
        return self._merged({name: _result(task) for name, task in own.items()})

    def _refresh(self, known: _List) -> asyncio.Task[None]:
        name = f"models of {known.provider.name}"
        known.task = self._tasks.spawn(self._renew(known), name)
        return known.task

    async def _renew(self, known: _List) -> None:
        provider = known.provider
        key = next((key.key for key in provider.config.keys if key.enabled), None)
        try:
            found = await self._ask(provider, provider.dialect.credential_lines(key))
            now = self._loop.time()
            is_whole = found is not None and found.is_whole
            known.fresh_until = now + (KEPT_S if is_whole else FAILURE_KEPT_S)
            if found is not None and (is_whole or len(found.entries) > len(known.entries)):
                known.entries = found.entries
        finally:
            known.task = None

    async def _ask(self, provider: ProviderState, credential: Fields) -> _Found | None:
        """The provider's list, or None when not even its first page could be fetched."""
        path = first = provider.dialect.prefix() + QUERY
        fields = _fields(provider, credential)
        entries: list[ModelEntry] = []
        cursors: set[str] = set()
        left = LIST_BYTES_MAX
        until = self._loop.time() + FETCH_S
        while True:
            try:
                listing = await self._fetch(provider, path, fields)
            except UpstreamFailed as error:
                self._failed(provider, error.message)
                return _Found(entries, False) if entries else None
            found = discovered_entries(listing, provider.dialect.matcher)
            if not found and b'"data"' not in listing:
                self._failed(provider, "the response is not a list of models")
                return _Found(entries, False) if entries else None
            entries += found
            left -= len(listing)
            cursor = next_page(listing)
            # A provider that ignores `after_id` sends its first page for ever.
            if cursor is None or cursor in cursors:
                return _Found(entries, True)
            cursors.add(cursor)
            if len(cursors) >= PAGES_MAX or left <= 0 or self._loop.time() >= until:
                self._failed(provider, f"the list goes on after {len(cursors)} pages")
                return _Found(entries, False)
            path = first + b"&after_id=" + quote(cursor, safe="").encode()

    def _failed(self, provider: ProviderState, reason: str) -> None:
        # A failure of a client's own credential is not the operator's concern.
        level = "info" if provider.passes_client_credential else "warning"
        self._log.event(level, "models_unknown", provider=provider.name, reason=reason)

    def _merged(self, own: dict[str, list[ModelEntry]]) -> list[ModelEntry]:
        def groups() -> Iterable[Iterable[ModelEntry]]:
            yield self.configured
            for provider in self._services:
                known = self._lists.get(provider.name)
                yield own.get(provider.name, ()) if known is None else known.entries

        return merge(groups())


def fetch_over(dialers: Mapping[str, Dialer], loop: asyncio.AbstractEventLoop) -> Fetch:
    """The fetch function of production: a connection per request, with limits on size and time."""

    async def get(provider: ProviderState, path: bytes, fields: Fields) -> bytes:
        return await fetch(
            dialers[provider.name],
            loop,
            path,
            fields,
            bytes_max=LIST_BYTES_MAX,
            limit_s=FETCH_S,
        )

    return get


def _fields(provider: ProviderState, credential: Fields) -> Fields:
    dialect = provider.dialect
    own = [
        (b"host", dialect.host()),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
        (b"connection", b"close"),
        (b"user-agent", f"ccrelay/{__version__}".encode()),
        _VERSION,
    ]
    # Configured headers replace those of the client and these.
    given = [field for field in (*own, *credential) if field[0] not in dialect.drop_names]
    return [*given, *dialect.static_headers]


def _result(task: "asyncio.Task[_Found | None]") -> list[ModelEntry]:
    if not task.done() or task.cancelled() or task.exception() is not None:
        return []
    found = task.result()
    return found.entries if found is not None else []
