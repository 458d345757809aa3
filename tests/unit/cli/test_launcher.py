"""What stands in the way of a launch, and what is said of it."""

import json
import os
import signal
from pathlib import Path

import pytest

from ccrelay.cli import launcher, relay_users
from ccrelay.cli.client_environment import BASE_URL, decide, environment
from ccrelay.cli.client_facts import Facts, RouteProvider
from ccrelay.cli.connection import Failed

URL = "http://127.0.0.1:8787"
TEAM = RouteProvider("team", "anthropic", "https://api.anthropic.com", models=("claude-*",))
FACTS = Facts(URL, (TEAM,))


def test_a_missing_program_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="npm install -g @anthropic-ai/claude-code"):
        launcher.find_claude({"PATH": str(tmp_path)})
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert launcher.find_claude({"PATH": str(tmp_path)}) == str(program)


@pytest.mark.parametrize("folder", [".local/bin", ".claude/local"])
def test_where_installers_put_it_is_looked_at_too(tmp_path: Path, folder: str) -> None:
    program = tmp_path / folder / "claude"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    env = {"PATH": "/nowhere", "HOME": str(tmp_path)}
    with pytest.raises(Failed):
        launcher.find_claude(env)  # it cannot be run
    program.chmod(0o755)
    assert launcher.find_claude(env) == str(program)


def test_a_cloud_of_its_own_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Failed, match="unset CLAUDE_CODE_USE_BEDROCK"):
        launcher.check_clouds({"HOME": str(tmp_path), "CLAUDE_CODE_USE_BEDROCK": "1"})
    launcher.check_clouds({"HOME": str(tmp_path), "CLAUDE_CODE_USE_BEDROCK": "0"})


def test_settings_that_lead_elsewhere_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = {"HOME": str(tmp_path), "CLAUDE_CONFIG_DIR": str(tmp_path)}
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"env": {BASE_URL: "https://gateway.test"}}))
    with pytest.raises(Failed, match="ccrelay disconnect"):
        launcher.check_settings(FACTS, env)
    file.write_text(json.dumps({"env": {BASE_URL: "http://localhost:8787/v1/"}}))
    launcher.check_settings(FACTS, env)


def test_what_settings_files_set_is_told_where_it_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They win over the environment: what is set there for this process would have no effect."""
    shop = tmp_path / "shop"
    shop.mkdir()
    monkeypatch.chdir(shop)
    env = {"HOME": str(tmp_path), "CLAUDE_CONFIG_DIR": str(tmp_path), "HTTP_PROXY": "http://p"}
    file = tmp_path / "settings.json"
    own = {"ENABLE_TOOL_SEARCH": "auto", "ANTHROPIC_CUSTOM_HEADERS": "x-a: 1", "NO_PROXY": "h"}
    file.write_text(json.dumps({"env": {**own, "ANTHROPIC_API_KEY": "own-1"}}))
    variables = launcher.decided(FACTS, env)
    assert not own.keys() & environment(variables).keys()
    assert launcher.conflicts(variables, env) == [
        f"ENABLE_TOOL_SEARCH of {file} stays: yours; ccrelay would set true.",
        f"ANTHROPIC_CUSTOM_HEADERS of {file} stays: yours; ccrelay would add to it: costs are told "
        "by project: shop.",
        f"NO_PROXY of {file} stays: yours; ccrelay would add to it: HTTP_PROXY is set, and the "
        "relay is on this machine.",
    ]
    own["ANTHROPIC_CUSTOM_HEADERS"] = "x-ccrelay-project: own"
    file.write_text(json.dumps({"env": own}))
    said = launcher.conflicts(launcher.decided(FACTS, env), env)
    assert not any("ANTHROPIC_CUSTOM_HEADERS" in one for one in said)


def test_a_folder_that_is_gone_has_no_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    launcher.check_clouds({"HOME": str(tmp_path)})
    assert launcher.decided(FACTS, {"HOME": str(tmp_path)})


def test_what_is_not_used_is_said() -> None:
    env = {BASE_URL: "https://gateway.test", "ENABLE_TOOL_SEARCH": "auto"}
    said = launcher.conflicts(decide(FACTS, env), env)
    assert said == [
        "ANTHROPIC_BASE_URL of this shell is not used: Claude Code asks http://127.0.0.1:8787.",
        "ENABLE_TOOL_SEARCH of this shell stays: yours; ccrelay would set true.",
    ]
    same = {BASE_URL: URL, "ANTHROPIC_AUTH_TOKEN": "own-1"}
    assert launcher.conflicts(decide(FACTS, same), same) == []


def test_reasons_are_listed_without_secrets() -> None:
    login = TEAM._replace(has_keys=False)
    for facts in (
        Facts(URL, (TEAM,), wants_token=True, token="relay-token-1"),
        Facts(URL, (login,), wants_token=True, token="relay-token-1"),
    ):
        lines = launcher.explained(decide(facts, {}, "shop"), facts)
        assert not any("relay-token-1" in line for line in lines)
        assert any("(token)" in line for line in lines)
    lines = launcher.explained(decide(FACTS, {"ANTHROPIC_AUTH_TOKEN": "own-1"}), FACTS)
    assert not any("own-1" in line for line in lines)


def test_a_program_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_bytes(b"\0")
    program.chmod(0o755)
    with pytest.raises(Failed, match="cannot be run"):
        launcher.replace_process(str(program), [], {})
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN  # as Python has it


def test_a_relay_that_takes_no_new_user_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is about to end: what it says of itself then does not matter."""
    answers = [False, False, True]
    monkeypatch.setattr(launcher, "_pid_of_serving", lambda relay: 4711)
    monkeypatch.setattr(launcher, "ask", lambda relay: FACTS)
    monkeypatch.setattr(launcher, "POLL_S", 0.001)
    monkeypatch.setattr(relay_users, "join", lambda file, pid: answers.pop(0))
    assert launcher.facts_of_running(state=tmp_path) == (FACTS, 4711)
    assert answers == []
    assert launcher.facts_of_running() == (FACTS, 4711)  # who only asks is no user


def test_a_program_that_runs_the_launcher_again_is_told(tmp_path: Path) -> None:
    """A script `claude` in PATH that runs `ccrelay claude` would be executed for ever."""
    env = {launcher.LAUNCHER: str(os.getpid())}
    with pytest.raises(Failed, match=r"Name Claude Code itself in .*/claude"):
        launcher.replace_process(str(tmp_path / "claude"), [], env)
