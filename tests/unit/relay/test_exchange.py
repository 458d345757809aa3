"""Steps of an exchange that real sockets cannot be brought to take in a given order.

What bytes clients get is tested over sockets (loopback/relay), any order of events in
property/test_exchange.
"""

import pytest

from ccrelay._fast.upstream import Loss
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.breaker import State
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.types import RequestClass
from tests.unit.relay.fakes import (
    BODY,
    CONTENT,
    MODEL_SEEN,
    START,
    STOP,
    STREAM_HEAD,
    FakeDown,
    FakePool,
    FakeRelay,
    FakeUpstream,
    json_head,
    provider,
)

REFUSED = UpstreamFailed("Provider one cannot be reached.")


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay()


def pool_of(relay: FakeRelay, name: str = "one") -> FakePool:
    return relay.pools[name]


def sending(relay: FakeRelay, down: FakeDown) -> FakeUpstream:
    """The connection on which an exchange has sent its request."""
    exchange = relay.open(down)
    exchange.guard(exchange.find_route)
    return pool_of(relay).connect()


def test_a_stream_that_goes_well_is_settled_once_and_its_connection_kept(relay: FakeRelay) -> None:
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
    assert pool_of(relay).idle == [upstream]


def test_an_exchange_waits_for_its_model_and_takes_no_connection_before(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, arrived=3)
    exchange = relay.open(down)
    exchange.guard(exchange.find_route)
    down.arrive(MODEL_SEEN - 2)
    assert pool_of(relay).dials == []
    down.arrive(MODEL_SEEN)
    assert len(pool_of(relay).dials) == 1


def test_a_whole_body_without_a_model_is_told_so(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, body=b'{"stream":true}')
    exchange = relay.open(down)
    exchange.guard(exchange.find_route)
    assert b'has no \\"model\\"' in down.got
    assert relay.log.records[0]["status"] == 400


def test_a_chunked_body_is_whole_before_anything_is_dialled(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, chunked=True, arrived=MODEL_SEEN)
    exchange = relay.open(down)
    exchange.guard(exchange.find_route)
    assert pool_of(relay).dials == []
    down.arrive(len(BODY))
    assert pool_of(relay).connect().sent


