"""The watcher over real files."""

import threading

import pytest

from ccrelay.runtime.watch import Watcher

pytestmark = pytest.mark.process


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
