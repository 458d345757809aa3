"""The ways in which a provider fails, as docs/faults.md tells them."""

import enum
from typing import NamedTuple


class Form(enum.Enum):
    """How the answer is asked for."""

    STREAM = "streamed"
    WHOLE = "whole"


class Claude(enum.Enum):
    """What the real Claude Code does when the first of two providers fails so, once."""

    ANSWERS = "answers"
    ASKS_AGAIN = "asks again, answers"
    SHOWS = "shows the error"


class Fate(enum.Enum):
    """What has to become of a failed attempt while another provider could do better."""

    ELSEWHERE = enum.auto()  # the client gets the other provider's answer
    TOLD = enum.auto()  # it is the request: the client gets the error
    PASSED_ON = enum.auto()  # content has gone to the client: nothing is run again


class Kind(NamedTuple):
    """One row of the table, or two."""

    name: str
    fault: str  # as `ccrelay mock --fault` takes it; "": nobody listens
    fate: Fate = Fate.ELSEWHERE
    # Written here and not measured with the rest, since not everybody has the CLI:
    # tests/client/test_claude_failover.py runs every kind with it and compares.
    claude: Claude = Claude.ANSWERS
    forms: tuple[Form, ...] = tuple(Form)  # error events exist in streams only
    is_bare: bool = False  # without limit headers

    @property
    def options(self) -> str:
        """What makes `ccrelay mock` fail like this; "": do not start it."""
        if not self.fault:
            return ""
        return f"--fault {self.fault}" + " --limit-headers off" * self.is_bare


_STREAMED = (Form.STREAM,)
_TOLD, _PASSED_ON = Fate.TOLD, Fate.PASSED_ON
_AGAIN = Claude.ASKS_AGAIN

KINDS = (
    Kind("connection refused", ""),
    Kind("reset before the head", "reset_before_head"),
    Kind("close before the head", "close_before_head"),
    Kind("no head in time", "stall_head"),
    Kind("bytes that are not HTTP", "garbage"),
    Kind("401, key refused", "401"),
    Kind("402, balance spent", "402"),
    Kind("403, key not allowed", "403"),
    Kind("404, model unknown", "404"),
    Kind("408", "408"),
    Kind("409", "409"),
    Kind("429 with `retry-after`", "429,retry_after=30"),
    Kind("429 that says nothing", "429", is_bare=True),
    Kind("500", "500"),
    Kind("502, an HTML page", "502"),
    Kind("529", "529"),
    Kind("`error` event first", "error_first", forms=_STREAMED),
    Kind("`error` event before content", "error_mid,after=1", forms=_STREAMED),
    Kind("reset before content", "reset_mid_stream,after=1", forms=_STREAMED),
    Kind("silence before content", "stall_mid_stream,after=1", forms=_STREAMED),
    Kind("400", "400", _TOLD, _AGAIN),
    Kind("413", "413", _TOLD, Claude.SHOWS),
    Kind("`error` event in the content", "error_mid", _PASSED_ON, _AGAIN, _STREAMED),
    Kind("cut in the content", "cut_mid_event", _PASSED_ON, _AGAIN),
    Kind("reset in the content", "reset_mid_stream", _PASSED_ON, _AGAIN),
    Kind("silence in the content", "stall_mid_stream", _PASSED_ON, _AGAIN),
)
CASES = tuple((kind, form) for kind in KINDS for form in kind.forms)
