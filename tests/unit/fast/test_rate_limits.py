"""Rate limits: windows, cooldowns, learned limits, reservations, and the choice among keys."""

import math
from collections import Counter

import pytest

from ccrelay._fast.key_pool import KeyPool
from ccrelay._fast.rate_limits import (
    GROUPS,
    Capacity,
    Cooldown,
    Dimension,
    Reservation,
    TargetLimits,
)
from ccrelay._fast.shared_memory import SharedMemory

NOW = 1000.0


def new_target(memory: SharedMemory | None = None, slot: int = 0, **limits: int) -> TargetLimits:
    made = TargetLimits(memory or SharedMemory.private(), slot)
    made.limit(**limits)
    return made


def fill(target: TargetLimits, count: int, now: float = NOW) -> None:
    for _ in range(count):
        made = target.reserve(now, 0, 0)
        assert made is not None
        made.commit(now, 0, 0)


def room(target: TargetLimits, now: float, tokens_in: int, tokens_out: int) -> float:
    keys = KeyPool([target], [1], [0], [0])
    keys.refresh(now, tokens_in, tokens_out)
    assert target.room(now, tokens_in, tokens_out) == keys.room, "alone and in its new_pool"
    return keys.room


# ---- windows and limits


def test_without_limits_any_request_is_ready() -> None:
    free = new_target()
    assert free.state(NOW, 10**6, 10**6) == Capacity.READY
    assert room(free, NOW, 10**6, 10**6) == 1.0
    assert free.ready_at(NOW, 10**6, 10**6) == NOW


@pytest.mark.parametrize(
    ("name", "dim", "need"),
    [
        ("rpm", Dimension.REQUESTS, (0, 0)),
        ("itpm", Dimension.INPUT, (1, 0)),
        ("otpm", Dimension.OUTPUT, (0, 1)),
        ("tpm", Dimension.TOKENS, (1, 0)),
        ("tpm", Dimension.TOKENS, (0, 1)),
    ],
)
def test_a_limit_applies_to_its_own_dimension(
    name: str, dim: Dimension, need: tuple[int, int]
) -> None:
    target = new_target(**{name: 3})
    held = [target.reserve(NOW, *need) for _ in range(4)]
    assert [made is not None for made in held] == [True, True, True, False]
    assert target.used(dim, NOW) == 3
    assert target.state(NOW, *need) == Capacity.FULL
    assert room(target, NOW, *need) == 0.0


def test_room_is_the_tightest_limits_share_left() -> None:
    target = new_target(rpm=10, tpm=1000)
    target.reserve_unchecked(NOW, 300, 100).commit(NOW, 300, 100)
    assert room(target, NOW, 50, 50) == pytest.approx(0.5)
    assert room(target, NOW, 0, 0) == pytest.approx(0.6)
    target.reserve_unchecked(NOW, 0, 0).commit(NOW, 0, 0)
    assert room(target, NOW, 600, 0) == 0.001  # READY is never nothing


def test_counts_leave_the_window_after_60_5_to_61_seconds() -> None:
    for offset in (0.0, 0.25, 0.499999):
        target = new_target(rpm=1)
        fill(target, 1, NOW + offset)
        assert target.state(NOW + offset + 60.5, 0, 0) == Capacity.FULL
        assert target.ready_at(NOW + offset, 0, 0) == NOW + 61.0
        assert target.state(NOW + 60.999999, 0, 0) == Capacity.FULL
        assert target.reserve(NOW + 61.0, 0, 0) is not None


def test_a_long_running_window_counts_only_the_last_minute() -> None:
    target = new_target()
    for second in range(300):
        fill(target, 2, NOW + second)
    assert target.used(Dimension.REQUESTS, NOW + 299.0) == 2 * 61  # both ends
    assert target.used(Dimension.REQUESTS, NOW + 500.0) == 0


def test_a_limit_can_be_used_completely() -> None:
    target = new_target(rpm=60)
    granted, now = 0, NOW
    while now < NOW + 600.0:
        while target.reserve(now, 0, 0) is not None:
            granted += 1
        now = target.ready_at(now, 0, 0)
    assert granted >= 0.98 * 600


def test_a_request_larger_than_the_limit_needs_an_empty_window() -> None:
    target = new_target(tpm=100)
    target.reserve_unchecked(NOW, 1, 0).commit(NOW, 1, 0)
    assert target.state(NOW, 500, 0) == Capacity.FULL
    assert target.ready_at(NOW, 500, 0) == NOW + 61.0
    made = target.reserve(NOW + 61.0, 500, 0)
    assert made is not None
    assert target.used(Dimension.INPUT, NOW + 61.0) == 500
    assert target.state(NOW + 61.0, 0, 0) == Capacity.FULL


def test_ready_at_is_when_enough_has_left_the_window() -> None:
    target = new_target(tpm=100)
    for second, tokens in ((0, 40), (10, 40), (20, 20)):
        target.reserve_unchecked(NOW + second, tokens, 0)
    assert target.ready_at(NOW + 30.0, 30, 0) == NOW + 61.0
    assert target.ready_at(NOW + 30.0, 70, 0) == NOW + 71.0
    assert target.ready_at(NOW + 30.0, 99, 0) == NOW + 81.0


