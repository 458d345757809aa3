"""The data plane of one worker: listeners, shared state, reload, drain."""

import asyncio
import os
import random
import socket
import time

from ccrelay._fast.affinity_table import AffinityTable
from ccrelay._fast.conn import Conn, Reactor
from ccrelay._fast.downstream import Downstream
from ccrelay._fast.endpoint_stats import RetryBudget
from ccrelay._fast.listener import Listener
from ccrelay._fast.record_ring import RecordRing
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.upstream import Upstream
from ccrelay.config.model import Config
from ccrelay.errors import RelayError
from ccrelay.fleet.breaker import State
from ccrelay.fleet.credential_store import CredentialStore
from ccrelay.fleet.layout import Layout
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.relay import connection_limits
from ccrelay.relay.body_worker import BodyWorker
from ccrelay.relay.context import WorkerContext
from ccrelay.relay.credential_wait import end_lacks
from ccrelay.relay.dispatcher import Dispatcher
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.health_checks import HealthChecks
from ccrelay.relay.model_discovery import ModelDiscovery, fetch_over
from ccrelay.relay.models_api import ModelsApi
from ccrelay.relay.pending_queue import PendingQueue
from ccrelay.relay.runtime_config import RuntimeConfig, RuntimeConfigBuilder
from ccrelay.types import LogSink
from ccrelay.upstream.tasks import TaskSet
from ccrelay.wire.cloud_credential import IssuedCredential

