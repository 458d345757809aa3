"""The circuit breaker of an endpoint, seen by one worker and by several."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from ccrelay._fast.endpoint_stats import EndpointStats
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Health
from ccrelay.fleet import breaker as module
from ccrelay.fleet.breaker import JITTER, TRANSITIONS, TRIAL_S, Breaker, Signal, State

NOW = 1000.0
HEALTH = Health(
    failures=3, failure_rate=0.5, window_s=32.0, window_requests_min=10, open_s=2.0, open_max_s=9.0
)
TICK_S = 1 / 256  # what `until` is rounded up to


class Worker:
    """A worker's breaker of the one endpoint, with its share of chance."""

    def __init__(self, memory: SharedMemory, number: int = 0, health: Health = HEALTH) -> None:
        self.changes: list[tuple[State, State, float]] = []
        self.rng = random.Random(number)
        self.memory = memory.as_worker(number)
        self.stats = EndpointStats(self.memory, 0)
        self.breaker = Breaker(self.stats, health, lambda *change: self.changes.append(change))

    def send(self, now: float, ok: bool | None) -> None:
        ticket = self.admit(now)
        assert ticket is not None
        self.settle(ticket, now, ok)

    def admit(self, now: float) -> int | None:
        return self.breaker.admit(now, self.rng)

    def settle(self, ticket: int | None, now: float, ok: bool | None) -> None:
        assert ticket is not None
        self.breaker.settle(ticket, now, self.rng, ok)

    def probed(self, now: float, ok: bool) -> None:
        self.breaker.probed(now, self.rng, ok)

    def trip(self, now: float) -> float:
        """Fail until it opens; when it resumes."""
        while self.breaker.state is State.CLOSED:
            self.send(now, False)
        return self.breaker.resumes_at


class Interrupt:
    """Calls `first` once, between a breaker's look at its state and the change it makes.

    A breaker reads its table of transitions and `health.failures` there, and nothing before.
    """

    def __init__(self, first: Callable[[], None]) -> None:
        self._first: Callable[[], None] | None = first

    def __getitem__(self, state: State) -> Any:
        self._interrupt()
        return TRANSITIONS[state]

    def __getattr__(self, name: str) -> Any:
        if name == "failures":
            self._interrupt()
        return getattr(HEALTH, name)

    def _interrupt(self) -> None:
        first, self._first = self._first, None
        if first is not None:
            first()


@pytest.fixture
def board() -> SharedMemory:
    return SharedMemory.private(workers=3)


@pytest.fixture
def one(board: SharedMemory) -> Worker:
    return Worker(board, 0)


@pytest.fixture
def two(board: SharedMemory) -> Worker:
    return Worker(board, 1)


# ---- closed


def test_a_new_breaker_lets_everything_through(one: Worker) -> None:
    assert one.breaker.state is State.CLOSED
    assert one.breaker.resumes_at == 0.0
    assert one.breaker.available(NOW)
    assert not one.breaker.due(NOW)
    assert [one.admit(NOW) for _ in range(3)] == [0, 0, 0]


def test_so_many_failures_in_a_row_open_it(one: Worker) -> None:
    one.send(NOW, False)
    one.send(NOW, False)
    assert one.breaker.state is State.CLOSED
    one.send(NOW, False)
    assert one.breaker.state is State.OPEN
    assert one.admit(NOW) is None
    assert not one.breaker.available(NOW)


def test_failures_of_all_workers_are_in_one_row(one: Worker, two: Worker) -> None:
    one.send(NOW, False)
    two.send(NOW, False)
    one.send(NOW, False)
    assert two.breaker.state is State.OPEN
    assert (len(one.changes), len(two.changes)) == (1, 0)


def test_a_success_resets_the_failures_in_a_row(one: Worker, two: Worker) -> None:
    for _ in range(4):  # 4 of 12 failed: the share alone does not open it either
        one.send(NOW, False)
        two.send(NOW, True)
        one.send(NOW, True)
    one.send(NOW, False)
    one.send(NOW, False)
    assert one.breaker.state is State.CLOSED