def test_ready_at_is_the_latest_of_all_limits() -> None:
    target = new_target(rpm=2, otpm=10)
    target.reserve_unchecked(NOW, 0, 0)
    target.reserve_unchecked(NOW + 5.0, 0, 10)
    assert target.ready_at(NOW + 6.0, 0, 0) == NOW + 61.0
    assert target.ready_at(NOW + 6.0, 0, 1) == NOW + 66.0


def test_an_older_clock_reading_still_counts() -> None:
    target = new_target(rpm=2)
    fill(target, 1, NOW + 3.0)
    fill(target, 1, NOW)
    assert target.used(Dimension.REQUESTS, NOW) == target.used(Dimension.REQUESTS, NOW + 3.0) == 2
    stalled = new_target()
    fill(stalled, 1, NOW + 64.0)  # has taken the word of the bucket at NOW
    fill(stalled, 1, NOW)
    assert stalled.used(Dimension.REQUESTS, NOW + 64.0) == 2


@pytest.mark.parametrize("now", [0.0, -5.0, math.nan])
def test_nan_and_negative_times_are_zero(now: float) -> None:
    target = new_target(rpm=1)
    fill(target, 1, now)
    assert target.state(0.25, 0, 0) == Capacity.FULL
    assert target.state(61.0, 0, 0) == Capacity.READY


def test_token_counts_are_clamped_against_overflow() -> None:
    target = new_target()
    for _ in range(40):
        target.reserve_unchecked(NOW, 2**60, -5).commit(NOW, 2**60, -5)
    assert target.used(Dimension.INPUT, NOW) == 2**32 - 1
    assert target.used(Dimension.OUTPUT, NOW) == 0
    assert target.used(Dimension.REQUESTS, NOW) == 40


def test_negative_limits_and_unknown_dimensions_are_rejected() -> None:
    with pytest.raises(ValueError, match="negative"):
        new_target(rpm=-1)
    for dim in (-1, 4):
        with pytest.raises(ValueError, match="no such Dim"):
            new_target().used(dim, NOW)
        with pytest.raises(ValueError, match="no such Dim"):
            new_target().learned(dim, NOW)
        with pytest.raises(ValueError, match="no such Dim"):
            new_target().learn(dim, 1, 1, NOW, NOW, NOW)


def test_an_unknown_slot_is_rejected() -> None:
    for slot in (-1, 64):
        with pytest.raises(ValueError, match="of 64"):
            TargetLimits(SharedMemory.private(), slot)


# ---- in flight


def test_max_concurrent_covers_all_workers() -> None:
    memory = SharedMemory.private(workers=2)
    one, two = (
        new_target(memory, max_concurrent=2),
        new_target(memory.as_worker(1), max_concurrent=2),
    )
    first, second = one.reserve(NOW, 0, 0), two.reserve(NOW, 0, 0)
    assert first is not None
    assert second is not None
    assert one.in_flight == two.in_flight == 2
    assert one.reserve(NOW, 0, 0) is None
    assert one.state(NOW, 0, 0) == Capacity.BUSY
    assert one.ready_at(NOW, 0, 0) == pytest.approx(NOW + 0.05)
    second.commit(NOW, 0, 0)
    assert room(one, NOW, 0, 0) == 0.001  # it would take the last place
    assert one.reserve(NOW, 0, 0) is not None


def test_an_abandoned_reservation_is_no_longer_in_flight_but_stays_counted() -> None:
    target = new_target()
    made = target.reserve(NOW, 5, 5)
    assert target.in_flight == 1
    del made
    assert target.in_flight == 0
    assert target.used(Dimension.TOKENS, NOW) == 10


def test_a_reservation_keeps_its_memory_alive() -> None:
    made = TargetLimits(SharedMemory.private(), 3).reserve(NOW, 1, 1)
    assert made is not None
    assert made.limits.slot == 3
    assert made.commit(NOW, 1, 1)


def test_read_only_memory_takes_no_reservation() -> None:
    target = new_target(SharedMemory.private(worker=-1))
    for take in (target.reserve, target.reserve_unchecked):
        with pytest.raises(ValueError, match="read-only"):
            take(NOW, 1, 1)
    assert target.state(NOW, 1, 1) == Capacity.READY


# ---- settling


def test_unused_tokens_are_returned_to_their_bucket() -> None:
    target = new_target()
    made = target.reserve(NOW, 100, 50)
    assert made is not None
    assert (made.tokens_in, made.tokens_out, made.open) == (100, 50, True)
    assert made.commit(NOW + 20.0, 60, 10)
    assert (made.tokens_in, made.tokens_out, made.open) == (60, 10, False)
    assert target.used(Dimension.INPUT, NOW + 20.0) == 60
    assert target.used(Dimension.OUTPUT, NOW + 20.0) == 10
    assert target.used(Dimension.TOKENS, NOW + 61.0) == 0


def test_excess_tokens_are_counted_when_reported() -> None:
    target = new_target()
    made = target.reserve(NOW, 10, 10)
    assert made is not None
    made.commit(NOW + 20.0, 15, 30)
    assert target.used(Dimension.TOKENS, NOW + 20.0) == 45
    assert target.used(Dimension.INPUT, NOW + 61.0) == 5
    assert target.used(Dimension.OUTPUT, NOW + 61.0) == 20


