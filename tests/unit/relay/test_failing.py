"""Attempts that fail: who is asked next, what rests, and when the client is told.

What each failure means is tested in unit/routing/test_verdict.py; the bytes a client gets in
loopback/relay.
"""

import pytest

from ccrelay._fast.rate_limits import Capacity, Cooldown
from ccrelay._fast.upstream import Loss
from ccrelay.config.model import Affinity, Config, Health, RetryBudget, Routing
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.breaker import State
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
    keys,
    provider,
)

BUSY = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'
LIMITED = b'{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}'
REFUSED = b'{"type":"error","error":{"type":"authentication_error","message":"bad key"}}'
BROKE = b'{"type":"error","error":{"type":"billing_error","message":"no balance"}}'
INVALID = b'{"type":"error","error":{"type":"invalid_request_error","message":"messages: empty"}}'
NO_MODEL = b'{"type":"error","error":{"type":"not_found_error","message":"model: m"}}'
UNSIGNED = (
    b'{"type":"error","error":{"type":"invalid_request_error","message":'
    b'"messages.0.content.0: Invalid `signature` in `thinking` block"}}'
)
THOUGHT = (
    b'{"model":"m","stream":true,"messages":[{"role":"assistant","content":['
    b'{"type":"thinking","thinking":"t","signature":"%b"},{"type":"text","text":"a"}]}]}'
)
FOREIGN = THOUGHT % b"not-claudes"
OWN = THOUGHT % (b"Eo" + b"A" * 66)


def settings(**routing: object) -> Config:
    return Config(
        routing=Routing(**{"strategy": "failover", **routing}),  # type: ignore[arg-type]
        health=Health(failures=2),
    )


def two(**routing: object) -> FakeRelay:
    return FakeRelay(
        provider("one", keys=keys("a", "b")), provider("two"), config=settings(**routing)
    )


def begin(relay: FakeRelay, **more: object) -> tuple[FakeDown, Exchange, FakeUpstream]:
    down = FakeDown(relay.reactor, **more)  # type: ignore[arg-type]
    exchange = relay.request(down)
    return down, exchange, serving(relay, exchange)


def serving(relay: FakeRelay, exchange: Exchange) -> FakeUpstream:
    """The connection of the attempt under way, dialled if need be."""
    if exchange.upstream is None:
        assert exchange.target is not None
        relay.pools[exchange.target.provider.name].connect_for(exchange)
    upstream: FakeUpstream = exchange.upstream  # type: ignore[assignment]
    assert upstream.exchange is exchange
    return upstream


def answer(upstream: FakeUpstream, status: int, body: bytes, fields: bytes = b"") -> None:
    head = json_head(status)
    upstream.respond(head[:-2] + fields + b"\r\n")
    upstream.feed(body)
    if upstream.exchange is not None:
        upstream.finish()


def stream(upstream: FakeUpstream) -> None:
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT + STOP)
    upstream.finish()


def key_of(exchange: Exchange) -> str:
    assert exchange.target is not None
    key = exchange.target.provider.config.keys[exchange.target.index].key
    return key.removeprefix("test-key-")


# ---- who is asked next


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
def test_a_failure_of_a_key_goes_to_the_next_key_and_one_of_the_endpoint_past_all_its_keys(
    status: int, body: bytes, fields: bytes, then: str
) -> None:
    relay = two()
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
def test_a_connection_lost_before_any_content_is_an_attempt_that_failed(loss: Loss) -> None:
    relay = two()
    down, exchange, upstream = begin(relay)
    upstream.lose(loss)
    assert key_of(exchange) == "two"
    stream(serving(relay, exchange))
    assert down.got == START + CONTENT + STOP


@pytest.mark.parametrize("before", [b"", START])
def test_an_error_event_before_any_content_goes_elsewhere_and_leaves_no_trace(
    before: bytes,
) -> None:
    relay = two()
    down, exchange, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(before + OVERLOADED)
    assert upstream.is_closed
    assert key_of(exchange) == "two"
    stream(serving(relay, exchange))
    assert (len(down.heads), down.got) == (1, START + CONTENT + STOP)


