"""Records for the tests of the ledger: plain ones, random ones, and a ledger that is open."""

import time
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from ccrelay.ledger.record import Billing, Record, Result, Try, Why
from ccrelay.store.ledger import Ledger

# 2026-11-30 14:00 UTC
NOON_US = 1_796_047_200_000_000
HOUR_US = 3_600_000_000


def record(number: int = 1, **members: Any) -> Record:
    """A successful exchange; `number` makes its id."""
    plain = Record(
        id=f"req_ccrelay_0a1b2c3d4e5{number:x}",
        started_at_us=NOON_US,
        duration_us=2_500_000,
        kind=0,
        traffic=0,
        model="claude-opus-5-5",
        sent="claude-opus-5-5",
        provider="anthropic",
        key="hmac:04f4a1b2",
        key_name="team-a",
        status=200,
        ending=0,
        result=int(Result.OK),
        attempts=1,
        bytes_in=1000,
        bytes_out=2000,
        has_usage=True,
        input=10,
        output=20,
        cache_read=300,
        cache_write_5m=40,
        cache_write_1h=5,
        thinking=6,
        head_us=0,
        first_event_us=900_000,
        queued_us=0,
        own_us=321,
        stream=True,
        moved=False,
        stop_reason="end_turn",
        error="",
        rule="",
        strategy="simple-shuffle",
        why=int(Why.AFFINITY),
        conversation=0xFEDC_BA98_7654_3210,
        session="3f8c0c9a-0000-4000-8000-000000000001",
        agent="",
        project="api",
        cost_micros=1000,
        uncached_micros=3000,
        moved_micros=0,
        billing=int(Billing.TOKENS),
        prices_version="2026-11-22",
        candidates="anthropic/team-a zai/plan",
        passed="",
    )
    return replace(plain, **members)


def attempt(**members: Any) -> Try:
    """One attempt that was overloaded."""
    plain = Try(
        "anthropic",
        "hmac:04f4a1b2",
        "team-a",
        "claude-opus-5-5",
        100,
        400_100,
        529,
        "overloaded",
        "busy",
    )
    return replace(plain, **members)


def wait_until(is_true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for another thread."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not come to be so"
        time.sleep(0.005)


def opened(path: str, keep_days: int = 36_500, **options: Any) -> Ledger:
    """A ledger whose file is open."""
    ledger = Ledger(path, keep_days, **options)
    ledger.start()
    wait_until(lambda: ledger.is_open)
    return ledger


def write(ledger: Ledger, *records: Record, position: int = 1, memory: str = "memory") -> None:
    """Write records and wait until they are on disk."""
    ledger.submit(memory, 0, position, records)
    wait_until(lambda: not ledger.pending)


# ---- random records, of few values, so that filters find some of them

_TEXTS = st.sampled_from(["", "zai", "ZAI", "anthropic", "Straße", "a\x00b", "x y", 'q"t', "%_"])
_NUMBERS = st.sampled_from([0, 1, 2, 99_999, 100_000, 100_001, 2_000_000, 10**12])
_COSTS = st.sampled_from([-1, 0, 1, 100_000, 100_001, 5_000_000])


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A record with any of the values that filters look at."""
    return record(
        draw(st.integers(0, 1 << 40)),
        started_at_us=NOON_US + draw(st.integers(-5, 5)) * HOUR_US,
        kind=draw(st.integers(0, 5)),
        traffic=draw(st.integers(-1, 5)),
        model=draw(_TEXTS),
        sent=draw(_TEXTS),
        provider=draw(_TEXTS),
        key=draw(_TEXTS),
        key_name=draw(_TEXTS),
        status=draw(st.sampled_from([0, 200, 400, 499, 529, 599])),
        result=draw(st.integers(1, 6)),
        attempts=draw(st.integers(0, 3)),
        has_usage=draw(st.booleans()),
        input=draw(_NUMBERS),
        output=draw(_NUMBERS),
        cache_read=draw(_NUMBERS),
        cache_write_5m=draw(_NUMBERS),
        cache_write_1h=draw(_NUMBERS),
        duration_us=draw(_NUMBERS),
        first_event_us=draw(_NUMBERS),
        queued_us=draw(_NUMBERS),
        own_us=draw(_NUMBERS),
        bytes_in=draw(_NUMBERS),
        bytes_out=draw(_NUMBERS),
        stream=draw(st.booleans()),
        moved=draw(st.booleans()),
        stop_reason=draw(_TEXTS),
        error=draw(_TEXTS),
        rule=draw(_TEXTS),
        strategy=draw(_TEXTS),
        why=draw(st.integers(0, 7)),
        session=draw(_TEXTS),
        agent=draw(_TEXTS),
        project=draw(_TEXTS),
        cost_micros=draw(_COSTS),
        uncached_micros=draw(_COSTS),
        moved_micros=draw(_NUMBERS),
        billing=draw(st.integers(0, 3)),
    )
