"""Counters of targets: windows, rests, learned limits, reservations, and the choice among keys."""

import math
from collections import Counter

import pytest

from ccrelay._fast.rate_limits import (
    Capacity,
    Cooldown,
    Dimension,
    KeyPool,
    Reservation,
    TargetLimits,
)
from ccrelay._fast.shared_memory import SharedMemory

NOW = 1000.0


def gauge(board: SharedMemory | None = None, slot: int = 0, **limits: int) -> TargetLimits:
    made = TargetLimits(board or SharedMemory.private(), slot)
    made.limit(**limits)
    return made


def fill(target: TargetLimits, count: int, now: float = NOW) -> None:
    for _ in range(count):
        made = target.reserve(now, 0, 0)
        assert made is not None
        made.settle(now, 0, 0)


def room(target: TargetLimits, now: float, tokens_in: int, tokens_out: int) -> float:
    keys = KeyPool([target], [1], [0], [0])
    keys.survey(now, tokens_in, tokens_out)
    assert target.room(now, tokens_in, tokens_out) == keys.room, "alone and in its bank"
    return keys.room


# ---- windows and limits


def test_without_limits_everything_fits() -> None:
    free = gauge()
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
def test_a_limit_holds_for_its_own_dimension(
    name: str, dim: Dimension, need: tuple[int, int]
) -> None:
    target = gauge(**{name: 3})
    held = [target.reserve(NOW, *need) for _ in range(4)]
    assert [made is not None for made in held] == [True, True, True, False]
    assert target.used(dim, NOW) == 3
    assert target.state(NOW, *need) == Capacity.FULL
    assert room(target, NOW, *need) == 0.0


def test_room_is_what_the_tightest_limit_has_left_after_the_request() -> None:
    target = gauge(rpm=10, tpm=1000)
    target.force(NOW, 300, 100).settle(NOW, 300, 100)
    assert room(target, NOW, 50, 50) == pytest.approx(0.5)
    assert room(target, NOW, 0, 0) == pytest.approx(0.6)
    target.force(NOW, 0, 0).settle(NOW, 0, 0)
    assert room(target, NOW, 600, 0) == 0.001  # READY is never nothing


def test_what_is_counted_leaves_after_sixty_seconds_and_at_most_half_a_second_more() -> None:
    for offset in (0.0, 0.25, 0.499999):
        target = gauge(rpm=1)
        fill(target, 1, NOW + offset)
        assert target.state(NOW + offset + 60.5, 0, 0) == Capacity.FULL
        assert target.ready_at(NOW + offset, 0, 0) == NOW + 61.0
        assert target.state(NOW + 60.999999, 0, 0) == Capacity.FULL
        assert target.reserve(NOW + 61.0, 0, 0) is not None


def test_a_window_that_rolls_on_for_long_counts_the_last_minute_only() -> None:
    target = gauge()
    for second in range(300):
        fill(target, 2, NOW + second)
    assert target.used(Dimension.REQUESTS, NOW + 299.0) == 2 * 61  # both ends
    assert target.used(Dimension.REQUESTS, NOW + 500.0) == 0


def test_a_limit_is_used_up_to_its_last_request() -> None:
    target = gauge(rpm=60)
    granted, now = 0, NOW
    while now < NOW + 600.0:
        while target.reserve(now, 0, 0) is not None:
            granted += 1
        now = target.ready_at(now, 0, 0)
    assert granted >= 0.98 * 600


def test_a_request_larger_than_the_limit_fits_into_an_empty_window_only() -> None:
    target = gauge(tpm=100)
    target.force(NOW, 1, 0).settle(NOW, 1, 0)
    assert target.state(NOW, 500, 0) == Capacity.FULL
    assert target.ready_at(NOW, 500, 0) == NOW + 61.0
    made = target.reserve(NOW + 61.0, 500, 0)
    assert made is not None
    assert target.used(Dimension.INPUT, NOW + 61.0) == 500
    assert target.state(NOW + 61.0, 0, 0) == Capacity.FULL


def test_ready_at_is_when_enough_has_left_and_not_when_all_has() -> None:
    target = gauge(tpm=100)
    for second, tokens in ((0, 40), (10, 40), (20, 20)):
        target.force(NOW + second, tokens, 0)
    assert target.ready_at(NOW + 30.0, 30, 0) == NOW + 61.0
    assert target.ready_at(NOW + 30.0, 70, 0) == NOW + 71.0
    assert target.ready_at(NOW + 30.0, 99, 0) == NOW + 81.0


