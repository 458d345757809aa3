"""What is known of a request before it is sent, and what is learnt when it is over."""

from typing import Any

import pytest

from ccrelay._fast.affinity_table import FOREIGN, MOVED, UNSIGNED, Binding, hash64
from ccrelay._fast.rate_limits import Cooldown, Dimension
from ccrelay._fast.upstream import Loss
from ccrelay.config.model import Affinity, Config, Key, Price, Routing, Rule, Use, When
from ccrelay.relay import asking
from ccrelay.relay.exchange import Exchange
from ccrelay.types import OutputClass, RequestClass, TrafficClass
from tests.unit.relay.fakes import (
    CONTENT,
    MODEL_SEEN,
    STOP,
    STREAM_HEAD,
    FakeDown,
    FakeRelay,
    FakeUpstream,
    json_head,
    keys,
    provider,
)

AGENT = b"x-claude-code-agent-id: a-1\r\n"
BUSY = b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}'


def start(tokens_in: int = 9000, written: int = 0, hour: int = 0) -> bytes:
    cache = b'{"ephemeral_5m_input_tokens":%d,"ephemeral_1h_input_tokens":%d}' % (written, hour)
    usage = b'{"input_tokens":%d,"cache_creation_input_tokens":%d,"cache_creation":%b}' % (
        tokens_in,
        written + hour,
        cache,
    )
    event = b'{"type":"message_start","message":{"usage":%b}}' % usage
    return b"event: message_start\ndata: " + event + b"\n\n"


def delta(tokens_out: int = 80) -> bytes:
    event = b'{"type":"message_delta","usage":{"output_tokens":%d}}' % tokens_out
    return b"event: message_delta\ndata: " + event + b"\n\n"


def settings(**routing: Any) -> Config:
    return Config(routing=Routing(**{"strategy": "failover", **routing}))


def two(**routing: Any) -> FakeRelay:
    return FakeRelay(provider("one"), provider("two"), config=settings(**routing))


def ask(relay: FakeRelay, session: str | None = "s-1", **more: Any) -> Exchange:
    return relay.request(FakeDown(relay.reactor, session=session, **more))


def serving(relay: FakeRelay, exchange: Exchange) -> FakeUpstream:
    if exchange.upstream is None:
        assert exchange.target is not None
        relay.pools[exchange.target.provider.name].connect_for(exchange)
    upstream: FakeUpstream = exchange.upstream  # type: ignore[assignment]
    return upstream


def serve(relay: FakeRelay, exchange: Exchange, *events: bytes) -> None:
    """A whole stream; without `events` a plain one."""
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    for event in events or (start(), CONTENT, delta(), STOP):
        upstream.feed(event)
    upstream.finish()


def fail(relay: FakeRelay, exchange: Exchange) -> None:
    upstream = serving(relay, exchange)
    upstream.respond(json_head(529))
    upstream.feed(BUSY)
    upstream.finish()


def place(relay: FakeRelay, session: str = "s-1") -> Binding:
    found = relay.affinity.find(hash64(session.encode()), relay.reactor.now)
    assert found is not None
    return found


def name_of(exchange: Exchange) -> str:
    assert exchange.target is not None
    return exchange.target.provider.name


# ---- before


def test_for_a_single_target_without_limits_nothing_is_found_out() -> None:
    relay = FakeRelay(provider("one"))
    facts = ask(relay).request
    assert facts is not None
    assert (facts.conversation, facts.tokens_in, facts.tokens_out) == (0, 0, 0)


def test_for_a_single_target_that_counts_tokens_they_are_estimated() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", tpm_limit=9000)))
    facts = ask(relay).request
    assert facts is not None
    assert facts.tokens_in > 0
    assert facts.tokens_out > 0
    assert facts.conversation == 0


def test_where_there_is_a_choice_the_head_tells_conversation_and_class() -> None:
    facts = ask(two(), extra=AGENT).request
    assert facts is not None
    assert facts.conversation == hash64(b"s-1")
    assert facts.traffic is TrafficClass.SUBAGENT


def test_a_body_that_names_the_conversation_is_waited_for() -> None:
    relay = two()
    exchange = ask(relay, session=None, arrived=MODEL_SEEN)
    assert exchange.target is None
    exchange.down.arrive(1000)  # type: ignore[attr-defined]
    assert exchange.target is not None


