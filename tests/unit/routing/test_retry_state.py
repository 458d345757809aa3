"""What was tried is left alone, whoever asks."""

from ccrelay.routing.retry_state import RetryState
from tests.unit.relay.fakes import keys, service


def test_a_key_that_was_tried_is_masked_and_an_excluded_provider_whole():
    one = service("one", keys=keys("a", "b", "c"))
    tries = RetryState()
    assert tries.mask(one) == 0
    tries.add(one.targets[1], "overloaded", endpoint_failed=True)
    assert (tries.mask(one), tries.failed, tries.why) == (0b010, [one], "overloaded")
    tries.exclude(one)
    assert tries.targets == [one.targets[1], one.targets[0], one.targets[2]]
    assert all(tries.mask(one) >> target.index & 1 for target in one.targets)


def test_what_others_wait_for_is_left_alone_in_a_copy():
    one = service("one", keys=keys("a", "b"))
    tries = RetryState()
    tries.add(one.targets[0], endpoint_failed=False)
    held = RetryState.and_held(tries, [one.targets[1]])
    assert (held.mask(one), tries.mask(one)) == (0b11, 0b01)
    assert RetryState.and_held(None, [one.targets[1]]).mask(one) == 0b10
