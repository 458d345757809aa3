"""Circuit breaker: stop requests to a failing endpoint for a while, then try one.

    CLOSED --TRIPPED--> OPEN --COOLED--> HALF_OPEN --PASSED--> CLOSED
                        ^  |                 |
                        |  +--PASSED--> CLOSED   (a probe, or a request sent in panic mode)
                        +------FAILED--------+   (a probe that failed: OPEN --FAILED--> OPEN)

The whole state is one word in shared memory, and every change is one compare-and-swap: all workers
see the same breaker, one of them makes each change, and a dying worker cannot leave it half-done.
The word:

    generation 20 bits | until 36 bits | openings 5 bits | state 2 bits
    generation 20 bits | failures in a row 41 bits       | state 2 bits   while CLOSED

The generation changes with the state. Tickets carry it, so that the outcome of a request sent
before the last change is ignored. It wraps after 2**20 changes: days, with open times of a second;
no exchange lasts that long.

Pure: `now` (monotonic seconds) and randomness are arguments. Nothing here sleeps, logs or reads a
clock.
"""

import enum
import math
import random
from collections.abc import Callable

from ccrelay._fast.endpoint_stats import EndpointStats
from ccrelay.config.model import Health

TRIAL_S = 30.0  # a trial without outcome for so long is lost: another one is let through
JITTER = 0.2  # of the open time, up and down: nodes do not retry at the same instant

_STATE_BITS = 2
_OPENINGS_BITS = 5
_UNTIL_BITS = 36
_UNTIL_AT = _STATE_BITS + _OPENINGS_BITS
_GENERATION_AT = _UNTIL_AT + _UNTIL_BITS

_STATE = (1 << _STATE_BITS) - 1
_OPENINGS_MAX = (1 << _OPENINGS_BITS) - 1
_UNTIL_MAX = (1 << _UNTIL_BITS) - 1
_TICKS = 256  # per second, for `until`: 36 bits are eight years of uptime
_GENERATION = 0xFFFFF << _GENERATION_AT
_FAILURE = 1 << _STATE_BITS


class State(enum.IntEnum):
    """State of a breaker."""

    CLOSED = 0  # requests pass
    OPEN = 1  # requests are rejected until the open time is over
    HALF_OPEN = 2  # one trial request is in flight, others are rejected


class Signal(enum.IntEnum):
    """What changes the state."""

    TRIPPED = 0  # too many consecutive failures, or too high a failure rate
    COOLED = 1  # the open time is over and a request arrives
    PASSED = 2  # the trial, a probe or a request sent in panic mode succeeded
    FAILED = 3  # the trial or a probe failed


TRANSITIONS: dict[State, dict[Signal, State]] = {
    State.CLOSED: {Signal.TRIPPED: State.OPEN},
    State.OPEN: {
        Signal.COOLED: State.HALF_OPEN,
        Signal.PASSED: State.CLOSED,
        Signal.FAILED: State.OPEN,
    },
    State.HALF_OPEN: {Signal.PASSED: State.CLOSED, Signal.FAILED: State.OPEN},
}

OnChange = Callable[[State, State, float], None]
"""Called with (old, new, now) in the worker that made the change."""


