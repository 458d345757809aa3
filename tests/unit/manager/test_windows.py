"""Windows of keys: the last word counts, resets empty them, states come back from the ledger."""

from typing import Any

import pytest

from ccrelay.ledger.record import Record, WindowSeen
from ccrelay.manager import windows as module
from ccrelay.manager.windows import Windows, length_s
from tests.unit.store.making import NOON_US, record

NOW_MS = NOON_US // 1000
HOUR_MS = 3_600_000


class Hands:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now_s = NOON_US / 1e6

    def __call__(self) -> float:
        return self.now_s


def seen(name: str = "5h", utilization: float = 0.5, **members: Any) -> WindowSeen:
    plain = {"resets_at_ms": NOW_MS + HOUR_MS, "limit": 0, "remaining": 0, "status": "allowed"}
    return WindowSeen(name, utilization, **(plain | members))


def telling(*windows: WindowSeen, at_ms: int = NOW_MS, **members: Any) -> Record:
    return record(started_at_us=at_ms * 1000, head_us=1, windows=list(windows), **members)


KEY = ("anthropic", "hmac:04f4a1b2")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("5h", 18_000),
        ("7d", 604_800),
        ("7d_sonnet", 604_800),
        ("30m", 1800),
        ("requests", 60),
        ("input_tokens", 60),
        ("5hours", 60),
        ("", 60),
    ],
)
def test_the_length_is_in_the_name(name: str, expected: int) -> None:
    assert length_s(name) == expected


def test_windows_of_plans_come_first_and_say_what_was_told() -> None:
    windows = Windows(Hands())
    minute = seen("requests", -1.0, limit=50, remaining=40, resets_at_ms=NOW_MS + 30_000)
    windows.add([telling(minute, seen("7d", 0.7), seen("5h", 0.62))])
    five, seven, requests = windows.of(*KEY)
    assert [one.name for one in (five, seven, requests)] == ["5h", "7d", "requests"]
    assert (five.utilization, five.length_s, five.status) == (0.62, 18_000, "allowed")
    assert (five.resets_at_ms, five.observed_at_ms) == (NOW_MS + HOUR_MS, NOW_MS)
    assert not five.HasField("utilization_at_reset")
    assert (requests.used, requests.limit) == (10, 50)
    assert requests.utilization == pytest.approx(0.2)
    assert windows.of("anthropic", "hmac:other") == []


def test_a_word_that_comes_late_does_not_count_back() -> None:
    windows = Windows(Hands())
    windows.add(
        [telling(seen(utilization=0.6)), telling(seen(utilization=0.4), at_ms=NOW_MS - 9000)]
    )
    (window,) = windows.of(*KEY)
    assert (window.utilization, window.observed_at_ms) == (0.6, NOW_MS)


def test_minutes_fill_and_empty() -> None:
    windows = Windows(Hands())
    for remaining in (10, 45):
        told = seen("requests", -1.0, limit=50, remaining=remaining, resets_at_ms=NOW_MS + 30_000)
        windows.add([telling(told, at_ms=NOW_MS + remaining)])
    assert windows.of(*KEY)[0].used == 5


def test_a_window_whose_reset_passed_is_empty_and_then_gone() -> None:
    clock = Hands()
    windows = Windows(clock)
    windows.add([telling(seen(utilization=0.9))])
    clock.now_s += 3600
    (window,) = windows.of(*KEY)
    assert (window.utilization, window.resets_at_ms, window.length_s) == (0.0, 0, 18_000)
    clock.now_s += 18_000
    assert windows.of(*KEY) == []


def test_a_new_window_begins_a_new_history() -> None:
    clock = Hands()
    windows = Windows(clock)
    for minute in range(0, 40, 2):
        at = NOW_MS + minute * 60_000
        windows.add([telling(seen(utilization=0.5 + minute / 100), at_ms=at)])
    clock.now_s += 40 * 60
    assert windows.of(*KEY)[0].HasField("utilization_at_reset")
    assert windows.of(*KEY)[0].full_at_ms > 0
    later = seen(utilization=0.01, resets_at_ms=NOW_MS + 6 * HOUR_MS)
    windows.add([telling(later, at_ms=NOW_MS + 41 * 60_000)])
    (window,) = windows.of(*KEY)
    assert (window.utilization, window.full_at_ms) == (0.01, 0)
    assert not window.HasField("utilization_at_reset")


def test_states_come_back_with_their_history() -> None:
    clock = Hands()
    before = Windows(clock)
    told = [
        telling(seen(utilization=0.5 + minute / 100), at_ms=NOW_MS + minute * 60_000)
        for minute in range(0, 40, 2)
    ]
    before.add(told)
    rows = before.rows(told)
    assert [(row.provider, row.key, row.name) for row in rows] == [(*KEY, "5h")]
    after = Windows(clock)
    after.load([*rows, type(rows[0])("zai", "hmac:1", "5h", 0, b"of another version")])
    clock.now_s += 40 * 60
    assert after.of(*KEY) == before.of(*KEY)
    assert after.of("zai", "hmac:1") == []
    after.add([telling(seen(utilization=0.95), at_ms=NOW_MS + 41 * 60_000)])
    after.load(rows)  # what is known already is newer
    assert after.of(*KEY)[0].utilization == 0.95


@pytest.mark.parametrize("utilization", [float("nan"), float("inf"), -1.0, 1e9])
def test_numbers_that_mean_nothing_tell_nothing(utilization: float) -> None:
    windows = Windows(Hands())
    windows.add([telling(seen(utilization=utilization))])
    assert windows.of(*KEY) == []


def test_memory_is_bounded() -> None:
    windows = Windows(Hands())
    for number in range(module.KEYS_MAX + 10):
        windows.add([telling(seen(), key=f"login-{number}")])
    assert len(windows.keys()) == module.KEYS_MAX
    windows.add([telling(*[seen(f"name-{n}") for n in range(100)])])
    assert len(windows.of(*KEY)) == module.NAMES_MAX


def test_a_record_without_a_provider_tells_of_no_key() -> None:
    windows = Windows(Hands())
    windows.add([telling(seen(), provider="")])
    assert windows.keys() == []
