"""What the child does with one request; that it is a process of its own shows in test_keychain."""

import subprocess
import sys

import pytest

from ccrelay.config.keychain_child import answer
from tests.child import PROGRAM, child_environment

pytest.importorskip("keyring")


def test_an_unknown_failure_is_told_by_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring

    class Strange:
        priority = 5

        def get_password(self, service: str, name: str) -> str:
            raise ZeroDivisionError("canary")

    monkeypatch.setattr(keyring, "get_keyring", Strange)
    monkeypatch.setattr(keyring, "get_password", Strange().get_password)
    request = {"action": "get", "service": "ccrelay", "name": "a", "secret": ""}
    assert answer(request) == {"why": "failed", "detail": "ZeroDivisionError"}


def test_nothing_but_the_answer_is_written() -> None:
    done = subprocess.run(
        [*PROGRAM[:-1], "-m", "ccrelay.config.keychain_child"],
        input='{"action": "get", "service": "ccrelay", "name": "a", "secret": ""}',
        env={
            **child_environment(),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == '{"why": "no_backend"}'


def test_the_parent_does_without_the_library() -> None:
    code = "import sys, ccrelay.config.keychain; assert 'keyring' not in sys.modules"
    subprocess.run(
        [*PROGRAM, code], env=child_environment(), timeout=60, check=True, cwd=sys.prefix
    )
