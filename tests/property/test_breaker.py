"""The breaker of three workers against a simple model of one, whatever happens in which order."""

import random
from dataclasses import dataclass, field

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ccrelay._fast.endpoint_stats import EndpointStats
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Health
from ccrelay.fleet.breaker import Breaker, State

HEALTH = Health(
    failures=4, failure_rate=0.5, window_s=16.0, window_requests_min=6, open_s=1.0, open_max_s=5.0
)
TRIAL_S = 7.0
TICK_S = 1 / 256
WORKERS = 3
CALM = settings(
    deadline=None,
    max_examples=60,
    stateful_step_count=60,
    suppress_health_check=[HealthCheck.too_slow],
)

workers = st.integers(0, WORKERS - 1)
outcomes = st.sampled_from([True, False, False, None])


@dataclass
class Model:
    """What a breaker is to do, with all the memory and none of the words."""

    state: State = State.CLOSED
    era: int = 0  # how often the state changed
    failures: int = 0
    openings: int = 0
    until: float = 0.0
    trial: int = 0  # number of the trial that is out
    window: list[tuple[int, bool]] = field(default_factory=list)  # second, outcome

    def admits(self, now: float) -> bool:
        return self.state is State.CLOSED or self.until <= now

    def enter(self, state: State) -> None:
        self.state = state
        self.era += 1
        self.failures = 0
        if state is State.OPEN:
            self.openings += 1
        if state is State.CLOSED:
            self.openings = 0
            self.window = []

    def closed(self, now: float, ok: bool) -> None:
        self.window.append((int(now), ok))
        self.failures = 0 if ok else self.failures + 1
        recent = [good for second, good in self.window if second > int(now) - 16]
        often = len(recent) >= 6 and recent.count(False) * 2 >= len(recent)
        if not ok and (often or self.failures >= 4):
            self.enter(State.OPEN)

    def rest_bounds(self) -> tuple[float, float]:
        base = min(2.0 ** (self.openings - 1), 5.0)
        return 0.8 * base, min(1.2 * base, 5.0) + TICK_S


@dataclass(frozen=True)
class Sent:
    """A request under way."""

    worker: int
    ticket: int
    era: int
    trial: int = 0  # 0: it is none


class Breakers(RuleBasedStateMachine):
    """Requests, panics, probes and time, on any worker."""

    def __init__(self) -> None:
        super().__init__()
        board = SharedMemory.private(workers=WORKERS, endpoints=2)
        self.changes: list[tuple[State, State]] = []
        self.breakers = [
            Breaker(
                EndpointStats(board.as_worker(number), 1),
                HEALTH,
                lambda old, new, _now: self.changes.append((old, new)),
                trial_s=TRIAL_S,
            )
            for number in range(WORKERS)
        ]
        self.rng = random.Random(0)
        self.now = 5000.0
        self.model = Model()
        self.under_way: list[Sent] = []
        self.trials = 0
        self.successes = 0

    # ---- what happens

    @rule(gap=st.sampled_from([0.01, 0.3, 1.0, 3.0, 6.0, 20.0]))
    def time_passes(self, gap: float) -> None:
        self.now += gap

    @precondition(lambda self: self.model.state is not State.CLOSED)
    @rule()
    def the_rest_passes(self) -> None:
        self.now = max(self.now, self.model.until)

    @rule(worker=workers)
    def a_request_comes(self, worker: int) -> None:
        model = self.model
        admitted = model.admits(self.now)
        ticket = self.breakers[worker].admit(self.now, self.rng)
        assert (ticket is not None) == admitted
        if ticket is None:
            return
        trial = 0
        if model.state is not State.CLOSED:
            if model.state is State.OPEN:
                model.enter(State.HALF_OPEN)
            self.trials += 1
            model.trial = trial = self.trials
            self.until_is(TRIAL_S, TRIAL_S + TICK_S)
            # One trial at a time: whoever asks in this instant is refused.
            assert [b.admit(self.now, self.rng) for b in self.breakers] == [None] * WORKERS
        self.under_way.append(Sent(worker, ticket, model.era, trial))

    @rule(worker=workers)
    def there_is_panic(self, worker: int) -> None:
        ticket = self.breakers[worker].force(self.now)
        self.under_way.append(Sent(worker, ticket, self.model.era))

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), ok=outcomes)
    def a_request_ends(self, data: st.DataObject, ok: bool | None) -> None:
        sent = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        self.breakers[sent.worker].settle(sent.ticket, self.now, self.rng, ok)
        self.successes += ok is True
        model = self.model
        if sent.era != model.era:
            return  # too late to prove anything
        if ok is None:
            if sent.trial and sent.trial == model.trial:
                model.until = model.trial = 0
        elif model.state is State.CLOSED:
            model.closed(self.now, ok)
            self.if_opened()
        elif ok:
            model.enter(State.CLOSED)
        elif model.state is State.HALF_OPEN:
            model.enter(State.OPEN)
            self.if_opened()

    @precondition(lambda self: self.under_way)
    @rule(worker=workers)
    def a_worker_is_killed(self, worker: int) -> None:
        self.under_way = [sent for sent in self.under_way if sent.worker != worker]

    @rule(worker=workers, ok=st.booleans())
    def a_probe_ends(self, worker: int, ok: bool) -> None:
        model = self.model
        heard = model.state is State.HALF_OPEN or (
            model.state is State.OPEN and model.until <= self.now
        )
        self.breakers[worker].probed(self.now, self.rng, ok)
        self.successes += ok
        if heard:
            model.enter(State.CLOSED if ok else State.OPEN)
            self.if_opened()

    def if_opened(self) -> None:
        if self.model.state is State.OPEN:
            self.until_is(*self.model.rest_bounds())

    def until_is(self, shortest: float, longest: float) -> None:
        self.model.until = self.breakers[0].resumes_at
        assert shortest <= self.model.until - self.now <= longest

    # ---- what holds

    @invariant()
    def all_workers_see_what_the_model_sees(self) -> None:
        model = self.model
        for breaker in self.breakers:
            assert breaker.state is model.state
            assert breaker.available(self.now) == model.admits(self.now)
            assert breaker.due(self.now) == (
                model.state is not State.CLOSED and model.until <= self.now
            )
            assert breaker.resumes_at == (0.0 if model.state is State.CLOSED else model.until)

    @invariant()
    def every_change_is_told_once_and_follows_the_one_before(self) -> None:
        states = [State.CLOSED, *(new for _, new in self.changes)]
        assert [old for old, _ in self.changes] == states[:-1]
        assert states[-1] is self.model.state
        assert states[1:].count(State.CLOSED) <= self.successes


TestBreakers = Breakers.TestCase
TestBreakers.settings = CALM
