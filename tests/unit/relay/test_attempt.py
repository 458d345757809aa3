"""What an attempt acquired is given back once."""

from typing import Any

import pytest

from ccrelay._fast.rate_limits import Dimension
from ccrelay.fleet.breaker import State
from ccrelay.fleet.provider_state import Target
from ccrelay.relay.attempt import Attempt, attempt_on
from ccrelay.routing.selection import Selection
from tests.unit.relay.fakes import FakeRelay, FakeUpstream, keys, provider
from tests.unit.relay.scenario import open_breaker


@pytest.fixture
def relay() -> FakeRelay:
    return FakeRelay(provider("one", keys=keys("a", rpm_limit=5, tpm_limit=10_000)))


def target_of(relay: FakeRelay) -> Target:
    return relay.providers[0].targets[0]


def selected(relay: FakeRelay) -> Attempt:
    """An attempt that holds 100 + 50 tokens and a ticket."""
    target, now = target_of(relay), relay.reactor.now
    (candidate,) = relay.context.config.routes.of(b'"m"', "m").candidates
    ticket = target.provider.endpoint.breaker.admit(now, relay.rng)
    assert ticket is not None
    reservation = target.limits.reserve(now, 100, 50)
    return attempt_on(Selection(candidate, target, reservation, ticket))


def used(relay: FakeRelay) -> tuple[int, int, int]:
    """Requests and tokens that count, and requests in flight."""
    limits, now = target_of(relay).limits, relay.reactor.now
    counts = [limits.used(int(dim), now) for dim in (Dimension.REQUESTS, Dimension.TOKENS)]
    return counts[0], counts[1], limits.in_flight


def test_finish_settles_the_reservation_with_what_was_used(relay: FakeRelay) -> None:
    attempt = selected(relay)
    assert used(relay) == (1, 150, 1)
    assert attempt.finish(relay.reactor.now, relay.rng, 30, 7)
    assert used(relay) == (1, 37, 0)
    assert (attempt.reservation, attempt.ticket, attempt.finished) == (None, None, True)


def test_only_the_first_finish_counts(relay: FakeRelay) -> None:
    attempt = selected(relay)
    attempt.breaker_result = False
    assert attempt.finish(relay.reactor.now, relay.rng, 0, 0)
    before = used(relay), repr(target_of(relay).provider.endpoint.breaker)
    assert not attempt.finish(relay.reactor.now, relay.rng, 500, 500)
    assert before == (used(relay), repr(target_of(relay).provider.endpoint.breaker))


def test_cancel_takes_the_request_out_of_the_limits(relay: FakeRelay) -> None:
    attempt = selected(relay)
    attempt.cancel(relay.reactor.now)
    assert used(relay) == (0, 0, 0)
    assert attempt.finish(relay.reactor.now, relay.rng, 9, 9), "the ticket is still out"
    assert (used(relay), attempt.ticket) == ((0, 0, 0), None)


@pytest.mark.parametrize(
    ("result", "state"), [(True, State.CLOSED), (False, State.OPEN), (None, State.HALF_OPEN)]
)
def test_finish_settles_the_ticket_with_what_the_attempt_proved(
    relay: FakeRelay, result: bool | None, state: State
) -> None:
    breaker = target_of(relay).provider.endpoint.breaker
    open_breaker(relay)
    relay.reactor.now = breaker.resumes_at
    attempt = selected(relay)  # the trial
    attempt.breaker_result = result
    attempt.finish(relay.reactor.now, relay.rng, 0, 0)
    assert breaker.state is state
    # A trial that proved nothing lets another one go at once.
    assert breaker.available(relay.reactor.now) is (result is not False)


def test_a_ticket_settled_ahead_is_not_settled_by_finish(relay: FakeRelay) -> None:
    breaker = target_of(relay).provider.endpoint.breaker
    open_breaker(relay)
    relay.reactor.now = breaker.resumes_at
    attempt = selected(relay)
    attempt.settle_breaker(relay.reactor.now, relay.rng, True)
    assert (breaker.state, attempt.ticket) == (State.CLOSED, None)
    attempt.breaker_result = False
    attempt.finish(relay.reactor.now, relay.rng, 0, 0)
    assert "failures=0" in repr(breaker)


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_failure_notes_whether_the_endpoint_accepted_a_connection(
    relay: FakeRelay, is_connected: bool
) -> None:
    attempt = selected(relay)
    if is_connected:
        attempt.upstream = FakeUpstream(relay.pools["one"])
    attempt.breaker_result = False
    attempt.finish(relay.reactor.now, relay.rng, 0, 0)
    assert target_of(relay).provider.endpoint.stats.answers is is_connected


def test_an_unrouted_attempt_holds_nothing(relay: FakeRelay) -> None:
    attempt: Any = Attempt(None, target_of(relay), None, None)
    attempt.cancel(relay.reactor.now)
    assert attempt.finish(relay.reactor.now, relay.rng, 5, 5)
    assert used(relay) == (0, 0, 0)
