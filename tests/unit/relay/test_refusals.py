"""Keys that a provider refuses: the client's error, growing intervals, trials and the way back."""

import pytest

from ccrelay._fast.rate_limits import Capacity
from ccrelay.relay import refusals
from tests.unit.relay.fakes import (
    CONTENT,
    START,
    STREAM_HEAD,
    FakeDown,
    FakeRelay,
    FakeUpstream,
    keys,
    provider,
)
from tests.unit.relay.scenario import (
    BUSY,
    LIMITED,
    REFUSED,
    answer,
    begin,
    relay_of,
    request,
    serving,
    settings,
)

FORBIDDEN = b'{"type":"error","error":{"type":"permission_error","message":"not yours"}}'


def lone() -> FakeRelay:
    return FakeRelay(provider("one", keys=keys("a")), config=settings(queue_timeout_s=2.0))


def refuse(relay: FakeRelay) -> None:
    """A request is answered that its key is refused."""
    answer(begin(relay)[2], 401, REFUSED)


@pytest.mark.parametrize(("status", "body"), [(401, REFUSED), (403, FORBIDDEN), (401, b"")])
def test_the_client_learns_whose_key_was_refused_and_not_the_providers_words(
    status: int, body: bytes
) -> None:
    relay = lone()
    down, _, upstream = begin(relay)
    answer(upstream, status, body)
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")
    target = relay.providers[0].targets[0]
    assert b"Provider one refused the relay's key" in down.got
    assert target.fingerprint.encode() in down.got
    assert b"x-should-retry: false" in down.got
    for raw in (b"bad key", b"not yours", b"test-key", b"authentication_error"):
        assert raw not in down.got


def test_a_refusal_inside_a_stream_is_not_passed_on_either() -> None:
    relay = lone()
    down, _, upstream = begin(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(b"event: error\ndata: " + REFUSED + b"\n\n")
    assert down.heads[0].startswith(b"HTTP/1.1 502 ")
    assert b"bad key" not in down.got


def test_the_trial_comes_later_each_time_up_to_a_bound() -> None:
    relay = lone()
    refused = relay.providers[0].targets[0].refusals
    waits = []
    for _ in range(8):
        refuse(relay)
        waits.append(refused.due_at - relay.reactor.now)
        down, _ = request(relay)
        assert down.heads[0].startswith(b"HTTP/1.1 502 "), "not tried before its time"
        assert b"were refused" in down.got
        relay.reactor.now = refused.due_at
    assert waits == pytest.approx([30, 60, 120, 240, 480, 900, 900, 900])
    assert [told["seconds"] for told in relay.log.members("key_disabled")] == pytest.approx(waits)


def test_requests_refused_together_count_once() -> None:
    relay = lone()
    ways = [begin(relay)[2] for _ in range(5)]
    for upstream in ways:
        answer(upstream, 401, REFUSED)
    assert relay.providers[0].targets[0].refusals.count() == 1
    assert len(relay.log.members("key_disabled")) == 1


def due(relay: FakeRelay) -> tuple[FakeDown, FakeUpstream]:
    """A key was refused, its trial is due and is a request."""
    refuse(relay)
    relay.reactor.now += refusals.FIRST_S
    down, _, upstream = begin(relay)
    return down, upstream


def test_a_request_that_nothing_else_can_serve_is_the_trial_and_brings_it_back() -> None:
    relay = lone()
    down, upstream = due(relay)
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT)
    target = relay.providers[0].targets[0]
    refused = target.refusals
    assert target.limits.state(relay.reactor.now, 1, 1) == Capacity.READY, "at its first content"
    assert (refused.count(), refused.due_at) == (0, 0.0)
    (told,) = [entry for entry in relay.log.entries if entry[1] == "key_restored"]
    assert told[0] == "info"
    assert CONTENT in down.got


def test_others_wait_for_the_trial_under_way_and_follow_it() -> None:
    relay = lone()
    _, upstream = due(relay)
    _, other = request(relay)
    assert len(relay.queue) == 1
    upstream.respond(STREAM_HEAD)
    upstream.feed(START + CONTENT)
    relay.loop.run()
    assert len(relay.queue) == 0
    serving(relay, other)


def test_others_are_refused_with_the_trial() -> None:
    relay = lone()
    _, upstream = due(relay)
    down, _ = request(relay)
    answer(upstream, 401, REFUSED)
    relay.loop.run()
    assert len(relay.queue) == 0
    assert b"were refused" in down.got


@pytest.mark.parametrize(
    ("status", "body", "fields", "is_back"),
    [
        (429, LIMITED, b"retry-after: 70\r\n", True),
        (400, b'{"error":{"message":"prompt is too long"}}', b"", True),
        (529, BUSY, b"", False),
        (500, b"", b"", False),
        (403, b"<html>no</html>", b"", False),
    ],
)
def test_what_the_end_of_a_trial_proves_of_the_key(
    status: int, body: bytes, fields: bytes, is_back: bool
) -> None:
    relay = lone()
    _, upstream = due(relay)
    answer(upstream, status, body, fields)
    refused = relay.providers[0].targets[0].refusals
    assert (refused.count() == 0) is is_back
    assert bool(relay.log.members("key_restored")) is is_back
    if not is_back:
        assert refused.claim(relay.reactor.now, relay.reactor.now + 1), "at once"


def test_a_trial_whose_client_leaves_is_given_up_after_a_while() -> None:
    relay = lone()
    down, _ = due(relay)
    down.leave()
    _, other = request(relay)
    assert len(relay.queue) == 1
    relay.pass_time(2.1)
    assert other.settled, "its time in the queue is over before"
    relay.pass_time(3.0)
    begin(relay)


def test_where_another_target_serves_no_request_is_the_trial() -> None:
    relay = FakeRelay(provider("one", keys=keys("a")), provider("two"), config=settings())
    refuse(relay)
    relay.reactor.now += 10 * refusals.FIRST_S
    for _ in range(3):
        _, exchange, _ = begin(relay)
        assert exchange.attempt is not None
        assert exchange.attempt.target.provider.name == "two"


def test_an_error_that_a_retry_may_mend_comes_before_a_refused_key() -> None:
    relay = relay_of("one", "two")
    down, exchange, upstream = begin(relay)
    answer(upstream, 401, REFUSED)
    answer(serving(relay, exchange), 429, LIMITED, b"retry-after: 70\r\n")
    assert down.heads[0].startswith(b"HTTP/1.1 429 ")
