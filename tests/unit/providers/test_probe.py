"""What a probe sends."""

import json

import pytest

from ccrelay.config.model import Config, Key, Provider
from ccrelay.config.resolve import resolve
from ccrelay.providers.base import Dialect
from ccrelay.providers.probe import probe_body, probe_fields, probe_model, probe_path
from ccrelay.providers.registry import dialect_for


def dialect(**values: object) -> Dialect:
    given = {"name": "p", "base_url": "http://h:81/api", "keys": [Key("k")], **values}
    return dialect_for(resolve(Config(providers=[Provider(**given)])).providers[0])  # type: ignore[arg-type]


def test_a_request_is_complete_and_small() -> None:
    one = dialect(headers={"x-team": "a"})
    body = probe_body("message", 'm"x')
    assert json.loads(body) == {
        "model": 'm"x',
        "max_tokens": 1,
        "messages": [{"role": "user", "content": "ping"}],
    }
    assert "max_tokens" not in json.loads(probe_body("count_tokens", "m"))
    fields = dict(probe_fields(one, "k", body))
    assert fields[b"host"] == b"h:81"
    assert fields[b"authorization"] == b"Bearer k"
    assert fields[b"content-length"] == b"%d" % len(body)
    assert fields[b"x-team"] == b"a"
    assert probe_path(one, "count_tokens") == b"/api/v1/messages/count_tokens"


def test_configured_headers_replace_ours() -> None:
    fields = probe_fields(dialect(headers={"User-Agent": "mine"}), "k", b"")
    assert [value for name, value in fields if name == b"user-agent"] == [b"mine"]


def test_a_key_that_cannot_be_sent_is_not_shown() -> None:
    with pytest.raises(ValueError, match="not allowed") as caught:
        probe_fields(dialect(), "k\r\nx: y", b"")
    assert "x: y" not in str(caught.value)


def test_the_model_is_named_as_the_provider_knows_it() -> None:
    mapped = dialect(model_mapping={"claude-*": "glm-5"}, models=["*"])
    assert probe_model(mapped, "claude-x") == "glm-5"
    assert probe_model(mapped, None) == "glm-5"
    assert probe_model(dialect(models=["a-*", "b"]), None) == "b"
    assert probe_model(dialect(models=["a-*"]), None) is None
    assert probe_model(dialect(models=["a"]), "unserved") == "unserved"


def test_a_cloud_is_asked_for_its_own_id() -> None:
    place = {"type": "bedrock", "region": "us-east-1", "api": "invoke", "base_url": None}
    bedrock = dialect(**place, models=["claude-*", "claude-sonnet-4-5"])
    assert probe_model(bedrock, None) == "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert probe_model(bedrock, "claude-opus-5-5") == "us.anthropic.claude-opus-5-5"
    mapped = dialect(**place, models=[], model_mapping={"fast": "claude-haiku-4-5"})
    assert probe_model(mapped, None) == "claude-haiku-4-5"  # sent as it is
