"""Exchanges with a target: connections, bodies, early heads, forwarded streams."""

import pytest

from ccrelay.fleet.breaker import State
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.exchange import Exchange
from ccrelay.types import RequestClass
from tests.unit.relay.fakes import (
    BODY,
    CONTENT,
    MODEL_SEEN,
    OVERLOADED,
    START,
    STOP,
    STREAM_HEAD,
    FakeDown,
    FakeRelay,
    FakeUpstream,
    json_head,
    provider,
)
from tests.unit.relay.scenario import (
    BUSY,
    answer,
    ask,
    begin,
    fail,
    sending,
    serving,
    settings,
    start,
    stream,
    target_of,
    two_keys_and_two,
    wait,
)


def early() -> tuple[FakeRelay, FakeDown, Exchange, FakeUpstream]:
    """A request that got its response head before the provider answered."""
    relay = two_keys_and_two(ping_s=1.0, early_head_s=2.0)
    down, exchange, upstream = begin(relay)
    relay.reactor.now += 2.0
    exchange.on_wait()
    assert down.heads[0].startswith(b"HTTP/1.1 200 ")
    return relay, down, exchange, upstream


# ---- requests


def test_a_complete_stream_is_logged_once_and_its_connection_pooled(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    assert relay.in_flight() == 1
    upstream.respond(STREAM_HEAD)
    upstream.feed(START)
    assert down.got == b""
    upstream.feed(CONTENT)
    upstream.feed(STOP)
    upstream.finish()
    assert down.got == START + CONTENT + STOP
    (line,) = relay.log.records
    assert (line["ending"], line["status"], line["attempts"]) == ("complete", 200, 1)
    assert (relay.in_flight(), relay.active, down.ended) == (0, set(), "complete")
    assert relay.pools["one"].idle == [upstream]


def test_a_chunked_body_is_awaited_before_a_connection_is_dialled(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, chunked=True, arrived=MODEL_SEEN)
    relay.request(down)
    assert relay.pools["one"].dials == []
    down.arrive(len(BODY))
    assert relay.pools["one"].connect().sent


def test_a_body_to_rewrite_is_awaited() -> None:
    relay = FakeRelay(provider(system_role="user"))
    body = b'{"model":"m","stream":true,"messages":[{"role":"system","content":"s"}]}'
    down = FakeDown(relay.reactor, body=body, arrived=20)
    relay.request(down)
    assert relay.pools["one"].dials == []
    down.arrive(len(body))
    sent = relay.pools["one"].connect().sent[0][2]
    assert sent is not None
    assert b'"role":"system"' not in sent


def test_a_windowed_body_is_not_sent_over_a_pooled_connection(relay: FakeRelay) -> None:
    idle = relay.pools["one"].add_idle()
    sending(relay, FakeDown(relay.reactor, windowed=True))
    assert idle.sent == []


def test_a_connection_dialled_for_a_client_that_left_is_pooled(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    relay.request(down)
    down.leave()
    upstream = relay.pools["one"].connect()
    assert (upstream.sent, upstream.exchange) == ([], None)
    assert relay.pools["one"].take() is upstream
    assert relay.log.records[0]["ending"] == "client_left"


def test_a_count_tokens_estimate_needs_no_connection() -> None:
    relay = FakeRelay(provider(count_tokens="estimate"))
    down = FakeDown(relay.reactor, arrived=MODEL_SEEN)
    relay.request(down, RequestClass.COUNT_TOKENS)
    down.arrive(len(BODY))
    assert b'"input_tokens":' in down.got
    assert relay.log.records[0]["ending"] == "answered"
    assert relay.pools["one"].dials == []


def test_a_relay_token_alone_is_not_sent_to_a_provider() -> None:
    relay = FakeRelay(provider("one", "anthropic", keys=[]))
    down = FakeDown(relay.reactor)
    relay.request(down, auth=ClientAuth(True, False, False))
    assert relay.pools["one"].dials == []
    assert down.heads[0].startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("auth", "plan"),
    [
        (ClientAuth(False, False, True), "plan"),
        (ClientAuth(True, False, True), "plan_no_bearer"),
        (ClientAuth(False, True, True), "plan_no_key"),
    ],
)
def test_a_client_credential_is_sent_without_the_relay_token_header(
    auth: ClientAuth, plan: str
) -> None:
    relay = FakeRelay(provider("one", "anthropic", keys=[]))
    relay.request(FakeDown(relay.reactor), auth=auth)
    upstream = relay.pools["one"].connect()
    assert upstream.sent[0][0] is getattr(relay.providers[0].targets[0], plan)


# ---- responses


def test_an_http_1_0_client_gets_an_unchunked_body(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, minor=0)
    upstream = sending(relay, down)
    upstream.respond(json_head(200))
    upstream.feed(b'{"type":"message"}')
    upstream.finish()
    assert down.got == b'{"type":"message"}'


def test_first_content_of_a_trial_closes_the_breaker(relay: FakeRelay) -> None:
    breaker = relay.providers[0].endpoint.breaker
    for _ in range(relay.config.health.failures):
        breaker.settle(breaker.force(relay.reactor.now), relay.reactor.now, relay.rng, ok=False)
    relay.reactor.now += 60.0
    upstream = sending(relay, FakeDown(relay.reactor))
    upstream.respond(STREAM_HEAD)
    upstream.feed(START)
    assert breaker.state is State.HALF_OPEN
    upstream.feed(CONTENT)
    assert breaker.state is State.CLOSED


def test_a_late_error_event_is_forwarded_and_counts_against_the_endpoint() -> None:
    relay = two_keys_and_two()
    for _ in range(2):
        down, _, upstream = begin(relay)
        upstream.respond(STREAM_HEAD)
        upstream.feed(START + CONTENT + OVERLOADED)
        upstream.finish()
        assert down.got == START + CONTENT + OVERLOADED
    assert [line["error"] for line in relay.log.records] == ["error_event"] * 2
    assert relay.providers[0].endpoint.breaker.state is State.OPEN


@pytest.mark.parametrize(
    ("tail", "ended"), [(b"", "complete"), (b"event: con", "cut")], ids=["between", "inside"]
)
def test_an_unfinished_stream_gets_an_error_event_or_a_cut(tail: bytes, ended: str) -> None:
    relay = FakeRelay(provider(kind="ollama"))
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT + tail)
    upstream.finish()
    assert (down.ended, b"event: error" in down.got) == (ended, not tail)
    assert relay.log.records[0]["error"] == "unfinished"
    assert len(relay.log.records) == 1