def test_an_exchange_longer_than_the_window_returns_no_foreign_tokens() -> None:
    target = new_target()
    made = target.reserve(NOW, 100, 100)
    assert made is not None
    target.reserve_unchecked(NOW + 64.0, 30, 30)  # in the same word, a turn of the ring later
    made.commit(NOW + 64.0, 0, 0)
    assert target.used(Dimension.TOKENS, NOW + 64.0) == 60


def test_a_correction_is_undone_in_its_own_bucket() -> None:
    target = new_target()
    made = target.reserve(NOW, 100, 0)
    assert made is not None
    made.adjust(NOW + 10.0, 150)
    assert made.tokens_in == 150
    assert target.used(Dimension.INPUT, NOW + 10.0) == 150
    made.commit(NOW + 20.0, 120, 0)
    assert target.used(Dimension.INPUT, NOW + 20.0) == 120
    assert target.used(Dimension.INPUT, NOW + 61.0) == 20  # 30 of the 50 came back


def test_a_downward_correction_frees_capacity_early() -> None:
    target = new_target(itpm=100)
    made = target.reserve(NOW, 90, 0)
    assert made is not None
    made.adjust(NOW + 1.0, 20)
    assert target.state(NOW + 1.0, 80, 0) == Capacity.READY
    made.commit(NOW + 2.0, 5, 0)
    assert target.used(Dimension.INPUT, NOW + 2.0) == 5


def test_a_reservation_ends_once() -> None:
    target = new_target()
    made = target.reserve(NOW, 10, 10)
    assert made is not None
    assert made.commit(NOW, 10, 10)
    assert not made.commit(NOW, 99, 99)
    assert not made.cancel(NOW)
    made.adjust(NOW, 99)
    assert (target.used(Dimension.TOKENS, NOW), target.used(Dimension.REQUESTS, NOW)) == (20, 1)
    assert target.in_flight == 0


def test_cancel_returns_the_whole_reservation() -> None:
    target = new_target(rpm=1)
    made = target.reserve(NOW, 10, 10)
    assert made is not None
    made.adjust(NOW + 1.0, 30)
    assert made.cancel(NOW + 1.0)
    assert not made.commit(NOW + 1.0, 5, 5)
    assert target.used(Dimension.TOKENS, NOW + 1.0) == 0
    assert target.reserve(NOW + 1.0, 10, 10) is not None


def test_reserve_unchecked_ignores_all_limits() -> None:
    target = new_target(rpm=1, max_concurrent=1)
    target.start_cooldown(NOW + 10.0, Cooldown.RATE)
    held = [target.reserve_unchecked(NOW, 1, 1) for _ in range(3)]
    assert target.in_flight == len(held) == 3
    assert target.used(Dimension.REQUESTS, NOW) == 3


def test_a_reservation_made_directly_is_closed() -> None:
    empty = Reservation()
    assert not empty.commit(NOW, 1, 1)
    assert not empty.cancel(NOW)
    empty.adjust(NOW, 1)
    assert repr(empty) == "<Reservation of nothing>"


# ---- cooldowns


def test_a_cooldown_expires() -> None:
    target = new_target()
    assert (target.cooldown_until(), target.cooldown_reason) == (0.0, Cooldown.NONE)
    target.start_cooldown(NOW + 2.0, Cooldown.RATE)
    assert target.state(NOW, 1, 1) == Capacity.COOLING_DOWN
    assert target.reserve(NOW, 1, 1) is None
    assert room(target, NOW, 1, 1) == 0.0
    assert (target.cooldown_until(), target.cooldown_reason) == (NOW + 2.0, Cooldown.RATE)
    assert target.ready_at(NOW, 1, 1) == NOW + 2.0
    assert target.state(NOW + 2.0, 1, 1) == Capacity.READY


def test_the_later_cooldown_end_wins() -> None:
    target = new_target()
    target.start_cooldown(NOW + 60.0, Cooldown.QUOTA)
    target.start_cooldown(NOW + 5.0, Cooldown.RATE)
    assert (target.cooldown_until(), target.cooldown_reason) == (NOW + 60.0, Cooldown.QUOTA)
    target.start_cooldown(NOW + 90.0, Cooldown.RATE)
    assert (target.cooldown_until(), target.cooldown_reason) == (NOW + 90.0, Cooldown.RATE)


def test_a_refused_key_is_unused_until_cleared() -> None:
    target = new_target()
    target.start_cooldown(NOW, Cooldown.REFUSED)
    target.start_cooldown(NOW + 5.0, Cooldown.RATE)
    assert target.state(NOW + 1e9, 1, 1) == Capacity.DISABLED
    assert target.cooldown_until() == target.ready_at(NOW, 1, 1) == math.inf
    assert target.cooldown_reason == Cooldown.REFUSED
    target.clear_cooldown()
    assert target.state(NOW, 1, 1) == Capacity.READY


def test_clear_cooldown_keeps_timed_cooldowns() -> None:
    target = new_target()
    target.start_cooldown(NOW + 5.0, Cooldown.QUOTA)
    target.clear_cooldown()
    assert target.state(NOW, 1, 1) == Capacity.COOLING_DOWN
    target.start_cooldown(math.inf, Cooldown.QUOTA)
    target.clear_cooldown()
    assert target.state(NOW, 1, 1) == Capacity.COOLING_DOWN


