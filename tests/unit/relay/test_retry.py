"""What follows a failure, as pure functions, and the errors that say when to come again."""

from functools import partial
from math import inf

import pytest
from msgspec.structs import replace

from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.upstream import Loss
from ccrelay.config.model import Config, Routing
from ccrelay.errors import NoTarget, UpstreamFailed
from ccrelay.relay import retry
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.local_reply import ErrorReply
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.selection import Unavailable
from ccrelay.routing.verdict import ErrorPriority, of_connect, of_loss
from ccrelay.types import Ending
from tests.unit.relay.fakes import FakeDown, FakeRelay, json_head, keys, provider
from tests.unit.relay.scenario import LIMITED, relay_of, reply, request, sending, with_fields


def soonest_of(relay: FakeRelay, exchange: Exchange) -> int | None:
    return retry.soonest_s(relay.context, exchange.config, exchange.route, exchange.request)


def test_soonest_is_at_least_a_second_and_none_where_unknown() -> None:
    relay = relay_of("one", "two")
    _, exchange = request(relay)
    assert soonest_of(relay, exchange) == 1
    for service in relay.providers:
        service.targets[0].limits.start_cooldown(0.0, int(Cooldown.REFUSED))
    assert soonest_of(relay, exchange) is None


def test_soonest_of_an_unrouted_request_is_none() -> None:
    relay = relay_of("one")
    assert soonest_of(relay, relay.open(FakeDown(relay.reactor))) is None


@pytest.mark.parametrize(
    ("reason", "status", "says", "retried"),
    [
        (Cooldown.RATE, b"429", b"are rate-limited", True),
        (Cooldown.REFUSED, b"502", b"were refused", False),
        (Cooldown.NO_CREDENTIAL, b"502", b"has a credential of its cloud", True),
    ],
)
def test_without_any_reply_the_error_says_why_no_target_is_available(
    reason: Cooldown, status: bytes, says: bytes, retried: bool
) -> None:
    relay = relay_of("one", "two")
    for service in relay.providers:
        service.targets[0].limits.start_cooldown(relay.reactor.now + 40.0, int(reason))
    down, _ = request(relay)
    assert down.heads[0].startswith(b"HTTP/1.1 " + status)
    assert says in down.got
    assert b"one, two" in down.got
    assert (b"retry-after: 40" in down.got) is retried
    assert (b"x-should-retry: false" in down.got) is not retried
    assert b"test-key" not in down.got


def test_reached_limits_are_a_429_and_open_breakers_a_529() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", rpm_limit=1)),
        config=Config(routing=Routing(queue_timeout_s=0.0, panic="refuse")),
    )
    held = request(relay)
    down, _ = request(relay)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    assert b"limits" in down.got
    breaker = relay.providers[0].endpoint.breaker
    while breaker.available(relay.reactor.now):
        breaker.settle(breaker.force(relay.reactor.now), relay.reactor.now, relay.rng, ok=False)
    down, _ = request(relay)
    assert down.heads[0].startswith(b"HTTP/1.1 529 ")
    assert b"circuit breakers open" in down.got
    held[0].leave()


def test_retry_after_is_that_of_the_soonest_target() -> None:
    relay = relay_of("one", "two")
    relay.providers[1].targets[0].limits.start_cooldown(
        relay.reactor.now + 30.0, int(Cooldown.RATE)
    )
    down, exchange = request(relay)
    reply(relay, exchange, with_fields(429, b"retry-after: 300\r\nrequest-id: up-1\r\n"), LIMITED)
    assert down.got.count(b"retry-after") == 1
    assert b"retry-after: 30\r\n" in down.got
    assert b"request-id: up-1\r\n" in down.got
    assert down.got.endswith(LIMITED)


def test_retry_after_counts_from_the_reply() -> None:
    relay = relay_of("one", "two", attempts_max=1)
    relay.providers[1].targets[0].limits.start_cooldown(
        relay.reactor.now + 50.0, int(Cooldown.RATE)
    )
    down, exchange = request(relay)
    relay.reactor.now += 20.0
    reply(relay, exchange, with_fields(429, b"retry-after: 300\r\n"), LIMITED)
    assert b"retry-after: 30\r\n" in down.got


def test_a_400_gets_no_retry_after() -> None:
    relay = relay_of("one", "two")
    down, exchange = request(relay)
    reply(relay, exchange, json_head(400), b'{"type":"error","error":{"type":"x","message":"m"}}')
    assert b"retry-after" not in down.got