class Breaker:
    """The breaker of one endpoint, in one worker. Its state is in the endpoint's stats."""

    __slots__ = ("_health", "_on_change", "_stats", "_trial_s", "_window_s")

    def __init__(
        self,
        stats: EndpointStats,
        health: Health,
        on_change: OnChange | None = None,
        *,
        trial_s: float = TRIAL_S,
    ) -> None:
        self._stats = stats
        self._health = health
        self._window_s = health.window_s
        self._on_change = on_change
        self._trial_s = trial_s

    # ---- questions

    @property
    def state(self) -> State:
        """The state, shared by all workers."""
        return State(self._stats.load() & _STATE)

    @property
    def resumes_at(self) -> float:
        """When the open time, or the time of the trial in flight, is over; 0.0: closed."""
        word = self._stats.load()
        return _until(word) if word & _STATE else 0.0

    @property
    def failures(self) -> int:
        """Failures in a row; while it is not closed, how often in a row it has opened."""
        word = self._stats.load()
        if word & _STATE:
            return word >> _STATE_BITS & _OPENINGS_MAX
        return (word & ~_GENERATION) // _FAILURE

    def available(self, now: float) -> bool:
        """Whether `admit` would let a request through."""
        word = self._stats.load()
        return not word & _STATE or _until(word) <= now

    def due(self, now: float) -> bool:
        """Whether a trial or probe is due: not closed, and the open time is over."""
        word = self._stats.load()
        return word & _STATE != 0 and _until(word) <= now

    # ---- requests

    def admit(self, now: float, rng: random.Random) -> int | None:
        """A ticket for `settle` (0 is one), or None while the breaker rejects requests.

        The first request after the open time is the trial.
        """
        while True:
            word = self._stats.load()
            if not word & _STATE:
                return word & _GENERATION
            if _until(word) > now:
                return None
            if word & _STATE == State.OPEN:
                trial = self._enter(Signal.COOLED, word, now, rng)
            else:
                trial = self._try_again(word, now + self._trial_s)
            if trial is not None:
                return trial

    def force(self, now: float) -> int:
        """A ticket in any state, for panic mode: all breakers are open and one endpoint is tried.

        A success closes the breaker. A failure while it is open changes nothing.
        """
        return self._stats.load() & _GENERATION

    def settle(self, ticket: int, now: float, rng: random.Random, ok: bool | None) -> None:
        """Record an outcome, once per ticket; None: no evidence, as when the client left."""
        word = self._stats.load()
        sent = ticket
        if ok and word == sent and not word & _STATE:  # closed, and no failure before
            self._stats.count(now, True, self._window_s)
        elif ok is None:
            # A trial's ticket is the whole word, so it releases its own trial only.
            if word == sent and word & _STATE == State.HALF_OPEN:
                self._try_again(word, 0.0)
        elif (word ^ sent) & _GENERATION:
            pass  # sent before the last transition: no evidence about this state
        elif not word & _STATE:
            self._settle_closed(ticket, now, rng, ok)
        else:
            self._settle_open(ticket & _GENERATION, now, rng, ok)

    def probed(self, now: float, rng: random.Random, ok: bool) -> None:
        """Record the outcome of a probe. It counts when a trial is due or in flight."""
        word = self._stats.load()
        state = word & _STATE
        if state == State.HALF_OPEN or (state == State.OPEN and _until(word) <= now):
            self._enter(Signal.PASSED if ok else Signal.FAILED, word, now, rng)

    # ---- changes

    def _settle_closed(self, ticket: int, now: float, rng: random.Random, ok: bool) -> None:
        stats = self._stats
        stats.count(now, ok, self._window_s)
        too_many = not ok and self._fails_often(now)
        while True:
            word = stats.load()
            if (word ^ ticket) & _GENERATION:
                return  # another worker was faster
            failures = 0 if ok else (word - ticket) // _FAILURE + 1
            if too_many or failures >= self._health.failures:
                done = self._enter(Signal.TRIPPED, word, now, rng) is not None
            else:
                done = stats.swap(word, ticket + failures * _FAILURE)
            if done:
                return

    def _settle_open(self, generation: int, now: float, rng: random.Random, ok: bool) -> None:
        while True:
            word = self._stats.load()
            if word & _GENERATION != generation:
                return
            if not ok and word & _STATE == State.OPEN:
                return  # sent in panic mode: the failure was expected
            if self._enter(Signal.PASSED if ok else Signal.FAILED, word, now, rng) is not None:
                return

    def _fails_often(self, now: float) -> bool:
        good, failed = self._stats.outcomes(now, self._window_s)
        total = good + failed
        return (
            total >= self._health.window_requests_min
            and failed >= self._health.failure_rate * total
        )

    def _try_again(self, word: int, until: float) -> int | None:
        # State and generation stay: a late outcome of the trial that was given up is as valid as
        # that of the new one.
        fresh = word & ~(_UNTIL_MAX << _UNTIL_AT) | _ticks(until) << _UNTIL_AT
        return fresh if self._stats.swap(word, fresh) else None

    def _enter(self, signal: Signal, word: int, now: float, rng: random.Random) -> int | None:
        # The only place where the state changes. Returns the new word; None: another worker was
        # faster.
        old = State(word & _STATE)
        new = TRANSITIONS[old][signal]
        openings = word >> _STATE_BITS & _OPENINGS_MAX if old is not State.CLOSED else 0
        fresh = (word & _GENERATION) + (1 << _GENERATION_AT) & _GENERATION | new
        if new is State.CLOSED:
            self._stats.forget_outcomes()  # first, because a worker may die in between
        elif new is State.OPEN:
            openings = min(openings + 1, _OPENINGS_MAX)
            until = now + self._rest_s(openings, rng)
            fresh |= openings << _STATE_BITS | _ticks(until) << _UNTIL_AT
        else:
            fresh |= openings << _STATE_BITS | _ticks(now + self._trial_s) << _UNTIL_AT
        if not self._stats.swap(word, fresh):
            return None
        if self._on_change is not None and new is not old:
            self._on_change(old, new, now)
        return fresh

    def _rest_s(self, openings: int, rng: random.Random) -> float:
        health = self._health
        rest = min(health.open_s * 2.0 ** (openings - 1), health.open_max_s)
        # Clamped before randomizing: clamped after, half of the longest open times would be equal.
        longest = min(rest * (1.0 + JITTER), health.open_max_s)
        return rng.uniform(rest * (1.0 - JITTER), longest)

    def __repr__(self) -> str:
        word = self._stats.load()
        if not word & _STATE:
            failures = (word & ~_GENERATION) // _FAILURE
            return f"<Breaker CLOSED failures={failures}/{self._health.failures}>"
        return f"<Breaker {State(word & _STATE).name} resumes_at={_until(word):.1f}>"


def _until(word: int) -> float:
    return (word >> _UNTIL_AT & _UNTIL_MAX) / _TICKS


def _ticks(until: float) -> int:
    # Rounded up: an open time is never shorter than configured.
    return min(math.ceil(until * _TICKS), _UNTIL_MAX)