@pytest.mark.parametrize("reason", [Cooldown.NONE, -1, 5])
def test_a_cooldown_needs_a_valid_reason(reason: int) -> None:
    with pytest.raises(ValueError, match="no such cooldown reason"):
        new_target().start_cooldown(NOW + 1.0, reason)


def test_one_reservation_goes_first_when_a_cooldown_ends() -> None:
    memory = SharedMemory.private(workers=2)
    target, other = new_target(memory), new_target(memory.as_worker(1))
    target.start_cooldown(NOW + 5.0, Cooldown.RATE)
    at = NOW + 5.0
    assert target.state(at, 0, 0) == Capacity.READY
    assert target.reserve(at, 0, 0) is not None
    for one in (target, other):
        assert one.reserve(at + 0.1, 0, 0) is None
        assert one.state(at + 0.1, 0, 0) == Capacity.COOLING_DOWN
        assert one.ready_at(at + 0.1, 0, 0) == pytest.approx(at + 0.15)  # it may pass any time
        assert one.cooldown_until() == 0.0
    assert other.reserve(at + 2.0, 0, 0) is not None  # no answer for two seconds
    assert target.reserve(at + 2.0, 0, 0) is None
    assert target.prove(0)
    assert not target.prove(0)
    assert [one.reserve(at + 2.1, 0, 0) is not None for one in (target, other)] == [True, True]


def test_a_cooldown_of_a_trial_replaces_it_however_short() -> None:
    target = new_target()
    target.start_cooldown(NOW, Cooldown.RATE)
    assert target.reserve(NOW, 0, 0) is not None
    target.start_cooldown(NOW + 0.5, Cooldown.RATE)
    assert target.cooldown_until() == NOW + 0.5
    assert target.reserve(NOW + 0.5, 0, 0) is not None


def test_a_served_request_from_before_ends_no_cooldown() -> None:
    target = new_target()
    target.start_cooldown(NOW + 5.0, Cooldown.RATE)
    assert not target.prove(0)
    assert target.state(NOW, 0, 0) == Capacity.COOLING_DOWN


# ---- groups of models


def test_a_group_cools_down_by_itself() -> None:
    target = new_target()
    target.start_group_cooldown(2, NOW + 30.0)
    assert [target.state(NOW, 0, 0, group) for group in (0, 1, 2, 3)] == [
        Capacity.READY,
        Capacity.READY,
        Capacity.COOLING_DOWN,
        Capacity.READY,
    ]
    assert target.ready_at(NOW, 0, 0, True, 2) == NOW + 30.0
    assert target.reserve(NOW, 0, 0, True, 2) is None
    target.start_group_cooldown(2, NOW + 10.0)  # the later one counts
    assert target.reserve(NOW + 29.0, 0, 0, False, 2) is None
    assert target.reserve(NOW + 30.0, 0, 0, False, 2) is not None
    assert target.reserve(NOW + 30.1, 0, 0, False, 2) is None  # one goes first
    assert target.prove(2)
    assert target.reserve(NOW + 30.1, 0, 0, False, 2) is not None


def test_rests_of_a_group_double_and_only_steer() -> None:
    target = new_target()
    now, lasted = NOW, []
    for _ in range(8):
        lasted.append(target.rest_group(1, now))
        assert target.rest_group(1, now) == 0.0  # was under way with it
        assert target.state(now, 0, 0, 1) == Capacity.TIGHT
        assert target.state(now, 0, 0, 2) == Capacity.READY
        assert target.ready_at(now, 0, 0, False, 1) == target.ready_at(now, 0, 0, True, 1) == now
        assert target.reserve(now, 0, 0, True, 1) is not None
        now += lasted[-1]
        assert target.reserve(now, 0, 0, False, 1) is not None  # the trial fails
    assert lasted == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 32.0, 32.0]
    target.prove(1)
    assert target.rest_group(1, now) == 1.0
    assert target.rest_group(1, now + 100.0) == 1.0  # long after it


@pytest.mark.parametrize("group", [-1, 0, GROUPS + 1])
def test_an_unknown_group_has_no_cooldown(group: int) -> None:
    target = new_target()
    target.start_group_cooldown(group, NOW + 30.0)
    assert target.rest_group(group, NOW) == 0.0
    assert target.state(NOW, 0, 0, group) == Capacity.READY


def test_a_group_word_is_no_other_state() -> None:
    target = new_target(rpm=5)
    for group in range(1, GROUPS + 1):
        target.start_group_cooldown(group, NOW + 30.0)
    fill(target, 3)
    assert [target.used(dim, NOW) for dim in Dimension] == [3, 0, 0, 0]
    assert all(target.learned(dim, NOW) is None for dim in Dimension)
    assert target.state(NOW, 0, 0) == Capacity.READY


# ---- what is reserved


