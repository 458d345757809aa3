"""Requests that wait: who goes first, when they are looked at, when they give up."""

from typing import Any

import pytest

from ccrelay._fast.affinity_table import hash64
from ccrelay._fast.rate_limits import Cooldown
from ccrelay.config.model import Affinity, Config, Routing
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.pending_queue import LATE_S
from ccrelay.types import RequestClass
from tests.unit.relay.fakes import (
    BODY,
    CONTENT,
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

AGENT = b"x-claude-code-agent-id: a-1\r\n"
# About 145 tokens; BODY has 13.
LARGE = b'{"model":"m","stream":true,"messages":[%b]}' % (b" " * 424)


def settings(**routing: object) -> Config:
    return Config(routing=Routing(**{"strategy": "failover", **routing}))  # type: ignore[arg-type]


@pytest.fixture
def relay() -> FakeRelay:
    """One provider with two keys that take one request each."""
    return FakeRelay(provider("one", keys=keys("a", "b", max_concurrent=1)))


def ask(relay: FakeRelay, session: str | None = None, agent: bool = False) -> Exchange:
    return relay.request(FakeDown(relay.reactor, session=session, extra=AGENT if agent else b""))


def fill(relay: FakeRelay) -> list[Exchange]:
    """Take both keys."""
    return [ask(relay), ask(relay)]


def is_sent(exchange: Exchange) -> bool:
    return exchange.reservation is not None


def end(relay: FakeRelay, exchange: Exchange) -> None:
    """Let one under way come to a good end, and the loop see it."""
    target = exchange.target
    assert target is not None
    upstream = exchange.upstream
    if upstream is None:
        upstream = relay.pools[target.provider.name].connect_for(exchange)
    finish(upstream)  # type: ignore[arg-type]
    relay.loop.run()


def finish(upstream: FakeUpstream) -> None:
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT + STOP)
    upstream.finish()


def let_go(relay: FakeRelay, exchange: Exchange) -> None:
    exchange.down.leave()  # type: ignore[attr-defined]
    relay.loop.run()


# ---- order


def test_who_waits_is_given_the_first_place_that_comes_free(relay: FakeRelay) -> None:
    first, _ = fill(relay)
    waits = ask(relay)
    assert relay.waiting.everybody() == [waits]
    assert not is_sent(waits)
    relay.pass_time(1.0)
    end(relay, first)
    assert is_sent(waits)
    assert len(relay.waiting) == 0
    assert waits.waited_s == pytest.approx(1.0, abs=0.1)


def test_nobody_is_overtaken_by_a_newcomer_of_the_same_line(relay: FakeRelay) -> None:
    held = fill(relay)
    waits = [ask(relay, f"s-{n}") for n in range(3)]
    let_go(relay, held[0])
    assert [is_sent(one) for one in waits] == [True, False, False]
    newcomer = ask(relay, "s-9")
    let_go(relay, held[1])
    assert [is_sent(one) for one in waits] == [True, True, False]
    assert relay.waiting.everybody() == [waits[2], newcomer]


def test_a_newcomer_joins_the_line_even_if_a_place_came_free_just_now(relay: FakeRelay) -> None:
    held = fill(relay)
    waits = ask(relay)
    held[0].down.leave()  # type: ignore[attr-defined]
    newcomer = ask(relay)
    assert not is_sent(newcomer)
    relay.loop.run()
    assert is_sent(waits)
    assert not is_sent(newcomer)


def test_the_main_loop_goes_before_sub_agents_that_came_earlier(relay: FakeRelay) -> None:
    held = fill(relay)
    agents = [ask(relay, "s-1", agent=True) for _ in range(2)]
    turn = ask(relay, "s-2")
    let_go(relay, held[0])
    assert [is_sent(turn), *map(is_sent, agents)] == [True, False, False]
    let_go(relay, held[1])
    assert [is_sent(one) for one in agents] == [True, False]


def test_a_sub_agent_waits_behind_the_main_loop_and_not_the_other_way_round(
    relay: FakeRelay,
) -> None:
    held = fill(relay)
    agent = ask(relay, "s-1", agent=True)
    held[0].down.leave()  # type: ignore[attr-defined]
    turn = ask(relay, "s-2")
    assert is_sent(turn)  # before anybody has looked
    let_go(relay, turn)
    assert is_sent(agent)


