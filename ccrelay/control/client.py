"""The management API for faces: gRPC-web over a plain socket, without grpc, whose import is slow.

    client = Client(find_socket(os.environ))
    status = client.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse).status
    with client.stream("Exchanges/Tail", TailRequest(), TailResponse) as answers:
        for answer in answers: ...

Every call has a connection of its own. What comes from the relay is not escaped here: who writes it
to a terminal does that.
"""

import contextlib
import os
import socket
import stat
import struct
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from ccrelay.config.places import SHARED, socket_folders
from ccrelay.control.web_response import CallFailed, ControlError, Reader, failure_of, messages

if TYPE_CHECKING:
    import ssl

__all__ = ["CallFailed", "Client", "ControlError", "NoRelay", "SeveralRelays", "Stream"]

VARIABLE = "CCRELAY_SOCKET"
PACKAGE = "ccrelay.v1"
_START = "No relay runs. Start one: ccrelay serve"  # first what to do, then where it was looked for
CALL_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
# Whether a socket is live is asked of each that is found: a backlog that is full is not waited for.
PROBE_TIMEOUT_S = 0.5
GRPC_TIMEOUT_MS_MAX = 99_999_999  # eight digits

R = TypeVar("R")


class Request(Protocol):
    """A message of ccrelay.v1 that is sent."""

    def SerializeToString(self) -> bytes:  # noqa: N802
        """Return its bytes."""
        ...


class NoRelay(ControlError):
    """No relay runs, or none that this user may ask. `str()` says what to do."""


class SeveralRelays(ControlError):
    """Several relays run and none was chosen.

    Args:
        paths: their sockets.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        listed = "".join(f"\n  {path}" for path in paths)
        super().__init__(
            f"{len(paths)} relays run. Choose one with --socket or {VARIABLE}:{listed}"
        )


# ---- which relay


def find_socket(environ: Mapping[str, str]) -> Path:
    """Return the socket of the relay that runs; `CCRELAY_SOCKET` wins.

    All folders where the supervisor may bind it are looked at: a relay that a service manager
    started may know another environment.

    Raises:
        NoRelay: there is none.
        SeveralRelays: there are several, and the variable chooses none.
    """
    if chosen := environ.get(VARIABLE):
        return Path(chosen)
    uid = os.geteuid()
    folders = socket_folders(environ, uid)
    found: dict[tuple[int, int], Path] = {}
    for folder in folders:
        if folder.parent == SHARED and not _is_own(folder, uid):
            continue
        for path in _sockets(folder):
            status = path.stat()
            if _is_live(path):
                found.setdefault((status.st_dev, status.st_ino), path)
    if len(found) > 1:
        raise SeveralRelays(sorted(found.values()))
    if not found:
        raise NoRelay(_none_found(folders))
    return next(iter(found.values()))


def _none_found(folders: Sequence[Path]) -> str:
    if all(folder.parent == SHARED for folder in folders):
        return (
            f"{_START}, or name its socket with --socket or {VARIABLE} (no live socket in "
            f"{folders[0]}; none of XDG_RUNTIME_DIR, XDG_STATE_HOME and HOME is set)"
        )
    where = " or ".join(str(folder) for folder in folders)
    return f"{_START} (no live socket in {where})"


def _is_own(folder: Path, uid: int) -> bool:
    """Whether a folder was made by this user, and not by another one in its name."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid and not status.st_mode & 0o022


