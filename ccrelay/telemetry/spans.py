"""Records as spans: one of the exchange, one below it of each attempt."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ccrelay.ledger.record import Record, Try
from ccrelay.telemetry import genai
from ccrelay.telemetry.genai import Target

# W3C Trace Context; a later version may have more members.
_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z"
)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_ERROR = Status(StatusCode.ERROR)
_UNSET = Status(StatusCode.UNSET)


class Parent(NamedTuple):
    """The client's span."""

    trace_id: int
    span_id: int
    is_sampled: bool


def parse_traceparent(text: str) -> Parent | None:
    """Return the parent that a `traceparent` names; None where it is absent or not valid."""
    found = _TRACEPARENT.match(text)
    if found is None or (found[1] == "00" and found[5]):
        return None
    return Parent(int(found[2], 16), int(found[3], 16), bool(int(found[4], 16) & 1))


class SpanMaker:
    """Makes the spans of records.

    Args:
        resource: what sends them.
        scope: name and version of the relay.
        known: the providers of the configuration.
    """

    def __init__(
        self, resource: Resource, scope: InstrumentationScope, known: Mapping[str, Target]
    ) -> None:
        self._resource = resource
        self._scope = scope
        self._known = known

    def spans(self, record: Record) -> list[ReadableSpan]:
        """Return the span of the exchange and those of its attempts; none where the client's trace
        is not sampled.
        """
        parent = parse_traceparent(record.traceparent)
        if parent is not None and not parent.is_sampled:
            return []
        own = _context(parent.trace_id if parent else _random(16))
        tries = genai.attempts(record)
        return [
            self._exchange(record, own, parent),
            *(self._attempt(record, t, own, is_last=t is tries[-1]) for t in tries),
        ]

    def _exchange(self, record: Record, own: SpanContext, parent: Parent | None) -> ReadableSpan:
        method, path = genai.http(record)
        return ReadableSpan(
            f"{method} {path}" if method else "HTTP",
            context=own,
            parent=_remote(parent) if parent else None,
            resource=self._resource,
            attributes=genai.exchange_attributes(record),
            kind=SpanKind.SERVER,
            status=_ERROR if genai.is_failed(record) else _UNSET,
            start_time=record.started_at_us * 1000,
            end_time=(record.started_at_us + max(record.duration_us, 0)) * 1000,
            instrumentation_scope=self._scope,
        )

    def _attempt(
        self, record: Record, attempt: Try, above: SpanContext, *, is_last: bool
    ) -> ReadableSpan:
        attributes = genai.attempt_attributes(record, attempt, self._known, is_last=is_last)
        operation = genai.operation(record) or "request"
        start = record.started_at_us + max(attempt.started_us, 0)
        end = max(start, record.started_at_us + attempt.ended_us)
        return ReadableSpan(
            f"{operation} {attributes.get(genai.REQUEST_MODEL, '')}".rstrip(),
            context=_context(above.trace_id),
            parent=above,
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.CLIENT,
            status=_ERROR if genai.ERROR_TYPE in attributes else _UNSET,
            start_time=start * 1000,
            end_time=end * 1000,
            instrumentation_scope=self._scope,
        )


def _context(trace_id: int) -> SpanContext:
    return SpanContext(trace_id, _random(8), is_remote=False, trace_flags=_SAMPLED)


def _remote(parent: Parent) -> SpanContext:
    return SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=_SAMPLED)


def _random(size: int) -> int:
    return int.from_bytes(os.urandom(size), "big") or 1  # 0 means "none"
