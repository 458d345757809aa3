"""The worker processes of one supervisor, from spawn until they are reaped.

spawned --Ready--> serving --Draining, or drain()--> draining --exit--> reaped
   |                  |
   +----- exits ------+--> reaped, and the supervisor fills the slot again
"""

import asyncio
import errno
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

from ccrelay.config.fingerprint import current_key
from ccrelay.config.model import Config
from ccrelay.fleet.layout import Layout
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.cloud_credentials import CloudCredentials
from ccrelay.runtime.control import (
    ControlError,
    CredentialRejected,
    Credentials,
    Decoder,
    Drain,
    Drained,
    Draining,
    Failed,
    FromWorker,
    Ready,
    Reload,
    Reloaded,
    ReloadFailed,
    Start,
    Stats,
    StatsReply,
    Stop,
    encode,
    send_start,
)
from ccrelay.runtime.memory import MemoryAllocator
from ccrelay.runtime.processes import WorkerProcess, describe_exit
from ccrelay.types import LogSink
from ccrelay.wire.cloud_credential import IssuedCredential

EXIT_TIMEOUT_S = 3.0  # from closing its channel to SIGKILL: a worker flushes its log meanwhile
RUNNING_TIMEOUT_S = 0.5  # who watches does not wait longer for a worker that hangs
UNANSWERED_MAX = 4  # questions after which a worker is not asked for its exchanges
RELOAD_TIMEOUT_S = 30.0  # a worker that has not replied by then has failed the reload

Value = TypeVar("Value")


class ConfigSnapshot(NamedTuple):
    """A checked configuration and the memory slots of its targets and endpoints."""

    config: Config
    layout: Layout


class Worker:
    """The supervisor's handle on one worker process.

    Args:
        slot: index of its listening sockets; its number in logs.
        column: its column in the shared memory; None when it uses an older memory than the pool.
        is_previous: started by an earlier image of this supervisor.
        started_at_ms: since 1970; None: now.
    """

    def __init__(
        self,
        slot: int,
        process: WorkerProcess,
        column: int | None,
        *,
        is_previous: bool = False,
        started_at_ms: int | None = None,
    ) -> None:
        self.slot = slot
        self.process = process
        self.column = column
        self.is_previous = is_previous
        self.started_at = time.monotonic()
        self.started_at_ms = int(time.time() * 1000) if started_at_ms is None else started_at_ms
        self.channel: Channel[FromWorker] | None = None
        self.is_ready = False
        self.is_draining = False
        self.error: str | None = None
        self.takes_credentials = True  # one of an older version ends when it is sent them
        self.cut = 0
        self.totals: dict[str, int] = {}  # what its exchanges came to, as last told
        self.running = b""  # its exchanges under way, as last told
        self.slot_free = asyncio.Event()  # the slot can take another worker
        self.exited = asyncio.Event()  # the exit status is there
        self.reaped = asyncio.Event()  # everything it held is released
        # Requests without a reply yet, in order; a reload resolves to an error or None.
        self.pending_stats: list[asyncio.Future[dict[str, int]]] = []
        self.pending_reloads: list[asyncio.Future[str | None]] = []

    @property
    def is_active(self) -> bool:
        """Whether it serves, or will, until further notice."""
        return not (self.is_draining or self.is_previous)

    @property
    def is_exiting(self) -> bool:
        """Whether its channel is closed, but it has not been reaped."""
        return self.channel is None or self.process.control.fileno() < 0

    def send(self, message: Drain | Stop | Stats | Credentials) -> None:
        """Send a message; a worker that is gone is noticed by `WorkerPool.monitor`."""
        if self.channel is not None:
            self.channel.send(message)

    def exit_report(self) -> tuple[str, bool, float]:
        """Once it has exited: its error, whether it had become ready, its age in seconds."""
        status = describe_exit(self.process.exit_code or 0)
        error = self.error or f"a worker could not start: {status}"
        return error, self.is_ready, time.monotonic() - self.started_at

    def __repr__(self) -> str:
        return f"<Worker slot={self.slot} ready={self.is_ready} {self.process!r}>"


