"""The service Usage: sums by group, exchanges as a file, prices."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from ccrelay.config.model import Provider
from ccrelay.ledger.prices import PRICES_VERSION
from ccrelay.manager.answers import (
    INVALID,
    UNAVAILABLE,
    Refusal,
    abort,
    filter_of,
    page_size,
    range_of,
    token_of,
    token_values,
    trouble,
)
from ccrelay.manager.bill import prices_of
from ccrelay.manager.convert import session_of, totals_of
from ccrelay.manager.exchanges_service import OFF
from ccrelay.manager.expected import DAYS, expected_micros
from ccrelay.manager.export import csv_head, csv_lines, json_lines
from ccrelay.store.filters import Filter
from ccrelay.store.ledger import Ledger
from ccrelay.store.pages import bounds
from ccrelay.store.sessions import SessionsQuestion
from ccrelay.store.sums import SUM_COLUMNS, Sums, total
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.store.usage import Dimension, Groups, Question
from ccrelay.store.zones import DAY_S, HOUR_S
from ccrelay.v1 import usage_pb2, usage_pb2_grpc

PAGE_DEFAULT, PAGE_MAX = 1000, 10_000
SESSIONS_DEFAULT, SESSIONS_MAX = 100, 1000
PIECE_ROWS = 500  # exchanges in one piece of an export

_DIMENSIONS: dict[int, Dimension] = {
    usage_pb2.DIMENSION_PROVIDER: "provider",
    usage_pb2.DIMENSION_MODEL: "model",
    usage_pb2.DIMENSION_KEY: "key",
    usage_pb2.DIMENSION_CLASS: "class",
    usage_pb2.DIMENSION_SESSION: "session",
    usage_pb2.DIMENSION_PROJECT: "project",
    usage_pb2.DIMENSION_AGENT: "agent",
    usage_pb2.DIMENSION_DAY: "day",
    usage_pb2.DIMENSION_HOUR: "hour",
    usage_pb2.DIMENSION_RULE: "rule",
}
_COST = (SUM_COLUMNS.index("billed"), SUM_COLUMNS.index("plan"))


class UsageService(usage_pb2_grpc.UsageServicer):
    """Answers for `ccrelay.v1.Usage`.

    Args:
        ledger: None: nothing is kept; Prices works all the same.
        providers: those of the configuration in force.
    """

    def __init__(self, ledger: Ledger | None, providers: Callable[[], Sequence[Provider]]) -> None:
        self._ledger = ledger
        self._providers = providers

    async def Query(  # noqa: N802  # as the schema spells it
        self, request: usage_pb2.QueryRequest, context: Any
    ) -> usage_pb2.QueryResponse:
        """Sums by group."""
        try:
            return await self._query(request)
        except LedgerTrouble as error:
            await abort(context, trouble(error))
        except Refusal as refusal:
            await abort(context, refusal)

    async def Export(  # noqa: N802
        self, request: usage_pb2.ExportRequest, context: Any
    ) -> AsyncIterator[usage_pb2.ExportResponse]:
        """Exchanges, oldest first, in pieces."""
        try:
            async for data in self._export(request):
                yield usage_pb2.ExportResponse(data=data)
        except LedgerTrouble as error:
            await abort(context, trouble(error))
        except Refusal as refusal:
            await abort(context, refusal)

    async def Prices(  # noqa: N802
        self, request: usage_pb2.PricesRequest, context: Any
    ) -> usage_pb2.PricesResponse:
        """The prices in force."""
        return usage_pb2.PricesResponse(prices=prices_of(self._providers()), version=PRICES_VERSION)

    async def ListSessions(  # noqa: N802
        self, request: usage_pb2.ListSessionsRequest, context: Any
    ) -> usage_pb2.ListSessionsResponse:
        """Sessions, the one with the latest exchange first."""
        try:
            return await self._sessions(request)
        except LedgerTrouble as error:
            await abort(context, trouble(error))
        except Refusal as refusal:
            await abort(context, refusal)

    async def _sessions(
        self, request: usage_pb2.ListSessionsRequest
    ) -> usage_pb2.ListSessionsResponse:
        chosen = filter_of(request.filter)
        since_ms, until_ms = range_of(request.since_ms, request.until_ms)
        size = page_size(request.page_size, SESSIONS_DEFAULT, SESSIONS_MAX)
        mark = f"sessions\n{request.filter}\n{since_ms}\n{until_ms}".encode()
        before = 0
        if request.page_token:
            (before,) = token_values(request.page_token, mark, 1)
        ledger = self._kept()
        question = SessionsQuestion(chosen, since_ms, until_ms, before, size + 1)
        found = await ledger.sessions(question)
        shown = found[:size]
        return usage_pb2.ListSessionsResponse(
            sessions=[session_of(one) for one in shown],
            next_page_token=token_of(mark, shown[-1].top) if len(found) > size else "",
        )

    async def _query(self, request: usage_pb2.QueryRequest) -> usage_pb2.QueryResponse:
        dimensions = _dimensions(request.group_by)
        chosen = filter_of(request.filter)
        since_ms, until_ms = range_of(request.since_ms, request.until_ms)
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
        ledger = self._kept()
        now_s = int(ledger.clock())
        mark = f"{dimensions}\n{request.filter}\n{since_ms}\n{until_ms}".encode()
        offset, end_ms = 0, until_ms
        if request.page_token:
            # Pages are of the range as it was at the first one.
            offset, end_ms = token_values(request.page_token, mark, 2)
        question = Question(dimensions, chosen, since_ms, end_ms, now_s)
        groups = await ledger.usage(question)
        rows = ordered(groups, dimensions)
        shown = rows[offset : offset + size]
        is_more = len(rows) > offset + size
        next_end_ms = end_ms or max(int(ledger.clock() * 1000), since_ms + 1)
        return usage_pb2.QueryResponse(
            rows=[
                usage_pb2.UsageRow(group=group, totals=totals_of(Sums(*sums)))
                for group, sums in shown
            ],
            total=totals_of(total(groups.values())),
            next_page_token=token_of(mark, offset + size, next_end_ms) if is_more else "",
            prices_version=PRICES_VERSION,
            today_expected_micros=await self._expected(ledger, chosen, now_s),
        )

    async def _expected(self, ledger: Ledger, chosen: Filter, now_s: int) -> int:
        costs = await ledger.costs_by_hour(chosen, (now_s - (DAYS + 1) * DAY_S) // HOUR_S)
        return expected_micros(costs, now_s, ledger.zone) if costs is not None else 0

    async def _export(self, request: usage_pb2.ExportRequest) -> AsyncIterator[bytes]:
        is_csv = request.format == usage_pb2.EXPORT_FORMAT_CSV
        if request.format not in usage_pb2.ExportFormat.values():
            raise Refusal(INVALID, "The format is not known: JSON lines and CSV are.")
        chosen = filter_of(request.filter)
        since_ms, until_ms = range_of(request.since_ms, request.until_ms)
        ledger = self._kept()
        # What ends while this runs is not waited for.
        first, end = bounds(since_ms, until_ms or int(ledger.clock() * 1000) + 1)
        if is_csv:
            yield csv_head()
        while True:
            found = await ledger.page(
                chosen, first=first, end=end, limit=PIECE_ROWS, newest_first=False
            )
            if not found:
                return
            records = [one.record for one in found]
            yield csv_lines(records) if is_csv else json_lines(records)
            if len(found) < PIECE_ROWS:
                return
            first = found[-1].seq + 1

    def _kept(self) -> Ledger:
        if self._ledger is None:
            raise Refusal(UNAVAILABLE, OFF)
        return self._ledger


def ordered(
    groups: Groups, dimensions: Sequence[Dimension]
) -> list[tuple[tuple[str, ...], list[int]]]:
    """By time where time is a group, else the highest cost first; equal ones by exchanges, name."""
    times = [at for at, name in enumerate(dimensions) if name in ("day", "hour")]

    def place(row: tuple[tuple[str, ...], list[int]]) -> tuple[Any, ...]:
        group, sums = row
        cost = sum([sums[at] for at in _COST])
        return ([group[at] for at in times], -cost, -sums[0], group)

    return sorted(groups.items(), key=place)


def _dimensions(asked: Sequence[int]) -> tuple[Dimension, ...]:
    names: list[Dimension] = []
    for number in asked:
        name = _DIMENSIONS.get(number)
        if name is None:
            known = ", ".join(_DIMENSIONS.values())
            raise Refusal(INVALID, f"A group is not known: {known} are.")
        if name in names:
            raise Refusal(INVALID, f"{name} is asked for twice: leave one out.")
        names.append(name)
    return tuple(names)