def test_a_connection_dialled_for_a_client_that_left_serves_the_next_one(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    exchange = relay.open(down)
    exchange.find_route()
    down.leave()
    upstream = pool_of(relay).connect()
    assert (upstream.sent, upstream.exchange) == ([], None)
    assert pool_of(relay).take() is upstream
    assert relay.log.records[0]["ending"] == "client_left"


def test_a_pooled_connection_that_went_stale_is_replaced_once_by_a_fresh_one(
    relay: FakeRelay,
) -> None:
    pool = pool_of(relay)
    stale, other = pool.add_idle(), pool.add_idle()
    down = FakeDown(relay.reactor)
    exchange = relay.open(down)
    exchange.find_route()
    other.lose(Loss.RESET)
    assert pool.idle == [stale]  # perhaps as stale as the other
    fresh = pool.connect()
    assert relay.in_flight() == 1
    fresh.lose(Loss.RESET)
    assert pool.dials == []
    (line,) = relay.log.records
    assert (line["status"], line["attempts"], relay.in_flight()) == (502, 1, 0)


@pytest.mark.parametrize("loss", [Loss.GARBAGE, Loss.NO_FIRST_BYTE, Loss.TOTAL])
def test_only_a_closed_connection_can_have_been_stale(relay: FakeRelay, loss: Loss) -> None:
    upstream = pool_of(relay).add_idle()
    down = FakeDown(relay.reactor)
    relay.open(down).find_route()
    upstream.lose(loss)
    assert pool_of(relay).dials == []
    assert len(down.heads) == 1


def test_a_body_that_was_not_kept_is_not_sent_twice(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, windowed=True)
    upstream = sending(relay, down)
    upstream.lose(Loss.CLOSED)
    assert pool_of(relay).dials == []
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")


def test_a_body_that_is_not_kept_goes_on_no_connection_that_may_be_stale(relay: FakeRelay) -> None:
    idle = pool_of(relay).add_idle()
    sending(relay, FakeDown(relay.reactor, windowed=True))
    assert idle.sent == []


def test_after_an_unreachable_provider_the_next_one_is_asked_by_its_own_name_of_the_model() -> None:
    relay = FakeRelay(provider("one"), provider("two", model_mapping={"m": "other"}))
    relay.open(FakeDown(relay.reactor)).find_route()
    pool_of(relay).refuse(REFUSED)
    upstream = pool_of(relay, "two").connect()
    assert upstream.sent[0][1] == b'"other"'
    assert relay.log.events == ["connect_failed", "failover"]


def test_a_provider_that_stays_unreachable_is_asked_no_more() -> None:
    relay = FakeRelay(provider("one"), provider("two"))
    for _ in range(relay.config.health.failures):
        relay.request(FakeDown(relay.reactor))
        pool_of(relay).refuse(REFUSED)
    assert not relay.providers[0].endpoint.available(relay.reactor.now)
    relay.request(FakeDown(relay.reactor))
    assert pool_of(relay).dials == []


def test_when_the_last_provider_is_unreachable_the_client_gets_its_error() -> None:
    relay = FakeRelay(provider("one"), provider("two"))
    down = FakeDown(relay.reactor)
    relay.open(down).find_route()
    pool_of(relay).refuse(REFUSED)
    pool_of(relay, "two").refuse(UpstreamFailed("Provider two cannot be reached."))
    assert b"Provider two cannot be reached." in down.got
    assert relay.log.records[0]["attempts"] == 2


def test_a_dial_that_fails_after_the_client_left_tries_nobody_else() -> None:
    relay = FakeRelay(provider("one"), provider("two"))
    down = FakeDown(relay.reactor)
    relay.open(down).find_route()
    down.leave()
    pool_of(relay).refuse(REFUSED)
    assert pool_of(relay, "two").dials == []
    assert len(relay.log.records) == 1
    assert down.got == b""


def test_a_failure_closes_the_connection_of_the_attempt_under_way(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    down.exchange.shut()
    assert upstream.is_closed
    assert relay.in_flight() == 0


@pytest.mark.parametrize("answered", [b"", STREAM_HEAD])
def test_a_pooled_connection_that_has_answered_anything_was_not_stale(
    relay: FakeRelay, answered: bytes
) -> None:
    upstream = pool_of(relay).add_idle()
    down = FakeDown(relay.reactor)
    relay.open(down).find_route()
    upstream.any_byte = True
    if answered:
        upstream.respond(answered)
    upstream.lose(Loss.CLOSED)
    assert pool_of(relay).dials == []
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")


def test_content_closes_the_breaker_of_an_endpoint_that_was_tried_again(relay: FakeRelay) -> None:
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


def test_a_client_that_leaves_mid_stream_aborts_the_provider_and_nobody_is_blamed(
    relay: FakeRelay,
) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT)
    down.leave()
    assert upstream.is_closed
    assert relay.log.records[0]["ending"] == "client_left"
    assert relay.providers[0].endpoint.available(relay.reactor.now)


def test_a_relay_token_alone_never_reaches_a_provider_without_a_key() -> None:
    relay = FakeRelay(provider("one", "anthropic", keys=[]))
    down = FakeDown(relay.reactor)
    exchange = relay.open(down, passed=ClientAuth(True, False, False))
    exchange.guard(exchange.find_route)
    assert pool_of(relay).dials == []
    assert down.heads[0].startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("passed", "plan"),
    [
        (ClientAuth(False, False, True), "plan"),
        (ClientAuth(True, False, True), "plan_no_bearer"),
        (ClientAuth(False, True, True), "plan_no_key"),
    ],
)
def test_a_login_passes_without_the_field_that_held_the_relay_token(
    passed: ClientAuth, plan: str
) -> None:
    relay = FakeRelay(provider("one", "anthropic", keys=[]))
    relay.open(FakeDown(relay.reactor), passed=passed).find_route()
    upstream = pool_of(relay).connect()
    assert upstream.sent[0][0] is getattr(relay.providers[0].targets[0], plan)


def test_the_framing_fits_the_client(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, minor=0)
    upstream = sending(relay, down)
    upstream.respond(json_head(200))
    upstream.feed(b"{}")
    upstream.finish()
    assert down.got == b"{}"


def test_shutting_down_in_mid_stream_says_so_between_two_events_only(relay: FakeRelay) -> None:
    endings = []
    for data in (START + CONTENT, START + CONTENT + b"event: con"):
        down = FakeDown(relay.reactor)
        exchange = relay.open(down)
        exchange.find_route()
        upstream = pool_of(relay).connect()
        upstream.respond(STREAM_HEAD)
        upstream.feed(data)
        exchange.shut()
        endings.append((down.ended, b"event: error" in down.got))
    assert endings == [("complete", True), ("cut", False)]


def test_an_exchange_that_is_over_cannot_fail(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor)
    exchange = relay.open(down)
    exchange.fail(REFUSED)
    got = down.got
    exchange.fail(UpstreamFailed("another"))
    exchange.shut()
    exchange.on_client_left()
    assert down.got == got
    assert [line["error"] for line in relay.log.records] == [REFUSED.message]


def test_an_estimate_needs_no_connection() -> None:
    relay = FakeRelay(provider(count_tokens="estimate"))
    down = FakeDown(relay.reactor, arrived=MODEL_SEEN)
    relay.open(down, RequestClass.COUNT_TOKENS).find_route()
    down.arrive(len(BODY))
    assert b'"input_tokens":' in down.got
    assert relay.log.records[0]["ending"] == "answered"
    assert pool_of(relay).dials == []
