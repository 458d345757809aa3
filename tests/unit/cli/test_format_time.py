import pytest

from ccrelay.cli import format_time as show
from tests.unit.cli.served import at, zone

pytestmark = pytest.mark.usefixtures("zone")
__all__ = ["zone"]  # a fixture


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (19_148, "5 h 19 min"),
        (86_400, "1 d 0 h"),
        (325_000, "3 d 18 h"),
        (1e9, "11,574 d 1 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert show.span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0:00"), (0.2, "0:01"), (47, "0:47"), (5_272, "1:27:52"), (325_000, "3 d 18 h")],
)
def test_countdowns_are_rounded_up(seconds: float, text: str) -> None:
    assert show.countdown(seconds) == text


@pytest.mark.parametrize(
    ("ms", "first", "total"),
    [
        (0, "-", "0.0 s"),
        (0.2, "<1 ms", "<1 ms"),
        (0.95, "1 ms", "1 ms"),
        (9.94, "10 ms", "10 ms"),
        (9.95, "0.01 s", "10 ms"),
        (49.4, "0.05 s", "49 ms"),
        (49.9, "0.05 s", "50 ms"),
        (50.1, "0.05 s", "0.1 s"),
        (930, "0.93 s", "0.9 s"),
        (9_994, "9.99 s", "10.0 s"),
        (9_996, "10.0 s", "10.0 s"),
        (99_949, "99.9 s", "99.9 s"),
        (99_960, "100 s", "100 s"),
        (999_600, "16:39", "16:39"),
        (3_599_999, "59:59", "59:59"),
        (3_600_000, "1.0 h", "1.0 h"),
        (360_000_000, "100 h", "100 h"),
    ],
)
def test_times_of_exchanges_fit_six_characters(ms: float, first: str, total: str) -> None:
    assert show.latency(ms) == first
    assert show.elapsed(ms) == total
    assert len(first) <= 6
    assert len(total) <= 6


@pytest.mark.parametrize(
    ("ms", "text"),
    [(-1, "0.00 ms"), (0.4, "0.40 ms"), (28, "28 ms"), (99.4, "99 ms"), (410, "0.41 s"),
     (16_189, "16.2 s")],
)  # fmt: skip
def test_phases(ms: float, text: str) -> None:
    assert show.short(ms) == text


def test_moments_are_as_short_as_they_are_clear() -> None:
    now = at("2026-12-03 14:32:08")
    assert show.clock(now) == "14:32:08"
    assert show.weekday_clock(now) == "Thu 14:32:08"
    assert show.moment(at("2026-12-03 14:19:52"), now) == "14:19:52"
    assert show.moment(at("2026-12-05 08:00:00"), now) == "Sat 08:00"
    assert show.moment(at("2026-12-31 08:00:00"), now) == "31 Dec 08:00"
    assert show.day(at("2026-11-27 00:00:00"), now) == "Fri 27 Nov"
    assert show.day(at("2025-11-27 00:00:00"), now) == "Thu 27 Nov 2025"
    assert show.stamp(now) == "2026-12-03 14:32:08"


def test_a_time_that_no_calendar_has_is_no_traceback() -> None:
    assert show.clock(2**63 - 1)
    assert show.clock(-(2**63))
