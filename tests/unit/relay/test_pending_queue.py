"""Queued requests: their order, what they block, when they are tried and when they time out."""

from typing import Any

import pytest

from ccrelay._fast.affinity_table import hash64
from ccrelay._fast.rate_limits import Cooldown
from ccrelay.config.model import Affinity
from ccrelay.relay import pending_queue
from ccrelay.relay.client_auth import ClientAuth
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
    json_head,
    keys,
    provider,
)
from tests.unit.relay.scenario import (
    AGENT,
    LIMITED,
    answer,
    ask,
    attempt_of,
    delta,
    is_sent,
    serve,
    serving,
    settings,
    start,
    stream,
    target_of,
)

# About 145 tokens; BODY has 13.
LARGE = b'{"model":"m","stream":true,"messages":[%b]}' % (b" " * 424)


@pytest.fixture
def relay() -> FakeRelay:
    """One provider with two keys that take one request each."""
    return FakeRelay(provider("one", keys=keys("a", "b", max_concurrent=1)))


def turn_of(relay: FakeRelay, session: str | None = None, agent: bool = False) -> Exchange:
    return relay.request(FakeDown(relay.reactor, session=session, extra=AGENT if agent else b""))


def fill(relay: FakeRelay) -> list[Exchange]:
    """Take both keys."""
    return [turn_of(relay), turn_of(relay)]


def end(relay: FakeRelay, exchange: Exchange) -> None:
    """Let one under way come to a good end, and the loop see it."""
    stream(serving(relay, exchange))
    relay.loop.run()


def let_go(relay: FakeRelay, exchange: Exchange) -> None:
    exchange.client.down.leave()
    relay.loop.run()


# ---- order


def test_a_queued_request_gets_the_first_free_target(relay: FakeRelay) -> None:
    first, _ = fill(relay)
    waits = turn_of(relay)
    assert relay.queue.waiters() == [waits]
    assert not is_sent(waits)
    relay.pass_time(1.0)
    end(relay, first)
    assert is_sent(waits)
    assert len(relay.queue) == 0
    assert waits.outcome.queued_s == pytest.approx(1.0, abs=0.1)


def test_a_new_request_does_not_overtake_queued_ones(relay: FakeRelay) -> None:
    held = fill(relay)
    waits = [turn_of(relay, f"s-{n}") for n in range(3)]
    let_go(relay, held[0])
    assert [is_sent(one) for one in waits] == [True, False, False]
    newcomer = turn_of(relay, "s-9")
    let_go(relay, held[1])
    assert [is_sent(one) for one in waits] == [True, True, False]
    assert relay.queue.waiters() == [waits[2], newcomer]


def test_a_new_request_queues_even_if_a_target_just_became_free(relay: FakeRelay) -> None:
    held = fill(relay)
    waits = turn_of(relay)
    held[0].client.down.leave()
    newcomer = turn_of(relay)
    assert not is_sent(newcomer)
    relay.loop.run()
    assert is_sent(waits)
    assert not is_sent(newcomer)


def test_the_main_loop_precedes_earlier_sub_agents(relay: FakeRelay) -> None:
    held = fill(relay)
    agents = [turn_of(relay, "s-1", agent=True) for _ in range(2)]
    turn = turn_of(relay, "s-2")
    let_go(relay, held[0])
    assert [is_sent(turn), *map(is_sent, agents)] == [True, False, False]
    let_go(relay, held[1])
    assert [is_sent(one) for one in agents] == [True, False]


def test_a_queued_sub_agent_does_not_block_the_main_loop(
    relay: FakeRelay,
) -> None:
    held = fill(relay)
    agent = turn_of(relay, "s-1", agent=True)
    held[0].client.down.leave()
    turn = turn_of(relay, "s-2")
    assert is_sent(turn)  # before any pass
    let_go(relay, turn)
    assert is_sent(agent)


