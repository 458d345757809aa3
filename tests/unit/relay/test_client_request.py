"""What an exchange knows of its request: the body in every stage, and what it is for."""

from typing import Any

import pytest

from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.client_request import ClientRequest
from ccrelay.types import RequestClass, TrafficClass
from tests.unit.relay.fakes import BODY, MODEL_SEEN, FakeDown, FakeReactor

UNPACKED = b'{"model":"m", "stream": true}'


def request(kind: RequestClass = RequestClass.MESSAGES, **down: Any) -> ClientRequest:
    return ClientRequest(
        FakeDown(FakeReactor(), **down), int(kind), ClientAuth(False, False, False)
    )


def state(client: ClientRequest) -> tuple[bool, bool, bool]:
    return client.is_complete(), client.is_kept(), client.is_readable()


# ---- the body


def test_what_an_attempt_makes_of_the_body_takes_the_place_of_what_the_last_one_made() -> None:
    client = request()
    assert client.charge(100)
    for copies, held in ((60, 160), (60, 160), (80, 180), (40, 180)):
        assert client.charge_copies(copies)
        assert client.held == held
    client.release()
    assert client.held == 0
    assert client.charge_copies(60)
    assert client.held == 60
    client.release()


@pytest.mark.parametrize(
    ("down", "expected"),
    [
        ({}, (True, True, True)),
        ({"arrived": 5}, (False, True, False)),
        ({"windowed": True}, (True, False, False)),
        ({"windowed": True, "arrived": 5}, (False, False, False)),
    ],
    ids=["complete", "arriving", "windowed", "windowed and arriving"],
)
def test_a_body_is_readable_when_it_is_complete_and_kept(
    down: dict[str, Any], expected: tuple[bool, bool, bool]
) -> None:
    assert state(request(**down)) == expected


def test_an_unpacked_body_is_readable_whatever_the_connection_keeps() -> None:
    client = request(windowed=True, arrived=5)
    client.body = UNPACKED
    assert state(client) == (True, True, True)
    assert (client.whole(), client.size()) == (UNPACKED, len(UNPACKED))


def test_the_size_is_the_length_or_what_has_arrived() -> None:
    assert request(arrived=7).size() == len(BODY)
    assert request(arrived=7, chunked=True).size() == 7
    assert request().whole() == BODY


@pytest.mark.parametrize(("body", "streams"), [(BODY, True), (b'{"model":"m"}', False)])
def test_stream_is_read_from_what_has_arrived(body: bytes, streams: bool) -> None:
    assert request(body=body).asks_for_stream() is streams
    assert not request(body=body, arrived=MODEL_SEEN - 1).asks_for_stream()


def test_stream_is_read_from_an_unpacked_body() -> None:
    client = request(body=b"packed")
    client.set_body(UNPACKED, -1, True)
    assert client.asks_for_stream()
    client.set_body(b'{"stream":false}', -1, False)
    assert not client.asks_for_stream()


def test_elements_are_those_of_what_is_sent() -> None:
    client = request(body=b'{"model":"m","messages":[1,2,3]}')
    assert client.elements() == 5
    client.set_body(b'{"model":"m","messages":[1,2,3,4]}', -1, False)
    assert client.elements() == 6
    client.set_body(b"{}", 77, False)
    assert client.elements() == 77


# ---- once more


def test_a_request_can_be_resent_until_a_response_has_begun() -> None:
    client = request()
    assert client.can_resend(False)
    client.down.started = True
    assert not client.can_resend(False)
    assert client.can_resend(True), "only an early head went out"


def test_a_request_cannot_be_resent_for_a_client_that_left_or_without_its_body() -> None:
    client = request()
    client.down.leave()  # type: ignore[attr-defined]
    assert not client.can_resend(True)
    client = request(windowed=True)
    assert not client.can_resend(False)
    client.body = UNPACKED
    assert client.can_resend(False)


# ---- what it is for


@pytest.mark.parametrize(
    ("extra", "traffic"),
    [
        (b"", TrafficClass.MAIN),
        (b"x-claude-code-agent-id: a-1\r\n", TrafficClass.SUBAGENT),
        (b"x-claude-code-request-class: auxiliary\r\n", TrafficClass.BACKGROUND),
        (b"x-claude-code-request-class: unknown\r\n", TrafficClass.MAIN),
    ],
)
def test_the_head_gives_the_traffic_class(extra: bytes, traffic: TrafficClass) -> None:
    assert request(extra=extra).traffic() == traffic


def test_count_tokens_is_a_traffic_class_of_its_own() -> None:
    assert request(RequestClass.COUNT_TOKENS).traffic() == TrafficClass.COUNT_TOKENS


def test_what_rules_found_precedes_the_head() -> None:
    client = request(extra=b"x-claude-code-agent-id: a-1\r\n")
    client.set_traffic(int(TrafficClass.WEB_SEARCH))
    assert client.traffic() == TrafficClass.WEB_SEARCH
