"""The data plane of one worker: listeners, fleet, pools, and how a request gets an exchange."""

import asyncio
import os
import random
import socket
from collections.abc import Callable

from ccrelay._fast.body import BodyLimits
from ccrelay._fast.conn import Conn, Reactor
from ccrelay._fast.downstream import Downstream, DownstreamLimits
from ccrelay._fast.http1 import FieldId
from ccrelay._fast.listener import Listener
from ccrelay._fast.upstream import Upstream, UpstreamLimits
from ccrelay.config.model import Config, Provider
from ccrelay.errors import BadRequest, NotFound, RelayError, SlowClient, TooLarge
from ccrelay.fleet.service import Service
from ccrelay.relay import rare
from ccrelay.relay.dial import Dialer
from ccrelay.relay.discovery import Discovery, fetch_over
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.gate import Gate, Pass
from ccrelay.relay.listing import Listing, Listings, asks_for_models
from ccrelay.relay.local import LOCAL_PATHS, local_answer
from ccrelay.relay.origin import Origin
from ccrelay.relay.pool import Pool
from ccrelay.relay.proxies import proxy_for
from ccrelay.relay.requests import FAULTS, gunzip, head_error
from ccrelay.relay.tasks import TaskSet
from ccrelay.routing.candidates import Candidates
from ccrelay.routing.strategies import STRATEGIES
from ccrelay.types import LogSink, RequestClass
from ccrelay.wire.errors import error_response

_CONTENT_ENCODING = int(FieldId.F_CONTENT_ENCODING)
# Unpacking blocks the loop at about 300 MB/s: larger bodies go to a thread.
INFLATE_INLINE_MAX = 65_536
DRAIN_LOOK_S = 0.05

_POSTS = {
    b"/v1/messages": RequestClass.MESSAGES,
    b"/v1/messages/count_tokens": RequestClass.COUNT_TOKENS,
}


