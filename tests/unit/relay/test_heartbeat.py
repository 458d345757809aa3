"""Early heads and pings for clients that wait."""

import pytest

from ccrelay.config.model import Routing
from ccrelay.relay.heartbeat import Beat, Due, next_beat
from ccrelay.wire.errors import PING
from tests.unit.relay.fakes import (
    BODY,
    CONTENT,
    START,
    STREAM_HEAD,
    FakeDown,
    FakeReactor,
    FakeRelay,
)
from tests.unit.relay.scenario import sending, wait


def test_an_early_head_is_followed_by_pings(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    sending(relay, down)
    wait(relay, down, 39.0)
    assert down.heads == []
    wait(relay, down, 1.0)
    assert down.heads[0].startswith(b"HTTP/1.1 200 ")
    assert down.got.count(PING) == 1
    wait(relay, down, 30.0)
    assert down.got.count(PING) == 4


@pytest.mark.parametrize("body", [BODY.replace(b"true", b"false"), b'{"model":"m"}'])
def test_a_request_without_stream_gets_no_early_head(relay: FakeRelay, body: bytes) -> None:
    down = FakeDown(relay.reactor, body=body)
    sending(relay, down)
    wait(relay, down, 100.0)
    assert down.heads == []


def test_an_http_1_0_client_gets_no_early_head(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, minor=0)
    sending(relay, down)
    wait(relay, down, 100.0)
    assert down.heads == []


def test_a_held_head_is_flushed_with_a_ping_and_held_events_stay(
    relay: FakeRelay,
) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START)
    wait(relay, down, 10.0)
    assert down.heads == [b"upstream 200"]
    assert (PING in down.got, START in down.got) == (True, False)
    upstream.feed(CONTENT)
    assert down.got.endswith(START + CONTENT)


def test_a_stream_with_content_length_gets_no_ping(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(STREAM_HEAD.replace(b"transfer-encoding: chunked", b"content-length: 999"))
    upstream.feed(START)
    wait(relay, down, 100.0)
    assert (down.heads, down.got) == ([], b"")


@pytest.mark.parametrize("tail", ["half an event", "half a chunk", "queued bytes"])
def test_no_ping_inside_an_event_a_chunk_or_behind_queued_bytes(
    relay: FakeRelay, tail: str
) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT)
    if tail == "half an event":
        upstream.feed(b"event: con")
    elif tail == "half a chunk":
        upstream.between = False
    else:
        down.queued = 1
    wait(relay, down, 30.0)
    assert PING not in down.got


def test_an_active_stream_gets_no_ping(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(STREAM_HEAD)
    for _ in range(10):
        upstream.feed(CONTENT)
        wait(relay, down, 9.0)
    assert PING not in down.got


# ---- the decision


def waiting(reactor: FakeReactor, started: bool = False) -> FakeDown:
    down = FakeDown(reactor)
    down.started = started
    return down


def test_before_early_head_s_the_next_look_is_the_nearer_of_both_times() -> None:
    reactor, routing = FakeReactor(), Routing(ping_s=10.0, early_head_s=25.0)
    down = waiting(reactor)
    assert next_beat(down, None, reactor.now + 3.0, routing, False, False) == Due(
        Beat.NOTHING, 10.0
    )
    assert next_beat(down, None, reactor.now + 22.0, routing, False, False) == Due(
        Beat.NOTHING, 3.0
    )
    assert next_beat(down, None, reactor.now + 25.0, routing, False, False) == Due(
        Beat.EARLY_HEAD, 10.0
    )


@pytest.mark.parametrize(("early_head_s", "due_s"), [(45.0, 10.0), (4.0, 4.0)])
def test_in_the_queue_the_head_is_due_after_ping_s(early_head_s: float, due_s: float) -> None:
    reactor, routing = FakeReactor(), Routing(ping_s=10.0, early_head_s=early_head_s)
    down = waiting(reactor)
    now = reactor.now
    assert next_beat(down, None, now + due_s - 1.0, routing, False, True) == Due(Beat.NOTHING, 1.0)
    assert next_beat(down, None, now + due_s, routing, False, True) == Due(Beat.EARLY_HEAD, 10.0)
    assert next_beat(down, None, now + 30.0, routing, False, True).beat is Beat.EARLY_HEAD


def test_a_ping_is_due_ping_s_after_the_last_byte() -> None:
    reactor, routing = FakeReactor(), Routing(ping_s=10.0)
    down = waiting(reactor, started=True)
    assert next_beat(down, None, reactor.now + 4.0, routing, True, False) == Due(Beat.NOTHING, 6.0)
    assert next_beat(down, None, reactor.now + 10.0, routing, True, False) == Due(Beat.PING, 10.0)
    assert next_beat(down, None, reactor.now + 9.95, routing, True, False).beat is Beat.PING, (
        "a bit early"
    )


def test_without_an_upstream_only_an_early_head_can_be_followed_by_a_ping() -> None:
    reactor, routing = FakeReactor(), Routing(ping_s=10.0)
    down = waiting(reactor, started=True)
    assert next_beat(down, None, reactor.now + 10.0, routing, False, False).beat is Beat.NOTHING
    down.queued = 1
    assert next_beat(down, None, reactor.now + 10.0, routing, True, False).beat is Beat.NOTHING


def test_a_held_head_is_due_at_every_look(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(STREAM_HEAD)
    routing = relay.config.routing
    due = next_beat(down, upstream, relay.reactor.now + 1.0, routing, False, False)
    assert due == Due(Beat.FLUSH_HEAD, routing.ping_s)