def test_a_client_that_left_proves_nothing(one: Worker) -> None:
    one.send(NOW, False)
    one.send(NOW, False)
    one.send(NOW, None)
    assert one.stats.outcomes(NOW, HEALTH.window_s) == (0, 2)
    one.send(NOW, False)
    assert one.breaker.state is State.OPEN


def test_so_large_a_share_of_failures_opens_it(one: Worker) -> None:
    for k in range(9):
        one.send(NOW + k, k % 2 == 0)
    assert one.breaker.state is State.CLOSED  # 4 of 9: too few to prove anything
    one.send(NOW + 9, False)
    assert one.breaker.state is State.OPEN


def test_a_success_never_opens_it_whatever_the_share(one: Worker) -> None:
    for k in range(10):
        one.send(NOW + k, k % 2 == 1)
    assert one.stats.outcomes(NOW + 9, HEALTH.window_s) == (5, 5)
    assert one.breaker.state is State.CLOSED


def test_a_smaller_share_does_not(one: Worker) -> None:
    for k in range(100):
        one.send(NOW + k / 10, k % 3 != 0)
    assert one.breaker.state is State.CLOSED


def test_failures_before_the_window_are_forgotten(one: Worker) -> None:
    for k in range(8):
        one.send(NOW + k / 10, k % 2 == 0)
    for k in range(9):
        one.send(NOW + 40 + k / 10, k not in (3, 7))
    one.send(NOW + 41, False)  # 3 of the last 10, 7 of 18 since the start
    assert one.stats.outcomes(NOW + 41, HEALTH.window_s) == (7, 3)
    assert one.breaker.state is State.CLOSED


# ---- open


def test_the_open_time_is_open_s_within_a_fifth(board: SharedMemory) -> None:
    worker = Worker(board, 0)
    rests = []
    for seed in range(50):
        worker.rng.seed(seed)
        meant = 2.0 * random.Random(seed).uniform(1 - JITTER, 1 + JITTER)
        rests.append(worker.trip(NOW) - NOW)
        assert meant <= rests[-1] < meant + TICK_S  # rounded, but never shorter
        worker.probed(NOW + 10, True)
    assert 2.0 * (1 - JITTER) <= min(rests) < 1.8
    assert 2.2 < max(rests) <= 2.0 * (1 + JITTER) + TICK_S


def test_each_opening_in_a_row_doubles_the_open_time_up_to_the_maximum(one: Worker) -> None:
    now = one.trip(NOW)
    rests = []
    for _ in range(60):
        one.send(now, False)
        rests.append(one.breaker.resumes_at - now)
        now = one.breaker.resumes_at
    for rest, base in zip(rests, [4.0, 8.0] + [9.0] * 58, strict=True):
        assert base * (1 - JITTER) <= rest <= min(base * (1 + JITTER), 9.0) + TICK_S


@pytest.mark.parametrize("meant", [2.0, 1.8])
def test_the_longest_open_times_differ_and_stay_within_the_maximum(
    board: SharedMemory, meant: float
) -> None:
    health = Health(failures=1, open_s=meant, open_max_s=2.0)
    rests = []
    for number in range(200):
        board.clear_endpoint(0)
        worker = Worker(board, 0, health)
        worker.rng = random.Random(number)
        rests.append(worker.trip(NOW) - NOW)
    assert meant * (1 - JITTER) <= min(rests)
    assert max(rests) <= 2.0
    assert len(set(rests)) > 50  # of a tick each
    span = 2.0 - meant * (1 - JITTER)
    assert sum(rest > 2.0 - span / 4 for rest in rests) < 75  # a quarter, and not half


def test_a_success_resets_the_open_time(one: Worker) -> None:
    now = one.trip(NOW)
    for _ in range(5):
        one.send(now, False)
        now = one.breaker.resumes_at
    one.send(now, True)
    assert one.trip(now) - now <= 2.0 * (1 + JITTER) + TICK_S


