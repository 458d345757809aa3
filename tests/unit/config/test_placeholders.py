"""Values that another process has and this one has not."""

from pathlib import Path

import pytest

from ccrelay.config.load import load_text
from ccrelay.config.placeholders import is_secret
from ccrelay.config.problems import ConfigError

TEXT = """\
providers:
- name: one
  base_url: "${URL}"
  models: ["${MODEL:-m}"]
  headers: {x-a: "${HEADER}"}
  keys:
  - key: "${KEY}"
  - key: "${cmd:touch /nonexistent/ran}"
routing: {strategy: "${QUEUE}"}
"""


def test_what_is_missing_here_is_a_warning_and_a_placeholder() -> None:
    text = TEXT.replace('"${URL}"', "http://127.0.0.1:9")
    loaded = load_text(text.encode(), Path("/nonexistent/c.yaml"), env={})
    assert len(loaded.missing_secrets) == 3
    warned = {".".join(map(str, problem.path)): problem for problem in loaded.warnings}
    assert "QUEUE" in warned["routing.strategy"].message
    assert loaded.config.providers[0].models == ["m"]
    assert all(problem.severity == "warning" for problem in loaded.warnings)
    # One warning for each place.
    assert len(warned) == len(loaded.warnings)


def test_other_mistakes_stay_mistakes() -> None:
    text = TEXT.replace("strategy", "strategie")
    with pytest.raises(ConfigError, match="strategie"):
        load_text(text.encode(), Path("/nonexistent/c.yaml"), env={})


def test_what_is_there_is_used() -> None:
    env = {"URL": "http://127.0.0.1:9", "KEY": "k", "HEADER": "h", "QUEUE": "failover"}
    loaded = load_text(TEXT.encode(), Path("/nonexistent/c.yaml"), env=env)
    assert loaded.config.providers[0].keys[0].key == "k"
    assert loaded.config.routing.strategy == "failover"
    assert len(loaded.missing_secrets) == 1  # the command


@pytest.mark.parametrize("data", [b"\xff", b"x" * ((1 << 20) + 1), b"", b"["])
def test_a_text_that_is_none(data: bytes) -> None:
    with pytest.raises(ConfigError):
        load_text(data, Path("c.yaml"), env={})


def test_places_of_secrets() -> None:
    assert is_secret(("providers", 0, "keys", 1, "key"))
    assert is_secret(("server", "auth", "tokens", 0))
    assert is_secret(("providers", 0, "headers", "x"))
    assert is_secret(("providers", 0, "keys", 1, "credential", "client_secret"))
    assert not is_secret(("providers", 0, "keys", 1, "credential", "client_id"))
    assert not is_secret(("providers", 0, "base_url"))
