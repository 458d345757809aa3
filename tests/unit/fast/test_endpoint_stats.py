"""The shared words of an endpoint, and the retry budget."""

import math

import pytest

from ccrelay._fast.endpoint_stats import EndpointStats, RetryBudget
from ccrelay._fast.shared_memory import SharedMemory

NOW = 1000.0
WINDOW_S = 32.0  # sixteen buckets of two seconds
STREAM, THINKING = 0, 1


@pytest.fixture
def memory() -> SharedMemory:
    return SharedMemory.private(workers=3, endpoints=4)


@pytest.fixture
def stats(memory: SharedMemory) -> EndpointStats:
    return EndpointStats(memory, 1)


def test_a_new_endpoint_is_blank(stats: EndpointStats) -> None:
    assert (stats.slot, stats.load()) == (1, 0)
    assert stats.outcomes(NOW, WINDOW_S) == (0, 0)
    assert (stats.average(STREAM), stats.observed_at(STREAM)) == (0.0, 0.0)


@pytest.mark.parametrize("slot", [-1, 4])
def test_an_unknown_slot_is_rejected(memory: SharedMemory, slot: int) -> None:
    with pytest.raises(IndexError, match="of 4"):
        EndpointStats(memory, slot)


def test_endpoints_do_not_share_words(memory: SharedMemory) -> None:
    stats = [EndpointStats(memory, slot) for slot in range(3)]
    stats[1].swap(0, 2**63 - 1)
    for k in range(200):
        stats[1].count(NOW + k / 10, k % 2 == 0, WINDOW_S)
    for output_class in range(4):
        stats[1].observe(output_class, 3.0, NOW)
    stats[1].lease(NOW, 10.0)
    for other in (stats[0], stats[2]):
        assert other.load() == 0
        assert other.outcomes(NOW + 20, WINDOW_S) == (0, 0)
        assert [other.average(k) for k in range(4)] == [0.0] * 4
        assert other.lease(NOW, 1.0)


def test_a_cleared_endpoint_slot_is_blank(memory: SharedMemory, stats: EndpointStats) -> None:
    stats.swap(0, 5)
    stats.count(NOW, False, WINDOW_S)
    stats.observe(STREAM, 1.0, NOW)
    memory.clear_endpoint(1)
    assert (stats.load(), stats.average(STREAM)) == (0, 0.0)
    assert stats.outcomes(NOW, WINDOW_S) == (0, 0)


# ---- the breaker's word


def test_swap_fails_on_a_stale_word(memory: SharedMemory, stats: EndpointStats) -> None:
    other = EndpointStats(memory.as_worker(2), 1)
    assert stats.swap(0, 7)
    assert not other.swap(0, 9)
    assert other.load() == 7
    assert other.swap(7, 2**63 - 1)
    assert stats.load() == 2**63 - 1


def test_the_answers_flag_is_shared_by_workers(memory: SharedMemory, stats: EndpointStats) -> None:
    other = EndpointStats(memory.as_worker(2), 1)
    assert stats.answers is False
    other.answers = True
    assert stats.answers is True
    assert EndpointStats(memory, 2).answers is False
    stats.answers = False
    assert other.answers is False


# ---- outcomes


def test_outcomes_of_all_workers_add_up(memory: SharedMemory, stats: EndpointStats) -> None:
    other = EndpointStats(memory.as_worker(2), 1)
    for _ in range(3):
        stats.count(NOW, True, WINDOW_S)
        other.count(NOW + 3.0, False, WINDOW_S)
    other.count(NOW + 5.0, True, WINDOW_S)
    assert stats.outcomes(NOW + 5.0, WINDOW_S) == (4, 3)


def test_an_outcome_leaves_the_window(stats: EndpointStats) -> None:
    stats.count(NOW, False, WINDOW_S)
    assert stats.outcomes(NOW + WINDOW_S - 2.0, WINDOW_S) == (0, 1)
    assert stats.outcomes(NOW + WINDOW_S, WINDOW_S) == (0, 0)


def test_a_reused_bucket_starts_at_zero(stats: EndpointStats) -> None:
    for _ in range(5):
        stats.count(NOW, False, WINDOW_S)
    stats.count(NOW + WINDOW_S, True, WINDOW_S)
    assert stats.outcomes(NOW + WINDOW_S, WINDOW_S) == (1, 0)


def test_an_older_clock_reading_uses_the_same_window(
    stats: EndpointStats,
) -> None:
    stats.count(NOW + 2.0, True, WINDOW_S)
    stats.count(NOW, True, WINDOW_S)
    assert stats.outcomes(NOW, WINDOW_S) == (2, 0)


def test_an_outcome_one_window_late_keeps_newer_counts(stats: EndpointStats) -> None:
    stats.count(NOW + WINDOW_S, True, WINDOW_S)
    stats.count(NOW, False, WINDOW_S)
    assert stats.outcomes(NOW + WINDOW_S, WINDOW_S) == (1, 0)


@pytest.mark.parametrize("other_s", [8.0, 64.0])
def test_a_changed_window_length_starts_from_zero(stats: EndpointStats, other_s: float) -> None:
    for k in range(16):
        stats.count(NOW + 2.0 * k, False, WINDOW_S)
    assert stats.outcomes(NOW + 31.0, other_s) == (0, 0)
    stats.count(NOW + 31.0, True, other_s)
    assert stats.outcomes(NOW + 31.0, other_s) == (1, 0)


def test_forget_outcomes_keeps_all_other_words(stats: EndpointStats) -> None:
    stats.swap(0, 5)
    stats.observe(STREAM, 1.0, NOW)
    for k in range(16):
        stats.count(NOW + 2.0 * k, False, WINDOW_S)
    assert stats.outcomes(NOW + 31.0, WINDOW_S) == (0, 16)
    stats.forget_outcomes()
    assert stats.outcomes(NOW + 31.0, WINDOW_S) == (0, 0)
    assert (stats.load(), stats.average(STREAM)) == (5, 1.0)


