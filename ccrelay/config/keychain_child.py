"""The process that asks the keychain: one request on standard input, one answer on output.

Both are JSON. The answer has `secret`, or `why` it failed (`ccrelay.config.keychain.Why`) and, as
`detail`, the class of the error: messages of libraries may hold anything.
"""

import json
import os
import sys
from typing import Any

from ccrelay._fast.hardening import set_dumpable

MESSAGE_BYTES_MAX = 1 << 17


def answer(request: dict[str, str]) -> dict[str, Any]:
    """Do what a request asks."""
    try:
        import keyring
        import keyring.errors
    except ImportError:
        return {"why": "no_library"}
    service, name = request["service"], request["name"]
    try:
        is_chosen = bool(os.environ.get("PYTHON_KEYRING_BACKEND"))
        # Below 1: none at all, or a file in plain text, unless the user wants just that.
        if keyring.get_keyring().priority < (0.1 if is_chosen else 1):
            return {"why": "no_backend"}
        return _done(keyring, request["action"], service, name, request["secret"])
    except keyring.errors.NoKeyringError:
        return {"why": "no_backend"}
    except keyring.errors.PasswordDeleteError:
        return {"why": "missing"}
    except keyring.errors.KeyringLocked:
        return {"why": "locked"}
    except Exception as error:  # outermost shell: backends raise what their services raise
        return {"why": "failed", "detail": type(error).__name__}


def _done(keyring: Any, action: str, service: str, name: str, secret: str) -> dict[str, Any]:
    if action == "set":
        keyring.set_password(service, name, secret)
    elif action == "delete":
        keyring.delete_password(service, name)
    else:
        found = keyring.get_password(service, name)  # `probe`: whether this can be asked at all
        if action == "get":
            return {"secret": found} if found else {"why": "missing"}
    return {}


def main() -> None:
    """Answer one request."""
    if os.environ.get("CCRELAY_DUMPABLE") != "1":
        set_dumpable(False)
    request = json.loads(sys.stdin.buffer.read(MESSAGE_BYTES_MAX))
    with open(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # backends print what they like
        json.dump(answer(request), out)


if __name__ == "__main__":
    main()
