"""What answers mean, in words: for the first run, the probes of the manager, and doctor."""

import json
from typing import Any

import pytest

from ccrelay.config.model import Config, Key, Provider
from ccrelay.config.resolve import resolve
from ccrelay.errors import BadRequest, UpstreamFailed
from ccrelay.probing import verdict
from ccrelay.probing.verdict import Asked, Question, Verdict, is_billed, judged, model_ids
from ccrelay.providers.base import Dialect
from ccrelay.providers.registry import dialect_for

KEY = "correcthorse"  # of no shape that keys of services have
# As a key looks; in parts, because no key may stand in the sources.
SHAPED = "sk-" + "ant-abcdefghijkl0123456789"
USAGE = {"input_tokens": 1000, "output_tokens": 1}
MESSAGE = json.dumps({"type": "message", "content": [], "usage": USAGE}).encode()


def dialect(**members: Any) -> Dialect:
    given = {"name": "one", "type": "anthropic", "keys": [Key(key=KEY)], **members}
    return dialect_for(resolve(Config(providers=[Provider(**given)])).providers[0])


def of(
    status: int,
    body: bytes,
    kind: Question = "message",
    *,
    model: str = "claude-sonnet-4-5",
    key: str | None = KEY,
    **members: Any,
) -> Verdict:
    return judged(Asked(dialect(**members), "one", kind, model, key), status, body)


@pytest.mark.parametrize(
    ("status", "body", "part"),
    [
        (400, b"", "rejects the request"),
        (401, b'{"error":{"type":"authentication_error","message":"bad"}}', "copied whole"),
        (402, b"{}", "accepts the key, and says that its balance or quota is spent"),
        (403, b"", "look at its permissions"),
        (404, b"not here", "neither the model nor the path"),
        (408, b"", "waited too long"),
        (413, b"", "too large"),
        (418, b"", "does not answer the request"),
        (429, b'{"error":{"message":"slow down"}}', 'It says: "slow down"'),
        (529, b'{"error":{"type":"overloaded_error","message":"x"}}', "overloaded"),
        (500, b"<html>", "fails: try again later"),
        (302, b"", "set the base URL to where it leads"),
        (200, b"<html>welcome</html>", "not of this API, in spite of status 200"),
        (204, b"", "not of this API"),
        (
            200,
            b'{"type":"error","error":{"message":"no"}}',
            'in spite of status 200. It says: "no"',
        ),
        (200, b'{"type": 5}', "not of this API"),
        (200, b"[" * 5000, "not of this API"),
    ],
)
def test_what_comes_is_told_in_words(status: int, body: bytes, part: str) -> None:
    found = of(status, body)
    assert (found.ok, found.status, found.cost_micros) == (False, status, 0)
    assert part in found.message
    assert found.message.startswith(("one ", "What one "))


@pytest.mark.parametrize("secret", [KEY, SHAPED])
def test_a_provider_that_repeats_the_key_shows_no_key(secret: str) -> None:
    told = {"error": {"message": f"bad key {secret}, \x1b[31m{'y ' * 900}"}}
    message = of(401, json.dumps(told).encode()).message
    assert 'It says: "bad key ...' in message
    assert secret not in message
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_provider_that_does_not_count(status: int) -> None:
    assert "only a message shows whether it works" in of(status, b"", "count_tokens").message


def test_tokens_that_are_counted_prove_a_key_where_there_is_one() -> None:
    body = b'{"input_tokens": 9}'
    assert of(200, body, "count_tokens") == Verdict(
        True, "one accepts the key, and counted 9 tokens.", 200
    )
    assert of(200, body, "count_tokens", key=None).message == "one counted 9 tokens."
    assert not of(200, MESSAGE, "count_tokens").ok
    assert not of(200, body).ok


def test_a_message_has_its_price() -> None:
    assert of(200, MESSAGE) == Verdict(
        True, "one answered with claude-sonnet-4-5.", 200, 1000 * 3 + 15
    )
    assert of(200, MESSAGE, model="nosuch-1").cost_micros == 0
    assert of(200, MESSAGE, billing="plan").cost_micros == 0
    assert of(200, b'{"type":"message"}').cost_micros == 0


@pytest.mark.parametrize(
    ("type_", "billing", "expected"),
    [
        ("zai", None, True),
        ("zai", "plan", False),
        ("ollama", None, False),
        ("ollama", "tokens", True),
    ],
)
def test_what_is_billed(type_: str, billing: str | None, expected: bool) -> None:
    assert is_billed(type_, billing) is expected


def test_why_there_was_no_answer() -> None:
    network = verdict.unreached(UpstreamFailed("the connection failed"))
    assert network.startswith("The connection failed. Check the base URL (host, port, http or")
    assert verdict.unreached(BadRequest("It has no such model.")) == "It has no such model."
    assert verdict.unreached(ValueError("a key has blanks")) == "A key has blanks."


def test_ids_of_a_list() -> None:
    rows = [{"id": "a"}, {"id": 3}, "x", {"id": ""}, {"id": "b\x1b"}, {"name": "c"}]
    rows.append({"id": "y" * 300})
    assert model_ids(json.dumps({"data": rows}).encode()) == ("a",)
    for body in (b"nonsense", b"[]", b'{"data": 3}', b"[" * 9000):
        assert model_ids(body) is None
    many = [{"id": f"m-{number}"} for number in range(10_000)]
    assert model_ids(json.dumps({"data": many}).encode()) == tuple(
        f"m-{number}" for number in range(verdict.MODELS_MAX)
    )
