"""The data plane of one worker: listeners, shared state, and how a request gets an exchange."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from ccrelay._fast.affinity_table import AffinityTable
from ccrelay._fast.conn import Conn, Reactor
from ccrelay._fast.downstream import Downstream
from ccrelay._fast.endpoint_stats import RetryBudget
from ccrelay._fast.http1 import FieldId
from ccrelay._fast.listener import Listener
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.upstream import Upstream
from ccrelay.config.model import Config
from ccrelay.errors import BadRequest, NotFound, RelayError, SlowClient, TooLarge
from ccrelay.fleet.breaker import State
from ccrelay.fleet.estimate import Estimator
from ccrelay.fleet.layout import Layout
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.relay import asking, rare
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.health_checks import HealthChecks
from ccrelay.relay.local import LOCAL_PATHS, local_answer
from ccrelay.relay.model_discovery import ModelDiscovery, fetch_over
from ccrelay.relay.models_api import ModelsApi, ModelsRequest, asks_for_models
from ccrelay.relay.pending_queue import PendingQueue
from ccrelay.relay.request_body import FAULTS, gunzip, head_error
from ccrelay.relay.runtime_config import RuntimeConfig, RuntimeConfigBuilder
from ccrelay.types import LogSink, RequestClass
from ccrelay.upstream.tasks import TaskSet
from ccrelay.wire.errors import error_response

_CONTENT_ENCODING = int(FieldId.F_CONTENT_ENCODING)
# Unpacking blocks the loop at about 300 MB/s: larger bodies go to a thread.
INFLATE_INLINE_MAX = 65_536
DRAIN_LOOK_S = 0.05
# A gentle drain leaves idle connections open so long: a client that uses one is answered, and told
# to close it. Closing at once would meet requests that are on their way.
GENTLE_IDLE_S = 60.0
BINDINGS_ALONE = 4096  # conversations remembered by a worker that shares its memory with nobody

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
        board: the memory shared by all workers; None: memory of its own.
        layout: whose words are where in it; None: numbered through.
    """

    def __init__(
        self,
        config: Config,
        loop: asyncio.AbstractEventLoop,
        log: LogSink,
        worker_id: int = 0,
        memory: SharedMemory | None = None,
        layout: Layout | None = None,
    ) -> None:
        self.log = log
        self.loop = loop
        self.rng = random.Random()
        self.wall = time.time
        self.reactor = Reactor(loop, self._crashed)
        self.connections: set[Downstream] = set()
        self.active: set[Exchange | ModelsRequest] = set()
        layout = layout if layout is not None else Layout.of(config)
        if memory is None:
            slots = sum(map(len, layout.targets.values()))
            memory = SharedMemory.private(
                targets=max(slots, 1),
                endpoints=max(len(layout.endpoints), 1),
                bindings=BINDINGS_ALONE,
            )
        self.memory = memory
        self.affinity = AffinityTable(memory)
        self.budget = RetryBudget(memory)
        self.estimator = Estimator()
        self.waiting = PendingQueue(loop, self.reactor)
        self._tasks = TaskSet(loop, self._task_failed)
        self._maker = RuntimeConfigBuilder(
            loop, self.reactor, memory, self._tasks, self._breaker_changed
        )
        self.snap = self._maker.make(config, layout, None, self._make_listings)
        self._listeners: list[Listener] = []
        self._sockets: list[socket.socket] = []
        self._probes = HealthChecks(self)
        self._draining = False
        self.served = 0
        self._id_prefix = f"req_ccrelay_{worker_id}{os.urandom(5).hex()}"

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.snap.config

    @property
    def listings(self) -> ModelsApi:
        """What answers for models."""
        assert self.snap.listings is not None
        return self.snap.listings

    @property
    def providers(self) -> list[ProviderState]:
        """The providers in force."""
        return self.snap.providers

    def _make_listings(self, snap: RuntimeConfig) -> ModelsApi:
        dialers = {name: pool.dialer for name, pool in snap.pools.items()}
        discovery = ModelDiscovery(
            snap.providers,
            fetch_over(dialers, self.loop),
            loop=self.loop,
            tasks=self._tasks,
            log=self.log,
        )
        return ModelsApi(discovery, tasks=self._tasks, active=self.active, refuse=self._refuse)

    def reload(self, config: Config, layout: Layout) -> None:
        """Serve by another configuration from the next request on.

        Listening addresses stay. Requests under way finish as they began; those that wait for a
        target are routed anew.

        Raises:
            ValueError: it cannot be served; nothing has changed.
        """
        old = self.snap
        self.snap = snap = self._maker.make(config, layout, old, self._make_listings)
        self.reactor.clock()  # nothing need have happened for minutes
        for down in self.connections:
            down.memo = None  # who may come in is asked again
        for listener in self._listeners:
            listener.limits = snap.limits
            listener.connections_max = config.server.limits.connections_max
        kept = set(map(id, snap.pools.values()))
        for pool in old.pools.values():
            if id(pool) not in kept:
                pool.close()
        waited = self.waiting.everybody()
        for exchange in waited:
            self.waiting.leave(exchange)  # all of them: none is to wait for one behind it
        for exchange in waited:
            exchange.guard(partial(asking.reroute, exchange))

    # ---- life

    def listen(self, sockets: list[socket.socket]) -> None:
        """Accept on listening, non-blocking sockets."""
        for sock in sockets:
            listener = Listener(self.reactor, sock.fileno(), self, self.snap.limits)
            listener.connections_max = self.config.server.limits.connections_max
            listener.start()
            self._listeners.append(listener)
            self._sockets.append(sock)
        self._probes.start()

    def stop_listening(self) -> None:
        """Leave new connections in the kernel's queue."""
        for listener in self._listeners:
            listener.stop()

    async def drain(self, limit_s: float, gentle: bool = False) -> int:
        """Let running exchanges finish for at most `limit_s`; returns how many were cut.

        Gentle: connections that are idle may bring one more request each, for a while.
        """
        self.stop_listening()
        self._draining = True
        began_at = self.loop.time()
        idle_s = GENTLE_IDLE_S if gentle else 0.0
        while True:
            now = self.loop.time()
            for down in list(self.connections):
                if down.exchange is None and not down.queued:
                    quiet_since = max(down.last_out_at, began_at)
                    if now >= quiet_since + idle_s:
                        down.abort_idle()
            # An exchange is over when its last byte is queued; the client has it when it is sent.
            busy = bool(self.active) or any(down.queued for down in self.connections)
            if not (busy or (gentle and self.connections)) or now >= began_at + limit_s:
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
        for pool in self.snap.pools.values():
            pool.close()
        self._probes.stop()
        self.waiting.close()
        await self._tasks.cancel_all()
        self.reactor.stop()

    def stats(self) -> dict[str, int]:
        """Counts for management: connections, exchanges under way and served, idle upstreams."""
        return {
            "connections": len(self.connections),
            "active": len(self.active),
            "served": self.served,
            "waiting": len(self.waiting),
            "idle_upstreams": sum(pool.idle for pool in self.snap.pools.values()),
            "dialled": sum(pool.dialled for pool in self.snap.pools.values()),
            "body_bytes": self.reactor.arena.out,
        }

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something in the background; it ends with the relay."""
        self._tasks.spawn(work, name)

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
            passed = down.memo = self.snap.gate.admit(head)
        exchange = self._open(down, kind, passed)
        encoding = head.value(_CONTENT_ENCODING)
        if encoding is None:
            exchange.find_route()
        elif encoding.lower() == b"gzip":
            rare.unpack(exchange)
        else:
            raise BadRequest("Of content encodings, only gzip is understood for requests.")

    def _open(self, down: Downstream, kind: RequestClass, passed: ClientAuth) -> Exchange:
        head = down.head
        limit = self.snap.body_bytes_max
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
            self.snap.gate.check_host(head)
            keep_alive = down.keep_alive and down.body_complete
            _, data = local_answer(
                path,
                self.providers,
                self.reactor.now,
                keep_alive=keep_alive,
                body_wanted=method == b"GET",
            )
            down.answer(data, keep_alive)
            return
        passed = down.recall()
        if passed is None:
            passed = down.memo = self.snap.gate.admit(head)
        if path in _POSTS:
            raise RelayError(f"Use POST for {path.decode('ascii')}.", status=405)
        if asks_for_models(method, path):
            self.listings.answer(down, passed)
            return
        if not path.startswith(b"/v1/"):
            raise NotFound("There is nothing at this path. The relay serves /v1/messages.")
        provider = self.snap.candidates.anthropic()
        if provider is None:
            raise NotFound(
                "No provider of type anthropic is configured, and only those serve this path."
            )
        exchange = self._open(down, RequestClass.OTHER_V1, passed)
        exchange.target = self._any_target(provider)
        exchange.send()

    def _any_target(self, provider: ProviderState) -> Target:
        """For what no limit counts: a key that works, else any."""
        provider.key_pool.survey(self.reactor.now, 0, 0)
        return provider.targets[max(provider.pick(self.rng), 0)]

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

    # ---- what breakers tell

    def _breaker_changed(self, name: str, old: State, new: State) -> None:
        level = "info" if new is State.CLOSED else "warning"
        if new is State.HALF_OPEN:
            level = "debug"
        self.log.event(level, "breaker", provider=name, state=new.name.lower())
        self.waiting.poke()

    # ---- defects

    def _crashed(self, error: BaseException, conn: Conn) -> None:
        self.log.event("error", "internal_error", error=repr(error), where=_where(error))
        if isinstance(conn, Downstream):
            self.connections.discard(conn)
            if conn.exchange is not None:
                conn.exchange.on_client_left()
        elif isinstance(conn, Upstream) and conn.exchange is not None:
            conn.exchange.fail(
                RelayError("The relay failed on this response; its log says where.", status=500)
            )

    def _task_failed(self, name: str, error: BaseException) -> None:
        self.log.event("error", "internal_error", task=name, error=repr(error), where=_where(error))


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    affinity = []
    while trace is not None:
        affinity.append(f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}")
        trace = trace.tb_next
    return " ".join(affinity[-5:])
