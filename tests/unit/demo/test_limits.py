import hashlib

import pytest

from ccrelay.demo.http1 import RequestHead
from ccrelay.demo.limits import Account, Limiter, Quotas, credential_of, fingerprint
from ccrelay.errors import BadRequest

NOW = 6000.0


def account(text="", **options):
    return Account(Quotas.parse(text, **options))


def test_limits_are_parsed():
    found = Quotas.parse(" rpm=60, tpm=80000,itpm=1,otpm=2,concurrent=3 ", window="bucket")
    assert (found.requests, found.tokens, found.input, found.output) == (60, 80000, 1, 2)
    assert (found.concurrent, found.window, found.unlimited) == (3, "bucket", False)
    assert Quotas.parse("").unlimited


@pytest.mark.parametrize("text", ["rps=1", "rpm", "rpm=", "rpm=0", "rpm=-1", "rpm=1.5", "rpm=²"])
def test_invalid_limits_are_rejected(text):
    with pytest.raises(BadRequest):
        Quotas.parse(text)


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ("tpm=100", "100 tokens per minute"),
        ("itpm=100", "100 input tokens per minute"),
        ("concurrent=1", "1 concurrent requests"),
    ],
)
def test_a_rejection_names_the_limit(limits, named):
    made = account(limits)
    assert made.admit(NOW, 60) is None
    refusal = made.admit(NOW + 10, 60)
    assert refusal is not None
    assert named in refusal.message
    assert refusal.retry_after_s == (1 if "concurrent" in limits else 50)


def test_a_rejection_names_the_limit_with_the_longest_wait():
    made = account("rpm=1,itpm=100")
    made.admit(NOW, 10)
    refusal = made.admit(NOW + 30, 101)
    assert "input tokens" in refusal.message
    assert refusal.retry_after_s == 60


def test_output_is_limited_only_once_the_limit_is_reached():
    made = account("otpm=100")
    assert made.admit(NOW, 5000) is None
    made.finish(NOW + 1, 99)
    assert made.admit(NOW + 2, 5000) is None
    made.finish(NOW + 3, 50)
    assert "output" in made.admit(NOW + 4, 0).message
    assert made.ledger()["window_max"]["output"] == 149


def test_a_fully_cached_request_needs_room_for_one_token():
    made = account("tpm=100")
    assert made.admit(NOW, 100) is None
    assert made.admit(NOW, 0) is not None


def test_a_rejected_request_counts_only_as_rejected():
    made = account("rpm=1")
    made.admit(NOW, 10)
    for _ in range(5):
        made.admit(NOW, 10)
    line = made.ledger()
    assert (line["requests"], line["rejected"], line["input_tokens"]) == (1, 5, 10)
    assert (line["in_flight"], line["in_flight_max"]) == (1, 1)
    assert made.admit(NOW + 60, 10) is None


def test_window_max_is_the_maximum_of_any_minute():
    made = account("rpm=2", window="fixed")
    for at in (NOW + 58, NOW + 59, NOW + 60, NOW + 61):
        assert made.admit(at, 5) is None
    assert made.ledger()["window_max"] == {"requests": 4, "tokens": 20, "input": 20, "output": 0}


def test_headers_have_limit_remaining_and_reset():
    made = account("rpm=10,otpm=100")
    made.admit(NOW, 7)
    made.finish(NOW + 2.5, 130)
    assert dict(made.headers(NOW + 3)) == {
        "anthropic-ratelimit-requests-limit": "10",
        "anthropic-ratelimit-requests-remaining": "9",
        "anthropic-ratelimit-requests-reset": "1970-01-01T01:41:00Z",
        "anthropic-ratelimit-output-tokens-limit": "100",
        "anthropic-ratelimit-output-tokens-remaining": "0",
        "anthropic-ratelimit-output-tokens-reset": "1970-01-01T01:41:03Z",
    }


def test_reset_keeps_running_requests():
    made = account("rpm=1,concurrent=2")
    made.admit(NOW, 10)
    made.reset()
    assert made.ledger()["requests"] == 0
    assert (made.in_flight, made.ledger()["in_flight_max"]) == (1, 1)
    assert made.admit(NOW, 10) is None
    made.reset()
    assert made.admit(NOW, 10) is not None
    made.finish(NOW, 0)
    assert made.admit(NOW, 10) is None


def test_without_limits_requests_are_counted_and_no_headers_sent():
    limiter = Limiter(Quotas(), lambda: NOW)
    assert limiter.admit("test-key-1", 5) is None
    limiter.finish("test-key-1", 6)
    [line] = limiter.ledger().values()
    assert (line["input_tokens"], line["output_tokens"]) == (5, 6)
    assert limiter.headers("test-key-1") is None


def test_credential_of_reads_x_api_key_or_bearer():
    def head(*headers):
        return RequestHead("POST", "/", 1, list(headers))

    assert credential_of(head(("X-Api-Key", "a"), ("Authorization", "Bearer b"))) == "a"
    assert credential_of(head(("Authorization", "bearer  b "))) == "b"
    assert credential_of(head(("Authorization", "Basic b"))) == ""
    assert credential_of(head()) == ""


def test_ledger_names_can_be_computed_by_tests():
    name = hashlib.sha256(b"test-key-1").hexdigest()[:8]
    assert fingerprint("test-key-1") == f"sha256:{name}"
    assert fingerprint("") == "none"
