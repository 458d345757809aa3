"""What follows a failed attempt: stale connections, failover, the retry budget, signatures."""

import pytest

from ccrelay._fast.rate_limits import Capacity
from ccrelay._fast.upstream import Loss
from ccrelay.config.model import RetryBudget
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.breaker import State
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
    provider,
)
from tests.unit.relay.scenario import (
    BROKE,
    BUSY,
    CLAUDES_THOUGHT,
    CONNECT_FAILED,
    FOREIGN_THOUGHT,
    LIMITED,
    NO_MODEL,
    REFUSED,
    UNSIGNED_BLOCK,
    answer,
    begin,
    key_of,
    sending,
    serving,
    settings,
    stream,
    target_of,
    two_keys_and_two,
)

# ---- stale connections


def test_a_stale_pooled_connection_is_replaced_once(
    relay: FakeRelay,
) -> None:
    pool = relay.pools["one"]
    stale, other = pool.add_idle(), pool.add_idle()
    down = FakeDown(relay.reactor)
    relay.request(down)
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
    upstream = relay.pools["one"].add_idle()
    down = FakeDown(relay.reactor)
    relay.request(down)
    upstream.lose(loss)
    assert relay.pools["one"].dials == []
    assert len(down.heads) == 1


def test_a_windowed_body_is_not_sent_twice(relay: FakeRelay) -> None:
    down = FakeDown(relay.reactor, windowed=True)
    upstream = sending(relay, down)
    upstream.lose(Loss.CLOSED)
    assert relay.pools["one"].dials == []
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")


def test_a_stale_connection_is_no_failed_attempt() -> None:
    relay = two_keys_and_two()
    relay.pools["one"].add_idle()
    exchange = relay.request(FakeDown(relay.reactor))
    serving(relay, exchange).lose(Loss.CLOSED)
    assert exchange.retry_state is None
    fresh = relay.pools["one"].connect_for(exchange)
    stream(fresh)
    assert relay.log.records[0]["provider"] == "one"
    assert relay.log.events == []


# ---- failover


@pytest.mark.parametrize(
    ("status", "body", "fields", "then"),
    [
        (429, LIMITED, b"retry-after: 7\r\n", "b"),
        (429, LIMITED, b"", "b"),
        (401, REFUSED, b"", "b"),
        (402, BROKE, b"", "b"),
        (529, BUSY, b"", "two"),
        (500, BUSY, b"", "two"),
        (404, NO_MODEL, b"", "two"),
    ],
    ids=["limit", "crowded", "refused", "spent", "overloaded", "failed", "no model"],
)
def test_a_failed_key_fails_over_to_the_next_key_and_a_failed_endpoint_to_the_next_provider(
    status: int, body: bytes, fields: bytes, then: str
) -> None:
    relay = two_keys_and_two()
    down, exchange, upstream = begin(relay)
    first = key_of(exchange)
    answer(upstream, status, body, fields)
    if then != "two":
        then = "b" if first == "a" else "a"
    assert key_of(exchange) == then
    stream(serving(relay, exchange))
    assert down.got == START + CONTENT + STOP
    (line,) = relay.log.records
    assert (line["status"], line["attempts"], line["ending"]) == (200, 2, "complete")
    assert relay.in_flight() == 0
    assert [told["why"] for told in relay.log.members("failover")]


@pytest.mark.parametrize("loss", [Loss.CLOSED, Loss.RESET, Loss.GARBAGE, Loss.NO_FIRST_BYTE])
def test_a_connection_lost_before_content_fails_over(loss: Loss) -> None:
    relay = two_keys_and_two()
    down, exchange, upstream = begin(relay)
    upstream.lose(loss)
    assert key_of(exchange) == "two"
    stream(serving(relay, exchange))
    assert down.got == START + CONTENT + STOP


@pytest.mark.parametrize("before", [b"", START])
def test_an_error_event_before_content_fails_over(
    before: bytes,
) -> None:
    relay = two_keys_and_two()
    down, exchange, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(before + OVERLOADED)
    assert upstream.is_closed()
    assert key_of(exchange) == "two"
    stream(serving(relay, exchange))
    assert (len(down.heads), down.got) == (1, START + CONTENT + STOP)


