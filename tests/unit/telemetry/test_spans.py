"""Spans of records: parents, kinds, times."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, StatusCode

from ccrelay.ledger.record import Record, Result
from ccrelay.telemetry.spans import Parent, SpanMaker, parse_traceparent
from tests.unit.telemetry.records import attempt, record

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
START_NS = 1_800_000_000_000_000_000


def spans(made: Record) -> list[ReadableSpan]:
    maker = SpanMaker(Resource({}), InstrumentationScope("ccrelay", "0"), {})
    return maker.spans(made)


@pytest.mark.parametrize(
    ("text", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-more", True),
    ],
)
def test_a_valid_traceparent_is_read(text: str, is_sampled: bool) -> None:
    assert parse_traceparent(text) == Parent(int(TRACE, 16), int(SPAN, 16), is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "junk",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_what_is_no_traceparent_makes_a_new_trace(text: str) -> None:
    assert parse_traceparent(text) is None
    [first, *_] = spans(record(traceparent=text))
    assert first.parent is None
    assert first.context is not None
    assert first.context.is_valid


def test_the_client_is_the_parent() -> None:
    exchange, only = spans(record(traceparent=f"00-{TRACE}-{SPAN}-01"))
    assert exchange.parent is not None
    assert exchange.parent.span_id == int(SPAN, 16)
    assert exchange.parent.is_remote
    assert exchange.context is not None
    assert exchange.context.trace_id == int(TRACE, 16)
    assert only.parent == exchange.context
    assert only.context is not None
    assert only.context.trace_id == int(TRACE, 16)
    assert len({exchange.context.span_id, only.context.span_id, int(SPAN, 16)}) == 3


def test_a_trace_that_is_not_sampled_is_left_alone() -> None:
    assert spans(record(traceparent=f"00-{TRACE}-{SPAN}-00")) == []


def test_kinds_names_and_times() -> None:
    tries = [
        attempt(),
        attempt(started_us=410_000, ended_us=2_000_000, status=200, verdict="answered"),
    ]
    exchange, failed, answered = spans(
        record(attempts=2, tries=tries, result=Result.FAILOVER, sent="claude-opus-5-5")
    )
    assert exchange.name == "POST /v1/messages"
    assert exchange.kind is SpanKind.SERVER
    assert (exchange.start_time, exchange.end_time) == (START_NS, START_NS + 2_000_000_000)
    assert exchange.status.status_code is StatusCode.UNSET
    assert failed.name == "chat claude-opus-5-5"
    assert failed.kind is SpanKind.CLIENT
    assert (failed.start_time, failed.end_time) == (START_NS + 100_000, START_NS + 410_000_000)
    assert failed.status.status_code is StatusCode.ERROR
    assert answered.status.status_code is StatusCode.UNSET
    assert answered.start_time == START_NS + 410_000_000


def test_an_exchange_that_is_lost_is_an_error() -> None:
    exchange, only = spans(record(result=Result.LOST, status=529, error="overloaded"))
    assert exchange.status.status_code is StatusCode.ERROR
    assert only.status.status_code is StatusCode.ERROR


def test_a_refused_request_has_no_attempt() -> None:
    [exchange] = spans(record(result=Result.REFUSED, status=401, attempts=0, provider=""))
    assert exchange.status.status_code is StatusCode.UNSET  # the client's error, not ours


def test_times_that_cannot_be_are_made_to_be() -> None:
    tries = [attempt(started_us=-5, ended_us=-9)]
    exchange, only = spans(record(duration_us=-1, attempts=1, tries=tries))
    assert exchange.end_time == exchange.start_time == START_NS
    assert only.end_time == only.start_time == START_NS


def test_other_requests_have_a_name_too() -> None:
    assert spans(record(kind=3))[0].name == "HTTP"
    assert spans(record(kind=3))[1].name == "request claude-opus-5-5"
