"""A keychain in a file, for processes under test: `PYTHON_KEYRING_BACKEND` names its class.

PYTHON_KEYRING_FILE names the file; PYTHON_KEYRING_FAULT is `locked`, `broken`, `slow` or `chatty`.
"""

import json
import os
import time
from pathlib import Path

import keyring.backend
import keyring.errors


class Keyring(keyring.backend.KeyringBackend):
    """Keeps entries as JSON."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(os.environ["PYTHON_KEYRING_FILE"])

    def _entries(self) -> dict[str, str]:
        match os.environ.get("PYTHON_KEYRING_FAULT"):
            case "locked":
                raise keyring.errors.KeyringLocked("canary in a message")
            case "broken":
                raise RuntimeError("canary in a message")
            case "slow":
                time.sleep(60)
            case "chatty":
                print("Opening the keychain.", flush=True)
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service: str, username: str) -> str | None:
        return self._entries().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self.path.write_text(json.dumps(self._entries() | {f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        entries = self._entries()
        if entries.pop(f"{service}/{username}", None) is None:
            raise keyring.errors.PasswordDeleteError("canary in a message")
        self.path.write_text(json.dumps(entries))
