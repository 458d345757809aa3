"""Counters of targets, next to their readable twin, and under several processes at once."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ccrelay._fast.key_pool import KeyPool
from ccrelay._fast.rate_limits import (
    Capacity,
    Cooldown,
    Dimension,
    Reservation,
    TargetLimits,
)
from ccrelay._fast.shared_memory import SharedMemory
from tests.reference.rate_limits import LONGEST, SHORTEST, Bound, Learned, Target, Ticket

TICK = 1 / 128  # s: a binary fraction, so that sums of instants are exact; half a second is 64
CALM = settings(deadline=None, max_examples=60)

tokens = st.one_of(st.integers(0, 40), st.integers(0, 400))
# Around the end of a bucket, of the window, and of a turn of the ring.
EDGES = (1, 63, 64, 7600, 7650, 7679, 7680, 7681, 7700, 7743, 7744, 8128, 8192, 8200)
waits = st.one_of(st.sampled_from(EDGES), st.integers(0, 2000))
limits = st.one_of(st.just(0), st.integers(1, 300))


class RateLimitMachine(RuleBasedStateMachine):
    """One gauge and its twin: the truth is between a window of 60.5 s and one of 61 s."""

    @initialize(
        rpm=st.integers(0, 5), tpm=limits, itpm=limits, otpm=limits, most=st.integers(0, 3),
        start=st.integers(0, 1000 * 128),
    )  # fmt: skip
    def begin(self, rpm: int, tpm: int, itpm: int, otpm: int, most: int, start: int) -> None:
        self.memory = SharedMemory.private(workers=2, targets=2)
        self.limits = TargetLimits(self.memory, 1)
        self.limits.limit(rpm=rpm, tpm=tpm, itpm=itpm, otpm=otpm, max_concurrent=most)
        by_dim = {
            Dimension.REQUESTS: rpm,
            Dimension.INPUT: itpm,
            Dimension.OUTPUT: otpm,
            Dimension.TOKENS: tpm,
        }
        self.twin = Target({int(dim): limit for dim, limit in by_dim.items() if limit}, most)
        self.now = start * TICK
        self.out: list[tuple[Reservation, Ticket]] = []

    @rule(ticks=waits)
    def wait(self, ticks: int) -> None:
        self.now += ticks * TICK

    @rule(tokens_in=tokens, tokens_out=tokens, anyway=st.booleans())
    def reserve(self, tokens_in: int, tokens_out: int, anyway: bool) -> None:
        need = (tokens_in, tokens_out)
        made = self.limits.reserve(self.now, *need, anyway)
        resting = self.twin.cooldown_until > self.now
        if made is None:
            assert resting or self.twin.busy() or self.twin.lacks(self.now, need, LONGEST, anyway)
            return
        assert not resting
        assert not self.twin.busy()
        assert not self.twin.lacks(self.now, need, SHORTEST, anyway)
        self.twin.try_key(self.now)
        self.out.append((made, self.twin.reserve(self.now, *need)))

    @rule(tokens_in=tokens, tokens_out=tokens)
    def force(self, tokens_in: int, tokens_out: int) -> None:
        made = self.limits.reserve_unchecked(self.now, tokens_in, tokens_out)
        self.out.append((made, self.twin.reserve(self.now, tokens_in, tokens_out)))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), tokens_in=tokens, tokens_out=tokens)
    def settle(self, data: Any, tokens_in: int, tokens_out: int) -> None:
        made, ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        assert made.commit(self.now, tokens_in, tokens_out)
        assert not made.commit(self.now, tokens_in + 1, tokens_out + 1)
        assert not made.cancel(self.now)
        self.twin.commit(ticket, self.now, tokens_in, tokens_out)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), tokens_in=tokens)
    def correct(self, data: Any, tokens_in: int) -> None:
        made, ticket = self.out[data.draw(st.integers(0, len(self.out) - 1))]
        made.adjust(self.now, tokens_in)
        self.twin.adjust(ticket, self.now, tokens_in)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        made, ticket = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        assert made.cancel(self.now)
        self.twin.cancel(ticket, self.now)

    @precondition(lambda self: self.out)
    @rule()
    def forget(self) -> None:
        self.twin.drop(self.out.pop()[1])

    @rule(ticks=st.integers(0, 2000))
    def rest(self, ticks: int) -> None:
        until = self.now + ticks * TICK
        self.limits.start_cooldown(until, Cooldown.RATE)
        self.twin.cool_down(until)

    @rule()
    def prove(self) -> None:
        assert self.limits.prove(0) == self.twin.on_trial
        self.twin.prove()

    @rule(
        dim=st.sampled_from(Dimension), limit=limits, remaining=st.integers(-1, 300),
        resets=st.integers(-10, 6000), keep=st.integers(-10, 12000),
    )  # fmt: skip
    def learn(self, dim: int, limit: int, remaining: int, resets: int, keep: int) -> None:
        resets_at = max(self.now + resets * TICK, 0.0)
        keep_until = max(self.now + keep * TICK, 0.0)
        before = self.twin.learned.get(int(dim), Learned())
        kept = before.limit if before.keep_until > self.now else 0
        if not (kept or int(dim) in self.twin.limits or (limit and keep_until > self.now)):
            remaining = -1  # that is another rule, with a test of its own
        counts = (self.limits.used(Dimension.REQUESTS, self.now), self.limits.used(dim, self.now))
        self.limits.learn(dim, limit, remaining, resets_at, keep_until, self.now)
        self.twin.learn(int(dim), limit, remaining, resets_at, keep_until, self.now, counts)

    @rule(dim=st.sampled_from(Dimension))
    def what_was_learned_is_what_the_twin_learned(self, dim: int) -> None:
        told = self.limits.learned(dim, self.now)
        learned = self.twin.learned.get(int(dim), Learned())
        limit = learned.limit if learned.keep_until > self.now else 0
        if not limit and learned.resets_at <= self.now:
            assert told is None
            return
        assert told is not None
        assert told[0] == limit
        if not limit:
            return
        for span in (SHORTEST, LONGEST):
            used = self.twin.used(int(dim), self.now, span)
            if used == self.limits.used(dim, self.now):
                bound = Bound(limit, used + told[1], is_learned=True)
                assert bound in self.twin.bounds(int(dim), self.now, span)

    @invariant()
    def counts_are_those_of_the_twin(self) -> None:
        if not hasattr(self, "gauge"):
            return
        assert self.limits.in_flight == self.twin.in_flight
        for dim in Dimension:
            least = self.twin.used(int(dim), self.now, SHORTEST)
            assert least <= self.limits.used(dim, self.now)
            assert self.limits.used(dim, self.now) <= self.twin.used(int(dim), self.now, LONGEST)

    @rule(tokens_in=tokens, tokens_out=tokens, anyway=st.booleans())
    def ready_at_is_the_first_instant_with_room(
        self, tokens_in: int, tokens_out: int, anyway: bool
    ) -> None:
        if self.twin.busy():
            soonest = self.now + 0.05 - 1e-6  # instants are whole microseconds
            assert self.limits.ready_at(self.now, tokens_in, tokens_out) >= soonest
            return
        at = self.limits.ready_at(self.now, tokens_in, tokens_out, anyway)
        fine = {Capacity.READY, Capacity.TIGHT} if anyway else {Capacity.READY}
        ready = self.limits.state(self.now, tokens_in, tokens_out) in fine
        assert ready == (at == self.now)
        if not ready and (self.out or self.twin.on_trial):
            # What is reserved may come back, and a trial may pass, at any moment.
            assert at >= self.now + 0.05 - 1e-6
            return
        assert self.limits.state(at, tokens_in, tokens_out) in fine
        while not ready and at - TICK > self.now:
            at -= max(TICK, (at - self.now) / 8)
            assert self.limits.state(at, tokens_in, tokens_out) not in fine

    @rule(tokens_in=tokens, tokens_out=tokens)
    def room_is_a_share(self, tokens_in: int, tokens_out: int) -> None:
        bank = KeyPool([self.limits], [1], [0], [0])
        state = self.limits.state(self.now, tokens_in, tokens_out)
        room = self.limits.room(self.now, tokens_in, tokens_out)
        ready = state == Capacity.READY
        assert bank.refresh(self.now, tokens_in, tokens_out) == ready
        assert 0.001 <= bank.room <= 1.0 if ready else bank.room == 0.0
        tight = state == Capacity.TIGHT
        assert 0.0 < room < 0.001 if tight else room == bank.room
        assert bank.refresh(self.now, tokens_in, tokens_out, 0, True) == tight


TestRateLimitMachine = RateLimitMachine.TestCase
TestRateLimitMachine.settings = settings(deadline=None, max_examples=150, stateful_step_count=30)


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 60), st.integers(0, 60)), max_size=120),
    st.integers(1, 8),
    st.integers(60, 300),
)
@CALM
def test_no_sixty_seconds_hold_more_than_the_limit(
    steps: list[tuple[int, int, int]], rpm: int, tpm: int
) -> None:
    gauge = TargetLimits(SharedMemory.private(), 0)
    gauge.limit(rpm=rpm, tpm=tpm)
    now, granted = 7.0, []
    for ticks, estimate, used in steps:
        # As greedy as can be: at the very instant that has room, or some time later.
        now = max(now, gauge.ready_at(now, estimate, 0)) + max(ticks - 400, 0) * TICK
        made = gauge.reserve(now, estimate, 0)
        assert made is not None
        made.commit(now, min(used, estimate), 0)
        granted.append((now, min(used, estimate)))
    for end, _ in granted:
        window = [used for at, used in granted if end - 60.0 <= at <= end]
        assert len(window) <= rpm
        assert sum(window) <= tpm


@given(st.lists(st.integers(0, 300), max_size=30), st.integers(0, 20), st.integers(0, 300))
@CALM
def test_without_a_limit_what_is_left_is_given_out_once(
    steps: list[int], remaining: int, before: int
) -> None:
    gauge = TargetLimits(SharedMemory.private(), 0)
    now = 100.0 + before * TICK
    for _ in range(before % 7):
        assert gauge.reserve(now, 1, 1) is not None
    gauge.learn(Dimension.REQUESTS, 0, remaining, now + 30.0, now, now)
    granted = 0
    for ticks in steps:
        now += ticks * TICK
        if now < 100.0 + before * TICK + 30.0:
            granted += gauge.reserve(now, 1, 1) is not None
            assert granted <= remaining
        else:
            assert gauge.reserve(now, 1, 1) is not None


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.booleans()), max_size=7),
    st.integers(0, 127),
    st.integers(0, 2**64 - 1),
    st.floats(0.0, 1.0),
)
@CALM
def test_whatever_a_bank_chooses_is_ready_and_of_the_best_tier(
    rows: list[tuple[int, int, bool]], skip: int, conversation: int, point: float
) -> None:
    board = SharedMemory.private()
    gauges = [TargetLimits(board, k) for k in range(len(rows))]
    for gauge, (_, _, rests) in zip(gauges, rows, strict=True):
        if rests:
            gauge.start_cooldown(200.0, Cooldown.RATE)
    weights = [weight for weight, _, _ in rows]
    priorities = [priority for _, priority, _ in rows]
    bank = KeyPool(gauges, weights, priorities, range(len(rows)))
    usable = [k for k, (_, _, rests) in enumerate(rows) if not rests and not skip >> k & 1]
    tiers = {k: (weights[k] > 0, priorities[k]) for k in range(len(rows))}
    best = [k for k in usable if tiers[k] == max(tiers[j] for j in usable)]
    assert bank.refresh(100.0, 1, 1, skip) == len(best) == bank.ready
    choices = {bank.most_room(), bank.least_loaded(), bank.in_turn(), bank.at_random(point)}
    assert choices <= (set(best) or {-1})
    home = bank.preferred_key(conversation)
    assert home == -1 if not rows else tiers[home] == max(tiers.values())
    assert [k for k in range(len(rows)) if bank.is_ready(k)] == usable


# ---- several processes


HAMMER = """
import sys, time
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.rate_limits import TargetLimits
fd, worker, cap, most = map(int, sys.argv[1:])
gauge = TargetLimits(SharedMemory(fd, worker), 0)
gauge.limit(rpm=cap, max_concurrent=most)
print("ready", flush=True)
begin = float(sys.stdin.readline())
granted, spans = 0, []
while (now := time.monotonic()) < begin + 0.7:
    made = gauge.reserve(now, 100, 10) if now >= begin else None
    if made is not None:
        began = time.monotonic_ns()
        granted += 1
        if most:
            spans.append((began, time.monotonic_ns()))
        made.commit(now, 90, 20)
