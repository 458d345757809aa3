"""An endpoint: a base URL with its statistics and circuit breaker."""

from collections.abc import Callable

from ccrelay._fast.endpoint_stats import EndpointStats
from ccrelay.config.model import Health
from ccrelay.fleet.breaker import Breaker, State

OnChange = Callable[[str, State, State], None]
"""Called with (endpoint, old state, new state) in the worker that made the change."""


class Endpoint:
    """A base URL with its health. The state is shared by all workers."""

    __slots__ = ("breaker", "name", "stats")

    def __init__(
        self, name: str, stats: EndpointStats, health: Health, on_change: OnChange | None = None
    ) -> None:
        self.name = name
        self.stats = stats
        self.breaker = Breaker(
            stats,
            health,
            None if on_change is None else lambda old, new, _now: on_change(name, old, new),
        )

    def available(self, now: float) -> bool:
        """Whether the breaker would admit a request."""
        return self.breaker.available(now)

    def __repr__(self) -> str:
        return f"<Endpoint {self.name} {self.breaker!r}>"
