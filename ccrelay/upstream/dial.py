"""Opens one connection to an upstream: addresses, TCP, proxy, TLS.

    resolve -> connect (happy eyeballs) -> [TLS to the proxy] -> [CONNECT, SOCKS]
            -> [TLS to the origin]

The result is a plain socket and, for https, three OpenSSL objects, which the compiled connection
takes over; no asyncio transport is created. Every failure is an `UpstreamFailed` that names the
phase.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from ccrelay.errors import UpstreamFailed
from ccrelay.upstream import proxy as proxies
from ccrelay.upstream.exhaustion import descriptors_left, exhausted, own_failure
from ccrelay.upstream.origin import Origin, host_port, literal_address
from ccrelay.upstream.proxy import Proxy
from ccrelay.upstream.race import Address, ConnectionRace, interleaved
from ccrelay.upstream.tasks import TaskSet
from ccrelay.upstream.tls import (
    Bridge,
    SocketStream,
    Stream,
    TlsSession,
    TlsStream,
    explain,
    handshake,
    resumable,
)

Resolver = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Resolves host and port. Raises OSError when there is no address."""

ADDRESSES_KEPT_S = 30.0  # getaddrinfo does not expose TTLs; providers' are 60 s or more
ADDRESSES_MAX = 16  # tried in one dial; a longer answer is truncated


class Dialed(Struct, eq=False):
    """An open connection; the caller owns the socket."""

    sock: socket.socket  # connected, non-blocking
    tls: TlsSession | None  # None: plain
    peer: str  # `address:port` connected to: the proxy's if there is one