def test_an_empty_stream_fails_over_or_is_an_error() -> None:
    relay = two_keys_and_two()
    down, exchange, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START)
    upstream.finish()
    assert key_of(exchange) == "two"
    stream(serving(relay, exchange))
    assert down.got == START + CONTENT + STOP
    relay = FakeRelay(provider("one"))
    down, _, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START)
    upstream.finish()
    assert down.got.startswith(b"HTTP/1.1 502")
    assert b"an event stream without content" in down.got
    assert relay.in_flight() == 0


def test_a_failed_dial_fails_over_with_the_next_providers_model_name() -> None:
    relay = FakeRelay(provider("one"), provider("two", model_mapping={"m": "other"}))
    relay.request(FakeDown(relay.reactor))
    relay.pools["one"].refuse(CONNECT_FAILED)
    upstream = relay.pools["two"].connect()
    assert upstream.sent[0][1] == b'"other"'
    assert relay.log.events == ["connect_failed", "failover"]


def test_failed_dials_open_the_breaker() -> None:
    relay = FakeRelay(provider("one"), provider("two"))
    for _ in range(relay.config.health.failures):
        relay.request(FakeDown(relay.reactor))
        relay.pools["one"].refuse(CONNECT_FAILED)
    assert not relay.providers[0].endpoint.available(relay.reactor.now)
    relay.request(FakeDown(relay.reactor))
    assert relay.pools["one"].dials == []


def test_the_last_connect_failure_is_the_reply() -> None:
    relay = FakeRelay(provider("one"), provider("two"))
    down = FakeDown(relay.reactor)
    relay.request(down)
    relay.pools["one"].refuse(CONNECT_FAILED)
    relay.pools["two"].refuse(UpstreamFailed("Provider two cannot be reached."))
    assert b"Provider two cannot be reached." in down.got
    assert relay.log.records[0]["attempts"] == 2


def test_failover_sends_the_next_providers_model_name() -> None:
    relay = FakeRelay(provider("one"), provider("two", model_mapping={"m": "other"}))
    _, exchange, upstream = begin(relay, body=BODY)
    answer(upstream, 529, BUSY)
    assert serving(relay, exchange).sent[-1][1] == b'"other"'


# ---- no failover


def test_a_windowed_body_does_not_fail_over() -> None:
    relay = two_keys_and_two()
    down, _, upstream = begin(relay, windowed=True)
    answer(upstream, 529, BUSY)
    assert down.got.endswith(BUSY)
    assert relay.pools["two"].dials == []


def test_no_target_is_tried_twice_and_the_error_of_highest_priority_is_sent() -> None:
    relay = two_keys_and_two(attempts_max=8)
    down, exchange, upstream = begin(relay)
    answer(upstream, 401, REFUSED)
    answer(serving(relay, exchange), 529, BUSY)
    relay.pools["two"].refuse(UpstreamFailed("Provider two cannot be reached."))
    assert exchange.settled
    assert down.heads[0].startswith(b"HTTP/1.1 529 ")
    assert down.got.endswith(BUSY)
    assert len({target.slot for target in exchange.retry_state.targets}) == 3


# ---- bounds


def test_the_retry_budget_bounds_retries_of_all_requests() -> None:
    relay = two_keys_and_two(retry_budget=RetryBudget(ratio=0.0, minimum=1))
    _, exchange, upstream = begin(relay)
    answer(upstream, 529, BUSY)
    assert not exchange.settled
    down, second, upstream = begin(relay)
    answer(upstream, 529, BUSY)
    assert second.settled
    assert down.heads[0].startswith(b"HTTP/1.1 529 ")
    assert "retry_budget_spent" in relay.log.events
    relay.pass_time(11.0)
    _, third, upstream = begin(relay)
    answer(upstream, 529, BUSY)
    assert not third.settled


def test_a_lone_target_spends_no_retry_budget() -> None:
    relay = FakeRelay(config=settings(failures=2, retry_budget=RetryBudget(ratio=0.0, minimum=1)))
    for _ in range(3):
        _, exchange, upstream = begin(relay)
        answer(upstream, 500, BUSY)
        assert exchange.settled
    assert "retry_budget_spent" not in relay.log.events


# ---- what a failure proves


