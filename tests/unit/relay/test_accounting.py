"""Usage against limits, learned limits, cooldowns and averages."""

import pytest

from ccrelay._fast.rate_limits import Capacity, Cooldown, Dimension
from ccrelay._fast.upstream import Loss
from ccrelay._fast.usage import Usage
from ccrelay.config.model import Key, Price
from ccrelay.errors import UpstreamFailed
from ccrelay.ledger.prices import PRICES_VERSION
from ccrelay.ledger.record import Billing, Record
from ccrelay.relay import accounting
from ccrelay.relay.accounting import start_cooldown
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.outcome import Outcome
from ccrelay.types import OutputClass, RequestClass
from tests.unit.relay.fakes import (
    CONTENT,
    STOP,
    STREAM_HEAD,
    FakeDown,
    FakeRelay,
    json_head,
    keys,
    provider,
)
from tests.unit.relay.scenario import (
    BROKE,
    BUSY,
    FOREIGN_THOUGHT,
    LIMITED,
    REFUSED,
    UNSIGNED_BLOCK,
    answer,
    ask,
    attempt_of,
    begin,
    delta,
    key_of,
    serve,
    serving,
    settings,
    start,
    target_of,
    two,
    two_keys_and_two,
)

LARGE = b'{"model":"m","stream":true,"messages":["%b"]}' % (b"x" * 30_000)
USAGE_START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":'
    b'{"input_tokens":7,"cache_read_input_tokens":5,"output_tokens":1}}}\n\n'
)


def usage_of(exchange: Exchange) -> tuple[Usage | None, str | None]:
    """Usage and stop reason as they are read at the end."""
    outcome = Outcome()
    accounting.read_usage(attempt_of(exchange).upstream, outcome)
    return outcome.usage, outcome.stop_reason


def used(relay: FakeRelay, dim: Dimension, number: int = 0) -> int:
    limits = relay.providers[number].targets[0].limits
    return int(limits.used(int(dim), relay.reactor.now))


def counted(relay: FakeRelay) -> tuple[int, int, int]:
    """Requests, input and output tokens that count against the limits of the first key."""
    return (
        used(relay, Dimension.REQUESTS),
        used(relay, Dimension.INPUT),
        used(relay, Dimension.OUTPUT),
    )


def limited() -> FakeRelay:
    return FakeRelay(provider("one", keys=keys("a", tpm_limit=1_000_000, rpm_limit=100)))


# ---- usage


def test_usage_of_a_json_response(relay: FakeRelay) -> None:
    _, exchange, upstream = begin(relay)
    upstream.respond(json_head(200))
    upstream.taps.json_usage = b'{"input_tokens":3,"output_tokens":4}'
    usage, stop = usage_of(exchange)
    assert (usage.input, usage.output, stop) == (3, 4, None)


def test_usage_of_a_response_without_any_is_zero(relay: FakeRelay) -> None:
    _, exchange, upstream = begin(relay)
    upstream.respond(json_head(500))
    assert usage_of(exchange) == (Usage(), None)


def test_usage_of_a_stream_cut_early_is_that_of_message_start(relay: FakeRelay) -> None:
    _, exchange, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(USAGE_START)
    usage, stop = usage_of(exchange)
    assert (usage.input, usage.output, stop) == (7, 1, None)


# ---- against limits


def test_a_reservation_is_settled_with_the_reported_usage() -> None:
    relay = limited()
    exchange = ask(relay)
    serve(relay, exchange, start(700, written=50), CONTENT, delta(80), STOP)
    assert counted(relay) == (1, 750, 80)
    assert relay.in_flight() == 0


def test_reported_input_counts_from_the_first_content_on() -> None:
    relay = limited()
    exchange = ask(relay)
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    upstream.feed(start(700) + CONTENT)
    assert counted(relay)[1] == 700


def test_a_message_start_without_usage_keeps_the_estimate() -> None:
    relay = limited()
    exchange = ask(relay)
    before = counted(relay)
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    upstream.feed(start(0) + CONTENT)
    assert counted(relay) == before


@pytest.mark.parametrize("how", ["leaves", "is lost"])
def test_a_stream_that_broke_off_counts_the_estimated_output(how: str) -> None:
    relay = limited()
    exchange = ask(relay)
    estimate = exchange.request.tokens_out
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    upstream.feed(start(700) + CONTENT)
    if how == "leaves":
        exchange.client.down.leave()
    else:
        upstream.lose(Loss.RESET)
    assert counted(relay) == (1, 700, estimate)
    assert relay.in_flight() == 0


