"""A worker process: uvloop, one Relay, and the supervisor's orders.

Started by exec with nothing but its end of the control channel. It imports first and reads Start
then, because the supervisor is loading the configuration meanwhile. It ends when it is told to,
when it is sent SIGTERM (after draining), or when its supervisor is gone.
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
from ccrelay.config.model import Config
from ccrelay.fleet.layout import Layout
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import (
    ControlError,
    Decoder,
    Drain,
    Drained,
    Failed,
    Leaving,
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
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.processes import BLOCKED_UNTIL_HANDLED, CONTROL_FD
from ccrelay.types import LogSink

# Garbage of the data plane is freed by reference counts. What the collector walks, every 700
# allocations by default, are the objects of running exchanges, which are alive. 20,000 makes that
# rare, at a bounded price: that many containers of cyclic garbage, a few MB.
GC_THRESHOLDS = (20_000, 20, 20)
CLOSE_LIMIT_S = 2.0  # closing must not keep alive a worker whose supervisor is gone


class RelayLike(Protocol):
    """What a worker needs of `ccrelay.relay.server.Relay`."""

    def listen(self, sockets: list[socket.socket]) -> None:
        """Start accepting."""

    def stop_listening(self) -> None:
        """Stop accepting; running exchanges go on."""

    def reload(self, config: Config, layout: Layout) -> None:
        """Serve requests that begin from now on by this; raise, and nothing has changed."""

    async def drain(self, limit_s: float, gentle: bool) -> int:
        """Let running exchanges finish; return how many had to be cut.

        `gentle`: idle connections stay open until the client has used or closed them, for a while.
        It may be cancelled, and called again with another limit.
        """

    async def close(self) -> None:
        """Break off what is left."""

    def stats(self) -> dict[str, int]:
        """Counters by name."""


RelayFactory = Callable[
    [Config, asyncio.AbstractEventLoop, LogSink, int, SharedMemory, Layout], RelayLike
]


def main(make_relay: RelayFactory | None = None) -> None:
    """Run the worker whose control channel is CONTROL_FD; exits the process with 0 or 1.

    `make_relay` stands in for the real Relay in tests.
    """
    # The terminal sends Ctrl-C and its hang-up to the whole group; the supervisor decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    control = socket.socket(fileno=CONTROL_FD)
    control.set_inheritable(False)
    decoder: Decoder[ToWorker] = Decoder(ToWorker)
    try:
        make_relay = make_relay or real_relay()
        received = receive_start(control, decoder)
        if received is None:
            return  # the supervisor gave up before the start, and said why
        log = LogWriter(received.start.config.logging, worker_id=received.start.worker_id)
    except Exception as error:  # outermost shell: the supervisor tells the user
        with contextlib.suppress(OSError):
            control.sendall(encode(_failed(error)))
        sys.exit(1)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            is_fine = runner.run(_serve(control, decoder, received, make_relay, log))
    finally:
        log.close()
    sys.exit(0 if is_fine else 1)


async def _serve(
    control: socket.socket,
    decoder: Decoder[ToWorker],
    received: Received,
    make_relay: RelayFactory,
    log: LogSink,
) -> bool:
    start, memory, listeners = received
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _log_loop_error(log, context))
    channel = Channel(control, decoder)
    try:
        board = SharedMemory(memory, start.column)
        os.close(memory)
        relay = make_relay(start.config, loop, log, start.worker_id, board, start.layout)
        relay.listen(listeners)
    except Exception as error:  # outermost shell, as in main()
        channel.send(_failed(error))
        await channel.close()
        return False
    worker = _Worker(relay, listeners, channel, log, start.config.server.timeouts.drain_s)
    loop.add_signal_handler(signal.SIGTERM, worker.leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_UNTIL_HANDLED)
    _settle_memory()
    await worker.run()
    await channel.close()
    return True


class _Worker:
    """Obeys until it is told to end, has drained, or the supervisor is gone."""

    def __init__(
        self,
        relay: RelayLike,
        listeners: list[socket.socket],
        channel: Channel[ToWorker],
        log: LogSink,
        drain_s: float,
    ) -> None:
        self._relay = relay
        self._listeners = listeners
        self._channel = channel
        self._log = log
        self._drain_s = drain_s
        self._draining: asyncio.Task[int] | None = None
        self._is_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            obeying = tasks.create_task(self._obey())
            self._channel.send(Ready())
            await asyncio.wait((obeying, self._is_over), return_when=asyncio.FIRST_COMPLETED)
            obeying.cancel()
            if self._draining is not None:
                self._draining.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._relay.close(), CLOSE_LIMIT_S)

    def leave(self) -> None:
        """SIGTERM to this worker alone: drain, and let the supervisor fill the slot at once."""
        if self._draining is None:
            self._channel.send(Leaving())
            self._drain(Drain(self._drain_s))

    async def _obey(self) -> None:
        while True:
            match await self._channel.receive():
                case Drain() as order:
                    self._drain(order)
                case Reload(config, layout):
                    self._reload(config, layout)
                case Stats():
                    self._channel.send(StatsReply(self._relay.stats()))
                case Stop() | None:
                    return
                case Start():
                    raise ControlError("a second Start")

    def _reload(self, config: Config, layout: Layout) -> None:
        try:
            self._relay.reload(config, layout)
        except Exception as error:  # outermost shell: what served goes on serving
            detail = "".join(traceback.format_exception(error))
            self._log.event("error", "internal_error", error=repr(error), where=detail)
            self._channel.send(ReloadFailed(f"{type(error).__name__}: {error}"))
            return
        self._drain_s = config.server.timeouts.drain_s
        self._channel.send(Reloaded())

    def _drain(self, order: Drain) -> None:
        if self._draining is None:
            self._relay.stop_listening()
            # When the supervisor has closed its copies too, new connections are refused at once.
            # When only this worker leaves, they wait in the supervisor's copy for the next one.
            for listener in self._listeners:
                listener.close()
        else:
            self._draining.cancel()
        self._draining = self._tasks.create_task(self._relay.drain(order.limit_s, order.gentle))
        self._draining.add_done_callback(self._on_drained)

    def _on_drained(self, draining: asyncio.Task[int]) -> None:
        if draining.cancelled() or draining.exception() is not None or self._is_over.done():
            return  # another order came, or the task group tells of it
        self._channel.send(Drained(draining.result()))
        self._is_over.set_result(None)


def real_relay() -> RelayFactory:
    """The data plane; imported by the call, so that tests of processes run without it."""
    from ccrelay.relay.server import Relay

    return Relay


def _failed(error: Exception) -> Failed:
    detail = "".join(traceback.format_exception(error))
    return Failed(f"{type(error).__name__}: {error}", detail)


def _log_loop_error(log: LogSink, context: dict[str, Any]) -> None:
    error = context.get("exception")
    detail = "".join(traceback.format_exception(error)) if error is not None else None
    log.event("error", "loop_error", message=context.get("message"), detail=detail)


def _settle_memory() -> None:
    gc.collect()
    gc.freeze()  # what was imported lives as long as the process: never walk it again
    gc.set_threshold(*GC_THRESHOLDS)
