"""Faults that abort or corrupt a response body. See `ccrelay.demo.faults`.

`after` is the number of complete events before the fault; a document fails after its first half.
"""

from collections.abc import Iterator

from ccrelay.demo import content, http1
from ccrelay.demo.plan import (
    FOREVER_S,
    Close,
    Count,
    Document,
    Plan,
    RequestContext,
    Seconds,
    Wait,
    chunked_head,
    content_type,
    document_head,
    end_body,
    first_parts,
    frame,
    send_stream,
    split_reply,
)

AFTER_DEFAULT = 5  # message_start, content_block_start, ping and two deltas: content has started


def reset_mid_stream(context: RequestContext, *, after: Count = AFTER_DEFAULT) -> Plan:
    """Reset the connection after `after` events (a document: half way)."""
    yield from _start_then_stop(context, after)
    yield Close.RST


def cut_mid_event(
    context: RequestContext, *, after: Count = AFTER_DEFAULT, clean: bool = False
) -> Plan:
    """Close in the middle of an event; clean=true ends the HTTP body properly."""
    reply = context.reply()
    yield from _start_then_stop(context, after)
    if isinstance(reply, Document):
        yield Close.FIN
        return
    events = [part for part in first_parts(reply, after + 1) if isinstance(part, bytes)]
    yield frame(context, events[-1][: len(events[-1]) // 2])
    if clean:
        yield from end_body(context)
    else:
        yield Close.FIN


def stall_mid_stream(
    context: RequestContext, *, seconds: Seconds = FOREVER_S, after: Count = AFTER_DEFAULT
) -> Plan:
    """Stall after `after` events (a document: half way), close after `seconds`."""
    yield from _start_then_stop(context, after)
    yield Wait(seconds)
    yield Close.FIN


def bad_chunk(context: RequestContext, *, after: Count = AFTER_DEFAULT) -> Plan:
    """Send an invalid chunk size after `after` events, then close."""
    reply = context.reply()
    yield chunked_head(context, reply)
    for part in first_parts(reply, after):
        yield frame(context, part)
    yield b"not-a-number\r\nlost\r\n"
    yield Close.FIN


def short_body(context: RequestContext) -> Plan:
    """Send a Content-Length but only half of the body, then close."""
    reply = context.reply()
    body = b"".join(part for part in split_reply(reply) if isinstance(part, bytes))
    yield document_head(context, Document(200, body, content_type(reply)))
    yield body[: len(body) // 2]
    yield Close.FIN


def both_framings(context: RequestContext) -> Plan:
    """Send both Content-Length and Transfer-Encoding: ambiguous framing."""
    reply = context.reply()
    body = b"".join(part for part in split_reply(reply) if isinstance(part, bytes))
    chunked = ("transfer-encoding", "chunked")
    yield document_head(context, Document(200, body, content_type(reply)), chunked)
    yield http1.chunk(body) + http1.LAST_CHUNK
    yield Close.FIN


def error_first(
    context: RequestContext, *, type: str = "overloaded_error", message: str = "Overloaded"
) -> Plan:
    """Send an `error` event as the first event of a 200 stream."""
    yield from send_stream(context, [context.render_error(type, message)])


def error_mid(
    context: RequestContext,
    *,
    type: str = "overloaded_error",
    message: str = "Overloaded",
    after: Count = AFTER_DEFAULT,
) -> Plan:
    """Send an `error` event after `after` events (after=1: before any content), then end."""

    def parts() -> Iterator[bytes | Wait]:
        yield from first_parts(context.reply(), after)
        yield context.render_error(type, message)

    yield from send_stream(context, parts())


def no_message_stop(context: RequestContext) -> Plan:
    """End the stream properly, but without `message_stop`."""

    def render(event: content.Event) -> bytes:
        return b"" if event.name == "message_stop" else context.render(event)

    yield from send_stream(context, split_reply(context.reply(), render))


def only_message_start(context: RequestContext) -> Plan:
    """End the stream properly after `message_start`."""
    yield from send_stream(context, first_parts(context.reply(), 1))


def _start_then_stop(context: RequestContext, after: int) -> Plan:
    """Send the head and the first events of a stream, or the head and half of a document."""
    reply = context.reply()
    if isinstance(reply, Document):
        yield document_head(context, reply)
        yield from first_parts(reply, 1)
        return
    yield chunked_head(context, reply)
    for part in first_parts(reply, after):
        yield frame(context, part)
