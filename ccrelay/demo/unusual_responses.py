"""Unusual but valid responses, which clients and relays must accept. See `ccrelay.demo.faults`."""

import zlib
from collections.abc import Iterator

import msgspec

from ccrelay.demo import content, http1
from ccrelay.demo.plan import (
    Close,
    Document,
    Plan,
    Positive,
    ReadBody,
    RequestContext,
    Seconds,
    Size,
    Stream,
    Wait,
    chunked_head,
    content_type,
    document_head,
    end_body,
    frame,
    respond,
    send,
    send_stream,
    split_reply,
)


def ok(context: RequestContext) -> Plan:
    """No fault."""
    yield from respond(context)


def slow_head(context: RequestContext, *, seconds: Seconds = 2.0) -> Plan:
    """Wait before the response head."""
    yield Wait(seconds)
    yield from respond(context)


def slow_reader(context: RequestContext, *, bytes_per_s: Positive = 100_000.0) -> Plan:
    """Read the request body slowly."""
    yield ReadBody(bytes_per_s)
    yield from respond(context)


def informational(context: RequestContext) -> Plan:
    """Send 103 Early Hints and 100 Continue before the response."""
    yield http1.response_head(103, [("link", "</demo>; rel=preload")])
    yield http1.CONTINUE
    yield from respond(context)


def big_head(context: RequestContext, *, size: Size = 1 << 20) -> Plan:
    """Send a response header of `size` bytes."""
    reply = context.reply()
    padding = ("x-demo-padding", "x" * size)
    yield chunked_head(context, reply, padding)
    for part in split_reply(reply):
        yield frame(context, part)
    yield from end_body(context)


def huge_event(context: RequestContext, *, size: Size = 20_000_000) -> Plan:
    """Send one delta of `size` bytes."""
    reply = context.reply()
    if context.is_messages and (isinstance(reply, Stream) or reply.status == 200):
        message = content.compose(context.request(), context.serial)
        blocks = (content.Text(("x" * size,)),)
        message = msgspec.structs.replace(message, blocks=blocks, stop_reason="end_turn")
        reply = context.reply_with(message)
    yield from send(context, reply)


def split(context: RequestContext) -> Plan:
    """Send every byte of the body in its own chunk."""
    reply = context.reply()
    yield chunked_head(context, reply)
    for part in split_reply(reply):
        if isinstance(part, Wait):
            yield part
            continue
        for value in part:
            yield frame(context, bytes((value,)))
            yield Wait(0)  # let the loop write, so that each byte is sent on its own
    yield from end_body(context)


def crlf(context: RequestContext) -> Plan:
    """Use CR LF as line end of events."""
    shaped = split_reply(context.reply(), lambda event: event.encode().replace(b"\n", b"\r\n"))
    yield from send_stream(context, shaped)


def comments(context: RequestContext) -> Plan:
    """Send a comment line before every event."""
    shaped = split_reply(context.reply(), lambda event: b": still here\n\n" + event.encode())
    yield from send_stream(context, shaped)


def nameless(context: RequestContext) -> Plan:
    """Omit the `event:` lines."""
    shaped = split_reply(context.reply(), lambda event: b"data: " + event.data + b"\n\n")
    yield from send_stream(context, shaped)


def pings_only(context: RequestContext, *, seconds: Seconds = 30.0, every: Positive = 1.0) -> Plan:
    """Send only pings, one each `every` seconds, for `seconds`; then the response."""

    def parts() -> Iterator[bytes | Wait]:
        for _ in range(int(seconds / every)):
            yield context.render(content.PING)
            yield Wait(every)
        yield from split_reply(context.reply())

    yield from send_stream(context, parts())


def gzip(context: RequestContext) -> Plan:
    """Send the body with gzip, flushed after every event, regardless of accept-encoding."""
    reply = context.reply()
    encoder = zlib.compressobj(wbits=31)
    yield chunked_head(context, reply, ("content-encoding", "gzip"))
    for part in split_reply(reply):
        if isinstance(part, bytes):
            part = encoder.compress(part) + encoder.flush(zlib.Z_SYNC_FLUSH)
        yield frame(context, part)
    yield frame(context, encoder.flush())
    yield from end_body(context)


def sized(context: RequestContext) -> Plan:
    """Send the stream at once, with a Content-Length."""
    reply = context.reply()
    body = b"".join(part for part in split_reply(reply) if isinstance(part, bytes))
    yield document_head(context, Document(200, body, content_type(reply)))
    yield body


def close_delimited(context: RequestContext) -> Plan:
    """Send a body without framing, as in HTTP/1.0: the close ends it."""
    reply = context.reply()
    status = reply.status if isinstance(reply, Document) else 200
    head = context.response_head(status, content_type(reply), close=True)
    yield head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    yield from split_reply(reply)
    yield Close.FIN
