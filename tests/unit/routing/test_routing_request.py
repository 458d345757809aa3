"""The facts of one request."""

import pytest

from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import OutputClass, RequestClass, TrafficClass


def test_a_request_of_which_nothing_is_known_is_a_turn_that_counts_nothing() -> None:
    ask = RoutingRequest()
    assert (ask.kind, ask.traffic) == (RequestClass.MESSAGES, TrafficClass.MAIN)
    assert (ask.tokens_in, ask.tokens_out, ask.body_bytes) == (0, 0, 0)
    assert (ask.conversation, ask.credential, ask.binding) == (0, 0, None)
    assert ask.output_class is OutputClass.STREAM


def test_it_began_to_wait_when_it_was_first_asked_for_however_late_it_is_asked_again() -> None:
    ask = RoutingRequest(now=5.0)
    ask.now = 9.0
    assert ask.waits_since == 5.0


def test_only_facts_can_be_noted() -> None:
    with pytest.raises(AttributeError):
        RoutingRequest().colour = "blue"  # type: ignore[attr-defined]
