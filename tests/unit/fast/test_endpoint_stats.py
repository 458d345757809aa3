"""The shared words of an endpoint, and the retry budget."""

import math

import pytest

from ccrelay._fast.endpoint_stats import EndpointStats, RetryBudget
from ccrelay._fast.shared_memory import SharedMemory

NOW = 1000.0
WINDOW_S = 32.0  # sixteen buckets of two seconds
STREAM, THINKING = 0, 1


@pytest.fixture
def board() -> SharedMemory:
    return SharedMemory.private(workers=3, endpoints=4)


@pytest.fixture
def pulse(board: SharedMemory) -> EndpointStats:
    return EndpointStats(board, 1)


def test_a_new_endpoint_knows_nothing(pulse: EndpointStats) -> None:
    assert (pulse.slot, pulse.load()) == (1, 0)
    assert pulse.outcomes(NOW, WINDOW_S) == (0, 0)
    assert (pulse.average(STREAM), pulse.observed_at(STREAM)) == (0.0, 0.0)


@pytest.mark.parametrize("slot", [-1, 4])
def test_a_slot_that_the_board_does_not_have_is_refused(board: SharedMemory, slot: int) -> None:
    with pytest.raises(IndexError, match="of 4"):
        EndpointStats(board, slot)


def test_what_happens_to_an_endpoint_does_not_touch_its_neighbours(board: SharedMemory) -> None:
    pulses = [EndpointStats(board, slot) for slot in range(3)]
    pulses[1].swap(0, 2**63 - 1)
    for k in range(200):
        pulses[1].count(NOW + k / 10, k % 2 == 0, WINDOW_S)
    for output_class in range(4):
        pulses[1].observe(output_class, 3.0, NOW)
    pulses[1].lease(NOW, 10.0)
    for other in (pulses[0], pulses[2]):
        assert other.load() == 0
        assert other.outcomes(NOW + 20, WINDOW_S) == (0, 0)
        assert [other.average(k) for k in range(4)] == [0.0] * 4
        assert other.lease(NOW, 1.0)


def test_a_slot_given_to_another_endpoint_starts_anew(
    board: SharedMemory, pulse: EndpointStats
) -> None:
    pulse.swap(0, 5)
    pulse.count(NOW, False, WINDOW_S)
    pulse.observe(STREAM, 1.0, NOW)
    board.clear_endpoint(1)
    assert (pulse.load(), pulse.average(STREAM)) == (0, 0.0)
    assert pulse.outcomes(NOW, WINDOW_S) == (0, 0)


# ---- the breaker's word


def test_the_word_changes_only_for_who_knows_what_it_is(
    board: SharedMemory, pulse: EndpointStats
) -> None:
    other = EndpointStats(board.as_worker(2), 1)
    assert pulse.swap(0, 7)
    assert not other.swap(0, 9)
    assert other.load() == 7
    assert other.swap(7, 2**63 - 1)
    assert pulse.load() == 2**63 - 1


def test_whether_the_last_failure_was_an_answer_is_known_to_all_workers(
    board: SharedMemory, pulse: EndpointStats
) -> None:
    other = EndpointStats(board.as_worker(2), 1)
    assert pulse.answers is False
    other.answers = True
    assert pulse.answers is True
    assert EndpointStats(board, 2).answers is False
    pulse.answers = False
    assert other.answers is False


# ---- outcomes


def test_outcomes_of_all_workers_are_counted_apart_by_how_they_went(
    board: SharedMemory, pulse: EndpointStats
) -> None:
    other = EndpointStats(board.as_worker(2), 1)
    for _ in range(3):
        pulse.count(NOW, True, WINDOW_S)
        other.count(NOW + 3.0, False, WINDOW_S)
    other.count(NOW + 5.0, True, WINDOW_S)
    assert pulse.outcomes(NOW + 5.0, WINDOW_S) == (4, 3)


def test_an_outcome_is_forgotten_when_the_window_has_passed(pulse: EndpointStats) -> None:
    pulse.count(NOW, False, WINDOW_S)
    assert pulse.outcomes(NOW + WINDOW_S - 2.0, WINDOW_S) == (0, 1)
    assert pulse.outcomes(NOW + WINDOW_S, WINDOW_S) == (0, 0)


