"""Versions, and the ledger's folder."""

import importlib.metadata
import os
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from ccrelay import __version__
from ccrelay.cli import doctor_local as doctor
from ccrelay.config.model import Config, Ledger, Management


def ledger(path: Path | None, **env: str) -> Any:
    config = Config(ledger=Ledger(path=str(path) if path else None))
    [finding] = doctor.check_ledger_file(config, env)
    return finding


def test_versions_are_told() -> None:
    [finding] = doctor.check_versions()
    assert finding.verdict == "ok"
    assert f"ccrelay {__version__}" in finding.text
    assert "grpcio" in finding.text


def test_a_missing_library_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    [finding] = doctor.check_versions()
    assert finding.verdict == "FAIL"
    assert "uvloop" in finding.text


def test_a_ledger_that_is_not_there_yet(tmp_path: Path) -> None:
    finding = ledger(tmp_path / "new" / "deep" / "ledger.db")
    assert finding.verdict == "ok"
    assert "will be made" in finding.text
    assert not (tmp_path / "new").exists()


def test_a_ledger(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(doctor.SQLITE_HEAD + bytes(100))
    assert ledger(path).verdict == "ok"
    path.write_bytes(b"no database at all")
    assert ledger(path).verdict == "warn"
    path.write_bytes(b"")
    assert ledger(path).verdict == "ok"


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert ledger(tmp_path / "ledger.db").verdict == "FAIL"


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    finding = ledger(tmp_path / "ledger.db")
    assert finding.verdict == "warn"
    assert finding.do == f"df -h {tmp_path}"


def test_the_ledger_is_where_the_variables_say(tmp_path: Path) -> None:
    config = Config()
    assert doctor.ledger_path(config, {"XDG_STATE_HOME": "/s"}) == Path("/s/ccrelay/ledger.db")
    given = {"STATE_DIRECTORY": "/var/lib/ccrelay", "HOME": "/h"}
    assert doctor.ledger_path(config, given) == Path("/var/lib/ccrelay/ledger.db")
    home = doctor.ledger_path(config, {"HOME": "/h", "XDG_STATE_HOME": "relative"})
    assert home == Path("/h/.local/state/ccrelay/ledger.db")
    assert ledger(None).verdict == "warn"


@pytest.mark.parametrize(
    "config",
    [Config(ledger=Ledger(enabled=False)), Config(management=Management(enabled=False))],
)
def test_a_ledger_that_is_off(config: Config) -> None:
    [finding] = doctor.check_ledger_file(config, {})
    assert finding.text == "off, by the configuration"