def test_a_client_that_leaves_early_is_charged_its_input_if_it_was_sent() -> None:
    relay = limited()
    exchange = ask(relay)
    serving(relay, exchange)
    exchange.client.down.leave()
    assert exchange.request is not None
    assert counted(relay) == (1, exchange.request.tokens_in, 0)
    relay = limited()
    exchange = ask(relay)
    exchange.client.down.leave()
    assert counted(relay) == (1, 0, 0), "it was still being connected"


def test_estimates_follow_the_reported_usage() -> None:
    relay = limited()
    body = b'{"model":"m","stream":true,"messages":["%b"]}' % (b"x" * 9000)
    first = ask(relay, body=body)
    serve(relay, first, start(9000), CONTENT, delta(10), STOP)
    second = ask(relay, body=body)
    assert second.request is not None
    assert first.request is not None
    assert second.request.tokens_in > first.request.tokens_in
    assert second.request.tokens_out < first.request.tokens_out


def test_a_complete_response_without_usage_is_charged_the_estimate() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", tpm_limit=10**9)))
    exchange = ask(relay, body=LARGE)
    serve(relay, exchange, CONTENT, STOP)
    assert exchange.request is not None
    assert used(relay, Dimension.INPUT) == exchange.request.tokens_in
    assert used(relay, Dimension.OUTPUT) == exchange.request.tokens_out


def test_a_failed_attempt_gives_back_tokens_but_not_the_request() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", rpm_limit=5, itpm_limit=1000)), provider("two")
    )
    _, exchange, upstream = begin(relay)
    gauge = target_of(exchange).limits
    assert gauge.used(1, relay.reactor.now) > 0
    answer(upstream, 529, BUSY)
    assert [gauge.used(dim, relay.reactor.now) for dim in range(2)] == [1, 0]


def test_a_failed_dial_gives_back_the_request_too() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", rpm_limit=5)), provider("two"))
    exchange = relay.request(FakeDown(relay.reactor))
    gauge = target_of(exchange).limits
    relay.pools["one"].refuse(UpstreamFailed("Provider one cannot be reached."))
    assert gauge.used(0, relay.reactor.now) == 0
    assert relay.in_flight() == 1  # of the other


def test_a_stripped_count_tokens_counts_against_no_limit() -> None:
    relay = FakeRelay(
        provider("one", "anthropic", signatures="claude", keys=keys("a", rpm_limit=5)),
        provider("two"),
    )
    exchange = relay.request(
        FakeDown(relay.reactor, body=FOREIGN_THOUGHT), RequestClass.COUNT_TOKENS
    )
    answer(serving(relay, exchange), 400, UNSIGNED_BLOCK)
    answer(serving(relay, exchange), 200, b'{"input_tokens":5}')
    assert exchange.settled
    assert relay.providers[0].targets[0].limits.used(0, relay.reactor.now) == 0


# ---- learned limits


def test_limits_are_learned_from_headers_but_not_for_client_credentials() -> None:
    fields = (
        b"anthropic-ratelimit-requests-limit: 50\r\nanthropic-ratelimit-requests-remaining: 9\r\n"
        b"anthropic-ratelimit-requests-reset: 30\r\n"
    )
    for credentials, learned in ([Key(key="test-key-a")], True), ([], False):
        relay = FakeRelay(provider("one", "anthropic", keys=credentials))
        upstream = serving(relay, ask(relay))
        upstream.respond(STREAM_HEAD[:-2] + fields + b"\r\n")
        upstream.feed(start() + CONTENT)
        gauge = relay.providers[0].targets[0].limits
        assert (gauge.learned(int(Dimension.REQUESTS), relay.reactor.now) is not None) is learned


def test_own_tokens_are_corrected_before_limits_are_learned() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", itpm_limit=10**9)))
    upstream = serving(relay, ask(relay))
    fields = (
        b"anthropic-ratelimit-input-tokens-limit: 200000\r\n"
        b"anthropic-ratelimit-input-tokens-remaining: 100000\r\n"
        b"anthropic-ratelimit-input-tokens-reset: 30\r\n"
    )
    upstream.respond(STREAM_HEAD[:-2] + fields + b"\r\n")
    upstream.feed(start(100_000) + CONTENT)
    gauge = relay.providers[0].targets[0].limits
    assert gauge.learned(int(Dimension.INPUT), relay.reactor.now) == (200_000, 0), (
        "all of it is ours"
    )


