"""`ccrelay statusline`: one line for Claude Code's `statusLine` setting.

Claude Code runs it again and again, so it imports next to nothing, not even `typing`, and asks once
over the socket of the relay. Whatever goes wrong, it prints an empty line in time and exits with 0:
a status line is no place for errors.
"""

from __future__ import annotations

import json
import os
import select
import socket
import stat
import time

from ccrelay.cli.statusline_text import line_of, width_of

TYPE_CHECKING = False  # as in `typing`
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

LIMIT_S = 0.14  # for everything but the start of Python
INPUT_S = 0.08  # of it for Claude Code's JSON
INPUT_MAX = 1 << 20
ANSWER_MAX = 1 << 16
SESSION_MAX = 256
SUFFIX = ".sock"
SHARED = "/tmp"
SEVERAL = "ccrelay: several relays run, set CCRELAY_SOCKET"
_IN_SESSION = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:")


def main(arguments: Sequence[str] = (), env: Mapping[str, str] = os.environ) -> None:
    """Print the line. `arguments`: `--socket PATH`, or nothing. Never raises, never exits."""
    ends_at = time.monotonic() + LIMIT_S
    try:
        line = _line(arguments, env, ends_at)
    except Exception:  # outermost shell: whatever it is, the line is empty
        line = ""
    try:
        os.write(1, f"{line}\n".encode("utf-8", "replace"))
    except OSError:
        pass  # the reader has gone


def _line(arguments: Sequence[str], env: Mapping[str, str], ends_at: float) -> str:
    told = _told(min(ends_at, time.monotonic() + INPUT_S))
    session = told.get("session_id")
    session = session if isinstance(session, str) else ""
    if not _IN_SESSION.issuperset(session):
        session = ""
    chosen = _option(arguments, "--socket") or env.get("CCRELAY_SOCKET", "")
    paths = [chosen] if chosen else _sockets(env)
    found: list[socket.socket] = []
    try:
        found = _connected(paths, _port(env), ends_at)
        if len(found) > 1:
            return SEVERAL
        if not found:
            return ""
        answer = _ask(found[0], session[:SESSION_MAX], ends_at)
    finally:
        for sock in found:
            sock.close()
    colour = not env.get("NO_COLOR") and env.get("TERM") != "dumb"
    return line_of(answer, told, time.time() * 1000, width_of(env), colour=colour)


def _option(arguments: Sequence[str], name: str) -> str:
    for at, argument in enumerate(arguments):
        if argument == name:
            return arguments[at + 1] if at + 1 < len(arguments) else ""
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    return ""


# ---- Claude Code's input


def _told(ends_at: float) -> dict[str, Any]:
    """What Claude Code tells; empty: nothing that can be read, or not in time."""
    data = b""
    try:
        if os.isatty(0):
            return {}
        while len(data) < INPUT_MAX:
            ready, _, _ = select.select([0], [], [], max(ends_at - time.monotonic(), 0.0))
            piece = os.read(0, 65_536) if ready else b""
            if not piece:
                break
            data += piece
        told = json.loads(data)
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


# ---- which relay


def folders(env: Mapping[str, str], uid: int) -> list[str]:
    """The folders of sockets, as `ccrelay.config.places` has them, without its imports."""
    found = []
    runtime = env.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        found.append(os.path.join(runtime, "ccrelay"))
    state, home = env.get("STATE_DIRECTORY", "").partition(":")[0], env.get("HOME", "")
    if not os.path.isabs(state):
        state = env.get("XDG_STATE_HOME", "")
        state = os.path.join(state, "ccrelay") if os.path.isabs(state) else ""
    if not state and os.path.isabs(home):
        state = os.path.join(home, ".local", "state", "ccrelay")
    if state:
        found.append(os.path.join(state, "run"))
    return [*found, f"{SHARED}/ccrelay-{uid}"]


def _sockets(env: Mapping[str, str]) -> list[str]:
    """Sockets that may be those of relays of this user."""
    uid = os.geteuid()
    found: dict[tuple[int, int], str] = {}
    for folder in folders(env, uid):
        try:
            if os.path.dirname(folder) == SHARED and not _is_own(folder, uid):
                continue
            # A relay that starts listens at a name with a dot before it, until it gets its own.
            names = sorted([name for name in os.listdir(folder) if name[:1] != "."])
        except OSError:
            continue
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.stat(path)
            except OSError:
                continue
            if stat.S_ISSOCK(status.st_mode):
                found.setdefault((status.st_dev, status.st_ino), path)
    return list(found.values())


def _is_own(folder: str, uid: int) -> bool:
    status = os.lstat(folder)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid and not status.st_mode & 0o022


def _port(env: Mapping[str, str]) -> str:
    """The port that Claude Code sends its requests to; empty: not known."""
    _, _, rest = env.get("ANTHROPIC_BASE_URL", "").partition("://")
    _, _, port = rest.partition("/")[0].rpartition(":")
    return port if port.isdecimal() else ""


def _connected(paths: Sequence[str], port: str, ends_at: float) -> list[socket.socket]:
    """Connections to relays that run: to the one that Claude Code uses, else to all.

    A socket has the port of its relay in its name.
    """
    # `8787.sock`, or `8787-PID.sock` where another relay has that name.
    own = [path for path in paths if port and _port_of(path) == port]
    found = [sock for path in own if (sock := _connection(path, ends_at)) is not None]
    if found:
        return found
    others = (path for path in paths if path not in own)
    return [sock for path in others if (sock := _connection(path, ends_at)) is not None]


def _port_of(path: str) -> str:
    name, _, _ = os.path.basename(path).partition(".")
    return name.partition("-")[0]


def _connection(path: str, ends_at: float) -> socket.socket | None:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(max(ends_at - time.monotonic(), 0.001))
        sock.connect(path)
    except OSError:
        sock.close()
        return None
    return sock


# ---- the question


def _ask(sock: socket.socket, session: str, ends_at: float) -> dict[str, Any]:
    """The relay's answer. Raises OSError, ValueError: there is none that can be used."""
    lines = f"GET /statusline?session={session} HTTP/1.1\r\nhost: localhost\r\n"
    sock.sendall(f"{lines}connection: close\r\n\r\n".encode())
    data = b""
    while len(data) < ANSWER_MAX:
        left_s = ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        piece = sock.recv(65_536)
        if not piece:
            break
        data += piece
        if _is_whole(data):
            break
    head, _, body = data.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"200"]:
        raise ValueError("no answer")
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("no answer")
    return answer


def _is_whole(data: bytes) -> bool:
    """Whether all of an answer has come; some relays may leave the connection open."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return len(body) >= int(value)
    return False
