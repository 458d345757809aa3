"""The ways in which a provider fails, as docs/faults.md tells them."""

import enum
from typing import NamedTuple


class Form(enum.Enum):
    """How the answer is asked for."""

    STREAM = "streamed"
    WHOLE = "whole"


class Fate(enum.Enum):
    """What has to become of a failed attempt while another provider could do better."""

    ELSEWHERE = enum.auto()  # the client gets the other provider's answer
    TOLD = enum.auto()  # it is the request: the client gets the error
    PASSED_ON = enum.auto()  # content has gone to the client: nothing is run again


class Kind(NamedTuple):
    """One row of the table, or two."""

    name: str
    fault: str  # as `ccrelay mock --fault` takes it; "": nobody listens
    fate: Fate
    forms: tuple[Form, ...] = tuple(Form)  # error events exist in streams only
    is_bare: bool = False  # without limit headers

    @property
    def options(self) -> str:
        """What makes `ccrelay mock` fail like this; "": do not start it."""
        if not self.fault:
            return ""
        return f"--fault {self.fault}" + " --limit-headers off" * self.is_bare


STREAMED = (Form.STREAM,)

KINDS = (
    Kind("connection refused", "", Fate.ELSEWHERE),
    Kind("reset before the head", "reset_before_head", Fate.ELSEWHERE),
    Kind("close before the head", "close_before_head", Fate.ELSEWHERE),
    Kind("no head in time", "stall_head", Fate.ELSEWHERE),
    Kind("bytes that are not HTTP", "garbage", Fate.ELSEWHERE),
    Kind("401, key refused", "401", Fate.ELSEWHERE),
    Kind("402, balance spent", "402", Fate.ELSEWHERE),
    Kind("403, key not allowed", "403", Fate.ELSEWHERE),
    Kind("404, model unknown", "404", Fate.ELSEWHERE),
    Kind("408", "408", Fate.ELSEWHERE),
    Kind("409", "409", Fate.ELSEWHERE),
    Kind("429 with `retry-after`", "429,retry_after=30", Fate.ELSEWHERE),
    Kind("429 that says nothing", "429", Fate.ELSEWHERE, is_bare=True),
    Kind("500", "500", Fate.ELSEWHERE),
    Kind("502, an HTML page", "502", Fate.ELSEWHERE),
    Kind("529", "529", Fate.ELSEWHERE),
    Kind("`error` event first", "error_first", Fate.ELSEWHERE, STREAMED),
    Kind("`error` event before content", "error_mid,after=1", Fate.ELSEWHERE, STREAMED),
    Kind("reset before content", "reset_mid_stream,after=1", Fate.ELSEWHERE, STREAMED),
    Kind("silence before content", "stall_mid_stream,after=1", Fate.ELSEWHERE, STREAMED),
    Kind("400", "400", Fate.TOLD),
    Kind("413", "413", Fate.TOLD),
    Kind("`error` event in the content", "error_mid", Fate.PASSED_ON, STREAMED),
    Kind("cut in the content", "cut_mid_event", Fate.PASSED_ON),
    Kind("reset in the content", "reset_mid_stream", Fate.PASSED_ON),
    Kind("silence in the content", "stall_mid_stream", Fate.PASSED_ON),
)
CASES = tuple((kind, form) for kind in KINDS for form in kind.forms)

# What the real Claude Code does when the first of two providers fails so, once. The client tests
# (tests/client/test_claude_failover.py) run every kind that stands here and compare.
ANSWERS = "answers"
ASKS_AGAIN = "asks again, answers"
SHOWS = "shows the error"
THROUGH_CLAUDE = {
    "connection refused": ANSWERS,
    "reset before the head": ANSWERS,
    "no head in time": ANSWERS,
    "401, key refused": ANSWERS,
    "402, balance spent": ANSWERS,
    "404, model unknown": ANSWERS,
    "429 with `retry-after`": ANSWERS,
    "429 that says nothing": ANSWERS,
    "502, an HTML page": ANSWERS,
    "529": ANSWERS,
    "`error` event first": ANSWERS,
    "`error` event before content": ANSWERS,
    "reset before content": ANSWERS,
    "413": SHOWS,
    "`error` event in the content": ASKS_AGAIN,
    "cut in the content": ASKS_AGAIN,
    "reset in the content": ASKS_AGAIN,
}