DRAIN_LOOK_S = 0.05
# A gentle drain leaves idle connections open so long: a client that uses one is answered, and told
# to close it. Closing at once would meet requests that are on their way.
GENTLE_IDLE_S = 60.0
# Conversations that a worker remembers whose memory no other process shares.
BINDINGS_ALONE = 4096


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
        self.reactor = Reactor(loop, self._crashed)
        layout = layout if layout is not None else Layout.of(config)
        if memory is None:
            slots = sum(map(len, layout.targets.values()))
            memory = SharedMemory.private(
                targets=max(slots, 1),
                endpoints=max(len(layout.endpoints), 1),
                bindings=BINDINGS_ALONE,
            )
        self.memory = memory
        self.context = WorkerContext(
            reactor=self.reactor,
            log=log,
            rng=random.Random(),
            wall=time.time,
            affinity=AffinityTable(memory),
            budget=RetryBudget(memory),
            queue=PendingQueue(loop, self.reactor),
            worker=BodyWorker(loop, self._task_failed),
            id_prefix=f"req_ccrelay_{worker_id}{os.urandom(5).hex()}",
            records=RecordRing(memory) if config.management.enabled else None,
            loop=loop,
        )
        self.dispatcher = Dispatcher(self.context)
        self.credentials = CredentialStore()
        self._tasks = TaskSet(loop, self._task_failed)
        self._builder = RuntimeConfigBuilder(
            loop, self.reactor, memory, self._tasks, self._breaker_changed, self.credentials
        )
        self.context.config = self._builder.make(config, layout, None, self._make_models_api)
        self._learn_refusals()
        self._open_files = connection_limits.open_files_max()
        self._listeners: list[Listener] = []
        self._sockets: list[socket.socket] = []
        self._health_checks = HealthChecks(self.context, loop, self._tasks)

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.context.config.config

    @property
    def providers(self) -> list[ProviderState]:
        """The providers in force."""
        return self.context.config.providers

    def _make_models_api(self, made: RuntimeConfig) -> ModelsApi:
        dialers = {name: pool.dialer for name, pool in made.pools.items()}
        discovery = ModelDiscovery(
            made.providers,
            fetch_over(dialers, self.loop),
            loop=self.loop,
            tasks=self._tasks,
            log=self.log,
        )
        return ModelsApi(
            discovery, tasks=self._tasks, active=self.context.active, refuse=self.dispatcher.refuse
        )

    def reload(self, config: Config, layout: Layout) -> None:
        """Serve by another configuration from the next request on.

        Listening addresses stay. Requests under way finish as they began; those that wait for a
        target are routed anew.

        Raises:
            ValueError: it cannot be served; nothing has changed.
        """
        old = self.context.config
        made = self._builder.make(config, layout, old, self._make_models_api)
        self.context.config = made
        self._learn_refusals()
        self.reactor.clock()  # the last event may be minutes ago
        self._limit(config)
        for down in self.dispatcher.connections:
            down.memo = None  # authentication is checked again
        for listener in self._listeners:
            listener.limits = made.limits
        kept = set(map(id, made.pools.values()))
        for pool in old.pools.values():
            if id(pool) not in kept:
                pool.close()
        queue = self.context.queue
        queued = queue.waiters()
        for exchange in queued:
            queue.leave(exchange)  # all of them first: none is to wait for one behind it
        for exchange in queued:
            exchange.reroute()

    def _learn_refusals(self) -> None:
        """Learn what clouds refuse, where there are any; the supervisor forgets it at a reload."""
        if self.context.refused is None and any(provider.bridges for provider in self.providers):
            from ccrelay.fleet.refused_features import RefusedFeatures  # costs a relay without none

            self.context.refused = RefusedFeatures(self.memory)

    def take_credentials(self, issued: list[IssuedCredential]) -> None:
        """Use these credentials of clouds from now on."""
        self.reactor.clock()
        self.credentials.update(issued)
        if end_lacks(self.providers, self.reactor.now, self.context.wall()):
            self.context.queue.poke()

    # ---- life

    def listen(self, sockets: list[socket.socket]) -> None:
        """Accept on listening, non-blocking sockets."""
        for sock in sockets:
            listener = Listener(
                self.reactor, sock.fileno(), self.dispatcher, self.context.config.limits
            )
            self._listeners.append(listener)
            self._sockets.append(sock)
        self._limit(self.config)
        for listener in self._listeners:
            listener.start()
        self._health_checks.start()

    def _limit(self, config: Config) -> None:
        """Set what all connections together may have."""
        limits, files = config.server.limits, self._open_files
        self.reactor.account.bytes_max = connection_limits.memory_max(limits)
        most = connection_limits.connections_max(limits, files)
        for listener in self._listeners:
            listener.connections_max = most
            listener.unadmitted_max = connection_limits.unadmitted_max(limits, most)
        if connection_limits.too_many(limits, files):
            self.log.event(
                "warning",
                "connections_max_too_high",
                connections_max=most,
                open_files=files,
                hint="An exchange needs two descriptors: raise `ulimit -n` (LimitNOFILE=), or "
                "lower server.limits.connections_max.",
            )

    def stop_listening(self) -> None:
        """Leave new connections in the kernel's queue."""
        for listener in self._listeners:
            listener.stop()

    async def drain(self, limit_s: float, gentle: bool = False) -> int:
        """Let running exchanges finish for at most `limit_s`; returns how many were cut.

        Gentle: connections that are idle may bring one more request each, for a while.
        """
        self.stop_listening()
        self.dispatcher.draining = True
        began_at = self.loop.time()
        idle_s = GENTLE_IDLE_S if gentle else 0.0
        while True:
            now = self.loop.time()
            for down in list(self.dispatcher.connections):
                if down.exchange is None and not down.queued:
                    quiet_since = max(down.last_out_at, began_at)
                    if now >= quiet_since + idle_s:
                        down.abort_idle()
            # An exchange is over when its last byte is queued; the client has it when it is sent.
            unsent = any(down.queued for down in self.dispatcher.connections)
            busy = bool(self.context.active) or unsent
            if not (busy or (gentle and self.dispatcher.connections)) or now >= began_at + limit_s:
                break
            await asyncio.sleep(DRAIN_LOOK_S)
        cut = list(self.context.active)
        for exchange in cut:
            exchange.shut()
        return len(cut)

    async def close(self) -> None:
        """Close every connection."""
        self.stop_listening()
        for exchange in list(self.context.active):
            exchange.shut()
        for down in list(self.dispatcher.connections):
            down.abort_idle()
        for pool in self.context.config.pools.values():
            pool.close()
        self.dispatcher.refusal_log.flush()
        self._health_checks.stop()
        self.context.worker.close()
        self.context.queue.close()
        await self._tasks.cancel_all()
        self.reactor.stop()

    def stats(self) -> dict[str, int]:
        """Counts for management: connections, exchanges under way and served, idle upstreams."""
        return {
            "connections": len(self.dispatcher.connections),
            "active": len(self.context.active),
            "served": self.context.served,
            "queued": len(self.context.queue),
            "idle_upstreams": sum(pool.idle for pool in self.context.config.pools.values()),
            "dialled": sum(pool.dialled for pool in self.context.config.pools.values()),
            "body_bytes": self.reactor.arena.out,
            "held_bytes": self.reactor.account.held,
        }

    def totals(self) -> dict[str, int]:
        """What the exchanges came to since the start (`relay.totals`)."""
        return self.context.totals.values()

    def running(self, limit: int) -> bytes:
        """The oldest exchanges under way (`relay.running`)."""
        from ccrelay.relay.running import running  # only where it is watched

        try:
            return running(self.context, limit)
        except Exception as error:  # outermost shell: to be watched must harm no exchange
            self._task_failed("running", error)
            return b""

    # ---- what breakers tell

    def _breaker_changed(self, name: str, old: State, new: State) -> None:
        level = "info" if new is State.CLOSED else "warning"
        if new is State.HALF_OPEN:
            level = "debug"
        self.log.event(level, "breaker", provider=name, state=new.name.lower())
        self.context.queue.poke()

    # ---- defects

    def _crashed(self, error: BaseException, conn: Conn) -> None:
        self.log.event("error", "internal_error", error=repr(error), where=_where(error))
        if isinstance(conn, Downstream):
            self.dispatcher.connections.discard(conn)
            if conn.exchange is not None:
                conn.exchange.on_client_left()
        elif isinstance(conn, Upstream) and isinstance(conn.exchange, Exchange):
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
