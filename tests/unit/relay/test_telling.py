"""What a client is told when nobody could serve it."""

from typing import Any

import pytest
from ccrelay.relay.telling import soonest_s

from ccrelay._fast.rate_limits import Cooldown
from ccrelay.config.model import Config, Routing
from ccrelay.errors import UpstreamFailed
from ccrelay.relay.exchange import Exchange
from tests.unit.relay.fakes import (
    FakeDown,
    FakeRelay,
    FakeUpstream,
    json_head,
    keys,
    provider,
)

LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
BUSY = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'


def relay_of(*names: str, **routing: Any) -> FakeRelay:
    routing = {"strategy": "failover", "queue_timeout_s": 0.0, **routing}
    return FakeRelay(*[provider(name) for name in names], config=Config(routing=Routing(**routing)))


def ask(relay: FakeRelay, **more: Any) -> tuple[FakeDown, Exchange]:
    down = FakeDown(relay.reactor, **more)
    return down, relay.request(down)


def answer(relay: FakeRelay, exchange: Exchange, head: bytes, body: bytes) -> None:
    assert exchange.target is not None
    pool = relay.pools[exchange.target.provider.name]
    upstream: FakeUpstream = exchange.upstream or pool.connect_for(exchange)  # type: ignore[assignment]
    upstream.respond(head)
    upstream.feed(body)
    if upstream.exchange is not None:
        upstream.finish()


def with_fields(status: int, fields: bytes) -> bytes:
    return json_head(status)[:-2] + fields + b"\r\n"


def test_a_providers_error_goes_on_with_its_head_and_every_byte_of_its_body() -> None:
    relay = relay_of("one")
    down, exchange = ask(relay)
    answer(relay, exchange, with_fields(429, b"retry-after: 7\r\nrequest-id: up-1\r\n"), LIMITED)
    assert b"retry-after: 7\r\n" in down.got
    assert b"request-id: up-1\r\n" in down.got
    assert down.got.endswith(b"\r\n\r\n" + LIMITED)


def test_of_several_providers_the_time_told_is_that_of_the_first_that_can_take_it() -> None:
    relay = relay_of("one", "two")
    relay.providers[1].targets[0].limits.rest(relay.reactor.now + 30.0, int(Cooldown.RATE))
    down, exchange = ask(relay)
    answer(relay, exchange, with_fields(429, b"retry-after: 300\r\nrequest-id: up-1\r\n"), LIMITED)
    assert down.got.count(b"retry-after") == 1
    assert b"retry-after: 30\r\n" in down.got
    assert b"request-id: up-1\r\n" in down.got
    assert down.got.endswith(LIMITED)


def test_the_time_told_is_counted_from_now_and_not_from_when_the_request_came() -> None:
    relay = relay_of("one", "two", attempts_max=1)
    relay.providers[1].targets[0].limits.rest(relay.reactor.now + 50.0, int(Cooldown.RATE))
    down, exchange = ask(relay)
    relay.reactor.now += 20.0
    answer(relay, exchange, with_fields(429, b"retry-after: 300\r\n"), LIMITED)
    assert b"retry-after: 30\r\n" in down.got


def test_an_error_that_is_not_about_time_gets_none() -> None:
    relay = relay_of("one", "two")
    down, exchange = ask(relay)
    answer(relay, exchange, json_head(400), b'{"type":"error","error":{"type":"x","message":"m"}}')
    assert b"retry-after" not in down.got


def test_the_soonest_is_a_whole_second_at_least_and_nothing_where_nobody_knows() -> None:
    relay = relay_of("one", "two")
    _, exchange = ask(relay)
    assert soonest_s(exchange) == 1
    for service in relay.providers:
        service.targets[0].limits.rest(0.0, int(Cooldown.REFUSED))
    assert soonest_s(exchange) is None


def test_a_request_that_was_never_routed_has_no_soonest() -> None:
    relay = relay_of("one")
    assert soonest_s(relay.open(FakeDown(relay.reactor))) is None


@pytest.mark.parametrize(
    ("reason", "status", "says", "retried"),
    [
        (Cooldown.RATE, b"429", b"their keys rest", True),
        (Cooldown.REFUSED, b"502", b"they were refused", False),
    ],
)
def test_where_no_provider_has_said_anything_the_relay_says_what_is_the_matter(
    reason: Cooldown, status: bytes, says: bytes, retried: bool
) -> None:
    relay = relay_of("one", "two")
    for service in relay.providers:
        service.targets[0].limits.rest(relay.reactor.now + 40.0, int(reason))
    down, _ = ask(relay)
    assert down.heads[0].startswith(b"HTTP/1.1 " + status)
    assert says in down.got
    assert b"one, two" in down.got
    assert (b"retry-after: 40" in down.got) is retried
    assert (b"x-should-retry: false" in down.got) is not retried
    assert b"test-key" not in down.got


def test_a_full_pool_is_a_429_and_open_breakers_are_a_529() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", rpm_limit=1)),
        config=Config(routing=Routing(queue_timeout_s=0.0, panic="refuse")),
    )
    held = ask(relay)
    down, _ = ask(relay)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    assert b"limits" in down.got
    breaker = relay.providers[0].endpoint.breaker
    while breaker.available(relay.reactor.now):
        breaker.settle(breaker.force(relay.reactor.now), relay.reactor.now, relay.rng, ok=False)
    down, _ = ask(relay)
    assert down.heads[0].startswith(b"HTTP/1.1 529 ")
    assert b"circuit breakers are open" in down.got
    held[0].leave()


def test_behind_an_early_head_an_error_is_an_event_and_the_end() -> None:
    relay = relay_of("one", ping_s=1.0, early_head_s=2.0)
    down, exchange = ask(relay)
    relay.pools["one"].connect()
    relay.reactor.now += 2.0
    exchange.on_wait()
    answer(relay, exchange, json_head(529), BUSY)
    assert b"event: error\ndata: " in down.got
    assert b"busy" in down.got
    assert (down.ended, down.got[-5:]) == ("complete", b"0\r\n\r\n")
    assert relay.log.records[0]["status"] == 529


def test_an_error_of_the_relays_own_is_told_in_its_own_words() -> None:
    relay = relay_of("one")
    down, _ = ask(relay)
    relay.pools["one"].refuse(UpstreamFailed("Provider one cannot be reached."))
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")
    assert b"Provider one cannot be reached." in down.got


def test_debugging_tells_who_answered_after_how_many_attempts_chosen_how() -> None:
    relay = relay_of("one", "two", debug=True)
    down, exchange = ask(relay)
    answer(relay, exchange, json_head(529), BUSY)
    answer(relay, exchange, json_head(529), BUSY)
    assert b"x-ccrelay-provider: two\r\n" in down.got
    assert b"x-ccrelay-attempts: 2\r\n" in down.got
    assert b"x-ccrelay-strategy: failover\r\n" in down.got
    assert b"test-key" not in down.got
