"""Where the relay keeps its files: the folder of its state, and the folders of its Unix socket.

The command line looks for a running relay where the supervisor puts the socket, so that both ask
here. Nothing is created but by `make_private`.
"""

import errno
import os
from collections.abc import Mapping
from pathlib import Path

SOCKET_SUFFIX = ".sock"
SHARED = Path("/tmp")  # others may make folders there: whose one is has to be looked at


def state_folder(env: Mapping[str, str]) -> Path | None:
    """The folder of the ledger, of tokens and keys; None when the environment names none.

    `$STATE_DIRECTORY` (systemd's StateDirectory=), else `$XDG_STATE_HOME/ccrelay`, else
    `~/.local/state/ccrelay`. Relative paths are ignored, as the XDG Base Directory Specification
    asks.
    """
    state = env.get("STATE_DIRECTORY", "").partition(":")[0]
    if os.path.isabs(state):
        return Path(state)
    state = env.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):
        return Path(state, "ccrelay")
    home = env.get("HOME", "")
    return Path(home, ".local", "state", "ccrelay") if os.path.isabs(home) else None


def make_private(folder: Path) -> None:
    """Make a folder and those above it that are missing, all 0700. Raises OSError.

    With `parents`, `Path.mkdir` would make those above it with the mode that the umask leaves.
    """
    if folder.is_dir():
        return
    make_private(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():  # else another process was faster
            raise NotADirectoryError(
                errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)
            ) from None


def socket_folders(env: Mapping[str, str], uid: int) -> list[Path]:
    """The folders that the Unix socket may be in, best first.

    `$XDG_RUNTIME_DIR/ccrelay`, `run` in the folder of the state, and a short one for where those
    are missing, or too long for the address of a socket.
    """
    folders = []
    runtime = env.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        folders.append(Path(runtime, "ccrelay"))
    if state := state_folder(env):
        folders.append(state / "run")
    return [*folders, SHARED / f"ccrelay-{uid}"]


def socket_name(port: int, pid: int | None = None) -> str:
    """The name of the socket of the relay that listens on `port`.

    `pid`: of the supervisor, where another relay with that port has the plain name.
    """
    return f"{port}{SOCKET_SUFFIX}" if pid is None else f"{port}-{pid}{SOCKET_SUFFIX}"
