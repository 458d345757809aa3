import os
import stat

import pytest

from ccrelay.config.fingerprint_key import FILE, KEY_BYTES, load_key


@pytest.fixture
def env(tmp_path):
    return {"XDG_STATE_HOME": str(tmp_path)}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ccrelay" / FILE


def test_the_key_is_made_once_and_belongs_to_its_owner_alone(env, file):
    first = load_key(env)
    assert (len(first.key), first.problem) == (KEY_BYTES, "")
    assert load_key(env) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == [FILE]


def test_two_installations_have_two_keys(tmp_path):
    keys = {load_key({"XDG_STATE_HOME": str(tmp_path / name)}).key for name in "ab"}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"STATE_DIRECTORY": "{}/s:/other", "XDG_STATE_HOME": "{}/x"}, "s"),
        ({"XDG_STATE_HOME": "{}/x", "HOME": "{}/h"}, "x/ccrelay"),
        ({"XDG_STATE_HOME": "relative", "HOME": "{}/h"}, "h/.local/state/ccrelay"),
        ({"HOME": "{}/h"}, "h/.local/state/ccrelay"),
    ],
)
def test_where_the_key_is(tmp_path, variables, place):
    env = {name: value.format(tmp_path) for name, value in variables.items()}
    assert load_key(env).problem == ""
    assert (tmp_path / place / FILE).exists()


def spoil_mode(file):
    file.chmod(0o640)


def spoil_size(file):
    file.write_bytes(b"short")


def spoil_link(file):
    target = file.with_name("target")
    file.rename(target)
    file.symlink_to(target)


def spoil_kind(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("spoil", [spoil_mode, spoil_size, spoil_link, spoil_kind])
def test_a_file_that_others_could_read_or_have_made_is_not_used(env, file, spoil):
    first = load_key(env)
    spoil(file)
    found = load_key(env)
    assert str(file) in found.problem
    assert found.key != first.key
    assert load_key(env).key != found.key  # random at each start


def test_without_a_place_the_key_is_random_and_that_is_said(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    for env in ({}, {"XDG_STATE_HOME": str(blocked)}, {"HOME": "relative"}):
        found = load_key(env)
        assert found.problem
        assert len(found.key) == KEY_BYTES


def test_the_loser_of_a_race_uses_the_key_of_the_winner(env, file, monkeypatch):
    link = os.link

    def late(draft, path):
        file.write_bytes(b"w" * KEY_BYTES)
        file.chmod(0o600)
        link(draft, path)

    monkeypatch.setattr(os, "link", late)
    assert load_key(env) == (b"w" * KEY_BYTES, "")