def test_no_request_is_admitted_before_the_open_time_ends(one: Worker, two: Worker) -> None:
    resumes_at = one.trip(NOW)
    before = resumes_at - 0.001
    assert (one.admit(before), two.admit(before)) == (None, None)
    assert not two.breaker.available(before)
    assert not two.breaker.due(before)
    assert two.breaker.available(resumes_at)
    assert two.breaker.due(resumes_at)


def test_outcomes_of_requests_sent_before_it_opened_change_nothing(
    one: Worker, two: Worker
) -> None:
    late = [two.admit(NOW) for _ in range(3)]
    resumes_at = one.trip(NOW)
    for ticket, ok in zip(late, (True, False, None), strict=True):
        two.settle(ticket, NOW + 1.0, ok)
    assert two.breaker.state is State.OPEN
    assert two.breaker.resumes_at == resumes_at


def test_they_change_nothing_after_it_closed_again_either(one: Worker, two: Worker) -> None:
    late = [two.admit(NOW) for _ in range(3)]
    resumes_at = one.trip(NOW)
    one.send(resumes_at, True)
    for ticket in late:
        two.settle(ticket, resumes_at, False)
    assert one.breaker.state is State.CLOSED
    assert one.stats.outcomes(resumes_at, HEALTH.window_s) == (0, 0)


# ---- half-open


def test_one_trial_goes_and_closes_it(one: Worker, two: Worker) -> None:
    resumes_at = one.trip(NOW)
    trial = two.admit(resumes_at)
    assert one.breaker.state is State.HALF_OPEN
    assert (one.admit(resumes_at), two.admit(resumes_at + 1.0)) == (None, None)
    assert not one.breaker.available(resumes_at)
    two.settle(trial, resumes_at + 1.0, True)
    assert one.breaker.state is State.CLOSED
    assert two.changes == [
        (State.OPEN, State.HALF_OPEN, resumes_at),
        (State.HALF_OPEN, State.CLOSED, resumes_at + 1.0),
    ]
    assert one.changes == [(State.CLOSED, State.OPEN, NOW)]


def test_the_failures_that_opened_it_are_forgotten_when_it_closes(one: Worker) -> None:
    for k in range(20):
        if one.breaker.state is State.CLOSED:
            one.send(NOW, k % 2 == 0)
    assert one.breaker.state is State.OPEN
    resumes_at = one.breaker.resumes_at
    one.send(resumes_at, True)
    one.send(resumes_at, False)
    assert one.breaker.state is State.CLOSED


def test_a_trial_that_fails_opens_it_again(one: Worker) -> None:
    resumes_at = one.trip(NOW)
    one.send(resumes_at, False)
    assert one.breaker.state is State.OPEN
    assert one.breaker.resumes_at > resumes_at + 3.0


def test_a_trial_whose_client_left_allows_another(one: Worker, two: Worker) -> None:
    resumes_at = one.trip(NOW)
    one.send(resumes_at, None)
    assert two.breaker.state is State.HALF_OPEN
    assert two.breaker.available(resumes_at)
    assert two.admit(resumes_at) is not None
    assert one.admit(resumes_at) is None


def test_a_trial_that_went_down_with_its_worker_does_not_block_for_ever(
    one: Worker, two: Worker
) -> None:
    resumes_at = one.trip(NOW)
    one.admit(resumes_at)
    assert two.admit(resumes_at + TRIAL_S - 0.1) is None
    again = two.admit(resumes_at + TRIAL_S + TICK_S)
    assert again is not None
    assert one.admit(resumes_at + TRIAL_S + TICK_S) is None
    two.settle(again, resumes_at + TRIAL_S + 1.0, True)
    assert one.breaker.state is State.CLOSED