class WorkerPool:
    """Spawns workers, talks to them, and reaps them.

    Args:
        snapshot: what a worker starts with; `reload` replaces it.
        memory: the memory that workers share.
        log: receives the worker_* events.
        on_change: called when a worker has become ready, drains, or is gone.
        credentials: those of clouds; None: there are none.
    """

    def __init__(
        self,
        snapshot: ConfigSnapshot,
        memory: MemoryAllocator,
        log: LogSink,
        on_change: Callable[[], None],
        credentials: CloudCredentials | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.credentials = credentials or CloudCredentials(snapshot.config, log)
        self.credentials.on_issued = self._send_credentials
        self.workers: set[Worker] = set()
        # None until the shutdown begins.
        self.shutdown: Drain | Stop | None = None
        self._past_totals: Counter[str] = Counter()  # of workers that are gone
        self._memory = memory
        self._log = log
        self._on_change = on_change

    def spawn(
        self,
        slot: int,
        start_process: Callable[[], WorkerProcess],
        listeners: list[socket.socket],
    ) -> Worker:
        """Start one more worker; the caller runs `monitor` for it.

        Raises OSError when there is no free column, or no process can be started.
        """
        column = self._memory.acquire_column()
        if column is None:
            raise OSError(errno.EAGAIN, "too many workers are still draining")
        try:
            worker = Worker(slot, start_process(), column)
        except OSError:
            self._memory.release_column(column)
            raise
        self.workers.add(worker)
        config, layout = self.snapshot
        issued = self.credentials.issued()
        start = Start(config, slot, layout, column, current_key(), issued)
        self._send_start(worker, start, listeners)
        return worker

    def _send_start(self, worker: Worker, start: Start, listeners: list[socket.socket]) -> None:
        control = worker.process.control
        control.setblocking(False)
        try:
            unsent = send_start(control, start, self._memory.fd, listeners)
        except ControlError as error:
            self._on_protocol_error(worker, error)
        except OSError:
            pass  # it has exited already; its exit status says why
        else:
            worker.channel = Channel(control, Decoder[FromWorker](FromWorker), unsent)

    async def monitor(self, worker: Worker) -> None:
        """Receive its messages until it has been reaped."""
        try:
            while worker.channel and (message := await worker.channel.receive()) is not None:
                self._on_message(worker, message)
        except ControlError as error:
            self._on_protocol_error(worker, error)
        if worker.channel is not None:
            worker.channel.abort()  # a worker exits when its channel closes
        worker.process.control.close()
        self.reap()  # SIGCHLD may have come before its handler was installed
        try:
            await asyncio.wait_for(worker.exited.wait(), EXIT_TIMEOUT_S)
        except TimeoutError:
            worker.process.kill()
            await worker.exited.wait()
        self._on_exit(worker)

    async def reload(self, snapshot: ConfigSnapshot) -> dict[Worker, str]:
        """Send a configuration to the active workers; later ones start with it.

        Returns the workers that failed, each with its error. Raises ControlError when the
        configuration cannot be encoded; then no worker has received it.
        """
        frame = encode(Reload(snapshot.config, snapshot.layout))
        self.snapshot = snapshot
        self.credentials.configure(snapshot.config)
        replies: dict[asyncio.Future[str | None], Worker] = {}
        for worker in self.workers:
            if worker.is_active and worker.channel is not None:
                reply: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
                worker.pending_reloads.append(reply)
                replies[reply] = worker
                worker.channel.send_raw(frame)
        if not replies:
            return {}
        done, late = await asyncio.wait(replies, timeout=RELOAD_TIMEOUT_S)
        failed = {replies[reply]: f"no reply within {RELOAD_TIMEOUT_S:g} s" for reply in late}
        for reply in done:
            if (error := reply.result()) is not None:
                failed[replies[reply]] = error
        return failed

    def drain(self, workers: Iterable[Worker], limit_s: float) -> None:
        """Drain some workers gently, because others have their slots, or will."""
        for worker in workers:
            worker.send(Drain(limit_s, gentle=True))
            self._mark_draining(worker)

    def shut_down(self, command: Drain | Stop) -> None:
        """Send the command to all workers. No other is expected from then on."""
        self.shutdown = command
        for worker in self.workers:
            worker.send(command)

    async def stats(self) -> list[dict[str, int]]:
        """Counters of every worker that is ready; one that exits meanwhile is left out."""
        replies = await asyncio.gather(*self.ask_stats(), return_exceptions=True)
        return [reply for reply in replies if isinstance(reply, dict)]

    def ask_stats(self) -> list[asyncio.Future[dict[str, int]]]:
        """Ask every worker that is ready for its counters; cancelled when it exits before."""
        pending: list[asyncio.Future[dict[str, int]]] = []
        for worker in self.workers:
            if worker.is_ready and worker.channel is not None:
                worker.pending_stats.append(asyncio.get_running_loop().create_future())
                pending.append(worker.pending_stats[-1])
                worker.send(Stats())
        return pending

    async def running(self, limit: int) -> list[bytes]:
        """Exchanges under way of every worker that is ready, the oldest `limit` of each.

        Those that exit meanwhile are left out, and those that do not answer in time.
        """
        asked: dict[asyncio.Future[dict[str, int]], Worker] = {}
        for worker in self.workers:
            hangs = len(worker.pending_stats) >= UNANSWERED_MAX
            if worker.is_ready and worker.channel is not None and not hangs:
                worker.running = b""
                future: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()
                worker.pending_stats.append(future)
                asked[future] = worker
                worker.send(Stats(limit))
        if asked:
            await asyncio.wait(asked, timeout=RUNNING_TIMEOUT_S)
        return [worker.running for worker in asked.values() if worker.running]

    def poll_stats(self) -> None:
        """Have the workers tell their totals: one that dies without a word has told before."""
        for worker in self.workers:
            # One that does not answer is not asked again.
            if worker.is_ready and worker.channel is not None and not worker.pending_stats:
                worker.pending_stats.append(asyncio.get_running_loop().create_future())
                worker.send(Stats())

    def totals(self) -> dict[str, int]:
        """What the exchanges of all workers came to since the start, as last told, by name."""
        totals = self._past_totals.copy()
        for worker in self.workers:
            totals.update(worker.totals)
        return dict(totals)

    @property
    def past_totals(self) -> dict[str, int]:
        """The part of `totals` of workers that are gone; set it after an upgrade."""
        return dict(self._past_totals)

    @past_totals.setter
    def past_totals(self, totals: Mapping[str, int]) -> None:
        self._past_totals = Counter(totals)

    async def wait_for_exits(self) -> None:
        """Wait until no worker is exiting: EXIT_TIMEOUT_S for each, but others may follow."""
        while exiting := [worker for worker in self.workers if worker.is_exiting]:
            await exiting[0].reaped.wait()

    @property
    def is_upgrade_incomplete(self) -> bool:
        """Whether workers of an earlier image still serve because the new ones do not start."""
        return any(worker.is_previous and not worker.is_draining for worker in self.workers)

    def slots_ready(self) -> int:
        """How many slots are served by this image's workers."""
        return len({w.slot for w in self.workers if w.is_ready and w.is_active})

    def reap(self) -> None:
        """Collect the exit status of workers that have exited (SIGCHLD)."""
        for worker in self.workers:
            if worker.process.reap():
                worker.exited.set()
        self.credentials.reap()

    def kill(self) -> None:
        """Send SIGKILL to the workers that are left when the shutdown timeout is over."""
        for worker in self.workers:
            self._log.event("warning", "worker_killed", worker=worker.slot, pid=worker.process.pid)
            worker.process.kill()

    def close(self) -> None:
        """Kill and reap what is left, whatever happened; blocks for that moment."""
        for worker in self.workers:
            worker.process.close()
        self.workers.clear()
        self.credentials.close()

    def _on_message(self, worker: Worker, message: FromWorker) -> None:
        match message:
            case Ready():
                worker.is_ready = True
                self._log.event("debug", "worker_ready", worker=worker.slot, pid=worker.process.pid)
                self._on_change()
            case Failed(error, detail):
                worker.error = error
                self._log.event("debug", "worker_start_failed", worker=worker.slot, detail=detail)
            case Reloaded():
                _resolve_first(worker.pending_reloads, None)
            case ReloadFailed(error):
                _resolve_first(worker.pending_reloads, error)
            case Draining():
                self._mark_draining(worker)
            case Drained(cut, totals):
                worker.cut = cut
                worker.totals = totals or worker.totals
            case CredentialRejected(provider, key, serial):
                self.credentials.rejected(provider, key, serial)
            case StatsReply(values, totals, running):
                worker.totals = totals or worker.totals
                worker.running = running
                _resolve_first(worker.pending_stats, values)

    def _send_credentials(self, issued: list[IssuedCredential]) -> None:
        for worker in self.workers:  # those that drain, too: they may have to ask once more
            if worker.takes_credentials:
                worker.send(Credentials(issued))

    def _mark_draining(self, worker: Worker) -> None:
        worker.is_draining = True
        worker.slot_free.set()
        self._log.event("info", "worker_draining", worker=worker.slot, pid=worker.process.pid)
        self._on_change()

    def _on_protocol_error(self, worker: Worker, error: ControlError) -> None:
        worker.error = worker.error or str(error)
        self._log.event("error", "worker_protocol_error", worker=worker.slot, error=str(error))
        worker.process.kill()

    def _on_exit(self, worker: Worker) -> None:
        self.workers.discard(worker)
        self._past_totals.update(worker.totals)
        worker.process.close()
        for pending in worker.pending_stats:
            pending.cancel()
        for reply in worker.pending_reloads:
            if not reply.done():
                reply.set_result(None)  # its replacement starts with the new configuration
        released = 0 if worker.column is None else self._memory.release_column(worker.column)
        worker.slot_free.set()
        worker.reaped.set()
        exit_code = worker.process.exit_code or 0
        fields: dict[str, object] = {
            "worker": worker.slot,
            "pid": worker.process.pid,
            "exit_status": describe_exit(exit_code),
            "cut": worker.cut,
            "released": released,
            "error": worker.error,
        }
        if exit_code == 0 and (worker.is_draining or self.shutdown is not None):
            self._log.event("info", "worker_exited", **fields)
        else:
            self._log.event("error", "worker_died", **fields)
        self._on_change()


def _resolve_first(pending: list[asyncio.Future[Value]], value: Value) -> None:
    if pending:
        future = pending.pop(0)
        if not future.done():
            future.set_result(value)