print(granted, *(at for span in spans for at in span), flush=True)
"""


@contextmanager
def hammers(fd: int, count: int, cap: int, most: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that reserve as fast as they can, as soon as they read a line."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    started: list[subprocess.Popen[str]] = []
    try:
        for worker in range(count):
            argv = [sys.executable, "-P", "-c", HAMMER, *map(str, (fd, worker, cap, most))]
            started.append(
                subprocess.Popen(
                    argv, pass_fds=(fd,), env=env, text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )  # fmt: skip
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def start(processes: list[subprocess.Popen[str]]) -> None:
    begin = time.monotonic() + 0.1
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(f"{begin}\n")
        process.stdin.flush()


def crowd(instants: list[int]) -> int:
    """How many of the spans between two instants each overlap, at most."""
    # The counts in the memory cannot tell: they are read one after the other, while they change.
    steps = [(at, -1 if k % 2 else 1) for k, at in enumerate(instants)]
    return max(accumulate(step for _, step in sorted(steps)), default=0)


def test_four_processes_together_keep_to_one_limit() -> None:
    with tempfile.TemporaryFile() as memory:
        SharedMemory.format(memory.fileno(), workers=4, targets=1, endpoints=1, bindings=1)
        gauge = TargetLimits(SharedMemory(memory.fileno()), 0)
        with hammers(memory.fileno(), 4, cap=20000, most=2) as processes:
            start(processes)
            told = [process.communicate(timeout=20)[0].split() for process in processes]
        granted = [int(row[0]) for row in told]
        assert crowd([int(at) for row in told for at in row[1:]]) <= 2
        assert sum(granted) == gauge.used(Dimension.REQUESTS, time.monotonic()) == 20000
        assert sum(1 for number in granted if number) > 1  # or it was no race
        assert gauge.in_flight == 0


def test_a_process_killed_at_work_leaves_counts_that_can_be_mended() -> None:
    with tempfile.TemporaryFile() as memory:
        SharedMemory.format(memory.fileno(), workers=3, targets=1, endpoints=1, bindings=1)
        board = SharedMemory(memory.fileno())
        gauge = TargetLimits(board, 0)
        with hammers(memory.fileno(), 3, cap=10**9, most=0) as processes:
            start(processes)
            for process in processes[:2]:
                while not gauge.in_flight and process.poll() is None:
                    pass  # until it is at work
                process.send_signal(signal.SIGKILL)
                process.wait(timeout=20)
            told = processes[2].communicate(timeout=20)[0].split()
        left = board.clear_worker(0) + board.clear_worker(1)
        assert 0 <= left <= 2
        assert gauge.in_flight == 0
        assert int(told[0]) > 0