@pytest.mark.parametrize("how", ["session", "windowed", "no affinity"])
def test_it_is_not_waited_for_where_it_is_not_needed_or_cannot_be_kept(how: str) -> None:
    relay = two(affinity=Affinity(enabled=how != "no affinity"))
    exchange = ask(
        relay,
        session="s-1" if how == "session" else None,
        arrived=MODEL_SEEN,
        windowed=how == "windowed",
    )
    assert exchange.target is not None


def test_a_title_call_is_no_thinking_turn() -> None:
    relay = two()
    titled = ask(relay, extra=b"x-claude-code-request-class: auxiliary\r\n").request
    assert titled is not None
    assert titled.output_class is OutputClass.STREAM
    turn = ask(relay).request
    assert turn is not None
    assert turn.output_class is OutputClass.THINKING


def test_counting_tokens_estimates_nothing_and_moves_nobody() -> None:
    relay = two()
    exchange = relay.request(FakeDown(relay.reactor, session="s-1"), RequestClass.COUNT_TOKENS)
    assert exchange.request is not None
    assert exchange.request.tokens_in == 0
    assert relay.affinity.find(hash64(b"s-1"), relay.reactor.now) is None


def test_nobody_estimates_tokens_where_nothing_goes_by_them() -> None:
    turn = ask(two()).request
    assert turn is not None
    assert turn.tokens_in == turn.tokens_out == 0


def test_a_warm_conversation_is_estimated_by_what_is_new_of_it_and_a_sub_agent_whole() -> None:
    limited = keys("one", tpm_limit=1_000_000)
    relay = FakeRelay(provider("one", keys=limited), provider("two"), config=settings())
    body = b'{"model":"m","stream":true,"messages":["%b"]}' % (b"x" * 9000)
    serve(relay, ask(relay, body=body))
    turn = ask(relay, body=body + b" " * 320).request
    agent = ask(relay, body=body + b" " * 320, extra=AGENT).request
    assert turn is not None
    assert agent is not None
    assert turn.tokens_home < agent.tokens_in / 10
    assert turn.tokens_in == 9000 + turn.tokens_home, "the whole of it, as it was reported"
    assert agent.tokens_home == agent.tokens_in


# ---- images


def shot(size: int = 320_000) -> bytes:
    """A screenshot: 100,000 tokens by its length, less than 2,000 by what it is."""
    image = b'{"type":"base64","media_type":"image/png","data":"%b"}' % (b"A" * size)
    return b'{"model":"m","stream":true,"messages":[{"source":%b}]}' % image


def test_a_long_body_is_not_waited_for_where_there_is_much_room_for_its_length() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", tpm_limit=250_000)))
    exchange = ask(relay, body=shot(), arrived=MODEL_SEEN)
    assert exchange.target is not None
    assert exchange.request is not None
    assert exchange.request.tokens_in > 100_000


@pytest.mark.parametrize("limit", [150_000, 50_000], ids=["most of it", "more than all of it"])
def test_images_count_by_what_they_are_where_their_length_would_fill_a_key(limit: int) -> None:
    relay = FakeRelay(provider("one", keys=keys("a", tpm_limit=limit)))
    exchange = ask(relay, body=shot(), arrived=MODEL_SEEN)
    assert exchange.target is None
    exchange.down.arrive(1_000_000)  # type: ignore[attr-defined]
    assert exchange.target is not None
    assert exchange.request is not None
    assert exchange.request.tokens_in < 2000


def test_an_image_does_not_send_a_conversation_elsewhere_by_its_length() -> None:
    limited = keys("one", tpm_limit=400_000)
    relay = FakeRelay(provider("one", keys=limited), provider("two"), config=settings())
    serve(relay, ask(relay), start(200_000), CONTENT, delta(), STOP)
    turn = ask(relay, body=shot(960_000))
    assert name_of(turn) == "one"
    assert turn.request is not None
    assert turn.request.tokens_home < 2000


def test_a_strategy_that_reckons_in_tokens_is_told_what_images_are() -> None:
    relay = FakeRelay(provider("one"), provider("two"), config=settings(strategy="cost-based"))
    exchange = ask(relay, body=shot())
    assert exchange.request is not None
    assert exchange.request.tokens_in < 2000


