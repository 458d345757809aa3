"""Entries of the keychain, through the real child process: with a fake backend, and headless."""

import json
import os
import sys
from pathlib import Path

import pytest

from ccrelay.config import keychain
from ccrelay.config.expand import SecretError
from ccrelay.config.keychain import (
    KeychainError,
    delete_entry,
    problem_of,
    read_entry,
    write_entry,
)
from ccrelay.config.sources import system_sources
from tests.child import child_environment
from tests.keychains import variables

SECRET = "test-key-of-the-keychain"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child imports `tests`, too."""
    for place in reversed(child_environment()["PYTHONPATH"].split(os.pathsep)):
        monkeypatch.syspath_prepend(place)


def plain() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}


def env(folder: Path, fault: str = "") -> dict[str, str]:
    pytest.importorskip("keyring")
    return plain() | variables(folder, fault)


def failure(call, *arguments: object, **named: object) -> KeychainError:
    with pytest.raises(KeychainError) as caught:
        call(*arguments, **named)
    assert SECRET not in str(caught.value)
    assert "canary" not in str(caught.value)
    return caught.value


def test_an_entry_is_written_read_and_removed(tmp_path: Path) -> None:
    here = env(tmp_path)
    write_entry("zai", SECRET, here)
    assert json.loads((tmp_path / "keychain.json").read_text()) == {"ccrelay/zai": SECRET}
    assert read_entry("zai", here) == SECRET
    delete_entry("zai", here)
    assert failure(read_entry, "zai", here).why == "missing"


def test_a_missing_entry_names_the_command_that_makes_it(tmp_path: Path) -> None:
    error = failure(read_entry, "zai", env(tmp_path))
    assert str(error) == ('the keychain has no entry "zai": make it with `ccrelay keys set zai`')
    assert failure(delete_entry, "zai", env(tmp_path)).why == "missing"


def test_a_machine_without_a_keychain_is_told_what_to_do_instead() -> None:
    pytest.importorskip("keyring")
    here = plain() | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    for call in (read_entry, delete_entry):
        error = failure(call, "zai", here)
        assert error.why == "no_backend"
        assert "${file:/path}" in str(error)
    assert "no keychain here" in problem_of(here)


def test_a_null_backend_is_none() -> None:
    pytest.importorskip("keyring")
    here = plain() | {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    assert "no keychain here" in problem_of(here)


def test_a_missing_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "keyring.py").write_text("raise ImportError\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    # Before what else is on the path, as the child has it.
    monkeypatch.setattr(
        keychain, "child_environment", lambda env: {**env, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    error = failure(read_entry, "zai", plain())
    assert error.why == "no_library"
    assert "pip install 'ccrelay-proxy[keyring]'" in str(error)


def test_a_backend_may_print(tmp_path: Path) -> None:
    write_entry("zai", SECRET, env(tmp_path, "chatty"))
    assert read_entry("zai", env(tmp_path, "chatty")) == SECRET


@pytest.mark.parametrize(("fault", "why"), [("locked", "locked"), ("broken", "failed")])
def test_a_failing_keychain_is_an_error_without_its_words(
    tmp_path: Path, fault: str, why: str
) -> None:
    error = failure(read_entry, "zai", env(tmp_path, fault))
    assert error.why == why
    assert problem_of(env(tmp_path, fault)) == str(error)


def test_a_keychain_that_waits_for_somebody_has_a_limit(tmp_path: Path) -> None:
    error = failure(read_entry, "zai", env(tmp_path, "slow"), timeout_s=1.5)
    assert error.why == "timeout"
    assert "1.5 s" in str(error)


def test_a_child_that_does_not_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keychain, "MODULE", "ccrelay.no_such_module")
    assert failure(read_entry, "zai", plain()).why == "failed"


@pytest.mark.parametrize("name", ["", "a b", "../up", "-a", "a" * 65, "a\nb"])
def test_a_name_that_is_none_is_refused_before_anything_is_asked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keychain, "MODULE", "ccrelay.no_such_module")
    assert "is no name" in str(failure(read_entry, name, plain()))


def test_the_source_of_values_reads_it(tmp_path: Path) -> None:
    here = env(tmp_path)
    write_entry("zai", f"{SECRET}\n", here)
    sources = system_sources(here, tmp_path)
    assert sources.read_keychain("zai") == SECRET
    with pytest.raises(SecretError, match="ccrelay keys set other"):
        sources.read_keychain("other")
