"""Entries of the operating system's keychain, for `${keyring:NAME}`.

The library `keyring` (extra `keyring`) is loaded in a child process only: it is large, it may ask
the user to unlock something for as long as it likes, and a child can be ended. Secrets go through
pipes, never through arguments.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ccrelay.config.problems import quoted

SERVICE = "ccrelay"  # all entries are filed under it
TIMEOUT_S = 15.0  # a person may have to type a password
MODULE = "ccrelay.config.keychain_child"
INSTALL = "pip install 'ccrelay-proxy[keyring]'"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")

Action = Literal["get", "set", "delete", "probe"]
# Why an action failed, as the child says it.
Why = Literal["missing", "no_library", "no_backend", "locked", "failed", "timeout"]


class KeychainError(Exception):
    """The keychain cannot be used, or has no such entry. `str()` is one sentence without secrets.

    Args:
        message: what happened, and what to do.
        why: the kind.
    """

    def __init__(self, message: str, why: Why) -> None:
        super().__init__(message)
        self.why = why


def read_entry(name: str, env: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> str:
    """Return the secret of an entry.

    Args:
        name: of the entry, as `NAME` allows it.
        env: of the child process.
        timeout_s: time limit.

    Raises:
        KeychainError: it cannot be had.
    """
    secret: str = _ask("get", name, "", env, timeout_s)["secret"]
    return secret


def write_entry(
    name: str, secret: str, env: Mapping[str, str], *, timeout_s: float = TIMEOUT_S
) -> None:
    """Keep a secret under a name, in place of what is there. Raises KeychainError."""
    _ask("set", name, secret, env, timeout_s)


def delete_entry(name: str, env: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> None:
    """Remove an entry. Raises KeychainError, also where there is none (`why` is `missing`)."""
    _ask("delete", name, "", env, timeout_s)


def problem_of(env: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> str:
    """Why the keychain cannot be used here, one sentence; empty: it can."""
    try:
        _ask("probe", "probe", "", env, timeout_s)
    except KeychainError as error:
        return str(error)
    return ""


def _ask(
    action: Action, name: str, secret: str, env: Mapping[str, str], timeout_s: float
) -> dict[str, Any]:
    if not NAME.match(name):
        raise KeychainError(
            f"{quoted(name)} is no name of a keychain entry: 1 to 64 letters, digits, '.', '_' "
            "or '-'",
            "failed",
        )
    request = json.dumps({"action": action, "service": SERVICE, "name": name, "secret": secret})
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", MODULE],
            input=request.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # of a library: it may say anything
            env=child_environment(env),
            timeout=timeout_s,
            start_new_session=True,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise KeychainError(
            f"the keychain did not answer within {timeout_s:g} s: unlock it, and try again",
            "timeout",
        ) from None
    except (OSError, ValueError):
        raise KeychainError("the process that asks the keychain has failed", "failed") from None
    if "why" in answer:
        raise KeychainError(_sentence(answer, name), answer["why"])
    return answer


def child_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of the child: `env`, and where this package is."""
    root = str(Path(__file__).parents[2])  # an editable install may not have it on the path
    path = [root, *(place for place in sys.path if place)]
    return {**env, "PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}


def _sentence(answer: Mapping[str, Any], name: str) -> str:
    match answer["why"]:
        case "missing":
            return (
                f"the keychain has no entry {quoted(name)}: make it with `ccrelay keys set {name}`"
            )
        case "no_library":
            return f"the keychain needs a library that is not installed: {INSTALL}"
        case "no_backend":
            return (
                "there is no keychain here, as on most servers and in containers: keep the key in "
                "a file of mode 0600 (${file:/path}) or in a variable (${NAME})"
            )
        case "locked":
            return "the keychain is locked: unlock it, and try again"
        case _:
            return f"the keychain has failed ({answer.get('detail', 'unknown')})"
