import json
import os
import stat
from pathlib import Path

import pytest

from ccrelay.config.trust import NoRecord, confirm, is_confirmed, record_path

DIGEST, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def env(tmp_path):
    return {"HOME": str(tmp_path)}


def test_the_record_is_in_the_state_folder():
    record = Path("/users/me/.local/state/ccrelay/trusted.json")
    assert record_path({"HOME": "/users/me"}) == record
    assert record_path({"HOME": "/users/me", "XDG_STATE_HOME": "state"}) == record
    assert record_path({"XDG_STATE_HOME": "/s"}) == Path("/s/ccrelay/trusted.json")
    assert record_path({}) is None
    assert record_path({"HOME": ""}) is None


def test_a_confirmation_is_for_one_content_of_one_path(env, monkeypatch):
    file = Path("/p/ccrelay.yaml")
    assert not is_confirmed(file, DIGEST, env)
    confirm(file, DIGEST, env)
    confirm(Path("/q/ccrelay.yaml"), OTHER, env)
    assert is_confirmed(file, DIGEST, env)
    assert not is_confirmed(file, OTHER, env)
    assert not is_confirmed(Path("/q/ccrelay.yaml"), DIGEST, env)
    confirm(file, OTHER, env)
    assert not is_confirmed(file, DIGEST, env)
    monkeypatch.chdir("/")
    assert is_confirmed(Path("p/ccrelay.yaml"), OTHER, env)


def test_the_record_is_private_and_no_other_file_is_left(env, tmp_path):
    umask = os.umask(0)
    try:
        record = confirm(Path("/p/ccrelay.yaml"), DIGEST, env)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    for folder in (".local", ".local/state", ".local/state/ccrelay"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700
    assert [path.name for path in record.parent.iterdir()] == ["trusted.json"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"files": []}', '{"files": {"/p": 5}}', "\xff"]
)
def test_a_damaged_record_confirms_nothing_and_is_replaced(env, text):
    record = confirm(Path("/p"), DIGEST, env)
    record.write_text(text, "latin-1")
    assert not is_confirmed(Path("/p"), DIGEST, env)
    confirm(Path("/p"), DIGEST, env)
    assert is_confirmed(Path("/p"), DIGEST, env)
    assert json.loads(record.read_text()) == {"files": {"/p": DIGEST}}


@pytest.mark.parametrize("name", ["trusted.json", "."])
def test_a_record_that_others_can_write_is_not_believed(env, name):
    record = confirm(Path("/p"), DIGEST, env)
    (record.parent / name).chmod(0o777)
    with pytest.raises(NoRecord, match=r"not trusted: .* can be written by every user"):
        is_confirmed(Path("/p"), DIGEST, env)
    with pytest.raises(NoRecord, match="chmod"):
        confirm(Path("/p"), OTHER, env)


def test_without_a_home_nothing_is_confirmed(tmp_path):
    assert not is_confirmed(Path("/p"), DIGEST, {})
    with pytest.raises(NoRecord, match="neither HOME nor XDG_STATE_HOME is set"):
        confirm(Path("/p"), DIGEST, {})


def test_a_record_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "f").write_text("")
    (tmp_path / "f").chmod(0o600)
    with pytest.raises(NoRecord, match=r"cannot write the record .*: Not a directory"):
        confirm(Path("/p"), DIGEST, {"XDG_STATE_HOME": str(tmp_path / "f")})


def test_a_path_need_not_be_utf_8(env):
    file = Path(os.fsdecode(b"/p/\xff/ccrelay.yaml"))
    confirm(file, DIGEST, env)
    assert is_confirmed(file, DIGEST, env)
