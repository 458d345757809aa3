"""How exchanges end: shutdown, clients that leave, errors of the relay's own."""

import gzip

import pytest

from ccrelay._fast.upstream import Loss
from ccrelay.errors import UpstreamFailed
from tests.unit.relay.fakes import (
    CONTENT,
    START,
    STOP,
    STREAM_HEAD,
    FakeDown,
    FakeReactor,
    FakeRelay,
    json_head,
    provider,
)
from tests.unit.relay.scenario import (
    BUSY,
    CONNECT_FAILED,
    begin,
    relay_of,
    reply,
    request,
    sending,
    wait,
)


def test_shutting_down_sends_an_error_event_only_between_events(relay: FakeRelay) -> None:
    endings = []
    for data in (START + CONTENT, START + CONTENT + b"event: con"):
        down = FakeDown(relay.reactor)
        exchange = relay.request(down)
        upstream = relay.pools["one"].connect()
        upstream.respond(STREAM_HEAD)
        upstream.feed(data)
        exchange.shut()
        endings.append((down.ended, b"event: error" in down.got))
    assert endings == [("complete", True), ("cut", False)]


def test_an_exchange_ends_only_once(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    exchange = relay.open(down)
    exchange.fail(CONNECT_FAILED)
    got = down.got
    exchange.fail(UpstreamFailed("another"))
    exchange.shut()
    exchange.on_client_left()
    assert down.got == got
    assert [line["error"] for line in relay.log.records] == [CONNECT_FAILED.message]


def test_a_client_that_leaves_aborts_the_upstream_without_blame(
    relay: FakeRelay,
) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT)
    down.leave()
    assert upstream.is_closed()
    assert relay.log.records[0]["ending"] == "client_left"
    assert relay.providers[0].endpoint.available(relay.reactor.now)


def test_a_stalled_client_is_aborted(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    exchange = down.exchange
    down.stall_s = relay.config.server.timeouts.write_stall_s + 1.0
    exchange.on_wait()
    assert down.ended == "abort"
    assert upstream.is_closed()
    assert relay.log.records[0]["ending"] == "timed_out"
    assert relay.log.records[0]["error"] == "client_stalled"


def test_a_lost_upstream_after_an_early_head_is_an_error_event(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    wait(relay, down, 40.0)
    upstream.lose(Loss.CLOSED)
    assert b"closed the connection" in down.got
    assert (down.ended, down.got[-5:]) == ("complete", b"0\r\n\r\n")


def test_a_lost_upstream_after_a_flushed_head_is_an_error_event(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START)
    wait(relay, down, 10.0)
    upstream.lose(Loss.IDLE)
    assert b"event: error\n" in down.got
    assert (down.ended, down.got[-5:]) == ("complete", b"0\r\n\r\n")
    assert relay.log.records[0]["ending"] == "timed_out"


def test_a_cut_is_forwarded_as_a_cut_and_a_timeout_as_an_error_event(relay: FakeRelay) -> None:
    endings = []
    for loss in (Loss.CLOSED, Loss.RESET, Loss.IDLE, Loss.TOTAL):
        down = FakeDown(relay.reactor)
        upstream = sending(relay, down)
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


def test_an_error_reply_after_an_early_head_is_an_event_and_the_end() -> None:
    relay = relay_of("one", ping_s=1.0, early_head_s=2.0)
    down, exchange = request(relay)
    relay.pools["one"].connect()
    relay.reactor.now += 2.0
    exchange.on_wait()
    reply(relay, exchange, json_head(529), BUSY)
    assert b"event: error\ndata: " in down.got
    assert b"busy" in down.got
    assert (down.ended, down.got[-5:]) == ("complete", b"0\r\n\r\n")
    assert relay.log.records[0]["status"] == 529


def test_a_connect_failure_is_reported_in_the_relays_words() -> None:
    relay = relay_of("one")
    down, _ = request(relay)
    relay.pools["one"].refuse(UpstreamFailed("Provider one cannot be reached."))
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")
    assert b"Provider one cannot be reached." in down.got


def test_debug_headers_name_provider_attempts_and_strategy() -> None:
    relay = relay_of("one", "two", debug=True)
    down, exchange = request(relay)
    reply(relay, exchange, json_head(529), BUSY)
    reply(relay, exchange, json_head(529), BUSY)
    assert b"x-ccrelay-provider: two\r\n" in down.got
    assert b"x-ccrelay-attempts: 2\r\n" in down.got
    assert b"x-ccrelay-strategy: failover\r\n" in down.got
    assert b"test-key" not in down.got


# ---- own time


class RunningReactor(FakeReactor):
    """Each look at the clock finds it a little later; `now` is when the worker woke."""

    step_s = 0.0

    def clock(self) -> float:
        self.now += self.step_s
        return self.now


def running(step_s: float) -> FakeRelay:
    relay = FakeRelay(provider("one"))
    relay.reactor.__class__ = RunningReactor
    relay.reactor.step_s = step_s  # type: ignore[attr-defined]
    return relay


def test_own_time_is_the_sum_of_what_was_done_between_waits() -> None:
    relay = running(0.001)
    _, exchange, upstream = begin(relay)
    sent = exchange.outcome.own_s
    assert sent == pytest.approx(0.002, abs=0.0015)  # found a target, dialled; sent
    relay.pass_time(5.0)
    upstream.respond(STREAM_HEAD)
    relay.pass_time(5.0)
    upstream.feed(CONTENT)
    relay.pass_time(5.0)
    upstream.feed(STOP)
    upstream.finish()
    own_s = exchange.outcome.own_s
    assert sent < own_s < 0.02
    assert relay.written()[-1].own_us == pytest.approx(own_s * 1e6, abs=1)


def test_the_time_of_a_thread_is_own_time_and_that_of_a_queue_is_not() -> None:
    relay = running(0.0)
    body = b'{"model":"m","stream":true,"messages":["%b"]}' % (b"x" * 300_000)
    exchange = relay.request(FakeDown(relay.reactor, body=gzip.compress(body)), is_packed=True)
    relay.pass_time(2.0)
    assert len(relay.worker.waiting) == 1
    relay.worker.work()
    assert exchange.outcome.own_s == pytest.approx(2.0)
    relay.pass_time(3.0)
    exchange.on_client_left()
    assert exchange.outcome.own_s == pytest.approx(2.0)
