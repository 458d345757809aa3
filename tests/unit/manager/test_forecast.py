"""Forecasts: near the truth for steady use, none without data, robust against jitter."""

import random

import pytest
from hypothesis import given, strategies as st

from ccrelay.manager.forecast import (
    SAMPLES_MAX,
    Forecast,
    Sample,
    add_sample,
    forecast,
    is_new_window,
)

HOUR_MS = 3_600_000
LENGTH_S = 5 * 3600
START = 1_796_047_200_000
RESET = START + 5 * HOUR_MS


def collected(pairs: list[Sample]) -> list[Sample]:
    samples: list[Sample] = []
    for pair in pairs:
        add_sample(samples, pair, LENGTH_S)
    return samples


def steady(per_hour: float, minutes: int, step_ms: int = 10_000) -> list[Sample]:
    return [(START + at, per_hour * at / HOUR_MS) for at in range(0, minutes * 60_000 + 1, step_ms)]


def told(samples: list[Sample], now_ms: int, resets: int = RESET) -> Forecast:
    return forecast(samples, resets_at_ms=resets, length_s=LENGTH_S, now_ms=now_ms)


@given(st.floats(0.25, 2.0), st.integers(10, 25))
def test_steady_use_is_foretold(per_hour: float, minutes: int) -> None:
    now = START + minutes * 60_000
    found = told(collected(steady(per_hour, minutes)), now)
    full = START + HOUR_MS / per_hour
    assert found.full_at_ms == pytest.approx(full, abs=60_000)
    assert found.at_reset == pytest.approx(per_hour * 5, rel=0.02)


def test_slow_use_lasts() -> None:
    found = told(collected(steady(0.1, 60)), START + HOUR_MS)
    assert found.full_at_ms == 0
    assert found.at_reset == pytest.approx(0.5, rel=0.05)


@given(st.randoms(use_true_random=False), st.floats(0.3, 1.0))
def test_jitter_and_rounding_move_it_little(chance: random.Random, per_hour: float) -> None:
    pairs = [
        (at, round(max(used + chance.uniform(-0.01, 0.01), 0), 2))
        for at, used in steady(per_hour, 50)
    ]
    swapped = [pairs[i ^ 1] if (i ^ 1) < len(pairs) else pairs[i] for i in range(len(pairs))]
    found = told(collected(swapped), START + 50 * 60_000)
    assert found.at_reset == pytest.approx(per_hour * 5, rel=0.25)


@given(
    st.lists(st.tuples(st.integers(START, RESET), st.floats(0, 1.5)), min_size=1, max_size=200),
    st.integers(0, 5 * HOUR_MS),
)
def test_whatever_comes_it_makes_sense(pairs: list[Sample], later: int) -> None:
    samples = collected(pairs)
    assert len(samples) <= SAMPLES_MAX
    assert samples == sorted(samples)
    assert [used for _, used in samples] == sorted(used for _, used in samples)
    now = samples[-1][0] + later
    found = told(samples, now)
    used = samples[-1][1]
    if found.full_at_ms and used < 1:
        assert now <= found.full_at_ms <= RESET
        assert found.at_reset is not None
        assert found.at_reset >= 0.999
    if found.at_reset is not None:
        assert found.at_reset >= used


@given(st.floats(0, 0.9), st.floats(0, 0.9), st.integers(15, 60))
def test_more_use_is_full_no_later(one: float, two: float, minutes: int) -> None:
    now = START + minutes * 60_000
    low, high = sorted((one, two))
    slow, fast = (told(collected(steady(rate, minutes)), now) for rate in (low, high))
    assert (fast.at_reset or 0) >= (slow.at_reset or 0) - 1e-9
    if slow.full_at_ms:
        assert 0 < fast.full_at_ms <= slow.full_at_ms + 1


def test_the_longer_nothing_is_used_the_lower_the_rate() -> None:
    samples = collected(steady(0.6, 30))
    ends = [told(samples, START + minutes * 60_000).at_reset or 0 for minutes in (30, 40, 50, 70)]
    assert ends == sorted(ends, reverse=True)
    assert ends[-1] == pytest.approx(0.3)  # a rest as long as the recent past


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [(START, 0.5)],
        [(START, 0.5), (START + 60_000, 0.6)],
        [(START, 0.5), (START + 60_000, 0.6), (START + 120_000, 0.7)],  # two minutes of five hours
    ],
)
def test_too_little_tells_nothing(samples: list[Sample]) -> None:
    assert told(samples, START + 130_000) == Forecast()


def test_a_window_that_is_full_was_full_when_that_was_seen() -> None:
    samples = [(START, 0.5), (START + 60_000, 1.0), (START + 90_000, 1.1)]
    assert told(samples, START + 100_000) == Forecast(START + 60_000, 1.1)


def test_after_the_reset_and_for_windows_of_a_minute_there_is_none() -> None:
    samples = collected(steady(0.9, 60))
    assert told(samples, RESET) == Forecast()
    assert forecast(samples, resets_at_ms=0, length_s=60, now_ms=START + HOUR_MS) == Forecast()


def test_without_a_reset_there_is_no_share_at_the_reset() -> None:
    found = told(collected(steady(0.9, 60)), START + HOUR_MS, resets=0)
    assert found.at_reset is None
    assert found.full_at_ms > START + HOUR_MS


@pytest.mark.parametrize(
    ("used", "resets", "at", "expected"),
    [
        (0.6, RESET, START + 60_000, False),
        (0.0, RESET + 5 * HOUR_MS, START + 60_000, True),
        (0.59, RESET + 1000, START + 60_000, False),  # jitter of both
        (0.0, RESET, START + 60_000, True),  # it fell: the provider began anew
        (0.0, RESET, START - 60_000, False),  # it came late
        (0.9, RESET - 5 * HOUR_MS, START + 60_000, None),  # of the window before
        (0.6, 0, START + 60_000, False),
        (0.1, 0, RESET + 1, True),
    ],
)
def test_a_new_window_is_noticed(used: float, resets: int, at: int, expected: bool | None) -> None:
    assert is_new_window((START, 0.6), RESET, (at, used), resets) is expected