def test_a_large_request_blocks_smaller_ones_behind_it() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", "b", itpm_limit=150)))
    relay.request(FakeDown(relay.reactor))
    relay.request(FakeDown(relay.reactor))
    relay.pass_time(45.0)
    large = relay.request(FakeDown(relay.reactor, body=LARGE))
    small = relay.request(FakeDown(relay.reactor))
    assert relay.queue.waiters() == [large, small]
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
        gauge.reserve_unchecked(now, 10, 0).commit(now, 10, 0)


def test_a_request_for_another_model_does_not_overtake_at_the_same_key() -> None:
    relay = two_models("one", "two")
    use_up(relay)
    turn = large(relay)
    agents = [small(relay), small(relay, "s-2")]
    assert relay.queue.waiters() == [turn, *agents]
    relay.pass_time(5.0)
    assert not any(map(is_sent, [turn, *agents]))
    relay.pass_time(6.0)
    assert all(map(is_sent, [turn, *agents]))
    assert target_of(turn) is relay.providers[0].targets[0]
    assert {target_of(agent) for agent in agents} == {relay.providers[1].targets[0]}


def test_the_same_model_with_escapes_does_not_overtake() -> None:
    relay = two_models()
    use_up(relay)
    turn = large(relay)
    spelt = BODY.replace(b'"m"', b'"\\u006d"')
    late = relay.request(FakeDown(relay.reactor, body=spelt))
    assert late.route is not turn.route
    assert relay.queue.waiters() == [turn, late]


def test_a_request_goes_to_a_target_that_none_ahead_waits_for() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", itpm_limit=150), models=["m"]),
        provider("two", keys=keys("b", itpm_limit=150), models=["small"]),
        provider("three", keys=keys("c", max_concurrent=1), models=["small"]),
    )
    use_up(relay)
    turn = large(relay)
    first, second, third = small(relay), small(relay), small(relay)
    assert [is_sent(one) for one in (turn, first, second, third)] == [False, True, True, True]


def test_a_request_takes_the_targets_that_are_not_blocked() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", itpm_limit=150), models=["m", "small"]),
        provider("two", keys=keys("b", max_concurrent=1), models=["small"]),
    )
    use_up(relay, 0)
    turn = large(relay)
    first, second = small(relay), small(relay)
    assert [is_sent(one) for one in (turn, first, second)] == [False, True, False]
    assert target_of(first) is relay.providers[1].targets[0]
    relay.pass_time(1.0)
    assert not is_sent(second)
    let_go(relay, first)
    assert is_sent(second)
    assert target_of(second) is target_of(first)
    relay.pass_time(10.0)
    assert is_sent(turn)


def test_a_blocked_request_fails_once_no_target_can_be_ready_in_time() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", itpm_limit=150), models=["m", "small"]),
        provider("two", models=["small"]),
    )
    use_up(relay, 0)
    relay.providers[1].targets[0].limits.start_cooldown(
        relay.reactor.now + 600.0, int(Cooldown.RATE)
    )
    turn, agent = large(relay), small(relay)
    relay.pass_time(5.0)
    assert relay.queue.waiters() == [turn, agent]
    relay.pass_time(6.0)
    assert is_sent(turn)
    assert not agent.settled  # what the turn has reserved may come back
    serve(relay, turn)
    relay.pass_time(0.1)
    assert agent.settled  # the one is full for a minute now, the other rests for longer


def test_a_full_queue_rejects_a_request_that_would_overtake() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", itpm_limit=150), models=["m", "small"]),
        provider("two", keys=keys("b", max_concurrent=1), models=["small"]),
        config=settings(queue_max=1),
    )
    use_up(relay, 0)
    turn = large(relay)
    assert is_sent(small(relay))  # at the target that none ahead waits for
    down = FakeDown(relay.reactor, body=SMALL)
    relay.request(down)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    relay.pass_time(11.0)
    assert is_sent(turn)


