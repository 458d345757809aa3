"""An endpoint: what all workers know of one base URL, and who is told when it changes."""

import random

from ccrelay._fast.endpoint_stats import EndpointStats
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Health
from ccrelay.fleet.breaker import State
from ccrelay.fleet.endpoint import Endpoint

NOW = 100.0
HEALTH = Health(failures=2, open_s=4.0)
RNG = random.Random(1)


def fail(endpoint: Endpoint, times: int = 2) -> None:
    for _ in range(times):
        endpoint.breaker.settle(endpoint.breaker.force(NOW), NOW, RNG, ok=False)


def test_an_endpoint_begins_available() -> None:
    endpoint = Endpoint("p", EndpointStats(SharedMemory.private(), 0), HEALTH)
    assert endpoint.available(0.0)
    assert repr(endpoint) == "<Endpoint p <Breaker CLOSED failures=0/2>>"


def test_an_endpoint_is_unavailable_while_its_breaker_is_open() -> None:
    endpoint = Endpoint("p", EndpointStats(SharedMemory.private(), 0), HEALTH)
    fail(endpoint)
    assert not endpoint.available(NOW)
    assert not endpoint.available(endpoint.breaker.resumes_at - 0.01)
    assert endpoint.available(endpoint.breaker.resumes_at)


def test_what_one_worker_learns_every_worker_knows() -> None:
    board = SharedMemory.private(workers=2)
    one, other = (Endpoint("p", EndpointStats(board.as_worker(n), 3), HEALTH) for n in range(2))
    fail(one, 1)
    fail(other, 1)
    assert not one.available(NOW)
    assert not other.available(NOW)


def test_endpoints_in_other_slots_are_others() -> None:
    board = SharedMemory.private()
    one, other = (Endpoint("p", EndpointStats(board, slot), HEALTH) for slot in range(2))
    fail(one)
    assert other.available(NOW)


def test_a_change_is_reported_with_the_endpoints_name() -> None:
    board = SharedMemory.private(workers=2)
    told: list[tuple[str, State, State]] = []
    heard: list[tuple[str, State, State]] = []
    one = Endpoint("p", EndpointStats(board, 0), HEALTH, lambda *change: told.append(change))
    Endpoint(
        "p", EndpointStats(board.as_worker(1), 0), HEALTH, lambda *change: heard.append(change)
    )
    fail(one)
    one.breaker.admit(one.breaker.resumes_at, RNG)
    assert told == [
        ("p", State.CLOSED, State.OPEN),
        ("p", State.OPEN, State.HALF_OPEN),
    ]
    assert heard == []
