from ccrelay._fast.shared_memory import SharedMemory

class EndpointStats:
    """The shared words of one endpoint: breaker, outcomes, averages, probe lease.

    IndexError: the memory has no such slot.
    """

    @property
    def slot(self) -> int: ...
    def __init__(self, memory: SharedMemory, slot: int) -> None: ...
    def load(self) -> int:
        """The breaker's state word, 63 bits, packed by ccrelay.fleet.breaker; initially 0."""

    def swap(self, old: int, fresh: int) -> bool:
        """Compare-and-swap the state word; False: it was not `old`."""

    @property
    def answers(self) -> bool:
        """Whether the last failure was an HTTP response: then a connection proves no recovery."""

    @answers.setter
    def answers(self, value: bool) -> None: ...
    def count(self, now: float, ok: bool, window_s: float) -> None:
        """Count one outcome, in a ring of 16 buckets that covers `window_s` seconds."""

    def outcomes(self, now: float, window_s: float) -> tuple[int, int]:
        """(succeeded, failed) in the window, accurate to one bucket."""

    def forget_outcomes(self) -> None: ...
    def observe(self, output_class: int, seconds: float, now: float) -> None:
        """Add one time to first event to the moving average. Its weight is 1 - exp(-gap / 30 s), at
        least 0.1: old values fade by time, and bursts still count. IndexError: no such class."""

    def average(self, output_class: int) -> float:
        """Average time to first event, seconds; 0.0: none observed."""

    def observed_at(self, output_class: int) -> float:
        """Time of the last observation, monotonic seconds; 0.0: never."""

    def lease(self, now: float, seconds: float) -> bool:
        """Acquire or renew the right to probe for `seconds`. False: another worker has it."""

    def unlease(self) -> None:
        """Release it, if this worker holds it."""

class RetryBudget:
    """Limits retries as a share of requests, all workers together, over the last 10 seconds."""

    def __init__(self, memory: SharedMemory) -> None: ...
    def request(self, now: float) -> None:
        """Count a request."""

    def retry(self, now: float, ratio: float, minimum: int) -> bool:
        """Count a retry; False: the budget is used up. Allows `ratio` of the requests, or `minimum`
        if that is more; concurrent workers may exceed it by one each."""
