"""The listeners of the management plane: a Unix socket and a TCP address.

The supervisor binds them and keeps them, so that they last over restarts of the manager: a
connection that is made meanwhile waits. Both are handed over at an upgrade.

The socket is bound under another name, and renamed when it listens: what has the name of a socket
and refuses connections is left over, and is replaced.
"""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ccrelay.config.address import join_address, split_listen
from ccrelay.config.files import open_trusted
from ccrelay.config.model import Management
from ccrelay.config.places import SOCKET_SUFFIX, make_private, socket_folders, socket_name
from ccrelay.runtime import listeners
from ccrelay.types import LogSink

DEFAULT_LISTEN = "127.0.0.1:8789"
ADDRESS_BYTES_MAX = 103  # sun_path has 108 on Linux and 104 on macOS, with the 0 at its end
CONNECT_LIMIT_S = 0.5  # a listener that is stopped, or whose queue is full, counts as alive
BACKLOG = 128
SWEPT_MAX = 100  # sockets of killed relays that are looked at


class DoorsHandover(msgspec.Struct, frozen=True):
    """Doors that go to the next image: descriptor numbers, -1 where there is none.

    `identity` is that of the socket's file, device and inode; `configured` is management.listen.
    """

    unix: int
    tcp: int
    path: str
    listen: str
    identity: tuple[int, int] = (0, 0)
    configured: str | None = None


class Doors:
    """The listeners of the management plane; each may be missing.

    Args:
        unix: listens at `path`.
        path: of the Unix socket; empty: there is none.
        identity: device and inode of its file.
        tcp: listens at `listen`.
        listen: the address, with the port that was really bound; empty: there is none.
        configured: management.listen.
    """

    def __init__(
        self,
        unix: socket.socket | None = None,
        path: str = "",
        identity: tuple[int, int] = (0, 0),
        tcp: socket.socket | None = None,
        listen: str = "",
        configured: str | None = None,
    ) -> None:
        self.unix = unix
        self.path = path
        self.tcp = tcp
        self.listen = listen
        self._identity = identity
        self._configured = configured

    @classmethod
    def open(cls, settings: Management, port: int, env: Mapping[str, str], log: LogSink) -> "Doors":
        """Bind both for a relay whose first listener has `port`.

        Without a folder for the Unix socket, or a free port where none is configured, the door is
        missing and `log` says so. Raises ListenError when the configured address cannot be bound.
        """
        tcp, listen = _bind_tcp(settings.listen, port, log)
        try:
            unix, path, identity = _bind_unix(port, env, log)
        except BaseException:
            if tcp is not None:
                tcp.close()
            raise
        return cls(unix, path, identity, tcp, listen, settings.listen)

    def descriptors(self) -> list[int]:
        """Those of the listeners there are, the Unix socket first."""
        return [sock.fileno() for sock in (self.unix, self.tcp) if sock is not None]

    def handover(self) -> DoorsHandover:
        """What the next image needs."""
        unix, tcp = (-1 if sock is None else sock.fileno() for sock in (self.unix, self.tcp))
        return DoorsHandover(unix, tcp, self.path, self.listen, self._identity, self._configured)

    @classmethod
    def restore(
        cls,
        handed: DoorsHandover | None,
        settings: Management,
        port: int,
        env: Mapping[str, str],
        log: LogSink,
    ) -> "Doors":
        """The doors of the previous image; others where the settings ask for it.

        An address that cannot be bound is reported: the relay goes on without it.
        """
        previous = cls() if handed is None else _inherited(handed)
        if handed is not None and settings.enabled and settings.listen == handed.configured:
            return previous
        previous.close()
        if not settings.enabled:
            return cls()
        try:
            return cls.open(settings, port, env, log)
        except listeners.ListenError as error:
            log.event("error", "management_listen_failed", error=str(error))
        unix, path, identity = _bind_unix(port, env, log)
        return cls(unix, path, identity, configured=settings.listen)

    def close(self) -> None:
        """Close both, and remove the socket's file unless another relay has replaced it."""
        for sock in (self.unix, self.tcp):
            if sock is not None:
                sock.close()
        self.unix = self.tcp = None
        if self.path and _identity(self.path) == self._identity:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
        self.path = self.listen = ""


