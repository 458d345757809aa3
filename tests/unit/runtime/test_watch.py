import threading

import pytest

from ccrelay.runtime.watch import Watcher, steps


def test_a_plain_file_is_one_step(tmp_path):
    assert steps(tmp_path / "a" / "f.yaml") == [tmp_path / "a" / "f.yaml"]


def test_a_relative_path_starts_here(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    (file,) = steps((tmp_path / "f").relative_to(tmp_path))
    assert file == tmp_path / "a" / "f"


def test_every_link_on_the_way_is_a_step(tmp_path):
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "f.yaml").touch()
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "f.yaml").symlink_to("..data/f.yaml")
    (tmp_path / "etc").symlink_to(tmp_path)
    assert steps(tmp_path / "etc" / "f.yaml") == [
        tmp_path / "etc",
        tmp_path / "f.yaml",
        tmp_path / "..data",
        tmp_path / "..2026" / "f.yaml",
    ]


def test_a_link_upwards_is_followed_from_where_it_leads(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/b")
    assert steps(tmp_path / "link" / ".." / "f")[-1] == tmp_path / "a" / "f"


def test_links_in_circles_are_an_error(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="too many links"):
        steps(tmp_path / "one")


def test_a_change_is_told_and_the_end_comes_soon(tmp_path):
    file = tmp_path / "f"
    file.touch()
    told = threading.Semaphore(0)
    watcher = Watcher(file, told.release)
    watcher.start()
    assert told.acquire(timeout=20), "once at the beginning"
    file.write_text("x")
    assert told.acquire(timeout=20)
    (tmp_path / "other").write_text("x")
    assert not told.acquire(timeout=0.5)
    watcher.join()
    assert not watcher._thread.is_alive()


def test_a_folder_that_comes_back_is_watched_again(tmp_path):
    file = tmp_path / "folder" / "f"
    told = threading.Semaphore(0)
    watcher = Watcher(file, told.release)
    watcher.start()
    assert not told.acquire(timeout=0.3)
    file.parent.mkdir()
    file.touch()
    assert told.acquire(timeout=20)
    watcher.join()