def test_ready_at_is_that_of_the_slowest_limit() -> None:
    target = gauge(rpm=2, otpm=10)
    target.force(NOW, 0, 0)
    target.force(NOW + 5.0, 0, 10)
    assert target.ready_at(NOW + 6.0, 0, 0) == NOW + 61.0
    assert target.ready_at(NOW + 6.0, 0, 1) == NOW + 66.0


def test_a_clock_reading_that_is_older_than_others_counts_all_the_same() -> None:
    target = gauge(rpm=2)
    fill(target, 1, NOW + 3.0)
    fill(target, 1, NOW)
    assert target.used(Dimension.REQUESTS, NOW) == target.used(Dimension.REQUESTS, NOW + 3.0) == 2
    stalled = gauge()
    fill(stalled, 1, NOW + 64.0)  # has taken the word of the bucket at NOW
    fill(stalled, 1, NOW)
    assert stalled.used(Dimension.REQUESTS, NOW + 64.0) == 2


@pytest.mark.parametrize("now", [0.0, -5.0, math.nan])
def test_odd_instants_are_the_beginning_of_time(now: float) -> None:
    target = gauge(rpm=1)
    fill(target, 1, now)
    assert target.state(0.25, 0, 0) == Capacity.FULL
    assert target.state(61.0, 0, 0) == Capacity.READY


def test_tokens_are_bounded_so_that_no_sum_runs_over() -> None:
    target = gauge()
    for _ in range(40):
        target.force(NOW, 2**60, -5).settle(NOW, 2**60, -5)
    assert target.used(Dimension.INPUT, NOW) == 2**32 - 1
    assert target.used(Dimension.OUTPUT, NOW) == 0
    assert target.used(Dimension.REQUESTS, NOW) == 40


def test_a_negative_limit_and_an_unknown_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        gauge(rpm=-1)
    for dim in (-1, 4):
        with pytest.raises(ValueError, match="no such Dim"):
            gauge().used(dim, NOW)
        with pytest.raises(ValueError, match="no such Dim"):
            gauge().learned(dim, NOW)
        with pytest.raises(ValueError, match="no such Dim"):
            gauge().learn(dim, 1, 1, NOW, NOW, NOW)


def test_a_slot_that_the_board_does_not_have_is_refused() -> None:
    for slot in (-1, 64):
        with pytest.raises(ValueError, match="of 64"):
            TargetLimits(SharedMemory.private(), slot)


# ---- in flight


def test_max_concurrent_counts_the_exchanges_of_all_workers() -> None:
    board = SharedMemory.private(workers=2)
    one, two = gauge(board, max_concurrent=2), gauge(board.as_worker(1), max_concurrent=2)
    first, second = one.reserve(NOW, 0, 0), two.reserve(NOW, 0, 0)
    assert first is not None
    assert second is not None
    assert one.in_flight == two.in_flight == 2
    assert one.reserve(NOW, 0, 0) is None
    assert one.state(NOW, 0, 0) == Capacity.BUSY
    assert one.ready_at(NOW, 0, 0) == pytest.approx(NOW + 0.05)
    second.settle(NOW, 0, 0)
    assert room(one, NOW, 0, 0) == 0.001  # it would take the last place
    assert one.reserve(NOW, 0, 0) is not None


def test_a_reservation_that_is_forgotten_gives_back_its_place_and_stays_counted() -> None:
    target = gauge()
    made = target.reserve(NOW, 5, 5)
    assert target.in_flight == 1
    del made
    assert target.in_flight == 0
    assert target.used(Dimension.TOKENS, NOW) == 10


def test_a_reservation_keeps_its_memory_alive() -> None:
    made = TargetLimits(SharedMemory.private(), 3).reserve(NOW, 1, 1)
    assert made is not None
    assert made.limits.slot == 3
    assert made.settle(NOW, 1, 1)


def test_a_board_without_a_worker_only_reads() -> None:
    target = gauge(SharedMemory.private(worker=-1))
    for take in (target.reserve, target.force):
        with pytest.raises(ValueError, match="only reads"):
            take(NOW, 1, 1)
    assert target.state(NOW, 1, 1) == Capacity.READY


# ---- settling


