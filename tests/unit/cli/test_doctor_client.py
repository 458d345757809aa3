"""What stands between Claude Code and the relay."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ccrelay.cli import doctor_client as doctor
from ccrelay.cli.doctor_report import Finding

LISTEN = ["127.0.0.1:8787"]
HERE = "http://127.0.0.1:8787"
SECRET = "test-key-0123456789"


class Place:
    """A home, a project and a folder of managed settings."""

    def __init__(self, root: Path) -> None:
        self.home, self.project, self.system = root / "home", root / "project", root / "system"
        for folder in (self.home / ".claude", self.project / ".claude", self.system):
            folder.mkdir(parents=True)

    def settings(self, path: Path, content: Any) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text)

    def read(self, **env: str) -> doctor.Client:
        return doctor.read_client({"HOME": str(self.home), **env}, self.project, self.system)

    def check(self, tokens: list[str] | None = None, **env: str) -> list[Finding]:
        return doctor.check_client(self.read(**env), env, LISTEN, tokens)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.verdict, finding.subject) for finding in findings]


@pytest.mark.parametrize(
    "url",
    [HERE, HERE + "/", "http://localhost:8787", "http://[::1]:8787", "http://127.0.0.2:8787"],
)
def test_a_base_url_that_points_here_is_fine(place: Place, url: str) -> None:
    assert told(place.check(ANTHROPIC_BASE_URL=url)) == [("ok", "base url")]


@pytest.mark.parametrize(
    ("url", "verdict", "text"),
    [
        ("http://127.0.0.1:9999", "FAIL", "points to http://127.0.0.1:9999"),
        ("https://api.example.com", "FAIL", "points to https://api.example.com"),
        ("https://127.0.0.1:8787", "FAIL", "says https"),
        ("127.0.0.1:8787", "FAIL", "is no URL"),
        ("http://", "FAIL", "is no URL"),
        ("http://127.0.0.1:x", "FAIL", "is no URL"),
        (HERE + "/v1", "warn", "ends in /v1"),
        (HERE + "/v1/", "warn", "ends in /v1"),
        (HERE + "/proxy", "FAIL", "has a path"),
    ],
)
def test_a_base_url_that_does_not_is_told_with_the_right_one(
    place: Place, url: str, verdict: str, text: str
) -> None:
    [finding] = place.check(ANTHROPIC_BASE_URL=url)
    assert finding.verdict == verdict
    assert text in finding.text
    assert finding.do == f"export ANTHROPIC_BASE_URL={HERE}"


@pytest.mark.parametrize(
    ("url", "told_of"),
    [
        ("http://127.0.0.1:9999", []),
        ("https://127.0.0.1:9999", ["says https"]),
        ("http://127.0.0.1:9999/v1", ["ends in /v1"]),
        ("127.0.0.1:9999", ["is no URL"]),
    ],
)
def test_an_address_that_is_not_known_is_not_made_up(url: str, told_of: list[str]) -> None:
    client = doctor.Client({"ANTHROPIC_BASE_URL": doctor.Setting(url, "")}, "", [], [])
    found = doctor.check_base_url(client, {}, [])
    assert len(found) == len(told_of)
    for finding, text in zip(found, told_of, strict=True):
        assert text in finding.text
        assert "8787" not in finding.do


def test_a_credential_in_a_url_is_not_shown(place: Place) -> None:
    [finding] = place.check(ANTHROPIC_BASE_URL=f"https://u:{SECRET}@h.example/{SECRET}?k={SECRET}")
    assert SECRET not in str(finding)
    assert "https://h.example" in finding.text


def test_no_base_url_is_a_warning(place: Place) -> None:
    [finding] = place.check()
    assert finding.verdict == "warn"
    assert finding.do == 'ccrelay claude, or eval "$(ccrelay env)"'


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("0.0.0.0:80", "http://192.0.2.1"),
        ("[::]:443", "https://relay.example"),
        ("192.0.2.7:8787", "http://192.0.2.7:8787"),
    ],
)
def test_addresses_other_than_loopback_are_understood(listen: str, url: str) -> None:
    client = doctor.Client({"ANTHROPIC_BASE_URL": doctor.Setting(url, "")}, "", [], [])
    [finding] = doctor.check_base_url(client, {}, [listen])
    assert "points to" not in finding.text


@pytest.mark.parametrize(
    "where",
    ["home/.claude/settings.json", "project/.claude/settings.json", "system/managed-settings.json"],
)
def test_a_settings_file_overrides_the_environment(
    place: Place, tmp_path: Path, where: str
) -> None:
    path = tmp_path / where
    place.settings(path, {"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}})
    [finding] = place.check(ANTHROPIC_BASE_URL=HERE)
    assert finding.verdict == "FAIL"
    assert f"(in {path})" in finding.text
    assert str(path) in finding.do
    assert HERE in finding.do


def test_the_stronger_file_wins(place: Place) -> None:
    weak = {"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}}
    place.settings(place.home / ".claude" / "settings.json", weak)
    local = place.project / ".claude" / "settings.local.json"
    place.settings(local, {"env": {"ANTHROPIC_BASE_URL": HERE}})
    [finding] = place.check()
    assert finding.verdict == "ok"
    assert str(local) in finding.text


def test_managed_settings_of_a_folder_count(place: Place) -> None:
    (place.system / "managed-settings.d").mkdir()
    path = place.system / "managed-settings.d" / "10.json"
    place.settings(path, {"env": {"ANTHROPIC_BASE_URL": HERE}})
    assert place.read().settings["ANTHROPIC_BASE_URL"].source == str(path)


def test_another_folder_of_settings_is_found(place: Place, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    place.settings(tmp_path / "other" / "settings.json", {"apiKeyHelper": "/bin/key"})
    client = place.read(CLAUDE_CONFIG_DIR=str(tmp_path / "other"))
    assert client.helper == str(tmp_path / "other" / "settings.json")


@pytest.mark.parametrize(
    "content", ["{", "[]", '"text"', "\udcff".encode("utf-8", "surrogateescape")]
)
def test_a_file_that_cannot_be_read_is_told(place: Place, content: str | bytes) -> None:
    path = place.home / ".claude" / "settings.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content)
    finding = place.check(ANTHROPIC_BASE_URL=HERE)[0]
    assert (finding.verdict, finding.subject) == ("warn", "settings")
    assert str(path) in finding.text


@pytest.mark.parametrize("env", [None, [], "x", {"ANTHROPIC_BASE_URL": None}, {"X": {}}])
def test_odd_settings_set_nothing(place: Place, env: Any) -> None:
    place.settings(place.home / ".claude" / "settings.json", {"env": env})
    assert place.read().settings == {}


def test_both_credentials_are_a_warning_that_shows_neither(place: Place) -> None:
    found = place.check(
        ANTHROPIC_BASE_URL=HERE, ANTHROPIC_API_KEY=SECRET, ANTHROPIC_AUTH_TOKEN=SECRET + "2"
    )
    assert ("warn", "credentials") in told(found)
    assert SECRET not in str(found)
    assert found[-1].do == "unset ANTHROPIC_API_KEY"


@pytest.mark.parametrize(
    ("env", "verdicts"),
    [
        ({}, [("FAIL", "credentials")]),
        ({"ANTHROPIC_AUTH_TOKEN": "wrong"}, [("FAIL", "credentials")]),
        ({"ANTHROPIC_AUTH_TOKEN": SECRET}, []),
        ({"ANTHROPIC_API_KEY": SECRET}, []),
    ],
)
def test_relay_tokens_are_compared(
    place: Place, env: dict[str, str], verdicts: list[tuple[str, str]]
) -> None:
    found = place.check([SECRET], ANTHROPIC_BASE_URL=HERE, **env)
    assert told(found)[1:] == verdicts
    assert SECRET not in str(found)


def test_tokens_that_are_not_known_here_accuse_nobody(place: Place) -> None:
    assert told(place.check(None, ANTHROPIC_BASE_URL=HERE)) == [("ok", "base url")]


@pytest.mark.parametrize("name", doctor.CLOUDS)
def test_a_cloud_does_not_read_the_base_url(place: Place, name: str) -> None:
    found = place.check(**{"ANTHROPIC_BASE_URL": HERE, name: "1"})
    assert told(found)[0] == ("FAIL", "claude")
    assert told(place.check(**{"ANTHROPIC_BASE_URL": HERE, name: "0"})) == [("ok", "base url")]


@pytest.mark.parametrize(
    ("no_proxy", "is_told"),
    [
        ("", True),
        ("example.com", True),
        ("127.0.0.1", False),
        ("a, 127.0.0.1", False),
        ("*", False),
    ],
)
def test_a_proxy_must_not_stand_before_the_relay(
    place: Place, no_proxy: str, is_told: bool
) -> None:
    found = place.check(
        ANTHROPIC_BASE_URL=HERE, HTTP_PROXY=f"http://u:{SECRET}@p.example", NO_PROXY=no_proxy
    )
    assert (len(found) == 2) == is_told
    assert SECRET not in str(found)


@pytest.mark.parametrize("value", [None, "true", "auto"])
def test_tool_search_needs_nothing_behind_a_base_url(place: Place, value: str | None) -> None:
    given = {"ANTHROPIC_BASE_URL": HERE} | ({"ENABLE_TOOL_SEARCH": value} if value else {})
    assert doctor.check_tool_search(place.read(**given)) == []


def test_tool_search_that_is_turned_off_is_told(place: Place) -> None:
    off = place.read(ANTHROPIC_BASE_URL=HERE, ENABLE_TOOL_SEARCH="false")
    (found,) = doctor.check_tool_search(off)
    assert (found.verdict, found.text) == ("warn", "ENABLE_TOOL_SEARCH=false turns it off")
    assert found.do == "unset ENABLE_TOOL_SEARCH"


def test_tool_search_is_to_be_off_where_its_beta_is_not_sent(place: Place) -> None:
    (found,) = doctor.check_tool_search(place.read(ANTHROPIC_BASE_URL=HERE), ["zai", "own"])
    assert found.text == "on, but its beta is not sent to zai and own"
    off = place.read(ANTHROPIC_BASE_URL=HERE, ENABLE_TOOL_SEARCH="false")
    assert doctor.check_tool_search(off, ["zai"]) == []
    assert doctor.check_tool_search(place.read(), ["zai"]) == []  # it does not ask the relay


def program(folder: Path, text: str) -> dict[str, str]:
    path = folder / "claude"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_the_program_tells_its_version(tmp_path: Path) -> None:
    [finding] = doctor.check_program(program(tmp_path, "echo '2.1.332 (Claude Code)'"))
    assert finding.verdict == "ok"
    assert finding.text.startswith("version 2.1.332,")


@pytest.mark.parametrize("text", ["exit 3", "true"])
def test_a_program_that_fails_is_told(tmp_path: Path, text: str) -> None:
    assert doctor.check_program(program(tmp_path, text))[0].verdict == "warn"


def test_a_program_that_hangs_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "VERSION_TIMEOUT_S", 0.2)
    [finding] = doctor.check_program(program(tmp_path, "exec sleep 20"))
    assert "does not tell its version" in finding.text


def test_no_program_is_told(tmp_path: Path) -> None:
    [finding] = doctor.check_program({"PATH": str(tmp_path)})
    assert finding.verdict == "warn"
    assert "npm install" in finding.do


@pytest.mark.parametrize("is_worktree", [False, True])
def test_the_file_that_is_not_shared_is_that_of_the_repository(
    tmp_path: Path, is_worktree: bool
) -> None:
    """Claude Code 2.1.332 looks at the top of the main worktree before the folder itself."""
    main = tmp_path / "main"
    inner = (tmp_path / "tree" if is_worktree else main) / "src"
    for folder in (main, inner):
        (folder / ".claude").mkdir(parents=True)
        file = folder / ".claude" / "settings.local.json"
        file.write_text(json.dumps({"env": {"ANTHROPIC_MODEL": folder.name}}))
    (main / ".git").mkdir()
    if is_worktree:
        (inner.parent / ".git").write_text(f"gitdir: {main}/.git/worktrees/tree\n")
    for expected in (main, inner):
        client = doctor.read_client({}, inner, tmp_path)
        assert client.variables["ANTHROPIC_MODEL"].value == expected.name
        (main / ".claude" / "settings.local.json").unlink(missing_ok=True)
    (inner / ".claude" / "settings.local.json").unlink()
    assert doctor.read_client({}, inner, tmp_path).variables == {}


def test_what_is_no_file_is_not_waited_for(place: Place) -> None:
    os.mkfifo(place.home / ".claude" / "settings.json")
    [(_, reason)] = place.read().unreadable
    assert reason == "is no file"
