"""The service Exchanges: pages, one exchange with its reasons, exchanges as they end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from ccrelay.config.model import Provider
from ccrelay.config.problems import quoted
from ccrelay.ledger.record import Record
from ccrelay.manager.answers import (
    EXHAUSTED,
    INVALID,
    NOT_FOUND,
    UNAVAILABLE,
    Refusal,
    abort,
    filter_of,
    page_size,
    range_of,
    sentence,
    token_of,
    token_values,
    trouble,
)
from ccrelay.manager.bill import bill_of
from ccrelay.manager.choice import attempts_of, choice_of
from ccrelay.manager.convert import exchange_of
from ccrelay.manager.running import NotTold, RunningExchanges
from ccrelay.manager.tail import TailHub, TailReader
from ccrelay.manager.watch import TOO_MANY, TooManyWatchers
from ccrelay.store.filters import Filter
from ccrelay.store.ledger import Ledger
from ccrelay.store.pages import bounds
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.v1 import exchanges_pb2, exchanges_pb2_grpc

PAGE_DEFAULT, PAGE_MAX = 100, 1000
LAST_MAX = 1000
TAIL_MESSAGE_MAX = 200  # exchanges in one message
# Messages to one reader come no faster: what ends meanwhile goes with the next one.
TAIL_PAUSE_S = 0.1
ID_BEGIN = "req_ccrelay_"
OFF = "Nothing is kept: set ledger.enabled to true."


class ExchangesService(exchanges_pb2_grpc.ExchangesServicer):
    """Answers for `ccrelay.v1.Exchanges`.

    Args:
        ledger: None: nothing is kept; Tail works all the same.
        tail: exchanges as they end.
        providers: those of the configuration in force.
        running: exchanges under way.
    """

    def __init__(
        self,
        ledger: Ledger | None,
        tail: TailHub,
        providers: Callable[[], Sequence[Provider]],
        running: RunningExchanges,
    ) -> None:
        self._running = running
        self._ledger = ledger
        self._tail = tail
        self._providers = providers

    async def List(  # noqa: N802  # as the schema spells it
        self, request: exchanges_pb2.ExchangesListRequest, context: Any
    ) -> exchanges_pb2.ExchangesListResponse:
        """Newest first, by pages."""
        try:
            return await self._list(request)
        except Refusal as refusal:
            await abort(context, refusal)

    async def Get(  # noqa: N802
        self, request: exchanges_pb2.ExchangesGetRequest, context: Any
    ) -> exchanges_pb2.ExchangesGetResponse:
        """One exchange, by its id or a beginning of it that is unique."""
        try:
            record = await self._get(request.id.strip())
        except Refusal as refusal:
            await abort(context, refusal)
        return exchanges_pb2.ExchangesGetResponse(
            exchange=exchange_of(record),
            attempts=attempts_of(record),
            choice=choice_of(record),
            bill=bill_of(record, self._providers()),
        )

    async def Tail(  # noqa: N802
        self, request: exchanges_pb2.TailRequest, context: Any
    ) -> AsyncIterator[exchanges_pb2.TailResponse]:
        """Exchanges as they end, for ever."""
        try:
            chosen = filter_of(request.filter)
            if request.last > LAST_MAX:
                raise Refusal(INVALID, f"last is at most {LAST_MAX}, not {request.last}.")
        except Refusal as refusal:
            await abort(context, refusal)
        reader = self._tail.open(chosen.matches)
        try:
            before = await self._last(chosen, request.last)
            for message in _messages(before, 0):
                yield message
            async for message in _following(reader, {record.id for record in before}):
                yield message
        finally:
            self._tail.close(reader)

    async def WatchRunning(  # noqa: N802
        self, request: exchanges_pb2.WatchRunningRequest, context: Any
    ) -> AsyncIterator[exchanges_pb2.WatchRunningResponse]:
        """Exchanges under way, for ever."""
        try:
            watching = self._running.watch(request.interval_ms / 1000)
            async with contextlib.aclosing(watching) as messages:
                async for message in messages:
                    yield message
        except TooManyWatchers:
            await abort(context, Refusal(EXHAUSTED, TOO_MANY))
        except NotTold as error:
            await abort(context, Refusal(UNAVAILABLE, sentence(str(error))))

    async def _list(
        self, request: exchanges_pb2.ExchangesListRequest
    ) -> exchanges_pb2.ExchangesListResponse:
        chosen = filter_of(request.filter)
        since_ms, until_ms = range_of(request.since_ms, request.until_ms)
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
        mark = f"{request.filter}\n{since_ms}\n{until_ms}".encode()
        first, end = bounds(since_ms, until_ms)
        if request.page_token:
            (end,) = token_values(request.page_token, mark, 1)
        ledger = self._kept()
        try:
            found = await ledger.page(chosen, first=first, end=end, limit=size + 1)
        except LedgerTrouble as error:
            raise trouble(error) from error
        shown = found[:size]
        return exchanges_pb2.ExchangesListResponse(
            exchanges=[exchange_of(one.record) for one in shown],
            next_page_token=token_of(mark, shown[-1].seq) if len(found) > size else "",
        )

    async def _get(self, name: str) -> Record:
        if not name:
            raise Refusal(INVALID, "An id is missing: take one from the list of exchanges.")
        # What has just ended is told to those who follow before the ledger has it.
        if recent := self._tail.recent(lambda record: record.id == name):
            return recent[-1]
        ledger = self._kept()
        try:
            found = await ledger.get(name)
            if found is None:
                found = await ledger.get(await self._unique(ledger, name))
        except LedgerTrouble as error:
            raise trouble(error) from error
        if found is None:  # deleted between the two questions
            raise _unknown(name)
        return found.record

    async def _unique(self, ledger: Ledger, begin: str) -> str:
        """The one id that begins so; what all ids begin with may be left out."""
        names = await ledger.find(begin)
        if not begin.startswith(ID_BEGIN):
            names += [one for one in await ledger.find(ID_BEGIN + begin) if one not in names]
        if not names:
            raise _unknown(begin)
        if len(names) > 1:
            shown = ", ".join(sorted(names)[:5])
            more = ", ..." if len(names) > 5 else ""
            raise Refusal(
                INVALID, f"Several ids begin with {begin!r}: {shown}{more}. Give more of it."
            )
        return names[0]

    async def _last(self, chosen: Filter, count: int) -> list[Record]:
        """The last exchanges that are over, in the order in which they ended."""
        if not count:
            return []
        recent = self._tail.recent(chosen.matches)[-count:]
        if len(recent) < count and self._ledger is not None:
            known = {record.id for record in recent}
            first, end = bounds(0, 0)
            try:
                stored = await self._ledger.page(chosen, first=first, end=end, limit=count)
            except LedgerTrouble:
                stored = []  # those to come are shown all the same
            older = [one.record for one in stored if one.record.id not in known]
            older.sort(key=lambda record: record.started_at_us + record.duration_us)
            recent = [*older, *recent][-count:]
        return recent

    def _kept(self) -> Ledger:
        if self._ledger is None:
            raise Refusal(UNAVAILABLE, OFF)
        return self._ledger


def _unknown(name: str) -> Refusal:
    return Refusal(
        NOT_FOUND,
        f"No exchange {quoted(name)} is in the ledger: it was not ours, or is older than "
        "ledger.keep_days.",
    )


async def _following(
    reader: TailReader, shown: set[str]
) -> AsyncIterator[exchanges_pb2.TailResponse]:
    """Messages for ever. What was shown already, because it ended at the same time, is left out."""
    while True:
        records, dropped = await reader.next()
        for message in _messages([one for one in records if one.id not in shown], dropped):
            yield message
        shown = set()
        await asyncio.sleep(TAIL_PAUSE_S)


def _messages(records: Sequence[Record], dropped: int) -> list[exchanges_pb2.TailResponse]:
    pieces = [
        records[at : at + TAIL_MESSAGE_MAX] for at in range(0, len(records), TAIL_MESSAGE_MAX)
    ]
    if dropped and not pieces:
        pieces = [[]]
    return [
        exchanges_pb2.TailResponse(
            exchanges=[exchange_of(record) for record in piece], dropped=0 if number else dropped
        )
        for number, piece in enumerate(pieces)
    ]
