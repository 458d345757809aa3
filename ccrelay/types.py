"""Words shared by every floor above the bytes: classes, endings, where logs go."""

import enum
from typing import Protocol

from ccrelay._fast.log_line import LogLine


class Ending(enum.IntEnum):
    """How an exchange ended. One of these is in every log line."""

    COMPLETE = 0  # the whole upstream answer was forwarded
    ANSWERED = 1  # the relay answered by itself (health, errors, estimates)
    CLIENT_LEFT = 2  # the client closed before the end
    UPSTREAM_CUT = 3  # the upstream broke off after forwarding had begun
    TIMED_OUT = 4  # one of the relay's time limits passed
    ABORTED = 5  # the relay broke it off (shutdown, second `model` found late)


class RequestClass(enum.IntEnum):
    """Which endpoint of the Anthropic API a request means."""

    MESSAGES = 0  # POST /v1/messages
    COUNT_TOKENS = 1  # POST /v1/messages/count_tokens
    MODELS = 2  # GET /v1/models and /v1/models/{id}
    OTHER_V1 = 3  # every other /v1/*
    LOCAL = 4  # /, /health, /ready, /api/hello
    UNKNOWN = 5  # anything else


class TrafficClass(enum.IntEnum):
    """What a request is for (client reference, section 5, "Request kinds"). Waiting goes by it."""

    MAIN = 0  # the turn a person waits for
    COMPACTION = 1  # the summary that makes room for the next turn
    SUBAGENT = 2
    WEB_SEARCH = 3  # the side call that runs a search
    BACKGROUND = 4  # titles, classifiers, summaries
    COUNT_TOKENS = 5


class OutputClass(enum.IntEnum):
    """What the time to the first event depends on; latencies are kept apart by it."""

    STREAM = 0
    THINKING = 1  # a stream that begins with thinking
    WHOLE = 2  # not streamed: the first event comes with the last


class LogEntry(Protocol):
    """An entry of the access log."""

    def write(self, line: LogLine) -> object:
        """Give all members to a line, in order."""


class LogSink(Protocol):
    """Where a process writes what happened. Neither call blocks, raises or takes secrets."""

    def event(self, level: str, name: str, **fields: object) -> None:
        """Record one event at `level` (debug, info, warning, error)."""

    def exchange(self, entry: LogEntry) -> None:
        """Record one exchange that is over; the sink adds instant and worker, and writes it now."""
