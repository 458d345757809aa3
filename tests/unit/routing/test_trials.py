"""Which refused key a request tries that nothing else can serve, and when it waits for a trial."""

import random

import pytest

from ccrelay._fast.rate_limits import Reservation
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.selection import Selection, Unavailable
from ccrelay.routing.trials import TRIAL_S, try_refused
from ccrelay.types import RequestClass
from tests.unit.relay.fakes import FakeRelay, keys, provider
from tests.unit.relay.scenario import request


class House:
    """Two refused keys of one provider, and what a request asks of them."""

    def __init__(self, kind: RequestClass = RequestClass.MESSAGES) -> None:
        relay = FakeRelay(provider("one", keys=keys("a", "b")))
        _, exchange = request(relay)
        assert exchange.route is not None
        assert exchange.request is not None
        self.route, self.request = exchange.route, exchange.request
        self.request.kind = int(kind)
        self.targets = relay.providers[0].targets
        self.breaker = relay.providers[0].endpoint.breaker
        for target in self.targets:
            target.refusals.add(self.request.now, 30.0, 900.0)

    def choose(self, after_s: float, tried: RetryState | None = None) -> object:
        self.request.now += after_s
        return try_refused(self.route, self.request, tried, random.Random(0))


def test_before_its_time_there_is_no_trial() -> None:
    assert House().choose(29.0) is None


def test_each_key_is_tried_by_one_request_and_others_wait() -> None:
    house = House()
    found = [house.choose(30.0), house.choose(0.1)]
    for selection, target in zip(found, house.targets, strict=True):
        assert isinstance(selection, Selection)
        assert selection.target is target
        assert isinstance(selection.reservation, Reservation)
    waits = house.choose(0.1)
    assert isinstance(waits, Unavailable)
    assert (waits.why, waits.until) == ("key_refused", pytest.approx(house.request.now + 0.05))
    assert isinstance(house.choose(TRIAL_S), Selection), "the first trial has been given up"


def test_a_key_that_was_tried_for_this_request_is_not_tried_again() -> None:
    house = House()
    tried = RetryState()
    tried.add(house.targets[0], endpoint_failed=False)
    selection = house.choose(30.0, tried)
    assert isinstance(selection, Selection)
    assert selection.target is house.targets[1]
    tried.add(house.targets[1], endpoint_failed=True)
    assert house.choose(500.0, tried) is None


def test_counting_tokens_is_no_trial() -> None:
    assert House(RequestClass.COUNT_TOKENS).choose(30.0) is None


def test_an_open_breaker_keeps_the_trial_for_later() -> None:
    house = House()
    now = house.request.now + 30.0
    while house.breaker.available(now):
        house.breaker.settle(house.breaker.force(now), now, random.Random(0), ok=False)
    assert house.choose(30.0) is None
    assert not house.targets[0].refusals.in_trial
