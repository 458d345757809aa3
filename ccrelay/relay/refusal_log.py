"""Log lines of refused requests: the first of a kind and address at once, the others as a count.

Who is refused needs no token, so the lines are bounded: `request_rejected` for the first of a
status and address, and once a minute `requests_rejected` for those that came after it.
"""

from ccrelay._fast.conn import Reactor
from ccrelay.types import LogSink

INTERVAL_S = 60.0
KINDS_MAX = 256  # pairs of status and address in a minute; further addresses are counted together
OTHERS = "others"


class _Kind:
    """What came after the first line."""

    __slots__ = ("count", "reason")

    def __init__(self) -> None:
        self.count = 0
        self.reason = ""


class RefusalLog:
    """Writes the lines.

    Args:
        reactor: its loop calls once a minute, while there is something to tell.
        log: where the lines go.
    """

    def __init__(self, reactor: Reactor, log: LogSink) -> None:
        self._reactor = reactor
        self._log = log
        self._kinds: dict[tuple[int, str], _Kind] = {}
        self._is_armed = False

    def add(self, status: int, peer: str, reason: str, **fields: object) -> None:
        """Log a refusal, or count it."""
        kind = self._kinds.get((status, peer))
        if kind is None and len(self._kinds) >= KINDS_MAX:
            kind = self._kinds.setdefault((status, OTHERS), _Kind())
        if kind is None:
            self._kinds[(status, peer)] = _Kind()
            self._log.event(
                "info", "request_rejected", **fields, peer=peer, status=status, reason=reason
            )
        else:
            kind.count += 1
            kind.reason = reason
        if not self._is_armed:
            self._is_armed = True
            self._reactor.loop.call_later(INTERVAL_S, self._tick)

    def flush(self) -> None:
        """Log what has been counted; who was quiet is new when it comes again."""
        kept: dict[tuple[int, str], _Kind] = {}
        for (status, peer), kind in self._kinds.items():
            if kind.count:
                self._log.event(
                    "info",
                    "requests_rejected",
                    count=kind.count,
                    peer=peer,
                    status=status,
                    reason=kind.reason,  # of the last one
                )
                kept[(status, peer)] = _Kind()
        self._kinds = kept

    def _tick(self) -> None:
        self.flush()
        self._is_armed = bool(self._kinds)
        if self._is_armed:
            self._reactor.loop.call_later(INTERVAL_S, self._tick)
