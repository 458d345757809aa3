"""What is known of a request before it is sent: tokens, traffic class, conversation, rules."""

import pytest

from ccrelay._fast.affinity_table import hash64
from ccrelay.config.model import Affinity, Rule, Use, When
from ccrelay.types import OutputClass, RequestClass, TrafficClass
from tests.unit.relay.fakes import CONTENT, MODEL_SEEN, STOP, FakeDown, FakeRelay, keys, provider
from tests.unit.relay.scenario import (
    AGENT,
    ask,
    delta,
    fail,
    name_of,
    serve,
    settings,
    start,
    target_of,
    two,
    upstream_of,
)


def shot(size: int = 320_000) -> bytes:
    """A screenshot: 100,000 tokens by its length, less than 2,000 as an image."""
    image = b'{"type":"base64","media_type":"image/png","data":"%b"}' % (b"A" * size)
    return b'{"model":"m","stream":true,"messages":[{"source":%b}]}' % image


# ---- what is read


def test_a_lone_unlimited_target_needs_a_conversation_and_no_tokens() -> None:
    relay = FakeRelay(provider("one"))
    facts = ask(relay).request
    assert facts is not None
    # A reload may add another target: the conversation stays where its cache is.
    assert (facts.conversation, facts.tokens_in, facts.tokens_out) == (hash64(b"s-1"), 0, 0)


def test_a_lone_unlimited_target_awaits_no_body_for_a_conversation() -> None:
    relay = FakeRelay(provider("one"))
    assert target_of(ask(relay, session=None, arrived=MODEL_SEEN)) is not None


def test_a_lone_limited_target_needs_a_token_estimate() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", tpm_limit=9000)))
    facts = ask(relay).request
    assert facts is not None
    assert facts.tokens_in > 0
    assert facts.tokens_out > 0
    assert facts.conversation == hash64(b"s-1")


@pytest.mark.parametrize(
    "session",
    [
        *("", " ", "[object Object]", "undefined", "null", "None", "NaN", "a b", "x" * 129, "\xff"),
        *("00000000-0000-0000-0000-000000000000", "0", "unknown", "default", "session_id"),
    ],
)
def test_an_id_that_is_none_merges_no_conversations(session: str) -> None:
    relay = two()
    found = set()
    for text in (b"first", b"second"):
        body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"%b"}]}' % text
        facts = ask(relay, session=session, body=body).request
        assert facts is not None
        found.add(facts.conversation)
    assert len(found) == 2


def test_the_head_gives_conversation_and_traffic_class() -> None:
    facts = ask(two(), extra=AGENT).request
    assert facts is not None
    assert facts.conversation == hash64(b"s-1")
    assert facts.traffic == TrafficClass.SUBAGENT


def test_without_a_session_header_the_conversation_needs_the_whole_body() -> None:
    relay = two()
    exchange = ask(relay, session=None, arrived=MODEL_SEEN)
    assert target_of(exchange) is None
    exchange.client.down.arrive(1000)
    assert target_of(exchange) is not None


@pytest.mark.parametrize("how", ["session", "windowed", "no affinity"])
def test_the_body_is_not_awaited_where_it_is_not_needed_or_not_kept(how: str) -> None:
    relay = two(affinity=Affinity(enabled=how != "no affinity"))
    exchange = ask(
        relay,
        session="s-1" if how == "session" else None,
        arrived=MODEL_SEEN,
        windowed=how == "windowed",
    )
    assert target_of(exchange) is not None


def test_an_auxiliary_request_is_not_expected_to_think() -> None:
    relay = two()
    titled = ask(relay, extra=b"x-claude-code-request-class: auxiliary\r\n").request
    assert titled is not None
    assert titled.output_class == OutputClass.STREAM
    turn = ask(relay).request
    assert turn is not None
    assert turn.output_class == OutputClass.THINKING


def test_count_tokens_needs_no_estimate_and_binds_no_conversation() -> None:
    relay = two()
    exchange = relay.request(FakeDown(relay.reactor, session="s-1"), RequestClass.COUNT_TOKENS)
    assert exchange.request is not None
    assert exchange.request.tokens_in == 0
    assert relay.affinity.find(hash64(b"s-1"), relay.reactor.now) is None


def test_tokens_are_not_estimated_where_nothing_uses_them() -> None:
    turn = ask(two()).request
    assert turn is not None
    assert turn.tokens_in == turn.tokens_out == 0


BODY = b'{"model":"m","stream":true,"messages":["%b"]}' % (b"x" * 9000)
LIMITED = {"tpm_limit": 1_000_000}


