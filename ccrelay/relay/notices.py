"""Log events about the relay's own state that would come thousands of times: once per minute."""

from ccrelay._fast.conn import Reactor
from ccrelay.types import LogSink

EVERY_S = 60.0


class Notices:
    """Logs each name at most every EVERY_S; `times` says how often it happened since."""

    def __init__(self, log: LogSink, reactor: Reactor) -> None:
        self._log = log
        self._reactor = reactor
        self._told_at: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def event(self, level: str, name: str, **fields: object) -> None:
        """Log this, unless that was done in the last minute."""
        self._times[name] = times = self._times.get(name, 0) + 1
        now = self._reactor.now
        told_at = self._told_at.get(name)
        if told_at is not None and now < told_at + EVERY_S:
            return
        self._told_at[name] = now
        self._times[name] = 0
        self._log.event(level, name, **fields, times=times)