def test_a_stream_that_ends_without_content_goes_elsewhere_and_alone_is_passed_on_as_it_came() -> (
    None
):
    relay = two()
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
    assert (down.got, down.ended) == (START, "complete")
    assert relay.log.records[0]["error"] == "empty_stream"
    assert relay.in_flight() == 0


def test_a_stream_lost_after_its_first_content_is_run_nowhere_else() -> None:
    relay = two()
    down, _, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT)
    upstream.lose(Loss.RESET)
    assert (down.ended, down.got) == ("cut", START + CONTENT)
    assert relay.pools["two"].dials == []
    assert relay.log.records[0]["attempts"] == 1


def test_a_request_that_would_fail_anywhere_is_told_at_once() -> None:
    relay = two()
    down, _, upstream = begin(relay)
    answer(upstream, 400, INVALID)
    assert down.got.endswith(INVALID)
    assert relay.log.records[0]["attempts"] == 1
    assert relay.providers[0].endpoint.breaker.state is State.CLOSED


def test_no_target_is_asked_twice_and_the_client_gets_the_most_telling_error() -> None:
    relay = two(attempts_max=8)
    down, exchange, upstream = begin(relay)
    answer(upstream, 401, REFUSED)
    answer(serving(relay, exchange), 529, BUSY)
    relay.pools["two"].refuse(UpstreamFailed("Provider two cannot be reached."))
    assert exchange.settled
    assert down.heads[0].startswith(b"HTTP/1.1 529 ")
    assert down.got.endswith(BUSY)
    assert len({target.slot for target in exchange.retry_state.targets}) == 3  # type: ignore[union-attr]


# ---- bounds


def test_attempts_are_bounded() -> None:
    relay = FakeRelay(*[provider(f"p{n}") for n in range(5)], config=settings(attempts_max=3))
    down, exchange, upstream = begin(relay)
    for _ in range(2):
        answer(upstream, 500, BUSY)
        upstream = serving(relay, exchange)
    answer(upstream, 500, BUSY)
    assert down.heads[0].startswith(b"HTTP/1.1 500 ")
    assert relay.log.records[0]["attempts"] == 3


def test_retries_of_all_requests_together_are_bounded() -> None:
    relay = two(retry_budget=RetryBudget(ratio=0.0, minimum=1))
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


def test_where_there_is_one_target_only_no_budget_is_spent() -> None:
    relay = FakeRelay(config=settings(retry_budget=RetryBudget(ratio=0.0, minimum=1)))
    for _ in range(3):
        _, exchange, upstream = begin(relay)
        answer(upstream, 500, BUSY)
        assert exchange.settled
    assert "retry_budget_spent" not in relay.log.events


def test_a_body_that_was_not_kept_is_not_sent_elsewhere() -> None:
    relay = two()
    down, _, upstream = begin(relay, windowed=True)
    answer(upstream, 529, BUSY)
    assert down.got.endswith(BUSY)
    assert relay.pools["two"].dials == []


def test_a_body_that_is_still_coming_goes_elsewhere_as_it_comes() -> None:
    relay = two()
    _, exchange, upstream = begin(relay, arrived=MODEL_SEEN, session="s")
    upstream.lose(Loss.RESET)
    assert key_of(exchange) == "two"
    assert serving(relay, exchange).sent


# ---- what rests


