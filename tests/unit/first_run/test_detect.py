"""What is found on a machine, in which order, and what is read for it."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ccrelay.config.defaults import KNOWN_KEYS, Ollama
from ccrelay.first_run import detect as module
from ccrelay.first_run.choice import SetupProblem
from ccrelay.first_run.detect import LOGIN, VARIABLES, detect, existing, target


@pytest.fixture(autouse=True)
def ollama(monkeypatch: pytest.MonkeyPatch) -> list[Ollama | None]:
    answer: list[Ollama | None] = [None]
    monkeypatch.setattr(module, "probe_ollama", lambda url: answer[0])
    return answer


def home(folder: Path, login: bool = True) -> dict[str, str]:
    if login:
        (folder / ".claude").mkdir()
        (folder / ".claude" / ".credentials.json").write_text('{"canary": 1}')
    return {"HOME": str(folder)}


def test_the_best_comes_first_and_what_cannot_be_used_last(
    tmp_path: Path, ollama: list[Ollama | None]
) -> None:
    ollama[0] = Ollama("http://localhost:11434", ())
    env = home(tmp_path) | {"ANTHROPIC_API_KEY": "canary", "ZAI_API_KEY": "canary"}
    env |= {"CLAUDE_CODE_USE_BEDROCK": "1", "AWS_BEARER_TOKEN_BEDROCK": "canary"}
    detected = detect(env)
    assert [(one.name, one.source, one.usable) for one in detected.found] == [
        ("anthropic", LOGIN, True),
        ("anthropic", "ANTHROPIC_API_KEY", True),
        ("zai", "ZAI_API_KEY", True),
        ("bedrock", "$AWS_BEARER_TOKEN_BEDROCK, $CLAUDE_CODE_USE_BEDROCK", True),
        ("ollama", "localhost:11434", False),
    ]
    assert "canary" not in repr(detected.found)
    assert "ollama pull" in detected.found[-1].note


def test_local_models_are_listed(tmp_path: Path, ollama: list[Ollama | None]) -> None:
    ollama[0] = Ollama("http://localhost:11434", tuple(f"m{n}" for n in range(99)))
    [found] = detect(home(tmp_path, login=False)).found
    assert found.usable
    assert len(found.models) == 50
    assert found.base_url == "http://localhost:11434"


def test_a_cloud_without_its_library_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "lacking", lambda extra: ["botocore"])
    env = home(tmp_path, login=False) | {"CLAUDE_CODE_USE_BEDROCK": "1"}
    [found] = detect(env).found
    assert not found.usable
    assert "pip install 'ccrelay-proxy[aws]'" in found.note


def test_credentials_of_a_cloud_alone_are_no_choice_of_it(tmp_path: Path) -> None:
    [found] = detect(home(tmp_path, login=False) | {"AWS_PROFILE": "work"}).found
    assert (found.type, found.usable) == ("bedrock", False)


def test_nothing_is_found_without_anything(tmp_path: Path) -> None:
    assert detect({}).found == ()


class Reading(Mapping[str, str]):
    """An environment in which everything is set; notes what is read."""

    def __init__(self, home: str) -> None:
        self.read: set[str] = set()
        self._home = home

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._home if name == "HOME" else "1"

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("all of it is asked for")

    def __len__(self) -> int:
        return 1


def test_the_list_of_variables_has_all_that_is_read(tmp_path: Path) -> None:
    env = Reading(str(tmp_path))
    detect(env)
    assert env.read - VARIABLES == set()
    assert {known.variable for known in KNOWN_KEYS} <= VARIABLES


def test_where_the_file_goes(tmp_path: Path) -> None:
    assert target({"HOME": "/h"}) == Path("/h/.config/ccrelay/config.yaml")
    assert target({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}) == Path("/x/ccrelay/config.yaml")
    assert target({"CCRELAY_CONFIG": "/c.yaml"}) == Path("/c.yaml")
    with pytest.raises(SetupProblem, match="CCRELAY_CONFIG"):
        target({})


@pytest.mark.parametrize("name", ["config.yaml", "config.yml", "config.toml"])
def test_a_file_of_any_name_is_a_configuration(tmp_path: Path, name: str) -> None:
    env = {"HOME": str(tmp_path)}
    assert existing(env) is None
    folder = tmp_path / ".config" / "ccrelay"
    folder.mkdir(parents=True)
    (folder / name).symlink_to("nowhere")  # even one that leads nowhere is not replaced
    assert existing(env) == folder / name
    assert existing({"CCRELAY_CONFIG": str(folder / name)}) == folder / name
    elsewhere = {**env, "CCRELAY_CONFIG": str(tmp_path / "not-there.yaml")}
    assert existing(elsewhere) is None  # the relay would not read the one at home either
