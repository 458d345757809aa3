"""Provider faults: the rows of tests/faults/README.md."""

import enum
from typing import NamedTuple


class Form(enum.Enum):
    """Whether the request asks for a stream."""

    STREAM = "streamed"
    WHOLE = "whole"


class Claude(enum.Enum):
    """What the real Claude Code does when the first of two providers has this fault once."""

    ANSWERS = "answers"
    RETRIES = "retries, answers"
    SHOWS = "shows the error"


class Handling(enum.Enum):
    """How the relay must handle the fault while another provider is available."""

    RETRIED = enum.auto()  # the client gets the other provider's answer
    FORWARDED = enum.auto()  # the request is at fault: the client gets the provider's error
    AFTER_CONTENT = enum.auto()  # the client has got content: no retry


class Kind(NamedTuple):
    """One row of the table, or two."""

    name: str
    fault: str  # a value of `ccrelay mock --fault`; "": the port refuses connections
    handling: Handling = Handling.RETRIED
    # Not measured with the rest, because it needs the CLI: tests/client/test_claude_failover.py
    # runs every kind with it and compares.
    claude: Claude = Claude.ANSWERS
    forms: tuple[Form, ...] = tuple(Form)  # error events exist in streams only
    no_limit_headers: bool = False  # without limit headers

    @property
    def options(self) -> str:
        """The options of `ccrelay mock` for this fault; "": do not start it."""
        if not self.fault:
            return ""
        fault = f'"{self.fault}"' if " " in self.fault else self.fault
        return f"--fault {fault}" + " --limit-headers off" * self.no_limit_headers


_STREAMED = (Form.STREAM,)
_FORWARDED, _AFTER_CONTENT = Handling.FORWARDED, Handling.AFTER_CONTENT
_RETRIES = Claude.RETRIES

KINDS = (
    Kind("connection refused", ""),
    Kind("reset before the head", "reset_before_head"),
    Kind("close before the head", "close_before_head"),
    Kind("no head in time", "stall_head"),
    Kind("bytes that are not HTTP", "garbage"),
    Kind("401, key refused", "401"),
    Kind("401, a page", "401,body=html"),
    Kind("401, the check is down", "401,message=Authentication is temporarily unavailable"),
    Kind("402, no balance", "402"),
    Kind("403, key not allowed", "403"),
    Kind("403, quota spent", "403,message=You have reached your weekly usage limit"),
    Kind("403, by country", "403,message=Your country is not supported"),
    Kind("404, model unknown", "404"),
    Kind("408", "408"),
    Kind("409", "409"),
    Kind("429 with `retry-after`", "429,retry_after=30"),
    Kind("429 without `retry-after`", "429", no_limit_headers=True),
    Kind(
        "429, long context",
        "429,message=Extra usage is required for long context requests",
        no_limit_headers=True,
    ),
    Kind("500", "500"),
    Kind("404, an HTML page", "404,body=html"),
    Kind("413, an HTML page", "413,body=html"),
    Kind("a redirect", "307"),
    Kind("200, an HTML page", "html_200"),
    Kind("200, an error as JSON", "json_200,kind=error", forms=_STREAMED),
    Kind("200, nothing", "empty_200"),
    Kind("200, `message_start` alone", "only_message_start", forms=_STREAMED),
    Kind("502, an HTML page", "502"),
    Kind("529", "529"),
    Kind("529, compressed, not asked for", "529,packed=true"),
    Kind("`error` event first", "error_first", forms=_STREAMED),
    Kind("`error` event before content", "error_mid,after=1", forms=_STREAMED),
    Kind("reset before content", "reset_mid_stream,after=1", forms=_STREAMED),
    Kind("silence before content", "stall_mid_stream,after=1", forms=_STREAMED),
    Kind("400", "400", _FORWARDED, _RETRIES),
    Kind("413", "413", _FORWARDED, Claude.SHOWS),
    Kind("`error` event in the content", "error_mid", _AFTER_CONTENT, _RETRIES, _STREAMED),
    Kind("no `message_stop`", "no_message_stop", _AFTER_CONTENT, Claude.ANSWERS, _STREAMED),
    Kind("cut in the content", "cut_mid_event", _AFTER_CONTENT, _RETRIES),
    Kind("reset in the content", "reset_mid_stream", _AFTER_CONTENT, _RETRIES),
    Kind("silence in the content", "stall_mid_stream", _AFTER_CONTENT, _RETRIES),
)
CASES = tuple((kind, form) for kind in KINDS for form in kind.forms)
