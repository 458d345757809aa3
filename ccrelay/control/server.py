"""The doors of the management API: accept, look at the first bytes, and pass to who speaks that.

    Unix socket --uid--+                    +-- HTTP/2: splice --> grpc.aio behind an inner socket
                       +--> first bytes? ---+                                     |
    TCP --[TLS]--------+                    +-- HTTP/1.1: gRPC-web, routes --> servicers

The listening sockets belong to who passes them: they are accepted on, and never closed.
"""

import asyncio
import contextlib
import itertools
import os
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence

from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from ccrelay.control.authorise import Door, host_names
from ccrelay.control.calls import Calls
from ccrelay.control.connections import CONNECTIONS_MAX, Connection, Connections
from ccrelay.control.h2_authority import PREFACE, AuthorityReader
from ccrelay.control.health import NAME as HEALTH, Health
from ccrelay.control.http import FIRST_BYTE_S, HttpHandler
from ccrelay.control.methods import Service, methods_of
from ccrelay.control.native import NativeServer
from ccrelay.control.page import Page
from ccrelay.control.peer import own_uid, peer_uid
from ccrelay.control.private_folder import PrivateFolder
from ccrelay.control.splice import splice
from ccrelay.control.streams import Stream
from ccrelay.control.web import Web
from ccrelay.types import LogSink
from ccrelay.upstream.tasks import TaskSet

ACCEPT_RETRY_S = 0.1  # out of descriptors or memory
CANCEL_S = 2.0
SEND_BUFFER = 64 * 1024
_NO_ROOM = f"{CONNECTIONS_MAX} callers are served here already: end one of them, or try again.\n"
NO_ROOM = (
    "HTTP/1.1 503 \r\ncontent-type: text/plain; charset=utf-8\r\n"
    f"content-length: {len(_NO_ROOM)}\r\nconnection: close\r\n\r\n{_NO_ROOM}"
).encode()
_NAMES = itertools.count(1)