def test_a_failed_over_request_does_not_overtake() -> None:
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
    assert relay.queue.waiters() == [turn, unlucky]
    let_go(relay, turn)
    assert is_sent(unlucky)


def test_count_tokens_neither_blocks_nor_is_blocked() -> None:
    relay = two_models("one", "two")
    use_up(relay)
    turn = large(relay)
    counts = relay.request(FakeDown(relay.reactor), RequestClass.COUNT_TOKENS)
    assert target_of(counts) is not None
    let_go(relay, turn)
    for one in relay.providers:
        one.targets[0].limits.start_cooldown(relay.reactor.now + 5.0, int(Cooldown.RATE))
    waits = relay.request(FakeDown(relay.reactor), RequestClass.COUNT_TOKENS)
    assert relay.queue.waiters() == [waits]
    relay.reactor.now += 5.1  # no pass has run yet
    assert is_sent(small(relay))


def test_a_request_does_not_block_targets_it_has_tried() -> None:
    relay = FakeRelay(provider("one"), provider("two", keys=keys("b", max_concurrent=1)))
    relay.providers[1].targets[0].limits.start_cooldown(
        relay.reactor.now + 10.0, int(Cooldown.RATE)
    )
    unlucky = relay.request(FakeDown(relay.reactor))
    upstream = relay.pools["one"].connect()
    upstream.respond(json_head(529))
    upstream.feed(b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}')
    upstream.finish()
    assert relay.queue.waiters() == [unlucky]
    newcomer = relay.request(FakeDown(relay.reactor))
    assert is_sent(newcomer)
    relay.pass_time(11.0)
    assert is_sent(unlucky)


@pytest.fixture
def sticky() -> FakeRelay:
    """Two keys; session s-1 is bound to the first, which has no room for a large request yet."""
    relay = FakeRelay(provider("one", keys=keys("a", "b", itpm_limit=150)))
    first = relay.providers[0].targets[0]
    relay.affinity.keep(hash64(b"s-1"), first.slot, relay.reactor.now, prefix_tokens=9000)
    now = relay.reactor.now - 57.0
    first.limits.reserve_unchecked(now, 10, 0).commit(now, 10, 0)
    return relay


def test_a_request_for_its_sticky_target_blocks_it_for_lower_ranks(sticky: FakeRelay) -> None:
    turn = large(sticky, session="s-1")
    own, other = turn_of(sticky, "s-1", agent=True), turn_of(sticky, "s-2", agent=True)
    assert sticky.queue.waiters() == [turn, own]  # its cache is there, too
    assert target_of(other) is sticky.providers[0].targets[1]
    sticky.pass_time(4.1)
    assert is_sent(turn)
    assert target_of(turn) is sticky.providers[0].targets[0]
    sticky.pass_time(1.0)
    assert target_of(own) is sticky.providers[0].targets[1]


def test_a_request_for_its_sticky_target_does_not_block_equal_ranks(sticky: FakeRelay) -> None:
    turn = large(sticky, session="s-1")
    sticky.providers[0].targets[1].limits.start_cooldown(
        sticky.reactor.now + 50.0, int(Cooldown.RATE)
    )
    assert is_sent(turn_of(sticky, "s-2"))
    assert sticky.queue.waiters() == [turn]


def test_a_request_for_its_sticky_target_waits_behind_earlier_ones(
    sticky: FakeRelay,
) -> None:
    sticky.providers[0].targets[1].limits.start_cooldown(
        sticky.reactor.now + 4.0, int(Cooldown.RATE)
    )
    stranger = large(sticky)
    small_turn = turn_of(sticky, "s-1")
    assert sticky.queue.waiters() == [stranger, small_turn]
    sticky.pass_time(4.5)
    assert is_sent(stranger)
    assert target_of(small_turn) is not target_of(stranger)


