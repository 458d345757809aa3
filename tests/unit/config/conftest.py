from collections.abc import Callable
from pathlib import Path

import pytest

from ccrelay.config.load import ConfigError, Loaded, load
from ccrelay.config.problems import Problem

ENV = {
    "RELAY_TOKEN": "relay-token-1",
    "ANTHROPIC_API_KEY": "test-key-1",
    "ANTHROPIC_KEY_TWO": "test-key-3",
    "ZAI_API_KEY": "test-key-2",
    "PATH": "/usr/bin:/bin",
}


@pytest.fixture
def load_text(tmp_path: Path) -> Callable[..., Loaded]:
    """Write a file and load it."""

    def run(text: str, name: str = "ccrelay.yaml", **env: str) -> Loaded:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o600)
        return load(path, env=ENV | env)

    return run


@pytest.fixture
def problems_of(load_text: Callable[..., Loaded]) -> Callable[..., list[str]]:
    """Load text that must be refused; the errors as `line:column: path: message`."""

    def run(text: str, name: str = "ccrelay.yaml", **env: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load_text(text, name, **env)
        return [_short(p) for p in caught.value.problems if p.severity == "error"]

    return run


@pytest.fixture
def warnings_of(load_text: Callable[..., Loaded]) -> Callable[..., list[str]]:
    def run(text: str, name: str = "ccrelay.yaml", **env: str) -> list[str]:
        return [_short(problem) for problem in load_text(text, name, **env).warnings]

    return run


def _short(problem: Problem) -> str:
    source = problem.source or ""
    return str(problem).removeprefix(source).lstrip(":")