def pool(name: str) -> FakeRelay:
    """Relays in which a request may go to one key, or to several."""
    one = provider("one", keys=keys("a", **LIMITED))
    match name:
        case "one key":
            return FakeRelay(one, config=settings())
        case "keys":
            return FakeRelay(provider("one", keys=keys("a", "b", **LIMITED)), config=settings())
        case "providers":
            return FakeRelay(one, provider("two"), config=settings())
        case "no affinity":
            return FakeRelay(one, config=settings(affinity=Affinity(enabled=False)))
    rule = Rule(use=Use(providers=["one"]))
    return FakeRelay(one, provider("two"), config=settings(rules=[rule]))


@pytest.mark.parametrize("extra", [b"", AGENT], ids=["main loop", "sub-agent"])
@pytest.mark.parametrize("name", ["one key", "keys", "providers", "no affinity", "rule"])
def test_a_turn_counts_what_its_last_answer_did_not_report_as_cached(
    name: str, extra: bytes
) -> None:
    relay = pool(name)
    for cached, fresh, usage in (
        (0, 9000, start(9000)),  # it reports no cache: nothing is subtracted
        (8000, 1000, start(1000, written=8000)),
        (8900, 100, start(100, read=8000, written=900)),
        (9000, 0, start(0, hour=9000)),
        (5000, 4000, start(4000, read=5000)),
    ):
        served = ask(relay, body=BODY, extra=extra)
        serve(relay, served, usage, CONTENT, delta(), STOP)
        turn = ask(relay, body=BODY + b" " * 320, extra=extra)
        assert turn.request is not None
        slot = served.attempt.target.slot if served.attempt else -1
        assert turn.request.tokens_in - turn.request.need(slot) == cached
        assert fresh < turn.request.need(slot) <= fresh + 320
        assert turn.request.need(slot + 1) == turn.request.tokens_in, "no other key has it"
        serve(relay, turn, usage, CONTENT, delta(), STOP)


def test_a_sub_agent_knows_nothing_of_the_main_loops_cache_or_another_ones() -> None:
    relay = pool("one key")
    slot = relay.providers[0].targets[0].slot
    for extra in (b"", b"x-claude-code-agent-id: a-2\r\n"):
        serve(relay, ask(relay, body=BODY, extra=extra), start(0, 9000), CONTENT, delta(), STOP)
    agent = ask(relay, body=BODY + b" " * 320, extra=AGENT).request
    assert agent is not None
    assert agent.need(slot) == agent.tokens_in > 2000


def test_another_model_knows_nothing_of_a_models_cache() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", **LIMITED), models=["m", "other"]))
    slot = relay.providers[0].targets[0].slot
    serve(relay, ask(relay, body=BODY), start(0, 9000), CONTENT, delta(), STOP)
    turn = ask(relay, body=BODY.replace(b'"m"', b'"other"') + b" " * 320).request
    assert turn is not None
    assert turn.need(slot) == turn.tokens_in > 2000


def test_a_body_that_has_become_smaller_counts_whole() -> None:
    relay = pool("one key")
    slot = relay.providers[0].targets[0].slot
    serve(relay, ask(relay, body=BODY), start(0, 9000), CONTENT, delta(), STOP)
    turn = ask(relay, body=BODY[:6000]).request
    assert turn is not None
    assert turn.need(slot) == turn.tokens_in > 1500


@pytest.mark.parametrize("caches", [True, False], ids=["cache", "no cache"])
def test_no_minute_exceeds_the_limit_whatever_the_provider_reports(caches: bool) -> None:
    limit, bytes_per_token = 500_000, 3
    relay = FakeRelay(
        provider("one", keys=keys("a", tpm_limit=limit)), config=settings(queue_timeout_s=0)
    )
    sizes = [60_000 + 10_000 * n for n in range(12)]
    cached = [0] * len(sizes)
    sent: list[tuple[float, int]] = []
    for step in range(600):
        relay.reactor.now += 0.5
        n = step % len(sizes)
        tokens = sizes[n] // bytes_per_token
        turn = ask(relay, session=f"s-{n}", body=BODY + b" " * (sizes[n] - len(BODY)))
        if target_of(turn) is None:
            continue
        read = cached[n] if caches else 0
        usage = start(tokens - read) if not caches else start(0, written=tokens - read, read=read)
        serve(relay, turn, usage, CONTENT, delta(80), STOP)
        sent.append((relay.reactor.now, tokens - read + 80))
        cached[n] = tokens
        sizes[n] += 3000
    minutes = [sum(count for at, count in sent if begin <= at < begin + 60.0) for begin, _ in sent]
    assert limit * 0.6 < max(minutes) <= limit * 1.02


# ---- images


def test_a_long_body_is_not_awaited_where_limits_have_ample_room() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", tpm_limit=250_000)))
    exchange = ask(relay, body=shot(), arrived=MODEL_SEEN)
    assert target_of(exchange) is not None
    assert exchange.request is not None
    assert exchange.request.tokens_in > 100_000


