"""The launchd agent, read back with plistlib, and calls of a launchctl that is a script."""

import os
import plistlib
import shlex
import subprocess
from pathlib import Path

import pytest

from ccrelay.cli import service_launchd as launchd
from ccrelay.cli.service_plan import Refused
from tests.unit.cli.test_service_systemd import Manager, plan


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    made = Manager(folder)
    made.script("launchctl", "exit 0")
    return made


def test_the_agent(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path)}
    content = plistlib.loads(launchd.plist_text(plan(tmp_path, path="/a"), env).encode())
    assert content["Label"] == "ccrelay"
    assert content["ProgramArguments"] == [
        "/usr/bin/env",
        "serve",
        "--config",
        f"{tmp_path}/c.yaml",
    ]
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    assert content["ExitTimeOut"] == 75
    assert content["EnvironmentVariables"] == {"PATH": "/a"}
    assert content["StandardErrorPath"] == f"{tmp_path}/Library/Logs/ccrelay.log"


def test_variables_come_from_the_file_through_a_shell(tmp_path: Path) -> None:
    folder = tmp_path / "it's; a $place"
    folder.mkdir()
    (folder / "environment").write_text("KEY='a value'\n")
    made = plan(folder, program=["/usr/bin/printenv"], variables=["KEY"])
    content = plistlib.loads(launchd.plist_text(made, {"HOME": str(tmp_path)}).encode())
    shell, flag, script = content["ProgramArguments"]
    assert (shell, flag) == ("/bin/sh", "-c")
    # The command is the last one, as it stands: here it only shows the variable.
    shown = script.replace(f"serve --config {shlex.quote(str(folder / 'c.yaml'))}", "KEY")
    done = subprocess.run(
        [shell, flag, shown], capture_output=True, text=True, timeout=10, check=True
    )
    assert done.stdout == "a value\n"


def test_install_loads_it_and_uninstall_removes_it(tmp_path: Path, manager: Manager) -> None:
    env = {"HOME": str(tmp_path)}
    path = tmp_path / "Library" / "LaunchAgents" / "ccrelay.plist"
    assert launchd.install(plan(tmp_path), env, start=True, force=False) == 0
    assert launchd.MARK in path.read_text()
    assert manager.called()[-1] == f"launchctl bootstrap gui/{os.getuid()} {path}"
    assert launchd.uninstall(env, force=False) == 0
    assert not path.exists()
    assert launchd.uninstall(env, force=False) == 0


def test_it_is_not_loaded_before_its_variables_are_there(tmp_path: Path, manager: Manager) -> None:
    made = plan(tmp_path, variables=["KEY"])
    assert launchd.install(made, {"HOME": str(tmp_path)}, start=True, force=False) == 0
    assert manager.called() == []


def test_a_failure_is_told(
    tmp_path: Path, manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.script("launchctl", 'case "$1" in bootstrap) echo "Input/output error"; exit 5;; esac')
    assert launchd.install(plan(tmp_path), {"HOME": str(tmp_path)}, start=True, force=False) == 1
    assert "Input/output error" in capsys.readouterr().err


def test_a_file_of_somebody_else_stays(tmp_path: Path, manager: Manager) -> None:
    env = {"HOME": str(tmp_path)}
    path = launchd.plist_path(env)
    path.parent.mkdir(parents=True)
    path.write_text("<plist/>")
    with pytest.raises(Refused):
        launchd.install(plan(tmp_path), env, start=True, force=False)
    with pytest.raises(Refused):
        launchd.uninstall(env, force=False)
    assert path.read_text() == "<plist/>"


def test_the_state(tmp_path: Path, manager: Manager) -> None:
    env = {"HOME": str(tmp_path)}
    manager.script("launchctl", "printf '\\tstate = running\\n\\tpid = 4711\\n'")
    found = launchd.state(env)
    assert (found["enabled"], found["running"], found["pid"]) == (True, True, 4711)
    manager.script("launchctl", "echo 'Could not find service'; exit 113")
    found = launchd.state(env)
    assert (found["enabled"], found["running"], found["state"]) == (False, False, "not loaded")


def test_no_home_no_agent() -> None:
    with pytest.raises(Refused):
        launchd.plist_path({"HOME": "relative"})