def test_a_spent_window_in_a_200_starts_a_cooldown() -> None:
    relay = FakeRelay(provider("one", "anthropic"))
    upstream = serving(relay, ask(relay))
    fields = (
        b"anthropic-ratelimit-unified-5h-status: rejected\r\n"
        b"anthropic-ratelimit-unified-5h-reset: 900\r\n"
    )
    upstream.respond(STREAM_HEAD[:-2] + fields + b"\r\n")
    upstream.feed(start() + CONTENT)
    (told,) = relay.log.members("key_cooldown")
    assert (told["why"], told["seconds"]) == ("window_spent", 900.0)


# ---- cooldowns


def test_a_cooldown_is_logged_once_for_requests_refused_together():
    relay = FakeRelay(provider("one", keys=[Key(key="test-key-a", name="team")]))
    target = relay.providers[0].targets[0]
    start_cooldown(relay.context, target, 30.0, Cooldown.RATE, "rate_limited")
    start_cooldown(relay.context, target, 30.5, Cooldown.RATE, "rate_limited")
    (told,) = relay.log.members("key_cooldown")
    assert (told["key_name"], told["why"], told["seconds"]) == ("team", "rate_limited", 30.0)
    assert target.limits.cooldown_until() == relay.reactor.now + 30.5
    start_cooldown(relay.context, target, 90.0, Cooldown.QUOTA, "quota_spent")
    assert len(relay.log.members("key_cooldown")) == 2, "much longer is news"


@pytest.mark.parametrize(
    ("status", "body", "fields", "state", "event"),
    [
        (429, LIMITED, b"retry-after: 7\r\n", Capacity.COOLING_DOWN, "key_cooldown"),
        (429, LIMITED, b"", Capacity.READY, None),
        (401, REFUSED, b"", Capacity.DISABLED, "key_disabled"),
        (402, BROKE, b"", Capacity.COOLING_DOWN, "key_cooldown"),
        (529, BUSY, b"", Capacity.READY, None),
    ],
    ids=["limit", "crowded", "refused", "spent", "overloaded"],
)
def test_only_failures_of_a_key_start_its_cooldown(
    status: int, body: bytes, fields: bytes, state: Capacity, event: str | None
) -> None:
    relay = two_keys_and_two()
    _, exchange, upstream = begin(relay)
    gauge = target_of(exchange).limits
    answer(upstream, status, body, fields)
    assert gauge.state(relay.reactor.now, 1, 1) == state
    told = [name for name in relay.log.events if name.startswith("key_")]
    assert told == ([event] if event else [])


def test_a_refused_key_is_logged_once_and_never_shown() -> None:
    relay = FakeRelay(provider("one", keys=keys("a")), provider("two"), config=settings(failures=2))
    _, first, upstream = begin(relay)
    relay.reactor.now += 1.0
    _, second, other = begin(relay)
    answer(upstream, 401, REFUSED)
    answer(other, 401, REFUSED)
    ((level, _, fields),) = [told for told in relay.log.entries if told[1] == "key_disabled"]
    assert level == "error"
    assert "SIGHUP" in fields["hint"]
    assert "test-key" not in repr(relay.log.entries)
    assert key_of(first) == key_of(second) == "two"


def test_a_rate_limit_cooldown_lasts_as_the_header_says() -> None:
    relay = FakeRelay(provider("one", keys=keys("a")), provider("two"))
    _, exchange, upstream = begin(relay)
    gauge = target_of(exchange).limits
    answer(upstream, 429, LIMITED, b"retry-after: 40\r\n")
    assert gauge.cooldown_reason == Cooldown.RATE
    assert gauge.cooldown_until() == pytest.approx(relay.reactor.now + 40.0)


# ---- averages


def test_time_to_first_event_is_averaged_per_output_class() -> None:
    relay = two()
    exchange = ask(relay)
    upstream = serving(relay, exchange)
    relay.reactor.now += 0.5
    upstream.respond(STREAM_HEAD)
    relay.reactor.now += 0.5
    upstream.feed(start() + CONTENT + delta() + STOP)
    upstream.finish()
    pulse = relay.providers[0].endpoint.stats
    assert pulse.average(OutputClass.THINKING) == pytest.approx(1.0)
    assert pulse.average(OutputClass.STREAM) == 0.0


# ---- cost


OPUS = {"m": "claude-opus-5"}


def last(relay: FakeRelay) -> Record:
    return relay.written()[-1]


def priced(
    relay: FakeRelay, *events: bytes, auth: ClientAuth | None = None, extra: bytes = b""
) -> Record:
    exchange = relay.request(FakeDown(relay.reactor, session="s-1", extra=extra), auth=auth)
    serve(relay, exchange, *events)
    return last(relay)


