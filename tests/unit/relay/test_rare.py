"""Company for waiting clients, losses, and bodies of the relay's own."""

import gzip

import pytest

from ccrelay._fast.upstream import Loss
from ccrelay.config.model import Config, Routing
from ccrelay.errors import NoTarget, UpstreamFailed
from ccrelay.relay import rare
from ccrelay.relay.exchange import Exchange
from ccrelay.types import Ending
from ccrelay.wire.errors import PING
from tests.unit.relay.fakes import (
    BODY,
    CONTENT,
    OVERLOADED,
    START,
    STREAM_HEAD,
    FakeDown,
    FakeRelay,
    FakeUpstream,
    json_head,
    provider,
)

ROUTING = Routing(ping_s=10.0, early_head_s=40.0)


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay(config=Config(routing=ROUTING))


def begin(relay: FakeRelay, down: FakeDown) -> tuple[Exchange, FakeUpstream]:
    exchange = relay.open(down)
    exchange.guard(exchange.find_route)
    return exchange, relay.pools["one"].connect()


def wait(relay: FakeRelay, down: FakeDown, seconds: float) -> None:
    """Time passes, and the exchange is woken whenever it asked to be."""
    ends_at = relay.reactor.now + seconds
    down.wake_at = down.wake_at or relay.reactor.now + min(ROUTING.ping_s, ROUTING.early_head_s)
    while down.wake_at <= ends_at:
        relay.reactor.now = down.wake_at
        down.exchange.on_wait()
        assert down.wake_at > relay.reactor.now
    relay.reactor.now = ends_at


# ---- company


def test_a_client_without_head_gets_one_in_time_and_pings_after_it(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    begin(relay, down)
    wait(relay, down, 39.0)
    assert down.heads == []
    wait(relay, down, 1.0)
    assert down.heads[0].startswith(b"HTTP/1.1 200 ")
    assert down.got.count(PING) == 1
    wait(relay, down, 30.0)
    assert down.got.count(PING) == 4


@pytest.mark.parametrize("body", [BODY.replace(b"true", b"false"), b'{"model":"m"}'])
def test_a_client_that_asked_for_no_stream_gets_no_early_head(
    relay: FakeRelay, body: bytes
) -> None:
    down = FakeDown(relay.reactor, body=body)
    begin(relay, down)
    wait(relay, down, 100.0)
    assert down.heads == []


def test_an_http_1_0_client_gets_no_chunks(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, minor=0)
    begin(relay, down)
    wait(relay, down, 100.0)
    assert down.heads == []


def test_a_held_head_goes_out_with_the_first_ping_and_what_is_held_stays(
    relay: FakeRelay,
) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START)
    wait(relay, down, 10.0)
    assert down.heads == [b"upstream 200"]
    assert (PING in down.got, START in down.got) == (True, False)
    upstream.feed(CONTENT)
    assert down.got.endswith(START + CONTENT)


