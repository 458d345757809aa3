"""The facts of one request."""

import pytest

from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import OutputClass, RequestClass, TrafficClass


def test_the_defaults_are_those_of_a_main_loop_turn_without_tokens() -> None:
    request = RoutingRequest()
    assert (request.kind, request.traffic) == (RequestClass.MESSAGES, TrafficClass.MAIN)
    assert (request.tokens_in, request.tokens_out, request.body_bytes) == (0, 0, 0)
    assert (request.conversation, request.credential, request.binding) == (0, 0, None)
    assert request.output_class == OutputClass.STREAM


def test_waits_since_does_not_follow_now() -> None:
    request = RoutingRequest(now=5.0)
    request.now = 9.0
    assert request.waits_since == 5.0


def test_unknown_attributes_are_refused() -> None:
    with pytest.raises(AttributeError):
        RoutingRequest().colour = "blue"  # type: ignore[attr-defined]
