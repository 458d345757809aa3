"""The manager process: one loop that runs the `App`, and the link to the supervisor.

Started by exec with its end of the control channel only. It exits on ManagerStop, and when its
supervisor is gone. It ignores the signals that stop a relay: a service manager sends them to all
processes, and the records of workers that drain are still to be written.
"""

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from ccrelay.config.fingerprint import set_key
from ccrelay.config.model import Logging
from ccrelay.manager.link import SupervisorLink
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import ControlError, Decoder, encode, receive_first
from ccrelay.runtime.hardening import harden_process
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.manager_link import (
    ConfigChanged,
    ManagerFailed,
    ManagerStart,
    ManagerStop,
    ToManager,
)
from ccrelay.runtime.processes import BLOCKED_UNTIL_HANDLED, CONTROL_FD
from ccrelay.types import LogEntry, LogSink

CLOSE_LIMIT_S: Final = 2.5  # less than the supervisor waits before SIGKILL
ORPHAN_LIMIT_S: Final = 4.0  # from the end of the supervisor to that of the manager
# The data plane goes first; but not while the manager starts: on a busy machine that would take
# several times as long.
NICENESS: Final = 5
OOM_SCORE_ADJUSTMENT: Final = 500  # of 1000: the kernel takes this process before a worker


# Framed while there is memory.
OUT_OF_MEMORY: Final = encode(ManagerFailed("it is out of memory", ""))


class AppLike(Protocol):
    """The part of `ccrelay.manager.app.App` that the process uses."""

    async def start(self) -> None:
        """Open the ledger and serve the doors."""

    def on_message(self, message: ToManager) -> None:
        """Take in what the supervisor tells; never a Reply or ManagerStop."""

    async def close(self) -> None:
        """Write what there is and close everything."""


AppFactory = Callable[
    [
        ManagerStart,
        SupervisorLink,
        LogSink,
        int,
        socket.socket | None,
        socket.socket | None,
        list[int],
    ],
    AppLike,
]


class ManagerLog:
    """A `LogSink` whose events have the member `manager`, the process id.

    Args:
        settings: as those of the supervisor.
    """

    def __init__(self, settings: Logging) -> None:
        self._writer = LogWriter(settings)
        self._pid = os.getpid()

    def event(self, level: str, name: str, **fields: object) -> None:
        """Write one event, unless its level is below the configured one."""
        self._writer.event(level, name, manager=self._pid, **fields)

    def exchange(self, entry: LogEntry) -> None:
        """Nothing: exchanges are logged by workers."""

    def set_level(self, level: str) -> None:
        """Write events from this level on."""
        self._writer.set_level(level)

    def close(self) -> None:
        """Write the queued lines."""
        self._writer.close()


def main(make_app: AppFactory | None = None) -> None:
    """Run the manager whose control channel is CONTROL_FD; exits the process with 0 or 1.

    Tests pass `make_app` in place of the real App.
    """
    _offer_to_the_oom_killer()
    harden_process()
    for number in BLOCKED_UNTIL_HANDLED:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_UNTIL_HANDLED)
    control = socket.socket(fileno=CONTROL_FD)
    control.set_inheritable(False)
    decoder: Decoder[ToManager] = Decoder(ToManager)
    try:
        make_app = make_app or _load_app()
        with contextlib.suppress(OSError):
            os.nice(NICENESS)  # of this thread and those that it starts
        received = receive_first(control, decoder)
        if received is None:
            return  # the supervisor is gone
        start, descriptors = received
        if not isinstance(start, ManagerStart) or not descriptors:
            raise ControlError(f"expected ManagerStart and descriptors, got {type(start).__name__}")
        set_key(start.fingerprint_key)
        log = ManagerLog(start.config.logging)
    except Exception as error:  # outermost shell: the supervisor reports it
        with contextlib.suppress(OSError):
            control.sendall(encode(_failed(error)))
        sys.exit(1)
    _exit_with(control)
    try:
        is_ok = asyncio.run(_serve(control, decoder, start, descriptors, make_app, log))
    except Exception as error:  # outermost shell: the supervisor starts another manager
        where = "".join(traceback.format_exception(error))
        log.event("error", "internal_error", error=repr(error), where=where)
        is_ok = False
    finally:
        log.close()
    sys.exit(0 if is_ok else 1)


async def _serve(
    control: socket.socket,
    decoder: Decoder[ToManager],
    start: ManagerStart,
    descriptors: list[int],
    make_app: AppFactory,
    log: ManagerLog,
) -> bool:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: _on_loop_error(log, control, context))
    channel: Channel[ToManager] = Channel(control, decoder)
    link = SupervisorLink(channel)
    memory_fd, *sockets = descriptors
    unix = socket.socket(fileno=sockets.pop(0)) if start.socket else None
    tcp = socket.socket(fileno=sockets.pop(0)) if start.http_listen else None
    try:
        app = make_app(start, link, log, memory_fd, unix, tcp, sockets)
        error = await _run(app, link, log)
    except Exception as failure:  # outermost shell, as in main()
        error = failure
    if error is not None:
        channel.send(_failed(error))
    await channel.close()
    return error is None


async def _run(app: AppLike, link: SupervisorLink, log: ManagerLog) -> Exception | None:
    """Run the app until it is to stop; why it could not start, None: it did."""
    stopping = asyncio.Event()

    def on_message(message: ToManager) -> None:
        if isinstance(message, ManagerStop):
            stopping.set()
            return
        if isinstance(message, ConfigChanged):
            log.set_level(message.config.logging.level)
        app.on_message(message)

    async with asyncio.TaskGroup() as tasks:
        receiving = tasks.create_task(link.receive(on_message))
        receiving.add_done_callback(lambda _: stopping.set())
        waiting = tasks.create_task(stopping.wait())
        starting = tasks.create_task(_start(app))
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
        error = None if starting.cancelled() else starting.result()
        beating = None
        if error is None:
            link.send_ready()
            beating = tasks.create_task(link.beat())
            await stopping.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(app.close(), CLOSE_LIMIT_S)
        for task in (receiving, waiting, beating):
            if task is not None:
                task.cancel()
    return error


async def _start(app: AppLike) -> Exception | None:
    try:
        await app.start()
    except Exception as error:  # outermost shell: the supervisor is told
        return error
    return None


def _load_app() -> AppFactory:
    from ccrelay.manager.app import App

    return App


def _offer_to_the_oom_killer() -> None:
    # Before the process is hardened: afterwards the file belongs to root.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJUSTMENT))


def _exit_with(control: socket.socket) -> None:
    """End the process some seconds after its supervisor, even when the loop hangs."""
    poll = select.poll()
    ours = control.dup()
    poll.register(ours, 0)  # POLLHUP is reported without being asked for

    def wait() -> None:
        poll.poll()
        time.sleep(ORPHAN_LIMIT_S)
        ours.close()
        os._exit(1)

    threading.Thread(target=wait, name="ccrelay-orphan", daemon=True).start()


def _failed(error: Exception) -> ManagerFailed:
    detail = "".join(traceback.format_exception(error))
    return ManagerFailed(f"{type(error).__name__}: {error}", detail)


def _on_loop_error(log: LogSink, control: socket.socket, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, MemoryError):
        # Nothing can be relied on from here; another manager starts with what it needs.
        with contextlib.suppress(OSError):
            control.send(OUT_OF_MEMORY)
        os._exit(1)
    detail = "".join(traceback.format_exception(error)) if error is not None else None
    log.event("error", "event_loop_error", message=context.get("message"), detail=detail)
