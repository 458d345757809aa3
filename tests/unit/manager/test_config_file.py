"""The configuration file is replaced at once, and keeps what it was but for its content."""

import os
import stat
from pathlib import Path

import pytest

from ccrelay.config.files import Untrusted
from ccrelay.manager.config_file import read_file, write_file


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o400])
def test_the_mode_stays(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("old")
    file.chmod(mode)
    write_file(file, b"new")
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "b.yaml"
    real.write_text("old")
    (tmp_path / "second").symlink_to("real/b.yaml")
    (tmp_path / "first").symlink_to("second")
    write_file(tmp_path / "first", b"new")
    assert (tmp_path / "first").is_symlink()
    assert (tmp_path / "second").is_symlink()
    assert real.read_bytes() == b"new"
    assert os.listdir(tmp_path / "real") == ["b.yaml"]


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("folder", "fifo"):
        with pytest.raises(OSError, match="no regular file"):
            write_file(tmp_path / name, b"x")
        with pytest.raises(OSError, match="no regular file"):
            read_file(tmp_path / name, {})


def test_a_file_that_others_can_change_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("x")
    assert read_file(file, {}) == b"x"
    file.chmod(0o666)
    with pytest.raises(Untrusted):
        read_file(file, {})
