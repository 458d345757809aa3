"""Words shared by every floor above the bytes: classes, endings, where logs go."""

import enum
from typing import NamedTuple, Protocol

from ccrelay._fast.log_line import LogLine
from ccrelay._fast.row_line import RowLine


class Ending(enum.IntEnum):
    """How an exchange ended. One of these is in every log line."""

    COMPLETE = 0  # the whole upstream response was forwarded
    ANSWERED = 1  # the relay's own response (health, errors, estimates)
    CLIENT_LEFT = 2  # the client closed before the end
    UPSTREAM_CUT = 3  # the upstream failed after forwarding had begun
    TIMED_OUT = 4  # one of the relay's time limits passed
    ABORTED = 5  # aborted by the relay (shutdown, a second `model` found late)


class RequestClass(enum.IntEnum):
    """The endpoint of the Anthropic API that a request addresses."""

    MESSAGES = 0  # POST /v1/messages
    COUNT_TOKENS = 1  # POST /v1/messages/count_tokens
    MODELS = 2  # GET /v1/models and /v1/models/{id}
    OTHER_V1 = 3  # batches, files, skills: forwarded without routing
    LOCAL = 4  # /, /health, /ready, /api/hello
    UNKNOWN = 5  # anything else


class TrafficClass(enum.IntEnum):
    """Purpose of a request (client reference, section 5, "Request kinds"); sets its queue order."""

    MAIN = 0  # the user's turn
    COMPACTION = 1  # the summary that frees context for the next turn
    SUBAGENT = 2
    WEB_SEARCH = 3  # the extra call that runs a search
    BACKGROUND = 4  # titles, classifiers, summaries
    COUNT_TOKENS = 5


class OutputClass(enum.IntEnum):
    """Response kinds with different times to the first event; latencies are kept per class."""

    STREAM = 0
    THINKING = 1  # a stream that starts with thinking
    WHOLE = 2  # not streamed: everything arrives at once


class RowGroup(NamedTuple):
    """What a row of the text log has in common with others, by which bursts are folded."""

    session: bytes  # the client's, or its project; empty: it told neither
    name: bytes  # of it, as the row shows it
    is_count: bool  # it only counted tokens
    tone: int  # how bad it was: 0 good, 1 handled, 2 broken
    has_failed: bool  # tokens were not counted
    seconds: float  # its duration
    target: str  # the last one that was asked; empty: none
    words: str  # what went wrong; empty: nothing


class LogEntry(Protocol):
    """An entry of the access log."""

    def write(self, line: LogLine) -> object:
        """Give all members to a line, in order."""

    def row(self, row: RowLine, clock: bytes) -> bool:
        """Write it as a row for people; whether such rows are folded."""

    def group(self) -> RowGroup:
        """By what its row is folded."""


class LogSink(Protocol):
    """The log of a process. Calls never block or raise, and never receive secrets."""

    def event(self, level: str, name: str, **fields: object) -> None:
        """Record one event at `level` (debug, info, warning, error)."""

    def exchange(self, entry: LogEntry) -> None:
        """Record one exchange that is over; the sink adds instant and worker, and writes it now."""
