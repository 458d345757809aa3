"""The watcher over real files."""

import threading

import pytest

from ccrelay.runtime.watch import Watcher

pytestmark = pytest.mark.process


def test_changes_of_the_file_are_reported_and_join_stops_the_thread(tmp_path):
    file = tmp_path / "f"
    file.touch()
    changes = threading.Semaphore(0)
    watcher = Watcher(file, changes.release, pytest.fail)
    watcher.start()
    assert changes.acquire(timeout=20), "once at the start"
    file.write_text("x")
    assert changes.acquire(timeout=20)
    (tmp_path / "other").write_text("x")
    assert not changes.acquire(timeout=0.5)
    watcher.join()
    assert not watcher._thread.is_alive()


def test_constant_changes_of_another_file_do_not_hide_a_change(tmp_path):
    file = tmp_path / "f"
    file.touch()
    over = threading.Event()

    def chatter():
        with (tmp_path / "log").open("w") as log:
            while not over.wait(0.02):
                log.write("line\n")
                log.flush()

    chattering = threading.Thread(target=chatter)
    chattering.start()
    changes = threading.Semaphore(0)
    watcher = Watcher(file, changes.release, pytest.fail)
    try:
        watcher.start()
        assert changes.acquire(timeout=20), "once at the start"
        assert not changes.acquire(timeout=0.5)
        file.write_text("x")
        assert changes.acquire(timeout=20)
    finally:
        over.set()
        chattering.join()
        watcher.join()


def test_a_directory_that_appears_later_is_watched(tmp_path):
    file = tmp_path / "folder" / "f"
    changes = threading.Semaphore(0)
    watcher = Watcher(file, changes.release, lambda problem: None)
    watcher.start()
    assert not changes.acquire(timeout=0.3)
    file.parent.mkdir()
    file.touch()
    assert changes.acquire(timeout=20)
    watcher.join()


def test_a_replaced_directory_is_watched(tmp_path):
    file = tmp_path / "folder" / "f"
    file.parent.mkdir()
    file.touch()
    changes = threading.Semaphore(0)
    watcher = Watcher(file, changes.release, lambda problem: None)
    watcher.start()
    assert changes.acquire(timeout=20), "once at the start"
    file.unlink()
    assert changes.acquire(timeout=20)
    file.parent.rename(tmp_path / "away")  # so that its inode is not reused
    file.parent.mkdir()
    assert changes.acquire(timeout=20), "once at the start"
    file.write_text("x")
    assert changes.acquire(timeout=20)
    watcher.join()


def test_a_watch_failure_is_reported_once_and_retried(tmp_path, monkeypatch):
    import watchfiles

    def exhausted(*folders, **how):
        attempts.release()
        raise watchfiles._rust_notify.WatchfilesRustInternalError("too many open files")

    attempts, changes = threading.Semaphore(0), threading.Semaphore(0)
    problems = []
    with monkeypatch.context() as patched:
        patched.setattr(watchfiles, "watch", exhausted)
        watcher = Watcher(tmp_path / "f", changes.release, problems.append)
        watcher.start()
        for _ in range(3):
            assert attempts.acquire(timeout=20)
        assert problems == ["too many open files"]
    assert changes.acquire(timeout=20), "a missed change is reported by the next watch"
    watcher.join()