@pytest.mark.parametrize("limit", [150_000, 50_000], ids=["most of it", "more than all of it"])
def test_images_count_as_images_where_their_length_would_fill_a_key(limit: int) -> None:
    relay = FakeRelay(provider("one", keys=keys("a", tpm_limit=limit)))
    exchange = ask(relay, body=shot(), arrived=MODEL_SEEN)
    assert target_of(exchange) is None
    exchange.client.down.arrive(1_000_000)
    assert target_of(exchange) is not None
    assert exchange.request is not None
    assert exchange.request.tokens_in < 2000


def test_the_length_of_an_image_does_not_rebind_a_conversation() -> None:
    limited = keys("one", tpm_limit=400_000)
    relay = FakeRelay(provider("one", keys=limited), provider("two"), config=settings())
    serve(relay, ask(relay), start(100, 199_900), CONTENT, delta(), STOP)
    turn = ask(relay, body=shot(960_000))
    assert name_of(turn) == "one"
    assert turn.request is not None
    assert turn.request.tokens_home < 2000


def test_a_strategy_that_weighs_tokens_gets_images_counted() -> None:
    relay = FakeRelay(provider("one"), provider("two"), config=settings(strategy="cost-based"))
    exchange = ask(relay, body=shot())
    assert exchange.request is not None
    assert exchange.request.tokens_in < 2000


def test_failover_counts_images_where_their_length_does_not_fit() -> None:
    relay = FakeRelay(
        provider("one"), provider("two", keys=keys("b", tpm_limit=300_000)), config=settings()
    )
    exchange = ask(relay, body=shot())
    assert exchange.request is not None
    assert exchange.request.tokens_in > 100_000
    now = relay.reactor.now
    relay.providers[1].targets[0].limits.reserve_unchecked(
        now, 250_000, 0
    )  # others were there meanwhile
    fail(relay, exchange)
    assert name_of(exchange) == "two"
    assert exchange.request.tokens_in < 2000


@pytest.mark.parametrize("stays", [True, False])
def test_failover_awaits_the_upload_where_its_length_does_not_fit(
    stays: bool,
) -> None:
    relay = FakeRelay(
        provider("one"), provider("two", keys=keys("b", tpm_limit=300_000)), config=settings()
    )
    exchange = ask(relay, body=shot(), arrived=MODEL_SEEN)
    relay.providers[1].targets[0].limits.reserve_unchecked(relay.reactor.now, 250_000, 0)
    fail(relay, exchange)
    assert (exchange.settled, upstream_of(exchange), len(relay.queue)) == (False, None, 0)
    if stays:
        exchange.client.down.arrive(1_000_000)
        assert name_of(exchange) == "two"
    else:
        exchange.client.down.leave()
        assert "input" not in relay.log.records[-1], "its connection may be another's by now"


def test_upload_time_does_not_count_as_queue_time() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", tpm_limit=500_000)), config=settings(panic="refuse")
    )
    breaker = relay.providers[0].endpoint.breaker
    for _ in range(3):
        breaker.settle(breaker.force(relay.reactor.now), relay.reactor.now, relay.rng, ok=False)
    exchange = ask(relay, body=shot(), arrived=MODEL_SEEN)
    assert (target_of(exchange), len(relay.queue)) == (None, 0)
    assert exchange.client.down.wants == "body"
    relay.reactor.now += 0.5
    exchange.client.down.arrive(1_000_000)
    assert exchange.request is not None
    assert (target_of(exchange), len(relay.queue)) == (None, 1)
    assert (exchange.request.rough, exchange.request.waits_since) == (False, relay.reactor.now)
    relay.pass_time(5.0)
    assert target_of(exchange) is not None


# ---- rules


def test_a_rule_on_the_head_does_not_await_the_body() -> None:
    rule = Rule(when=When(request_class=["subagent"]), use=Use(providers=["two"]))
    relay = two(rules=[rule])
    assert name_of(ask(relay)) == "one"
    assert name_of(ask(relay, extra=AGENT)) == "two"


def test_a_rule_on_the_body_awaits_it() -> None:
    relay = two(rules=[Rule(when=When(tools=True), use=Use(providers=["two"]))])
    body = b'{"model":"m","stream":true,"messages":[],"tools":[{"name":"t"}]}'
    exchange = ask(relay, body=body, arrived=MODEL_SEEN)
    assert target_of(exchange) is None
    exchange.client.down.arrive(1000)
    assert name_of(exchange) == "two"


def test_a_rule_that_leaves_no_provider_is_a_404() -> None:
    relay = two(rules=[Rule(use=Use(model="unserved"))])
    relay.reload(provider("one", models=["m"]))
    exchange = ask(relay)
    assert exchange.client.down.heads[0].startswith(b"HTTP/1.1 404 ")
