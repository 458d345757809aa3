"""The table of states: each transition is taken, and no other can be."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from ccrelay._fast.upstream import Loss
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.exchange_state import STATES, TRANSITIONS, ExchangeState, Resume, allowed
from ccrelay.relay.request_body import INLINE_ELEMENTS_MAX
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
from tests.unit.relay.scenario import (
    BUSY,
    CONNECT_FAILED,
    INVALID,
    answer,
    begin,
    request,
    serving,
    stream,
    two,
)

ROUTING = ExchangeState.ROUTING
AWAITING_BODY = ExchangeState.AWAITING_BODY
PREPARING = ExchangeState.PREPARING
QUEUED = ExchangeState.QUEUED
CONNECTING = ExchangeState.CONNECTING
AWAITING_HEAD = ExchangeState.AWAITING_HEAD
HOLDING = ExchangeState.HOLDING
STREAMING = ExchangeState.STREAMING
COLLECTING_ERROR = ExchangeState.COLLECTING_ERROR
DONE = ExchangeState.DONE

Seen = tuple[FakeRelay, Exchange]


# ---- the table


def test_every_state_has_its_transitions_and_done_has_none() -> None:
    assert TRANSITIONS.keys() == set(ExchangeState)
    assert TRANSITIONS[DONE] == frozenset()


def test_every_state_can_end() -> None:
    assert all(DONE in TRANSITIONS[state] for state in ExchangeState if state is not DONE)


def test_no_attempt_is_possible_once_streaming() -> None:
    assert TRANSITIONS[STREAMING] == {DONE}


def test_the_matrix_is_the_table() -> None:
    matrix = allowed()
    for old in ExchangeState:
        for new in ExchangeState:
            assert bool(matrix[old * STATES + new]) == (new in TRANSITIONS[old])


def test_nothing_to_resume_is_false() -> None:
    assert not Resume.NOTHING
    assert all(step for step in Resume if step is not Resume.NOTHING)


# ---- each of them


def refused_at_once() -> Seen:
    relay = FakeRelay()
    return relay, request(relay, body=b'{"stream":true}')[1]


def awaits_its_body(leaves: bool) -> Seen:
    relay = FakeRelay()
    down, exchange = request(relay, arrived=3)
    if leaves:
        down.leave()
    else:
        down.arrive(len(BODY))
        relay.pools["one"].connect()
    return relay, exchange


def queues(leaves: bool) -> Seen:
    relay = FakeRelay(provider("one", keys=keys("a", max_concurrent=1)))
    held, _ = request(relay)
    down, exchange = request(relay)
    relay.reactor.trail.see(exchange)
    (down if leaves else held).leave()
    relay.loop.run()
    return relay, exchange


def is_prepared(leaves: bool) -> Seen:
    relay = FakeRelay(provider("one", "zai"))
    body = b'{"model":"glm-5.3","messages":[%b1]}' % (b"1," * INLINE_ELEMENTS_MAX)
    down, exchange = request(relay, body=body)
    relay.reactor.trail.see(exchange)
    if leaves:
        down.leave()
    relay.worker.work()
    return relay, exchange


def connects(relay: FakeRelay, then: str) -> Seen:
    down, exchange = request(relay)
    if then == "leaves":
        down.leave()
    elif then == "fails":
        relay.pools["one"].refuse(CONNECT_FAILED)
    else:
        relay.pools["one"].connect()
    return relay, exchange


def sends(relay: FakeRelay, then: Callable[[FakeUpstream, FakeDown], None]) -> Seen:
    """Over pooled connections."""
    for pool in relay.pools.values():
        pool.add_idle()
    down, exchange, upstream = begin(relay)
    then(upstream, down)
    return relay, exchange


def begins(upstream: FakeUpstream, *events: bytes) -> None:
    upstream.respond(STREAM_HEAD)
    for event in events:
        upstream.feed(event)


SCENARIOS: dict[str, tuple[Callable[[], Seen], list[ExchangeState]]] = {
    "a body without a model": (refused_at_once, [ROUTING, DONE]),
    "the model arrives": (
        lambda: awaits_its_body(False),
        [ROUTING, AWAITING_BODY, CONNECTING, AWAITING_HEAD],
    ),
    "the client leaves during the upload": (
        lambda: awaits_its_body(True),
        [ROUTING, AWAITING_BODY, DONE],
    ),
    "a large body is rewritten": (
        lambda: is_prepared(False),
        [ROUTING, PREPARING, CONNECTING],
    ),
    "the client leaves while it is": (lambda: is_prepared(True), [ROUTING, PREPARING, DONE]),
    "a target becomes free": (lambda: queues(False), [ROUTING, QUEUED, CONNECTING]),
    "the client leaves the queue": (lambda: queues(True), [ROUTING, QUEUED, DONE]),
    "the client leaves during a dial": (
        lambda: connects(FakeRelay(), "leaves"),
        [ROUTING, CONNECTING, DONE],
    ),
    "a dial fails over": (lambda: connects(two(), "fails"), [ROUTING, CONNECTING]),
    "a dial fails over to a pooled connection": (
        lambda: connects(with_idle(two(), "two"), "fails"),
        [ROUTING, CONNECTING, AWAITING_HEAD],
    ),
    "a stale connection is replaced": (
        lambda: sends(FakeRelay(), lambda up, _: up.lose(Loss.CLOSED)),
        [ROUTING, AWAITING_HEAD, CONNECTING],
    ),
    "a loss fails over": (
        lambda: sends(two(), lambda up, _: up.lose(Loss.GARBAGE)),
        [ROUTING, AWAITING_HEAD],
    ),
    "the client leaves before the head": (
        lambda: sends(FakeRelay(), lambda _, down: down.leave()),
        [ROUTING, AWAITING_HEAD, DONE],
    ),
    "a stream": (
        lambda: sends(FakeRelay(), lambda up, _: stream(up)),
        [ROUTING, AWAITING_HEAD, HOLDING, STREAMING, DONE],
    ),
    "a whole answer": (
        lambda: sends(FakeRelay(), lambda up, _: answer(up, 200, b'{"type":"message"}')),
        [ROUTING, AWAITING_HEAD, HOLDING, STREAMING, DONE],
    ),
    "a whole response that is no answer": (
        lambda: sends(FakeRelay(), lambda up, _: answer(up, 200, b"{}")),
        [ROUTING, AWAITING_HEAD, HOLDING, COLLECTING_ERROR, DONE],
    ),
    "a whole answer is lost before its body": (
        lambda: sends(two(), lambda up, _: (up.respond(json_head(200)), up.lose(Loss.RESET))[0]),
        [ROUTING, AWAITING_HEAD, HOLDING, AWAITING_HEAD],
    ),
    "an error event fails over": (
        lambda: sends(two(), lambda up, _: begins(up, START, OVERLOADED)),
        [ROUTING, AWAITING_HEAD, HOLDING, AWAITING_HEAD],
    ),
    "the client leaves a held stream": (
        lambda: sends(FakeRelay(), lambda up, down: (begins(up, START), down.leave())[0]),
        [ROUTING, AWAITING_HEAD, HOLDING, DONE],
    ),
    "an error that is final": (
        lambda: sends(FakeRelay(), lambda up, _: answer(up, 400, INVALID)),
        [ROUTING, AWAITING_HEAD, COLLECTING_ERROR, DONE],
    ),
    "an error fails over": (
        lambda: sends(two(), lambda up, _: answer(up, 529, BUSY)),
        [ROUTING, AWAITING_HEAD, COLLECTING_ERROR, AWAITING_HEAD],
    ),
}


def with_idle(relay: FakeRelay, name: str) -> FakeRelay:
    relay.pools[name].add_idle()
    return relay


def steps(states: list[ExchangeState]) -> Iterator[tuple[ExchangeState, ExchangeState]]:
    """The transitions of a trail; ROUTING is passed unseen on the way to another attempt."""
    for old, new in pairwise(states):
        if new in TRANSITIONS[old]:
            yield old, new
        else:
            yield old, ROUTING
            yield ROUTING, new


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_exchange_takes_these_states(name: str) -> None:
    play, states = SCENARIOS[name]
    relay, exchange = play()
    assert relay.reactor.trail.of(exchange) == states


def test_every_transition_of_the_table_is_taken_by_one_of_them() -> None:
    taken = {
        step
        for play, _ in SCENARIOS.values()
        for relay, exchange in [play()]
        for step in steps(relay.reactor.trail.of(exchange))
    }
    # Where the next attempt needs a dial, its CONNECTING follows ROUTING unseen.
    unseen = {(CONNECTING, ROUTING), (AWAITING_HEAD, ROUTING)}
    # As does what follows PREPARING.
    unseen |= {(PREPARING, ROUTING)}
    assert taken | unseen == {(old, new) for old in TRANSITIONS for new in TRANSITIONS[old]}


@pytest.mark.parametrize("then", ["fails", "lost"])
def test_a_failed_attempt_is_followed_by_another_one_through_routing(then: str) -> None:
    relay = two()
    _, exchange = request(relay)
    if then == "fails":
        relay.pools["one"].refuse(CONNECT_FAILED)
    else:
        relay.pools["one"].connect().lose(Loss.RESET)
    assert exchange.state == CONNECTING
    assert relay.pools["two"].dials
    stream(serving(relay, exchange))
    assert relay.log.records[0]["attempts"] == 2


# ---- no other


@pytest.mark.parametrize(
    "state", [ROUTING, AWAITING_BODY, QUEUED, CONNECTING, STREAMING, COLLECTING_ERROR, DONE]
)
def test_a_response_head_in_any_other_state_is_an_assertion(state: ExchangeState) -> None:
    relay = FakeRelay()
    _, exchange, upstream = begin(relay)
    exchange.state = int(state)
    with pytest.raises(AssertionError, match=rf"no transition {state.name} -> HOLDING"):
        upstream.respond(STREAM_HEAD)


def test_content_after_the_end_is_an_assertion() -> None:
    relay = FakeRelay()
    _, exchange, upstream = begin(relay)
    begins(upstream, START)
    exchange.state = int(DONE)
    with pytest.raises(AssertionError, match="no transition DONE -> STREAMING"):
        upstream.feed(CONTENT + STOP)


def test_an_error_head_while_streaming_is_an_assertion() -> None:
    relay = FakeRelay()
    _, exchange, upstream = begin(relay, arrived=MODEL_SEEN)
    exchange.state = int(STREAMING)
    with pytest.raises(AssertionError, match="STREAMING -> COLLECTING_ERROR"):
        upstream.respond(json_head(529))