def test_one_that_needs_more_than_there_is_holds_those_behind_it_until_it_goes() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", "b", itpm_limit=150)))
    relay.request(FakeDown(relay.reactor))
    relay.request(FakeDown(relay.reactor))
    relay.pass_time(45.0)
    large = relay.request(FakeDown(relay.reactor, body=LARGE))
    small = relay.request(FakeDown(relay.reactor))
    assert relay.waiting.everybody() == [large, small]
    relay.pass_time(5.0)
    assert not is_sent(small)
    let_go(relay, large)
    assert is_sent(small)


def two_models(*small: str) -> FakeRelay:
    """Providers `one` and `two` with one slow key each, both for model m; `small` have another."""
    models = {name: ["m", *(["small"] if name in small else [])] for name in ("one", "two")}
    return FakeRelay(
        *[
            provider(name, keys=keys(name, itpm_limit=150), models=names)
            for name, names in models.items()
        ]
    )


SMALL = BODY.replace(b'"m"', b'"small"')


def small(relay: FakeRelay, session: str = "s-1", agent: bool = True) -> Exchange:
    extra = AGENT if agent else b""
    return relay.request(FakeDown(relay.reactor, body=SMALL, session=session, extra=extra))


def large(relay: FakeRelay, **more: Any) -> Exchange:
    return relay.request(FakeDown(relay.reactor, body=LARGE, **more))


def use_up(relay: FakeRelay, *numbers: int) -> None:
    """Ten tokens of these providers' limits: no room for a large request for 9 seconds."""
    for number in numbers or range(len(relay.providers)):
        gauge = relay.providers[number].targets[0].limits
        now = relay.reactor.now - 52.0
        gauge.force(now, 10, 0).settle(now, 10, 0)


def test_another_model_does_not_overtake_at_the_same_key() -> None:
    relay = two_models("one", "two")
    use_up(relay)
    turn = large(relay)
    agents = [small(relay), small(relay, "s-2")]
    assert relay.waiting.everybody() == [turn, *agents]
    relay.pass_time(5.0)
    assert not any(map(is_sent, [turn, *agents]))
    relay.pass_time(6.0)
    assert all(map(is_sent, [turn, *agents]))
    assert turn.target is relay.providers[0].targets[0]
    assert {agent.target for agent in agents} == {relay.providers[1].targets[0]}


def test_the_same_model_spelt_otherwise_does_not_overtake() -> None:
    relay = two_models()
    use_up(relay)
    turn = large(relay)
    spelt = BODY.replace(b'"m"', b'"\\u006d"')
    late = relay.request(FakeDown(relay.reactor, body=spelt))
    assert late.route is not turn.route
    assert relay.waiting.everybody() == [turn, late]


def test_who_can_go_where_nobody_ahead_wants_to_goes_there() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", itpm_limit=150), models=["m"]),
        provider("two", keys=keys("b", itpm_limit=150), models=["small"]),
        provider("three", keys=keys("c", max_concurrent=1), models=["small"]),
    )
    use_up(relay)
    turn = large(relay)
    first, second, third = small(relay), small(relay), small(relay)
    assert [is_sent(one) for one in (turn, first, second, third)] == [False, True, True, True]


def test_of_targets_some_of_which_others_wait_for_one_takes_the_rest() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", itpm_limit=150), models=["m", "small"]),
        provider("two", keys=keys("b", max_concurrent=1), models=["small"]),
    )
    use_up(relay, 0)
    turn = large(relay)
    first, second = small(relay), small(relay)
    assert [is_sent(one) for one in (turn, first, second)] == [False, True, False]
    assert first.target is relay.providers[1].targets[0]
    relay.pass_time(1.0)
    assert not is_sent(second)
    let_go(relay, first)
    assert is_sent(second)
    assert second.target is first.target
    relay.pass_time(10.0)
    assert is_sent(turn)