def _inherited(handed: DoorsHandover) -> Doors:
    unix, tcp = (None if fd < 0 else socket.socket(fileno=fd) for fd in (handed.unix, handed.tcp))
    for sock in (unix, tcp):
        if sock is not None:
            sock.setblocking(False)
    return Doors(unix, handed.path, handed.identity, tcp, handed.listen, handed.configured)


# ---- TCP


def _bind_tcp(configured: str | None, port: int, log: LogSink) -> tuple[socket.socket | None, str]:
    if configured is not None:
        return _bound(configured)
    host, default_port = split_listen(DEFAULT_LISTEN)
    taken: listeners.ListenError | None = None
    if port != default_port:
        try:
            return _bound(DEFAULT_LISTEN)
        except listeners.ListenError as error:
            taken = error
    try:
        sock, listen = _bound(join_address(host, 0))
    except listeners.ListenError as error:
        log.event("warning", "management_listen_failed", error=str(taken or error))
        return None, ""
    hint = "set management.listen to an address that is free to keep one"
    log.event("info", "management_port_taken", listen=listen, wanted=DEFAULT_LISTEN, hint=hint)
    return sock, listen


def _bound(listen: str) -> tuple[socket.socket, str]:
    """The first address of a host: browsers and scrapers need no second one."""
    try:
        ((sock, *more),) = listeners.bind(listen, 1)
    except listeners.ListenError as error:
        # The text ends with an option of `serve`, which is for the other listener.
        text = str(error).replace("ccrelay serve --listen ", "management.listen = ")
        raise listeners.ListenError(f"management.listen: {text}") from error
    listeners.close([more])
    return sock, join_address(*sock.getsockname()[:2])


# ---- the Unix socket


def _bind_unix(
    port: int, env: Mapping[str, str], log: LogSink
) -> tuple[socket.socket | None, str, tuple[int, int]]:
    problems = []
    for folder in socket_folders(env, os.geteuid()):
        try:
            _prepare(folder, env)
            _sweep(folder)
            sock, path = _listen(folder, port)
        except OSError as error:
            reason = error.strerror if error.errno and error.strerror else str(error)
            problems.append(f"{folder}: {reason}")
        else:
            return sock, path, _identity(path)
    log.event(
        "warning",
        "management_socket_failed",
        problems=problems,
        hint="`ccrelay status` needs it: set XDG_RUNTIME_DIR or HOME to a folder of your own",
    )
    return None, "", (0, 0)


def _prepare(folder: Path, env: Mapping[str, str]) -> None:
    """Make the folder, 0700, unless it is there; raise OSError when others could get in."""
    if len(os.fsencode(folder / socket_name(65_535, 1 << 22))) + 1 > ADDRESS_BYTES_MAX:
        raise OSError("the path is too long for the address of a socket")
    if folder.name == "ccrelay":  # $XDG_RUNTIME_DIR itself is made by the system
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    else:
        make_private(folder)
    fd = open_trusted(folder, env)
    try:
        status = os.fstat(fd)
        if not stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(folder.lstat().st_mode):
            raise OSError("it is not a folder")
        if status.st_uid != os.geteuid():
            raise OSError(f"it belongs to user {status.st_uid}")
        if status.st_mode & 0o077:
            os.fchmod(fd, 0o700)
    finally:
        os.close(fd)


def _sweep(folder: Path) -> None:
    """Remove the sockets of relays that were killed: who looks for a relay would ask them all."""
    for path in sorted(folder.glob(f"[0-9]*{SOCKET_SUFFIX}"))[:SWEPT_MAX]:
        if _is_free(path):
            with contextlib.suppress(OSError):
                path.unlink()


def _listen(folder: Path, port: int) -> tuple[socket.socket, str]:
    draft = folder / f".{socket_name(port, os.getpid())}"
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.bind(str(draft))
        os.chmod(draft, 0o600)
        sock.listen(BACKLOG)
        path = next(
            path
            for path in (folder / socket_name(port), folder / socket_name(port, os.getpid()))
            if path.name != socket_name(port) or _is_free(path)
        )
        os.rename(draft, path)
    except BaseException:
        sock.close()
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        raise
    return sock, str(path)


def _is_free(path: Path) -> bool:
    """Whether nothing has this name, or a socket that no process listens at any more."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
    except FileNotFoundError:
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(CONNECT_LIMIT_S)
        try:
            probe.connect(str(path))
        except OSError as error:
            return error.errno == errno.ECONNREFUSED
    return False


def _identity(path: str) -> tuple[int, int]:
    """Device and inode of a file; (0, 0) when there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)