def test_a_request_for_its_sticky_target_blocks_no_other_target() -> None:
    relay = FakeRelay(provider("one", keys=keys("a", "b", max_concurrent=1)))
    first = turn_of(relay, "s-1")
    relay.affinity.keep(  # its cache is large
        first.request.conversation,
        target_of(first).slot,
        relay.reactor.now,
        prefix_tokens=9000,
    )
    waits = turn_of(relay, "s-1")
    assert relay.queue.waiters() == [waits]
    other = turn_of(relay, "s-2")
    assert is_sent(other)
    let_go(relay, other)
    assert not is_sent(waits)
    let_go(relay, first)
    assert is_sent(waits)
    assert target_of(waits) is target_of(first)


def test_after_affinity_wait_s_a_request_takes_another_target() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", "b", max_concurrent=1)),
        config=settings(affinity=Affinity(wait_s=2.0)),
    )
    first = turn_of(relay, "s-1")
    relay.affinity.keep(
        first.request.conversation,
        target_of(first).slot,
        relay.reactor.now,
        prefix_tokens=9000,
    )
    waits = turn_of(relay, "s-1")
    relay.pass_time(1.9)
    assert not is_sent(waits)
    relay.pass_time(0.2)
    assert is_sent(waits)
    assert (attempt_of(waits).move_reason, attempt_of(waits).moved_from) == (
        "max_concurrent",
        target_of(first),
    )
    assert target_of(waits) is not target_of(first)


# ---- timeouts


def test_a_queue_timeout_is_a_429(relay: FakeRelay) -> None:
    fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    relay.pass_time(19.9)
    assert down.ended is None
    relay.pass_time(0.2)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    assert len(relay.queue) == 0
    assert relay.log.records[-1]["queued_ms"] == pytest.approx(20_000, abs=100)


def test_queue_timeouts_do_not_wait_for_requests_ahead(relay: FakeRelay) -> None:
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
    assert len(relay.queue) == 0


def test_a_reset_beyond_the_queue_timeout_is_a_429_at_once(relay: FakeRelay) -> None:
    for target in relay.providers[0].targets:
        target.limits.start_cooldown(relay.reactor.now + 60.0, int(Cooldown.RATE))
    down = FakeDown(relay.reactor)
    relay.request(down)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    assert b"\r\nretry-after: 60" in down.heads[0]


def test_a_queued_request_fails_when_its_keys_are_refused(relay: FakeRelay) -> None:
    held = fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    for target in relay.providers[0].targets:
        target.limits.start_cooldown(0.0, int(Cooldown.REFUSED))
    let_go(relay, held[0])
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("bound", [{"queue_timeout_s": 0.0}, {"queue_max": 0}])
def test_without_a_queue_a_full_provider_is_a_429(bound: dict[str, object]) -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", "b", max_concurrent=1)), config=settings(**bound)
    )
    fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")


# ---- timers and pokes


def test_the_end_of_a_cooldown_wakes_the_queue(relay: FakeRelay) -> None:
    for target in relay.providers[0].targets:
        target.limits.start_cooldown(relay.reactor.now + 7.0, int(Cooldown.RATE))
    waits = turn_of(relay)
    assert relay.loop.next_at == pytest.approx(relay.reactor.now + 7.0 + LATE_S)
    relay.pass_time(7.1)
    assert is_sent(waits)


def test_several_pokes_cause_one_pass(relay: FakeRelay) -> None:
    fill(relay)
    turn_of(relay)
    for _ in range(5):
        relay.queue.poke()
    assert len(relay.loop._soon) == 1
    relay.loop.run()
    relay.queue.poke()
    assert len(relay.loop._soon) == 1


def test_an_empty_queue_ignores_pokes(relay: FakeRelay) -> None:
    relay.queue.poke()
    assert relay.loop._soon == []


def test_a_client_that_leaves_the_queue_unblocks_the_next(
    relay: FakeRelay,
) -> None:
    held = fill(relay)
    first, second = turn_of(relay), turn_of(relay)
    first.client.down.leave()
    assert relay.log.records[-1]["ending"] == "client_left"
    assert relay.queue.waiters() == [second]
    let_go(relay, held[0])
    assert is_sent(second)


