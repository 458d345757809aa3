"""Targets that were tried, and those that other requests block."""

from ccrelay.routing.retry_state import RetryState
from tests.unit.relay.fakes import keys, provider_state


def test_tried_keys_and_excluded_providers_are_masked() -> None:
    one = provider_state("one", keys=keys("a", "b", "c"))
    tries = RetryState()
    assert tries.mask(one) == 0
    tries.add(one.targets[1], "overloaded", endpoint_failed=True)
    assert (tries.mask(one), tries.failed, tries.why) == (0b010, [one], "overloaded")
    tries.exclude(one)
    assert tries.targets == [one.targets[1], one.targets[0], one.targets[2]]
    assert all(tries.mask(one) >> target.index & 1 for target in one.targets)


def test_blocked_targets_are_masked_in_a_copy() -> None:
    one = provider_state("one", keys=keys("a", "b"))
    tries = RetryState()
    tries.add(one.targets[0], endpoint_failed=True)
    copy = tries.with_blocked([one.targets[1]])
    assert (copy.mask(one), tries.mask(one)) == (0b11, 0b01)
    assert (copy.failed, tries.targets) == ([one], [one.targets[0]])


def test_a_target_that_named_a_time_is_not_masked() -> None:
    one = provider_state("one", keys=keys("a", "b"))
    tries = RetryState()
    tries.add_wait(one.targets[0], "rate_limited")
    assert (tries.mask(one), tries.targets, tries.count, tries.waits) == (0, [], 0, 1)
    assert (tries.last, tries.was_told_when, tries.why) == (one.targets[0], True, "rate_limited")
    tries.add(one.targets[1], "overloaded", endpoint_failed=True)
    assert (tries.last, tries.was_told_when, tries.count) == (one.targets[1], False, 1)
