"""Connection pool of one endpoint: keeps idle connections and dials new ones."""

from collections.abc import Callable

from ccrelay._fast.conn import Reactor
from ccrelay._fast.handlers import ConnectionPool, UpstreamLimits
from ccrelay._fast.upstream import Upstream
from ccrelay.errors import RelayError
from ccrelay.upstream.dial import Dialed, Dialer
from ccrelay.upstream.tasks import TaskSet

Ready = Callable[[Upstream | None, RelayError | None], None]


class Pool(ConnectionPool):
    """Upstream connections of one endpoint.

    Args:
        reactor: the worker's reactor.
        dialer: opens new connections.
        limits: time limits of the connections.
        tasks: runs the dials.
        idle_max: idle connections to keep; excess ones are closed.
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
        self._idle: list[Upstream] = []  # LIFO: unused connections go idle and expire
        self.dialled = 0
        self.open = True

    def take(self) -> Upstream | None:
        """Take an idle connection out of the pool, or None."""
        idle = self._idle
        while idle:
            upstream = idle.pop()
            if not upstream.is_closed():
                return upstream
        return None

    def give(self, upstream: Upstream) -> None:
        """Put a reusable connection back after an exchange."""
        if self.open and len(self._idle) < self._idle_max:
            self._idle.append(upstream)
        else:
            self._forget(upstream)
            upstream.retire()

    def on_idle_closed(self, upstream: Upstream) -> None:
        """Callback of an idle connection that the provider closed or whose idle time is over."""
        self._forget(upstream)
        # Rare, and usually one of the oldest, which are at the front.
        if upstream in self._idle:
            self._idle.remove(upstream)

    def dial(self, ready: Ready) -> None:
        """Open a new connection, then call `ready(upstream, None)` or `ready(None, error)`."""
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
        """Store the TLS session for later connections; call it after the first response."""
        if upstream.session is not None and upstream.uses == 1:
            self._dialer.remember(upstream.session)

    def _forget(self, upstream: Upstream) -> None:
        upstream.session = None

    def close(self) -> None:
        """Close the idle connections and accept no more."""
        self.open = False
        while self._idle:
            upstream = self._idle.pop()
            self._forget(upstream)
            upstream.retire()

    @property
    def dialer(self) -> Dialer:
        """The endpoint's dialer, for requests on a connection of their own."""
        return self._dialer

    @property
    def idle(self) -> int:
        """Number of idle connections."""
        return len(self._idle)