def test_where_it_goes_on_after_a_failure_its_length_is_no_hindrance() -> None:
    relay = FakeRelay(
        provider("one"), provider("two", keys=keys("b", tpm_limit=300_000)), config=settings()
    )
    exchange = ask(relay, body=shot())
    assert exchange.request is not None
    assert exchange.request.tokens_in > 100_000
    now = relay.reactor.now
    relay.providers[1].targets[0].limits.force(now, 250_000, 0)  # others were there meanwhile
    fail(relay, exchange)
    assert name_of(exchange) == "two"
    assert exchange.request.tokens_in < 2000


@pytest.mark.parametrize("stays", [True, False])
def test_an_upload_that_is_not_over_when_the_first_attempt_fails_is_looked_at_whole(
    stays: bool,
) -> None:
    relay = FakeRelay(
        provider("one"), provider("two", keys=keys("b", tpm_limit=300_000)), config=settings()
    )
    exchange = ask(relay, body=shot(), arrived=MODEL_SEEN)
    relay.providers[1].targets[0].limits.force(relay.reactor.now, 250_000, 0)
    fail(relay, exchange)
    assert (exchange.settled, exchange.upstream, len(relay.waiting)) == (False, None, 0)
    if stays:
        exchange.down.arrive(1_000_000)  # type: ignore[attr-defined]
        assert name_of(exchange) == "two"
    else:
        exchange.down.leave()  # type: ignore[attr-defined]
        assert "input" not in relay.log.records[-1], "its connection may be another's by now"


def test_who_has_nowhere_to_go_is_looked_at_whole_and_the_time_of_its_upload_is_no_waiting() -> (
    None
):
    relay = FakeRelay(
        provider("one", keys=keys("a", tpm_limit=500_000)), config=settings(panic="refuse")
    )
    breaker = relay.providers[0].endpoint.breaker
    for _ in range(3):
        breaker.settle(breaker.force(relay.reactor.now), relay.reactor.now, relay.rng, ok=False)
    exchange = ask(relay, body=shot(), arrived=MODEL_SEEN)
    assert (exchange.target, len(relay.waiting)) == (None, 0)
    assert exchange.down.wants == "body"  # type: ignore[attr-defined]
    relay.reactor.now += 0.5
    exchange.down.arrive(1_000_000)  # type: ignore[attr-defined]
    assert exchange.request is not None
    assert (exchange.target, len(relay.waiting)) == (None, 1)
    assert (exchange.request.rough, exchange.request.waits_since) == (False, relay.reactor.now)
    relay.pass_time(5.0)
    assert exchange.target is not None


# ---- rules


def test_a_rule_decides_by_the_head_without_the_body() -> None:
    rule = Rule(when=When(request_class=["subagent"]), use=Use(providers=["two"]))
    relay = two(rules=[rule])
    assert name_of(ask(relay)) == "one"
    assert name_of(ask(relay, extra=AGENT)) == "two"


def test_a_rule_that_needs_the_body_waits_for_it() -> None:
    relay = two(rules=[Rule(when=When(tools=True), use=Use(providers=["two"]))])
    body = b'{"model":"m","stream":true,"messages":[],"tools":[{"name":"t"}]}'
    exchange = ask(relay, body=body, arrived=MODEL_SEEN)
    assert exchange.target is None
    exchange.down.arrive(1000)  # type: ignore[attr-defined]
    assert name_of(exchange) == "two"


def test_a_rule_may_leave_nobody() -> None:
    relay = two(rules=[Rule(use=Use(model="unserved"))])
    relay.reload(provider("one", models=["m"]))
    exchange = ask(relay)
    assert exchange.down.heads[0].startswith(b"HTTP/1.1 404 ")  # type: ignore[attr-defined]


# ---- where a conversation lives


def test_a_new_conversation_lives_where_it_is_sent_before_anything_is_answered() -> None:
    relay = two()
    exchange = ask(relay)
    assert exchange.target is not None
    assert place(relay).slot == exchange.target.slot
    assert place(relay).prefix_tokens == 0


def test_a_first_place_that_failed_is_given_up_for_the_one_that_served() -> None:
    relay = two()
    exchange = ask(relay)
    fail(relay, exchange)
    serve(relay, exchange)
    assert place(relay).slot == relay.providers[1].targets[0].slot
    assert "moved" not in relay.log.events  # nothing was cached anywhere


