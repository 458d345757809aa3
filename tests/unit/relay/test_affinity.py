"""Where conversations are bound: the first binding, moves, side calls, thinking blocks."""

import pytest

from ccrelay._fast.affinity_table import FOREIGN, MOVED, UNSIGNED, hash64
from ccrelay._fast.rate_limits import Cooldown
from ccrelay._fast.upstream import Loss
from ccrelay.config.model import Price
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.exchange_state import ExchangeState
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
    AGENT,
    INVALID,
    UNSIGNED_BLOCK,
    answer,
    ask,
    attempt_of,
    binding_of,
    delta,
    fail,
    name_of,
    serve,
    serving,
    settings,
    start,
    target_of,
    two,
)

LARGE = b'{"model":"m","stream":true,"messages":["%b"]}' % (b"x" * 30_000)
SMALL = b'{"model":"m","stream":true,"messages":[]}'
SESSION = hash64(b"s-1")
CLAUDE = {"signatures": "claude"}
# A thinking block that another vendor signed.
ELSEWHERE = (
    b'{"model":"m","stream":true,"messages":[{"role":"user","content":"a"},'
    b'{"role":"assistant","content":[{"type":"thinking","thinking":"I","signature":'
    b'"c2lnbmVkIGVsc2V3aGVyZQ=="},{"type":"text","text":"words"}]},'
    b'{"role":"user","content":"b"}]}'
)


def claude_and_other() -> FakeRelay:
    return FakeRelay(
        provider("one", "anthropic", signatures="claude"), provider("two"), config=settings()
    )


def refuse(relay: FakeRelay, exchange: Exchange) -> None:
    answer(serving(relay, exchange), 400, UNSIGNED_BLOCK)


# ---- bindings


def test_a_new_conversation_is_bound_when_its_answer_begins() -> None:
    relay = two()
    exchange = ask(relay)
    assert target_of(exchange) is not None
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    upstream.feed(start(10))
    assert relay.affinity.find(hash64(b"s-1"), relay.reactor.now) is None
    upstream.feed(CONTENT)
    assert binding_of(relay).slot == target_of(exchange).slot
    assert binding_of(relay).prefix_tokens == 0


@pytest.mark.parametrize("ending", ["refused", "left", "lost"])
def test_a_conversation_that_is_not_served_is_not_bound(ending: str) -> None:
    relay = FakeRelay(provider("one"))
    exchange = ask(relay)
    upstream = serving(relay, exchange)
    if ending == "refused":
        answer(upstream, 400, INVALID)
    elif ending == "left":
        exchange.client.down.leave()
    else:
        upstream.lose(Loss.GARBAGE)
    assert exchange.state == ExchangeState.DONE
    assert relay.affinity.find(hash64(b"s-1"), relay.reactor.now) is None


def test_a_binding_of_an_owner_is_not_found_by_another() -> None:
    relay = two()
    for owner in (5, 6):
        down = FakeDown(relay.reactor, session="s-1")
        exchange = relay.request(down, auth=ClientAuth(True, False, False, owner))
        assert exchange.request is not None
        assert exchange.request.binding is None
        serve(relay, exchange)
        assert relay.affinity.find(hash64(b"s-1"), relay.reactor.now, owner) is not None
    assert relay.affinity.find(hash64(b"s-1"), relay.reactor.now) is None


def test_a_first_binding_that_failed_moves_without_an_event() -> None:
    relay = two()
    exchange = ask(relay)
    fail(relay, exchange)
    serve(relay, exchange)
    assert binding_of(relay).slot == relay.providers[1].targets[0].slot
    assert "conversation_moved" not in relay.log.events  # nothing was cached anywhere


def test_a_turn_records_prefix_tokens_and_cache_lifetime() -> None:
    relay = two()
    exchange = ask(relay)
    serve(relay, exchange, start(100, written=4000), CONTENT, delta(), STOP)
    assert (binding_of(relay).prefix_tokens, binding_of(relay).ttl_s) == (4100, 300.0)
    serve(relay, ask(relay), start(100, hour=9000), CONTENT, delta(), STOP)
    assert (binding_of(relay).prefix_tokens, binding_of(relay).ttl_s) == (9100, 3600.0)


def test_an_aborted_turn_leaves_the_binding_unchanged() -> None:
    relay = two()
    serve(relay, ask(relay))
    exchange = ask(relay)
    upstream = serving(relay, exchange)
    upstream.respond(STREAM_HEAD)
    upstream.feed(start(50_000) + CONTENT)
    exchange.client.down.leave()
    assert binding_of(relay).prefix_tokens == 9000


# ---- moves


