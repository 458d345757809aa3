"""The commands' way to the running relay: which one, and failures as exit codes."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, TypeVar

import click

from ccrelay.cli import exit_codes
from ccrelay.cli.output import echo

TIMEOUT_S = 10.0
SOCKET_VARIABLE = "CCRELAY_SOCKET"

R = TypeVar("R")

# What follows from a status of gRPC, where it is not that something failed.
_CODES = {
    "INVALID_ARGUMENT": exit_codes.USAGE,
    "OUT_OF_RANGE": exit_codes.USAGE,
}


class Failed(click.ClickException):
    """Ends a command: a message on standard error and an exit code.

    Args:
        message: one sentence that says what to do; may come from the relay.
        exit_code: one of `ccrelay.cli.exit_codes`.
        code: status of gRPC; empty: there was no call.
    """

    def __init__(self, message: str, exit_code: int = exit_codes.FAILED, code: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance
        self.code = code

    def show(self, file: Any = None) -> None:
        """Print the message."""
        echo(self.message, err=True)


class Caller(Protocol):
    """What makes calls: `ccrelay.control.client.Client`, or a fake."""

    def call(
        self,
        method: str,
        request: Any,
        response_type: type[R],
        timeout_s: float | None = ...,
    ) -> R:
        """Make a call with one answer; raises ControlError."""
        ...

    def stream(
        self,
        method: str,
        request: Any,
        response_type: type[R],
        timeout_s: float | None = ...,
    ) -> Any:
        """Make a call with many answers: an iterator and context manager; raises ControlError."""
        ...


class Relay:
    """Calls of the running relay, whose failures end the command.

    Args:
        socket: path of its socket, as the user named it; None: it is looked for.
        env: where it is looked for.
    """

    def __init__(self, socket: str | None = None, env: Mapping[str, str] = os.environ) -> None:
        self._env = {**env, SOCKET_VARIABLE: socket} if socket else env
        self._client: Caller | None = None

    def call(
        self,
        method: str,
        request: Any,
        response_type: type[R],
        timeout_s: float | None = TIMEOUT_S,
    ) -> R:
        """Call `Relay/GetStatus` or another method.

        Raises:
            Failed: no relay runs, or the call failed.
        """
        from ccrelay.control.client import ControlError

        try:
            return self._connected().call(method, request, response_type, timeout_s)
        except ControlError as error:
            raise failed(error) from None

    def stream(self, method: str, request: Any, response_type: type[R]) -> Iterator[R]:
        """Iterate over the answers of a call. Closing the iterator ends the call.

        Raises:
            Failed: no relay runs, or the call failed, now or later.
        """
        from ccrelay.control.client import ControlError

        try:
            with self._connected().stream(method, request, response_type) as answers:
                yield from answers
        except ControlError as error:
            raise failed(error) from None

    def _connected(self) -> Caller:
        if self._client is None:
            self._client = connect(self._env)
        return self._client

    def another(self) -> "Relay":
        """Return another one for a thread of its own."""
        made = Relay()
        made._env = self._env
        return made

    def forget(self) -> None:
        """Look for the relay again with the next call: it was started again."""
        self._client = None


def connect(env: Mapping[str, str]) -> Caller:
    """Return the client of the relay that runs; raises ControlError."""
    from ccrelay.control.client import Client, find_socket

    return Client(find_socket(env))


def failed(error: Exception) -> Failed:
    """Return a failure of `ccrelay.control.client` as the end of a command."""
    from ccrelay.control.client import CallFailed, NoRelay, SeveralRelays

    if isinstance(error, NoRelay):
        return Failed(str(error), exit_codes.NO_RELAY)
    if isinstance(error, SeveralRelays):
        return Failed(str(error), exit_codes.USAGE)
    if isinstance(error, CallFailed):
        message = str(error)
        if error.code == "UNIMPLEMENTED":
            message = "The running relay cannot do this yet: upgrade it (kill -USR2, or restart)."
        return Failed(message, _CODES.get(error.code, exit_codes.FAILED), error.code)
    return Failed(str(error))
