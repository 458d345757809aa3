"""Odd but legal behaviour: clients and relays must cope. See `ccrelay.demo.faults`."""

import zlib
from collections.abc import Iterator

import msgspec

from ccrelay.demo import content, wire
from ccrelay.demo.plan import (
    Cut,
    Document,
    Plan,
    Positive,
    ReadBody,
    Scene,
    Seconds,
    Size,
    Stream,
    Wait,
    answer,
    begin,
    content_type,
    document_head,
    end,
    framed,
    pieces,
    send,
    send_events,
)


def ok(scene: Scene) -> Plan:
    """No fault: answer normally."""
    yield from answer(scene)


def slow_head(scene: Scene, *, seconds: Seconds = 2.0) -> Plan:
    """Stay silent for so long, then answer normally."""
    yield Wait(seconds)
    yield from answer(scene)


def slow_reader(scene: Scene, *, bytes_per_s: Positive = 100_000.0) -> Plan:
    """Read the request body slowly, then answer normally."""
    yield ReadBody(bytes_per_s)
    yield from answer(scene)


def informational(scene: Scene) -> Plan:
    """Send 103 Early Hints and 100 Continue before a normal answer."""
    yield wire.response_head(103, [("link", "</demo>; rel=preload")])
    yield wire.CONTINUE
    yield from answer(scene)


def big_head(scene: Scene, *, size: Size = 1 << 20) -> Plan:
    """Answer normally, with a response header of `size` bytes."""
    reply = scene.reply()
    padding = ("x-demo-padding", "x" * size)
    yield begin(scene, reply, padding)
    for part in pieces(reply):
        yield framed(scene, part)
    yield from end(scene)


def huge_event(scene: Scene, *, size: Size = 20_000_000) -> Plan:
    """Answer with one delta of `size` bytes."""
    reply = scene.reply()
    if scene.is_messages and (isinstance(reply, Stream) or reply.status == 200):
        message = content.compose(scene.ask(), scene.serial)
        blocks = (content.Text(("x" * size,)),)
        message = msgspec.structs.replace(message, blocks=blocks, stop_reason="end_turn")
        reply = scene.answer_with(message)
    yield from send(scene, reply)


def split(scene: Scene) -> Plan:
    """Send every byte of the body by itself, in its own chunk."""
    reply = scene.reply()
    yield begin(scene, reply)
    for part in pieces(reply):
        if isinstance(part, Wait):
            yield part
            continue
        for value in part:
            yield framed(scene, bytes((value,)))
            yield Wait(0)  # lets the loop write what it holds, so that bytes do not travel together
    yield from end(scene)


def crlf(scene: Scene) -> Plan:
    """End the lines of events with CR LF."""
    shaped = pieces(scene.reply(), lambda event: event.encode().replace(b"\n", b"\r\n"))
    yield from send_events(scene, shaped)


def comments(scene: Scene) -> Plan:
    """Put a comment line before every event."""
    shaped = pieces(scene.reply(), lambda event: b": still here\n\n" + event.encode())
    yield from send_events(scene, shaped)


def nameless(scene: Scene) -> Plan:
    """Leave out the `event:` lines."""
    shaped = pieces(scene.reply(), lambda event: b"data: " + event.data + b"\n\n")
    yield from send_events(scene, shaped)


def pings_only(scene: Scene, *, seconds: Seconds = 30.0, every: Positive = 1.0) -> Plan:
    """Send nothing but pings for so long, one each `every` seconds, then the whole answer."""

    def parts() -> Iterator[bytes | Wait]:
        for _ in range(int(seconds / every)):
            yield content.PING.encode()
            yield Wait(every)
        yield from pieces(scene.reply())

    yield from send_events(scene, parts())


def gzip(scene: Scene) -> Plan:
    """Send the body gzip encoded, flushed after every event, whatever accept-encoding says."""
    reply = scene.reply()
    encoder = zlib.compressobj(wbits=31)
    yield begin(scene, reply, ("content-encoding", "gzip"))
    for part in pieces(reply):
        if isinstance(part, bytes):
            part = encoder.compress(part) + encoder.flush(zlib.Z_SYNC_FLUSH)
        yield framed(scene, part)
    yield framed(scene, encoder.flush())
    yield from end(scene)


def sized(scene: Scene) -> Plan:
    """Send the whole stream at once, with a Content-Length."""
    reply = scene.reply()
    body = b"".join(part for part in pieces(reply) if isinstance(part, bytes))
    yield document_head(scene, Document(200, body, content_type(reply)))
    yield body


def close_delimited(scene: Scene) -> Plan:
    """Send no framing at all, in the manner of HTTP/1.0: the close ends the body."""
    reply = scene.reply()
    status = reply.status if isinstance(reply, Document) else 200
    head = scene.response_head(status, content_type(reply), close=True)
    yield head.replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    yield from pieces(reply)
    yield Cut.FIN