@pytest.mark.parametrize("loss", list(Loss))
def test_a_loss_before_the_response_is_a_502_or_504_that_names_the_provider(
    relay: FakeRelay, loss: Loss
) -> None:
    down = FakeDown(relay.reactor)
    upstream = sending(relay, down)
    upstream.lose(loss)
    late = loss in (Loss.NO_FIRST_BYTE, Loss.IDLE, Loss.TOTAL)
    assert down.heads[0].startswith(b"HTTP/1.1 504 " if late else b"HTTP/1.1 502 ")
    assert b"Provider one " in down.got


def test_the_ending_tells_timeouts_from_cuts_and_shutdowns() -> None:
    assert retry.ending_of(UpstreamFailed("m", status=504)) == Ending.TIMED_OUT
    assert retry.ending_of(UpstreamFailed("m")) == Ending.UPSTREAM_CUT
    assert retry.ending_of(NoTarget("m")) == Ending.ABORTED
    assert retry.is_cut(UpstreamFailed("m"))
    assert not retry.is_cut(UpstreamFailed("m", status=504))
    assert not retry.is_cut(NoTarget("m"))


# ---- decisions


def error_of(priority: ErrorPriority, status: int = 500) -> ErrorReply:
    return ErrorReply(priority, status)


def test_the_better_of_two_errors_has_the_higher_priority_or_is_the_later() -> None:
    low, high = error_of(ErrorPriority.LOST), error_of(ErrorPriority.FINAL)
    again = error_of(ErrorPriority.FINAL)
    assert retry.better_of(None, low) is low
    assert retry.better_of(low, high) is high
    assert retry.better_of(high, low) is high
    assert retry.better_of(high, again) is again


def test_a_failure_is_retried_where_the_verdict_the_route_and_attempts_max_allow() -> None:
    relay = relay_of("one", "two", attempts_max=2)
    exchange = relay.request(FakeDown(relay.reactor))
    tried, verdict = RetryState(), of_loss(Loss.RESET)
    allows = partial(retry.may_retry, exchange.config)
    assert allows(exchange.route, tried, verdict)
    assert not allows(None, tried, verdict)
    assert not allows(exchange.route, tried, replace(verdict, elsewhere=False))
    tried.count = 2
    assert not allows(exchange.route, tried, verdict)


def test_a_lone_target_is_not_retried() -> None:
    relay = relay_of("one")
    exchange = relay.request(FakeDown(relay.reactor))
    assert not retry.may_retry(exchange.config, exchange.route, RetryState(), of_connect())


@pytest.mark.parametrize(
    ("seconds", "queue_max", "allowed"), [(5.0, 9, True), (11.0, 9, False), (5.0, 0, False)]
)
def test_a_request_may_queue_within_queue_timeout_s_and_queue_max(
    seconds: float, queue_max: int, allowed: bool
) -> None:
    relay = relay_of("one", "two", queue_timeout_s=10.0, queue_max=queue_max)
    exchange = relay.request(FakeDown(relay.reactor))
    assert exchange.request is not None
    wait = Unavailable(relay.reactor.now + seconds, False, "limit")
    found = retry.may_queue(relay.context, exchange.config, exchange.request, wait)
    assert found is allowed


@pytest.mark.parametrize("loss", list(Loss))
def test_only_timeouts_have_consumed_the_prompt(loss: Loss) -> None:
    timed_out = loss in (Loss.NO_FIRST_BYTE, Loss.IDLE)
    assert retry.prompt_was_read(of_loss(loss)) is timed_out
    assert retry.loss_name(loss) == f"upstream_{loss.name.lower()}"


@pytest.mark.parametrize(
    ("why", "status", "should_retry"),
    [
        ("limit", 429, None),
        ("cooldown", 429, None),
        ("queued ahead", 429, None),
        ("breaker_open", 529, None),
        ("no target left", 529, None),
        ("key_refused", 502, False),
    ],
)
def test_the_status_of_an_unavailable_error_says_who_can_mend_it(
    why: str, status: int, should_retry: bool | None
) -> None:
    relay = relay_of("one", "two")
    exchange = relay.request(FakeDown(relay.reactor))
    error = retry.unavailable_error(
        relay.context,
        exchange.config,
        exchange.route,
        exchange.request,
        Unavailable(inf, False, why),
    )
    assert (error.status, error.should_retry) == (status, should_retry)
    assert "one, two" in error.message
