"""Keys under names, in files and in the keychain, without a relay."""

import json
import os
from pathlib import Path

import pytest

from tests.child import child_environment
from tests.keychains import variables
from tests.unit.cli.running import run

KEY = "test-key-of-a-store"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a keychain."""
    for place in reversed(child_environment()["PYTHONPATH"].split(os.pathsep)):
        monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return tmp_path


@pytest.fixture
def keychain(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("keyring")
    for name, value in variables(home).items():
        monkeypatch.setenv(name, value)
    return home / "keychain.json"


def file(home: Path) -> Path:
    return home / ".config" / "ccrelay" / "keys" / "zai"


def test_without_a_keychain_it_is_a_file(home: Path) -> None:
    ended = run("keys", "set", "zai", input=f"{KEY}\n")
    assert ended.exit_code == 0, ended.output
    assert file(home).read_text() == f"{KEY}\n"
    assert file(home).stat().st_mode & 0o777 == 0o600
    assert f"${{file:{file(home)}}}" in ended.stdout
    assert KEY not in ended.output
    assert run("keys", "set", "zai", input="other\n").exit_code == 0
    assert file(home).read_text() == "other\n"
    assert run("keys", "forget", "zai").exit_code == 0
    assert not file(home).exists()
    ended = run("keys", "forget", "zai")
    assert (ended.exit_code, "No key has the name" in ended.stderr) == (1, True)


def test_with_a_keychain_it_is_there(home: Path, keychain: Path) -> None:
    ended = run("key", "set", "zai", input=f"{KEY}\n")  # by the other name of the group
    assert ended.exit_code == 0, ended.output
    assert json.loads(keychain.read_text()) == {"ccrelay/zai": KEY}
    assert "${keyring:zai}" in ended.stdout
    assert not file(home).exists()
    assert run("key", "forget", "zai").stdout == "Removed from the keychain.\n"
    assert json.loads(keychain.read_text()) == {}


def test_a_key_that_is_in_a_file_stays_in_one(home: Path, keychain: Path) -> None:
    run("keys", "set", "zai", "--store", "file", input="before\n")
    assert run("keys", "set", "zai", input=f"{KEY}\n").exit_code == 0
    assert file(home).read_text() == f"{KEY}\n"
    assert not keychain.exists()


def test_a_keychain_that_fails_is_said(
    home: Path, keychain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_FAULT", "locked")
    ended = run("keys", "set", "zai", "--store", "keychain", input=f"{KEY}\n")
    assert ended.exit_code == 1
    assert ended.stderr == "The keychain is locked: unlock it, and try again.\n"
    assert run("keys", "forget", "zai").stderr == ended.stderr


@pytest.mark.parametrize("name", ["a b", "../x", ""])
def test_a_name_that_is_none_is_wrong_usage(home: Path, name: str) -> None:
    assert run("keys", "set", name, input=f"{KEY}\n").exit_code == 2
    assert run("keys", "forget", name).exit_code == 2


@pytest.mark.parametrize(("key", "code"), [("", 2), ("a b", 1)])
def test_a_key_that_is_none_is_refused(home: Path, key: str, code: int) -> None:
    ended = run("keys", "set", "zai", input=f"{key}\n")
    assert ended.exit_code == code
    assert not file(home).exists()


def test_a_folder_that_cannot_be_made_is_said(home: Path) -> None:
    (home / ".config").write_text("")
    ended = run("keys", "set", "zai", input=f"{KEY}\n")
    assert ended.exit_code == 1
    assert ended.stderr.startswith("Cannot write ")


def test_keys_are_beside_the_configuration_that_a_variable_names(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container: there `${file:keys/zai}` of the file means this place."""
    monkeypatch.setenv("CCRELAY_CONFIG", str(home / "own" / "config.yaml"))
    assert run("keys", "set", "zai", input=f"{KEY}\n").exit_code == 0
    assert (home / "own" / "keys" / "zai").read_text() == f"{KEY}\n"
    assert run("keys", "forget", "zai").exit_code == 0
    assert not (home / "own" / "keys" / "zai").exists()
