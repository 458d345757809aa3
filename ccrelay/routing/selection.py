"""The router's answer: a target with what was acquired of it, or when there will be one."""

from ccrelay._fast.rate_limits import Capacity, Reservation
from ccrelay.fleet.provider_state import Target
from ccrelay.ledger.record import Why
from ccrelay.routing.candidate import Candidate

# Why a key takes no request: words for `Unavailable.why` and for the log.
WHY = {
    int(Capacity.READY): "ready",
    int(Capacity.FULL): "limit",
    int(Capacity.BUSY): "max_concurrent",
    int(Capacity.COOLING_DOWN): "cooldown",
    int(Capacity.DISABLED): "key_refused",
    int(Capacity.TIGHT): "limit",
}


_UNKNOWN = int(Why.UNKNOWN)
_LAST_RESORT = int(Why.LAST_RESORT)
PANIC = int(Why.PANIC)


class Selection:
    """A target that was selected. What was acquired belongs to the caller, who gives it back once.

    Args:
        candidate: the provider.
        target: its credential.
        reservation: of the target's limits; None: the request counts against none.
        ticket: of the endpoint's breaker.
        why: why it was taken, a `ledger.record.Why`; UNKNOWN: not said yet.
    """

    __slots__ = ("candidate", "reservation", "target", "ticket", "why")

    def __init__(
        self,
        candidate: Candidate,
        target: Target,
        reservation: Reservation | None,
        ticket: int,
        why: int = _UNKNOWN,
    ) -> None:
        self.candidate = candidate
        self.target = target
        self.reservation = reservation
        self.ticket = ticket
        self.why = why

    def __repr__(self) -> str:
        return f"<Selection {self.target!r}>"


class Unavailable:
    """No target can take the request now.

    Args:
        until: when one could, monotonic seconds; inf: none will.
        bound: the request waits for its sticky target, and blocks no other request.
        why: for the log: what the soonest target waits for.
    """

    __slots__ = ("bound", "until", "why")

    def __init__(self, until: float, bound: bool, why: str) -> None:
        self.until = until
        self.bound = bound
        self.why = why

    def __repr__(self) -> str:
        return f"<Unavailable until={self.until} bound={self.bound} why={self.why}>"


def as_last_resort(found: Selection | Unavailable | None) -> Selection | Unavailable | None:
    """What was found where nothing else could take the request."""
    if isinstance(found, Selection):
        selection = found
        if selection.why == _UNKNOWN:
            selection.why = _LAST_RESORT
    return found


def selected(
    candidate: Candidate, target: Target, reservation: Reservation | None, ticket: int
) -> Selection:
    """A selection, made without the detour of a constructor's arguments."""
    selection = Selection.__new__(Selection)
    selection.candidate = candidate
    selection.target = target
    selection.reservation = reservation
    selection.ticket = ticket
    selection.why = _UNKNOWN
    return selection