@pytest.mark.parametrize("end", ["commit", "cancel", "abandon", "adjust"])
def test_what_is_reserved_may_come_back_until_it_is_settled(end: str) -> None:
    target = new_target(itpm=100)
    made = target.reserve(NOW, 90, 0)
    assert made is not None
    assert target.ready_at(NOW, 50, 0) == pytest.approx(NOW + 0.05)
    match end:
        case "commit":
            made.commit(NOW, 90, 0)
        case "cancel":
            made.cancel(NOW)
        case "adjust":
            made.adjust(NOW, 90)  # now it is known
        case _:
            del made
    at = target.ready_at(NOW, 50, 0)
    assert at == NOW if end == "cancel" else NOW + 60.0 < at < NOW + 62.0


def test_what_is_reserved_does_not_help_a_request_that_needs_more() -> None:
    target = new_target(itpm=100)
    fill_tokens = target.reserve_unchecked(NOW, 60, 0)
    fill_tokens.commit(NOW, 60, 0)
    made = target.reserve(NOW, 30, 0)
    assert made is not None
    assert target.ready_at(NOW, 40, 0) == pytest.approx(NOW + 0.05)
    assert target.ready_at(NOW, 50, 0) > NOW + 60.0


def test_what_a_dead_worker_had_reserved_is_forgotten() -> None:
    memory = SharedMemory.private(workers=2)
    other = memory.as_worker(1)
    target, dead = new_target(memory, itpm=100), new_target(other, itpm=100)
    made = dead.reserve(NOW, 90, 0)
    assert target.ready_at(NOW, 50, 0) == pytest.approx(NOW + 0.05)
    assert memory.clear_worker(1) == 1
    assert target.ready_at(NOW, 50, 0) > NOW + 60.0
    del made


# ---- learned limits


def test_a_learned_limit_expires() -> None:
    target = new_target()
    target.learn(Dimension.REQUESTS, 2, -1, 0.0, NOW + 30.0, NOW)
    fill(target, 2)
    assert target.learned(Dimension.REQUESTS, NOW) == (2, 0)
    assert target.state(NOW, 0, 0) == Capacity.TIGHT
    assert target.ready_at(NOW, 0, 0) == NOW + 30.0
    assert target.state(NOW + 30.0, 0, 0) == Capacity.READY
    assert target.learned(Dimension.REQUESTS, NOW + 30.0) is None


def test_headers_only_tighten_configured_limits() -> None:
    target = new_target(rpm=10)
    fill(target, 4)
    target.learn(Dimension.REQUESTS, 4, -1, 0.0, NOW + 60.0, NOW)
    assert target.state(NOW, 0, 0) == Capacity.TIGHT
    target.learn(Dimension.REQUESTS, 1000, -1, 0.0, NOW + 60.0, NOW)
    assert room(target, NOW, 0, 0) == pytest.approx(0.5)
    fill(target, 6)
    assert target.state(NOW, 0, 0) == Capacity.FULL


