"""The watcher over real files."""

import threading

import pytest

from ccrelay.runtime.watch import Watcher

pytestmark = pytest.mark.process


def test_a_change_is_told_and_the_end_comes_soon(tmp_path):
    file = tmp_path / "f"
    file.touch()
    told = threading.Semaphore(0)
    watcher = Watcher(file, told.release, pytest.fail)
    watcher.start()
    assert told.acquire(timeout=20), "once at the beginning"
    file.write_text("x")
    assert told.acquire(timeout=20)
    (tmp_path / "other").write_text("x")
    assert not told.acquire(timeout=0.5)
    watcher.join()
    assert not watcher._thread.is_alive()


def test_a_file_beside_it_that_never_rests_hides_nothing(tmp_path):
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
    told = threading.Semaphore(0)
    watcher = Watcher(file, told.release, pytest.fail)
    try:
        watcher.start()
        assert told.acquire(timeout=20), "once at the beginning"
        assert not told.acquire(timeout=0.5)
        file.write_text("x")
        assert told.acquire(timeout=20)
    finally:
        over.set()
        chattering.join()
        watcher.join()


def test_a_folder_that_comes_back_is_watched_again(tmp_path):
    file = tmp_path / "folder" / "f"
    told = threading.Semaphore(0)
    watcher = Watcher(file, told.release, lambda problem: None)
    watcher.start()
    assert not told.acquire(timeout=0.3)
    file.parent.mkdir()
    file.touch()
    assert told.acquire(timeout=20)
    watcher.join()


def test_a_folder_that_is_made_anew_is_watched_instead_of_the_old_one(tmp_path):
    file = tmp_path / "folder" / "f"
    file.parent.mkdir()
    file.touch()
    told = threading.Semaphore(0)
    watcher = Watcher(file, told.release, lambda problem: None)
    watcher.start()
    assert told.acquire(timeout=20), "once at the beginning"
    file.unlink()
    assert told.acquire(timeout=20)
    file.parent.rename(tmp_path / "away")  # so that its inode is not given to the next
    file.parent.mkdir()
    assert told.acquire(timeout=20), "once at the beginning"
    file.write_text("x")
    assert told.acquire(timeout=20)
    watcher.join()


def test_without_watches_to_be_had_that_is_said_once_and_tried_until_it_works(
    tmp_path, monkeypatch
):
    import watchfiles

    def exhausted(*folders, **how):
        attempts.release()
        raise watchfiles._rust_notify.WatchfilesRustInternalError("too many open files")

    attempts, told = threading.Semaphore(0), threading.Semaphore(0)
    problems = []
    with monkeypatch.context() as patched:
        patched.setattr(watchfiles, "watch", exhausted)
        watcher = Watcher(tmp_path / "f", told.release, problems.append)
        watcher.start()
        for _ in range(3):
            assert attempts.acquire(timeout=20)
        assert problems == ["too many open files"]
    assert told.acquire(timeout=20), "a change that was missed is found now"
    watcher.join()