def test_who_waits_behind_others_is_told_once_they_are_gone_and_nothing_is_back_in_time() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", itpm_limit=150), models=["m", "small"]),
        provider("two", models=["small"]),
    )
    use_up(relay, 0)
    relay.providers[1].targets[0].limits.rest(relay.reactor.now + 600.0, int(Cooldown.RATE))
    turn, agent = large(relay), small(relay)
    relay.pass_time(5.0)
    assert relay.waiting.everybody() == [turn, agent]
    relay.pass_time(6.0)
    assert is_sent(turn)
    assert agent.settled  # the one is full for a minute now, the other rests for longer


def test_a_newcomer_finds_no_way_past_a_full_room() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", itpm_limit=150), models=["m", "small"]),
        provider("two", keys=keys("b", max_concurrent=1), models=["small"]),
        config=settings(queue_max=1),
    )
    use_up(relay, 0)
    turn = large(relay)
    assert is_sent(small(relay))  # by the way that nobody waits for
    down = FakeDown(relay.reactor, body=SMALL)
    relay.request(down)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    relay.pass_time(11.0)
    assert is_sent(turn)


def test_one_that_failed_elsewhere_does_not_overtake_either() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a"), models=["small"]),
        provider("two", keys=keys("b", itpm_limit=150), models=["m", "small"]),
    )
    use_up(relay, 1)
    unlucky = small(relay)
    turn = large(relay)
    upstream = relay.pools["one"].connect()
    upstream.respond(json_head(529))
    upstream.feed(b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}')
    upstream.finish()
    assert relay.waiting.everybody() == [turn, unlucky]
    let_go(relay, turn)
    assert is_sent(unlucky)


def test_counting_tokens_is_held_up_by_nobody_and_holds_up_nobody() -> None:
    relay = two_models("one", "two")
    use_up(relay)
    turn = large(relay)
    counts = relay.request(FakeDown(relay.reactor), RequestClass.COUNT_TOKENS)
    assert counts.target is not None
    let_go(relay, turn)
    for one in relay.providers:
        one.targets[0].limits.rest(relay.reactor.now + 5.0, int(Cooldown.RATE))
    waits = relay.request(FakeDown(relay.reactor), RequestClass.COUNT_TOKENS)
    assert relay.waiting.everybody() == [waits]
    relay.reactor.now += 5.1  # nobody has looked yet
    assert is_sent(small(relay))


def test_who_has_tried_somebody_else_holds_up_nobody_there() -> None:
    relay = FakeRelay(provider("one"), provider("two", keys=keys("b", max_concurrent=1)))
    relay.providers[1].targets[0].limits.rest(relay.reactor.now + 10.0, int(Cooldown.RATE))
    unlucky = relay.request(FakeDown(relay.reactor))
    upstream = relay.pools["one"].connect()
    upstream.respond(json_head(529))
    upstream.feed(b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}')
    upstream.finish()
    assert relay.waiting.everybody() == [unlucky]
    newcomer = relay.request(FakeDown(relay.reactor))
    assert is_sent(newcomer)
    relay.pass_time(11.0)
    assert is_sent(unlucky)


@pytest.fixture
def homely() -> FakeRelay:
    """Two keys; session s-1 lives at the first, which has no room for a large request yet."""
    relay = FakeRelay(provider("one", keys=keys("a", "b", itpm_limit=150)))
    first = relay.providers[0].targets[0]
    relay.affinity.keep(hash64(b"s-1"), first.slot, relay.reactor.now, prefix_tokens=9000)
    now = relay.reactor.now - 57.0
    first.limits.force(now, 10, 0).settle(now, 10, 0)
    return relay


def test_who_waits_for_its_own_key_keeps_lower_ranks_away_from_it(homely: FakeRelay) -> None:
    turn = large(homely, session="s-1")
    own, other = ask(homely, "s-1", agent=True), ask(homely, "s-2", agent=True)
    assert homely.waiting.everybody() == [turn, own]  # its cache is there, too
    assert other.target is homely.providers[0].targets[1]
    homely.pass_time(4.1)
    assert is_sent(turn)
    assert turn.target is homely.providers[0].targets[0]
    homely.pass_time(1.0)
    assert own.target is homely.providers[0].targets[1]


