"""How an exchange went: filled in on the way, read by accounting and by the access log."""

from ccrelay._fast.usage import Usage
from ccrelay.fleet.learned import Window
from ccrelay.ledger.record import Result, Try
from ccrelay.types import Ending

_COMPLETE = int(Ending.COMPLETE)
_ANSWERED = int(Ending.ANSWERED)
_CLIENT_LEFT = int(Ending.CLIENT_LEFT)
_OK = int(Result.OK)
_FAILOVER = int(Result.FAILOVER)
_LEFT = int(Result.CLIENT_LEFT)
_PASSED_ON = int(Result.PASSED_ON)
_REFUSED = int(Result.REFUSED)
_LOST = int(Result.LOST)
# What the access log says of a client that took nothing of its answer.
STALLED = "client_stalled"


class Outcome:
    """What is known at the end of an exchange. Times are seconds, sizes bytes."""

    __slots__ = (
        "attempts",
        "billing",
        "cost_micros",
        "ending",
        "error",
        "is_final",
        "moved",
        "moved_micros",
        "own_bytes",
        "own_s",
        "passed",
        "prices_version",
        "queued_s",
        "result",
        "status",
        "stop_reason",
        "stream",
        "tries",
        "uncached_micros",
        "usage",
        "why",
        "windows",
    )

    def __init__(self) -> None:
        self.status = 0  # of the answer; 0: none was begun
        self.ending = 0  # an `Ending`
        self.attempts = 0
        self.error: str | None = None
        self.is_final = False  # the error is about the request: no other target would fare better
        self.stream: bool | None = None  # whether the answer is an event stream, once known
        self.moved = False  # the conversation was bound to another target
        self.queued_s = 0.0  # time spent in the pending queue
        self.own_bytes = 0  # size of an answer of the relay's own
        self.usage: Usage | None = None  # None: no upstream was asked
        self.stop_reason: str | None = None
        self.result = 0  # a `ledger.record.Result`, at the end
        self.why = 0  # a `ledger.record.Why`: why the last target was taken
        self.passed: str | None = None  # targets that could not take it: `provider/key=why ...`
        self.tries: list[Try] | None = None  # all attempts, where there was more than one
        self.own_s = 0.0  # the relay's own time: neither side was waited for
        # Millionths of a dollar; -1: no price is known.
        self.cost_micros = 0
        self.uncached_micros = 0  # the same tokens without a prompt cache
        self.moved_micros = 0  # what leaving a warm cache cost
        self.billing = 0  # a `ledger.record.Billing`
        self.prices_version = ""  # of the price table; empty: no price is known
        self.windows: list[Window] | None = None  # allowances that headers told


def result_of(
    status: int, ending: int, error: str | None, is_final: bool, changed_target: bool
) -> int:
    """How an exchange went, a `ledger.record.Result`.

    Args:
        status: of the answer; 0: none was begun.
        ending: an `Ending`.
        error: as in the access log; None: nothing went wrong.
        is_final: an error is about the request itself.
        changed_target: another target than the first one answered.
    """
    if ending == _CLIENT_LEFT or error == STALLED:
        return _LEFT
    if is_final and (status >= 400 or error is not None):
        return _REFUSED if ending == _ANSWERED else _PASSED_ON
    if ending not in (_COMPLETE, _ANSWERED) or error is not None or not 0 < status < 400:
        return _LOST
    return _FAILOVER if changed_target else _OK
