"""What an exchange leaves behind, where a review found that it left something else."""

from typing import Any

import pytest

from ccrelay._fast.affinity_table import hash64
from ccrelay._fast.rate_limits import Dimension
from ccrelay.fleet.breaker import State
from ccrelay.types import RequestClass
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
from tests.unit.relay.test_asking import AGENT, ask, delta, fail, serve, serving, settings, start

LARGE = b'{"model":"m","stream":true,"messages":["%b"]}' % (b"x" * 30_000)
SMALL = b'{"model":"m","stream":true,"messages":[]}'


def used(relay: FakeRelay, dim: Dimension, provider: int = 0) -> int:
    gauge = relay.providers[provider].targets[0].limits
    return int(gauge.used(int(dim), relay.reactor.now))


def test_a_whole_answer_that_reports_nothing_keeps_the_estimate() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", tpm_limit=10**9)))
    exchange = ask(relay, body=LARGE)
    serve(relay, exchange, CONTENT, STOP)
    assert exchange.request is not None
    assert used(relay, Dimension.INPUT) == exchange.request.tokens_in
    assert used(relay, Dimension.OUTPUT) == exchange.request.tokens_out


def test_a_count_that_goes_well_proves_nothing_of_messages() -> None:
    relay = FakeRelay(provider("one"), provider("two"), config=settings())
    for number in range(3):
        fail(relay, ask(relay, session=f"s-{number}"))
        count = relay.request(FakeDown(relay.reactor), RequestClass.COUNT_TOKENS)
        if count.target is relay.providers[0].targets[0]:
            upstream = serving(relay, count)
            upstream.respond(json_head(200))
            upstream.feed(b'{"input_tokens":3}')
            upstream.finish()
    assert relay.providers[0].endpoint.breaker.state is State.OPEN


def test_streams_that_break_behind_content_are_nothing_a_connection_can_disprove() -> None:
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


def test_own_tokens_are_corrected_before_headers_are_learnt() -> None:
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


def test_a_spent_window_is_told_where_the_answer_was_none_of_a_refusal() -> None:
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


def test_a_call_as_short_as_a_title_does_not_take_the_conversation_along() -> None:
    relay = FakeRelay(provider("one"), provider("two"), config=settings())
    serve(relay, ask(relay, body=LARGE))
    home = relay.affinity.find(hash64(b"s-1"), relay.reactor.now)
    assert home is not None
    title = ask(relay, body=SMALL)
    fail(relay, title)
    serve(relay, title)
    place = relay.affinity.find(hash64(b"s-1"), relay.reactor.now)
    assert place is not None
    assert place.slot == home.slot
    assert relay.log.members("moved") == []
    for _ in range(12):  # the main loop itself has become short
        turn = ask(relay, body=SMALL)
        fail(relay, turn)
        serve(relay, turn)
        relay.reactor.now += 60.0
    place = relay.affinity.find(hash64(b"s-1"), relay.reactor.now)
    assert place is not None
    assert place.slot != home.slot


def test_a_sub_agents_short_cache_does_not_end_the_main_loops_long_one() -> None:
    relay = FakeRelay(provider("one"), provider("two"), config=settings())
    serve(relay, ask(relay), start(100, hour=9000), CONTENT, delta(), STOP)
    serve(relay, ask(relay, extra=AGENT), start(100, written=900), CONTENT, delta(), STOP)
    place = relay.affinity.find(hash64(b"s-1"), relay.reactor.now + 3000.0)
    assert place is not None


@pytest.mark.parametrize("status", [200, 529])
def test_what_was_taken_goes_back_once(status: int) -> None:
    relay = FakeRelay(provider("one", keys=keys("a", tpm_limit=10**9)))
    exchange: Any = ask(relay)
    if status == 200:
        serve(relay, exchange)
    else:
        fail(relay, exchange)
    assert (exchange.reservation, exchange.ticket, relay.in_flight()) == (None, None, 0)
