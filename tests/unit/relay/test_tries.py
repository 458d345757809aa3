"""Attempts as records keep them."""

import pytest

from ccrelay._fast.http1 import Head, parse_request
from ccrelay.errors import UpstreamFailed
from ccrelay.ledger.record import Result, Why
from ccrelay.relay import tries
from ccrelay.relay.local_reply import ErrorReply
from ccrelay.routing.verdict import ErrorPriority
from ccrelay.types import Ending
from tests.unit.relay.fakes import FakeRelay, provider
from tests.unit.relay.scenario import (
    BUSY,
    CONNECT_FAILED,
    INVALID,
    LIMITED,
    answer,
    ask,
    relay_of,
    request,
    serving,
    settings,
    stream,
)

SECRET = "sk-" + "ant-api03-abcdefghij0123456789"  # apart, so that no scanner takes it for one


def head(*lines: bytes) -> Head:
    found = parse_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(lines) + b"\r\n")
    assert found is not None
    return found[0]


def test_an_answer_at_once_has_no_tries() -> None:
    relay = relay_of("one", "two")
    request(relay)
    stream(relay.pools["one"].connect())
    found = relay.written()[-1]
    assert (found.tries, found.passed, found.attempts) == ([], "", 1)
    assert (found.result, found.why) == (Result.OK, Why.STRATEGY)


def test_each_attempt_of_a_failover_is_kept_with_its_times() -> None:
    relay = relay_of("one", "two", "three")
    request(relay)
    relay.pass_time(0.5)
    answer(relay.pools["one"].connect(), 529, BUSY)
    relay.pass_time(0.25)
    relay.pools["two"].refuse(CONNECT_FAILED)
    relay.pass_time(1.0)
    stream(relay.pools["three"].connect())
    found = relay.written()[-1]
    assert [(t.provider, t.status, t.verdict) for t in found.tries] == [
        ("one", 529, "overloaded"),
        ("two", 0, "unreachable"),
        ("three", 200, "answered"),
    ]
    assert [(t.started_us, t.ended_us) for t in found.tries] == [
        (0, 500_000),
        (500_000, 750_000),
        (750_000, 1_750_000),
    ]
    assert found.tries[0].error == "overloaded_error: busy"
    assert found.tries[1].error == "Provider one cannot be reached."
    assert found.tries[2].error == ""
    assert (found.result, found.why, found.attempts) == (Result.FAILOVER, Why.FAILOVER, 3)
    assert [one.split("=")[1] for one in found.passed.split()] == ["tried", "tried"]
    assert len(found.candidates.split()) == 3


def test_where_no_target_answers_the_last_failure_is_kept_once() -> None:
    relay = relay_of("one", "two")
    request(relay)
    answer(relay.pools["one"].connect(), 529, BUSY)
    answer(relay.pools["two"].connect(), 429, LIMITED)
    found = relay.written()[-1]
    assert [(t.provider, t.status) for t in found.tries] == [("one", 529), ("two", 429)]
    assert found.result == Result.LOST


def test_an_error_of_the_request_is_passed_on() -> None:
    relay = relay_of("one", "two")
    request(relay)
    answer(relay.pools["one"].connect(), 400, INVALID)
    found = relay.written()[-1]
    assert (found.result, found.status, found.ending) == (Result.PASSED_ON, 400, Ending.COMPLETE)
    assert [t.status for t in found.tries] == [400]


def test_a_client_that_leaves_during_the_second_attempt() -> None:
    relay = relay_of("one", "two")
    down, _ = request(relay)
    answer(relay.pools["one"].connect(), 529, BUSY)
    relay.pools["two"].connect()
    down.leave()
    found = relay.written()[-1]
    assert [t.verdict for t in found.tries] == ["overloaded", "client_left"]
    assert found.result == Result.CLIENT_LEFT


def test_the_same_target_again_is_no_failover() -> None:
    relay = FakeRelay(provider("one"), config=settings(queue_timeout_s=30.0))
    exchange = ask(relay)
    answer(serving(relay, exchange), 429, LIMITED, b"retry-after: 1\r\n")
    relay.pass_time(2.0)
    stream(serving(relay, exchange))
    found = relay.written()[-1]
    assert [t.status for t in found.tries] == [429, 200]
    assert (found.result, found.why) == (Result.OK, Why.QUEUE)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (BUSY, "overloaded_error: busy"),
        (b'{"error":{"type":"a","message":"b\\u001b[31m\\nc"}}', "a: b [31m c"),
        (f'{{"error":{{"type":"a","message":"key {SECRET} bad"}}}}'.encode(), "a: key *** bad"),
        (b"<html>busy</html>", "<html>busy</html>"),
        (b"\xff\xfe", ""),
        (b"", ""),
        (b"[" * 5000, "[" * 120),
    ],
)
def test_what_a_provider_wrote_is_short_printable_and_without_secrets(
    body: bytes, text: str
) -> None:
    target = FakeRelay(provider("one")).providers[0].targets[0]
    reply = ErrorReply(ErrorPriority.FAILED, 500, body)
    assert tries.error_of(reply, head(), target) == text


def test_a_credential_that_a_provider_repeats_is_hidden() -> None:
    target = FakeRelay(provider("one")).providers[0].targets[0]
    own = target.provider.config.keys[0].key
    body = f'{{"error":{{"type":"x","message":"{own} and theirs1234"}}}}'.encode()
    reply = ErrorReply(ErrorPriority.FAILED, 500, body)
    asked = head(b"authorization: Bearer theirs1234\r\n")
    assert tries.error_of(reply, asked, target) == "x: *** and ***"
    assert tries.error_of(reply, None, target) == ""


def test_an_error_of_our_own_is_one_bounded_line() -> None:
    target = FakeRelay(provider("one")).providers[0].targets[0]
    error = UpstreamFailed("a\n\x1b[31m " + "x" * 1000)
    found = tries.error_of(ErrorReply(ErrorPriority.FAILED, 502, error=error), head(), target)
    assert found.startswith("a \\u001b[31m xxx")
    assert len(found) == tries.ERROR_CHARS_MAX
