"""The command as a whole, without a relay, and with one that is a fake."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ccrelay.cli import doctor_client
from ccrelay.cli.main import cli
from ccrelay.control import client as control
from ccrelay.v1 import providers_pb2, relay_pb2
from tests.unit.cli.fake_provider import FakeProvider, fake_provider
from tests.unit.cli.test_doctor_relay import status

SECRET = "test-key-0123456789"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if (
            name.startswith(("ANTHROPIC_", "CLAUDE_", "XDG_", "CCRELAY_"))
            or "PROXY" in name.upper()
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCTOR_KEY", SECRET)
    monkeypatch.setattr(doctor_client, "system_folder", lambda: tmp_path / "system")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configure(home: Path, provider: FakeProvider) -> Path:
    file = home / "c.yaml"
    file.write_text(
        'server: {listen: "127.0.0.1:0"}\n'
        "providers:\n"
        f"  - {{name: p, type: compatible, base_url: '{provider.url}', models: [m], "
        "count_tokens: forward, keys: [{key: '${DOCTOR_KEY}', name: one}]}\n"
    )
    file.chmod(0o600)
    return file


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *words])


def contents(folder: Path) -> dict[str, tuple[float, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime, stat.S_IMODE(path.stat().st_mode))
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_without_a_relay_everything_else_is_checked(home: Path) -> None:
    with fake_provider() as provider:
        file = configure(home, provider)
        result = run("--config", str(file))
    assert result.exit_code == 0, result.output
    for subject in ("relay", "config", "versions", "port", "p/one", "clock", "base url", "ledger"):
        assert re.search(rf"^(ok|warn)  *{subject} ", result.output, re.MULTILINE), subject
    assert "Nothing was changed." in result.output
    assert SECRET not in result.output


def test_a_failure_is_exit_code_1(home: Path) -> None:
    with fake_provider() as provider:
        provider.status = 401
        result = run("--config", str(configure(home, provider)))
    assert result.exit_code == 1
    assert re.search(r"^FAIL  p/one ", result.output, re.MULTILINE)
    assert "do:" in result.output
    assert SECRET not in result.output


def test_it_changes_nothing(home: Path) -> None:
    with fake_provider() as provider:
        file = configure(home, provider)
        (home / ".claude").mkdir()
        (home / ".claude" / "settings.json").write_text("{}")
        run("--config", str(file))  # makes the key of fingerprints, as every command does
        before = contents(home)
        run("--config", str(file), "--paid")
        assert contents(home) == before


def test_json_is_for_programs(home: Path) -> None:
    with fake_provider() as provider:
        result = run("--config", str(configure(home, provider)), "--json")
    report = json.loads(result.output)
    assert report["ok"] is True
    assert {"verdict", "subject", "finding", "meaning", "do"} == report["findings"][0].keys()
    assert SECRET not in result.output


def test_a_file_with_mistakes_does_not_stop_the_other_checks(home: Path) -> None:
    file = home / "c.yaml"
    file.write_text("providers: [{name: p, type: nonsense}]\n")
    file.chmod(0o600)
    result = run("--config", str(file))
    assert result.exit_code == 1
    assert re.search(r"^FAIL  config ", result.output, re.MULTILINE)
    assert re.search(r"^warn  base url ", result.output, re.MULTILINE)


def test_a_running_relay_asks_for_us(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Fake:
        def __init__(self, path: Path) -> None:
            assert str(path) == "/run/x.sock"

        def call(self, method: str, request: Any, response_type: Any, timeout_s: float) -> Any:
            asked.append(method)
            if method == "Relay/GetStatus":
                return relay_pb2.GetStatusResponse(status=status())
            return providers_pb2.ProbeResponse(ok=True, status=200, latency_ms=3, model="m")

    monkeypatch.setattr(control, "Client", Fake)
    result = run("--socket", "/run/x.sock")
    assert re.search(r"^ok    relay ", result.output, re.MULTILINE), result.output
    assert re.search(r"^ok    anthropic/team-a ", result.output, re.MULTILINE)
    assert asked == ["Relay/GetStatus", "Providers/Probe"]


def test_width_is_respected(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    with fake_provider() as provider:
        result = run("--config", str(configure(home, provider)))
    # Paths and commands stay whole, to be copied.
    lines = [line for line in result.output.splitlines() if "/" not in line and "do:" not in line]
    assert max(map(len, lines)) <= 70