def test_a_move_is_logged_with_its_reason_and_the_price_of_the_prefix() -> None:
    dear = {"m": Price(input=5.0, output=25.0, cache_read=0.5, cache_write_5m=6.25)}
    relay = FakeRelay(provider("one"), provider("two", prices=dear), config=settings())
    serve(relay, ask(relay), start(1_000_000), CONTENT, delta(), STOP)
    relay.providers[0].targets[0].limits.start_cooldown(
        relay.reactor.now + 60.0, int(Cooldown.RATE)
    )
    exchange = ask(relay)
    assert relay.log.members("conversation_moved") == [], "not before it has served"
    serve(relay, exchange)
    (told,) = relay.log.members("conversation_moved")
    assert (told["why"], told["provider"], told["prefix_tokens"]) == ("cooldown", "two", 1_000_000)
    assert told["prefix_usd"] > 1.0
    assert relay.log.records[-1]["moved"] is True
    assert binding_of(relay).flags & MOVED
    # What it left has recovered: its cache is where it is now.
    relay.reactor.now += 61.0
    assert name_of(ask(relay)) == "two"


def test_a_move_after_a_failure_is_logged_as_failed() -> None:
    relay = two()
    serve(relay, ask(relay))
    exchange = ask(relay)
    fail(relay, exchange)
    serve(relay, exchange)
    (told,) = relay.log.members("conversation_moved")
    assert told["why"] == "failed"


def test_a_turn_that_failed_everywhere_moves_no_conversation() -> None:
    relay = two()
    serve(relay, ask(relay))
    exchange = ask(relay)
    fail(relay, exchange)
    fail(relay, exchange)
    assert exchange.settled
    assert relay.log.members("conversation_moved") == []
    assert relay.log.records[-1].get("moved") is None


# ---- side calls


def test_a_sub_agent_elsewhere_does_not_rebind_the_main_loop() -> None:
    relay = two()
    serve(relay, ask(relay))
    home = binding_of(relay).slot
    exchange = ask(relay, extra=AGENT)
    fail(relay, exchange)
    serve(relay, exchange)
    assert binding_of(relay).slot == home
    assert binding_of(relay).prefix_tokens == 9000
    assert "conversation_moved" not in relay.log.events


def test_a_sub_agent_does_not_shorten_the_main_loops_prefix() -> None:
    relay = two()
    serve(relay, ask(relay))
    serve(relay, ask(relay, extra=AGENT), start(200), CONTENT, delta(), STOP)
    assert binding_of(relay).prefix_tokens == 9000


def test_short_calls_rebind_the_conversation_only_when_they_are_many() -> None:
    relay = FakeRelay(provider("one"), provider("two"), config=settings())
    serve(relay, ask(relay, body=LARGE))
    home = relay.affinity.find(SESSION, relay.reactor.now)
    assert home is not None
    title = ask(relay, body=SMALL)
    fail(relay, title)
    serve(relay, title)
    place = relay.affinity.find(SESSION, relay.reactor.now)
    assert place is not None
    assert place.slot == home.slot
    assert relay.log.members("conversation_moved") == []
    for _ in range(12):  # the main loop itself has become short
        turn = ask(relay, body=SMALL)
        fail(relay, turn)
        serve(relay, turn)
        relay.reactor.now += 60.0
    place = relay.affinity.find(SESSION, relay.reactor.now)
    assert place is not None
    assert place.slot != home.slot


def test_a_sub_agents_5m_cache_does_not_end_the_main_loops_1h_cache() -> None:
    relay = FakeRelay(provider("one"), provider("two"), config=settings())
    serve(relay, ask(relay), start(100, hour=9000), CONTENT, delta(), STOP)
    serve(relay, ask(relay, extra=AGENT), start(100, written=900), CONTENT, delta(), STOP)
    place = relay.affinity.find(SESSION, relay.reactor.now + 3000.0)
    assert place is not None


def three_keys() -> FakeRelay:
    return FakeRelay(provider("one", keys=keys("a", "b", "c")), config=settings())


@pytest.mark.parametrize("kind", ["compaction", "short"])
def test_a_turn_at_a_spent_key_takes_the_conversation_along(kind: str) -> None:
    relay = three_keys()
    first = ask(relay, body=LARGE)
    serve(relay, first)
    attempt_of(first).target.limits.start_cooldown(relay.reactor.now + 3000.0, int(Cooldown.QUOTA))
    extra = b"x-claude-code-request-class: compaction\r\n" if kind == "compaction" else b""
    bought = []
    for n in range(5):  # what follows a compaction is short
        turn = ask(relay, body=LARGE if kind == "compaction" and n == 0 else SMALL, extra=extra)
        extra = b""
        serve(relay, turn)
        bought.append(attempt_of(turn).target.slot)
    assert len(set(bought)) == 1
    assert binding_of(relay).slot == bought[0] != attempt_of(first).target.slot
    assert len(relay.log.members("conversation_moved")) == 1


