"""Who uses a launched relay."""

import os
import stat
import time
from pathlib import Path

import pytest

from ccrelay.cli import relay_users
from ccrelay.cli.relay_users import create, is_alive, join, next_user, starting, users_file

GONE = 1 << 22  # above the largest process id of Linux's default


def test_a_user_that_lives_is_found_and_one_that_is_gone_is_not(tmp_path: Path) -> None:
    file = users_file(tmp_path / "state", 4711)
    create(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert join(file, GONE)
    assert join(file, os.getpid())
    assert next_user(file) == os.getpid()
    assert file.exists()


def test_users_that_are_gone_take_no_room(tmp_path: Path) -> None:
    file = users_file(tmp_path, 4711)
    create(file)
    for number in range(1_000):  # each would take eight bytes
        assert join(file, GONE + number)
    assert join(file, os.getpid())
    assert next_user(file) == os.getpid()


def test_none_can_join_a_relay_that_is_ending(tmp_path: Path) -> None:
    file = users_file(tmp_path, 4711)
    create(file)
    assert next_user(file) is None
    assert not join(file, os.getpid())
    assert next_user(file) is None


def test_one_that_waited_for_the_lock_does_not_join_either(tmp_path: Path) -> None:
    """It had opened the file before it was removed."""
    import threading

    file = users_file(tmp_path, 4711)
    create(file)
    joined: list[bool] = []
    with relay_users._locked(file):
        waiting = threading.Thread(target=lambda: joined.append(join(file, os.getpid())))
        waiting.start()
        ends_at = time.monotonic() + 20
        while not has_opened():
            assert time.monotonic() < ends_at
            time.sleep(0.005)
        file.unlink()
    waiting.join(10)
    assert joined == [False]


def has_opened() -> bool:
    """Whether the thread has the file open: two descriptors of this process lead there."""
    opened = [entry for entry in os.listdir("/proc/self/fd") if "4711.users" in _target(entry)]
    return len(opened) == 2


def _target(entry: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{entry}")
    except OSError:
        return ""


def test_files_of_killed_relays_are_removed(tmp_path: Path) -> None:
    left = users_file(tmp_path, GONE)
    create(left)
    create(users_file(tmp_path, os.getpid()))
    assert not left.exists()


def test_a_relay_that_no_launcher_started_has_no_users(tmp_path: Path) -> None:
    assert join(users_file(tmp_path, 1), os.getpid())
    assert not users_file(tmp_path, 1).exists()
    assert next_user(users_file(tmp_path, 1)) is None


def test_other_users_processes_live() -> None:
    assert is_alive(1)
    assert not is_alive(GONE)


def test_one_launcher_starts_and_the_other_waits_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_users, "START_S", 0.2)
    entered_at = []
    with starting(tmp_path):
        began_at = time.monotonic()
        with starting(tmp_path):  # the first one is suspended
            entered_at.append(time.monotonic())
    assert entered_at[0] - began_at >= 0.2
    with starting(None), starting(Path("/dev/null")):  # no place for a lock
        pass
