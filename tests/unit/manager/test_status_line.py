"""What the status line is told of a session: by the ledger, by memory, and what goes wrong."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from ccrelay.config.fingerprint import fingerprint
from ccrelay.control.http import HttpRequest
from ccrelay.ledger.record import Record, Result
from ccrelay.ledger.running import Phase, Running, RunningList
from ccrelay.manager.facts import LedgerFacts
from ccrelay.manager.running import RunningExchanges
from ccrelay.manager.status_line import PATH, SESSIONS_MAX, TROUBLE_S, StatusLine, trouble_of
from ccrelay.manager.tail import TailHub
from ccrelay.store.sessions import SessionsQuestion, SessionSums
from ccrelay.store.sums import SUM_COLUMNS
from ccrelay.store.trouble import LedgerTrouble
from ccrelay.v1 import providers_pb2
from tests.loopback.manager.served import Workers
from tests.unit.manager.test_running import ONE
from tests.unit.manager.test_state import made
from tests.unit.manager.worlds import WALL
from tests.unit.store.making import attempt, record

SESSION = "3f8c41"
NOW_US = int(WALL * 1e6)
HOUR_MS = 3_600_000


class DaySums:
    async def totals(self, since_ms: int) -> Mapping[tuple[str, str], providers_pb2.Totals]:
        return {("one", "x"): providers_pb2.Totals(billed_micros=17_540_000, plan_micros=8_480_000)}


class PlanWindows:
    def of(self, provider: str, key_fingerprint: str) -> Sequence[providers_pb2.Window]:
        if (provider, key_fingerprint) != ("one", fingerprint("k-a")):
            return ()
        return [
            providers_pb2.Window(
                name="5h", utilization=0.62, resets_at_ms=5, full_at_ms=4, length_s=5 * 3600
            )
        ]


class Kept:
    """A ledger."""

    def __init__(self, *found: SessionSums) -> None:
        self.found = list(found)
        self.asked: list[str] = []
        self.is_broken = False

    async def sessions(self, question: SessionsQuestion) -> list[SessionSums]:
        self.asked.append(question.session)
        if self.is_broken:
            raise LedgerTrouble("the disk is full")
        return self.found


class Line:
    """A StatusLine and what it knows."""

    def __init__(self, ledger: Any = None) -> None:
        state, self.world = made()
        facts = LedgerFacts(DaySums(), PlanWindows(), state.clock)
        state.facts = facts
        self.tail = TailHub()
        self.workers = Workers()
        running = RunningExchanges(self.workers, state.clock)
        self.status_line = StatusLine(state, facts, ledger, self.tail, running)

    async def ask(self, query: str = f"session={SESSION}") -> dict[str, Any]:
        handler = self.status_line.routes()[PATH]
        response = await handler(HttpRequest("GET", PATH, query))
        assert (response.status, response.content_type) == (200, "application/json")
        answer: dict[str, Any] = json.loads(response.body)
        return answer


def session(**members: Any) -> SessionSums:
    sums = [0] * len(SUM_COLUMNS)
    for name in ("billed", "plan", "input", "cache_read", "cache_write_5m"):
        sums[SUM_COLUMNS.index(name)] = members.pop(name, 0)
    plain = {"provider": "one", "key": "a", "model": "claude-sonnet-5-5"}
    return SessionSums(SESSION, 1, sums, **{**plain, **members})


def recent(number: int = 1, **members: Any) -> Record:
    plain = {
        "session": SESSION,
        "provider": "one",
        "key_name": "a",
        "started_at_us": NOW_US - 3_000_000,
        "duration_us": 1_000_000,
    }
    return record(number, **{**plain, **members})


def test_a_session_of_the_ledger_is_told_whole() -> None:
    async def main() -> None:
        ledger = Kept(session(billed=3_000_000, plan=20_000, input=4, cache_read=96))
        answer = await Line(ledger).ask()
        assert ledger.asked == [SESSION]
        assert answer == {
            "provider": "one",
            "key": "a",
            "model": "claude-sonnet-5-5",
            "session_micros": 3_020_000,
            "today_billed_micros": 17_540_000,
            "today_plan_micros": 8_480_000,
            "cache_hit": 0.96,
            "windows": [{"name": "5h", "utilization": 0.62, "resets_at_ms": 5, "full_at_ms": 4}],
            "room": 1.0,
            "trouble": None,
        }

    asyncio.run(main())


def test_limits_per_minute_are_room_and_no_window() -> None:
    async def main() -> None:
        line = Line(Kept(session()))
        limits = line.world.worker("one").targets[0].limits
        for _ in range(4):  # of ten in a minute
            limits.reserve_unchecked(line.world.now, 0, 0).commit(line.world.now, 0, 0)
        answer = await line.ask()
        assert [one["name"] for one in answer["windows"]] == ["5h"]
        assert answer["room"] == pytest.approx(0.6)
        other = await Line(Kept(session(key="c", provider="two"))).ask()
        assert (other["windows"], other["room"]) == ([], None)

    asyncio.run(main())


@pytest.mark.parametrize("ledger", [None, "broken"])
def test_without_a_ledger_the_last_exchanges_tell_who_answered(ledger: str | None) -> None:
    async def main() -> None:
        kept = Kept()
        kept.is_broken = True
        line = Line(kept if ledger else None)
        line.tail.publish(
            [
                recent(1, sent="claude-opus-5-5"),
                recent(2, sent="claude-haiku-5-5", agent="a-1"),
                recent(3, sent="glm-5.3", has_usage=False),
                recent(4, session="another", sent="glm-5.3"),
            ]
        )
        answer = await line.ask()
        assert (answer["model"], answer["provider"], answer["key"]) == (
            *("claude-opus-5-5", "one", "a"),
        )
        assert answer["session_micros"] is None
        assert answer["cache_hit"] == pytest.approx(300 / 355, abs=1e-4)

    asyncio.run(main())


def test_a_session_that_is_not_known_or_not_told_has_the_sums_of_today() -> None:
    async def main() -> None:
        line = Line(Kept())
        for query in ("session=none", "", "other=1"):
            answer = await line.ask(query)
            assert (answer["provider"], answer["session_micros"]) == ("", None)
            assert answer["today_billed_micros"] == 17_540_000

    asyncio.run(main())


# ---- trouble


def failover(**members: Any) -> Record:
    tries = [
        attempt(provider="one", key_name="team-a", status=529),
        attempt(provider="two", key_name="c", status=200, verdict="answered", error=""),
    ]
    plain = {"provider": "two", "key_name": "c", "result": int(Result.FAILOVER), "tries": tries}
    return recent(**{**plain, **members})


def test_a_failover_says_from_where_and_why() -> None:
    assert trouble_of(failover()) == {
        "kind": "failover",
        "why": "529",
        "from": "one/team-a",
        "to": "two/c",
        "lost_micros": 0,
        "waited_ms": 0,
    }


def test_a_move_says_what_the_cache_was_worth() -> None:
    told = trouble_of(failover(moved=True, moved_micros=970_000))
    assert told is not None
    assert (told["kind"], told["lost_micros"]) == ("moved", 970_000)
    alone = trouble_of(recent(moved=True))
    assert alone is not None
    assert (alone["kind"], alone["from"], alone["to"]) == ("moved", "", "one/a")


def test_a_failure_without_an_answer_is_told_in_a_word() -> None:
    tries = [attempt(provider="one", key_name="a", status=0, verdict="connect"), attempt()]
    told = trouble_of(failover(tries=tries))
    assert told is not None
    assert told["why"] == "connect"


def test_only_a_long_wait_is_trouble() -> None:
    assert trouble_of(recent(queued_us=5_000_000)) is None
    told = trouble_of(recent(queued_us=6_200_000))
    assert told is not None
    assert (told["kind"], told["waited_ms"], told["to"]) == ("waited", 6200, "one/a")
    assert trouble_of(recent()) is None


def test_trouble_is_told_for_a_minute_and_of_this_session_only() -> None:
    async def main() -> None:
        line = Line(Kept(session()))
        line.tail.publish([failover(), recent(2), failover(session="another", moved=True)])
        trouble = (await line.ask())["trouble"]
        assert trouble["kind"] == "failover"
        line.world.now += TROUBLE_S
        assert (await line.ask())["trouble"] is None

    asyncio.run(main())


def test_a_failover_is_told_while_it_lasts() -> None:
    async def main() -> None:
        line = Line(Kept(session()))
        now = msgspec.structs.replace(ONE, session=SESSION, phase=Phase.AWAITING)
        other = msgspec.structs.replace(ONE, session="another")
        well = msgspec.structs.replace(now, failed="")
        line.workers.running = [told(other, well, now)]
        trouble = (await line.ask())["trouble"]
        assert trouble["kind"] == "retrying"
        assert (trouble["why"], trouble["to"]) == ("overloaded", "zai/plan")

    asyncio.run(main())


def told(*exchanges: Running) -> bytes:
    return msgspec.msgpack.encode(RunningList(len(exchanges), list(exchanges)))


def test_workers_that_hang_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccrelay.manager.status_line.RUNNING_S", 0.001)

    async def main() -> None:
        line = Line(Kept(session()))
        line.workers.running = [told(msgspec.structs.replace(ONE, session=SESSION))]
        assert (await line.ask())["trouble"] is None

    asyncio.run(main())


# ---- how often


def test_an_answer_is_given_again_for_a_second() -> None:
    async def main() -> None:
        ledger = Kept(session())
        line = Line(ledger)
        for _ in range(5):
            await line.ask()
        assert len(ledger.asked) == 1
        line.world.now += 1.0
        await line.ask()
        assert len(ledger.asked) == 2
        for number in range(SESSIONS_MAX + 5):
            await line.ask(f"session={number}")
        assert len(line.status_line._kept) == SESSIONS_MAX

    asyncio.run(main())
