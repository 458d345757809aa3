"""A body that comes slowly: what it may hold, in every state of an exchange."""

import errno

import pytest

from ccrelay.relay.exchange import Exchange
from ccrelay.relay.exchange_state import ExchangeState
from ccrelay.upstream.exhaustion import exhausted
from tests.unit.relay.fakes import BODY, FakeDown, FakeRelay, keys, provider
from tests.unit.relay.scenario import ask

PART = len(BODY) - 5


@pytest.fixture
def narrow() -> FakeRelay:
    return FakeRelay(provider("one", keys=keys("a", max_concurrent=1)))


def uploading(relay: FakeRelay, **fields: bool) -> tuple[FakeDown, Exchange]:
    """A request whose body comes fast, so far."""
    down = FakeDown(relay.reactor, arrived=PART, **fields)
    exchange = relay.request(down)
    return down, exchange


def in_flight(relay: FakeRelay) -> int:
    return relay.providers[0].key_pool.in_flight


def test_a_slow_body_waits_without_a_target_and_is_then_served(narrow: FakeRelay) -> None:
    down = FakeDown(narrow.reactor, arrived=PART)
    down.flowing = False
    exchange = narrow.request(down)
    assert (exchange.state, in_flight(narrow)) == (ExchangeState.AWAITING_BODY, 0)
    assert narrow.pools["one"].dials == []
    down.arrive(len(BODY))
    assert (exchange.state, in_flight(narrow)) == (ExchangeState.CONNECTING, 1)


def test_one_that_begins_to_flow_is_sent_on(narrow: FakeRelay) -> None:
    down = FakeDown(narrow.reactor, arrived=PART)
    down.flowing = False
    exchange = narrow.request(down)
    down.flowing = True
    down.arrive(PART + 1)
    assert exchange.state == ExchangeState.CONNECTING


def test_a_stall_while_the_request_is_sent_gives_the_place_back(narrow: FakeRelay) -> None:
    down, exchange = uploading(narrow)
    upstream = narrow.pools["one"].connect()
    assert exchange.state == ExchangeState.AWAITING_HEAD
    exchange.on_body_stalls()
    assert (exchange.state, in_flight(narrow)) == (ExchangeState.AWAITING_BODY, 0)
    assert upstream.is_closed()
    exchange.on_body_stalls()  # it holds nothing any more
    assert exchange.state == ExchangeState.AWAITING_BODY
    down.arrive(len(BODY))
    assert (exchange.state, in_flight(narrow)) == (ExchangeState.CONNECTING, 1)
    assert narrow.providers[0].endpoint.breaker.available(narrow.reactor.now)


def test_a_stall_while_the_whole_body_is_awaited_gives_the_place_back() -> None:
    relay = FakeRelay(provider("one", "ollama", auth="none", keys=keys("a", max_concurrent=1)))
    down, exchange = uploading(relay)
    assert (exchange.state, in_flight(relay)) == (ExchangeState.AWAITING_BODY, 1)
    exchange.on_body_stalls()
    assert (exchange.state, in_flight(relay)) == (ExchangeState.AWAITING_BODY, 0)
    down.arrive(len(BODY))
    assert in_flight(relay) == 1


def test_a_stall_in_the_queue_leaves_it(narrow: FakeRelay) -> None:
    ask(narrow)
    down, exchange = uploading(narrow)
    assert (exchange.state, len(narrow.queue)) == (ExchangeState.QUEUED, 1)
    exchange.on_body_stalls()
    assert (exchange.state, len(narrow.queue)) == (ExchangeState.AWAITING_BODY, 0)
    down.arrive(len(BODY))
    assert (exchange.state, len(narrow.queue)) == (ExchangeState.QUEUED, 1)


def test_a_dial_goes_on(narrow: FakeRelay) -> None:
    _, exchange = uploading(narrow)
    exchange.on_body_stalls()
    assert (exchange.state, in_flight(narrow)) == (ExchangeState.CONNECTING, 1)


def test_without_a_copy_a_stall_is_a_408(narrow: FakeRelay) -> None:
    down, exchange = uploading(narrow, windowed=True)
    narrow.pools["one"].connect()
    exchange.on_body_stalls()
    assert down.heads[0].startswith(b"HTTP/1.1 408 ")
    assert in_flight(narrow) == 0


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EADDRNOTAVAIL])
def test_a_connection_this_machine_cannot_open_proves_nothing(narrow: FakeRelay, code: int) -> None:
    for _ in range(12):
        down = FakeDown(narrow.reactor)
        narrow.request(down)
        narrow.pools["one"].refuse(exhausted(code))
        assert down.heads[0].startswith(b"HTTP/1.1 529 ")
    assert in_flight(narrow) == 0
    assert narrow.providers[0].endpoint.breaker.available(narrow.reactor.now)
    assert narrow.log.events.count("resources_exhausted") == 1
    assert "connect_failed" not in narrow.log.events
