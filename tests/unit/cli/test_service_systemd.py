"""The systemd unit, judged by systemd-analyze, and calls of a systemctl that is a script."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from ccrelay.cli import service_systemd as systemd
from ccrelay.cli.service_plan import Plan, Refused
from ccrelay.runtime.manager_process import STOP_LIMIT_S
from ccrelay.runtime.supervisor import DRAIN_GRACE_S


def plan(folder: Path, **members: object) -> Plan:
    made = Plan(
        program=["/usr/bin/env"],
        config=folder / "c.yaml",
        variables=[],
        useful=[],
        folders={},
        drain_s=60.0,
        environment_file=folder / "environment",
        path="",
    )
    return made._replace(**members)  # type: ignore[arg-type]


class Manager:
    """A service manager: scripts that note their calls and say what they are told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        self.script("systemctl", 'case "$*" in *is-system-running*) echo running;; esac')
        self.script("loginctl", "echo Linger=no")

    def script(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.calls}\n{text}\n')
        path.chmod(0o755)

    def called(self) -> list[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if "is-system-running" not in line and "Version" not in line]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.setattr(systemd, "verify", lambda path: "")
    return Manager(folder)


def settings(text: str, name: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")]


def test_the_unit(tmp_path: Path) -> None:
    text = systemd.unit_text(plan(tmp_path, drain_s=10.0))
    assert settings(text, "ExecStart") == [f"/usr/bin/env serve --config {tmp_path}/c.yaml"]
    assert settings(text, "Type") == ["notify"]
    assert settings(text, "ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert settings(text, "TimeoutStopSec") == ["25"]
    assert settings(text, "EnvironmentFile") == [f"-{tmp_path}/environment"]
    assert settings(text, "RestartPreventExitStatus") == ["2"]
    assert settings(text, "Environment") == []


def test_a_relay_that_was_asked_to_end_is_not_started_again(tmp_path: Path) -> None:
    """It exits with 0 then (tests/process/test_service_end.py), which is no failure."""
    text = systemd.unit_text(plan(tmp_path))
    assert settings(text, "Restart") == ["on-failure"]
    assert settings(text, "RestartForceExitStatus") == []
    assert settings(text, "SuccessExitStatus") == []
    # A drain by itself (STOPPING=1) has this limit, too; beyond it would count as a failure.
    assert int(settings(text, "TimeoutStopSec")[0]) > 60.0 + DRAIN_GRACE_S + STOP_LIMIT_S


def test_folders_and_path_are_passed_on(tmp_path: Path) -> None:
    text = systemd.unit_text(plan(tmp_path, folders={"XDG_STATE_HOME": "/my state"}, path="/a:/b"))
    assert settings(text, "Environment") == ['"XDG_STATE_HOME=/my state"', "PATH=/a:/b"]


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("/plain/a-b_c.d", "/plain/a-b_c.d"),
        ("/with space", '"/with space"'),
        ('/with"quote', '"/with\\"quote"'),
        ("/50%", "/50%%"),
        ("/a$b", "/a$$b"),
        ("/back\\slash", '"/back\\\\slash"'),
        ("/a;b", '"/a;b"'),
    ],
)
def test_words_of_a_command(word: str, shown: str) -> None:
    assert systemd.quoted(word, command=True) == shown


@pytest.mark.parametrize("word", ["/a\nExecStart=/evil", "/a\x00b", "/\x1b[2J"])
def test_a_word_cannot_forge_a_setting(word: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="control characters"):
        systemd.quoted(word)
    with pytest.raises(Refused, match="control characters"):
        systemd.unit_text(plan(tmp_path, environment_file=Path(word)))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
@pytest.mark.parametrize("name", ["plain", "with space", "50% $off;", 'q"uote'])
def test_systemd_understands_the_unit(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    made = plan(folder, folders={"XDG_STATE_HOME": str(folder)}, path=str(folder))
    unit = tmp_path / "ccrelay.service"
    unit.write_text(systemd.unit_text(made))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(unit)],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "ccrelay.service" not in done.stderr, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_what_systemd_does_not_understand_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    unit = tmp_path / "ccrelay.service"
    unit.write_text(systemd.unit_text(plan(tmp_path, program=["/nonexistent/ccrelay"])))
    assert "/nonexistent/ccrelay" in systemd.verify(unit)


