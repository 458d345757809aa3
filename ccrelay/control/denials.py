"""Logs what the doors deny: the first of a kind in a minute as a warning, others to debug."""

from collections.abc import Callable

from ccrelay.types import LogSink

QUIET_S = 60.0
VALUE_MAX = 120  # characters of what a caller sent


class Denials:
    """Logs denials, and connections that could not be accepted.

    Args:
        log: of the process.
        now: seconds of a clock that never goes back.
    """

    def __init__(self, log: LogSink, now: Callable[[], float]) -> None:
        self._log = log
        self._now = now
        self._told: dict[str, float] = {}

    def note(self, why: str, *, is_suspicious: bool = True, **fields: object) -> None:
        """Log one. `why` is one of few words; what is not suspicious is for debugging only."""
        level = "warning" if is_suspicious and self._is_due(why) else "debug"
        cut = {
            name: value[:VALUE_MAX] if isinstance(value, str) else value
            for name, value in fields.items()
        }
        self._log.event(level, "management_denied", why=why, **cut)

    def accept_failed(self, error: OSError) -> None:
        """Log that no connection could be accepted."""
        if self._is_due("accept"):
            self._log.event("warning", "management_accept_failed", error=str(error))

    def _is_due(self, what: str) -> bool:
        now = self._now()
        if now - self._told.get(what, float("-inf")) < QUIET_S:
            return False
        self._told[what] = now
        return True
