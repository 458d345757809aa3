"""A worker process: uvloop, one Relay, and the commands of the supervisor.

Started by exec with its end of the control channel only. It imports before it reads Start, because
the supervisor loads the configuration meanwhile. It exits on Stop, after a Drain or SIGTERM has
completed, and when its supervisor is gone.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import uvloop

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.fingerprint import set_key
from ccrelay.config.model import Config
from ccrelay.fleet.credential_store import CredentialStore
from ccrelay.fleet.layout import Layout
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import (
    ControlError,
    CredentialRejected,
    Credentials,
    Decoder,
    Drain,
    Drained,
    Draining,
    Failed,
    Ready,
    Received,
    Reload,
    Reloaded,
    ReloadFailed,
    Start,
    Stats,
    StatsReply,
    Stop,
    ToWorker,
    encode,
    receive_start,
)
from ccrelay.runtime.hardening import harden_process
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.processes import BLOCKED_UNTIL_HANDLED, CONTROL_FD
from ccrelay.types import LogSink
from ccrelay.wire.cloud_credential import IssuedCredential

# Reference counts free the garbage of the data plane. By default the collector runs every 700
# allocations and walks the objects of running exchanges, which are alive. 20,000 makes that rare,
# at a bounded price: that many containers of cyclic garbage, a few MB.
GC_THRESHOLDS = (20_000, 20, 20)
CLOSE_LIMIT_S = 2.0  # a hanging close must not keep an orphaned worker alive


class RelayLike(Protocol):
    """The part of `ccrelay.relay.server.Relay` that a worker uses."""

    credentials: CredentialStore

    def listen(self, sockets: list[socket.socket]) -> None:
        """Start accepting."""

    def stop_listening(self) -> None:
        """Stop accepting; running exchanges go on."""

    def reload(self, config: Config, layout: Layout) -> None:
        """Use this for requests that start from now on; when it raises, nothing has changed."""

    def take_credentials(self, issued: list[IssuedCredential]) -> None:
        """Use these credentials of clouds from now on."""

    async def drain(self, limit_s: float, gentle: bool) -> int:
        """Let running exchanges finish for `limit_s` seconds; return how many were cut off.

        `gentle`: idle connections stay open for a while, until the client uses or closes them.
        May be cancelled, and called again with another limit.
        """

    async def close(self) -> None:
        """Abort what is left."""

    def stats(self) -> dict[str, int]:
        """Counters by name."""

    def totals(self) -> dict[str, int]:
        """What its exchanges came to, by name."""

    def running(self, limit: int) -> bytes:
        """The oldest exchanges under way, a `ccrelay.ledger.running.RunningList` as msgpack."""


RelayFactory = Callable[
    [Config, asyncio.AbstractEventLoop, LogSink, int, SharedMemory, Layout], RelayLike
]


def main(make_relay: RelayFactory | None = None) -> None:
    """Run the worker whose control channel is CONTROL_FD; exits the process with 0 or 1.

    Tests pass `make_relay` in place of the real Relay.
    """
    harden_process()
    # A terminal sends SIGINT and SIGHUP to the whole process group; the supervisor handles them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    control = socket.socket(fileno=CONTROL_FD)
    control.set_inheritable(False)
    decoder: Decoder[ToWorker] = Decoder(ToWorker)
    try:
        make_relay = make_relay or load_relay()
        received = receive_start(control, decoder)
        if received is None:
            return  # the supervisor exited before the start, and reported why
        set_key(received.start.fingerprint_key)
        log = LogWriter(received.start.config.logging, worker_id=received.start.worker_id)
    except Exception as error:  # outermost shell: the supervisor reports it
        with contextlib.suppress(OSError):
            control.sendall(encode(_failed(error)))
        sys.exit(1)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            is_ok = runner.run(_serve(control, decoder, received, make_relay, log))
    finally:
        log.close()
    sys.exit(0 if is_ok else 1)


async def _serve(
    control: socket.socket,
    decoder: Decoder[ToWorker],
    received: Received,
    make_relay: RelayFactory,
    log: LogWriter,
) -> bool:
    start, memory, listeners = received
    loop = asyncio.get_running_loop()
    log.fold_bursts(loop.call_later)
    loop.set_exception_handler(lambda _, context: _log_loop_error(log, context))
    channel = Channel(control, decoder)
    try:
        shared_memory = SharedMemory(memory, start.column)
        os.close(memory)
        relay = make_relay(start.config, loop, log, start.worker_id, shared_memory, start.layout)
        relay.credentials.refresh = lambda provider, key, serial: channel.send(
            CredentialRejected(provider, key, serial)
        )
        if start.credentials:
            relay.take_credentials(start.credentials)
        relay.listen(listeners)
    except Exception as error:  # outermost shell, as in main()
        channel.send(_failed(error))
        await channel.close()
        return False
    worker = _CommandLoop(relay, listeners, channel, log, start.config.server.timeouts.drain_s)
    loop.add_signal_handler(signal.SIGTERM, worker.drain_on_sigterm)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_UNTIL_HANDLED)
    _tune_gc()
    await worker.run()
    await channel.close()
    return True


class _CommandLoop:
    """Handles commands until Stop, the end of a drain, or the exit of the supervisor."""

    def __init__(
        self,
        relay: RelayLike,
        listeners: list[socket.socket],
        channel: Channel[ToWorker],
        log: LogWriter,
        drain_s: float,
    ) -> None:
        self._relay = relay
        self._listeners = listeners
        self._channel = channel
        self._log = log
        self._drain_s = drain_s
        self._drain_task: asyncio.Task[int] | None = None
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            handling = tasks.create_task(self._handle_commands())
            self._channel.send(Ready())
            await asyncio.wait((handling, self._finished), return_when=asyncio.FIRST_COMPLETED)
            handling.cancel()
            if self._drain_task is not None:
                self._drain_task.cancel()
        counters = self._relay.stats()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._relay.close(), CLOSE_LIMIT_S)
        if not self._finished.done():  # exchanges that were just aborted count as well
            self._channel.send(StatsReply(counters, self._relay.totals()))

    def drain_on_sigterm(self) -> None:
        """SIGTERM to this worker alone: drain, and let the supervisor fill the slot at once."""
        if self._drain_task is None:
            self._channel.send(Draining())
            self._start_drain(Drain(self._drain_s))

    async def _handle_commands(self) -> None:
        while True:
            match await self._channel.receive():
                case Drain() as command:
                    self._start_drain(command)
                case Reload(config, layout):
                    self._reload(config, layout)
                case Credentials(issued):
                    self._relay.take_credentials(issued)
                case Stats(limit):
                    running = self._relay.running(limit) if limit else b""
                    reply = StatsReply(self._relay.stats(), self._relay.totals(), running)
                    self._channel.send(reply)
                case Stop() | None:
                    return
                case Start():
                    raise ControlError("a second Start")

    def _reload(self, config: Config, layout: Layout) -> None:
        try:
            self._relay.reload(config, layout)
        except Exception as error:  # outermost shell: the old configuration stays in force
            detail = "".join(traceback.format_exception(error))
            self._log.event("error", "internal_error", error=repr(error), where=detail)
            self._channel.send(ReloadFailed(f"{type(error).__name__}: {error}"))
            return
        self._drain_s = config.server.timeouts.drain_s
        self._log.set_level(config.logging.level)
        self._channel.send(Reloaded())

    def _start_drain(self, command: Drain) -> None:
        if self._drain_task is None:
            self._relay.stop_listening()
            # On shutdown the supervisor closes its copies too, and new connections are refused.
            # When only this worker drains, they queue in the supervisor's copy for the next worker.
            for listener in self._listeners:
                listener.close()
        else:
            self._drain_task.cancel()
        self._drain_task = self._tasks.create_task(
            self._relay.drain(command.limit_s, command.gentle)
        )
        self._drain_task.add_done_callback(self._on_drained)

    def _on_drained(self, task: asyncio.Task[int]) -> None:
        if task.cancelled() or task.exception() is not None or self._finished.done():
            return  # another command came, or the task group raises the error
        self._channel.send(Drained(task.result(), self._relay.totals()))
        self._finished.set_result(None)


def load_relay() -> RelayFactory:
    """Import the data plane; a function, so that process tests run without it."""
    from ccrelay.relay.server import Relay

    return Relay


def _failed(error: Exception) -> Failed:
    detail = "".join(traceback.format_exception(error))
    return Failed(f"{type(error).__name__}: {error}", detail)


def _log_loop_error(log: LogSink, context: dict[str, Any]) -> None:
    error = context.get("exception")
    detail = "".join(traceback.format_exception(error)) if error is not None else None
    log.event("error", "event_loop_error", message=context.get("message"), detail=detail)


def _tune_gc() -> None:
    gc.collect()
    gc.freeze()  # imported objects live as long as the process: never walk them again
    gc.set_threshold(*GC_THRESHOLDS)
