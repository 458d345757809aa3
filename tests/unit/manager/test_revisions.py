"""Texts that were in force: numbered, private, bounded, and found without their index."""

import os
import stat
import threading
from pathlib import Path

import pytest

from ccrelay.manager.revisions import (
    KEPT_MAX,
    NoRevisions,
    Revisions,
    digest_of,
    folder_of,
    lines_changed,
)


def made(tmp_path: Path) -> Revisions:
    return Revisions(tmp_path / "state" / "r", "yaml")


def record(revisions: Revisions, text: str, **values: str) -> int:
    entry = revisions.record(
        text.encode(), **{"origin": "file", "comment": "", **values}, at_ms=1000
    )
    return entry.number


def test_numbers_from_one_and_equal_texts_once(tmp_path: Path) -> None:
    revisions = made(tmp_path)
    assert [record(revisions, text) for text in ("a\n", "a\n", "b\n", "a\n")] == [1, 1, 2, 3]
    assert [entry.number for entry in revisions.entries()] == [1, 2, 3]
    assert revisions.text(2) == b"b\n"
    assert revisions.text(9) is None
    last = revisions.entries()[-1]
    assert (last.lines_added, last.lines_removed, last.digest) == (1, 1, digest_of(b"a\n"))


def test_another_process_goes_on(tmp_path: Path) -> None:
    record(made(tmp_path), "a")
    assert record(made(tmp_path), "a") == 1
    assert record(made(tmp_path), "b", origin="apply", comment="why") == 2
    assert (made(tmp_path).entries()[1].origin, made(tmp_path).entries()[1].comment) == (
        "apply",
        "why",
    )


def test_folders_and_files_are_private(tmp_path: Path) -> None:
    record(made(tmp_path), "secret")
    folder = tmp_path / "state" / "r"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    folder.parent.chmod(0o755)  # as earlier versions made it
    record(made(tmp_path), "another")
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    for name in os.listdir(folder):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name


def test_the_oldest_go(tmp_path: Path) -> None:
    revisions = made(tmp_path)
    for number in range(KEPT_MAX + 5):
        record(revisions, f"{number}")
    entries = revisions.entries()
    assert len(entries) == KEPT_MAX
    assert (entries[0].number, entries[-1].number) == (6, KEPT_MAX + 5)
    assert revisions.text(5) is None
    assert len(list((tmp_path / "state" / "r").glob("*.yaml"))) == KEPT_MAX


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[1, 2]", b"\xff\xfe", b'[{"number": 1}]', b"null", b"[" * 100_000],
)
def test_a_damaged_index_is_made_again_from_the_texts(tmp_path: Path, damage: bytes) -> None:
    revisions = made(tmp_path)
    for text in ("a", "b", "c"):
        record(revisions, text)
    (tmp_path / "state" / "r" / "index.json").write_bytes(damage)
    assert [entry.digest for entry in revisions.entries()] == [
        digest_of(text) for text in (b"a", b"b", b"c")
    ]
    assert record(revisions, "c") == 3
    assert record(revisions, "d") == 4


def test_an_index_that_is_gone_and_texts_that_are_gone(tmp_path: Path) -> None:
    revisions = made(tmp_path)
    for text in ("a", "b", "c"):
        record(revisions, text)
    folder = tmp_path / "state" / "r"
    (folder / "000003.yaml").unlink()
    assert [entry.number for entry in revisions.entries()] == [1, 2]
    assert record(revisions, "d") == 4  # a number is not used twice
    (folder / "index.json").unlink()
    assert record(revisions, "e") == 5


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    revisions = made(tmp_path)
    record(revisions, "a")
    folder = tmp_path / "state" / "r"
    for name in ("note.txt", "1.yaml", "0000001.yaml.bak", "000009.ini"):
        (folder / name).write_text("x")
    (folder / "000005.yaml").symlink_to("/etc/passwd")
    assert revisions.text(5) is None
    assert record(revisions, "b") >= 2


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(NoRevisions, match="cannot be written"):
        record(made(tmp_path), "a")
    assert made(tmp_path).entries() == []


def test_two_relays_at_once_use_no_number_twice(tmp_path: Path) -> None:
    found: list[int] = []

    def work(name: str) -> None:
        revisions = made(tmp_path)
        for number in range(20):
            found.append(record(revisions, f"{name}{number}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(1, 41))


def test_where_they_are_kept() -> None:
    file = Path("/srv/ccrelay.yaml")
    xdg = folder_of(file, {"XDG_STATE_HOME": "/state", "HOME": "/h"})
    home = folder_of(file, {"HOME": "/h", "XDG_STATE_HOME": "relative"})
    assert xdg is not None
    assert home is not None
    assert xdg.parent == Path("/state/ccrelay/revisions")
    assert home.parent == Path("/h/.local/state/ccrelay/revisions")
    assert xdg.name == home.name != folder_of(Path("/other"), {"HOME": "/h"}).name  # type: ignore[union-attr]
    assert folder_of(file, {}) is None
    service = folder_of(file, {"STATE_DIRECTORY": "/var/lib/ccrelay:/x", "HOME": "/h"})
    assert service == Path("/var/lib/ccrelay/revisions") / xdg.name


def test_lines_are_counted() -> None:
    assert lines_changed(b"a\nb\nc\n", b"a\nx\nc\nd\n") == (2, 1)
    assert lines_changed(b"", b"") == (0, 0)
    assert lines_changed(b"x\n" * 30_000, b"x\n" * 30_005) == (5, 0)
