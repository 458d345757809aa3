"""The service Relay: state and life of the relay as a whole."""

import asyncio
import contextlib
import platform
import sqlite3
import ssl
from collections.abc import AsyncGenerator
from importlib import metadata
from typing import get_args

import grpc

from ccrelay import __version__
from ccrelay.config.model import Level
from ccrelay.config.problems import quoted
from ccrelay.manager.clock import Clock
from ccrelay.manager.config_text import ConfigText
from ccrelay.manager.errors import (
    Link,
    Refused,
    ask,
    invalid,
    order,
    precondition,
    streaming,
    unary,
)
from ccrelay.manager.facts import LedgerFacts
from ccrelay.manager.sign_in import SignInLinks
from ccrelay.manager.state import RelayState
from ccrelay.manager.status import status_of
from ccrelay.manager.watch import TOO_MANY, Broadcast, TooManyWatchers
from ccrelay.runtime.control import ControlError
from ccrelay.runtime.manager_link import (
    DrainCommand,
    LogLevelCommand,
    ReloadCommand,
    StatsCommand,
    StopCommand,
)
from ccrelay.v1 import relay_pb2 as v1, relay_pb2_grpc

# A watcher that asks for more rarely than this has the sign of life in between.
INTERVAL_MAX_S = 60.0
STATS_LIMIT_S = 0.5  # a status does not wait longer for the workers' counters
STATS_EVERY_S = 1.0
LIBRARIES = ("grpcio", "protobuf", "uvloop", "msgspec", "h11", "PyYAML", "watchfiles")


class Statuses:
    """The status, for one caller and for all who watch.

    Args:
        state: of the relay.
        facts: what the ledger tells.
        link: to the supervisor.
    """

    def __init__(self, state: RelayState, facts: LedgerFacts, link: Link) -> None:
        self._state = state
        self._facts = facts
        self._link = link
        self._counted_at = float("-inf")

    @property
    def _clock(self) -> Clock:
        return self._state.clock

    def compute(self) -> v1.Status:
        """The status by what is known now."""
        self._state.today = self._facts.today()
        return status_of(self._state)

    async def refresh(self) -> None:
        """Ask the ledger and the workers what the memory does not tell; each at most once a
        second."""
        await self._facts.refresh()
        now = self._clock.now()
        if now < self._counted_at + STATS_EVERY_S:
            return
        self._counted_at = now
        with contextlib.suppress(TimeoutError, ControlError, OSError):
            async with asyncio.timeout(STATS_LIMIT_S):
                reply = await self._link.call(StatsCommand(id=0))
                self._state.queued = sum(one.get("queued", 0) for one in reply.stats)


def is_same(one: v1.Status, other: v1.Status) -> bool:
    """Whether two statuses differ in nothing but their time."""
    if one.at_ms == other.at_ms:
        return one == other
    copy = v1.Status()
    copy.CopyFrom(one)
    copy.at_ms = other.at_ms
    return copy == other


def change(before: v1.Status, now: v1.Status) -> v1.WatchStatusResponse:
    """What a watcher that has one status needs to have the next."""
    known = {provider.name: provider for provider in before.providers}
    left = {provider.name for provider in now.providers}
    stay = [name for name in known if name in left]
    names = [provider.name for provider in now.providers]
    if names != [*stay, *(name for name in names if name not in known)]:
        # A client puts what is new at the end: it would show another order.
        return v1.WatchStatusResponse(status=now, whole=True)
    status = v1.Status()
    status.CopyFrom(now)
    del status.providers[:]
    status.providers.extend(one for one in now.providers if known.get(one.name) != one)
    gone = [name for name in known if name not in left]
    return v1.WatchStatusResponse(status=status, removed_providers=gone)


