"""How an exchange went: filled in on the way, read by accounting and by the access log."""

from ccrelay._fast.usage import Usage


class Outcome:
    """What is known at the end of an exchange. Times are seconds, sizes bytes."""

    __slots__ = (
        "attempts",
        "ending",
        "error",
        "moved",
        "own_bytes",
        "queued_s",
        "status",
        "stop_reason",
        "stream",
        "usage",
    )

    def __init__(self) -> None:
        self.status = 0  # of the answer; 0: none was begun
        self.ending = 0  # an `Ending`
        self.attempts = 0
        self.error: str | None = None
        self.stream: bool | None = None  # whether the answer is an event stream, once known
        self.moved = False  # the conversation was bound to another target
        self.queued_s = 0.0  # time spent in the pending queue
        self.own_bytes = 0  # size of an answer of the relay's own
        self.usage: Usage | None = None  # None: no upstream was asked
        self.stop_reason: str | None = None