def test_who_waits_for_its_own_key_keeps_no_equals_away_from_it(homely: FakeRelay) -> None:
    turn = large(homely, session="s-1")
    homely.providers[0].targets[1].limits.rest(homely.reactor.now + 50.0, int(Cooldown.RATE))
    assert is_sent(ask(homely, "s-2"))
    assert homely.waiting.everybody() == [turn]


def test_who_waits_for_its_own_key_waits_behind_those_who_wait_for_anything(
    homely: FakeRelay,
) -> None:
    homely.providers[0].targets[1].limits.rest(homely.reactor.now + 4.0, int(Cooldown.RATE))
    stranger = large(homely)
    small_turn = ask(homely, "s-1")
    assert homely.waiting.everybody() == [stranger, small_turn]
    homely.pass_time(4.5)
    assert is_sent(stranger)
    assert small_turn.target is not stranger.target


def test_who_waits_for_its_own_key_holds_up_nobody() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", "b", max_concurrent=1)))
    first = ask(relay, "s-1")
    relay.affinity.keep(  # its cache is large
        first.request.conversation,  # type: ignore[union-attr]
        first.target.slot,  # type: ignore[union-attr]
        relay.reactor.now,
        prefix_tokens=9000,
    )
    waits = ask(relay, "s-1")
    assert relay.waiting.everybody() == [waits]
    other = ask(relay, "s-2")
    assert is_sent(other)
    let_go(relay, other)
    assert not is_sent(waits)
    let_go(relay, first)
    assert is_sent(waits)
    assert waits.target is first.target


def test_who_waited_long_enough_for_its_own_key_takes_another() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", "b", max_concurrent=1)),
        config=settings(affinity=Affinity(wait_s=2.0)),
    )
    first = ask(relay, "s-1")
    relay.affinity.keep(
        first.request.conversation,  # type: ignore[union-attr]
        first.target.slot,  # type: ignore[union-attr]
        relay.reactor.now,
        prefix_tokens=9000,
    )
    waits = ask(relay, "s-1")
    relay.pass_time(1.9)
    assert not is_sent(waits)
    relay.pass_time(0.2)
    assert is_sent(waits)
    assert waits.left == ("max_concurrent", first.target)
    assert waits.target is not first.target


# ---- deadlines


def test_who_waits_too_long_is_told_and_the_line_is_empty(relay: FakeRelay) -> None:
    fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    relay.pass_time(19.9)
    assert down.ended is None
    relay.pass_time(0.2)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    assert len(relay.waiting) == 0
    assert relay.log.records[-1]["queued_ms"] == pytest.approx(20_000, abs=100)


def test_who_stands_behind_another_gives_up_in_time_as_well(relay: FakeRelay) -> None:
    fill(relay)
    downs = []
    for _ in range(3):
        downs.append(FakeDown(relay.reactor))
        relay.request(downs[-1])
        relay.pass_time(5.0)
    relay.pass_time(5.1)
    assert [down.ended for down in downs] == ["complete", None, None]
    relay.pass_time(5.0)
    assert [down.ended for down in downs] == ["complete", "complete", None]
    relay.pass_time(5.0)
    assert downs[2].ended == "complete"
    assert len(relay.waiting) == 0


def test_a_reset_beyond_the_deadline_is_told_at_once(relay: FakeRelay) -> None:
    for target in relay.providers[0].targets:
        target.limits.rest(relay.reactor.now + 60.0, int(Cooldown.RATE))
    down = FakeDown(relay.reactor)
    relay.request(down)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: 60" in down.heads[0]


def test_who_waits_is_told_at_once_when_its_key_is_refused_meanwhile(relay: FakeRelay) -> None:
    held = fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    for target in relay.providers[0].targets:
        target.limits.rest(0.0, int(Cooldown.REFUSED))
    let_go(relay, held[0])
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("bound", [{"queue_timeout_s": 0.0}, {"queue_max": 0}])
def test_where_nobody_may_wait_it_is_told_at_once(bound: dict[str, object]) -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", "b", max_concurrent=1)), config=settings(**bound)
    )
    fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")