def test_a_turn_leaves_its_prefix_its_size_and_how_long_the_cache_lives() -> None:
    relay = two()
    exchange = ask(relay)
    serve(relay, exchange, start(100, written=4000), CONTENT, delta(), STOP)
    assert (place(relay).prefix_tokens, place(relay).ttl_s) == (4100, 300.0)
    serve(relay, ask(relay), start(100, hour=9000), CONTENT, delta(), STOP)
    assert (place(relay).prefix_tokens, place(relay).ttl_s) == (9100, 3600.0)


def test_a_turn_that_failed_or_was_left_leaves_the_place_as_it_was() -> None:
    relay = two()
    serve(relay, ask(relay))
    exchange = ask(relay)
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    upstream.feed(start(50_000) + CONTENT)
    exchange.down.leave()  # type: ignore[attr-defined]
    assert place(relay).prefix_tokens == 9000


def test_moving_away_is_told_with_its_reason_and_the_price_of_the_prefix() -> None:
    dear = {"m": Price(input=5.0, output=25.0, cache_read=0.5, cache_write_5m=6.25)}
    relay = FakeRelay(provider("one"), provider("two", prices=dear), config=settings())
    serve(relay, ask(relay), start(1_000_000), CONTENT, delta(), STOP)
    relay.providers[0].targets[0].limits.rest(relay.reactor.now + 60.0, int(Cooldown.RATE))
    exchange = ask(relay)
    assert relay.log.members("moved") == [], "not before it has served"
    serve(relay, exchange)
    (told,) = relay.log.members("moved")
    assert (told["why"], told["provider"], told["prefix_tokens"]) == ("resting", "two", 1_000_000)
    assert told["prefix_usd"] > 1.0
    assert relay.log.records[-1]["moved"] is True
    assert place(relay).flags & MOVED
    # What it left has recovered: its cache is where it is now.
    relay.reactor.now += 61.0
    assert name_of(ask(relay)) == "two"


def test_moving_after_a_failure_says_so() -> None:
    relay = two()
    serve(relay, ask(relay))
    exchange = ask(relay)
    fail(relay, exchange)
    serve(relay, exchange)
    (told,) = relay.log.members("moved")
    assert told["why"] == "failed"


def test_a_turn_that_failed_everywhere_moved_nobody() -> None:
    relay = two()
    serve(relay, ask(relay))
    exchange = ask(relay)
    fail(relay, exchange)
    fail(relay, exchange)
    assert exchange.settled
    assert relay.log.members("moved") == []
    assert relay.log.records[-1].get("moved") is None


def test_a_sub_agent_that_has_to_go_elsewhere_does_not_take_the_main_loop_along() -> None:
    relay = two()
    serve(relay, ask(relay))
    home = place(relay).slot
    exchange = ask(relay, extra=AGENT)
    fail(relay, exchange)
    serve(relay, exchange)
    assert place(relay).slot == home
    assert place(relay).prefix_tokens == 9000
    assert "moved" not in relay.log.events


def test_a_sub_agents_short_turn_does_not_shorten_the_main_loops_prefix() -> None:
    relay = two()
    serve(relay, ask(relay))
    serve(relay, ask(relay, extra=AGENT), start(200), CONTENT, delta(), STOP)
    assert place(relay).prefix_tokens == 9000


# ---- thinking of other vendors


def claude_and_other() -> FakeRelay:
    return FakeRelay(
        provider("one", "anthropic", signatures="claude"), provider("two"), config=settings()
    )


def test_a_conversation_that_another_vendor_served_is_marked() -> None:
    relay = claude_and_other()
    serve(relay, ask(relay))
    assert not place(relay).flags & FOREIGN
    exchange = ask(relay)
    fail(relay, exchange)
    serve(relay, exchange)
    assert place(relay).flags & FOREIGN


def test_its_foreign_blocks_are_left_out_for_who_checks_signatures_and_for_nobody_else() -> None:
    relay = claude_and_other()
    relay.affinity.keep(
        hash64(b"s-1"), relay.providers[0].targets[0].slot, relay.reactor.now, flags=FOREIGN
    )
    exchange = ask(relay)
    assert (name_of(exchange), exchange.strip) == ("one", False)
    fail(relay, exchange)
    assert (name_of(exchange), exchange.strip) == ("two", None)