def test_install_writes_enables_and_starts(
    tmp_path: Path, manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {"HOME": str(tmp_path)}
    assert systemd.install(plan(tmp_path), env, start=True, force=False) == 0
    path = tmp_path / ".config" / "systemd" / "user" / "ccrelay.service"
    assert path.read_text() == systemd.unit_text(plan(tmp_path))
    assert not stat.S_IMODE(path.stat().st_mode) & 0o022
    assert manager.called()[:2] == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now ccrelay.service",
    ]
    said = capsys.readouterr().out
    assert "loginctl enable-linger" in said
    assert "journalctl --user -u ccrelay.service" in said


def test_it_is_not_started_before_its_variables_are_there(
    tmp_path: Path, manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    made = plan(tmp_path, variables=["KEY"])
    assert systemd.install(made, {"HOME": str(tmp_path)}, start=True, force=False) == 0
    assert "systemctl --user enable ccrelay.service" in manager.called()
    assert "systemctl --user start ccrelay.service" in capsys.readouterr().out
    made.environment_file.write_text("KEY=x\n")
    systemd.install(made, {"HOME": str(tmp_path)}, start=True, force=False)
    assert manager.called()[-2] == "systemctl --user enable --now ccrelay.service"


def test_a_start_that_fails_is_told(
    tmp_path: Path, manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.script(
        "systemctl",
        'case "$*" in *is-system-running*) echo running;; *enable*) echo broken; exit 1;; esac',
    )
    assert systemd.install(plan(tmp_path), {"HOME": str(tmp_path)}, start=True, force=False) == 1
    said = capsys.readouterr().err
    assert "broken" in said
    assert "journalctl" in said


def test_without_a_service_manager_the_file_is_written_and_the_rest_is_said(
    tmp_path: Path, manager: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.script("systemctl", "echo offline; exit 1")
    assert systemd.install(plan(tmp_path), {"HOME": str(tmp_path)}, start=True, force=False) == 0
    assert manager.called() == []
    assert "enable --now" in capsys.readouterr().out


def test_a_file_of_somebody_else_stays(tmp_path: Path, manager: Manager) -> None:
    env = {"HOME": str(tmp_path)}
    path = systemd.unit_path(env)
    path.parent.mkdir(parents=True)
    path.write_text("[Service]\nExecStart=/mine\n")
    with pytest.raises(Refused, match="--force"):
        systemd.install(plan(tmp_path), env, start=True, force=False)
    with pytest.raises(Refused, match="--force"):
        systemd.uninstall(env, force=False)
    assert path.read_text() == "[Service]\nExecStart=/mine\n"
    assert systemd.install(plan(tmp_path), env, start=True, force=True) == 0
    assert systemd.MARK in path.read_text()


def test_uninstall_stops_and_removes(tmp_path: Path, manager: Manager) -> None:
    env = {"HOME": str(tmp_path)}
    systemd.install(plan(tmp_path), env, start=True, force=False)
    (tmp_path / "environment").write_text("KEY=x")
    manager.calls.unlink()
    assert systemd.uninstall(env, force=False) == 0
    assert not systemd.unit_path(env).exists()
    assert (tmp_path / "environment").exists()
    assert manager.called() == [
        "systemctl --user disable --now ccrelay.service",
        "systemctl --user daemon-reload",
    ]
    assert systemd.uninstall(env, force=False) == 0  # again does no harm


@pytest.mark.parametrize(
    ("shown", "enabled", "running", "pid"),
    [
        (
            "ActiveState=active\nSubState=running\nMainPID=4711\nUnitFileState=enabled",
            True,
            True,
            4711,
        ),
        (
            "ActiveState=failed\nSubState=failed\nMainPID=0\nUnitFileState=disabled",
            False,
            False,
            None,
        ),
        ("", False, False, None),
    ],
)
def test_the_state(
    tmp_path: Path, manager: Manager, shown: str, enabled: bool, running: bool, pid: int | None
) -> None:
    manager.script(
        "systemctl",
        f'case "$*" in *is-system-running*) echo degraded; exit 1;; *) printf "{shown}\\n";; esac',
    )
    found = systemd.state({"HOME": str(tmp_path)})
    assert (found["enabled"], found["running"], found["pid"]) == (enabled, running, pid)
    assert (found["installed"], found["linger"]) == (False, False)


def test_a_program_that_hangs_is_given_up(manager: Manager) -> None:
    manager.script("slow", "exec sleep 20")
    assert systemd.run("slow", limit_s=0.2).code == -1
    assert systemd.run("no-such-program").code == -1


def test_where_the_unit_is() -> None:
    assert systemd.unit_path({"XDG_CONFIG_HOME": "/c"}) == Path("/c/systemd/user/ccrelay.service")
    with pytest.raises(Refused):
        systemd.unit_path({"XDG_CONFIG_HOME": "relative"})
