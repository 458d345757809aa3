"""Faults that only clouds have. See `ccrelay.demo.faults`. Without `--dialect` the nearest other.

`after` is the number of complete events before the fault.
"""

from collections.abc import Iterator

from ccrelay.demo import event_stream
from ccrelay.demo.cloud import Surface
from ccrelay.demo.cloud_context import CloudContext
from ccrelay.demo.cloud_errors import AWS_MESSAGES, CloudError, status_of
from ccrelay.demo.plan import (
    Close,
    Count,
    Plan,
    RequestContext,
    Seconds,
    Wait,
    chunked_head,
    end_body,
    first_parts,
    frame,
    respond,
    send,
    send_stream,
    split_reply,
)
from ccrelay.demo.stream_faults import AFTER_DEFAULT
from ccrelay.errors import BadRequest

# Exception of a stream -> the type that Anthropic's `error` event has for it.
_TYPES = {
    "throttlingException": "rate_limit_error",
    "validationException": "invalid_request_error",
    "serviceUnavailableException": "overloaded_error",
    "modelTimeoutException": "timeout_error",
}


def cloud_error(context: RequestContext, *, name: str = "", message: str = "") -> Plan:
    """Send an error of the cloud by its name (`ExpiredTokenException`, `UNAVAILABLE`, `404`)."""
    if isinstance(context, CloudContext):
        name = name or _throttling(context.surface)
        if status_of(name) is None:
            raise BadRequest(f"No cloud has an error {name!r}.")
        yield from send(context, context.refuse(CloudError(message, name=name)))
    else:
        yield from send(context, context.error(429, message or "Too many requests.", []))


def clock_skew(context: RequestContext, *, seconds: float = 600.0) -> Plan:
    """Answer as a cloud whose clock is that much ahead: `date` says so, signatures are too old."""
    if isinstance(context, CloudContext):
        context.skew_s += seconds
    yield from respond(context)


def exception(
    context: RequestContext,
    *,
    name: str = "throttlingException",
    message: str = "",
    original_status: int | None = None,
    after: Count = 0,
) -> Plan:
    """Send an exception after `after` events of a stream, then end it."""
    text = message or AWS_MESSAGES.get(name[:1].upper() + name[1:], name)

    def parts() -> Iterator[bytes | Wait]:
        yield from first_parts(context.reply(), after)
        if context.is_framed:
            more = {} if original_status is None else {"originalStatusCode": original_status}
            yield event_stream.exception(name, text, **more)
        else:
            yield context.render_error(_TYPES.get(name, "api_error"), text)

    yield from send_stream(context, parts())


def error_frame(
    context: RequestContext,
    *,
    code: str = "InternalFailure",
    message: str = "The request processing has failed.",
    after: Count = 0,
) -> Plan:
    """Send an error that is no exception after `after` events, then end the stream."""

    def parts() -> Iterator[bytes | Wait]:
        yield from first_parts(context.reply(), after)
        if context.is_framed:
            yield event_stream.error(code, message)
        else:
            yield context.render_error("api_error", message)

    yield from send_stream(context, parts())


def bad_crc(context: RequestContext, *, after: Count = AFTER_DEFAULT) -> Plan:
    """Send a message whose checksum is wrong after `after` events, then close."""
    reply = context.reply()
    parts = [part for part in first_parts(reply, after + 1) if isinstance(part, bytes)]
    yield chunked_head(context, reply)
    for part in parts[:after]:
        yield frame(context, part)
    last = parts[-1]
    yield frame(context, event_stream.corrupted(last) if context.is_framed else last[:-2])
    yield Close.FIN


def unknown_frames(context: RequestContext) -> Plan:
    """Send a message of an unknown type before every event; clients skip it."""

    def parts() -> Iterator[bytes | Wait]:
        for part in split_reply(context.reply()):
            if isinstance(part, bytes) and context.is_framed:
                yield event_stream.unknown("later")
            yield part

    yield from send_stream(context, parts())


def pause_mid_stream(
    context: RequestContext, *, seconds: Seconds = 20.0, after: Count = AFTER_DEFAULT
) -> Plan:
    """Send nothing for `seconds` after `after` events, then the rest."""
    reply = context.reply()
    sent = 0
    yield chunked_head(context, reply)
    for part in split_reply(reply):
        if isinstance(part, bytes):
            if sent == after:
                yield Wait(seconds)
            sent += 1
        yield frame(context, part)
    yield from end_body(context)


def _throttling(surface: Surface) -> str:
    if surface.is_aws:
        return "ThrottlingException"
    return "RESOURCE_EXHAUSTED" if surface.is_google else "429"