def test_less_than_reserved_is_given_back_where_it_was_counted() -> None:
    target = gauge()
    made = target.reserve(NOW, 100, 50)
    assert made is not None
    assert (made.tokens_in, made.tokens_out, made.open) == (100, 50, True)
    assert made.settle(NOW + 20.0, 60, 10)
    assert (made.tokens_in, made.tokens_out, made.open) == (60, 10, False)
    assert target.used(Dimension.INPUT, NOW + 20.0) == 60
    assert target.used(Dimension.OUTPUT, NOW + 20.0) == 10
    assert target.used(Dimension.TOKENS, NOW + 61.0) == 0


def test_more_than_reserved_is_counted_when_it_is_known() -> None:
    target = gauge()
    made = target.reserve(NOW, 10, 10)
    assert made is not None
    made.settle(NOW + 20.0, 15, 30)
    assert target.used(Dimension.TOKENS, NOW + 20.0) == 45
    assert target.used(Dimension.INPUT, NOW + 61.0) == 5
    assert target.used(Dimension.OUTPUT, NOW + 61.0) == 20


def test_an_exchange_that_outlives_the_window_gives_back_nothing_of_others() -> None:
    target = gauge()
    made = target.reserve(NOW, 100, 100)
    assert made is not None
    target.force(NOW + 64.0, 30, 30)  # in the same word, a turn of the ring later
    made.settle(NOW + 64.0, 0, 0)
    assert target.used(Dimension.TOKENS, NOW + 64.0) == 60


def test_a_correction_is_taken_back_from_where_it_was_counted() -> None:
    target = gauge()
    made = target.reserve(NOW, 100, 0)
    assert made is not None
    made.correct(NOW + 10.0, 150)
    assert made.tokens_in == 150
    assert target.used(Dimension.INPUT, NOW + 10.0) == 150
    made.settle(NOW + 20.0, 120, 0)
    assert target.used(Dimension.INPUT, NOW + 20.0) == 120
    assert target.used(Dimension.INPUT, NOW + 61.0) == 20  # 30 of the 50 came back


def test_a_correction_downward_frees_room_before_the_end() -> None:
    target = gauge(itpm=100)
    made = target.reserve(NOW, 90, 0)
    assert made is not None
    made.correct(NOW + 1.0, 20)
    assert target.state(NOW + 1.0, 80, 0) == Capacity.READY
    made.settle(NOW + 2.0, 5, 0)
    assert target.used(Dimension.INPUT, NOW + 2.0) == 5


def test_a_reservation_is_over_once() -> None:
    target = gauge()
    made = target.reserve(NOW, 10, 10)
    assert made is not None
    assert made.settle(NOW, 10, 10)
    assert not made.settle(NOW, 99, 99)
    assert not made.cancel(NOW)
    made.correct(NOW, 99)
    assert (target.used(Dimension.TOKENS, NOW), target.used(Dimension.REQUESTS, NOW)) == (20, 1)
    assert target.in_flight == 0


def test_what_was_never_sent_is_given_back_whole() -> None:
    target = gauge(rpm=1)
    made = target.reserve(NOW, 10, 10)
    assert made is not None
    made.correct(NOW + 1.0, 30)
    assert made.cancel(NOW + 1.0)
    assert not made.settle(NOW + 1.0, 5, 5)
    assert target.used(Dimension.TOKENS, NOW + 1.0) == 0
    assert target.reserve(NOW + 1.0, 10, 10) is not None


def test_force_asks_nobody() -> None:
    target = gauge(rpm=1, max_concurrent=1)
    target.rest(NOW + 10.0, Cooldown.RATE)
    held = [target.force(NOW, 1, 1) for _ in range(3)]
    assert target.in_flight == len(held) == 3
    assert target.used(Dimension.REQUESTS, NOW) == 3


def test_a_reservation_that_no_gauge_made_is_over() -> None:
    empty = Reservation()
    assert not empty.settle(NOW, 1, 1)
    assert not empty.cancel(NOW)
    empty.correct(NOW, 1)
    assert repr(empty) == "<Reservation of nothing>"


# ---- rests