@pytest.mark.parametrize(
    ("status", "body", "fields", "state", "event"),
    [
        (429, LIMITED, b"retry-after: 7\r\n", Capacity.RESTING, "key_cooldown"),
        (429, LIMITED, b"", Capacity.READY, None),
        (401, REFUSED, b"", Capacity.OUT, "key_disabled"),
        (402, BROKE, b"", Capacity.RESTING, "key_cooldown"),
        (529, BUSY, b"", Capacity.READY, None),
    ],
    ids=["limit", "crowded", "refused", "spent", "overloaded"],
)
def test_a_key_rests_for_its_own_failures_only(
    status: int, body: bytes, fields: bytes, state: Capacity, event: str | None
) -> None:
    relay = two()
    _, exchange, upstream = begin(relay)
    gauge = exchange.target.limits  # type: ignore[union-attr]
    answer(upstream, status, body, fields)
    assert gauge.state(relay.reactor.now, 1, 1) == state
    told = [name for name in relay.log.events if name.startswith("key_")]
    assert told == ([event] if event else [])


def test_a_refused_key_is_told_once_and_loudly_and_never_shown() -> None:
    relay = FakeRelay(provider("one", keys=keys("a")), provider("two"), config=settings())
    _, first, upstream = begin(relay)
    relay.reactor.now += 1.0
    _, second, other = begin(relay)
    answer(upstream, 401, REFUSED)
    answer(other, 401, REFUSED)
    ((level, _, fields),) = [told for told in relay.log.told if told[1] == "key_disabled"]
    assert level == "error"
    assert "SIGHUP" in fields["hint"]
    assert "test-key" not in repr(relay.log.told)
    assert key_of(first) == key_of(second) == "two"


def test_failures_of_the_endpoint_open_its_breaker_and_those_of_keys_do_not() -> None:
    relay = two()
    breaker = relay.providers[0].endpoint.breaker
    for _ in range(3):
        _, _, upstream = begin(relay)
        answer(upstream, 429, LIMITED)
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
def test_it_is_known_whether_a_connection_that_can_be_made_would_be_news(
    how: str, answers: bool
) -> None:
    relay = two()
    exchange = relay.request(FakeDown(relay.reactor))
    if how == "refused":
        relay.pools["one"].refuse(UpstreamFailed("Provider one cannot be reached."))
    elif how == "reset":
        serving(relay, exchange).lose(Loss.RESET)
    else:
        answer(serving(relay, exchange), 500, BUSY)
    assert relay.providers[0].endpoint.stats.answers is answers


def test_a_failed_attempt_gives_its_tokens_back_and_stays_counted_as_a_request() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", rpm_limit=5, itpm_limit=1000)), provider("two")
    )
    _, exchange, upstream = begin(relay)
    gauge = exchange.target.limits  # type: ignore[union-attr]
    assert gauge.used(1, relay.reactor.now) > 0
    answer(upstream, 529, BUSY)
    assert [gauge.used(dim, relay.reactor.now) for dim in range(2)] == [1, 0]


def test_where_nothing_was_sent_the_request_is_given_back_as_well() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", rpm_limit=5)), provider("two"))
    exchange = relay.request(FakeDown(relay.reactor))
    gauge = exchange.target.limits  # type: ignore[union-attr]
    relay.pools["one"].refuse(UpstreamFailed("Provider one cannot be reached."))
    assert gauge.used(0, relay.reactor.now) == 0
    assert relay.in_flight() == 1  # of the other


@pytest.mark.parametrize(("status", "body"), [(429, LIMITED), (401, REFUSED), (529, BUSY)])
def test_what_counting_tokens_meets_says_nothing_of_messages(status: int, body: bytes) -> None:
    relay = two()
    exchange = relay.request(FakeDown(relay.reactor), RequestClass.COUNT_TOKENS)
    service = relay.providers[0]
    for _ in range(3):
        if not exchange.settled:
            answer(serving(relay, exchange), status, body, b"retry-after: 30\r\n")
    assert all(t.limits.state(relay.reactor.now, 1, 1) == Capacity.READY for t in service.targets)
    assert service.endpoint.breaker.state is State.CLOSED
    assert "failures=0" in repr(service.endpoint)