def test_a_successful_count_tokens_does_not_close_the_breaker() -> None:
    relay = FakeRelay(provider("one"), provider("two"), config=settings())
    for number in range(3):
        fail(relay, ask(relay, session=f"s-{number}"))
        count = relay.request(FakeDown(relay.reactor), RequestClass.COUNT_TOKENS)
        if target_of(count) is relay.providers[0].targets[0]:
            upstream = serving(relay, count)
            upstream.respond(json_head(200))
            upstream.feed(b'{"input_tokens":3}')
            upstream.finish()
    assert relay.providers[0].endpoint.breaker.state is State.OPEN


def test_broken_streams_open_the_breaker_of_an_endpoint_that_answers() -> None:
    relay = FakeRelay(provider("one"), provider("two"), config=settings())
    for number in range(3):
        exchange = ask(relay, session=f"s-{number}")
        upstream = serving(relay, exchange)
        upstream.respond(STREAM_HEAD)
        upstream.feed(start() + CONTENT)
        upstream.lose(1)
    endpoint = relay.providers[0].endpoint
    assert endpoint.breaker.state is State.OPEN
    assert endpoint.stats.answers


# ---- early heads


def test_a_stream_follows_an_early_head(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    wait(relay, down, 40.0)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT)
    upstream.finish()
    assert len(down.heads) == 1
    assert down.got.endswith(START + CONTENT)
    assert relay.log.records[0]["ending"] == "complete"


def test_an_error_after_an_early_head_is_an_event_with_its_message(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    wait(relay, down, 40.0)
    upstream.respond(json_head(529))
    upstream.feed(b'{"type":"error","error":{"type":"overloaded_error","message":"so busy"}}')
    upstream.finish()
    assert b"event: error\n" in down.got
    assert b'"message":"so busy"' in down.got
    assert down.got.endswith(b"0\r\n\r\n")
    assert relay.log.records[0]["status"] == 529


def test_failover_after_an_early_head_is_logged_as_a_success() -> None:
    relay, down, exchange, upstream = early()
    answer(upstream, 529, BUSY)
    stream(serving(relay, exchange))
    assert down.got.endswith(START + CONTENT + STOP)
    assert b"event: error" not in down.got
    (line,) = relay.log.records
    assert (line["status"], line["ending"], line["attempts"]) == (200, "complete", 2)


def test_first_content_after_an_early_head_closes_the_breaker() -> None:
    relay = FakeRelay(provider("one"), config=settings(failures=2, ping_s=1.0, early_head_s=2.0))
    breaker = relay.providers[0].endpoint.breaker
    for _ in range(2):
        breaker.settle(breaker.force(relay.reactor.now), relay.reactor.now, relay.rng, ok=False)
    relay.reactor.now += 60.0
    _, exchange, upstream = begin(relay)
    assert breaker.state is State.HALF_OPEN
    relay.reactor.now += 2.0
    exchange.on_wait()
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT)
    assert breaker.state is State.CLOSED
