"""What follows where a cloud fails: rests and cooldowns of a model, what clients are told."""

import json
import re

import pytest

from ccrelay._fast.rate_limits import Capacity, Cooldown
from tests.unit.relay.fakes import STREAM_HEAD, FakeDown, FakeRelay, keys, provider
from tests.unit.relay.scenario import answer, begin, name_of, serving, settings

THROTTLED = b'{"__type":"ThrottlingException","message":"Too many requests"}'
PER_DAY = b'{"__type":"ThrottlingException","message":"Too many tokens per day"}'
EXPIRED = b'{"__type":"ExpiredTokenException","message":"The token of 123456789012 has expired"}'
IN_STREAM = (
    b'{"type":"error","error":{"type":"rate_limit_error","message":"account 123456789012",'
    b'"details":{"error_code":"throttlingException"}}}'
)


def azure(*names: str) -> FakeRelay:
    """Providers of type azure with API keys; no request waits for any."""
    made = [provider(name, "azure", keys=keys(name)) for name in names]
    return FakeRelay(*made, config=settings(queue_timeout_s=0.0))


def retry_after(down: FakeDown) -> list[int]:
    return [int(found) for found in re.findall(rb"retry-after: (\d+)\r\n", down.got)]


def test_a_429_without_a_time_gets_the_time_that_the_model_rests() -> None:
    relay = azure("one")
    waits = []
    for _ in range(4):
        down, _, upstream = begin(relay)
        answer(upstream, 429, THROTTLED)
        assert down.heads[0].startswith(b"HTTP/1.1 429 ")
        waits += retry_after(down)
        relay.reactor.now += waits[-1]
    assert waits == [1, 2, 4, 8], "clients come back later each time"


def test_the_clouds_own_time_is_passed_on() -> None:
    relay = azure("one")
    down, _, upstream = begin(relay)
    answer(upstream, 429, THROTTLED, b"retry-after: 34\r\n")
    assert retry_after(down) == [34]


def test_a_time_in_the_body_is_told_in_the_head() -> None:
    relay = azure("one")
    down, _, upstream = begin(relay)
    answer(upstream, 429, b'{"error":{"code":"429","message":"Try again in 27 seconds."}}')
    assert retry_after(down) == [27]


def test_a_cooldown_is_that_of_the_model_and_the_key_serves_others() -> None:
    relay = azure("one")
    answer(begin(relay)[2], 429, PER_DAY)
    limits, now = relay.providers[0].targets[0].limits, relay.reactor.now
    assert limits.cooldown_reason == Cooldown.NONE
    assert limits.state(now, 0, 0, 0) != Capacity.COOLING_DOWN
    (told,) = relay.log.members("key_cooldown")
    assert (told["model"], told["why"]) == ("m", "quota_spent")
    _, exchange, _ = begin(relay, body=b'{"model":"other","messages":[]}')
    assert name_of(exchange) == "one"


def test_another_provider_serves_what_is_throttled_here() -> None:
    relay = azure("one", "two")
    _, exchange, upstream = begin(relay)
    answer(upstream, 429, THROTTLED)
    assert name_of(exchange) == "two"


def test_an_expired_key_is_told_as_the_relays_and_is_disabled() -> None:
    relay = azure("one")
    down, _, upstream = begin(relay)
    answer(upstream, 401, EXPIRED)
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")
    assert b"refused the relay's key" in down.got
    assert b"123456789012" not in down.got
    assert [told["why"] for told in relay.log.members("key_disabled")] == ["key_refused"]


def test_an_event_that_was_translated_goes_out_as_an_http_error() -> None:
    relay = azure("one")
    down, _, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(b"event: error\ndata: " + IN_STREAM + b"\n\n")
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
    error = json.loads(down.got.rpartition(b"\r\n\r\n")[2])["error"]
    assert (error["type"], error["message"]) == ("rate_limit_error", "account ************")
    assert retry_after(down) == [1]


def test_an_event_of_a_throttled_model_goes_to_the_next_provider() -> None:
    relay = azure("one", "two")
    _, exchange, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(b"event: error\ndata: " + IN_STREAM + b"\n\n")
    assert name_of(exchange) == "two"
    assert serving(relay, exchange)


@pytest.mark.parametrize("status", [400, 404])
def test_a_model_that_is_not_there_is_tried_elsewhere_and_told_as_anthropic_does(
    status: int,
) -> None:
    gone = b'{"error":{"code":"DeploymentNotFound","message":"no such deployment"}}'
    relay = azure("one", "two")
    down, exchange, upstream = begin(relay)
    answer(upstream, status, gone)
    assert name_of(exchange) == "two"
    answer(serving(relay, exchange), status, gone)
    assert down.heads[0].startswith(b"HTTP/1.1 404 ")
    assert b'"not_found_error"' in down.got
