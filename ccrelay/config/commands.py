"""Decides over the `${cmd:...}` and `${keyring:...}` of one load: run or ask, leave out, or refuse
what is new."""

import shlex
from collections.abc import Callable, Container

from ccrelay.config.expand import SecretError
from ccrelay.config.problems import quoted_path

NEW_COMMAND = (
    "is new, and a change of the file does not run new ones: send SIGHUP to apply it, or restart"
)


class Commands:
    """Stands before the function that runs commands. `seen`: the commands that were asked for.

    Args:
        run: runs a command and returns its output.
        are_run: False: each command has a placeholder as its output.
        known: with `are_run`, the only commands that may run; None: all.
    """

    def __init__(
        self, run: Callable[[str], str], *, are_run: bool, known: Container[str] | None
    ) -> None:
        self.seen: list[str] = []
        self._run = run
        self._are_run = are_run
        self._known = known

    def __call__(self, text: str) -> str:
        """Return the output of a command. Raises SecretError."""
        self.seen.append(text)
        if not self._are_run:
            # One per command, as one command has one output: two keys may be the same.
            return f"command-not-run-{self.seen.index(text)}"
        if self._known is not None and text not in self._known:
            raise SecretError(f"the command {program(text)} {NEW_COMMAND}")
        return self._run(text)


class Keychain:
    """Stands before the function that reads entries of the keychain, which may ask the user.

    Args:
        read: returns the secret of an entry.
        is_asked: False: each entry has a placeholder as its secret.
    """

    def __init__(self, read: Callable[[str], str], *, is_asked: bool) -> None:
        self._read = read
        self._is_asked = is_asked
        self._seen: list[str] = []

    def __call__(self, name: str) -> str:
        """Return the secret of an entry. Raises SecretError."""
        if self._is_asked:
            return self._read(name)
        if name not in self._seen:
            self._seen.append(name)
        return f"keychain-not-asked-{self._seen.index(name)}"


def program(text: str) -> str:
    """Return the quoted name of a command's program; its arguments may be secret."""
    try:
        arguments = shlex.split(text)
    except ValueError:
        return '"?"'
    return quoted_path(arguments[0]) if arguments else '""'