def test_a_trial_given_up_too_early_may_still_tell_how_it_went(one: Worker, two: Worker) -> None:
    resumes_at = one.trip(NOW)
    slow = one.admit(resumes_at)
    later = resumes_at + TRIAL_S + TICK_S
    second = two.admit(later)
    one.settle(slow, later, True)
    assert one.breaker.state is State.CLOSED
    two.settle(second, later, False)
    assert one.breaker.state is State.CLOSED


def test_a_trial_given_up_too_early_does_not_free_the_one_after_it(
    one: Worker, two: Worker
) -> None:
    resumes_at = one.trip(NOW)
    slow = one.admit(resumes_at)
    later = resumes_at + TRIAL_S + TICK_S
    assert two.admit(later) is not None
    one.settle(slow, later, None)
    assert one.admit(later) is None


# ---- panic


def test_in_panic_there_is_a_ticket_whatever_the_state(one: Worker) -> None:
    assert one.breaker.force(NOW) == one.admit(NOW)
    resumes_at = one.trip(NOW)
    one.breaker.force(NOW)
    assert one.breaker.state is State.OPEN
    assert one.breaker.resumes_at == resumes_at


def test_a_success_in_panic_closes_it(one: Worker) -> None:
    one.trip(NOW)
    one.settle(one.breaker.force(NOW), NOW + 0.5, True)
    assert one.breaker.state is State.CLOSED


@pytest.mark.parametrize("ok", [False, None])
def test_a_failure_in_panic_does_not_lengthen_the_open_time(one: Worker, ok: bool | None) -> None:
    resumes_at = one.trip(NOW)
    one.settle(one.breaker.force(NOW), NOW + 0.5, ok)
    assert one.breaker.state is State.OPEN
    assert one.breaker.resumes_at == resumes_at


def test_a_client_that_left_in_panic_frees_nobodys_trial(one: Worker, two: Worker) -> None:
    resumes_at = one.trip(NOW)
    one.admit(resumes_at)
    two.settle(two.breaker.force(resumes_at), resumes_at, None)
    assert two.admit(resumes_at) is None


# ---- probes


def test_a_probe_after_the_open_time_closes_or_reopens_the_breaker(one: Worker) -> None:
    resumes_at = one.trip(NOW)
    one.probed(resumes_at, False)
    assert one.breaker.state is State.OPEN
    assert one.breaker.resumes_at >= resumes_at + 4.0 * (1 - JITTER)
    one.probed(one.breaker.resumes_at, True)
    assert one.breaker.state is State.CLOSED
    # Resting again is no change of the state that anybody has to be told.
    assert [change[:2] for change in one.changes] == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.CLOSED),
    ]


@pytest.mark.parametrize("ok", [True, False])
def test_a_probe_speaks_for_the_trial_that_is_out(one: Worker, two: Worker, ok: bool) -> None:
    resumes_at = one.trip(NOW)
    trial = one.admit(resumes_at)
    two.probed(resumes_at, ok)
    state = one.breaker.state
    assert state is (State.CLOSED if ok else State.OPEN)
    one.settle(trial, resumes_at, not ok)
    assert one.breaker.state is state


@pytest.mark.parametrize("ok", [True, False])
def test_a_probe_that_was_not_due_changes_nothing(one: Worker, ok: bool) -> None:
    for _ in range(10):
        one.probed(NOW, ok)
    assert one.breaker.state is State.CLOSED
    resumes_at = one.trip(NOW)
    one.probed(NOW, ok)
    assert one.breaker.state is State.OPEN
    assert one.breaker.resumes_at == resumes_at


# ---- several workers at the same instant


@pytest.fixture
def overtaken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Breaker]:
    """Makes a worker's breaker before whose next change another worker makes one."""

    def made(worker: Worker, first: Callable[[], None]) -> Breaker:
        interrupt: Any = Interrupt(first)
        monkeypatch.setattr(module, "TRANSITIONS", interrupt)
        on_change = lambda *change: worker.changes.append(change)  # noqa: E731
        return Breaker(worker.stats, interrupt, on_change)

    return made


