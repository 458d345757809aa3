"""Sums of today, asked of the ledger at most once a second."""

import asyncio
import time

from ccrelay.manager.clock import Clock
from ccrelay.manager.facts import LedgerFacts, midnight_ms
from ccrelay.v1 import providers_pb2 as v1


class Sums:
    def __init__(self) -> None:
        self.asked: list[int] = []

    async def totals(self, since_ms: int) -> dict[tuple[str, str], v1.Totals]:
        self.asked.append(since_ms)
        return {
            ("one", "k"): v1.Totals(exchanges=len(self.asked), billed_micros=7, saved_micros=-3),
            ("", ""): v1.Totals(exchanges=1, lost=1),
        }


class Windows:
    def of(self, provider: str, key_fingerprint: str) -> list[v1.Window]:
        return [v1.Window(name=f"{provider}/{key_fingerprint}")]


def test_sums_are_kept_for_a_second() -> None:
    now = [100.0]
    sums = Sums()
    facts = LedgerFacts(sums, Windows(), Clock(lambda: now[0], lambda: 1_700_000_000.0 + now[0]))
    asyncio.run(facts.refresh())
    asyncio.run(facts.refresh())
    assert len(sums.asked) == 1
    now[0] += 1.5
    asyncio.run(facts.refresh())
    assert len(sums.asked) == 2
    assert facts.totals("one", "k") == v1.Totals(exchanges=2, billed_micros=7, saved_micros=-3)
    assert facts.totals("one", "other") is None
    assert facts.today() == v1.Totals(exchanges=3, billed_micros=7, saved_micros=-3, lost=1)
    assert facts.windows("one", "k")[0].name == "one/k"


def test_without_a_ledger() -> None:
    facts = LedgerFacts(None, None, Clock())
    asyncio.run(facts.refresh())
    assert facts.today() == v1.Totals()
    assert facts.totals("one", "k") is None
    assert facts.windows("one", "k") == ()
    assert facts.first_event_ms("one", "k") == 0.0


def test_midnight_is_local() -> None:
    now = int(time.time() * 1000)
    midnight = midnight_ms(now)
    assert 0 <= now - midnight < 25 * 3_600_000
    told = time.localtime(midnight / 1000)
    assert (told.tm_hour, told.tm_min, told.tm_sec) == (0, 0, 0)
    assert told.tm_yday == time.localtime(now / 1000).tm_yday