def _sockets(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            # A relay that starts listens at a name with a dot before it, until it gets its own.
            paths = [Path(entry.path) for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(path for path in paths if _is_socket(path))


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _is_live(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PROBE_TIMEOUT_S)
        try:
            sock.connect(str(path))
        except (TimeoutError, BlockingIOError):
            return True  # its process is behind
        except OSError:
            return False
    return True


# ---- calls


class Client:
    """Calls of one relay.

    Args:
        path: its Unix socket.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = str(path)
        self._address: tuple[str, int] | None = None
        self._tls: ssl.SSLContext | None = None
        self._token = ""

    @classmethod
    def tcp(cls, host: str, port: int, token: str, tls: "ssl.SSLContext | None" = None) -> "Client":
        """Return a client of `management.listen`, with the token; over TLS with a context."""
        client = cls("")
        client._address, client._token, client._tls = (host, port), token, tls
        return client

    @property
    def where(self) -> str:
        """The socket's path, or HOST:PORT."""
        return self._path if self._address is None else _host_port(*self._address)

    def call(
        self,
        method: str,
        request: Request,
        response_type: type[R],
        timeout_s: float | None = CALL_TIMEOUT_S,
    ) -> R:
        """Make a call that has one answer.

        Args:
            method: `/ccrelay.v1.Relay/GetStatus`, or `Relay/GetStatus` for short.
            request: its request.
            response_type: class of its answer.
            timeout_s: for the whole call; None: no limit.

        Raises:
            NoRelay: nothing listens, or this user may not connect.
            CallFailed: the call failed: `code` is the name of a gRPC status code.
        """
        with self.stream(method, request, response_type, timeout_s) as answers:
            answer = next(answers, None)
            if answer is None:
                raise CallFailed("INTERNAL", "The relay sent no answer.")
            for _ in answers:
                raise CallFailed("INTERNAL", "The relay sent more than one answer.")
        return answer

    def stream(
        self,
        method: str,
        request: Request,
        response_type: type[R],
        timeout_s: float | None = None,
    ) -> "Stream[R]":
        """Make a call that has many answers: an iterator of them, and a context manager.

        Arguments and errors as for `call`; errors of the call are raised by the iterator, too.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        sock = self._connect(timeout_s)
        try:
            sock.sendall(self._head_and_body(method, request.SerializeToString(), timeout_s))
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all was sent: the answer says why
        except TimeoutError:
            sock.close()
            raise CallFailed("DEADLINE_EXCEEDED", _late(timeout_s)) from None
        except OSError as error:
            sock.close()
            raise CallFailed("UNAVAILABLE", f"{self.where}: {error}") from None
        return Stream(sock, response_type, deadline, timeout_s)

    def _connect(self, timeout_s: float | None) -> socket.socket:
        limit_s = CONNECT_TIMEOUT_S if timeout_s is None else timeout_s
        try:
            if self._address is not None:
                return self._connect_tcp(self._address, limit_s)
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.settimeout(limit_s)
                sock.connect(self._path)
                _check_peer(sock, self._path)
            except BaseException:
                sock.close()
                raise
            return sock
        except TimeoutError:
            raise CallFailed("DEADLINE_EXCEEDED", _late(limit_s)) from None
        except OSError as error:
            raise NoRelay(_no_relay(self.where, error)) from None

    def _connect_tcp(self, address: tuple[str, int], limit_s: float) -> socket.socket:
        sock = socket.create_connection(address, timeout=limit_s)
        if self._tls is None:
            return sock
        try:
            return self._tls.wrap_socket(sock, server_hostname=address[0])
        except BaseException:
            sock.close()
            raise

    def _head_and_body(self, method: str, message: bytes, timeout_s: float | None) -> bytes:
        path = method if method.startswith("/") else f"/{PACKAGE}.{method}"
        body = struct.pack(">BI", 0, len(message)) + message
        lines = [
            f"POST {path} HTTP/1.1",
            f"host: {'localhost' if self._address is None else _host_port(*self._address)}",
            "content-type: application/grpc-web+proto",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        if timeout_s is not None:
            lines.append(f"grpc-timeout: {min(int(timeout_s * 1000), GRPC_TIMEOUT_MS_MAX)}m")
        if self._token:
            lines.append(f"authorization: Bearer {self._token}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Stream(Generic[R]):
    """The answers of one call, in order; ends with the call. `close` ends the call before.

    Iterating raises CallFailed where the call fails.
    """

    def __init__(
        self,
        sock: socket.socket,
        response_type: type[R],
        deadline: float | None,
        timeout_s: float | None,
    ) -> None:
        self._sock = sock
        self._type = cast(Any, response_type)
        self._deadline = deadline
        self._timeout_s = timeout_s
        self._answers = self._read()

    def __enter__(self) -> "Stream[R]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[R]:
        return self

    def __next__(self) -> R:
        return next(self._answers)

    def close(self) -> None:
        """Close the connection, which ends the call; may be called again."""
        self._answers.close()
        self._sock.close()

    def fileno(self) -> int:
        """Return the descriptor, to wait for answers beside other things; -1: closed.

        Over TLS answers may be there although the descriptor has nothing to read.
        """
        return self._sock.fileno()

    def _read(self) -> Generator[R, None, None]:
        try:
            reader = Reader(self._receive)
            for message in messages(reader):
                yield self._parsed(message)
            if (failed := failure_of(reader)) is not None:
                raise failed
        finally:
            self._sock.close()

    def _parsed(self, message: bytes) -> R:
        try:
            return cast(R, self._type.FromString(message))
        except Exception:  # outermost shell of the parser: a DecodeError, whose class is protobuf's
            raise CallFailed("INTERNAL", "The relay's answer cannot be read.") from None

    def _receive(self, size: int) -> bytes:
        left_s = None if self._deadline is None else self._deadline - time.monotonic()
        try:
            if left_s is not None and left_s <= 0:
                raise TimeoutError
            self._sock.settimeout(left_s)
            return self._sock.recv(size)
        except TimeoutError:
            raise CallFailed("DEADLINE_EXCEEDED", _late(self._timeout_s)) from None
        except OSError as error:
            reason = error.strerror or error
            raise CallFailed(
                "UNAVAILABLE", f"The connection broke ({reason}): try again."
            ) from None


def _check_peer(sock: socket.socket, path: str) -> None:
    """Raise NoRelay unless this user or root listens. Only Linux tells who does."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or os.geteuid() == 0:
        return
    with contextlib.suppress(OSError):
        credentials = sock.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", credentials)
        if uid not in (os.geteuid(), 0):
            raise NoRelay(f"{path} belongs to user {uid}, neither to you nor to root.")


def _no_relay(where: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        return f"{_START}, or correct --socket or {VARIABLE} (no relay listens at {where})"
    if isinstance(error, PermissionError):
        return f"You may not connect to {where}: ask as the user whose relay it is."
    return f"{where} cannot be reached: {error.strerror or error}."


def _late(timeout_s: float | None) -> str:
    return f"The relay did not answer within {timeout_s or 0:g} s."


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