def test_a_client_that_has_not_sent_its_body_is_no_failure_of_the_endpoint() -> None:
    relay = FakeRelay(provider("one"), config=settings())
    for _ in range(3):
        _, _, upstream = begin(relay, arrived=MODEL_SEEN)
        upstream.lose(Loss.RESET)
    assert relay.providers[0].endpoint.breaker.state is State.CLOSED


def test_a_late_error_event_is_passed_on_and_blamed_on_the_endpoint() -> None:
    relay = two()
    for _ in range(2):
        down, _, upstream = begin(relay)
        upstream.respond(STREAM_HEAD)
        upstream.feed(START + CONTENT + OVERLOADED)
        upstream.finish()
        assert down.got == START + CONTENT + OVERLOADED
    assert [line["error"] for line in relay.log.records] == ["error_event"] * 2
    assert relay.providers[0].endpoint.breaker.state is State.OPEN


# ---- signatures


def test_a_400_about_signatures_is_tried_again_at_the_same_target_without_foreign_blocks() -> None:
    relay = FakeRelay(provider("one", "anthropic", signatures="claude"), provider("two"))
    down, exchange, upstream = begin(relay, body=FOREIGN)
    answer(upstream, 400, UNSIGNED)
    again = serving(relay, exchange)
    assert exchange.target is relay.providers[0].targets[0]
    body = again.sent[-1][2]
    assert body is not None
    assert b"thinking" not in body
    assert b'"text":"a"' in body
    stream(again)
    assert down.ended == "complete"
    assert relay.in_flight() == 0


def test_when_only_claudes_own_blocks_are_left_they_go_as_well_and_then_it_is_told() -> None:
    relay = FakeRelay(provider("one", "anthropic", signatures="claude"), provider("two"))
    down, exchange, upstream = begin(relay, body=OWN)
    answer(upstream, 400, UNSIGNED)
    again = serving(relay, exchange)
    body = again.sent[-1][2]
    assert body is not None
    assert b"thinking" not in body
    answer(again, 400, UNSIGNED)
    assert down.got.endswith(UNSIGNED)
    assert relay.log.records[0]["attempts"] == 2
    assert relay.log.events.count("thinking_stripped") == 1


def test_a_400_about_signatures_without_any_thinking_to_leave_out_is_told() -> None:
    relay = FakeRelay(provider("one", "anthropic", signatures="claude"), provider("two"))
    down, _, upstream = begin(relay)
    answer(upstream, 400, UNSIGNED)
    assert down.got.endswith(UNSIGNED)
    assert relay.in_flight() == 0


def test_blocks_left_out_for_one_target_are_sent_to_the_next_that_can_read_them() -> None:
    relay = FakeRelay(provider("one", "anthropic", signatures="claude"), provider("two"))
    _, exchange, upstream = begin(relay, body=FOREIGN)
    answer(upstream, 400, UNSIGNED)
    answer(serving(relay, exchange), 529, BUSY)
    assert key_of(exchange) == "two"
    assert serving(relay, exchange).sent[-1][2] is None  # the client's own bytes


def test_counting_tokens_with_signatures_left_out_counts_against_no_limit() -> None:
    relay = FakeRelay(
        provider("one", "anthropic", signatures="claude", keys=keys("a", rpm_limit=5)),
        provider("two"),
    )
    exchange = relay.request(FakeDown(relay.reactor, body=FOREIGN), RequestClass.COUNT_TOKENS)
    answer(serving(relay, exchange), 400, UNSIGNED)
    answer(serving(relay, exchange), 200, b'{"input_tokens":5}')
    assert exchange.settled
    assert relay.providers[0].targets[0].limits.used(0, relay.reactor.now) == 0


# ---- the place of a conversation that cannot wait