class RelayService(relay_pb2_grpc.RelayServicer):
    """Implements ccrelay.v1.Relay.

    Args:
        state: of the relay.
        statuses: makes the status.
        broadcast: of the status, for watchers.
        link: to the supervisor.
        text: of the configuration file.
        sign_in: makes links to the web page.
    """

    def __init__(
        self,
        state: RelayState,
        statuses: Statuses,
        broadcast: Broadcast[v1.Status],
        link: Link,
        text: ConfigText,
        sign_in: SignInLinks,
    ) -> None:
        self._text = text
        self._sign_in = sign_in
        self._state = state
        self._statuses = statuses
        self._broadcast = broadcast
        self._link = link

    @unary
    async def GetStatus(self, request: v1.GetStatusRequest) -> v1.GetStatusResponse:  # noqa: N802
        """See the schema."""
        await self._statuses.refresh()
        return v1.GetStatusResponse(status=self._statuses.compute())

    @streaming
    async def WatchStatus(  # noqa: N802
        self, request: v1.WatchStatusRequest
    ) -> AsyncGenerator[v1.WatchStatusResponse, None]:
        """See the schema."""
        await self._statuses.refresh()
        interval_s = min(request.interval_ms / 1000, INTERVAL_MAX_S)
        before: v1.Status | None = None
        try:
            async with contextlib.aclosing(self._broadcast.watch(interval_s)) as statuses:
                async for status in statuses:
                    if before is None:
                        yield v1.WatchStatusResponse(status=status, whole=True)
                    else:
                        yield change(before, status)
                    before = status
        except TooManyWatchers:
            raise too_many() from None

    @unary
    async def Reload(self, request: v1.ReloadRequest) -> v1.ReloadResponse:  # noqa: N802
        """See the schema."""
        reply = await ask(self._link, ReloadCommand(id=0, origin="signal"))
        if reply.error:
            raise precondition(reply.error)
        await self._text.settled()
        return v1.ReloadResponse(
            changed=reply.changed, revision=self._state.revision, warnings=reply.warnings
        )

    @unary
    async def Drain(self, request: v1.DrainRequest) -> v1.DrainResponse:  # noqa: N802
        """See the schema."""
        in_flight = self._state.live.in_flight()
        reply = await order(self._link, DrainCommand(id=0))
        self._state.is_draining = True
        return v1.DrainResponse(in_flight=in_flight, limit_s=reply.limit_s)

    @unary
    async def Stop(self, request: v1.StopRequest) -> v1.StopResponse:  # noqa: N802
        """See the schema."""
        in_flight = self._state.live.in_flight()
        await order(self._link, StopCommand(id=0))
        return v1.StopResponse(in_flight=in_flight)

    @unary
    async def SetLogLevel(  # noqa: N802
        self, request: v1.SetLogLevelRequest
    ) -> v1.SetLogLevelResponse:
        """See the schema."""
        levels = get_args(Level)
        if request.level not in levels:
            raise invalid(
                f"{quoted(request.level)} is no log level: use one of {', '.join(levels)}."
            )
        reply = await order(self._link, LogLevelCommand(id=0, level=request.level))
        return v1.SetLogLevelResponse(previous=reply.previous)

    @unary
    async def GetVersion(self, request: v1.GetVersionRequest) -> v1.GetVersionResponse:  # noqa: N802
        """See the schema."""
        return v1.GetVersionResponse(
            version=__version__,
            python=platform.python_version(),
            platform=f"{platform.system()} {platform.machine()}",
            libraries=libraries(),
        )

    @unary
    async def CreateSignInLink(  # noqa: N802
        self, request: v1.CreateSignInLinkRequest
    ) -> v1.CreateSignInLinkResponse:
        """See the schema."""
        url, expires_at_ms = self._sign_in.link(is_read_only=request.read_only)
        return v1.CreateSignInLinkResponse(url=url, expires_at_ms=expires_at_ms)


def too_many() -> Refused:
    """The error for one watcher more than are allowed."""
    return Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, TOO_MANY)


def libraries() -> dict[str, str]:
    """Names and versions of what it is built on."""
    found = {"OpenSSL": ssl.OPENSSL_VERSION, "SQLite": sqlite3.sqlite_version}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
