"""Refusals of credentials over all workers: counts, growing intervals, one trial at a time."""

import math

import pytest

from ccrelay._fast.rate_limits import Capacity, Cooldown, TargetLimits
from ccrelay._fast.refusals import Refusals
from ccrelay._fast.shared_memory import SharedMemory

NOW = 1000.0


def pair() -> tuple[TargetLimits, Refusals, Refusals]:
    """A target as two workers see it."""
    memory = SharedMemory.private(workers=2)
    limits = TargetLimits(memory, 0)
    return limits, Refusals(limits), Refusals(TargetLimits(memory, 0))


def test_what_was_never_refused_has_nothing_to_try() -> None:
    limits, refusals, _ = pair()
    assert (refusals.count(), refusals.due_at, refusals.in_trial) == (0, 0.0, False)
    assert not refusals.claim(NOW, NOW + 5)
    assert not refusals.clear()
    assert limits.state(NOW, 1, 1) == Capacity.READY


def test_intervals_double_up_to_the_longest() -> None:
    limits, refusals, _ = pair()
    now, waits = NOW, []
    for _ in range(40):
        waits.append(refusals.add(now, 30.0, 900.0))
        assert limits.state(now + 1e6, 1, 1) == Capacity.DISABLED
        assert limits.cooldown_until() == math.inf
        assert refusals.due_at == pytest.approx(now + waits[-1])
        now = refusals.due_at
    assert waits == [30, 60, 120, 240, 480, *[900] * 35]


def test_refusals_before_the_trial_is_due_are_one() -> None:
    _, refusals, other = pair()
    assert refusals.add(NOW, 30.0, 900.0) == 30.0
    assert other.add(NOW + 29.0, 30.0, 900.0) == 0.0
    assert refusals.count() == other.count() == 1


def test_one_worker_makes_the_trial_when_it_is_due_and_another_when_that_took_too_long() -> None:
    _, refusals, other = pair()
    refusals.add(NOW, 30.0, 900.0)
    assert not refusals.claim(NOW + 29.9, NOW + 40)
    assert refusals.claim(NOW + 30.0, NOW + 35.0)
    assert not other.claim(NOW + 34.9, NOW + 40)
    assert other.in_trial
    assert other.claim(NOW + 35.0, NOW + 40.0)


def test_a_trial_that_is_refused_counts_though_its_claim_has_not_expired() -> None:
    _, refusals, _ = pair()
    refusals.add(NOW, 30.0, 900.0)
    refusals.claim(NOW + 30.0, NOW + 35.0)
    assert refusals.add(NOW + 31.0, 30.0, 900.0) == 60.0
    assert (refusals.count(), refusals.due_at, refusals.in_trial) == (2, NOW + 91.0, False)


def test_a_trial_that_proves_nothing_may_follow_at_once() -> None:
    _, refusals, other = pair()
    refusals.add(NOW, 30.0, 900.0)
    refusals.release()
    assert not other.claim(NOW + 1.0, NOW + 5.0), "only a trial is released"
    refusals.claim(NOW + 30.0, NOW + 35.0)
    refusals.release()
    assert other.claim(NOW + 30.0, NOW + 35.0)


def test_an_accepted_credential_is_ready_and_its_refusals_are_forgotten_once() -> None:
    limits, refusals, other = pair()
    refusals.add(NOW, 30.0, 900.0)
    assert refusals.clear()
    assert not other.clear()
    assert (refusals.count(), refusals.due_at) == (0, 0.0)
    assert limits.state(NOW, 1, 1) == Capacity.READY
    assert refusals.add(NOW + 1.0, 30.0, 900.0) == 30.0


def test_a_credential_given_back_to_requests_keeps_its_count() -> None:
    limits, refusals, _ = pair()
    refusals.add(NOW, 30.0, 900.0)
    limits.clear_cooldown()
    assert limits.state(NOW + 30.0, 1, 1) == Capacity.READY
    assert refusals.add(NOW + 30.0, 30.0, 900.0) == 60.0


def test_a_timed_cooldown_stays_when_refusals_are_cleared() -> None:
    limits, refusals, _ = pair()
    limits.start_cooldown(NOW + 50.0, Cooldown.QUOTA)
    refusals.clear()
    assert limits.cooldown_until() == NOW + 50.0


def test_a_slot_of_another_credential_has_no_refusals() -> None:
    memory = SharedMemory.private()
    refusals = Refusals(TargetLimits(memory, 0))
    refusals.add(NOW, 30.0, 900.0)
    memory.clear_target(0)
    assert (refusals.count(), refusals.due_at) == (0, 0.0)
