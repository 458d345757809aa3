"""Settings that connect wrote for a configuration that has changed since."""

import json
from pathlib import Path

import pytest

from ccrelay.cli.client_environment import BASE_URL, TOOL_SEARCH, decide, environment
from ccrelay.cli.client_facts import Facts, RouteProvider
from ccrelay.cli.doctor_connect import check_connected
from ccrelay.cli.settings_merge import connect_change
from ccrelay.cli.settings_store import Store, settings_file

TEAM = RouteProvider("team", "anthropic", "https://api.anthropic.com", models=("claude-*",))
GLM = RouteProvider("glm", "zai", models=("glm-4.6",))
FACTS = Facts("http://127.0.0.1:8787", (TEAM,))


class Home:
    """A home folder whose settings connect has written."""

    def __init__(self, folder: Path) -> None:
        self.env = {"HOME": str(folder)}
        self.store = Store(settings_file(self.env), self.env)
        self.store.file.parent.mkdir()
        self.store.file.write_text('{"env": {"ENABLE_TOOL_SEARCH": "auto"}}')
        with self.store.locked():
            text = self.store.text()
            wanted = {("env", n): one for n, one in environment(decide(FACTS, {})).items()}
            line = {("statusLine",): {"command": "ccrelay statusline"}}
            change = connect_change(text, None, wanted | line, [("env", BASE_URL)])
            self.store.apply(change, text)

    def names(self, facts: Facts) -> list[str]:
        found = check_connected(facts, self.env)
        return [one.text for one in found]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_is_of_this_configuration_is_not_told(home: Home) -> None:
    assert TOOL_SEARCH not in environment(decide(FACTS, {TOOL_SEARCH: "auto"}))  # the user's stays
    assert home.names(FACTS) == []
    assert home.names(FACTS._replace(wants_token=True, token="test-token-1")) == []


def test_what_is_of_another_one_is_told_with_the_way_to_mend_it(home: Home) -> None:
    [found] = check_connected(FACTS._replace(providers=(TEAM, GLM)), home.env)
    assert found.do == "ccrelay connect"
    assert "_CLAUDE_CODE_ASSUME_FIRST_PARTY_BASE_URL" in found.text
    assert TOOL_SEARCH not in found.text
    assert str(home.store.file) in found.meaning


def test_without_a_relay_in_the_settings_nothing_is_told(home: Home, tmp_path: Path) -> None:
    other = FACTS._replace(providers=(GLM,))
    whole = json.loads(home.store.file.read_text())
    for env in ({}, {**whole["env"], BASE_URL: "https://gateway.test"}):
        home.store.file.write_text(json.dumps({**whole, "env": env}))
        assert home.names(other) == []
    home.store.file.write_text("{")  # connect says what is wrong with it
    assert home.names(other) == []
    home.store.file.unlink()
    assert home.names(other) == []
    assert check_connected(other, {"HOME": str(tmp_path / "none")}) == []