def test_leaving_twice_adds_queue_time_once(relay: FakeRelay) -> None:
    fill(relay)
    waits = turn_of(relay)
    relay.reactor.now += 3.0
    relay.queue.leave(waits)
    relay.queue.leave(waits)
    assert waits.outcome.queued_s == 3.0


def test_a_closed_queue_wakes_no_request(relay: FakeRelay) -> None:
    for target in relay.providers[0].targets:
        target.limits.start_cooldown(relay.reactor.now + 7.0, int(Cooldown.RATE))
    waits = turn_of(relay)
    relay.queue.close()
    relay.pass_time(30.0)
    assert not is_sent(waits)


# ---- heartbeats and reloads


def test_a_queued_stream_gets_an_early_head_and_pings() -> None:
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


def test_a_reload_reroutes_queued_requests_and_keeps_their_deadline(relay: FakeRelay) -> None:
    fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    relay.pass_time(15.0)
    relay.reload(provider("one", keys=keys("a", "b", max_concurrent=1)))
    assert len(relay.queue) == 1
    relay.pass_time(5.1)
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")


def test_a_reload_that_adds_a_key_serves_a_queued_request(relay: FakeRelay) -> None:
    fill(relay)
    waits = turn_of(relay)
    relay.reload(provider("one", keys=keys("a", "b", "c", max_concurrent=1)))
    assert is_sent(waits)
    assert len(relay.queue) == 0


def test_after_a_reload_requests_keep_their_order(relay: FakeRelay) -> None:
    held = fill(relay)
    waits = [turn_of(relay, f"s-{n}") for n in range(3)]
    held[0].client.down.leave()
    relay.reload(provider("one", keys=keys("a", "b", max_concurrent=1)))
    assert is_sent(waits[0])
    assert relay.queue.waiters() == waits[1:]


def test_a_reload_that_removes_the_model_is_a_404_for_queued_requests(relay: FakeRelay) -> None:
    fill(relay)
    down = FakeDown(relay.reactor)
    relay.request(down)
    relay.reload(provider("one", models=["other"]))
    assert down.heads[0].startswith(b"HTTP/1.1 404 ")


# ---- what comes back


@pytest.mark.parametrize("count", [6, 8, 16])
@pytest.mark.parametrize("limit", ["tpm_limit", "otpm_limit", "itpm_limit"])
def test_a_burst_waits_for_what_is_reserved_to_come_back(count: int, limit: str) -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", **{limit: 2500 if limit != "itpm_limit" else 500})),
        config=settings(queue_timeout_s=20.0),
    )
    turns = [ask(relay, session=f"s-{n}", body=LARGE) for n in range(count)]
    assert 0 < sum(map(is_sent, turns)) < count
    for _ in range(count):  # each settles after half a second, with less than was reserved
        relay.pass_time(0.5)
        for turn in turns:
            if is_sent(turn):
                serve(relay, turn, start(10), CONTENT, delta(20), STOP)
        relay.loop.run()
    assert [turn.outcome.status for turn in turns] == [200] * count


def test_a_burst_that_nothing_comes_back_for_is_told_when_its_time_is_up() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", tpm_limit=2500)), config=settings(queue_timeout_s=20.0)
    )
    turns = [ask(relay, session=f"s-{n}", body=LARGE) for n in range(8)]
    relay.pass_time(20.1)
    assert all(is_sent(turn) or turn.settled for turn in turns)


# ---- after a cooldown