def test_a_rest_ends_by_itself() -> None:
    target = gauge()
    assert (target.cooldown_until(), target.cooldown_reason) == (0.0, Cooldown.NONE)
    target.rest(NOW + 2.0, Cooldown.RATE)
    assert target.state(NOW, 1, 1) == Capacity.RESTING
    assert target.reserve(NOW, 1, 1) is None
    assert room(target, NOW, 1, 1) == 0.0
    assert (target.cooldown_until(), target.cooldown_reason) == (NOW + 2.0, Cooldown.RATE)
    assert target.ready_at(NOW, 1, 1) == NOW + 2.0
    assert target.state(NOW + 2.0, 1, 1) == Capacity.READY


def test_of_two_rests_the_later_one_holds() -> None:
    target = gauge()
    target.rest(NOW + 60.0, Cooldown.QUOTA)
    target.rest(NOW + 5.0, Cooldown.RATE)
    assert (target.cooldown_until(), target.cooldown_reason) == (NOW + 60.0, Cooldown.QUOTA)
    target.rest(NOW + 90.0, Cooldown.RATE)
    assert (target.cooldown_until(), target.cooldown_reason) == (NOW + 90.0, Cooldown.RATE)


def test_a_refused_key_is_out_until_it_is_pardoned() -> None:
    target = gauge()
    target.rest(NOW, Cooldown.REFUSED)
    target.rest(NOW + 5.0, Cooldown.RATE)
    assert target.state(NOW + 1e9, 1, 1) == Capacity.OUT
    assert target.cooldown_until() == target.ready_at(NOW, 1, 1) == math.inf
    assert target.cooldown_reason == Cooldown.REFUSED
    target.clear_cooldown()
    assert target.state(NOW, 1, 1) == Capacity.READY


def test_a_pardon_ends_no_other_rest() -> None:
    target = gauge()
    target.rest(NOW + 5.0, Cooldown.QUOTA)
    target.clear_cooldown()
    assert target.state(NOW, 1, 1) == Capacity.RESTING
    target.rest(math.inf, Cooldown.QUOTA)
    target.clear_cooldown()
    assert target.state(NOW, 1, 1) == Capacity.RESTING


@pytest.mark.parametrize("reason", [Cooldown.NONE, -1, 4])
def test_a_rest_has_a_reason(reason: int) -> None:
    with pytest.raises(ValueError, match="no reason"):
        gauge().rest(NOW + 1.0, reason)


# ---- learned limits


def test_a_learned_limit_holds_until_it_is_forgotten() -> None:
    target = gauge()
    target.learn(Dimension.REQUESTS, 2, -1, 0.0, NOW + 30.0, NOW)
    fill(target, 2)
    assert target.learned(Dimension.REQUESTS, NOW) == (2, 0)
    assert target.state(NOW, 0, 0) == Capacity.FULL
    assert target.ready_at(NOW, 0, 0) == NOW + 30.0
    assert target.state(NOW + 30.0, 0, 0) == Capacity.READY
    assert target.learned(Dimension.REQUESTS, NOW + 30.0) is None


def test_headers_loosen_and_tighten_what_was_learned_and_only_tighten_what_is_configured() -> None:
    target = gauge(rpm=10)
    fill(target, 4)
    target.learn(Dimension.REQUESTS, 4, -1, 0.0, NOW + 60.0, NOW)
    assert target.state(NOW, 0, 0) == Capacity.FULL
    target.learn(Dimension.REQUESTS, 1000, -1, 0.0, NOW + 60.0, NOW)
    assert room(target, NOW, 0, 0) == pytest.approx(0.5)
    fill(target, 6)
    assert target.state(NOW, 0, 0) == Capacity.FULL