def test_an_answer_costs_what_its_usage_says() -> None:
    relay = FakeRelay(provider("one", model_mapping=OPUS))
    found = priced(
        relay, start(1000, written=2000, hour=3000, read=10_000), CONTENT, delta(100), STOP
    )
    assert found.cost_micros == 5_000 + 12_500 + 30_000 + 5_000 + 2_500
    assert found.uncached_micros == 80_000 + 2_500
    assert (found.moved_micros, found.billing) == (0, Billing.TOKENS)
    assert found.prices_version == PRICES_VERSION


def test_an_unknown_price_is_no_zero_but_nothing_used_is() -> None:
    relay = FakeRelay(provider("one", model_mapping={"m": "nobody-knows"}))
    found = priced(relay)
    assert (found.cost_micros, found.uncached_micros, found.prices_version) == (-1, -1, "")
    down = FakeDown(relay.reactor)
    relay.request(down)
    down.leave()
    assert (last(relay).cost_micros, last(relay).uncached_micros) == (0, 0)


def test_a_configured_price_is_named_as_such() -> None:
    prices = {"m": Price(input=1.0, output=10.0)}
    relay = FakeRelay(provider("one", prices=prices))
    found = priced(relay, start(1000), CONTENT, delta(100), STOP)
    assert (found.cost_micros, found.prices_version) == (2_000, "config")


def test_a_local_model_is_free() -> None:
    relay = FakeRelay(provider("one", "ollama", count_tokens="estimate"))
    found = priced(relay)
    assert (found.billing, found.cost_micros) == (Billing.FREE, 0)


def test_a_plan_is_configured() -> None:
    relay = FakeRelay(provider("one", billing="plan", model_mapping=OPUS))
    found = priced(relay)
    assert found.billing == Billing.PLAN
    assert found.cost_micros > 0


def test_a_move_from_a_warm_cache_has_a_price() -> None:
    relay = FakeRelay(
        provider("one", model_mapping=OPUS),
        provider("two", model_mapping=OPUS),
        config=settings(queue_timeout_s=0.0),
    )
    priced(relay, start(1000, written=50_000), CONTENT, delta(), STOP)
    relay.providers[0].targets[0].limits.start_cooldown(relay.reactor.now + 900.0, 1)
    moved = priced(relay, start(51_000), CONTENT, delta(), STOP)
    assert (moved.provider, moved.moved) == ("two", True)
    assert moved.moved_micros == round(51_000 * (6.25 - 0.5))
    assert moved.passed.startswith("one/")


PASSING = {"auth": "passthrough", "keys": [], "model_mapping": OPUS}


@pytest.mark.parametrize(
    ("extra", "auth", "billing"),
    [
        (b"authorization: Bearer theirs\r\n", ClientAuth(False, False, True), Billing.PLAN),
        (b"Authorization: bearer theirs\r\n", ClientAuth(False, False, True), Billing.PLAN),
        (b"x-api-key: theirs\r\n", ClientAuth(False, False, True), Billing.TOKENS),
        (b"authorization: Basic x\r\n", ClientAuth(False, False, True), Billing.TOKENS),
        (
            b"authorization: Bearer ours\r\nx-api-key: theirs\r\n",
            ClientAuth(True, False, True),
            Billing.TOKENS,
        ),
        (
            b"authorization: Bearer theirs\r\nx-api-key: ours\r\n",
            ClientAuth(False, True, True),
            Billing.PLAN,
        ),
    ],
)
def test_a_login_that_is_passed_through_is_a_plan(
    extra: bytes, auth: ClientAuth, billing: Billing
) -> None:
    relay = FakeRelay(provider("one", "anthropic", **PASSING))
    assert priced(relay, auth=auth, extra=extra).billing == billing


# ---- windows


UNIFIED = (
    b"anthropic-ratelimit-unified-status: allowed\r\n"
    b"anthropic-ratelimit-unified-5h-utilization: 0.5\r\n"
)


@pytest.mark.parametrize("settings_", [{}, PASSING], ids=["own key", "passed through"])
def test_windows_are_recorded_as_often_as_limits_are_read(settings_: dict[str, object]) -> None:
    relay = FakeRelay(provider("one", "anthropic" if settings_ else "compatible", **settings_))
    head = STREAM_HEAD[:-2] + UNIFIED + b"\r\n"
    shown = []
    for pause_s in (0.0, 0.1, 0.3):
        relay.pass_time(pause_s)
        _, _, upstream = begin(relay)
        upstream.respond(head)
        upstream.feed(CONTENT + STOP)
        upstream.finish()
        shown.append([(w.name, w.utilization) for w in last(relay).windows])
    assert shown == [[("5h", 0.5)], [], [("5h", 0.5)]]
    assert relay.providers[0].limited is False or not settings_
