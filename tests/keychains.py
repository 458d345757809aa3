"""Which keychain processes under test have, by the variables of the library `keyring`."""

from pathlib import Path

NONE = {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}


def variables(folder: Path, fault: str = "") -> dict[str, str]:
    """The variables that make processes use it."""
    return {
        "PYTHON_KEYRING_BACKEND": "tests.fake_keyring.Keyring",
        "PYTHON_KEYRING_FILE": str(folder / "keychain.json"),
        "PYTHON_KEYRING_FAULT": fault,
    }
