"""The token of `management.listen`: a file that is made at the first start.

`management-token` in the folder of the state (`config.places.state_folder`), mode 0600: 32 random
bytes, URL-safe base64, one line.
"""

import contextlib
import os
import re
import secrets
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from ccrelay.config.atomic_file import create_file
from ccrelay.config.files import open_trusted
from ccrelay.config.ownership import are_checks_on
from ccrelay.config.places import make_private, state_folder

FILE = "management-token"
TOKEN_BYTES = 32
FILE_MAX = 4096
# What may stand in a header as it is; a token that a person chose must not be guessable.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{32,512}")


class TokenProblem(Exception):
    """There is no usable token. `str()` says why, and the command that mends it."""


def token_path(env: Mapping[str, str]) -> Path:
    """Return the path of the file. Raises TokenProblem where nothing says where it is."""
    if folder := state_folder(env):
        return folder / FILE
    raise TokenProblem("The token has no place: set HOME, XDG_STATE_HOME or STATE_DIRECTORY.")


def load_token(env: Mapping[str, str]) -> str:
    """Return the token; makes the file when there is none. Raises TokenProblem."""
    path = token_path(env)
    try:
        with contextlib.suppress(FileNotFoundError):
            return read_token(path, env)
        _create(path)
        return read_token(path, env)
    except OSError as error:
        raise TokenProblem(f"{path}: {error.strerror or error}") from None


def read_token(path: Path, env: Mapping[str, str]) -> str:
    """Return the token of a file that only this user can read, and only it or root can change.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read; Untrusted where others can change it.
        TokenProblem: others can read it, or it holds no token.
    """
    descriptor = open_trusted(path, env)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise TokenProblem(f"{path} is not a regular file: remove it and start the relay again")
        if status.st_mode & 0o077 and are_checks_on(env):
            mode = f"mode {stat.S_IMODE(status.st_mode):04o}"
            mend = f"chmod 600 {shlex.quote(str(path))}"
            raise TokenProblem(f"{path} can be read by others ({mode}): {mend}")
        data = os.read(descriptor, FILE_MAX)
    finally:
        os.close(descriptor)
    token = data.decode("latin-1").strip()
    if not _TOKEN.fullmatch(token):
        raise TokenProblem(
            f"{path} holds no token (32 or more letters, digits and ._~+/=-): "
            f"rm {shlex.quote(str(path))} and start the relay again"
        )
    return token


def _create(path: Path) -> None:
    make_private(path.parent)
    with contextlib.suppress(FileExistsError):  # of two that start, one wins
        create_file(path, secrets.token_urlsafe(TOKEN_BYTES).encode() + b"\n")
