"""An endpoint's health: an address that could not be reached rests a while, longer each time.

Pure: the caller brings `now` (monotonic seconds). Circuit breakers and shared state come in here
later.
"""


class Endpoint:
    """One base URL and whether it is worth trying now."""

    __slots__ = ("_rest_max_s", "_rest_s", "failures", "in_flight", "name", "resumes_at")

    def __init__(self, name: str, *, rest_s: float, rest_max_s: float) -> None:
        self.name = name
        self.in_flight = 0
        self._rest_s = rest_s
        self._rest_max_s = rest_max_s
        self.failures = 0
        self.resumes_at = 0.0  # when the rest ends, monotonic seconds; 0: it never rested

    def available(self, now: float) -> bool:
        """Whether it is not resting."""
        return now >= self.resumes_at

    def unreachable(self, now: float) -> None:
        """A connection could not be made: rest, twice as long as the last time."""
        if now < self.resumes_at:
            return  # one rest for all that failed together
        rest = min(self._rest_s * 2.0 ** min(self.failures, 30), self._rest_max_s)
        self.failures += 1
        self.resumes_at = now + rest

    def reached(self) -> None:
        """It answered: the next failure starts from the shortest rest again."""
        if self.failures:
            self.failures = 0
            self.resumes_at = 0.0

    def __repr__(self) -> str:
        state = f"resting until {self.resumes_at:.1f}" if self.failures else "ok"
        return f"<Endpoint {self.name} {state} in_flight={self.in_flight}>"
