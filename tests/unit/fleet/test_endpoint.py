"""Rests of an endpoint that cannot be reached."""

import pytest

from ccrelay.fleet.endpoint import Endpoint


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint("p", rest_s=1.0, rest_max_s=6.0)


def fail_after_each_rest(endpoint: Endpoint, times: int) -> list[float]:
    """The rests, seconds, of an endpoint that fails again as soon as it may be tried."""
    rests = []
    now = 100.0
    for _ in range(times):
        endpoint.unreachable(now)
        rests.append(endpoint.resumes_at - now)
        now = endpoint.resumes_at
    return rests


def test_an_endpoint_begins_available(endpoint: Endpoint) -> None:
    assert endpoint.available(0.0)
    assert repr(endpoint) == "<Endpoint p ok in_flight=0>"


def test_a_failure_rests_it_until_exactly_the_end_of_its_rest(endpoint: Endpoint) -> None:
    endpoint.unreachable(10.0)
    assert not endpoint.available(10.0)
    assert not endpoint.available(10.999)
    assert endpoint.available(11.0)
    assert repr(endpoint) == "<Endpoint p resting until 11.0 in_flight=0>"


def test_each_rest_is_twice_the_last_up_to_the_longest(endpoint: Endpoint) -> None:
    assert fail_after_each_rest(endpoint, 5) == [1.0, 2.0, 4.0, 6.0, 6.0]


def test_failures_during_a_rest_are_one_failure(endpoint: Endpoint) -> None:
    endpoint.unreachable(10.0)
    endpoint.unreachable(10.0)
    endpoint.unreachable(10.9)
    assert (endpoint.failures, endpoint.resumes_at) == (1, 11.0)


def test_an_answer_ends_the_rest_and_the_doubling(endpoint: Endpoint) -> None:
    fail_after_each_rest(endpoint, 3)
    endpoint.reached()
    assert endpoint.available(0.0)
    assert fail_after_each_rest(endpoint, 1) == [1.0]


def test_a_thousand_failures_are_still_a_finite_rest(endpoint: Endpoint) -> None:
    assert fail_after_each_rest(endpoint, 1100)[-1] == 6.0
