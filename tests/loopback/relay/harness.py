"""A whole worker in process, between a scripted provider and a raw client.

Nothing here reads or writes by itself: sockets are plain and non-blocking, every byte is sent and
received because a test said so, and the HTTP that comes out is judged by h11.
"""

import asyncio
import gc
import os
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.upstream import Upstream as UpstreamConnection
from ccrelay.config.model import (
    Config,
    Key,
    Limits,
    Provider,
    Routing,
    Server,
    ServerTimeouts,
    UpstreamTimeouts,
)
from ccrelay.config.resolve import resolve
from ccrelay.fleet.layout import Layout
from ccrelay.relay.access_log import AccessLogEntry
from ccrelay.relay.server import Relay
from tests.loopback.relay.wires import Answer, AnswerReader, Ended, Request, parse_request

WAIT_S = 15.0  # longer than anything here may take; only failures wait for it
KEY = "provider-key-1"


class Sink:
    """A LogSink that keeps what it gets."""

    def __init__(self) -> None:
        self.records: list[dict[str, object]] = []
        self.events: list[tuple[str, str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append((level, name, fields))

    def exchange(self, entry: AccessLogEntry) -> None:
        self.records.append(entry.members())  # the entry itself is valid during this call only

    def named(self, name: str) -> list[dict[str, object]]:
        """Fields of the events of that name."""
        return [fields for _, event, fields in self.events if event == name]

    def text(self) -> str:
        return repr(self.records) + repr(self.events)


def reset(sock: socket.socket) -> None:
    """Close so that the other side sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Wire:
    """One end of a TCP connection, with what came and was not looked at yet."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.pending = b""
        self.end: Ended | None = None

    async def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """Write the pieces one by one, each in a write of its own."""
        loop = asyncio.get_running_loop()
        for piece in pieces:
            await asyncio.wait_for(loop.sock_sendall(self.sock, piece), WAIT_S)
            if len(pieces) > 1:
                await asyncio.sleep(pause_s)

    async def more(self, wait_s: float = WAIT_S) -> bool:
        """Read once. False when the other side has ended; `end` says how."""
        if self.end is not None:
            return False
        loop = asyncio.get_running_loop()
        try:
            data = await asyncio.wait_for(loop.sock_recv(self.sock, 262_144), wait_s)
        except ConnectionError:
            self.end = Ended.RESET
            return False
        if not data:
            self.end = Ended.CLOSED
            return False
        self.pending += data
        return True

    async def until(self, marker: bytes, wait_s: float = WAIT_S) -> bytes:
        """Read until the marker is there; everything pending so far."""
        while marker not in self.pending:
            assert await self.more(wait_s), f"ended before {marker!r}: {self.pending[-300:]!r}"
        return self.pending

    async def rest(self, wait_s: float = WAIT_S) -> bytes:
        """Everything up to the end."""
        while await self.more(wait_s):
            pass
        return self.pending

    async def silent(self, for_s: float) -> bool:
        """Whether nothing has come and nothing comes, not even an end, for that long."""
        if self.pending:
            return False
        try:
            await self.more(for_s)
        except TimeoutError:
            return True
        return False

    def reset(self) -> None:
        reset(self.sock)

    def close(self) -> None:
        self.sock.close()


class Peer(Wire):
    """The provider's end of one connection from the relay."""

    seen: Request

    async def request(self) -> Request:
        """The next whole request."""
        while True:
            parsed = parse_request(self.pending)
            if parsed is not None:
                request, size = parsed
                self.pending = self.pending[size:]
                return request
            if not await self.more():
                raise ConnectionError("no whole request")

    async def gone(self, within_s: float = WAIT_S) -> Ended:
        """Wait for the relay to end the connection."""
        await self.rest(within_s)
        assert self.end is not None
        return self.end


Script = Callable[[Peer], Awaitable[None]]


class Upstream:
    """A scripted provider: `scripts[i]` runs connection i, the last one all further ones."""

    def __init__(self, *scripts: Script, port: int = 0) -> None:
        self._scripts = scripts
        self._sock = socket.create_server(("127.0.0.1", port))
        self._sock.setblocking(False)
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.failures: list[BaseException] = []
        self.url = f"http://127.0.0.1:{self._sock.getsockname()[1]}"
        self._spawn(self._accept())

    def _spawn(self, coro: Any) -> None:
        task = asyncio.get_running_loop().create_task(coro)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._sock)
            peer = Peer(sock)
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            self._spawn(self._run(script, peer))

    async def _run(self, script: Script, peer: Peer) -> None:
        try:
            await script(peer)
        except (ConnectionError, OSError):
            pass
        except (AssertionError, TimeoutError) as failure:
            self.failures.append(failure)
        finally:
            peer.close()

    async def close(self) -> None:
        while self._tasks:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self._sock.close()


class Client(Wire):
    """A client of the relay."""

    async def ask(self, *pieces: bytes, method: str = "POST", pause_s: float = 0.0) -> Answer:
        """Send the pieces and read one whole answer."""
        await self.send(*pieces, pause_s=pause_s)
        return await self.answer(method)

    async def answer(self, method: str = "POST", wait_s: float = WAIT_S) -> Answer:
        """The next answer; `answer.cut` when the connection ended before it was whole."""
        reader = AnswerReader(method)
        while True:
            data, self.pending = self.pending, b""
            if reader.feed(data):
                self.pending = reader.rest
                return reader.answer
            if not await self.more(wait_s):
                assert self.end is not None
                reader.end(self.end)
                return reader.answer


class Lab:
    """One test's relay, providers and clients, and the checks that nothing was left behind."""

    def __init__(self) -> None:
        self.sink = Sink()
        self.upstreams: list[Upstream] = []
        self.clients: list[Client] = []
        self.complaints: list[dict[str, Any]] = []
        self.closers: list[Callable[[], object]] = []  # what a test opened besides
        self.relay_: Relay | None = None
        self._listener: socket.socket | None = None
        self._fds = 0
        self._others: list[UpstreamConnection] = []

    async def open(self) -> None:
        """Count what is open before the test."""
        # A loop opens descriptors of its own when it is first used: libuv one per listening loop.
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await reader.read()
        writer.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)
        gc.collect()
        self._fds = len(os.listdir("/proc/self/fd"))
        self._others = open_upstreams()  # fakes of earlier tests, that are still referenced

    def open_upstreams(self) -> list[UpstreamConnection]:
        """Connections to providers that were opened since the test began and are open."""
        return [one for one in open_upstreams() if one not in self._others]

    @property
    def relay(self) -> Relay:
        assert self.relay_ is not None
        return self.relay_

    def upstream(self, *scripts: Script, port: int = 0) -> Upstream:
        """Start a scripted provider."""
        self.upstreams.append(Upstream(*scripts, port=port))
        return self.upstreams[-1]

    def start(
        self,
        *providers: Provider | Upstream,
        memory: SharedMemory | None = None,
        layout: Layout | None = None,
        **sections: Any,
    ) -> Relay:
        """Start the relay before these providers; `sections` are those of Config."""
        made = config(*providers, **sections)
        relay = Relay(made, asyncio.get_running_loop(), self.sink, memory=memory, layout=layout)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        relay.listen([self._listener])
        self.relay_ = relay
        return relay

    @property
    def address(self) -> tuple[str, int]:
        assert self._listener is not None
        host, port = self._listener.getsockname()
        return host, port

    async def client(self, rcvbuf: int = 0) -> Client:
        """Connect to the relay."""
        sock = socket.socket()
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.setblocking(False)
        client = Client(sock)
        self.clients.append(client)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        return client

    async def ask(self, *pieces: bytes, method: str = "POST", pause_s: float = 0.0) -> Answer:
        """One request on a connection of its own."""
        client = await self.client()
        answer = await client.ask(*pieces, method=method, pause_s=pause_s)
        client.close()
        return answer

    async def records(self, count: int = 1) -> list[dict[str, object]]:
        """Wait for that many records."""
        await eventually(lambda: len(self.sink.records) >= count)
        return self.sink.records

    async def finish(self) -> None:
        """Close everything and look for what is left."""
        for client in self.clients:
            client.close()
        relay = self.relay_
        if relay is not None:
            await self._nothing_under_way(relay)
        for upstream in self.upstreams:
            await upstream.close()
        if relay is not None:
            await relay.close()
            assert self._listener is not None
            self._listener.close()
            self._check(relay)
        for close in self.closers:
            close()
        await asyncio.sleep(0)
        gc.collect()
        await eventually(lambda: len(os.listdir("/proc/self/fd")) <= self._fds, "descriptors left")
        assert self.complaints == [], self.complaints
        for upstream in self.upstreams:
            assert upstream.failures == [], upstream.failures

    async def stop(self, relay: Relay) -> None:
        """End this relay, so that the test can start another."""
        for client in self.clients:
            client.close()
        await self._nothing_under_way(relay)
        await relay.close()
        assert self._listener is not None
        self._listener.close()
        self._check(relay)
        self.relay_ = None

    async def _nothing_under_way(self, relay: Relay) -> None:
        await eventually(lambda: not relay.context.active, "exchanges still active")
        await eventually(lambda: not relay.dispatcher.connections, "client connections left")

    def _check(self, relay: Relay) -> None:
        stats = relay.stats()
        assert stats["active"] == stats["connections"] == stats["idle_upstreams"] == 0, stats
        assert relay.reactor.connections == 0, "the reactor still counts connections"
        assert relay.reactor.arena.out == 0, "request bodies still hold memory"
        assert [service.key_pool.in_flight for service in relay.providers] == [0] * len(
            relay.providers
        )
        assert len(relay.context.queue) == 0, "requests still wait for a target"
        defects = [event for event in self.sink.events if event[1] == "internal_error"]
        assert defects == [], defects
        ids = [record["id"] for record in self.sink.records]
        assert len(ids) == len(set(ids)), "an exchange was settled twice"
        assert self.open_upstreams() == [], "upstream connections left open"