def test_a_bucket_used_again_begins_with_nothing(pulse: EndpointStats) -> None:
    for _ in range(5):
        pulse.count(NOW, False, WINDOW_S)
    pulse.count(NOW + WINDOW_S, True, WINDOW_S)
    assert pulse.outcomes(NOW + WINDOW_S, WINDOW_S) == (1, 0)


def test_a_worker_whose_clock_was_read_earlier_sees_and_adds_to_the_same_window(
    pulse: EndpointStats,
) -> None:
    pulse.count(NOW + 2.0, True, WINDOW_S)
    pulse.count(NOW, True, WINDOW_S)
    assert pulse.outcomes(NOW, WINDOW_S) == (2, 0)


def test_an_outcome_a_whole_window_late_does_not_undo_the_newer_ones(pulse: EndpointStats) -> None:
    pulse.count(NOW + WINDOW_S, True, WINDOW_S)
    pulse.count(NOW, False, WINDOW_S)
    assert pulse.outcomes(NOW + WINDOW_S, WINDOW_S) == (1, 0)


@pytest.mark.parametrize("other_s", [8.0, 64.0])
def test_another_window_begins_anew_and_counts_from_the_first_outcome(
    pulse: EndpointStats, other_s: float
) -> None:
    for k in range(16):
        pulse.count(NOW + 2.0 * k, False, WINDOW_S)
    assert pulse.outcomes(NOW + 31.0, other_s) == (0, 0)
    pulse.count(NOW + 31.0, True, other_s)
    assert pulse.outcomes(NOW + 31.0, other_s) == (1, 0)


def test_forgetting_outcomes_leaves_the_rest(pulse: EndpointStats) -> None:
    pulse.swap(0, 5)
    pulse.observe(STREAM, 1.0, NOW)
    for k in range(16):
        pulse.count(NOW + 2.0 * k, False, WINDOW_S)
    assert pulse.outcomes(NOW + 31.0, WINDOW_S) == (0, 16)
    pulse.forget_outcomes()
    assert pulse.outcomes(NOW + 31.0, WINDOW_S) == (0, 0)
    assert (pulse.load(), pulse.average(STREAM)) == (5, 1.0)


def test_a_full_bucket_stays_full_and_spills_nowhere(pulse: EndpointStats) -> None:
    pulse.count(NOW, False, WINDOW_S)
    for _ in range(2**20 + 5):
        pulse.count(NOW, True, WINDOW_S)
    assert pulse.outcomes(NOW, WINDOW_S) == (2**20 - 1, 1)
    for _ in range(2**20 + 5):
        pulse.count(NOW, False, WINDOW_S)
    assert pulse.outcomes(NOW, WINDOW_S) == (2**20 - 1, 2**20 - 1)


# ---- averages


def test_the_first_observation_is_the_average(pulse: EndpointStats) -> None:
    pulse.observe(STREAM, 1.5, NOW)
    assert (pulse.average(STREAM), pulse.observed_at(STREAM)) == (1.5, NOW)


def test_in_a_burst_every_observation_counts_a_tenth(pulse: EndpointStats) -> None:
    pulse.observe(STREAM, 1.0, NOW)
    pulse.observe(STREAM, 2.0, NOW)
    assert pulse.average(STREAM) == pytest.approx(1.1)


@pytest.mark.parametrize("gap", [10.0, 30.0, 300.0])
def test_the_longer_the_silence_the_less_the_old_average_counts(
    pulse: EndpointStats, gap: float
) -> None:
    pulse.observe(STREAM, 10.0, NOW)
    pulse.observe(STREAM, 1.0, NOW + gap)
    assert pulse.average(STREAM) == pytest.approx(1.0 + 9.0 * math.exp(-gap / 30.0))


