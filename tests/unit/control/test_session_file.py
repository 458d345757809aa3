import os
import stat
import time
from pathlib import Path

import pytest

from ccrelay.control.session_file import STALE_S, SessionFile, Stored
from tests.loopback.control.harness import Log

STORED = Stored({"a" * 64: (True, 5.0), "b" * 64: (False, 6.5)}, {"c" * 64: 7.0})


def file(folder: Path, port: int = 8789) -> tuple[SessionFile, Log]:
    log = Log()
    return SessionFile(folder, port, log), log


def test_what_is_saved_is_loaded_and_only_ours_to_read(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "ccrelay"
    ours, log = file(folder)
    assert ours.load() == Stored()
    ours.save(STORED)
    assert file(folder)[0].load() == STORED
    assert [path.name for path in folder.iterdir()] == ["page-sessions-8789.json"]
    assert stat.S_IMODE(ours.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    ours.save(Stored())
    assert file(folder)[0].load() == Stored()
    assert log.events == []


def test_each_port_has_its_own(tmp_path: Path) -> None:
    file(tmp_path)[0].save(STORED)
    assert file(tmp_path, 9000)[0].load() == Stored()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"sessions": {"a": 1}}', b"\xff", b"x" * 90_000]
)
def test_what_makes_no_sense_costs_a_sign_in_and_is_told(tmp_path: Path, data: bytes) -> None:
    ours, log = file(tmp_path)
    ours.path.write_bytes(data)
    assert ours.load() == Stored()
    assert log.names() == ["page_sessions_failed"]
    ours.save(STORED)
    assert ours.load() == STORED


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    ours, log = file(tmp_path)
    other = tmp_path / "other"
    other.write_text('{"sessions": {"a": [false, 1.0]}}')
    ours.path.symlink_to(other)
    assert ours.load() == Stored()
    assert log.names() == ["page_sessions_failed"]
    ours.save(STORED)
    assert not ours.path.is_symlink()
    assert "bbbb" not in other.read_text()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    ours, log = file(tmp_path / "state")
    ours.save(STORED)
    assert log.names() == ["page_sessions_failed"]


def test_nothing_is_left_of_a_draft_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    ours, log = file(tmp_path)
    ours.save(STORED)
    assert log.names() == ["page_sessions_failed"]
    assert list(tmp_path.iterdir()) == []


def test_old_files_of_other_ports_are_removed(tmp_path: Path) -> None:
    for port, age_s in ((1, STALE_S + 60), (2, STALE_S - 60), (8789, STALE_S + 60)):
        other, _ = file(tmp_path, port)
        other.save(STORED)
        then = time.time() - age_s
        os.utime(other.path, (then, then))
    file(tmp_path)[0].load()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"page-sessions-2.json", "page-sessions-8789.json"}
