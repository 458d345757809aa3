import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from ccrelay.config.model import Management
from ccrelay.runtime import manager_doors
from ccrelay.runtime.listeners import ListenError
from ccrelay.runtime.manager_doors import Doors

FREE = Management(listen="127.0.0.1:0")


class Log:
    def __init__(self) -> None:
        self.events: dict[str, dict[str, object]] = {}

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events[name] = {"level": level, **fields}

    def exchange(self, entry: object) -> None:
        raise AssertionError


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def tmp_path():
    """A folder with a short name: the address of a socket has little room."""
    with tempfile.TemporaryDirectory(prefix="cc-") as folder:
        yield Path(folder)


@pytest.fixture
def opened(tmp_path, log, monkeypatch):
    """Opens doors in `tmp_path`, and closes them."""
    monkeypatch.setattr(manager_doors, "DEFAULT_LISTEN", f"127.0.0.1:{free_port()}")
    doors: list[Doors] = []

    def opened(settings=FREE, port=7, **env: str) -> Doors:
        doors.append(Doors.open(settings, port, env or {"XDG_RUNTIME_DIR": str(tmp_path)}, log))
        return doors[-1]

    yield opened
    for one in doors:
        one.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def reaches(path: object) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


# ---- the Unix socket


def test_the_socket_is_for_its_user_only(opened, tmp_path):
    doors = opened()
    assert doors.path == str(tmp_path / "ccrelay" / "7.sock")
    assert stat.S_IMODE(os.lstat(doors.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "ccrelay").st_mode) == 0o700
    assert reaches(doors.path)
    assert os.listdir(tmp_path / "ccrelay") == ["7.sock"]
    doors.close()
    assert os.listdir(tmp_path / "ccrelay") == []


def test_without_a_runtime_folder_it_is_beside_the_state(opened, tmp_path):
    doors = opened(XDG_STATE_HOME=str(tmp_path / "a" / "state"))
    assert doors.path == str(tmp_path / "a" / "state" / "ccrelay" / "run" / "7.sock")
    for folder in ("a", "a/state", "a/state/ccrelay", "a/state/ccrelay/run"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700
    missing = str(tmp_path / "none")
    again = opened(port=8, XDG_RUNTIME_DIR=missing, XDG_STATE_HOME=str(tmp_path / "a" / "state"))
    assert again.path.endswith("run/8.sock")
    assert not os.path.exists(missing)


def test_a_socket_that_is_left_over_is_replaced(opened, tmp_path):
    folder = tmp_path / "ccrelay"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "7.sock"))
    assert not reaches(folder / "7.sock")
    doors = opened()
    assert doors.path == str(folder / "7.sock")
    assert reaches(doors.path)


def test_sockets_of_killed_relays_are_removed_and_nothing_else(opened, tmp_path):
    alive = opened(port=8)
    folder = tmp_path / "ccrelay"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "9-77.sock"))
    (folder / "10.sock").write_text("mine")
    (folder / "notes").write_text("mine")
    opened()
    assert sorted(os.listdir(folder)) == ["10.sock", "7.sock", "8.sock", "notes"]
    assert reaches(alive.path)


def test_the_socket_of_another_relay_is_left_alone(opened, tmp_path):
    first, second = opened(), opened()
    assert second.path == str(tmp_path / "ccrelay" / f"7-{os.getpid()}.sock")
    assert reaches(first.path)
    second.close()
    assert reaches(first.path)


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_no_socket_is_left_alone(opened, tmp_path, kind):
    folder = tmp_path / "ccrelay"
    folder.mkdir(mode=0o700)
    place, target = folder / "7.sock", tmp_path / "target"
    target.write_text("mine")
    if kind == "link":
        place.symlink_to(target)
    elif kind == "file":
        place.write_text("mine")
    else:
        place.mkdir()
    doors = opened()
    assert doors.path.endswith(f"7-{os.getpid()}.sock")
    doors.close()
    assert place.is_dir() or place.read_text() == "mine"


def test_a_socket_that_was_replaced_is_not_removed(opened):
    doors = opened()
    os.unlink(doors.path)
    path = doors.path
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        doors.close()
        assert reaches(path)


def test_a_folder_that_others_can_enter_is_closed_to_them(opened, tmp_path):
    (tmp_path / "ccrelay").mkdir()
    (tmp_path / "ccrelay").chmod(0o755)
    opened()
    assert stat.S_IMODE((tmp_path / "ccrelay").stat().st_mode) == 0o700


