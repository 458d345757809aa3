"""Exchanges under way: asked of the workers while they are watched, once for all who do.

Without a watcher nothing is computed. A slow reader gets the newest message when it reads again.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

import msgspec

from ccrelay.ledger.running import Running, RunningList
from ccrelay.manager.clock import Clock
from ccrelay.manager.errors import Link
from ccrelay.manager.watch import WATCHERS_MAX, TooManyWatchers
from ccrelay.runtime.control import ControlError
from ccrelay.runtime.manager_link import StatsCommand
from ccrelay.store.names import class_name, kind_name
from ccrelay.v1 import exchanges_pb2 as v1

RUNNING_MAX = 500
INTERVAL_DEFAULT_S = 1.0
INTERVAL_MIN_S = 0.2
INTERVAL_MAX_S = 60.0
KEPT_S = 0.15  # who asks sooner than this after another one gets the same answer
LIMIT_S = 5.0

_decode = msgspec.msgpack.Decoder(RunningList).decode


class NotTold(Exception):
    """The supervisor did not answer, and why."""


class RunningExchanges:
    """The exchanges under way of all workers, for any number of watchers.

    Args:
        link: to the supervisor.
        clock: both clocks.
    """

    def __init__(self, link: Link, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._watchers = 0
        self._asked: asyncio.Task[v1.WatchRunningResponse] | None = None
        self._asked_at = float("-inf")

    async def watch(self, interval_s: float) -> AsyncGenerator[v1.WatchRunningResponse, None]:
        """Messages for ever, so far apart; 0.0: the usual time.

        Raises:
            TooManyWatchers: as many as are allowed are watching.
            NotTold: the supervisor does not answer.
        """
        if self._watchers >= WATCHERS_MAX:
            raise TooManyWatchers
        pause_s = min(max(interval_s or INTERVAL_DEFAULT_S, INTERVAL_MIN_S), INTERVAL_MAX_S)
        self._watchers += 1
        try:
            while True:
                yield await self.newest()
                await asyncio.sleep(pause_s)
        finally:
            self._watchers -= 1

    async def newest(self) -> v1.WatchRunningResponse:
        """All that are under way now, or were KEPT_S ago. Must not be changed.

        Raises:
            NotTold: the supervisor does not answer.
        """
        now = self._clock.now()
        if self._asked is None or (self._asked.done() and now >= self._asked_at + KEPT_S):
            self._asked_at = now
            self._asked = asyncio.ensure_future(self._ask())
            self._asked.add_done_callback(_look_at)
        # Others wait for the same answer: one that is cancelled leaves it to them.
        return await asyncio.shield(self._asked)

    async def _ask(self) -> v1.WatchRunningResponse:
        try:
            async with asyncio.timeout(LIMIT_S):
                reply = await self._link.call(StatsCommand(id=0, running=RUNNING_MAX))
        except (TimeoutError, ControlError, OSError, EOFError):
            raise NotTold("the supervisor does not answer: look at its log") from None
        if reply.error:
            raise NotTold(reply.error)
        return merged(reply.running, self._clock.now_ms())


def _look_at(asked: asyncio.Task[v1.WatchRunningResponse]) -> None:
    """Retrieve the error: the caller that would have may be gone."""
    if not asked.cancelled():
        asked.exception()


def merged(told: Sequence[bytes], now_ms: int) -> v1.WatchRunningResponse:
    """What the workers told, as one message. One whose answer cannot be read is left out."""
    total = 0
    found: list[Running] = []
    for data in told:
        try:
            one = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):  # of another version
            continue
        total += one.total
        found += one.exchanges
    found.sort(key=lambda one: one.started_at_us)
    return v1.WatchRunningResponse(
        running=[message_of(one) for one in found[:RUNNING_MAX]], total=total, at_ms=now_ms
    )


def message_of(one: Running) -> v1.Running:
    """An exchange under way as the schema has it. Phases have the same numbers."""
    return v1.Running(
        id=one.id,
        started_at_ms=one.started_at_us // 1000,
        phase=one.phase,  # type: ignore[arg-type]
        kind=kind_name(one.kind),
        traffic_class=class_name(one.traffic),
        model=one.model,
        sent_model=one.sent,
        provider=one.provider,
        key=one.key_name or one.key,
        attempts=max(one.attempts, 0),
        session=one.session,
        agent=one.agent,
        project=one.project,
        first_event_ms=one.first_event_us / 1000,
        bytes_out=one.bytes_out,
        failed=one.failed,
    )
