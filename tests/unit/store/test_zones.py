"""Local days and hours, also where the clocks change."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings, strategies as st

from ccrelay.store.zones import (
    DAY_S,
    HOUR_S,
    day_name,
    day_start_s,
    hour_name,
    local_zone,
    segments,
)

NAMES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia", "Asia/Tokyo"]
YEAR_2026 = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())


def zone_of(name: str) -> Callable[[int], int]:
    zone = ZoneInfo(name)

    def offset(instant_s: int) -> int:
        told = datetime.fromtimestamp(instant_s, zone).utcoffset()
        assert told is not None
        return int(told.total_seconds())

    return offset


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.integers(0, 400 * 24),
    st.integers(0, 400 * 24),
    st.lists(st.integers(0, 400 * 24), max_size=20),
)
def test_stretches_tell_the_zone_of_each_hour(
    name: str, first: int, length: int, asked: list[int]
) -> None:
    zone = zone_of(name)
    first_s = YEAR_2026 + first * HOUR_S
    end_s = first_s + length * HOUR_S
    known = segments(zone, first_s, end_s)
    for hour in asked:
        instant = first_s + hour * HOUR_S
        if instant < end_s:
            told = next((one for one in known if instant < one.end_s), known[-1])
            assert told.offset_s == zone(instant), (instant, known)


def test_a_year_has_three_stretches_and_one_without_clock_changes_one() -> None:
    assert len(segments(zone_of("Europe/Berlin"), YEAR_2026, YEAR_2026 + 365 * DAY_S)) == 3
    assert len(segments(zone_of("Asia/Kolkata"), YEAR_2026, YEAR_2026 + 365 * DAY_S)) == 1
    assert len(segments(zone_of("UTC"), YEAR_2026, YEAR_2026)) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("month", [3, 10, 11, 6])
def test_a_day_begins_at_local_midnight(name: str, month: int) -> None:
    zone = ZoneInfo(name)
    for day in range(1, 29):
        for hour in (0, 1, 3, 12, 23):
            at = datetime(2026, month, day, hour, 30, tzinfo=zone)
            start = day_start_s(zone_of(name), int(at.timestamp()))
            expected = datetime(2026, month, day, tzinfo=zone)
            assert start == int(expected.timestamp()), at


def test_names() -> None:
    days = YEAR_2026 // DAY_S
    assert day_name(days + 333) == "2026-11-30"
    assert hour_name((days + 333) * 24 + 14) == "2026-11-30T14"


def test_the_zone_of_this_process() -> None:
    told = datetime.fromtimestamp(YEAR_2026).astimezone().utcoffset()
    assert told is not None
    assert local_zone(YEAR_2026) == told.total_seconds()
