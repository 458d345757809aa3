"""Files that are never half-written: names, modes, owners, and what a failure leaves."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ccrelay.config.atomic_file import create_file, replace_file

Write = Callable[[Path, bytes], None]


@pytest.fixture(params=[replace_file, create_file])
def write(request: pytest.FixtureRequest) -> Write:
    """Either way to write a new file."""
    chosen: Write = request.param
    return chosen


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_private_whatever_the_umask(tmp_path: Path, write: Write) -> None:
    file = tmp_path / "a.yaml"
    old = os.umask(0)
    try:
        write(file, b"x")
    finally:
        os.umask(old)
    assert file.read_bytes() == b"x"
    assert mode(file) == 0o600
    assert os.listdir(tmp_path) == ["a.yaml"]


def test_a_name_as_long_as_the_system_has_them(tmp_path: Path, write: Write) -> None:
    file = tmp_path / ("ä" * 120)
    write(file, b"x")
    assert file.read_bytes() == b"x"


def test_a_failure_leaves_nothing(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "a.yaml", b"new")
    assert os.listdir(tmp_path) == []


def test_a_failure_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="cross-device"):
        replace_file(file, b"new")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.yaml"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner_and_mode_of_the_old_one(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("old")
    os.chown(file, 1234, 2345)
    file.chmod(0o640)
    replace_file(file, b"new", like=file.stat())
    assert (file.stat().st_uid, file.stat().st_gid, mode(file)) == (1234, 2345, 0o640)
    assert file.read_bytes() == b"new"


@pytest.mark.parametrize("has_links", [True, False])
def test_what_is_there_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not has_links:  # as exFAT answers
        monkeypatch.setattr(os, "link", fail)
    file = tmp_path / "a.yaml"
    create_file(file, b"first")
    with pytest.raises(FileExistsError):
        create_file(file, b"second")
    assert file.read_bytes() == b"first"
    assert mode(file) == 0o600
    assert os.listdir(tmp_path) == ["a.yaml"]
