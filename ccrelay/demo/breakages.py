"""Faults that break an answer off or spoil it on its way. See `ccrelay.demo.faults`.

`after` counts the events that go out whole; a document breaks half way instead.
"""

from collections.abc import Iterator

from ccrelay.demo import content, wire
from ccrelay.demo.plan import (
    FOREVER_S,
    Count,
    Cut,
    Document,
    Plan,
    Scene,
    Seconds,
    Wait,
    begin,
    content_type,
    document_head,
    end,
    first,
    framed,
    pieces,
    send_events,
)

SOON = 5  # message_start, content_block_start, ping and two deltas: content has begun


def reset_mid_stream(scene: Scene, *, after: Count = SOON) -> Plan:
    """Reset the connection after so many events (a document: half way)."""
    yield from _break(scene, after)
    yield Cut.RST


def cut_mid_event(scene: Scene, *, after: Count = SOON, clean: bool = False) -> Plan:
    """Close in the middle of an event; clean=true ends the HTTP body properly instead."""
    reply = scene.reply()
    yield from _break(scene, after)
    if isinstance(reply, Document):
        yield Cut.FIN
        return
    events = [part for part in first(reply, after + 1) if isinstance(part, bytes)]
    yield framed(scene, events[-1][: len(events[-1]) // 2])
    if clean:
        yield from end(scene)
    else:
        yield Cut.FIN


def stall_mid_stream(scene: Scene, *, seconds: Seconds = FOREVER_S, after: Count = SOON) -> Plan:
    """Fall silent after so many events (a document: half way), close after `seconds`."""
    yield from _break(scene, after)
    yield Wait(seconds)
    yield Cut.FIN


def bad_chunk(scene: Scene, *, after: Count = SOON) -> Plan:
    """Send a chunk size that is no number after so many events, then close."""
    reply = scene.reply()
    yield begin(scene, reply)
    for part in first(reply, after):
        yield framed(scene, part)
    yield b"not-a-number\r\nlost\r\n"
    yield Cut.FIN


def short_body(scene: Scene) -> Plan:
    """Announce a Content-Length, send half of the body, close."""
    reply = scene.reply()
    body = b"".join(part for part in pieces(reply) if isinstance(part, bytes))
    yield document_head(scene, Document(200, body, content_type(reply)))
    yield body[: len(body) // 2]
    yield Cut.FIN


def both_framings(scene: Scene) -> Plan:
    """Send Content-Length and Transfer-Encoding together: ambiguous, must not be trusted."""
    reply = scene.reply()
    body = b"".join(part for part in pieces(reply) if isinstance(part, bytes))
    chunked = ("transfer-encoding", "chunked")
    yield document_head(scene, Document(200, body, content_type(reply)), chunked)
    yield wire.chunk(body) + wire.LAST_CHUNK
    yield Cut.FIN


def error_first(
    scene: Scene, *, type: str = "overloaded_error", message: str = "Overloaded"
) -> Plan:
    """Send an `error` event as the first event of a 200 stream."""
    yield from send_events(scene, [content.error_event(type, message, scene.request_id).encode()])


def error_mid(
    scene: Scene,
    *,
    type: str = "overloaded_error",
    message: str = "Overloaded",
    after: Count = SOON,
) -> Plan:
    """Send an `error` event after so many events (after=1: before any content), then end."""

    def parts() -> Iterator[bytes | Wait]:
        yield from first(scene.reply(), after)
        yield content.error_event(type, message, scene.request_id).encode()

    yield from send_events(scene, parts())


def no_message_stop(scene: Scene) -> Plan:
    """End the stream cleanly without its last event."""
    whole = (part for part in pieces(scene.reply(), _all_but_the_stop) if part != b"")
    yield from send_events(scene, whole)


def only_message_start(scene: Scene) -> Plan:
    """End the stream cleanly after `message_start`."""
    yield from send_events(scene, first(scene.reply(), 1))


def _all_but_the_stop(event: content.Event) -> bytes:
    return b"" if event.name == "message_stop" else event.encode()


def _break(scene: Scene, after: int) -> Plan:
    """Send the head and the first events of a stream, or the head and half of a document."""
    reply = scene.reply()
    if isinstance(reply, Document):
        yield document_head(scene, reply)
        yield from first(reply, 1)
        return
    yield begin(scene, reply)
    for part in first(reply, after):
        yield framed(scene, part)
