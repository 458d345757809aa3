from ccrelay._fast.shared_memory import SharedMemory

class EndpointStats:
    """The shared words of one endpoint: breaker, outcomes, averages, the probe's lease.

    Raises IndexError when the board has no such slot.
    """

    @property
    def slot(self) -> int: ...
    def __init__(self, memory: SharedMemory, slot: int) -> None: ...
    def load(self) -> int:
        """The breaker's state word, 63 bits, as ccrelay.fleet.breaker packs it; 0 at first."""

    def swap(self, old: int, fresh: int) -> bool:
        """Change the state word if it is still `old`."""

    @property
    def answers(self) -> bool:
        """Whether what failed last was an answer: then a connection proves nothing."""

    @answers.setter
    def answers(self, value: bool) -> None: ...
    def count(self, now: float, ok: bool, window_s: float) -> None:
        """One outcome into the ring of 16 buckets that covers `window_s`."""

    def outcomes(self, now: float, window_s: float) -> tuple[int, int]:
        """(good, failed) within the window, to within one bucket."""

    def forget_outcomes(self) -> None: ...
    def observe(self, output_class: int, seconds: float, now: float) -> None:
        """One time to first event. The average forgets by time: weight 1 - exp(-gap / 30 s), at
        least 0.1, so that a burst counts and an old value fades. IndexError: no such class."""

    def average(self, output_class: int) -> float:
        """Seconds; 0.0: nothing was observed."""

    def observed_at(self, output_class: int) -> float:
        """0.0: never."""

    def lease(self, now: float, seconds: float) -> bool:
        """Whether this worker may probe: one at a time, for at most so long. Only the holder
        renews."""

    def unlease(self) -> None:
        """Give it back, if this worker has it."""

class RetryBudget:
    """Attempts beyond the first, over all requests of all workers, in the last 10 seconds."""

    def __init__(self, memory: SharedMemory) -> None: ...
    def request(self, now: float) -> None:
        """A request came in."""

    def retry(self, now: float, ratio: float, minimum: int) -> bool:
        """Take one; False: the budget is spent. It allows `ratio` of the requests, or `minimum` if
        that is more, and may be exceeded by one for each worker that asks at the same instant."""