def test_failures_of_the_endpoint_open_its_breaker_and_those_of_keys_do_not() -> None:
    relay = two_keys_and_two()
    breaker = relay.providers[0].endpoint.breaker
    for _ in range(3):
        _, _, upstream = begin(relay)
        answer(upstream, 429, LIMITED)
        relay.pass_time(60.0)
    assert breaker.state is State.CLOSED
    for _ in range(2):
        _, _, upstream = begin(relay)
        answer(upstream, 529, BUSY)
    assert breaker.state is State.OPEN
    _, exchange, _ = begin(relay)
    assert key_of(exchange) == "two"


@pytest.mark.parametrize(
    ("how", "answers"), [("reset", True), ("refused", False), ("status", True)]
)
def test_the_endpoint_remembers_whether_it_accepted_the_connection(how: str, answers: bool) -> None:
    relay = two_keys_and_two()
    exchange = relay.request(FakeDown(relay.reactor))
    if how == "refused":
        relay.pools["one"].refuse(UpstreamFailed("Provider one cannot be reached."))
    elif how == "reset":
        serving(relay, exchange).lose(Loss.RESET)
    else:
        answer(serving(relay, exchange), 500, BUSY)
    assert relay.providers[0].endpoint.stats.answers is answers


@pytest.mark.parametrize(("status", "body"), [(429, LIMITED), (401, REFUSED), (529, BUSY)])
def test_a_failed_count_tokens_proves_nothing_about_messages(status: int, body: bytes) -> None:
    relay = two_keys_and_two()
    exchange = relay.request(FakeDown(relay.reactor), RequestClass.COUNT_TOKENS)
    service = relay.providers[0]
    for _ in range(3):
        if not exchange.settled:
            answer(serving(relay, exchange), status, body, b"retry-after: 30\r\n")
    assert all(t.limits.state(relay.reactor.now, 1, 1) == Capacity.READY for t in service.targets)
    assert service.endpoint.breaker.state is State.CLOSED
    assert "failures=0" in repr(service.endpoint)


def test_a_loss_during_the_upload_does_not_count_against_the_endpoint() -> None:
    relay = FakeRelay(provider("one"), config=settings(failures=2))
    for _ in range(3):
        _, _, upstream = begin(relay, arrived=MODEL_SEEN)
        upstream.lose(Loss.RESET)
    assert relay.providers[0].endpoint.breaker.state is State.CLOSED


# ---- signatures


def test_a_signature_refusal_is_retried_without_foreign_blocks() -> None:
    relay = FakeRelay(provider("one", "anthropic", signatures="claude"), provider("two"))
    down, exchange, upstream = begin(relay, body=FOREIGN_THOUGHT)
    answer(upstream, 400, UNSIGNED_BLOCK)
    again = serving(relay, exchange)
    assert target_of(exchange) is relay.providers[0].targets[0]
    body = again.sent[-1][2]
    assert body is not None
    assert b"thinking" not in body
    assert b'"text":"a"' in body
    stream(again)
    assert down.ended == "complete"
    assert relay.in_flight() == 0


def test_a_second_signature_refusal_is_the_reply() -> None:
    relay = FakeRelay(provider("one", "anthropic", signatures="claude"), provider("two"))
    down, exchange, upstream = begin(relay, body=CLAUDES_THOUGHT)
    answer(upstream, 400, UNSIGNED_BLOCK)
    again = serving(relay, exchange)
    body = again.sent[-1][2]
    assert body is not None
    assert b"thinking" not in body
    answer(again, 400, UNSIGNED_BLOCK)
    assert down.got.endswith(UNSIGNED_BLOCK)
    assert relay.log.records[0]["attempts"] == 2
    assert relay.log.events.count("thinking_stripped") == 1


def test_a_signature_refusal_without_thinking_blocks_is_the_reply() -> None:
    relay = FakeRelay(provider("one", "anthropic", signatures="claude"), provider("two"))
    down, _, upstream = begin(relay)
    answer(upstream, 400, UNSIGNED_BLOCK)
    assert down.got.endswith(UNSIGNED_BLOCK)
    assert relay.in_flight() == 0


def test_failover_to_a_provider_that_does_not_validate_sends_all_blocks() -> None:
    relay = FakeRelay(provider("one", "anthropic", signatures="claude"), provider("two"))
    _, exchange, upstream = begin(relay, body=FOREIGN_THOUGHT)
    answer(upstream, 400, UNSIGNED_BLOCK)
    answer(serving(relay, exchange), 529, BUSY)
    assert key_of(exchange) == "two"
    assert serving(relay, exchange).sent[-1][2] is None  # the client's own bytes
