import os
import stat
import tempfile
from pathlib import Path

import pytest

from ccrelay.control.private_folder import PREFIX, PrivateFolder


@pytest.fixture(autouse=True)
def _parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def old(path: Path) -> None:
    os.utime(path, (1.0, 1.0))


def test_it_is_private_and_goes(tmp_path: Path) -> None:
    folder = PrivateFolder()
    assert stat.S_IMODE(os.stat(folder.path).st_mode) == 0o700
    Path(folder.path, "x").touch()
    folder.remove()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_killed_ones_left_goes_with_the_next(tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}dead"
    left.mkdir(mode=0o700)
    (left / "grpc").touch()
    old(left)
    young = tmp_path / f"{PREFIX}young"
    young.mkdir(mode=0o700)
    shared = tmp_path / f"{PREFIX}shared"
    shared.mkdir(mode=0o755)
    old(shared)
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    old(target)
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(target)
    used = PrivateFolder()
    old(Path(used.path))
    (tmp_path / f"{PREFIX}file").touch()
    folder = PrivateFolder()
    assert not left.exists()
    for path in (young, shared, target, link, Path(used.path), Path(folder.path)):
        assert path.exists(), path
    used.remove()
    folder.remove()
