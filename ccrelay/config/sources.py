"""Reads `${file:...}` and `${keyring:...}`, and runs `${cmd:...}`, with limits.

Besides `ccrelay.config.load` the only module of this package with I/O. Messages name the file or
program, never its output.
"""

import os
import selectors
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from ccrelay.config.command_environment import command_environment, keychain_environment
from ccrelay.config.expand import SecretError, Sources
from ccrelay.config.files import Untrusted, open_trusted
from ccrelay.config.ownership import ROOT_UID, are_checks_on
from ccrelay.config.problems import quoted, quoted_path

SECRET_BYTES_MAX = 65_536  # larger files and outputs are errors
COMMAND_TIMEOUT_S = 10.0


def system_sources(
    env: Mapping[str, str],
    directory: Path,
    *,
    timeout_s: float = COMMAND_TIMEOUT_S,
    withheld: Collection[str] = (),
) -> Sources:
    """Return the sources of this machine.

    Args:
        env: variables for `${VAR}`, `~` and, a part of them, commands.
        directory: base of relative paths and working directory of commands: that of the
            configuration file.
        timeout_s: time limit of a command.
        withheld: variables that commands do not get (`ccrelay.config.command_environment`).
    """

    def read_file(text: str) -> str:
        return _read_file(_path(text, env, directory), env)

    def run_command(text: str) -> str:
        return _run_command(text, command_environment(env, withheld), directory, timeout_s)

    def read_keychain(name: str) -> str:
        return _read_keychain(name, env, withheld)

    return Sources(env, read_file, run_command, read_keychain)


def _read_keychain(name: str, env: Mapping[str, str], withheld: Collection[str]) -> str:
    # Imported here: most configurations name no entry.
    from ccrelay.config.keychain import KeychainError, read_entry

    try:
        secret = read_entry(name, keychain_environment(env, withheld))
    except KeychainError as error:
        raise SecretError(str(error)) from None
    return _text(secret.encode(), "the keychain entry " + quoted(name))


def _path(text: str, env: Mapping[str, str], directory: Path) -> Path:
    if not text or "\0" in text:
        raise SecretError("${file:...} has no path")
    if text.startswith("~/") and env.get("HOME"):
        return Path(env["HOME"], text[2:])
    return directory / text


def _read_file(path: Path, env: Mapping[str, str]) -> str:
    name = quoted_path(os.path.abspath(path))
    try:
        descriptor = open_trusted(path, env)
    except Untrusted as error:
        raise SecretError(f"the secret file {name} is refused: {error}") from None
    except OSError as error:
        raise SecretError(f"cannot read the secret file {name}: {error.strerror}") from None
    try:
        _check_status(os.fstat(descriptor), name, is_private=are_checks_on(env))
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise SecretError(f"cannot read the secret file {name}: {error.strerror}") from None
    finally:
        os.close(descriptor)
    return _text(data, f"the secret file {name}")


def _check_status(status: os.stat_result, name: str, *, is_private: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"the secret file {name} is not a regular file")
    mode = stat.S_IMODE(status.st_mode)
    # What root shares with a group is for the services in it: systemd, Kubernetes, ssl-cert.
    is_shared_by_root = status.st_uid == ROOT_UID != os.geteuid()
    if is_private and mode & (0o137 if is_shared_by_root else 0o177):
        message = f"the secret file {name} has mode {mode:04o}; it must be 0600 or stricter"
        raise SecretError(f"{message} (chmod 600)")


def _run_command(text: str, env: Mapping[str, str], directory: Path, timeout_s: float) -> str:
    try:
        arguments = shlex.split(text)
    except ValueError as error:
        raise SecretError(f"invalid quoting in the command: {error}") from None
    if not arguments:
        raise SecretError("${cmd:...} has no program")
    name = f"the command {quoted_path(arguments[0])}"  # its arguments may be secret
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it may contain the secret
            cwd=directory,
            env=dict(env),
            start_new_session=True,  # so that its children can be killed with it
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "null byte in an argument"
        raise SecretError(f"cannot run {name}: {reason}") from None
    return _text(_collect(process, name, timeout_s), f"the output of {name}")


def _collect(process: "subprocess.Popen[bytes]", name: str, timeout_s: float) -> bytes:
    """Return the output of the process when it succeeds; otherwise kill it and raise."""
    deadline = time.monotonic() + timeout_s
    try:
        with process:  # closes the pipe and reaps the process
            try:
                data = _read_pipe(process, name, deadline)
                code = process.wait(max(deadline - time.monotonic(), 0.01))
            except BaseException:
                _end(process)
                raise
    except subprocess.TimeoutExpired:
        raise SecretError(f"{name} timed out after {timeout_s:g} s") from None
    if code != 0:
        how = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise SecretError(f"{name} failed with {how}")
    return data


def _read_pipe(process: "subprocess.Popen[bytes]", name: str, deadline: float) -> bytes:
    pipe = process.stdout
    assert pipe is not None
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while len(data) <= SECRET_BYTES_MAX:
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise subprocess.TimeoutExpired(process.args, 0)
            chunk = os.read(pipe.fileno(), SECRET_BYTES_MAX + 1)
            if not chunk:
                return data
            data += chunk
    raise SecretError(f"the output of {name} is larger than {SECRET_BYTES_MAX} bytes")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the process group of the process, which has its own session."""
    if process.returncode is not None:
        return  # reaped already: the pid may belong to another process
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # exited already; macOS returns EPERM for a zombie


def _text(data: bytes, what: str) -> str:
    if len(data) > SECRET_BYTES_MAX:
        raise SecretError(f"{what} is larger than {SECRET_BYTES_MAX} bytes")
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        raise SecretError(f"{what} is not UTF-8 text") from None
    if not text:
        raise SecretError(f"{what} is empty")
    return text
