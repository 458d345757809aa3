import os
import stat
from pathlib import Path

import pytest

from ccrelay.config.places import make_private, socket_folders, socket_name, state_folder


@pytest.mark.parametrize(
    ("env", "folder"),
    [
        ({}, None),
        ({"HOME": "/h"}, "/h/.local/state/ccrelay"),
        ({"HOME": "h"}, None),
        ({"HOME": "/h", "XDG_STATE_HOME": "/s"}, "/s/ccrelay"),
        ({"HOME": "/h", "XDG_STATE_HOME": "s"}, "/h/.local/state/ccrelay"),
        ({"HOME": "/h", "XDG_STATE_HOME": ""}, "/h/.local/state/ccrelay"),
        ({"XDG_STATE_HOME": "/s", "STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, "/var/lib/a"),
        ({"XDG_STATE_HOME": "/s", "STATE_DIRECTORY": "a"}, "/s/ccrelay"),
    ],
)
def test_the_folder_of_the_state(env, folder):
    assert state_folder(env) == (None if folder is None else Path(folder))


def test_the_socket_is_in_the_runtime_folder_then_beside_the_state_then_in_a_short_one():
    env = {"XDG_RUNTIME_DIR": "/run/user/7", "HOME": "/h"}
    assert list(map(str, socket_folders(env, 7))) == [
        "/run/user/7/ccrelay",
        "/h/.local/state/ccrelay/run",
        "/tmp/ccrelay-7",
    ]
    assert list(map(str, socket_folders({"XDG_RUNTIME_DIR": "run"}, 7))) == ["/tmp/ccrelay-7"]


def test_the_socket_is_named_after_the_port():
    assert socket_name(8787) == "8787.sock"
    assert socket_name(8787, 12) == "8787-12.sock"


def test_a_private_folder_is_private_with_all_that_is_made_above_it(tmp_path):
    tmp_path.chmod(0o755)
    before = os.umask(0o022)
    try:
        make_private(tmp_path / "a" / "b" / "c")
        make_private(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a" / "b", tmp_path / "a" / "b" / "c"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file"):
        make_private(tmp_path / "file")
