import copy
import math

import pytest
from hypothesis import given, strategies as st

from ccrelay.demo.rate_windows import WINDOWS, Bucket, Fixed, Sliding

AT = 6000.0  # a full minute of the clock
STEPS = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 5)), max_size=40)


@pytest.mark.parametrize("kind", WINDOWS.values())
def test_the_limit_fits_and_one_more_does_not(kind):
    window = kind(10)
    for _ in range(10):
        assert window.fits_at(AT, 1) == AT
        window.add(AT, 1)
    assert window.used(AT) == 10
    assert AT < window.fits_at(AT, 1) <= AT + 60


@pytest.mark.parametrize("kind", WINDOWS.values())
def test_more_than_the_limit_never_fits(kind):
    assert kind(10).fits_at(AT, 11) == math.inf


@pytest.mark.parametrize("kind", WINDOWS.values())
def test_an_excess_delays_the_next_fit(kind):
    window = kind(10)
    window.add(AT, 25)
    assert window.used(AT) == 25
    assert window.fits_at(AT, 0) > AT
    assert window.used(AT + 200) == 0


@pytest.mark.parametrize("kind", WINDOWS.values())
@given(steps=STEPS)
def test_fits_at_is_the_earliest_time(kind, steps):
    window, now = kind(12), AT
    for gap, amount in steps:
        now += gap
        at = window.fits_at(now, amount)
        assert at >= now
        if at > now + 1e-3:
            assert copy.deepcopy(window).used(at - 1e-3) + amount > 12
        now = at + 1e-6
        assert window.used(now) + amount <= 12
        window.add(now, amount)
        later = copy.deepcopy(window)  # looking ahead moves a window on
        assert later.used(later.empty_at(now) + 1e-6) == 0


@given(steps=STEPS)
def test_a_sliding_window_never_exceeds_its_limit_in_60_seconds(steps):
    window, now, taken = Sliding(12), AT, []
    for gap, amount in steps:
        now = window.fits_at(now + gap, amount)
        window.add(now, amount)
        taken.append((now, amount))
    for start, _ in taken:
        assert sum(amount for at, amount in taken if start <= at < start + 60) <= 12
    assert window.peak <= 12


def test_a_sliding_window_frees_the_oldest_amount_first():
    window = Sliding(10)
    window.add(AT, 4)
    window.add(AT + 20, 6)
    assert window.fits_at(AT + 30, 4) == AT + 60
    assert window.fits_at(AT + 30, 5) == AT + 80
    assert window.empty_at(AT + 30) == AT + 80


def test_a_fixed_window_resets_at_the_clock_minute():
    window = Fixed(10)
    window.add(AT + 59, 10)
    assert window.fits_at(AT + 59, 1) == AT + 60
    assert window.used(AT + 60) == 0


def test_a_bucket_refills_continuously():
    window = Bucket(60)
    window.add(AT, 60)
    assert window.fits_at(AT, 5) == pytest.approx(AT + 5)
    assert window.used(AT + 10) == 50
    assert window.used(AT + 10.5) == 50