def test_a_side_call_does_not_take_it_along_where_the_key_is_back_soon() -> None:
    relay = three_keys()
    first = ask(relay, body=LARGE)
    serve(relay, first, start(10), CONTENT, delta(), STOP)
    attempt_of(first).target.limits.start_cooldown(relay.reactor.now + 3.0, int(Cooldown.RATE))
    serve(relay, ask(relay, body=SMALL))
    assert binding_of(relay).slot == attempt_of(first).target.slot


@pytest.mark.parametrize("before", [["one"], ["one", "two"]])
def test_a_reload_that_adds_a_provider_moves_no_warm_conversation(before: list[str]) -> None:
    relay = FakeRelay(*[provider(name) for name in before])
    for n in range(12):
        serve(relay, ask(relay, session=f"s-{n}"))
    homes = [binding_of(relay, f"s-{n}").slot for n in range(12)]
    relay.reload(*[provider(name) for name in [*before, "three"]])
    for n in range(12):
        turn = ask(relay, session=f"s-{n}")
        assert attempt_of(turn).target.slot == homes[n]


# ---- thinking blocks


def test_a_conversation_served_by_another_vendor_is_marked_foreign() -> None:
    relay = claude_and_other()
    serve(relay, ask(relay))
    assert not binding_of(relay).flags & FOREIGN
    exchange = ask(relay)
    fail(relay, exchange)
    serve(relay, exchange)
    assert binding_of(relay).flags & FOREIGN


def test_foreign_blocks_are_stripped_only_for_providers_that_validate() -> None:
    relay = claude_and_other()
    relay.affinity.keep(
        hash64(b"s-1"), relay.providers[0].targets[0].slot, relay.reactor.now, flags=FOREIGN
    )
    exchange = ask(relay)
    assert (name_of(exchange), attempt_of(exchange).strip_thinking) == ("one", False)
    fail(relay, exchange)
    assert (name_of(exchange), attempt_of(exchange).strip_thinking) == ("two", None)


def test_after_a_signature_refusal_all_thinking_is_stripped() -> None:
    relay = claude_and_other()
    slot = relay.providers[0].targets[0].slot
    relay.affinity.keep(hash64(b"s-1"), slot, relay.reactor.now, flags=UNSIGNED)
    exchange = ask(relay)
    assert attempt_of(exchange).strip_thinking is True
    serve(relay, exchange)
    assert binding_of(relay).flags & UNSIGNED


def test_a_windowed_body_is_not_stripped() -> None:
    relay = claude_and_other()
    slot = relay.providers[0].targets[0].slot
    relay.affinity.keep(hash64(b"s-1"), slot, relay.reactor.now, flags=FOREIGN)
    exchange = ask(relay, windowed=True)
    assert (name_of(exchange), attempt_of(exchange).strip_thinking) == ("one", None)


def test_the_next_turn_remembers_a_signature_refusal() -> None:
    relay = FakeRelay(provider("one", **CLAUDE), provider("two", **CLAUDE), config=settings())
    first = ask(relay, body=ELSEWHERE)
    refuse(relay, first)
    serve(relay, first)
    place = relay.affinity.find(hash64(b"s-1"), relay.reactor.now)
    assert place is not None
    assert place.flags & FOREIGN
    second = ask(relay, body=ELSEWHERE)
    serve(relay, second)
    assert (first.outcome.attempts, second.outcome.attempts) == (2, 1)
    assert relay.log.events.count("thinking_stripped") == 1


def test_a_lone_target_remembers_a_signature_refusal() -> None:
    relay = FakeRelay(provider("one", **CLAUDE))
    first = ask(relay, body=ELSEWHERE)
    refuse(relay, first)
    serve(relay, first)
    second = ask(relay, body=ELSEWHERE)
    serve(relay, second)
    assert (first.outcome.attempts, second.outcome.attempts) == (2, 1)


def test_failover_sends_no_refused_blocks_to_another_validating_provider() -> None:
    relay = FakeRelay(provider("one", **CLAUDE), provider("two", **CLAUDE), config=settings())
    exchange = ask(relay, body=ELSEWHERE)
    refuse(relay, exchange)
    upstream = serving(relay, exchange)
    upstream.respond(json_head(529))
    upstream.finish()
    _, _, sent = serving(relay, exchange).sent[-1]
    assert sent is not None
    assert b"thinking" not in sent
    serve(relay, exchange)
    assert relay.log.records[-1]["status"] == 200