def test_use_by_others_counts_until_the_reset() -> None:
    target = new_target()
    fill(target, 3)
    target.learn(Dimension.REQUESTS, 10, 2, NOW + 20.0, NOW + 300.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (10, 5)
    fill(target, 2)
    assert target.state(NOW, 0, 0) == Capacity.TIGHT
    assert target.ready_at(NOW, 0, 0) == NOW + 20.0
    fill(target, 5, NOW + 20.0)
    assert target.ready_at(NOW + 20.0, 0, 0) == NOW + 61.0


def test_our_use_may_leave_the_window_before_the_reset() -> None:
    target = new_target()
    fill(target, 5)
    target.learn(Dimension.REQUESTS, 10, 0, NOW + 200.0, NOW + 300.0, NOW)
    assert target.ready_at(NOW, 0, 0) == NOW + 61.0


def test_requests_in_flight_are_not_mistaken_for_use_by_others() -> None:
    target = new_target()
    sent = [target.reserve(NOW, 5, 5) for _ in range(6)]
    target.learn(Dimension.REQUESTS, 10, 9, NOW + 20.0, NOW + 300.0, NOW)  # the first one's answer
    target.learn(Dimension.TOKENS, 100, 90, NOW + 20.0, NOW + 300.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (10, 0)
    assert target.learned(Dimension.TOKENS, NOW) == (100, 0)
    assert room(target, NOW, 0, 0) == pytest.approx(0.3)
    assert None not in sent


def test_a_higher_remaining_than_our_count_is_trusted() -> None:
    target = new_target()
    fill(target, 30)  # haiku's
    fill(target, 15)  # sonnet's, which have a limit of their own
    target.learn(Dimension.REQUESTS, 50, 30, NOW + 20.0, NOW + 600.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (50, -25)
    assert room(target, NOW, 0, 0) == pytest.approx(29 / 50)
    fill(target, 20, NOW)  # the same half second
    fill(target, 10, NOW + 5.0)
    assert target.state(NOW + 5.0, 0, 0) == Capacity.TIGHT
    assert target.used(Dimension.REQUESTS, NOW + 5.0) == 75


def test_a_higher_remaining_is_trusted_until_the_reset() -> None:
    target = new_target()
    fill(target, 50)
    target.learn(Dimension.REQUESTS, 50, 30, NOW + 20.0, NOW + 600.0, NOW)
    assert target.state(NOW + 19.9, 0, 0) == Capacity.READY
    assert target.state(NOW + 20.0, 0, 0) == Capacity.TIGHT
    assert target.learned(Dimension.REQUESTS, NOW + 20.0) == (50, 0)
    assert target.ready_at(NOW + 20.0, 0, 0) == NOW + 61.0


def test_a_higher_remaining_is_trusted_for_one_window_at_most() -> None:
    target = new_target()
    fill(target, 50)
    target.learn(Dimension.REQUESTS, 50, 30, NOW + 120.0, NOW + 600.0, NOW)
    fill(target, 30, NOW + 1.0)
    assert target.ready_at(NOW + 1.0, 0, 0) == NOW + 61.0
    fill(target, 20, NOW + 61.0)
    assert target.ready_at(NOW + 61.0, 0, 0) == NOW + 62.0


def test_headers_never_loosen_a_configured_limit() -> None:
    target = new_target(rpm=40)
    fill(target, 30)
    target.learn(Dimension.REQUESTS, 50, 50, NOW + 20.0, NOW + 600.0, NOW)
    assert room(target, NOW, 0, 0) == pytest.approx(9 / 40)
    fill(target, 10)
    assert target.state(NOW, 0, 0) == Capacity.FULL
    assert target.ready_at(NOW, 0, 0) == NOW + 61.0
    other = new_target(rpm=40)
    fill(other, 30)
    other.learn(Dimension.REQUESTS, 0, 50, NOW + 20.0, 0.0, NOW)
    assert other.learned(Dimension.REQUESTS, NOW) == (0, 0)
    assert room(other, NOW, 0, 0) == pytest.approx(9 / 40)


def test_ready_at_accounts_for_the_end_of_a_higher_remaining() -> None:
    target = new_target(otpm=10)
    fill(target, 5)
    target.reserve_unchecked(NOW - 50.0, 0, 10).commit(NOW - 50.0, 0, 10)
    target.learn(Dimension.REQUESTS, 5, 2, NOW + 20.0, NOW + 600.0, NOW)
    # The output that is in the way leaves while more requests are believed to be left ...
    assert target.ready_at(NOW, 0, 1) == NOW + 11.0
    assert target.state(NOW + 11.0, 0, 1) == Capacity.READY
    # ... and here afterwards, when the window of our own requests decides.
    target.learn(Dimension.REQUESTS, 5, 2, NOW + 10.0, NOW + 600.0, NOW)
    assert target.ready_at(NOW, 0, 1) == NOW + 61.0
    assert target.state(NOW + 11.0, 0, 1) == Capacity.TIGHT


def test_a_lower_remaining_replaces_a_higher_one() -> None:
    target = new_target()
    fill(target, 8)
    target.learn(Dimension.REQUESTS, 10, 9, NOW + 20.0, NOW + 600.0, NOW)
    assert room(target, NOW, 0, 0) == pytest.approx(0.8)
    target.learn(Dimension.REQUESTS, 10, 0, NOW + 20.0, NOW + 600.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (10, 2)
    assert target.state(NOW, 0, 0) == Capacity.TIGHT


def test_remaining_is_capped_by_the_limit_and_ends_with_it() -> None:
    target = new_target()
    fill(target, 9)
    target.learn(Dimension.REQUESTS, 10, 2**62, NOW + 50.0, NOW + 30.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (10, -9)
    fill(target, 10, NOW + 1.0)
    assert target.state(NOW + 1.0, 0, 0) == Capacity.TIGHT
    assert target.ready_at(NOW + 1.0, 0, 0) == NOW + 30.0
    target.learn(Dimension.REQUESTS, 3, -1, 0.0, NOW + 60.0, NOW + 2.0)  # a limit of another group
    assert target.learned(Dimension.REQUESTS, NOW + 2.0) == (3, -16)  # all three
    assert target.state(NOW + 2.0, 0, 0) == Capacity.TIGHT


def test_a_higher_remaining_works_for_tokens() -> None:
    target = new_target()
    target.reserve_unchecked(NOW - 1.0, 300, 100).commit(NOW - 1.0, 300, 100)
    target.learn(Dimension.TOKENS, 400, 250, NOW + 20.0, NOW + 600.0, NOW)
    made = target.reserve(NOW, 100, 50)
    assert made is not None
    assert target.state(NOW, 100, 0) == Capacity.READY
    assert target.state(NOW, 100, 1) == Capacity.TIGHT
    made.commit(NOW + 1.0, 50, 50)  # what was too much is there again
    assert target.state(NOW + 1.0, 100, 50) == Capacity.READY


def test_use_by_others_falls_back_on_the_configured_limit() -> None:
    target = new_target(tpm=100)
    target.learn(Dimension.TOKENS, 0, 30, NOW + 20.0, 0.0, NOW)
    assert target.learned(Dimension.TOKENS, NOW) == (0, 70)
    assert target.state(NOW, 30, 0) == Capacity.READY
    assert target.state(NOW, 31, 0) == Capacity.TIGHT
    assert target.ready_at(NOW, 31, 0) == NOW + 20.0


def test_use_by_others_counts_against_its_own_limit() -> None:
    target = new_target(rpm=10)
    target.learn(Dimension.REQUESTS, 50, 25, NOW + 20.0, NOW + 60.0, NOW)
    fill(target, 9)
    assert target.state(NOW, 0, 0) == Capacity.READY  # 9 of our 10, 34 of their 50
    target.learn(Dimension.REQUESTS, 50, 0, NOW + 20.0, NOW + 60.0, NOW)
    assert target.state(NOW, 0, 0) == Capacity.TIGHT


def test_remaining_without_a_limit_is_reserved_once() -> None:
    target = new_target()
    fill(target, 7)
    target.learn(Dimension.REQUESTS, 0, 2, NOW + 20.0, 0.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (0, 0)
    fill(target, 2, NOW + 5.0)
    assert target.state(NOW + 5.0, 0, 0) == Capacity.TIGHT
    assert target.ready_at(NOW + 5.0, 0, 0) == NOW + 20.0
    assert target.state(NOW + 20.0, 0, 0) == Capacity.READY


def test_remaining_tokens_without_a_limit_cover_input_and_output() -> None:
    target = new_target()
    target.learn(Dimension.TOKENS, 0, 100, NOW + 20.0, 0.0, NOW)
    target.reserve_unchecked(NOW, 40, 30)
    assert target.state(NOW, 20, 10) == Capacity.READY
    assert target.state(NOW, 20, 11) == Capacity.TIGHT
    assert room(target, NOW, 10, 10) == pytest.approx(0.1)


def test_past_times_are_ignored() -> None:
    target = new_target()
    target.learn(Dimension.REQUESTS, 1, 0, NOW, NOW, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) is None
    assert target.state(NOW, 0, 0) == Capacity.READY
    target.learn(Dimension.REQUESTS, 1, -1, NOW + 20.0, NOW - 1.0, NOW)
    assert target.state(NOW, 0, 0) == Capacity.READY


def test_a_later_answer_replaces_use_by_others() -> None:
    target = new_target()
    target.learn(Dimension.REQUESTS, 10, 0, NOW + 50.0, NOW + 60.0, NOW)
    assert target.state(NOW, 0, 0) == Capacity.TIGHT
    target.learn(Dimension.REQUESTS, 10, 10, NOW + 50.0, NOW + 60.0, NOW)
    assert room(target, NOW, 0, 0) == pytest.approx(0.9)


# ---- a new_pool of keys


def new_pool(
    weights: list[int], priorities: list[int] | None = None, **limits: int
) -> tuple[KeyPool, list[TargetLimits]]:
    memory = SharedMemory.private(workers=2)
    targets = [new_target(memory, k, **limits) for k in range(len(weights))]
    seeds = [(k + 1) * 0x1234567 for k in range(len(weights))]
    return KeyPool(targets, weights, priorities or [0] * len(weights), seeds), targets


def test_refresh_counts_ready_keys_of_the_highest_priority() -> None:
    keys, targets = new_pool([1, 1, 1], [5, 5, 1])
    assert not keys.is_ready(0)
    assert keys.refresh(NOW, 1, 1) == 2
    targets[0].start_cooldown(NOW + 9.0, Cooldown.RATE)
    assert keys.refresh(NOW, 1, 1) == 1
    assert keys.most_room() == 1
    targets[1].start_cooldown(NOW, Cooldown.REFUSED)
    assert keys.refresh(NOW, 1, 1) == 1
    assert keys.most_room() == 2
    assert [keys.is_ready(k) for k in range(3)] == [False, False, True]


def test_skipped_keys_are_not_counted() -> None:
    keys, _ = new_pool([1, 1])
    assert keys.refresh(NOW, 1, 1, 0b01) == 1
    assert not keys.is_ready(0)
    assert keys.most_room() == keys.in_turn() == keys.at_random(0.0) == keys.least_loaded() == 1
    assert keys.refresh(NOW, 1, 1, 0b11) == 0
    assert keys.most_room() == keys.in_turn() == keys.at_random(0.0) == keys.least_loaded() == -1
    assert keys.room == 0.0


def test_a_pool_may_have_more_keys_than_a_word_has_bits() -> None:
    targets = [TargetLimits(SharedMemory.private(), 0)] * 100
    keys = KeyPool(targets, [1] * 100, [0] * 100, range(100))
    assert keys.refresh(NOW, 1, 1, (1 << 100) - 1 - (1 << 99)) == 1
    assert keys.most_room() == 99


def test_an_unweighted_key_is_used_when_no_weighted_one_is_ready() -> None:
    keys, targets = new_pool([0, 1], [9, 0])
    assert keys.refresh(NOW, 1, 1) == 1
    assert keys.most_room() == 1
    assert keys.preferred_key(7) == 1
    targets[1].start_cooldown(NOW + 9.0, Cooldown.RATE)
    assert keys.refresh(NOW, 1, 1) == 1
    assert keys.most_room() == keys.in_turn() == keys.at_random(0.5) == keys.least_loaded() == 0
    assert keys.room > 0.0


def test_unweighted_keys_share_equally() -> None:
    keys, _ = new_pool([0, 0])
    assert keys.refresh(NOW, 1, 1) == 2
    assert keys.room == 1.0
    assert [keys.in_turn() for _ in range(4)] == [0, 1, 0, 1]
    assert {keys.preferred_key(c) for c in range(50)} == {0, 1}


def test_most_room_multiplies_by_weight() -> None:
    keys, targets = new_pool([1, 3], rpm=10)
    fill(targets[1], 7)
    keys.refresh(NOW, 0, 0)
    assert keys.most_room() == 0  # 0.9 x 1 against 0.2 x 3
    fill(targets[0], 5)
    keys.refresh(NOW, 0, 0)
    assert keys.most_room() == 1
    assert keys.room == pytest.approx((0.4 * 1 + 0.2 * 3) / 4)


def test_most_room_ties_go_to_fewest_in_flight_then_round_robin() -> None:
    keys, targets = new_pool([1, 1, 1])
    keys.refresh(NOW, 0, 0)
    assert [keys.most_room() for _ in range(4)] == [0, 1, 2, 0]
    held = [targets[0].reserve_unchecked(NOW, 0, 0), targets[1].reserve_unchecked(NOW, 0, 0)]
    keys.refresh(NOW, 0, 0)
    assert [keys.most_room() for _ in range(2)] == [2, 2]
    assert keys.in_flight == len(held)


def test_least_loaded_divides_by_weight() -> None:
    keys, targets = new_pool([1, 4])
    held = [
        targets[0].reserve_unchecked(NOW, 0, 0),
        *(targets[1].reserve_unchecked(NOW, 0, 0) for _ in range(3)),
    ]
    keys.refresh(NOW, 0, 0)
    assert keys.least_loaded() == 1
    held += [targets[1].reserve_unchecked(NOW, 0, 0), targets[1].reserve_unchecked(NOW, 0, 0)]
    assert keys.least_loaded() == 0


def test_in_turn_is_smooth_weighted_round_robin() -> None:
    keys, _ = new_pool([5, 1, 1])
    keys.refresh(NOW, 0, 0)
    assert [keys.in_turn() for _ in range(7)] == [0, 0, 1, 0, 2, 0, 0]


def test_at_random_follows_the_weights() -> None:
    keys, _ = new_pool([1, 0, 3])
    keys.refresh(NOW, 0, 0)
    assert [keys.at_random(point) for point in (0.0, 0.24, 0.26, 0.99, 1.0)] == [0, 0, 2, 2, 2]


def test_rendezvous_follows_weights_whether_ready_or_not() -> None:
    keys, targets = new_pool([1, 3, 2], [1, 1, 0])
    before = [keys.preferred_key(conversation) for conversation in range(4000)]
    shares = Counter(before)
    assert shares[2] == 0
    assert 0.21 < shares[0] / 4000 < 0.29
    targets[1].start_cooldown(NOW, Cooldown.REFUSED)
    keys.refresh(NOW, 0, 0)
    assert [keys.preferred_key(conversation) for conversation in range(4000)] == before


def test_the_preferred_key_depends_only_on_seeds() -> None:
    memory = SharedMemory.private()
    seeds = [11, 22, 33, 2**64 - 1]
    one = KeyPool([TargetLimits(memory, k) for k in range(4)], [1, 1, 2, 1], [0] * 4, seeds)
    other = KeyPool(
        [TargetLimits(memory, 9 - k) for k in range(4)], [1, 2, 1, 1], [0] * 4, seeds[::-1]
    )
    for conversation in (0, 1, 2**64 - 1, *range(100, 200)):
        assert (
            seeds[one.preferred_key(conversation)] == seeds[::-1][other.preferred_key(conversation)]
        )


def test_removing_a_key_remaps_only_its_conversations() -> None:
    memory = SharedMemory.private()
    targets = [TargetLimits(memory, k) for k in range(3)]
    three = KeyPool(targets, [1, 1, 1], [0, 0, 0], [5, 6, 7])
    two = KeyPool(targets[:2], [1, 1], [0, 0], [5, 6])
    for conversation in range(500):
        if three.preferred_key(conversation) < 2:
            assert two.preferred_key(conversation) == three.preferred_key(conversation)


def test_an_empty_pool_chooses_nothing() -> None:
    keys = KeyPool([], [], [], [])
    assert len(keys) == keys.refresh(NOW, 1, 1) == keys.in_flight == 0
    assert keys.preferred_key(1) == keys.most_room() == -1


def test_a_pool_rejects_unequal_lengths_and_negative_weights() -> None:
    one = [TargetLimits(SharedMemory.private(), 0)]
    for rows in (([], [0], [1]), ([1], [], [1]), ([1], [0], []), ([1, 1], [0], [1])):
        with pytest.raises(ValueError, match="per key"):
            KeyPool(one, *rows)
    with pytest.raises(ValueError, match="negative weight"):
        KeyPool(one, [-1], [0], [1])


@pytest.mark.parametrize("index", [-1, 2])
def test_an_unknown_key_index_is_rejected(index: int) -> None:
    keys, _ = new_pool([1, 1])
    with pytest.raises(IndexError, match="of 2"):
        keys.is_ready(index)


def test_reprs_show_limits_and_state() -> None:
    keys, targets = new_pool([1], rpm=60, tpm=1000)
    made = targets[0].reserve(NOW, 10, 5)
    assert repr(targets[0]) == "<TargetLimits 0 in_flight=1 cooldown_until=0.0 rpm=60 tpm=1000>"
    assert repr(made) == "<Reservation of 0 tokens=10+5 open>"
    assert made is not None
    made.commit(NOW, 10, 5)
    assert repr(made).endswith("ended>")
    assert repr(keys) == "<KeyPool of 1 ready=0 in_flight=0>"
