"""Reads the token usage of an exchange from the provider's report.

Rules (providers reference, sections 2.5 and 2.6): input, cache counts and the 5 m / 1 h split come
from `message_start`; counts in `message_delta` are cumulative and replace the earlier ones;
thinking is part of the output. Only `compaction` iterations are added, because the totals exclude
them.

An invalid report gives a zero `Usage`: it must not fail an otherwise good exchange.
"""

from typing import Annotated

import msgspec

from ccrelay._fast.usage import Usage
from ccrelay.wire.bodies import UNREADABLE, is_dense

# Far above any real count, and within a database integer: larger values are invalid.
TOKENS_MAX = 1 << 48

_Count = Annotated[int, msgspec.Meta(ge=0, le=TOKENS_MAX)]
# Services in JavaScript or Lua write `12.0` or `1.2e3`.
_Float = Annotated[float, msgspec.Meta(ge=0, le=TOKENS_MAX)]
Tokens = _Count | _Float | None


class _Split(msgspec.Struct, gc=False):
    ephemeral_5m_input_tokens: Tokens = None
    ephemeral_1h_input_tokens: Tokens = None


class _Details(msgspec.Struct, gc=False):
    thinking_tokens: Tokens = None


class _Searches(msgspec.Struct, gc=False):
    web_search_requests: Tokens = None


class _Iteration(msgspec.Struct, gc=False):
    type: str = ""
    input_tokens: Tokens = None
    output_tokens: Tokens = None
    cache_read_input_tokens: Tokens = None
    cache_creation_input_tokens: Tokens = None
    cache_creation: _Split | None = None


class _Report(msgspec.Struct, gc=False):
    input_tokens: Tokens = None
    output_tokens: Tokens = None
    cache_read_input_tokens: Tokens = None
    cache_creation_input_tokens: Tokens = None
    cache_creation: _Split | None = None
    output_tokens_details: _Details | None = None
    iterations: list[_Iteration] | None = None
    # Read leniently: they are about the price, and must not cost the counts.
    server_tool_use: msgspec.Raw = msgspec.Raw()
    speed: msgspec.Raw = msgspec.Raw()
    inference_geo: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct, gc=False):
    usage: _Report | None = None


class _Start(msgspec.Struct, gc=False):
    message: _Message | None = None


class _Stop(msgspec.Struct, gc=False):
    stop_reason: str | None = None


class _Delta(msgspec.Struct, gc=False):
    usage: _Report | None = None


class _DeltaStop(msgspec.Struct, gc=False):
    delta: _Stop | None = None


_START = msgspec.json.Decoder(_Start)
_DELTA = msgspec.json.Decoder(_Delta)
_STOP = msgspec.json.Decoder(_DeltaStop)
_REPORT = msgspec.json.Decoder(_Report)
_SEARCHES = msgspec.json.Decoder(_Searches)
_NULL = b"null"
_FAST = b'"fast"'
_US = b'"us"'


def usage_from_stream(start: bytes | None, delta: bytes | None) -> Usage:
    """Usage from the data of `message_start` and the last `message_delta`; either may be None."""
    first: _Report | None = None
    last: _Report | None = None
    if any(data is not None and is_dense(data) for data in (start, delta)):
        return Usage()
    try:
        if start is not None and (message := _START.decode(start).message) is not None:
            first = message.usage
        if delta is not None:
            last = _DELTA.decode(delta).usage
    except UNREADABLE:
        return Usage()
    if first is None:
        return _usage(last) if last is not None else Usage()
    if last is not None:
        _overwrite(first, last)
    return _usage(first)


def usage_from_json(raw_usage: bytes | None) -> Usage:
    """Usage from the raw `usage` member of a non-streamed response."""
    if raw_usage is None or is_dense(raw_usage):
        return Usage()
    try:
        return _usage(_REPORT.decode(raw_usage))
    except UNREADABLE:
        return Usage()


def stop_reason(delta: bytes | None) -> str | None:
    """The `stop_reason` of a `message_delta`; None: absent."""
    if delta is None:
        return None
    try:
        stop = _STOP.decode(delta).delta
    except UNREADABLE:
        return None
    return stop.stop_reason if stop is not None else None


def _overwrite(first: _Report, last: _Report) -> None:
    # Unrolled: runs once per exchange, and a loop over names costs three times as much.
    if last.input_tokens is not None:
        first.input_tokens = last.input_tokens
    if last.output_tokens is not None:
        first.output_tokens = last.output_tokens
    if last.cache_read_input_tokens is not None:
        first.cache_read_input_tokens = last.cache_read_input_tokens
    if last.cache_creation_input_tokens is not None:
        first.cache_creation_input_tokens = last.cache_creation_input_tokens
    if last.cache_creation is not None:
        first.cache_creation = last.cache_creation
    if last.output_tokens_details is not None:
        first.output_tokens_details = last.output_tokens_details
    if last.iterations is not None:
        first.iterations = last.iterations
    _overwrite_price(first, last)


def _overwrite_price(first: _Report, last: _Report) -> None:
    if bytes(last.server_tool_use) not in (b"", _NULL):
        first.server_tool_use = last.server_tool_use
    if last.speed:
        first.speed = last.speed
    if last.inference_geo:
        first.inference_geo = last.inference_geo


def _usage(report: _Report) -> Usage:
    details = report.output_tokens_details
    write_5m, write_1h = _writes(report)
    usage = Usage(
        _count(report.input_tokens),
        _count(report.output_tokens),
        _count(report.cache_read_input_tokens),
        write_5m,
        write_1h,
        _count(details.thinking_tokens) if details is not None else 0,
        _searches(bytes(report.server_tool_use)),
        bytes(report.speed) == _FAST,
        bytes(report.inference_geo) == _US,
    )
    return usage if report.iterations is None else _with_compaction(usage, report.iterations)


def _searches(tool_use: bytes) -> int:
    if tool_use in (b"", _NULL):
        return 0
    try:
        return _count(_SEARCHES.decode(tool_use).web_search_requests)
    except UNREADABLE:
        return 0


def _writes(report: _Report | _Iteration) -> tuple[int, int]:
    # The total wins, since it may be newer than the split. Tokens not listed as 1 h count as 5 m,
    # the default.
    split = report.cache_creation
    total = _count(report.cache_creation_input_tokens)
    if split is None:
        return total, 0
    hour = _count(split.ephemeral_1h_input_tokens)
    if report.cache_creation_input_tokens is None:
        return _count(split.ephemeral_5m_input_tokens), hour
    hour = min(hour, total)
    return total - hour, hour


def _count(tokens: Tokens) -> int:
    # A fraction of a token means nothing: the closest whole number is meant.
    return 0 if tokens is None else round(tokens)


def _with_compaction(usage: Usage, iterations: list[_Iteration]) -> Usage:
    for extra in iterations:
        if extra.type != "compaction":
            continue
        write_5m, write_1h = _writes(extra)
        usage = Usage(
            usage.input + _count(extra.input_tokens),
            usage.output + _count(extra.output_tokens),
            usage.cache_read + _count(extra.cache_read_input_tokens),
            usage.cache_write_5m + write_5m,
            usage.cache_write_1h + write_1h,
            usage.thinking,
            usage.searches,
            usage.fast,
            usage.in_us,
        )
    return usage
