"""The service Usage over a real server and client."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from ccrelay.ledger.record import Billing
from ccrelay.v1 import usage_pb2 as v1
from tests.loopback.manager.served import NOW_S, refused, serving
from tests.unit.store.making import HOUR_US, NOON_US, record, wait_until

INVALID = grpc.StatusCode.INVALID_ARGUMENT
DAY_US = 24 * HOUR_US


def rows(answer: v1.QueryResponse) -> dict[tuple[str, ...], int]:
    return {tuple(row.group): row.totals.exchanges for row in answer.rows}


def month() -> list[Any]:
    return [
        record(
            n,
            started_at_us=NOON_US - (n % 30) * DAY_US,
            provider="zai" if n % 3 else "anthropic",
            sent=f"model-{n % 4}",
            cost_micros=100 * (n % 4),
            billing=int(Billing.PLAN if n % 3 else Billing.TOKENS),
            session=f"session-{n % 50}",
        )
        for n in range(600)
    ]


def test_groups_pages_and_totals(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            served.ledger.submit("m", 0, 1, month())
            wait_until(lambda: not served.ledger.pending)
            by_model = await served.usage.Query(v1.QueryRequest(group_by=[v1.DIMENSION_MODEL]))
            assert [tuple(row.group) for row in by_model.rows] == [
                (f"model-{n}",) for n in (3, 2, 1, 0)
            ]
            assert by_model.total.exchanges == 600
            assert by_model.total.billed_micros + by_model.total.plan_micros == 150 * 600
            assert by_model.prices_version
            everything = await served.usage.Query(v1.QueryRequest())
            assert rows(everything) == {(): 600}
            days = await served.usage.Query(
                v1.QueryRequest(
                    group_by=[v1.DIMENSION_PROVIDER, v1.DIMENSION_DAY], filter="provider:zai"
                )
            )
            names = [row.group[1] for row in days.rows]
            assert names == sorted(names)
            assert names[-1] == "2026-11-29"  # today is one of the others
            assert days.total.exchanges == 400
            request = v1.QueryRequest(group_by=[v1.DIMENSION_SESSION], page_size=20)
            seen: list[tuple[str, ...]] = []
            while True:
                page = await served.usage.Query(request)
                seen += list(rows(page))
                assert page.total.exchanges == 600
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
            assert len(seen) == len(set(seen)) == 50

    asyncio.run(main())


def test_without_exchanges_there_are_no_rows(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            answer = await served.usage.Query(v1.QueryRequest(group_by=[v1.DIMENSION_DAY]))
            assert (len(answer.rows), answer.total.exchanges) == (0, 0)
            assert answer.today_expected_micros == 0

    asyncio.run(main())


def test_the_expected_cost_of_today(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            served.ledger.submit("m", 0, 1, [record(1, cost_micros=1500)])
            wait_until(lambda: not served.ledger.pending)
            answer = await served.usage.Query(v1.QueryRequest())
            assert answer.today_expected_micros == 1500 * 24 // 15  # it is 15:00
            narrow = await served.usage.Query(v1.QueryRequest(filter="session:x"))
            assert narrow.today_expected_micros == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (v1.QueryRequest(group_by=[0]), "provider, model"),
        (v1.QueryRequest(group_by=[77]), "provider, model"),
        (v1.QueryRequest(group_by=[1, 1]), "twice"),
        (v1.QueryRequest(page_size=10_001), "At most 10000"),
        (v1.QueryRequest(filter="first>x"), "2s"),
        (v1.QueryRequest(page_token="x"), "page token"),
        (v1.QueryRequest(since_ms=9, until_ms=9), "empty"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, request_: v1.QueryRequest, told: str) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            code, message = await refused(served.usage.Query(request_))
            assert code == INVALID
            assert told in message

    asyncio.run(main())


def test_an_export_has_every_exchange_once_oldest_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            made = [
                record(n, started_at_us=NOON_US + n * 1000, session="=1+1") for n in range(1750)
            ]
            served.ledger.submit("m", 0, 1, made)
            wait_until(lambda: not served.ledger.pending)
            pieces = [one.data async for one in served.usage.Export(v1.ExportRequest())]
            assert len(pieces) > 2
            assert all(piece.endswith(b"\n") for piece in pieces)
            lines = b"".join(pieces).splitlines()
            assert [json.loads(line)["id"] for line in lines] == [one.id for one in made]
            request = v1.ExportRequest(format=v1.EXPORT_FORMAT_CSV, filter="cost>0")
            data = b"".join([one.data async for one in served.usage.Export(request)])
            told = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
            assert [row["id"] for row in told] == [one.id for one in made]
            assert told[0]["session"] == "'=1+1"

    asyncio.run(main())


def test_an_export_of_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            request = v1.ExportRequest(format=v1.EXPORT_FORMAT_CSV)
            data = b"".join([one.data async for one in served.usage.Export(request)])
            assert data.startswith(b"id,started_at,")
            assert data.count(b"\n") == 1
            assert [one async for one in served.usage.Export(v1.ExportRequest())] == []

    asyncio.run(main())


def test_an_export_that_is_cancelled_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            made = [record(n, error="x" * 1900, started_at_us=NOON_US + n) for n in range(4000)]
            served.ledger.submit("m", 0, 1, made)
            wait_until(lambda: not served.ledger.pending)
            asked = 0
            page = served.ledger.page

            async def counting(*args: Any, **options: Any) -> Any:
                nonlocal asked
                asked += 1
                return await page(*args, **options)

            served.ledger.page = counting  # type: ignore[method-assign]
            call = served.usage.Export(v1.ExportRequest())
            await call.read()
            call.cancel()
            await asyncio.sleep(0.3)
            before = asked
            await asyncio.sleep(0.3)
            assert asked == before < 9

    asyncio.run(main())


def test_a_wrong_export_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            for request in (v1.ExportRequest(format=9), v1.ExportRequest(filter="-")):  # type: ignore[arg-type]
                code, _ = await refused(served.usage.Export(request))
                assert code == INVALID

    asyncio.run(main())


def test_prices_and_their_version() -> None:
    async def main() -> None:
        async with serving(None) as served:
            answer = await served.usage.Prices(v1.PricesRequest())
            assert answer.prices[0].configured
            assert answer.version == "2026-11-22"
            for call in (
                served.usage.Query(v1.QueryRequest()),
                served.usage.Export(v1.ExportRequest()),
            ):
                code, message = await refused(call)
                assert code == grpc.StatusCode.UNAVAILABLE
                assert "ledger.enabled" in message

    asyncio.run(main())


def test_the_clock_of_these_tests_is_in_the_afternoon() -> None:
    assert NOW_S == NOON_US / 1e6 + 3600


def test_sessions_by_pages_with_what_they_came_to(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            made = [
                record(
                    n,
                    started_at_us=NOON_US + n * 1_000_000,
                    session=f"session-{n % 5}",
                    agent="a-1" if n % 10 == 7 else "",
                    key_name="" if n == 9 else "team-a",
                )
                for n in range(20)
            ]
            served.ledger.submit("m", 0, 1, made)
            wait_until(lambda: not served.ledger.pending)
            first = await served.usage.ListSessions(v1.ListSessionsRequest(page_size=3))
            assert [one.session for one in first.sessions] == [f"session-{n}" for n in (4, 3, 2)]
            second = await served.usage.ListSessions(
                v1.ListSessionsRequest(page_size=3, page_token=first.next_page_token)
            )
            assert [one.session for one in second.sessions] == ["session-1", "session-0"]
            assert second.next_page_token == ""
            (found,) = (
                await served.usage.ListSessions(v1.ListSessionsRequest(filter="session:n-2"))
            ).sessions
            assert found.totals.exchanges == 4
            assert found.totals.billed_micros == 4000
            assert (found.turns, found.agents) == (2, 1)
            assert (found.target, found.model) == ("anthropic/team-a", "claude-opus-5-5")
            assert found.prompt_tokens == 355
            assert found.project == "api"
            assert found.first_at_ms == NOON_US // 1000 + 2000
            assert found.last_at_ms == NOON_US // 1000 + 17_000 + 2500

    asyncio.run(main())


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        (v1.ListSessionsRequest(filter="sesion:a"), "did you mean 'session'"),
        (v1.ListSessionsRequest(page_size=1001), "At most 1000"),
        (v1.ListSessionsRequest(since_ms=2, until_ms=1), "range is empty"),
        (v1.ListSessionsRequest(page_token="x"), "does not belong"),
    ],
)
def test_mistakes_about_sessions_are_told(
    tmp_path: Path, request_: v1.ListSessionsRequest, told: str
) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            code, text = await refused(served.usage.ListSessions(request_))
            assert code is INVALID
            assert told in text

    asyncio.run(main())


def test_without_a_ledger_there_are_no_sessions() -> None:
    async def main() -> None:
        async with serving(None) as served:
            code, _ = await refused(served.usage.ListSessions(v1.ListSessionsRequest()))
            assert code is grpc.StatusCode.UNAVAILABLE

    asyncio.run(main())


def test_sums_by_rule(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path / "ledger.db") as served:
            made = [record(n, rule="long" if n % 3 else "") for n in range(9)]
            served.ledger.submit("m", 0, 1, made)
            wait_until(lambda: not served.ledger.pending)
            answer = await served.usage.Query(v1.QueryRequest(group_by=[v1.DIMENSION_RULE]))
            assert rows(answer) == {("long",): 6, ("",): 3}

    asyncio.run(main())
