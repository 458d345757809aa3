"""Who uses a launched relay."""

import os
import stat
import time
from pathlib import Path

from ccrelay.cli.relay_users import create, is_alive, join, next_user, users_file

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


def test_none_can_join_a_relay_that_is_ending(tmp_path: Path) -> None:
    file = users_file(tmp_path, 4711)
    create(file)
    assert next_user(file) is None
    assert not file.exists()
    assert not join(file, os.getpid())


def test_one_that_waited_for_the_lock_does_not_join_either(tmp_path: Path) -> None:
    """It had opened the file before it was removed."""
    import threading

    from ccrelay.cli import relay_users

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
    assert not join(users_file(tmp_path, 1), os.getpid())
    assert next_user(users_file(tmp_path, 1)) is None


def test_other_users_processes_live() -> None:
    assert is_alive(1)
    assert not is_alive(GONE)