class Dialer:
    """Opens connections to one origin.

    Args:
        origin: the destination.
        loop: the running loop, of uvloop or asyncio.
        connect_s: time limit of a whole dial, from lookup to last handshake, seconds.
        resolver: resolves names; None: the system's resolver.
        proxy: the forward proxy to use, or None.
        provider: the name of the provider that is reached at `origin`, for error texts.
        start_hint: a sentence on how to start a provider that refuses connections. It is said once
            until a connection has succeeded.
    """

    def __init__(
        self,
        origin: Origin,
        loop: asyncio.AbstractEventLoop,
        *,
        connect_s: float,
        resolver: Resolver | None = None,
        proxy: Proxy | None = None,
        provider: str = "",
        start_hint: str = "",
    ) -> None:
        self._origin = origin
        self._name = f"{origin.name} (provider {provider})" if provider else origin.name
        self._start_hint = start_hint
        self._hint_given = False
        self._loop = loop
        self._connect_s = connect_s
        self._proxy = proxy
        self._tasks = TaskSet(loop, self._report)
        hop = proxy or origin
        resolver = resolver or self._resolve
        self._addresses = _Addresses(
            hop.host, hop.port, loop=loop, tasks=self._tasks, resolver=resolver
        )
        # SOCKS without remote name resolution: the proxy is given an address.
        self._behind_proxy = _Addresses(
            origin.host, origin.port, loop=loop, tasks=self._tasks, resolver=resolver
        )
        # By server name: the proxy's and the origin's differ.
        self._sessions: dict[str, ssl.SSLSession] = {}

    async def dial(self) -> Dialed:
        """Open a connection.

        Raises:
            UpstreamFailed: 504 when `connect_s` ran out, otherwise 502; 529 (`Exhausted`) when this
                machine can open no connection.
        """
        progress = _Progress()
        try:
            async with asyncio.timeout(self._connect_s):
                return await self._open(progress)
        except BaseException as error:
            # Also on cancellation, the socket must not outlive the dial.
            progress.close()
            if isinstance(error, TimeoutError):
                raise UpstreamFailed(
                    f"Cannot reach {self._name}: "
                    f"timed out after {self._connect_s:g} s while {progress.phase}.",
                    status=504,
                ) from None
            raise

    def remember(self, tls: TlsSession) -> None:
        """Store the connection's TLS session for the next dials; the newest one wins.

        Call it after the first response or at the end of the connection: under TLS 1.3 there is no
        session earlier.
        """
        name, found = tls.obj.server_hostname, resumable(tls)
        if found is None or name is None:
            return
        kept = self._sessions.get(name)
        if kept is None or found.time >= kept.time:
            self._sessions[name] = found

    async def close(self) -> None:
        """Cancel running lookups, and close every tunnel to an https origin behind an https proxy.

        Call it after the origin's last connection has been closed.
        """
        await self._tasks.cancel_all()

    async def _open(self, progress: "_Progress") -> Dialed:
        peer = await self._connect(progress)
        proxy, origin = self._proxy, self._origin
        assert progress.sock is not None
        stream: Stream = SocketStream(self._loop, progress.sock)
        session = None
        if proxy is not None:
            if proxy.scheme == "https":
                session = await self._handshake(stream, proxy, progress)
                stream = TlsStream(stream, session)
            if proxy.is_socks:
                await self._ask_socks(progress.sock, proxy, progress)
            else:
                progress.phase = f"waiting for CONNECT through proxy {proxy.name}"
                await self._ask(stream, proxy)
        if origin.scheme == "https":
            if isinstance(stream, TlsStream):
                stream = self._bridge(stream, progress)
            session = await self._handshake(stream, origin, progress)
        return Dialed(sock=progress.sock, tls=session, peer=peer)

    async def _connect(self, progress: "_Progress") -> str:
        hop = self._proxy or self._origin
        via = "" if self._proxy is None else "proxy "
        progress.phase = f"resolving {via}{hop.host}"
        addresses = await self._addresses.get()
        if isinstance(addresses, str):
            code = descriptors_left()
            if code:
                raise exhausted(code)
            raise self._failure(f"cannot resolve {via}{hop.host} ({addresses})")
        progress.phase = f"connecting to {via}{hop.name}"
        race = ConnectionRace(self._loop, addresses)
        progress.sock = await race.run()
        if progress.sock is None:
            code = own_failure(race.codes)
            if code:
                raise exhausted(code)
            self._addresses.forget()
            raise self._failure(
                f"cannot connect to {via}{hop.name} ({', '.join(race.failures)})",
                hint=self._hint_after(race),
            )
        self._hint_given = False
        self._addresses.prefer(race.won_by)
        return host_port(*race.won_by[1][:2])

    async def _ask(self, stream: Stream, proxy: Proxy) -> None:
        try:
            await proxies.connect(stream, proxy, self._origin)
        except OSError as error:
            reason = error.strerror or error
            raise self._failure(f"proxy {proxy.name} failed during CONNECT ({reason})") from error

    async def _ask_socks(self, sock: socket.socket, proxy: Proxy, progress: "_Progress") -> None:
        host = self._origin.host
        if not proxy.resolves_names:
            progress.phase = f"resolving {host}"
            host = await self._address_for(proxy)
        progress.phase = f"waiting for SOCKS through proxy {proxy.name}"
        from ccrelay.upstream import socks  # needs the extra

        try:
            await socks.connect(self._loop, sock, proxy, host.rstrip("."), self._origin.port)
        except OSError as error:
            reason = error.strerror or error
            raise self._failure(f"proxy {proxy.name} failed during SOCKS ({reason})") from error
        except ValueError as error:
            raise self._failure(f"proxy {proxy.name} refused SOCKS ({error})") from error

    async def _address_for(self, proxy: Proxy) -> str:
        """The origin's address: IPv4 if it has one, which every SOCKS proxy reaches."""
        found = await self._behind_proxy.get()
        if isinstance(found, str):
            raise self._failure(f"cannot resolve {self._origin.host} ({found})")
        by_family = {family: str(address[0]) for family, address in reversed(found)}
        address = by_family.get(socket.AF_INET)
        if address is None and proxy.scheme != "socks4":
            address = by_family.get(socket.AF_INET6)
        if address is not None:
            return address
        raise self._failure(
            f"proxy {proxy.name} reaches IPv4 addresses only: use socks5:// in its URL"
        )

    async def _handshake(
        self, stream: Stream, hop: Origin | Proxy, progress: "_Progress"
    ) -> TlsSession:
        progress.phase = f"in the TLS handshake with {hop.name}"
        name = hop.host.rstrip(".")
        try:
            return await handshake(stream, name, self._sessions.get(name))
        except OSError as error:
            # The session itself may be the cause: dial without it next time.
            self._sessions.pop(name, None)
            raise self._failure(f"TLS with {hop.name}: {explain(error)}") from error

    def _bridge(self, outer: TlsStream, progress: "_Progress") -> SocketStream:
        # The bridge now owns the outer socket, and `progress` our end of the pair.
        assert progress.sock is not None
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        bridge = Bridge(self._loop, progress.sock, outer, theirs)
        progress.sock = ours
        self._tasks.spawn(self._run(bridge), f"bridge to {self._origin.name}")
        return SocketStream(self._loop, ours)

    async def _run(self, bridge: Bridge) -> None:
        down = self._tasks.spawn(bridge.carry_down(), f"bridge from {self._origin.name}")
        try:
            await bridge.carry_up()
        finally:
            down.cancel()
            # The loop must stop watching a socket before its descriptor is closed and reused.
            await asyncio.wait([down])
            self.remember(bridge.session)
            bridge.close()

    async def _resolve(self, host: str, port: int) -> list[Address]:
        found = await self._loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
        return [(family, address) for family, _, _, _, address in found]

    def _hint_after(self, race: ConnectionRace) -> str:
        """The hint where nothing listens, the first time."""
        if self._hint_given or self._proxy is not None or not race.was_refused:
            return ""
        self._hint_given = True
        return self._start_hint

    def _failure(self, what: str, *, hint: str = "") -> UpstreamFailed:
        return UpstreamFailed(f"Cannot reach {self._name}: {what}.{hint and ' '}{hint}")

    def _report(self, task: str, error: BaseException) -> None:
        self._loop.call_exception_handler({"message": f"{task} failed", "exception": error})

    def __repr__(self) -> str:
        via = f" via {self._proxy!r}" if self._proxy else ""
        return f"<Dialer {self._origin.scheme}://{self._origin.name}{via}>"


