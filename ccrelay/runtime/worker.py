"""A worker process: uvloop, one Relay, and the supervisor's orders.

Started by exec with nothing but its end of the control channel. It imports first and reads Start
then, because the supervisor is loading the configuration meanwhile. It ends when it is told to,
when it is sent SIGTERM (after draining), or when its supervisor is gone.
"""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import Any, Protocol

import uvloop

from ccrelay.config.model import Config
from ccrelay.runtime.control import (
    Channel,
    ControlError,
    Decoder,
    Drain,
    Drained,
    Failed,
    Leaving,
    Ready,
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

    async def drain(self, limit_s: float) -> int:
        """Let running exchanges finish; return how many had to be cut."""

    async def close(self) -> None:
        """Break off what is left."""

    def stats(self) -> dict[str, int]:
        """Counters by name."""


RelayFactory = Callable[[Config, asyncio.AbstractEventLoop, LogSink, int], RelayLike]


def main(make_relay: RelayFactory | None = None) -> None:
    """Run the worker whose control channel is CONTROL_FD; exits the process with 0 or 1.

    `make_relay` stands in for the real Relay in tests.
    """
    # The terminal sends Ctrl-C and its hang-up to the whole group; the supervisor decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    control = socket.socket(fileno=CONTROL_FD)
    control.set_inheritable(False)
    decoder: Decoder[ToWorker] = Decoder(ToWorker)
    try:
        make_relay = make_relay or _real_relay()
        received = receive_start(control, decoder)
        if received is None:
            return  # the supervisor gave up before the start, and said why
        log = LogWriter(received[0].config.logging, worker_id=received[0].worker_id)
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
    received: tuple[Start, list[socket.socket]],
    make_relay: RelayFactory,
    log: LogSink,
) -> bool:
    start, listeners = received
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _log_loop_error(log, context))
    channel = await Channel.open(control, decoder)
    try:
        relay = make_relay(start.config, loop, log, start.worker_id)
        relay.listen(listeners)
    except Exception as error:  # outermost shell, as in main()
        channel.send(_failed(error))
        await channel.close()
        return False
    worker = _Worker(relay, listeners, channel, start.config.server.timeouts.drain_s)
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
        drain_s: float,
    ) -> None:
        self._relay = relay
        self._listeners = listeners
        self._channel = channel
        self._drain_s = drain_s
        self._drain_limit: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            obeying = tasks.create_task(self._obey())
            draining = tasks.create_task(self._drain())
            self._channel.send(Ready())
            await asyncio.wait((obeying, draining), return_when=asyncio.FIRST_COMPLETED)
            obeying.cancel()
            draining.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._relay.close(), CLOSE_LIMIT_S)

    def leave(self) -> None:
        """SIGTERM to this worker alone: drain, and let the supervisor fill the slot at once."""
        if not self._drain_limit.done():
            self._channel.send(Leaving())
            self._drain_limit.set_result(self._drain_s)

    async def _obey(self) -> None:
        while True:
            match await self._channel.receive():
                case Drain(limit_s):
                    if not self._drain_limit.done():
                        self._drain_limit.set_result(limit_s)
                case Stats():
                    self._channel.send(StatsReply(self._relay.stats()))
                case Stop() | None:
                    return
                case Start():
                    raise ControlError("a second Start")

    async def _drain(self) -> None:
        limit_s = await self._drain_limit
        self._relay.stop_listening()
        # When the supervisor has closed its copies too, new connections are refused at once. When
        # only this worker leaves, they wait in the supervisor's copy for the next one.
        for listener in self._listeners:
            listener.close()
        self._channel.send(Drained(await self._relay.drain(limit_s)))


def _real_relay() -> RelayFactory:
    from ccrelay.relay.server import Relay  # here, so that tests run without the data plane

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
