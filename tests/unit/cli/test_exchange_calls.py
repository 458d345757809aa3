"""Pages, letters and attempts; what fails is left out."""

from typing import Any

import pytest

from ccrelay.cli import exchange_calls as calls
from ccrelay.cli.connection import Relay
from ccrelay.control.client import CallFailed
from ccrelay.v1 import exchanges_pb2 as ex, providers_pb2 as pb
from tests.unit.cli import examples, served
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]


def page(request: Any) -> ex.ExchangesListResponse:
    """1,500 exchanges in pages."""
    start = int(request.page_token or 0)
    size = min(request.page_size, 1_500 - start)
    made = [ex.Exchange(id=str(number)) for number in range(start, start + size)]
    end = start + size
    return ex.ExchangesListResponse(exchanges=made, next_page_token=str(end) if end < 1_500 else "")


@pytest.mark.parametrize("limit", [0, 1, 999, 1_000, 1_001, 1_500, 5_000])
def test_pages_are_read_until_the_limit(relay: FakeRelay, limit: int) -> None:
    relay.answers["Exchanges/List"] = page
    found = calls.find(Relay(), "model:opus", limit, 1, 2)
    assert [one.id for one in found] == [str(number) for number in range(min(limit, 1_500))]
    for request in relay.of("Exchanges/List"):
        assert (request.filter, request.since_ms, request.until_ms) == ("model:opus", 1, 2)
        assert request.page_size <= 1_000


def test_a_relay_that_never_ends_its_pages_is_no_endless_loop(relay: FakeRelay) -> None:
    relay.answers["Exchanges/List"] = ex.ExchangesListResponse(next_page_token="x")
    assert calls.find(Relay(), "", 50, 0, 0) == []
    assert len(relay.asked) == 1


def test_what_cannot_be_asked_is_left_out(relay: FakeRelay) -> None:
    for method in ("Providers/List", "Exchanges/Get"):
        relay.answers[method] = CallFailed("UNAVAILABLE", "")
    assert calls.letters_of(Relay()) == {}
    assert calls.attempts_of(Relay())(ex.Exchange()) == ()


def test_attempts_are_asked_for_a_bounded_number_of_exchanges(relay: FakeRelay) -> None:
    relay.answers["Exchanges/Get"] = examples.detail()
    attempts = calls.attempts_of(Relay())
    assert len(attempts(examples.FAILED_OVER)) == 2
    for _ in range(200):
        attempts(examples.FAILED_OVER)
    assert len(relay.asked) == calls.DETAILS_MAX


def test_letters_are_those_of_status(relay: FakeRelay) -> None:
    relay.answers["Providers/List"] = pb.ProvidersListResponse(providers=served.status().providers)
    assert calls.letters_of(Relay()) == {"anthropic": "A", "bedrock": "B", "zai": "Z"}