def test_a_stream_of_a_known_length_gets_nothing_added(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    upstream.respond(STREAM_HEAD.replace(b"transfer-encoding: chunked", b"content-length: 999"))
    upstream.feed(START)
    wait(relay, down, 100.0)
    assert (down.heads, down.got) == ([], b"")


@pytest.mark.parametrize("tail", ["half an event", "half a chunk", "queued bytes"])
def test_no_ping_goes_where_it_would_break_something(relay: FakeRelay, tail: str) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
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


def test_a_stream_that_speaks_is_not_pinged(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    upstream.respond(STREAM_HEAD)
    for _ in range(10):
        upstream.feed(CONTENT)
        wait(relay, down, 9.0)
    assert PING not in down.got


def test_a_client_that_takes_nothing_is_cut_off(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    exchange, upstream = begin(relay, down)
    down.stalled_for = relay.config.server.timeouts.write_stall_s + 1.0
    exchange.on_wait()
    assert down.ended == "abort"
    assert upstream.is_closed
    assert relay.log.records[0]["ending"] == "timed_out"
    assert relay.log.records[0]["error"] == "client_stalled"


# ---- after an early head


def test_a_stream_follows_an_early_head_without_a_second_one(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    wait(relay, down, 40.0)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT)
    upstream.finish()
    assert len(down.heads) == 1
    assert down.got.endswith(START + CONTENT)
    assert relay.log.records[0]["ending"] == "complete"


def test_an_error_behind_an_early_head_is_an_event_with_its_wording(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    wait(relay, down, 40.0)
    upstream.respond(json_head(529))
    upstream.feed(b'{"type":"error","error":{"type":"overloaded_error","message":"so busy"}}')
    upstream.finish()
    assert b"event: error\n" in down.got
    assert b'"message":"so busy"' in down.got
    assert down.got.endswith(b"0\r\n\r\n")
    assert relay.log.records[0]["status"] == 529


def test_a_loss_behind_an_early_head_is_an_event(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    wait(relay, down, 40.0)
    upstream.lose(Loss.CLOSED)
    assert b"closed the connection" in down.got
    assert (down.ended, down.got[-5:]) == ("complete", b"0\r\n\r\n")


def test_a_loss_behind_a_head_that_went_out_with_a_ping_is_an_event(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START)
    wait(relay, down, 10.0)
    upstream.lose(Loss.IDLE)
    assert b"event: error\n" in down.got
    assert (down.ended, down.got[-5:]) == ("complete", b"0\r\n\r\n")
    assert relay.log.records[0]["ending"] == "timed_out"


# ---- losses


@pytest.mark.parametrize("loss", list(Loss))
def test_every_loss_before_the_answer_is_a_502_or_504_that_names_the_provider(
    relay: FakeRelay, loss: Loss
) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    upstream.lose(loss)
    late = loss in (Loss.NO_FIRST_BYTE, Loss.IDLE, Loss.TOTAL)
    assert down.heads[0].startswith(b"HTTP/1.1 504 " if late else b"HTTP/1.1 502 ")
    assert b"Provider one " in down.got


def test_a_cut_is_passed_on_as_a_cut_and_silence_is_told(relay: FakeRelay) -> None:
    endings = []
    for loss in (Loss.CLOSED, Loss.RESET, Loss.IDLE, Loss.TOTAL):
        down = FakeDown(relay.reactor)
        _, upstream = begin(relay, down)
        upstream.respond(STREAM_HEAD)
        upstream.feed(START + CONTENT)
        upstream.lose(loss)
        endings.append((down.ended, b"event: error" in down.got))
    assert endings == [("cut", False), ("cut", False), ("complete", True), ("complete", True)]
    assert [line["ending"] for line in relay.log.records] == [
        "upstream_cut",
        "upstream_cut",
        "timed_out",
        "timed_out",
    ]
    assert [line["error"] for line in relay.log.records] == [
        "upstream_closed",
        "upstream_reset",
        "upstream_idle",
        "upstream_total",
    ]


def test_the_ending_says_whose_limit_or_fault_it_was() -> None:
    assert rare.ending_of(UpstreamFailed("m", status=504)) is Ending.TIMED_OUT
    assert rare.ending_of(UpstreamFailed("m")) is Ending.UPSTREAM_CUT
    assert rare.ending_of(NoTarget("m")) is Ending.ABORTED
    assert rare.is_cut(UpstreamFailed("m"))
    assert not rare.is_cut(UpstreamFailed("m", status=504))
    assert not rare.is_cut(NoTarget("m"))


def test_an_error_event_before_any_content_is_passed_on_and_recorded(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + OVERLOADED)
    upstream.finish()
    assert down.got == START + OVERLOADED
    assert relay.log.records[0]["error"] == "error_event"


@pytest.mark.parametrize(
    ("tail", "ended"), [(b"", "complete"), (b"event: con", "cut")], ids=["between", "inside"]
)
def test_an_unfinished_stream_is_told_between_events_and_cut_inside_one(
    tail: bytes, ended: str
) -> None:
    relay = FakeRelay(provider(kind="ollama"))
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT + tail)
    upstream.finish()
    assert (down.ended, b"event: error" in down.got) == (ended, not tail)
    assert relay.log.records[0]["error"] == "unfinished"
    assert len(relay.log.records) == 1


# ---- bodies


def test_a_translated_error_keeps_what_still_holds() -> None:
    relay = FakeRelay(provider(kind="zai"))
    down = FakeDown(relay.reactor)
    _, upstream = begin(relay, down)
    upstream.respond(
        b"HTTP/1.1 429 X\r\nrequest-id: up_1\r\nretry-after: 7\r\nx-other: no\r\n"
        b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    upstream.feed(b'{"error":{"code":"1302","message":"too fast"}}')
    upstream.finish()
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    assert b"request-id: up_1" in down.heads[0]
    assert b"retry-after: 7" in down.heads[0]
    assert b"x-other" not in down.heads[0]
    assert b'"rate_limit_error"' in down.got
    assert relay.log.records[0]["ending"] == "complete"


def test_a_gzip_body_is_sent_plain_with_its_model_replaced() -> None:
    relay = FakeRelay(provider(model_mapping={"m": "other"}))
    down = FakeDown(relay.reactor, body=gzip.compress(BODY))
    exchange = relay.open(down)
    exchange.guard(lambda: rare.unpack(exchange))
    upstream = relay.pools["one"].connect()
    (_, _, body), target = upstream.sent[0], relay.providers[0].targets[0]
    assert body == BODY.replace(b'"m"', b'"other"')
    assert upstream.sent[0][0] is target.decoded_plan(target.plan)


def test_garbage_for_gzip_is_refused(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, body=b"not gzip")
    exchange = relay.open(down)
    exchange.guard(lambda: rare.unpack(exchange))
    assert down.heads[0].startswith(b"HTTP/1.1 400 ")
    assert len(relay.log.records) == 1


def test_a_body_that_must_be_whole_but_cannot_be_kept_is_refused(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, body=gzip.compress(BODY), arrived=5, windowed=True)
    exchange = relay.open(down)
    exchange.guard(lambda: rare.unpack(exchange))
    assert down.heads[0].startswith(b"HTTP/1.1 529 ")
    assert b"replay_bytes_max" in down.got


def test_a_rewritten_body_waits_for_its_end() -> None:
    relay = FakeRelay(provider(system_role="user"))
    body = b'{"model":"m","stream":true,"messages":[{"role":"system","content":"s"}]}'
    down = FakeDown(relay.reactor, body=body, arrived=20)
    exchange = relay.open(down)
    exchange.guard(exchange.find_route)
    assert relay.pools["one"].dials == []
    down.arrive(len(body))
    sent = relay.pools["one"].connect().sent[0][2]
    assert sent is not None
    assert b'"role":"system"' not in sent
