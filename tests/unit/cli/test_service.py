"""The commands, in a temporary home with a service manager of scripts."""

import json
import plistlib
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ccrelay.cli import service_systemd
from ccrelay.cli.main import cli
from tests.unit.cli.test_service_systemd import Manager

SECRET = "test-key-0123456789"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    Manager(folder)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SERVICE_KEY", SECRET)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "CCRELAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(service_systemd, "verify", lambda path: "")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.chdir(folder)
    file = tmp_path / "c.yaml"
    file.write_text('providers: [{name: a, type: anthropic, keys: [{key: "${SERVICE_KEY}"}]}]\n')
    file.chmod(0o600)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["service", *words])


def unit(home: Path) -> Path:
    return home / ".config" / "systemd" / "user" / "ccrelay.service"


def test_print_changes_nothing(home: Path) -> None:
    result = run("install", "--config", str(home / "c.yaml"), "--print")
    assert result.exit_code == 0
    assert f"--config {home}/c.yaml" in result.output
    assert not unit(home).exists()


def test_print_of_an_agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    result = run("install", "--config", str(home / "c.yaml"), "--print")
    assert plistlib.loads(result.output.encode())["Label"] == "ccrelay"


def test_from_install_to_uninstall_without_a_secret(home: Path) -> None:
    result = run("install", "--config", str(home / "c.yaml"))
    assert result.exit_code == 0, result.output
    assert "SERVICE_KEY" in result.output
    assert SECRET not in result.output + unit(home).read_text()
    assert run("status").exit_code == 3  # the manager of scripts runs nothing
    assert run("uninstall").exit_code == 0
    assert not unit(home).exists()


def test_the_environment_file_can_be_named(home: Path) -> None:
    file = home / "my env"
    words = ("--config", str(home / "c.yaml"), "--environment-file", str(file), "--no-start")
    assert run("install", *words).exit_code == 0
    assert f"EnvironmentFile=-{file}" in unit(home).read_text()


def test_an_invalid_configuration_is_exit_code_2(home: Path) -> None:
    (home / "c.yaml").write_text("x: 1\n")
    result = run("install", "--config", str(home / "c.yaml"))
    assert result.exit_code == 2
    assert not unit(home).exists()


def test_the_status_for_programs(home: Path) -> None:
    found = json.loads(run("status", "--json").output)
    assert found["kind"] == "systemd"
    assert found["installed"] is False
    assert found["running"] is False


def test_the_status_for_people(home: Path) -> None:
    result = run("status")
    assert result.exit_code == 3
    assert "installed  no" in result.output
    assert "ccrelay service install" in result.output


def test_without_systemd_the_other_way_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(home))
    for command in ("status", "uninstall"):
        result = run(command)
        assert result.exit_code == 1
        assert "ccrelay serve --detach" in result.output