class _Progress:
    """A dial in progress: its phase, for the timeout's message, and the socket it owns."""

    __slots__ = ("phase", "sock")

    def __init__(self) -> None:
        self.phase = "starting"
        self.sock: socket.socket | None = None

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()


class _Addresses:
    """The addresses of one host: concurrent lookups are shared, answers are cached."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        loop: asyncio.AbstractEventLoop,
        tasks: TaskSet,
        resolver: Resolver,
    ) -> None:
        self._host = host
        self._port = port
        self._loop = loop
        self._tasks = tasks
        self._resolver = resolver
        self._kept: list[Address] = []
        self._expires_at = 0.0
        self._lookup: asyncio.Task[list[Address] | str] | None = None
        literal = literal_address(host)
        if literal is not None:
            family = socket.AF_INET if literal.version == 4 else socket.AF_INET6
            self._kept = [(family, (host, port))]
            self._expires_at = float("inf")

    async def get(self) -> list[Address] | str:
        """The addresses in the order to try them, or why there are none."""
        if self._kept and self._loop.time() < self._expires_at:
            return self._kept
        if self._lookup is None:
            self._lookup = self._tasks.spawn(self._look_up(), f"lookup of {self._host}")
        # Cancelling one dial must not cancel the lookup for the others.
        return await asyncio.shield(self._lookup)

    def prefer(self, address: Address) -> None:
        """Try `address` first from now on: each address before it costs every dial a delay."""
        if self._kept[:1] != [address]:
            self._kept = [address, *(other for other in self._kept if other != address)]

    def forget(self) -> None:
        """Resolve again next time: no address accepted a connection."""
        if self._expires_at != float("inf"):
            self._expires_at = 0.0

    async def _look_up(self) -> list[Address] | str:
        try:
            found = await self._resolver(self._host, self._port)
        except OSError as error:
            return error.strerror or str(error)
        finally:
            self._lookup = None
        if not found:
            return "no address"
        self._kept = interleaved(found)[:ADDRESSES_MAX]
        self._expires_at = self._loop.time() + ADDRESSES_KEPT_S
        return self._kept