def test_output_classes_are_averaged_apart(board: SharedMemory, pulse: EndpointStats) -> None:
    pulse.observe(STREAM, 1.0, NOW)
    EndpointStats(board.as_worker(1), 1).observe(THINKING, 20.0, NOW + 1.0)
    assert (pulse.average(STREAM), pulse.average(THINKING)) == (1.0, 20.0)
    assert (pulse.observed_at(STREAM), pulse.observed_at(THINKING)) == (NOW, NOW + 1.0)


def test_an_observation_that_comes_late_counts_little_and_turns_no_clock_back(
    pulse: EndpointStats,
) -> None:
    pulse.observe(STREAM, 1.0, NOW)
    pulse.observe(STREAM, 2.0, NOW - 100.0)
    assert pulse.average(STREAM) == pytest.approx(1.1)
    assert pulse.observed_at(STREAM) == NOW


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [(0.0, 1e-6), (-1.0, 1e-6), (math.nan, 1e-6), (math.inf, 86400.0)],
)
def test_no_observation_makes_an_average_that_says_nothing(
    pulse: EndpointStats, seconds: float, kept: float
) -> None:
    pulse.observe(STREAM, seconds, NOW)
    assert pulse.average(STREAM) == kept


@pytest.mark.parametrize("output_class", [-1, 4])
def test_an_output_class_that_there_is_not_is_refused(
    pulse: EndpointStats, output_class: int
) -> None:
    with pytest.raises(IndexError):
        pulse.observe(output_class, 1.0, NOW)
    with pytest.raises(IndexError):
        pulse.average(output_class)
    with pytest.raises(IndexError):
        pulse.observed_at(output_class)


# ---- the probe lease


def test_one_worker_probes_at_a_time(board: SharedMemory, pulse: EndpointStats) -> None:
    other = EndpointStats(board.as_worker(1), 1)
    assert pulse.lease(NOW, 5.0)
    assert not other.lease(NOW + 4.9, 5.0)
    assert pulse.lease(NOW + 4.9, 5.0)  # the holder renews
    assert not other.lease(NOW + 9.8, 5.0)
    assert other.lease(NOW + 9.9, 5.0)  # the holder died
    assert not pulse.lease(NOW + 10.0, 5.0)


def test_a_lease_is_given_back_by_its_holder_only(
    board: SharedMemory, pulse: EndpointStats
) -> None:
    other = EndpointStats(board.as_worker(1), 1)
    assert pulse.lease(NOW, 5.0)
    other.unlease()
    assert not other.lease(NOW, 5.0)
    pulse.unlease()
    assert other.lease(NOW, 5.0)


# ---- the retry budget


def test_a_fleet_without_traffic_may_retry_its_minimum(board: SharedMemory) -> None:
    budget = RetryBudget(board)
    assert [budget.retry(NOW, 0.2, 3) for _ in range(5)] == [True, True, True, False, False]


def test_retries_are_a_share_of_the_requests_of_all_workers(board: SharedMemory) -> None:
    budget, other = RetryBudget(board), RetryBudget(board.as_worker(1))
    for k in range(20):
        (budget if k % 2 else other).request(NOW + k / 10)
    taken = [(budget if k % 2 else other).retry(NOW + 2.0, 0.5, 0) for k in range(15)]
    assert taken == [True] * 10 + [False] * 5


def test_a_ratio_of_zero_and_no_minimum_allow_no_retry(board: SharedMemory) -> None:
    budget = RetryBudget(board)
    budget.request(NOW)
    assert not budget.retry(NOW, 0.0, 0)


def test_what_was_spent_comes_back_after_ten_seconds(board: SharedMemory) -> None:
    budget = RetryBudget(board)
    assert budget.retry(NOW, 0.0, 1)
    assert not budget.retry(NOW + 9.9, 0.0, 1)
    assert budget.retry(NOW + 10.0, 0.0, 1)
    assert not budget.retry(NOW + 10.0, 0.0, 1)


def test_reprs_tell_what_there_is_to_see(board: SharedMemory, pulse: EndpointStats) -> None:
    pulse.swap(0, 255)
    assert repr(pulse) == "<EndpointStats 1 word=0xff>"
    assert "RetryBudget" in repr(RetryBudget(board))