class ControlServer:
    """Serves servicers and routes on both doors.

    Args:
        services: what can be called; health and reflection are added.
        unix: listening Unix socket; None: there is no such door.
        tcp: listening TCP socket; None: there is no such door.
        token: that TCP asks for.
        allowed_hosts: names for the Host header, beside loopback names and the listen address.
        tls: paths of certificate chain and key for TCP, PEM; None: no TLS.
        routes: handlers of GET by path. Each path must stand in `authorise.RIGHTS`.
        log: of the process.
        page: the web page, for TCP; None: there is none.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        unix: socket.socket | None,
        tcp: socket.socket | None,
        token: str,
        allowed_hosts: Iterable[str] = (),
        tls: tuple[str, str] | None = None,
        routes: Mapping[str, HttpHandler],
        log: LogSink,
        page: Page | None = None,
    ) -> None:
        self._log = log
        self._unix, self._tcp = unix, tcp
        self._token = token
        self._hosts = host_names(allowed_hosts)
        self._tls = _tls_context(tls) if tls is not None else None
        names = [service.name for service in services]
        self._health = Health(names)
        self._calls = Calls(methods_of([*services, *_built_in(names, self._health)]), log)
        self._web = Web(self._calls, routes, self._health, log, page)
        self._page = page
        self._use_token_for_page()
        self._doors = (Connections(), Connections())  # Unix, TCP
        self._folder: PrivateFolder | None = None
        self._native: NativeServer | None = None
        self._tasks: TaskSet | None = None
        self._acceptors: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Serve. Raises OSError or RuntimeError where that cannot be."""
        loop = asyncio.get_running_loop()
        self._folder = PrivateFolder()
        try:
            self._native = NativeServer(self._folder.path, self._calls, self._find)
            await self._native.start()
        except BaseException:
            # Cancelled half way: what runs would complain when it is collected without a loop.
            native, self._native = self._native, None
            if native is not None:
                await native.stop(0)
            self._folder.remove()
            raise
        self._tasks = TaskSet(loop, self._task_failed)
        for sock, connections in zip((self._unix, self._tcp), self._doors, strict=True):
            if sock is not None:
                sock.setblocking(False)
                task = self._tasks.spawn(self._accept(sock, connections), "control accept")
                self._acceptors.append(task)

    async def close(self, grace_s: float) -> None:
        """Accept no more, let calls under way end for so long, then end all; may be called again.

        The listening sockets stay open: what connects from now on waits for the next server.
        """
        if self._tasks is None or self._native is None or self._folder is None:
            return
        self._health.stop()
        for task in self._acceptors:
            task.cancel()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._native.stop(grace_s))
            group.create_task(self._drain(grace_s))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_S):
                await self._tasks.cancel_all()
        self._tasks = self._native = None
        self._folder.remove()

    def use_token(self, token: str) -> None:
        """Ask for another token from now on; empty: none is valid. Idle TCP connections end, since
        one keeps what it began with."""
        if token == self._token:
            return
        self._token = token
        self._use_token_for_page()
        for connection in self._doors[1]:
            if connection.calls == 0:
                connection.abort()

    def _use_token_for_page(self) -> None:
        if self._page is not None:
            self._page.sessions.use_token(self._token)

    async def _drain(self, grace_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._calls.idle()

    # ---- connections

    async def _accept(self, sock: socket.socket, connections: Connections) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(sock)
            except OSError as error:
                self._calls.denials.accept_failed(error)
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            try:
                self._admit(client, connections)
            except OSError:  # it has gone already
                client.close()

    def _admit(self, client: socket.socket, connections: Connections) -> None:
        door = self._door(client)
        if door.is_unix and not door.is_owner:
            self._calls.denials.note("foreign_user", uid=door.peer_uid)
            client.close()
            return
        name = f"c{next(_NAMES)}"
        connection = Connection(name, door, last_active=time.monotonic())
        if self._tasks is None or not connections.add(connection):
            self._calls.denials.note("connections_limit", peer=door.peer)
            if not door.is_tls:
                client.send(NO_ROOM)
            client.close()
            return
        task = self._tasks.spawn(self._serve(client, connection), "control connection")
        connection.abort = task.cancel

        def ended(_: object) -> None:
            connections.remove(connection)
            client.close()  # nothing else does, if the task was cancelled before it ran

        task.add_done_callback(ended)

    def _door(self, client: socket.socket) -> Door:
        if client.family == socket.AF_UNIX:
            return Door(is_unix=True, owner_uid=own_uid(), peer_uid=peer_uid(client))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What waits in the kernel is old when a slow reader comes to it, and may grow to 4 MiB.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        # The address that it came to, for a Host: a page that rebinds a name has a name for Host.
        local, remote = client.getsockname()[0], client.getpeername()[0]
        return Door(
            is_unix=False,
            token=self._token,
            hosts=self._hosts | host_names([local.partition("%")[0]]),
            is_tls=self._tls is not None,
            peer=remote,
            sessions=self._page.sessions if self._page is not None else None,
            cookie=self._page.cookie if self._page is not None else "",
        )

    async def _serve(self, sock: socket.socket, connection: Connection) -> None:
        stream = None
        try:
            tls = None if connection.door.is_unix else self._tls
            stream = await Stream.accepted(sock, tls)
            first = await _first_bytes(stream)
            if first.startswith(PREFACE):
                await self._splice(stream, first, connection)
            elif first:
                await self._web.serve(stream, first, connection)
        except OSError:  # TimeoutError and ssl.SSLError, too
            pass
        finally:
            if stream is not None:
                await stream.close()

    async def _splice(self, stream: Stream, first: bytes, connection: Connection) -> None:
        assert self._native is not None
        assert self._folder is not None
        reader = AuthorityReader()

        def watch(data: bytes) -> None:
            connection.last_active = time.monotonic()
            reader.feed(data)
            connection.authority = reader.authority

        own_path = os.path.join(self._folder.path, connection.name)
        await splice(stream, first, self._native.path, own_path, watch)

    def _find(self, name: str) -> Connection | None:
        unix, tcp = self._doors
        return unix.get(name) or tcp.get(name)

    def _task_failed(self, name: str, error: BaseException) -> None:
        self._log.event("error", "internal_error", task=name, error=repr(error))


async def _first_bytes(stream: Stream) -> bytes:
    """Return what begins a connection: enough to tell HTTP/2, or more; b"" at the end."""
    data = b""
    ends_at = time.monotonic() + FIRST_BYTE_S
    while len(data) < len(PREFACE) and PREFACE.startswith(data):
        more = await stream.read(max(0.0, ends_at - time.monotonic()))
        if not more:
            break
        data += more
    return data


def _built_in(names: Sequence[str], health: Health) -> list[Service]:
    from grpc_health.v1 import health_pb2_grpc

    served = [*names, HEALTH, reflection.SERVICE_NAME]
    return [
        Service(HEALTH, health, health_pb2_grpc.add_HealthServicer_to_server),
        Service(
            reflection.SERVICE_NAME,
            reflection.aio.ReflectionServicer(served),
            reflection_pb2_grpc.add_ServerReflectionServicer_to_server,
        ),
    ]


def _tls_context(files: tuple[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Without a password OpenSSL would ask for one at the terminal, and wait.
    context.load_cert_chain(*files, password="")
    # Browsers and scrapers offer both, and want HTTP/1.1: HTTP/2 here is gRPC only, whose clients
    # offer nothing else.
    context.set_alpn_protocols(["http/1.1", "h2"])
    return context
