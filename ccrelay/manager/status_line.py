"""The status line inside Claude Code: what one session has to know, as small JSON, in one answer.

`GET /statusline?session=ID`. Members: target and model that answered its last turn, its cost and
that of today, the share of its input that came from the cache, the windows of its key, and what
went wrong a moment ago or goes wrong now. What is not known is null, or an empty text.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import msgspec

from ccrelay.control.http import HttpHandler, HttpRequest, HttpResponse
from ccrelay.ledger.record import Record, Result
from ccrelay.manager.facts import LedgerFacts
from ccrelay.manager.running import NotTold, RunningExchanges
from ccrelay.manager.state import RelayState
from ccrelay.manager.tail import TailHub
from ccrelay.store.filters import Filter
from ccrelay.store.ledger import Ledger
from ccrelay.store.sessions import SessionsQuestion, SessionSums
from ccrelay.store.sums import Sums
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.v1 import exchanges_pb2

PATH = "/statusline"
KEPT_S = 1.0  # an answer is given again for so long
SESSIONS_MAX = 64  # whose answers are kept
SESSION_CHARACTERS_MAX = 256
TROUBLE_S = 60.0  # what went wrong is told for so long
WAIT_US = 5_000_000  # a wait that is worth a word
RUNNING_S = 0.05  # workers are not waited for any longer
PLAN_S = 3600  # shorter windows are limits per minute


class Told(NamedTuple):
    """What the ledger, or the memory, tells of a session; micros are None where it is not known."""

    provider: str = ""
    key: str = ""
    model: str = ""
    micros: int | None = None
    hits: float | None = None


class StatusLine:
    """Answers what the status line asks.

    Args:
        state: of the relay.
        facts: sums of today.
        ledger: None: nothing is kept.
        tail: the last exchanges.
        running: those under way.
    """

    def __init__(
        self,
        state: RelayState,
        facts: LedgerFacts,
        ledger: Ledger | None,
        tail: TailHub,
        running: RunningExchanges,
    ) -> None:
        self._state = state
        self._facts = facts
        self._ledger = ledger
        self._tail = tail
        self._running = running
        self._clock = state.clock
        self._kept: dict[str, tuple[float, bytes]] = {}

    def routes(self) -> dict[str, HttpHandler]:
        """Return the handlers of GET."""
        return {PATH: self._answer}

    async def _answer(self, request: HttpRequest) -> HttpResponse:
        session = parse_qs(request.query).get("session", [""])[0][:SESSION_CHARACTERS_MAX]
        return HttpResponse(await self.body(session), content_type="application/json")

    async def body(self, session: str) -> bytes:
        """The JSON for a session; empty: for none."""
        now = self._clock.now()
        known = self._kept.pop(session, None)
        if known is None or now >= known[0] + KEPT_S:
            known = (now, msgspec.json.encode(await self.members(session)))
        self._kept[session] = known
        while len(self._kept) > SESSIONS_MAX:
            del self._kept[next(iter(self._kept))]
        return known[1]

    async def members(self, session: str) -> dict[str, Any]:
        """As `body`, not encoded."""
        await self._facts.refresh()
        today = self._facts.today()
        told = await self._told(session) if session else Told()
        windows, room = self._limits(told.provider, told.key)
        return {
            "provider": told.provider,
            "key": told.key,
            "model": told.model,
            "session_micros": told.micros,
            "today_billed_micros": today.billed_micros,
            "today_plan_micros": today.plan_micros,
            "cache_hit": told.hits,
            "windows": windows,
            "room": room,
            "trouble": await self._trouble(session) if session else None,
        }

    async def _told(self, session: str) -> Told:
        recent = self._tail.recent(lambda record: record.session == session)
        if self._ledger is not None:
            question = SessionsQuestion(Filter(), 0, 0, 0, 1, session)
            with contextlib.suppress(LedgerTrouble):
                found = await self._ledger.sessions(question)
                return of_ledger(found[0]) if found else Told()
        return of_memory(recent)

    def _limits(self, provider: str, key: str) -> tuple[list[dict[str, Any]], float | None]:
        """Windows of a plan, and what is left of the tightest limit."""
        found = self._state.live_key(provider, key)
        if found is None:
            return [], None
        windows = [
            {
                "name": one.name,
                "utilization": one.utilization,
                "resets_at_ms": one.resets_at_ms,
                "full_at_ms": one.full_at_ms,
            }
            for one in found.windows
            if one.length_s >= PLAN_S
        ]
        return windows, found.room if found.HasField("room") else None

    async def _trouble(self, session: str) -> dict[str, Any] | None:
        """What goes wrong now, else what went wrong a moment ago; None: nothing."""
        with contextlib.suppress(NotTold, TimeoutError):
            async with asyncio.timeout(RUNNING_S):
                for one in (await self._running.newest()).running:
                    if one.session == session and one.failed:
                        return _under_way(one)
        since_us = (self._clock.now_ms() - TROUBLE_S * 1000) * 1000
        recent = self._tail.recent(
            lambda record: (
                record.session == session and record.started_at_us + record.duration_us >= since_us
            )
        )
        for record in reversed(recent):
            if (trouble := trouble_of(record)) is not None:
                return trouble
        return None


def of_ledger(one: SessionSums) -> Told:
    """What the ledger tells of a session."""
    sums = Sums(*one.sums)
    return Told(one.provider, one.key, one.model, sums.cost_micros, _hits([sums]))


def of_memory(recent: Sequence[Record]) -> Told:
    """What is known without a ledger, by its last exchanges, in the order in which they ended."""
    turns = [one for one in recent if one.has_usage and not one.agent]
    if not turns:
        return Told()
    last = turns[-1]
    key = last.key_name or last.key
    return Told(last.provider, key, last.sent, None, _hits(recent))


def _hits(amounts: Sequence[Sums] | Sequence[Record]) -> float | None:
    read = sum(one.cache_read for one in amounts)
    written = sum(one.cache_write_5m + one.cache_write_1h for one in amounts)
    whole = read + written + sum(one.input for one in amounts)
    return round(read / whole, 4) if whole else None


def _under_way(one: exchanges_pb2.Running) -> dict[str, Any]:
    return _trouble("retrying", why=one.failed, to=f"{one.provider}/{one.key}".strip("/"))


def trouble_of(record: Record) -> dict[str, Any] | None:
    """What was unusual about an exchange that is over; None: nothing that is worth a word."""
    here = f"{record.provider}/{record.key_name or record.key}".strip("/")
    failed = [one for one in record.tries if one.verdict not in ("answered", "client_left")]
    first = failed[0] if failed else None
    is_failover = record.result == Result.FAILOVER and first is not None
    if record.moved or is_failover:
        return _trouble(
            "moved" if record.moved else "failover",
            why=(str(first.status) if first.status else first.verdict) if first else "",
            came=f"{first.provider}/{first.key_name or first.key}" if first else "",
            to=here,
            lost_micros=max(record.moved_micros, 0),
        )
    if record.queued_us > WAIT_US:
        return _trouble("waited", to=here, waited_ms=record.queued_us // 1000)
    return None


def _trouble(
    kind: str,
    *,
    why: str = "",
    came: str = "",
    to: str = "",
    lost_micros: int = 0,
    waited_ms: int = 0,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "why": why,
        "from": came,
        "to": to,
        "lost_micros": lost_micros,
        "waited_ms": waited_ms,
    }