def open_upstreams() -> list[UpstreamConnection]:
    """Every open connection to a provider in this process."""
    found = [o for o in gc.get_objects() if isinstance(o, UpstreamConnection)]
    return [one for one in found if not one.is_closed()]


async def eventually(condition: Callable[[], bool], what: str = "", wait_s: float = WAIT_S) -> None:
    """Wait until the condition holds."""
    ends_at = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < ends_at, what or "waited in vain"
        await asyncio.sleep(0.005)


# ---- configuration


def config(*providers: Provider | Upstream, **sections: Any) -> Config:
    """A resolved configuration; `sections` are those of Config."""
    made = [p if isinstance(p, Provider) else provider(p) for p in providers]
    return resolve(Config(providers=made, **{"routing": routing(), "server": server(), **sections}))


def provider(
    upstream: Upstream | str, name: str = "first", keys: Sequence[str | Key] = (KEY,), **fields: Any
) -> Provider:
    """A compatible provider with one key sent as x-api-key, unless told otherwise."""
    url = upstream if isinstance(upstream, str) else upstream.url
    given = {"type": "compatible", "auth": "x-api-key", "models": ["*"], **fields}
    made = [key if isinstance(key, Key) else Key(key=key) for key in keys]
    return Provider(name=name, base_url=url, keys=made, **given)


def routing(**fields: Any) -> Routing:
    """Routing whose limits a test can wait for; time limits by their own names."""
    names = UpstreamTimeouts.__struct_fields__
    times = {name: fields.pop(name) for name in names if name in fields}
    defaults = {"connect_s": 2.0, "first_byte_s": 3.0, "idle_s": 3.0, "total_s": 10.0}
    return Routing(timeouts=UpstreamTimeouts(**{**defaults, **times}), **fields)


def server(**fields: Any) -> Server:
    """Server settings; limits and time limits by their own names."""
    limits = {n: fields.pop(n) for n in Limits.__struct_fields__ if n in fields}
    times = {n: fields.pop(n) for n in ServerTimeouts.__struct_fields__ if n in fields}
    return Server(limits=Limits(**limits), timeouts=ServerTimeouts(**times), **fields)