def test_where_signatures_were_refused_before_no_thinking_is_sent_any_more() -> None:
    relay = claude_and_other()
    slot = relay.providers[0].targets[0].slot
    relay.affinity.keep(hash64(b"s-1"), slot, relay.reactor.now, flags=UNSIGNED)
    exchange = ask(relay)
    assert exchange.strip is True
    serve(relay, exchange)
    assert place(relay).flags & UNSIGNED


def test_a_body_that_passes_through_a_window_is_not_edited() -> None:
    relay = claude_and_other()
    slot = relay.providers[0].targets[0].slot
    relay.affinity.keep(hash64(b"s-1"), slot, relay.reactor.now, flags=FOREIGN)
    exchange = ask(relay, windowed=True)
    assert (name_of(exchange), exchange.strip) == ("one", None)


# ---- limits


def counted(exchange: Exchange, relay: FakeRelay) -> tuple[int, int, int]:
    assert exchange.target is not None
    gauge = exchange.target.limits
    requests, tokens_in, tokens_out = (
        gauge.used(int(dim), relay.reactor.now)
        for dim in (Dimension.REQUESTS, Dimension.INPUT, Dimension.OUTPUT)
    )
    return requests, tokens_in, tokens_out


def limited() -> FakeRelay:
    return FakeRelay(provider("one", keys=keys("a", tpm_limit=1_000_000, rpm_limit=100)))


def test_what_was_reserved_is_settled_with_what_was_reported() -> None:
    relay = limited()
    exchange = ask(relay)
    serve(relay, exchange, start(700, written=50), CONTENT, delta(80), STOP)
    assert counted(exchange, relay) == (1, 750, 80)
    assert relay.in_flight() == 0


def test_the_input_counts_as_soon_as_it_is_told() -> None:
    relay = limited()
    exchange = ask(relay)
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    upstream.feed(start(700) + CONTENT)
    assert counted(exchange, relay)[1] == 700


def test_a_start_that_tells_nothing_leaves_the_estimate_in_force() -> None:
    relay = limited()
    exchange = ask(relay)
    before = counted(exchange, relay)
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    upstream.feed(start(0) + CONTENT)
    assert counted(exchange, relay) == before


@pytest.mark.parametrize("how", ["leaves", "is lost"])
def test_of_a_stream_that_broke_off_the_output_counts_as_estimated(how: str) -> None:
    relay = limited()
    exchange = ask(relay)
    estimate = exchange.request.tokens_out  # type: ignore[union-attr]
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    upstream.feed(start(700) + CONTENT)
    if how == "leaves":
        exchange.down.leave()  # type: ignore[attr-defined]
    else:
        upstream.lose(Loss.RESET)
    assert counted(exchange, relay) == (1, 700, estimate)
    assert relay.in_flight() == 0


def test_a_client_that_leaves_before_any_answer_costs_its_prompt_once_that_was_sent() -> None:
    relay = limited()
    exchange = ask(relay)
    serving(relay, exchange)
    exchange.down.leave()  # type: ignore[attr-defined]
    assert exchange.request is not None
    assert counted(exchange, relay) == (1, exchange.request.tokens_in, 0)
    relay = limited()
    exchange = ask(relay)
    exchange.down.leave()  # type: ignore[attr-defined]
    assert counted(exchange, relay) == (1, 0, 0), "it was still being connected"


def test_estimates_are_corrected_by_what_was_reported() -> None:
    relay = limited()
    body = b'{"model":"m","stream":true,"messages":["%b"]}' % (b"x" * 9000)
    first = ask(relay, body=body)
    serve(relay, first, start(9000), CONTENT, delta(10), STOP)
    second = ask(relay, body=body)
    assert second.request is not None
    assert first.request is not None
    assert second.request.tokens_in > first.request.tokens_in
    assert second.request.tokens_out < first.request.tokens_out


def test_limits_told_in_response_headers_are_learned_but_not_those_of_a_clients_login() -> None:
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


def test_latency_is_observed_where_there_is_a_choice() -> None:
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


# ---- routed anew


def test_a_reload_routes_a_compressed_request_by_the_model_that_was_read_of_it() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", max_concurrent=1)))
    ask(relay)
    waits = ask(relay)
    assert len(relay.waiting) == 1
    relay.waiting.leave(waits)
    waits.down.model = lambda: None  # type: ignore[attr-defined]
    relay.snap = relay._snapshot(relay.config, [provider("one", keys=keys("b"))])
    asking.reroute(waits)
    assert waits.model == "m"
    assert waits.reservation is not None
