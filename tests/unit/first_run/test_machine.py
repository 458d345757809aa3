"""What the first run asks the machine: about clouds, and Claude Code's login."""

import importlib.util
import os
from pathlib import Path

import pytest

from ccrelay.config.starter_clouds import AWS_FILES, GOOGLE_FILE, Machine, find_clouds
from ccrelay.first_run.machine import extras_needed, has_login, machine_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in (*AWS_FILES, GOOGLE_FILE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    return tmp_path


def test_files_of_the_home_folder_are_found(home):
    env = {"HOME": str(home)}
    assert machine_of(env) == Machine(env)
    (home / AWS_FILES[0]).write_text("[default]\nregion = eu-west-1\n")
    (home / GOOGLE_FILE).write_text("{}")
    assert machine_of(env) == Machine(env, frozenset({AWS_FILES[0], GOOGLE_FILE}), "eu-west-1")
    assert machine_of({}) == Machine({})


@pytest.mark.parametrize(
    ("text", "profile", "region"),
    [
        ("[default]\nregion=us-east-2\n[profile dev]\nregion=eu-west-3\n", None, "us-east-2"),
        ("[default]\nregion=us-east-2\n[profile dev]\nregion=eu-west-3\n", "dev", "eu-west-3"),
        ("[default]\nregion=us-east-2\n", "dev", None),
        ("[default]\nregion=us-east-2\n[default]\nregion=us-west-1\n", None, "us-west-1"),
        ("[default]\noutput=%(x)s\n", None, None),
        ("region=us-east-2\n", None, None),
        ("\x00[[[", None, None),
    ],
)
def test_the_region_is_that_of_the_profile(home, text, profile, region):
    (home / AWS_FILES[0]).write_text(text)
    env = {"HOME": str(home)} | ({"AWS_PROFILE": profile} if profile else {})
    assert machine_of(env).aws_region == region


def test_the_file_may_be_elsewhere_or_no_text(home):
    (home / "other").write_bytes(b"[default]\nregion=us-east-2\n")
    env = {"HOME": str(home), "AWS_CONFIG_FILE": str(home / "other")}
    assert machine_of(env).aws_region == "us-east-2"
    (home / "other").write_bytes(b"\xff\xfe[default]")
    assert machine_of(env).aws_region is None


def test_extras_that_are_not_installed_are_named(monkeypatch):
    env = {"CLAUDE_CODE_USE_BEDROCK": "1", "ANTHROPIC_VERTEX_PROJECT_ID": "test-project-1"}
    clouds = find_clouds(Machine(env))
    assert extras_needed(clouds) == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert extras_needed(clouds) == ["aws", "gcp"]
    unused = find_clouds(Machine({"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"}))
    assert extras_needed(unused) == []


@pytest.mark.parametrize(
    ("file", "text", "env", "is_found"),
    [
        ("none", "", {}, False),
        (".claude/.credentials.json", "{}", {}, True),
        (".claude.json", '{"oauthAccount": {}}', {}, True),
        (".claude.json", '{"userID": "x"}', {}, False),
        ("own/.credentials.json", "{}", {"CLAUDE_CONFIG_DIR": "own"}, True),
        ("own/.claude.json", '{"oauthAccount": {}}', {"CLAUDE_CONFIG_DIR": "own"}, True),
        (".claude/.credentials.json", "{}", {"CLAUDE_CONFIG_DIR": "own"}, False),
        ("none", "", {"CLAUDE_CODE_OAUTH_TOKEN": "canary"}, True),
    ],
)
def test_a_login_is_found_by_its_files(home, file, text, env, is_found):
    (home / file).parent.mkdir(parents=True, exist_ok=True)
    (home / file).write_text(text)
    if "CLAUDE_CONFIG_DIR" in env:
        env = {"CLAUDE_CONFIG_DIR": str(home / "own")}
    assert has_login({"HOME": str(home), **env}) is is_found


def test_without_a_home_there_is_no_login():
    assert not has_login({})


def test_files_that_cannot_be_looked_at_are_not_there(home):
    assert not has_login({"HOME": str(home), "CLAUDE_CONFIG_DIR": "x" * 300})
    assert machine_of({"HOME": str(home), "AWS_CONFIG_FILE": "x" * 300}).aws_region is None


def test_a_pipe_is_not_waited_for(home):
    os.mkfifo(home / ".claude.json")
    os.mkfifo(home / "config")
    assert not has_login({"HOME": str(home)})
    assert machine_of({"HOME": str(home), "AWS_CONFIG_FILE": str(home / "config")}) is not None