@pytest.mark.parametrize("bound", [{"queue_max": 0}, {"queue_timeout_s": 0.0}])
def test_a_conversation_that_may_not_wait_for_its_key_takes_another_instead_of_an_error(
    bound: dict[str, object],
) -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", "b", max_concurrent=1)),
        config=settings(affinity=Affinity(wait_s=5.0), **bound),
    )
    first = relay.request(FakeDown(relay.reactor, session="s"))
    assert first.request is not None
    assert first.target is not None
    relay.affinity.keep(
        first.request.conversation, first.target.slot, relay.reactor.now, prefix_tokens=9000
    )
    second = relay.request(FakeDown(relay.reactor, session="s"))
    assert second.target is not None
    assert second.target is not first.target
    assert second.reservation is not None


# ---- behind an early head


def early() -> tuple[FakeRelay, FakeDown, Exchange, FakeUpstream]:
    relay = two(ping_s=1.0, early_head_s=2.0)
    down, exchange, upstream = begin(relay)
    relay.reactor.now += 2.0
    exchange.on_wait()
    assert down.heads[0].startswith(b"HTTP/1.1 200 ")
    return relay, down, exchange, upstream


def test_behind_an_early_head_a_failure_still_goes_elsewhere_and_is_recorded_as_a_success() -> None:
    relay, down, exchange, upstream = early()
    answer(upstream, 529, BUSY)
    stream(serving(relay, exchange))
    assert down.got.endswith(START + CONTENT + STOP)
    assert b"event: error" not in down.got
    (line,) = relay.log.records
    assert (line["status"], line["ending"], line["attempts"]) == (200, "complete", 2)


def test_behind_an_early_head_the_trial_of_a_breaker_ends_with_the_first_content() -> None:
    relay = FakeRelay(provider("one"), config=settings(ping_s=1.0, early_head_s=2.0))
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


@pytest.mark.parametrize("then", ["begin", "answer"])
def test_the_head_of_a_stream_that_failed_never_goes_out(then: str) -> None:
    relay = two(ping_s=1.0, early_head_s=2.0)
    down, exchange, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + OVERLOADED)
    if then == "begin":
        relay.reactor.now += 2.0
        exchange.on_wait()
        relay.reactor.now += 1.0
        exchange.on_wait()
        assert len(down.heads) == 1
    answer(serving(relay, exchange), 400, INVALID)
    assert len(down.heads) == 1
    assert b"messages: empty" in down.got


# ---- the client


def test_a_client_that_leaves_while_a_retry_is_dialled_is_the_end_of_it() -> None:
    relay = two()
    down, exchange, upstream = begin(relay)
    answer(upstream, 529, BUSY)
    down.leave()
    assert exchange.settled
    fresh = relay.pools["two"].connect()
    assert fresh.sent == []
    assert relay.in_flight() == 0
    assert relay.log.records[0]["ending"] == "client_left"


def test_the_whole_body_is_sent_again_by_the_name_the_next_provider_has_for_the_model() -> None:
    relay = FakeRelay(provider("one"), provider("two", model_mapping={"m": "other"}))
    _, exchange, upstream = begin(relay, body=BODY)
    answer(upstream, 529, BUSY)
    assert serving(relay, exchange).sent[-1][1] == b'"other"'


def test_a_pooled_connection_that_was_stale_costs_no_attempt_and_blames_nobody() -> None:
    relay = two()
    relay.pools["one"].add_idle()
    exchange = relay.request(FakeDown(relay.reactor))
    serving(relay, exchange).lose(Loss.CLOSED)
    assert exchange.retry_state is None
    fresh = relay.pools["one"].connect_for(exchange)
    stream(fresh)
    assert relay.log.records[0]["provider"] == "one"
    assert relay.log.events == []


def test_a_key_that_rests_for_its_quota_is_looked_at_when_the_header_says() -> None:
    relay = FakeRelay(provider("one", keys=keys("a")), provider("two"))
    _, exchange, upstream = begin(relay)
    gauge = exchange.target.limits  # type: ignore[union-attr]
    answer(upstream, 429, LIMITED, b"retry-after: 40\r\n")
    assert gauge.cooldown_reason == Cooldown.RATE
    assert gauge.cooldown_until() == pytest.approx(relay.reactor.now + 40.0)