class Relay:
    """One worker's data plane.

    Args:
        config: resolved configuration.
        loop: the worker's event loop.
        log: where exchanges and events are written.
        worker_id: slot of this worker.
    """

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        log: LogSink,
        worker_id: int = 0,
    ) -> None:
        self.config = config
        self.log = log
        self.loop = loop
        self.rng = random.Random()
        self.reactor = Reactor(loop, self._crashed)
        self.connections: set[Downstream] = set()
        self.active: set[Exchange | Listing] = set()
        self.services = [
            Service(provider, config.health) for provider in config.providers if provider.enabled
        ]
        self.candidates = Candidates(self.services)
        self.choose = STRATEGIES[config.routing.strategy]
        self._tasks = TaskSet(loop, self._task_failed)
        self.pools = {service.name: self._pool(service.config) for service in self.services}
        self._gate = Gate(config.server)
        self._limits = _downstream_limits(config)
        self._listeners: list[Listener] = []
        self._sockets: list[socket.socket] = []
        self._listings = self._make_listings()
        self._draining = False
        self.served = 0
        self._id_prefix = f"req_ccrelay_{worker_id}{os.urandom(5).hex()}"

    def _make_listings(self) -> Listings:
        dialers = {name: pool.dialer for name, pool in self.pools.items()}
        discovery = Discovery(
            self.services,
            fetch_over(dialers, self.loop),
            loop=self.loop,
            tasks=self._tasks,
            log=self.log,
        )
        return Listings(discovery, tasks=self._tasks, active=self.active, refuse=self._refuse)

    def _pool(self, provider: Provider) -> Pool:
        assert provider.base_url is not None
        origin = Origin.parse(provider.base_url)
        routing = self.config.routing
        timeouts = provider.timeouts or routing.timeouts
        dialer = Dialer(
            origin,
            self.loop,
            connect_s=timeouts.connect_s,
            proxy=proxy_for(origin, os.environ),
        )
        limits = UpstreamLimits(
            first_byte_s=timeouts.first_byte_s,
            idle_s=timeouts.idle_s,
            total_s=timeouts.total_s,
            pool_idle_s=routing.pool_idle_s,
            event_bytes_max=self.config.server.limits.event_bytes_max,
        )
        return Pool(self.reactor, dialer, limits, self._tasks, routing.pool_idle_max)

    # ---- life

    def listen(self, sockets: list[socket.socket]) -> None:
        """Accept on listening, non-blocking sockets."""
        for sock in sockets:
            listener = Listener(self.reactor, sock.fileno(), self, self._limits)
            listener.connections_max = self.config.server.limits.connections_max
            listener.start()
            self._listeners.append(listener)
            self._sockets.append(sock)

    def stop_listening(self) -> None:
        """Leave new connections in the kernel's queue."""
        for listener in self._listeners:
            listener.stop()

    async def drain(self, limit_s: float) -> int:
        """Let running exchanges finish for at most `limit_s`; returns how many were cut."""
        self.stop_listening()
        self._draining = True
        ends_at = self.loop.time() + limit_s
        while True:
            for down in list(self.connections):
                if down.exchange is None and not down.queued:
                    down.abort_idle()
            # An exchange is over when its last byte is queued; the client has it when it is sent.
            sending = any(down.queued for down in self.connections)
            if not (self.active or sending) or self.loop.time() >= ends_at:
                break
            await asyncio.sleep(DRAIN_LOOK_S)
        cut = list(self.active)
        for exchange in cut:
            exchange.shut()
        return len(cut)

    async def close(self) -> None:
        """Close every connection."""
        self.stop_listening()
        for exchange in list(self.active):
            exchange.shut()
        for down in list(self.connections):
            down.abort_idle()
        for pool in self.pools.values():
            pool.close()
        await self._tasks.cancel_all()
        self.reactor.stop()

    def stats(self) -> dict[str, int]:
        """Counts for management: connections, exchanges under way and served, idle upstreams."""
        return {
            "connections": len(self.connections),
            "active": len(self.active),
            "served": self.served,
            "idle_upstreams": sum(pool.idle for pool in self.pools.values()),
            "dialled": sum(pool.dialled for pool in self.pools.values()),
            "body_bytes": self.reactor.arena.out,
        }

    def next_serial(self) -> int:
        """The number of a request in this worker."""
        self.served += 1
        return self.served

    def id_of(self, serial: int) -> str:
        """The id of a request, unique among workers and starts."""
        return f"{self._id_prefix}{serial:x}"

    # ---- called by connections

    def on_request(self, down: Downstream) -> None:
        """A request head is complete, and with it what came of the body in the same read."""
        try:
            self._admit(down)
        except RelayError as error:
            if down.exchange is not None:
                down.exchange.fail(error)
            else:
                self._refuse(down, error)

    def _admit(self, down: Downstream) -> None:
        head = down.head
        if self._draining:
            down.keep_alive = False
        path = head.path
        kind = _POSTS.get(path) if head.method == b"POST" else None
        if kind is None:
            self._admit_other(down, path)
            return
        passed = down.recall()
        if passed is None:
            passed = down.memo = self._gate.admit(head)
        exchange = self._open(down, kind, passed)
        encoding = head.value(_CONTENT_ENCODING)
        if encoding is None:
            exchange.route()
        elif encoding.lower() == b"gzip":
            rare.unpack(exchange)
        else:
            raise BadRequest("Of content encodings, only gzip is understood for requests.")

    def _open(self, down: Downstream, kind: RequestClass, passed: Pass) -> Exchange:
        head = down.head
        limit = self.config.server.limits.body_bytes_max
        exchange = Exchange(self, down, kind, passed)
        down.exchange = exchange
        self.active.add(exchange)
        if head.content_length > limit:
            raise TooLarge(
                f"The request body has {head.content_length} bytes; "
                f"server.limits.body_bytes_max is {limit}.",
                status=413,
            )
        if down.body_fault:
            raise FAULTS[down.body_fault]()
        return exchange

    def _admit_other(self, down: Downstream, path: bytes) -> None:
        head = down.head
        method = head.method
        if path in LOCAL_PATHS and method in (b"GET", b"HEAD"):
            self._gate.check_host(head)
            keep_alive = down.keep_alive and down.body_complete
            _, data = local_answer(
                path,
                self.services,
                self.reactor.now,
                keep_alive=keep_alive,
                body_wanted=method == b"GET",
            )
            down.answer(data, keep_alive)
            return
        passed = down.recall()
        if passed is None:
            passed = down.memo = self._gate.admit(head)
        if path in _POSTS:
            raise RelayError(f"Use POST for {path.decode('ascii')}.", status=405)
        if asks_for_models(method, path):
            self._listings.answer(down, passed)
            return
        if not path.startswith(b"/v1/"):
            raise NotFound("There is nothing at this path. The relay serves /v1/messages.")
        service = self.candidates.anthropic()
        if service is None:
            raise NotFound(
                "No provider of type anthropic is configured, and only those serve this path."
            )
        self._open(down, RequestClass.OTHER_V1, passed).send_to(service)

    def on_refused(self, down: Downstream, fault: int) -> None:
        """A request head is not valid HTTP, or over a limit."""
        self._refuse(down, head_error(fault))

    def on_slow(self, down: Downstream) -> None:
        """A request head did not come in time."""
        self._refuse(down, SlowClient("The request head did not come in time."))

    def on_gone(self, down: Downstream) -> None:
        """A client connection is closed."""
        self.connections.discard(down)

    def _refuse(self, down: Downstream, error: RelayError) -> None:
        head = down.head
        keep_alive = head is not None and down.keep_alive and down.body_complete
        body_wanted = head is None or head.method != b"HEAD"
        request_id = self.id_of(self.next_serial())
        self.log.event("info", "refused", id=request_id, status=error.status, reason=error.message)
        data = error_response(error, request_id, keep_alive=keep_alive, body_wanted=body_wanted)
        down.answer(data, keep_alive)

    # ---- for exchanges

    def inflate(
        self, data: bytes, limit: int, ready: Callable[[bytes | None, RelayError | None], None]
    ) -> None:
        """Unpack a gzip body, in a thread when it is large; `ready(body, error)` follows."""
        if len(data) <= INFLATE_INLINE_MAX:
            try:
                ready(gunzip(data, limit), None)
            except RelayError as error:
                ready(None, error)
            return
        self._tasks.spawn(self._inflate(data, limit, ready), "inflate")

    async def _inflate(
        self, data: bytes, limit: int, ready: Callable[[bytes | None, RelayError | None], None]
    ) -> None:
        try:
            body = await self.loop.run_in_executor(None, gunzip, data, limit)
        except RelayError as error:
            ready(None, error)
            return
        ready(body, None)

    # ---- defects

    def _crashed(self, error: BaseException, conn: Conn) -> None:
        self.log.event("error", "defect", error=repr(error), where=_where(error))
        if isinstance(conn, Downstream):
            self.connections.discard(conn)
            if conn.exchange is not None:
                conn.exchange.on_client_left()
        elif isinstance(conn, Upstream) and conn.exchange is not None:
            conn.exchange.fail(
                RelayError("The relay failed on this response; its log says where.", status=500)
            )

    def _task_failed(self, name: str, error: BaseException) -> None:
        self.log.event("error", "defect", task=name, error=repr(error), where=_where(error))


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    places = []
    while trace is not None:
        places.append(f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(places[-5:])


def _downstream_limits(config: Config) -> DownstreamLimits:
    limits, timeouts = config.server.limits, config.server.timeouts
    routing = config.routing
    return DownstreamLimits(
        head_bytes_max=limits.head_bytes_max,
        fields_max=limits.header_count_max,
        body=BodyLimits(
            body_bytes_max=limits.body_bytes_max, replay_bytes_max=limits.replay_bytes_max
        ),
        head_s=timeouts.head_s,
        body_idle_s=timeouts.body_idle_s,
        keepalive_s=timeouts.keepalive_s,
        write_stall_s=timeouts.write_stall_s,
        wait_s=min(routing.ping_s, routing.early_head_s, timeouts.write_stall_s),
    )
