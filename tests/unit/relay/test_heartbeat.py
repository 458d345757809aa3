"""Early heads and pings for clients that wait."""

import pytest

from ccrelay.wire.errors import PING
from tests.unit.relay.fakes import BODY, CONTENT, START, STREAM_HEAD, FakeDown, FakeRelay
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
