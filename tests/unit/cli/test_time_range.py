import click
import pytest

from ccrelay.cli.time_range import Range, time_range
from tests.unit.cli.served import at, zone

pytestmark = pytest.mark.usefixtures("zone")
__all__ = ["zone"]
NOW = "2026-12-03 14:32:08"


def bounds(since: str | None, until: str | None = None, now: str = NOW) -> Range:
    return time_range(since, until, at(now) / 1000)


@pytest.mark.parametrize(
    ("text", "begin"),
    [
        ("7d", "2026-11-27 00:00:00"),
        ("1d", "2026-12-03 00:00:00"),
        ("2w", "2026-11-20 00:00:00"),
        ("today", "2026-12-03 00:00:00"),
        ("Yesterday", "2026-12-02 00:00:00"),
        ("24h", "2026-12-02 14:32:08"),
        ("30m", "2026-12-03 14:02:08"),
        ("90 min", "2026-12-03 13:02:08"),
        ("now", NOW),
        ("2026-11-30", "2026-11-30 00:00:00"),
        ("2026-11-30T14:00", "2026-11-30 14:00:00"),
        ("2026-11-30 14:00:05", "2026-11-30 14:00:05"),
        ("2026-11-30T13:00:00Z", "2026-11-30 14:00:00"),
        ("2026-11-30T13:00:00+00:00", "2026-11-30 14:00:00"),
    ],
)
def test_words_for_a_beginning(text: str, begin: str) -> None:
    assert bounds(text) == Range(at(begin), 0)


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2026-11-30", "2026-12-01 00:00:00"),
        ("today", "2026-12-04 00:00:00"),
        ("yesterday", "2026-12-03 00:00:00"),
        ("24h", "2026-12-02 14:32:08"),
        ("2026-11-30T14:00", "2026-11-30 14:00:00"),
    ],
)
def test_an_end_that_is_a_day_includes_it(text: str, end: str) -> None:
    assert bounds(None, text) == Range(0, at(end))


def test_days_are_those_of_the_calendar_when_clocks_change() -> None:
    # On 25 October the clocks went back: the day had 25 hours.
    assert bounds("2d", now="2026-10-26 12:00:00").since_ms == at("2026-10-25 00:00:00")
    day = bounds("2026-10-25", "2026-10-25")
    assert day.until_ms - day.since_ms == 25 * 3_600_000
    assert (
        bounds("24h", now="2026-10-26 00:30:00").since_ms == at("2026-10-26 00:30:00") - 86_400_000
    )


@pytest.mark.parametrize(
    "text",
    ["", " ", "soon", "7", "d", "-7d", "0d", "7y", "2026-13-01", "2026-02-30", "999999w", "\x1b[2J",
     "1e3d", "7d7d", "99999999999999d"],
)  # fmt: skip
def test_what_is_no_time_is_wrong_usage_with_examples(text: str) -> None:
    if not text:
        assert bounds(text) == Range(0, 0)
        return
    with pytest.raises(click.BadParameter) as raised:
        bounds(text)
    assert "7d, 24h" in raised.value.message


def test_an_end_before_the_beginning_is_wrong_usage() -> None:
    with pytest.raises(click.BadParameter, match="not after"):
        bounds("today", "yesterday")
    assert bounds("yesterday", "yesterday").until_ms == at("2026-12-03 00:00:00")