def test_a_bucket_saturates_without_overflow(stats: EndpointStats) -> None:
    stats.count(NOW, False, WINDOW_S)
    for _ in range(2**20 + 5):
        stats.count(NOW, True, WINDOW_S)
    assert stats.outcomes(NOW, WINDOW_S) == (2**20 - 1, 1)
    for _ in range(2**20 + 5):
        stats.count(NOW, False, WINDOW_S)
    assert stats.outcomes(NOW, WINDOW_S) == (2**20 - 1, 2**20 - 1)


# ---- averages


def test_the_first_observation_sets_the_average(stats: EndpointStats) -> None:
    stats.observe(STREAM, 1.5, NOW)
    assert (stats.average(STREAM), stats.observed_at(STREAM)) == (1.5, NOW)


def test_in_a_burst_each_observation_weighs_a_tenth(stats: EndpointStats) -> None:
    stats.observe(STREAM, 1.0, NOW)
    stats.observe(STREAM, 2.0, NOW)
    assert stats.average(STREAM) == pytest.approx(1.1)


@pytest.mark.parametrize("gap", [10.0, 30.0, 300.0])
def test_an_old_average_fades_with_time(stats: EndpointStats, gap: float) -> None:
    stats.observe(STREAM, 10.0, NOW)
    stats.observe(STREAM, 1.0, NOW + gap)
    assert stats.average(STREAM) == pytest.approx(1.0 + 9.0 * math.exp(-gap / 30.0))


def test_output_classes_have_separate_averages(memory: SharedMemory, stats: EndpointStats) -> None:
    stats.observe(STREAM, 1.0, NOW)
    EndpointStats(memory.as_worker(1), 1).observe(THINKING, 20.0, NOW + 1.0)
    assert (stats.average(STREAM), stats.average(THINKING)) == (1.0, 20.0)
    assert (stats.observed_at(STREAM), stats.observed_at(THINKING)) == (NOW, NOW + 1.0)


def test_a_late_observation_has_low_weight(
    stats: EndpointStats,
) -> None:
    stats.observe(STREAM, 1.0, NOW)
    stats.observe(STREAM, 2.0, NOW - 100.0)
    assert stats.average(STREAM) == pytest.approx(1.1)
    assert stats.observed_at(STREAM) == NOW


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [(0.0, 1e-6), (-1.0, 1e-6), (math.nan, 1e-6), (math.inf, 86400.0)],
)
def test_odd_observations_still_give_a_valid_average(
    stats: EndpointStats, seconds: float, kept: float
) -> None:
    stats.observe(STREAM, seconds, NOW)
    assert stats.average(STREAM) == kept


@pytest.mark.parametrize("output_class", [-1, 4])
def test_an_unknown_output_class_is_rejected(stats: EndpointStats, output_class: int) -> None:
    with pytest.raises(IndexError):
        stats.observe(output_class, 1.0, NOW)
    with pytest.raises(IndexError):
        stats.average(output_class)
    with pytest.raises(IndexError):
        stats.observed_at(output_class)


# ---- the probe lease


def test_only_one_worker_holds_the_probe_lease(memory: SharedMemory, stats: EndpointStats) -> None:
    other = EndpointStats(memory.as_worker(1), 1)
    assert stats.lease(NOW, 5.0)
    assert not other.lease(NOW + 4.9, 5.0)
    assert stats.lease(NOW + 4.9, 5.0)  # the holder renews
    assert not other.lease(NOW + 9.8, 5.0)
    assert other.lease(NOW + 9.9, 5.0)  # the holder died
    assert not stats.lease(NOW + 10.0, 5.0)


def test_only_the_holder_releases_the_lease(memory: SharedMemory, stats: EndpointStats) -> None:
    other = EndpointStats(memory.as_worker(1), 1)
    assert stats.lease(NOW, 5.0)
    other.unlease()
    assert not other.lease(NOW, 5.0)
    stats.unlease()
    assert other.lease(NOW, 5.0)


# ---- the retry budget


def test_the_minimum_applies_without_traffic(memory: SharedMemory) -> None:
    budget = RetryBudget(memory)
    assert [budget.retry(NOW, 0.2, 3) for _ in range(5)] == [True, True, True, False, False]


def test_the_budget_is_a_share_of_all_workers_requests(memory: SharedMemory) -> None:
    budget, other = RetryBudget(memory), RetryBudget(memory.as_worker(1))
    for k in range(20):
        (budget if k % 2 else other).request(NOW + k / 10)
    taken = [(budget if k % 2 else other).retry(NOW + 2.0, 0.5, 0) for k in range(15)]
    assert taken == [True] * 10 + [False] * 5


def test_zero_ratio_and_zero_minimum_allow_no_retry(memory: SharedMemory) -> None:
    budget = RetryBudget(memory)
    budget.request(NOW)
    assert not budget.retry(NOW, 0.0, 0)


def test_the_budget_recovers_after_ten_seconds(memory: SharedMemory) -> None:
    budget = RetryBudget(memory)
    assert budget.retry(NOW, 0.0, 1)
    assert not budget.retry(NOW + 9.9, 0.0, 1)
    assert budget.retry(NOW + 10.0, 0.0, 1)
    assert not budget.retry(NOW + 10.0, 0.0, 1)


def test_reprs_show_the_state(memory: SharedMemory, stats: EndpointStats) -> None:
    stats.swap(0, 255)
    assert repr(stats) == "<EndpointStats 1 word=0xff>"
    assert "RetryBudget" in repr(RetryBudget(memory))