# ---- being woken


def test_a_rest_that_ends_wakes_who_waits_for_it_without_anybodys_poke(relay: FakeRelay) -> None:
    for target in relay.providers[0].targets:
        target.limits.rest(relay.reactor.now + 7.0, int(Cooldown.RATE))
    waits = ask(relay)
    assert relay.loop.next_at == pytest.approx(relay.reactor.now + 7.0 + LATE_S)
    relay.pass_time(7.1)
    assert is_sent(waits)


def test_many_pokes_are_one_look(relay: FakeRelay) -> None:
    fill(relay)
    ask(relay)
    for _ in range(5):
        relay.waiting.poke()
    assert len(relay.loop._soon) == 1
    relay.loop.run()
    relay.waiting.poke()
    assert len(relay.loop._soon) == 1


def test_an_empty_room_is_not_looked_at(relay: FakeRelay) -> None:
    relay.waiting.poke()
    assert relay.loop._soon == []


def test_a_client_that_leaves_its_place_in_the_line_lets_the_next_one_look(
    relay: FakeRelay,
) -> None:
    held = fill(relay)
    first, second = ask(relay), ask(relay)
    first.down.leave()  # type: ignore[attr-defined]
    assert relay.log.records[-1]["ending"] == "client_left"
    assert relay.waiting.everybody() == [second]
    let_go(relay, held[0])
    assert is_sent(second)


def test_leaving_twice_counts_the_wait_once(relay: FakeRelay) -> None:
    fill(relay)
    waits = ask(relay)
    relay.reactor.now += 3.0
    relay.waiting.leave(waits)
    relay.waiting.leave(waits)
    assert waits.waited_s == 3.0


def test_a_closed_room_wakes_nobody(relay: FakeRelay) -> None:
    for target in relay.providers[0].targets:
        target.limits.rest(relay.reactor.now + 7.0, int(Cooldown.RATE))
    waits = ask(relay)
    relay.waiting.close()
    relay.pass_time(30.0)
    assert not is_sent(waits)


# ---- company and reloads


def test_a_stream_that_waits_gets_its_head_and_pings_and_then_its_answer() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", max_concurrent=1)),
        config=settings(early_head_s=5.0, ping_s=5.0),
    )
    held = relay.request(FakeDown(relay.reactor))
    down = FakeDown(relay.reactor)
    waits = relay.request(down)
    for _ in range(2):
        relay.pass_time(6.0)
        waits.on_wait()
    assert down.heads[0].startswith(b"HTTP/1.1 200 ")
    end(relay, held)
    end(relay, waits)
    assert down.got.endswith(START + CONTENT + STOP)
    assert (relay.log.records[-1]["status"], relay.log.records[-1]["attempts"]) == (200, 1)


def test_a_reload_routes_those_who_wait_anew_and_their_time_goes_on(relay: FakeRelay) -> None:
    fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    relay.pass_time(15.0)
    relay.reload(provider("one", keys=keys("a", "b", max_concurrent=1)))
    assert len(relay.waiting) == 1
    relay.pass_time(5.1)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")


def test_a_reload_that_brings_a_key_ends_the_wait(relay: FakeRelay) -> None:
    fill(relay)
    waits = ask(relay)
    relay.reload(provider("one", keys=keys("a", "b", "c", max_concurrent=1)))
    assert is_sent(waits)
    assert len(relay.waiting) == 0


def test_after_a_reload_nobody_waits_for_those_who_stood_behind_it(relay: FakeRelay) -> None:
    held = fill(relay)
    waits = [ask(relay, f"s-{n}") for n in range(3)]
    held[0].down.leave()  # type: ignore[attr-defined]
    relay.reload(provider("one", keys=keys("a", "b", max_concurrent=1)))
    assert is_sent(waits[0])
    assert relay.waiting.everybody() == waits[1:]


def test_a_reload_that_takes_the_model_away_is_told_to_those_who_wait(relay: FakeRelay) -> None:
    fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    relay.reload(provider("one", models=["other"]))
    assert down.heads[0].startswith(b"HTTP/1.1 404 ")