def test_of_two_workers_one_gets_the_trial(
    one: Worker, two: Worker, overtaken: Callable[..., Breaker]
) -> None:
    resumes_at = one.trip(NOW)
    won: list[int | None] = []
    late = overtaken(two, lambda: won.append(one.admit(resumes_at)))
    assert late.admit(resumes_at, two.rng) is None
    assert len(won) == 1
    assert won[0] is not None
    assert two.changes == []


def test_of_two_workers_one_opens_the_breaker(
    one: Worker, two: Worker, overtaken: Callable[..., Breaker]
) -> None:
    for _ in range(2):
        one.send(NOW, False)
    ticket = two.admit(NOW)
    assert ticket is not None
    late = overtaken(two, lambda: one.send(NOW, False))
    late.settle(ticket, NOW, two.rng, False)
    assert one.breaker.state is State.OPEN
    assert (len(one.changes), len(two.changes)) == (1, 0)
    assert one.breaker.resumes_at - NOW < 2.0 * (1 + JITTER) + TICK_S


def test_two_failures_at_the_same_instant_are_two(
    one: Worker, two: Worker, overtaken: Callable[..., Breaker]
) -> None:
    ticket = two.admit(NOW)
    assert ticket is not None
    late = overtaken(two, lambda: one.send(NOW, False))
    late.settle(ticket, NOW, two.rng, False)
    one.send(NOW, False)
    assert one.breaker.state is State.OPEN


def test_a_trial_that_another_worker_ended_changes_nothing(
    one: Worker, two: Worker, overtaken: Callable[..., Breaker]
) -> None:
    resumes_at = one.trip(NOW)
    trial = two.admit(resumes_at)
    assert trial is not None
    late = overtaken(two, lambda: one.probed(resumes_at, False))
    late.settle(trial, resumes_at, two.rng, True)
    assert one.breaker.state is State.OPEN


# ---- what is kept, and what is shown


def test_a_new_breaker_continues_from_shared_memory(board: SharedMemory, one: Worker) -> None:
    one.send(NOW, False)
    patient = Worker(board, 0, Health(failures=4, open_s=2.0))
    patient.send(NOW, False)
    patient.send(NOW, False)
    assert patient.breaker.state is State.CLOSED
    patient.send(NOW, False)
    assert one.breaker.state is State.OPEN


def test_a_trial_may_be_given_another_time(board: SharedMemory, one: Worker) -> None:
    breaker = Breaker(one.stats, HEALTH, trial_s=5.0)
    resumes_at = one.trip(NOW)
    assert breaker.admit(resumes_at, one.rng) is not None
    assert breaker.resumes_at == pytest.approx(resumes_at + 5.0, abs=TICK_S)


def test_generations_wrap_around(one: Worker) -> None:
    last = (2**20 - 1) << 43
    assert one.stats.swap(0, last)
    late = one.admit(NOW)
    resumes_at = one.trip(NOW)
    assert 0 < one.stats.load() < 1 << 43
    one.settle(late, NOW, True)
    one.send(resumes_at, True)
    assert one.breaker.state is State.CLOSED


def test_a_machine_may_be_up_for_years(one: Worker) -> None:
    now = 8 * 365 * 86400.0
    assert one.trip(now) == pytest.approx(now + 2.0, abs=0.5)
    assert one.stats.load() < 2**63


def test_the_table_has_no_way_to_closed_but_a_success() -> None:
    for state, row in TRANSITIONS.items():
        for signal, to in row.items():
            assert (to is State.CLOSED) == (signal is Signal.PASSED), state


def test_repr_shows_the_state(one: Worker) -> None:
    one.send(NOW, False)
    assert repr(one.breaker) == "<Breaker CLOSED failures=1/3>"
    resumes_at = one.trip(NOW)
    assert repr(one.breaker) == f"<Breaker OPEN resumes_at={resumes_at:.1f}>"
