"""Connections of one endpoint: idle ones kept, fresh ones dialled."""

from collections.abc import Callable

from ccrelay._fast.conn import Reactor
from ccrelay._fast.upstream import ConnectionPool, Upstream, UpstreamLimits
from ccrelay.errors import RelayError
from ccrelay.upstream.dial import Dialed, Dialer
from ccrelay.upstream.tasks import TaskSet

Ready = Callable[[Upstream | None, RelayError | None], None]


class Pool(ConnectionPool):
    """Upstream connections of one endpoint.

    Args:
        reactor: the worker's reactor.
        dialer: how fresh connections are made.
        limits: time limits of the connections.
        tasks: where dials run.
        idle_max: idle connections kept; more are closed.
    """

    def __init__(
        self,
        reactor: Reactor,
        dialer: Dialer,
        limits: UpstreamLimits,
        tasks: TaskSet,
        idle_max: int,
    ) -> None:
        self._reactor = reactor
        self._dialer = dialer
        self._limits = limits
        self._tasks = tasks
        self._idle_max = idle_max
        self._idle: list[Upstream] = []  # the last one used is the next: the others may go cold
        self.dialled = 0
        self.open = True

    def take(self) -> Upstream | None:
        """An idle connection, or None."""
        idle = self._idle
        while idle:
            upstream = idle.pop()
            if not upstream.is_closed():
                return upstream
        return None

    def give(self, upstream: Upstream) -> None:
        """A connection has finished an exchange and may serve another."""
        if self.open and len(self._idle) < self._idle_max:
            self._idle.append(upstream)
        else:
            self._forget(upstream)
            upstream.retire()

    def on_idle_closed(self, upstream: Upstream) -> None:
        """Called by an idle connection that the provider closed or whose idle time is over."""
        self._forget(upstream)
        # Seldom, and mostly the coldest: those stand at the front.
        if upstream in self._idle:
            self._idle.remove(upstream)

    def dial(self, ready: Ready) -> None:
        """Make a fresh connection; `ready(upstream, None)` or `ready(None, error)` follows."""
        self._tasks.spawn(self._dial(ready), "dial")

    async def _dial(self, ready: Ready) -> None:
        try:
            dialed = await self._dialer.dial()
        except RelayError as error:
            ready(None, error)
            return
        ready(self._adopt(dialed), None)

    def _adopt(self, dialed: Dialed) -> Upstream:
        self.dialled += 1
        upstream = Upstream(self._reactor, dialed.sock.detach(), self, self._limits)
        if dialed.tls is not None:
            tls = dialed.tls
            upstream.attach_tls(tls.obj, tls.incoming, tls.outgoing, tls.native)
            upstream.session = tls
        return upstream

    def learned(self, upstream: Upstream) -> None:
        """After the first response: keep the TLS session for the next connection."""
        if upstream.session is not None and upstream.uses == 1:
            self._dialer.remember(upstream.session)

    def _forget(self, upstream: Upstream) -> None:
        upstream.session = None

    def close(self) -> None:
        """Close the idle connections and keep no more."""
        self.open = False
        while self._idle:
            upstream = self._idle.pop()
            self._forget(upstream)
            upstream.retire()

    @property
    def dialer(self) -> Dialer:
        """How connections to the endpoint are made, for what is asked on one of its own."""
        return self._dialer

    @property
    def idle(self) -> int:
        """Idle connections."""
        return len(self._idle)