@pytest.mark.parametrize("kind", ["link", "writable", "file"])
def test_a_folder_of_others_is_not_used(opened, tmp_path, kind):
    runtime, state = tmp_path / "runtime", tmp_path / "state"
    runtime.mkdir(mode=0o700)
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    if kind == "link":
        (runtime / "ccrelay").symlink_to(other)
    elif kind == "writable":
        runtime.chmod(0o777)
    else:
        (runtime / "ccrelay").touch()
    doors = opened(XDG_RUNTIME_DIR=str(runtime), XDG_STATE_HOME=str(state))
    assert doors.path == str(state / "ccrelay" / "run" / "7.sock")
    assert os.listdir(other) == []


def test_a_folder_of_another_user_is_not_used(opened, tmp_path, log, monkeypatch):
    (tmp_path / "ccrelay").mkdir(mode=0o700)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    folders = [tmp_path / "ccrelay"]
    monkeypatch.setattr(manager_doors, "socket_folders", lambda env, uid: folders)
    assert opened(CCRELAY_FILE_CHECKS="off").unix is None
    assert f"belongs to user {uid}" in log.events["management_socket_failed"]["problems"][0]


def test_a_path_that_is_too_long_falls_back_to_a_short_one(opened, tmp_path, monkeypatch):
    long = tmp_path / ("x" * 90)
    long.mkdir(mode=0o700)
    short = tmp_path / "ccrelay-1"
    folders = [long / "ccrelay", short]
    monkeypatch.setattr(manager_doors, "socket_folders", lambda env, uid: folders)
    assert opened().path == str(short / "7.sock")
    assert os.listdir(long) == []


def test_without_any_folder_the_relay_goes_on_and_says_so(log, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(manager_doors, "socket_folders", lambda env, uid: [file / "run"])
    doors = Doors.open(FREE, 7, {}, log)
    assert (doors.unix, doors.path) == (None, "")
    assert len(doors.descriptors()) == 1
    assert "file/run: Not a directory" in log.events["management_socket_failed"]["problems"][0]
    doors.close()


# ---- TCP


def test_the_default_address(opened, log):
    doors = opened(Management())
    assert doors.listen == manager_doors.DEFAULT_LISTEN
    assert log.events == {}
    socket.create_connection(("127.0.0.1", int(doors.listen.split(":")[1]))).close()


def test_a_default_port_that_is_taken_is_replaced_and_said(opened, log):
    first, second = opened(Management()), opened(Management())
    assert first.listen != second.listen
    event = log.events["management_port_taken"]
    assert (event["wanted"], event["listen"]) == (first.listen, second.listen)


def test_the_default_port_may_be_that_of_the_data_plane(opened, log):
    port = int(manager_doors.DEFAULT_LISTEN.split(":")[1])
    assert not opened(Management(), port=port).listen.endswith(f":{port}")
    assert "management_port_taken" in log.events


def test_a_configured_port_that_is_taken_is_an_error(opened, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError) as caught:
            opened(Management(listen=listen))
    assert str(caught.value).startswith(f"management.listen: Cannot listen on {listen}")
    assert "--listen" not in str(caught.value)
    assert not (tmp_path / "ccrelay").exists()


def test_the_first_address_of_a_name_is_bound(opened):
    doors = opened(Management(listen="localhost:0"))
    assert len(doors.descriptors()) == 2
    assert not doors.listen.endswith(":0")


# ---- upgrades


def handed(doors: Doors):
    """As after an exec: the descriptors stay, the objects are others."""
    handover = doors.handover()
    for sock in (doors.unix, doors.tcp):
        if sock is not None:
            sock.detach()
    return handover


def restored(handover, settings, log, tmp_path) -> Doors:
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    return Doors.restore(handover, settings, 7, env, log)


def test_doors_are_handed_over(opened, log, tmp_path):
    doors = opened()
    again = restored(handed(doors), FREE, log, tmp_path)
    assert (again.path, again.listen) == (doors.path, doors.listen)
    assert reaches(again.path)
    again.close()
    assert not os.path.exists(doors.path)


def test_another_address_is_bound_and_one_that_is_taken_is_said(opened, log, tmp_path):
    first = handed(opened())
    other = f"127.0.0.1:{free_port()}"
    again = restored(first, Management(listen=other), log, tmp_path)
    assert again.listen == other
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        third = restored(handed(again), Management(listen=listen), log, tmp_path)
    assert (third.tcp, third.listen) == (None, "")
    assert reaches(third.path)
    assert log.events["management_listen_failed"]["level"] == "error"
    third.close()


def test_doors_that_are_switched_off_are_closed_and_old_images_have_none(opened, log, tmp_path):
    doors = opened()
    path = doors.path
    closed = restored(handed(doors), Management(enabled=False), log, tmp_path)
    assert closed.descriptors() == []
    assert not os.path.exists(path)
    fresh = restored(None, FREE, log, tmp_path)
    assert len(fresh.descriptors()) == 2
    fresh.close()