def test_what_others_use_counts_until_the_reset() -> None:
    target = gauge()
    fill(target, 3)
    target.learn(Dimension.REQUESTS, 10, 2, NOW + 20.0, NOW + 300.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (10, 5)
    fill(target, 2)
    assert target.state(NOW, 0, 0) == Capacity.FULL
    assert target.ready_at(NOW, 0, 0) == NOW + 20.0
    fill(target, 5, NOW + 20.0)
    assert target.ready_at(NOW + 20.0, 0, 0) == NOW + 61.0


def test_our_own_use_may_leave_before_others_reset() -> None:
    target = gauge()
    fill(target, 5)
    target.learn(Dimension.REQUESTS, 10, 0, NOW + 200.0, NOW + 300.0, NOW)
    assert target.ready_at(NOW, 0, 0) == NOW + 61.0


def test_what_the_provider_has_not_counted_yet_is_not_given_to_others() -> None:
    target = gauge()
    sent = [target.reserve(NOW, 5, 5) for _ in range(6)]
    target.learn(Dimension.REQUESTS, 10, 9, NOW + 20.0, NOW + 300.0, NOW)  # the first one's answer
    target.learn(Dimension.TOKENS, 100, 90, NOW + 20.0, NOW + 300.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (10, 0)
    assert target.learned(Dimension.TOKENS, NOW) == (100, 0)
    assert room(target, NOW, 0, 0) == pytest.approx(0.3)
    assert None not in sent


def test_where_the_provider_says_that_more_is_left_than_we_counted_it_is_believed() -> None:
    target = gauge()
    fill(target, 30)  # haiku's
    fill(target, 15)  # sonnet's, which have a limit of their own
    target.learn(Dimension.REQUESTS, 50, 30, NOW + 20.0, NOW + 600.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (50, -25)
    assert room(target, NOW, 0, 0) == pytest.approx(29 / 50)
    fill(target, 20, NOW)  # the same half second
    fill(target, 10, NOW + 5.0)
    assert target.state(NOW + 5.0, 0, 0) == Capacity.FULL
    assert target.used(Dimension.REQUESTS, NOW + 5.0) == 75


def test_more_is_believed_until_the_reset_and_then_our_own_count_holds_again() -> None:
    target = gauge()
    fill(target, 50)
    target.learn(Dimension.REQUESTS, 50, 30, NOW + 20.0, NOW + 600.0, NOW)
    assert target.state(NOW + 19.9, 0, 0) == Capacity.READY
    assert target.state(NOW + 20.0, 0, 0) == Capacity.FULL
    assert target.learned(Dimension.REQUESTS, NOW + 20.0) == (50, 0)
    assert target.ready_at(NOW + 20.0, 0, 0) == NOW + 61.0


def test_more_is_believed_no_longer_than_the_window_remembers_what_was_counted_since() -> None:
    target = gauge()
    fill(target, 50)
    target.learn(Dimension.REQUESTS, 50, 30, NOW + 120.0, NOW + 600.0, NOW)
    fill(target, 30, NOW + 1.0)
    assert target.ready_at(NOW + 1.0, 0, 0) == NOW + 61.0
    fill(target, 20, NOW + 61.0)
    assert target.ready_at(NOW + 61.0, 0, 0) == NOW + 62.0


def test_no_header_loosens_a_configured_limit() -> None:
    target = gauge(rpm=40)
    fill(target, 30)
    target.learn(Dimension.REQUESTS, 50, 50, NOW + 20.0, NOW + 600.0, NOW)
    assert room(target, NOW, 0, 0) == pytest.approx(9 / 40)
    fill(target, 10)
    assert target.state(NOW, 0, 0) == Capacity.FULL
    assert target.ready_at(NOW, 0, 0) == NOW + 61.0
    other = gauge(rpm=40)
    fill(other, 30)
    other.learn(Dimension.REQUESTS, 0, 50, NOW + 20.0, 0.0, NOW)
    assert other.learned(Dimension.REQUESTS, NOW) == (0, 0)
    assert room(other, NOW, 0, 0) == pytest.approx(9 / 40)


def test_ready_at_knows_that_more_is_believed_only_for_a_while() -> None:
    target = gauge(otpm=10)
    fill(target, 5)
    target.force(NOW - 50.0, 0, 10).settle(NOW - 50.0, 0, 10)
    target.learn(Dimension.REQUESTS, 5, 2, NOW + 20.0, NOW + 600.0, NOW)
    # The output that is in the way leaves while more requests are believed to be left ...
    assert target.ready_at(NOW, 0, 1) == NOW + 11.0
    assert target.state(NOW + 11.0, 0, 1) == Capacity.READY
    # ... and here afterwards, when the window of our own requests decides.
    target.learn(Dimension.REQUESTS, 5, 2, NOW + 10.0, NOW + 600.0, NOW)
    assert target.ready_at(NOW, 0, 1) == NOW + 61.0
    assert target.state(NOW + 11.0, 0, 1) == Capacity.FULL


def test_less_than_was_believed_replaces_it() -> None:
    target = gauge()
    fill(target, 8)
    target.learn(Dimension.REQUESTS, 10, 9, NOW + 20.0, NOW + 600.0, NOW)
    assert room(target, NOW, 0, 0) == pytest.approx(0.8)
    target.learn(Dimension.REQUESTS, 10, 0, NOW + 20.0, NOW + 600.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (10, 2)
    assert target.state(NOW, 0, 0) == Capacity.FULL


def test_more_than_the_limit_is_never_left_and_ends_with_it() -> None:
    target = gauge()
    fill(target, 9)
    target.learn(Dimension.REQUESTS, 10, 2**62, NOW + 50.0, NOW + 30.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (10, -9)
    fill(target, 10, NOW + 1.0)
    assert target.state(NOW + 1.0, 0, 0) == Capacity.FULL
    assert target.ready_at(NOW + 1.0, 0, 0) == NOW + 30.0
    target.learn(Dimension.REQUESTS, 3, -1, 0.0, NOW + 60.0, NOW + 2.0)  # a limit of another group
    assert target.learned(Dimension.REQUESTS, NOW + 2.0) == (3, -16)  # all three
    assert target.state(NOW + 2.0, 0, 0) == Capacity.FULL


def test_more_tokens_may_be_left_as_well() -> None:
    target = gauge()
    target.force(NOW - 1.0, 300, 100).settle(NOW - 1.0, 300, 100)
    target.learn(Dimension.TOKENS, 400, 250, NOW + 20.0, NOW + 600.0, NOW)
    made = target.reserve(NOW, 100, 50)
    assert made is not None
    assert target.state(NOW, 100, 0) == Capacity.READY
    assert target.state(NOW, 100, 1) == Capacity.FULL
    made.settle(NOW + 1.0, 50, 50)  # what was too much is there again
    assert target.state(NOW + 1.0, 100, 50) == Capacity.READY


def test_others_use_is_measured_by_the_configured_limit_when_no_other_is_known() -> None:
    target = gauge(tpm=100)
    target.learn(Dimension.TOKENS, 0, 30, NOW + 20.0, 0.0, NOW)
    assert target.learned(Dimension.TOKENS, NOW) == (0, 70)
    assert target.state(NOW, 30, 0) == Capacity.READY
    assert target.state(NOW, 31, 0) == Capacity.FULL
    assert target.ready_at(NOW, 31, 0) == NOW + 20.0


def test_others_use_counts_against_the_limit_it_was_measured_by() -> None:
    target = gauge(rpm=10)
    target.learn(Dimension.REQUESTS, 50, 25, NOW + 20.0, NOW + 60.0, NOW)
    fill(target, 9)
    assert target.state(NOW, 0, 0) == Capacity.READY  # 9 of our 10, 34 of their 50
    target.learn(Dimension.REQUESTS, 50, 0, NOW + 20.0, NOW + 60.0, NOW)
    assert target.state(NOW, 0, 0) == Capacity.FULL


def test_where_no_limit_is_known_what_is_left_is_given_out_once() -> None:
    target = gauge()
    fill(target, 7)
    target.learn(Dimension.REQUESTS, 0, 2, NOW + 20.0, 0.0, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) == (0, 0)
    fill(target, 2, NOW + 5.0)
    assert target.state(NOW + 5.0, 0, 0) == Capacity.FULL
    assert target.ready_at(NOW + 5.0, 0, 0) == NOW + 20.0
    assert target.state(NOW + 20.0, 0, 0) == Capacity.READY


def test_tokens_that_are_left_of_no_known_limit_bound_both_kinds_together() -> None:
    target = gauge()
    target.learn(Dimension.TOKENS, 0, 100, NOW + 20.0, 0.0, NOW)
    target.force(NOW, 40, 30)
    assert target.state(NOW, 20, 10) == Capacity.READY
    assert target.state(NOW, 20, 11) == Capacity.FULL
    assert room(target, NOW, 10, 10) == pytest.approx(0.1)


def test_what_is_past_already_teaches_nothing() -> None:
    target = gauge()
    target.learn(Dimension.REQUESTS, 1, 0, NOW, NOW, NOW)
    assert target.learned(Dimension.REQUESTS, NOW) is None
    assert target.state(NOW, 0, 0) == Capacity.READY
    target.learn(Dimension.REQUESTS, 1, -1, NOW + 20.0, NOW - 1.0, NOW)
    assert target.state(NOW, 0, 0) == Capacity.READY


def test_a_later_answer_replaces_what_an_earlier_one_said_of_others() -> None:
    target = gauge()
    target.learn(Dimension.REQUESTS, 10, 0, NOW + 50.0, NOW + 60.0, NOW)
    assert target.state(NOW, 0, 0) == Capacity.FULL
    target.learn(Dimension.REQUESTS, 10, 10, NOW + 50.0, NOW + 60.0, NOW)
    assert room(target, NOW, 0, 0) == pytest.approx(0.9)


# ---- a bank of keys


def bank(
    weights: list[int], priorities: list[int] | None = None, **limits: int
) -> tuple[KeyPool, list[TargetLimits]]:
    board = SharedMemory.private(workers=2)
    gauges = [gauge(board, k, **limits) for k in range(len(weights))]
    seeds = [(k + 1) * 0x1234567 for k in range(len(weights))]
    return KeyPool(gauges, weights, priorities or [0] * len(weights), seeds), gauges


def test_a_survey_counts_the_ready_keys_of_the_highest_priority_that_has_any() -> None:
    keys, gauges = bank([1, 1, 1], [5, 5, 1])
    assert not keys.is_ready(0)
    assert keys.survey(NOW, 1, 1) == 2
    gauges[0].rest(NOW + 9.0, Cooldown.RATE)
    assert keys.survey(NOW, 1, 1) == 1
    assert keys.most_room() == 1
    gauges[1].rest(NOW, Cooldown.REFUSED)
    assert keys.survey(NOW, 1, 1) == 1
    assert keys.most_room() == 2
    assert [keys.is_ready(k) for k in range(3)] == [False, False, True]


def test_a_key_that_was_tried_is_left_out() -> None:
    keys, _ = bank([1, 1])
    assert keys.survey(NOW, 1, 1, 0b01) == 1
    assert not keys.is_ready(0)
    assert keys.most_room() == keys.in_turn() == keys.at_random(0.0) == keys.least_loaded() == 1
    assert keys.survey(NOW, 1, 1, 0b11) == 0
    assert keys.most_room() == keys.in_turn() == keys.at_random(0.0) == keys.least_loaded() == -1
    assert keys.room == 0.0


def test_a_bank_may_have_more_keys_than_a_word_has_bits() -> None:
    gauges = [TargetLimits(SharedMemory.private(), 0)] * 100
    keys = KeyPool(gauges, [1] * 100, [0] * 100, range(100))
    assert keys.survey(NOW, 1, 1, (1 << 100) - 1 - (1 << 99)) == 1
    assert keys.most_room() == 99


def test_a_key_without_weight_is_used_when_no_other_is_ready() -> None:
    keys, gauges = bank([0, 1], [9, 0])
    assert keys.survey(NOW, 1, 1) == 1
    assert keys.most_room() == 1
    assert keys.favourite(7) == 1
    gauges[1].rest(NOW + 9.0, Cooldown.RATE)
    assert keys.survey(NOW, 1, 1) == 1
    assert keys.most_room() == keys.in_turn() == keys.at_random(0.5) == keys.least_loaded() == 0
    assert keys.room > 0.0


def test_where_no_key_has_a_weight_all_are_equal() -> None:
    keys, _ = bank([0, 0])
    assert keys.survey(NOW, 1, 1) == 2
    assert keys.room == 1.0
    assert [keys.in_turn() for _ in range(4)] == [0, 1, 0, 1]
    assert {keys.favourite(c) for c in range(50)} == {0, 1}


def test_most_room_weighs_what_is_left() -> None:
    keys, gauges = bank([1, 3], rpm=10)
    fill(gauges[1], 7)
    keys.survey(NOW, 0, 0)
    assert keys.most_room() == 0  # 0.9 x 1 against 0.2 x 3
    fill(gauges[0], 5)
    keys.survey(NOW, 0, 0)
    assert keys.most_room() == 1
    assert keys.room == pytest.approx((0.4 * 1 + 0.2 * 3) / 4)


def test_of_keys_with_equal_room_the_one_with_fewest_in_flight_is_next_then_each_in_turn() -> None:
    keys, gauges = bank([1, 1, 1])
    keys.survey(NOW, 0, 0)
    assert [keys.most_room() for _ in range(4)] == [0, 1, 2, 0]
    held = [gauges[0].force(NOW, 0, 0), gauges[1].force(NOW, 0, 0)]
    keys.survey(NOW, 0, 0)
    assert [keys.most_room() for _ in range(2)] == [2, 2]
    assert keys.in_flight == len(held)


def test_least_loaded_divides_by_weight() -> None:
    keys, gauges = bank([1, 4])
    held = [gauges[0].force(NOW, 0, 0), *(gauges[1].force(NOW, 0, 0) for _ in range(3))]
    keys.survey(NOW, 0, 0)
    assert keys.least_loaded() == 1
    held += [gauges[1].force(NOW, 0, 0), gauges[1].force(NOW, 0, 0)]
    assert keys.least_loaded() == 0


def test_in_turn_spreads_a_weight_smoothly() -> None:
    keys, _ = bank([5, 1, 1])
    keys.survey(NOW, 0, 0)
    assert [keys.in_turn() for _ in range(7)] == [0, 0, 1, 0, 2, 0, 0]


def test_at_random_follows_the_weights() -> None:
    keys, _ = bank([1, 0, 3])
    keys.survey(NOW, 0, 0)
    assert [keys.at_random(point) for point in (0.0, 0.24, 0.26, 0.99, 1.0)] == [0, 0, 2, 2, 2]


def test_conversations_are_spread_by_weight_whether_their_key_is_ready_or_not() -> None:
    keys, gauges = bank([1, 3, 2], [1, 1, 0])
    before = [keys.favourite(conversation) for conversation in range(4000)]
    shares = Counter(before)
    assert shares[2] == 0
    assert 0.21 < shares[0] / 4000 < 0.29
    gauges[1].rest(NOW, Cooldown.REFUSED)
    keys.survey(NOW, 0, 0)
    assert [keys.favourite(conversation) for conversation in range(4000)] == before


def test_a_favourite_depends_on_the_seeds_and_not_on_order_or_slots() -> None:
    board = SharedMemory.private()
    seeds = [11, 22, 33, 2**64 - 1]
    one = KeyPool([TargetLimits(board, k) for k in range(4)], [1, 1, 2, 1], [0] * 4, seeds)
    other = KeyPool(
        [TargetLimits(board, 9 - k) for k in range(4)], [1, 2, 1, 1], [0] * 4, seeds[::-1]
    )
    for conversation in (0, 1, 2**64 - 1, *range(100, 200)):
        assert seeds[one.favourite(conversation)] == seeds[::-1][other.favourite(conversation)]


def test_a_key_that_leaves_moves_only_its_own_conversations() -> None:
    board = SharedMemory.private()
    gauges = [TargetLimits(board, k) for k in range(3)]
    three = KeyPool(gauges, [1, 1, 1], [0, 0, 0], [5, 6, 7])
    two = KeyPool(gauges[:2], [1, 1], [0, 0], [5, 6])
    for conversation in range(500):
        if three.favourite(conversation) < 2:
            assert two.favourite(conversation) == three.favourite(conversation)


def test_an_empty_bank_has_nothing_to_choose() -> None:
    keys = KeyPool([], [], [], [])
    assert len(keys) == keys.survey(NOW, 1, 1) == keys.in_flight == 0
    assert keys.favourite(1) == keys.most_room() == -1


def test_a_bank_wants_a_weight_a_priority_and_a_seed_for_each_gauge() -> None:
    one = [TargetLimits(SharedMemory.private(), 0)]
    for rows in (([], [0], [1]), ([1], [], [1]), ([1], [0], []), ([1, 1], [0], [1])):
        with pytest.raises(ValueError, match="for each gauge"):
            KeyPool(one, *rows)
    with pytest.raises(ValueError, match="negative weight"):
        KeyPool(one, [-1], [0], [1])


@pytest.mark.parametrize("index", [-1, 2])
def test_a_key_that_a_bank_does_not_have_is_refused(index: int) -> None:
    keys, _ = bank([1, 1])
    with pytest.raises(IndexError, match="of 2"):
        keys.is_ready(index)


def test_repr_shows_limits_and_use() -> None:
    keys, gauges = bank([1], rpm=60, tpm=1000)
    made = gauges[0].reserve(NOW, 10, 5)
    assert repr(gauges[0]) == "<TargetLimits 0 in_flight=1 cooldown_until=0.0 rpm=60 tpm=1000>"
    assert repr(made) == "<Reservation of 0 tokens=10+5 open>"
    assert made is not None
    made.settle(NOW, 10, 5)
    assert repr(made).endswith("over>")
    assert repr(keys) == "<KeyPool of 1 ready=0 in_flight=0>"