@pytest.mark.parametrize("passes", [True, False])
def test_one_request_goes_first_when_a_cooldown_ends(passes: bool) -> None:
    relay = FakeRelay(provider("one", keys=keys("a")), config=settings(queue_timeout_s=20.0))
    limits = relay.providers[0].targets[0].limits
    limits.start_cooldown(relay.reactor.now + 1.0, int(Cooldown.RATE))
    turns = [ask(relay, session=f"s-{n}") for n in range(20)]
    relay.pass_time(1.1)
    (first,) = [turn for turn in turns if is_sent(turn)]
    if passes:
        upstream = serving(relay, first)
        upstream.respond(STREAM_HEAD)
        upstream.feed(START + CONTENT)  # its end is not needed
    else:
        answer(serving(relay, first), 429, LIMITED, b"retry-after: 5\r\n")
    relay.pass_time(0.1)
    assert sum(is_sent(turn) for turn in turns) == (20 if passes else 0)
    if not passes:
        relay.pass_time(5.0)
        assert sum(is_sent(turn) for turn in turns) == 1


def test_a_trial_without_an_answer_holds_nobody_up_for_long() -> None:
    relay = FakeRelay(provider("one", keys=keys("a")), config=settings(queue_timeout_s=20.0))
    limits = relay.providers[0].targets[0].limits
    limits.start_cooldown(relay.reactor.now + 1.0, int(Cooldown.RATE))
    turns = [ask(relay, session=f"s-{n}") for n in range(4)]
    for sent in (1, 2, 3, 4):
        relay.pass_time(1.1 if sent == 1 else 2.1)
        assert sum(is_sent(turn) for turn in turns) == sent


# ---- clients, and work per turn of the loop


def of_client(relay: FakeRelay, client: int, **more: Any) -> Exchange:
    auth = ClientAuth(False, False, False, client)
    return relay.request(FakeDown(relay.reactor, **more), auth=auth)


def test_clients_take_turns_at_a_target(relay: FakeRelay) -> None:
    held = fill(relay)
    flood = [of_client(relay, 1) for _ in range(5)]
    other = of_client(relay, 2, extra=AGENT)
    let_go(relay, held[0])
    let_go(relay, held[1])
    assert [is_sent(one) for one in (*flood, other)] == [True, False, False, False, False, True]


def test_a_newcomer_of_a_busy_client_does_not_overtake_a_lower_class_of_another(
    relay: FakeRelay,
) -> None:
    held = fill(relay)
    agent = of_client(relay, 2, extra=AGENT)
    held[0].client.down.leave()
    turn = of_client(relay, 1)
    assert not is_sent(turn)  # of its own client it would have been: see above
    relay.loop.run()
    assert is_sent(agent)


def test_one_client_may_have_its_share_of_the_queue_and_others_the_rest() -> None:
    relay = FakeRelay(
        provider("one", keys=keys("a", max_concurrent=1)), config=settings(queue_max=4)
    )
    relay.context.config.queue_share = 2
    of_client(relay, 9)
    flood = [of_client(relay, 1) for _ in range(4)]
    assert [one.settled for one in flood] == [False, False, True, True]
    assert flood[2].outcome.status == 429
    others = [of_client(relay, client) for client in (2, 3, 4)]
    assert [one.settled for one in others] == [False, False, True]


def test_a_pass_over_many_requests_takes_many_turns_of_the_loop(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending_queue, "TRIES_PER_TURN", 3)
    held = fill(relay)
    waits = [
        of_client(relay, 1, body=BODY.replace(b'"m"', b'"m%d"' % n)) for n in range(20)
    ]  # each for a route of its own: none is passed over
    tries: list[int] = []
    take_turn, try_one = relay.queue._take_turn, relay.queue._try

    def counted_turn(*how: Any) -> bool:
        tries.append(0)
        return take_turn(*how)

    def counted_try(*how: Any) -> None:
        tries[-1] += 1
        try_one(*how)

    monkeypatch.setattr(relay.queue, "_take_turn", counted_turn)
    monkeypatch.setattr(relay.queue, "_try", counted_try)
    for one in held:
        one.client.down.leave()
    waits[5].client.down.leave()  # while it goes on
    relay.loop.run()
    assert max(tries) == 3
    assert len(tries) >= 7
    assert [is_sent(one) for one in waits[:3]] == [True, True, False]
