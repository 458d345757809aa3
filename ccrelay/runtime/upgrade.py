"""Replace the program under a running relay: new code, same process id, no connection lost.

    old image                                     new image (same process)
      rehearse: a child of the new code must
        import and load everything
      write down what is open, exec itself -----> take over: listeners, memory, old workers
                                                  start new workers
                                                  all ready: old workers leave gently

Sockets stay open all the while, so nobody is refused. The new image takes the configuration that
the rehearsal read: what could go wrong with it went wrong there, with nothing at stake.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import msgspec

from ccrelay.config.load import VARIABLE
from ccrelay.config.model import Config
from ccrelay.config.problems import ConfigError
from ccrelay.runtime import listeners
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.control import Decoder, FromWorker
from ccrelay.runtime.crew import Crew, Member, Snapshot
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.memory import Allotment, Memory, anonymous_file
from ccrelay.runtime.processes import HANDOVER_VARIABLE, REHEARSAL_VARIABLE, WorkerProcess
from ccrelay.runtime.source import Source
from ccrelay.types import LogSink

REHEARSAL_S = 30.0  # importing takes 0.2 s; the rest is for ${cmd:...}
ERROR_LENGTH_MAX = 4000
# Blocked from before the exec until the new image has its handlers: none is lost, none kills.
HELD_BACK = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)


class UpgradeFailed(Exception):
    """The new code will not run. The message says why; nothing has changed."""


class Prepared(msgspec.Struct, frozen=True):
    """What a rehearsal found: the checked configuration, and what of it belongs into the log.

    `file` is the path that it was read from, None when there is no file; bytes, since it need not
    be text.
    """

    config: Config
    digest: bytes | None
    warnings: list[str]
    file: bytes | None = None


class HandedWorker(msgspec.Struct, frozen=True):
    """A worker that goes on. `received` and `unsent` are bytes of its channel under way."""

    slot: int
    pid: int
    control: int
    column: int | None
    is_ready: bool
    is_leaving: bool
    received: bytes
    unsent: bytes


class Handover(msgspec.Struct, frozen=True):
    """What one image leaves to the next. Numbers of sockets and memory are descriptors.

    `is_reload_due`, `is_upgrade_due`: somebody asked for one meanwhile, and still waits.

    `listen` is what the sockets of `slots` are bound to, whatever the configuration says by now.

    Read by newer versions than the one that wrote it: members are added, with a default, and
    neither renamed nor given another meaning.
    """

    listen: str
    slots: list[list[int]]
    memory: int
    allotment: Allotment
    workers: list[HandedWorker]
    prepared: msgspec.Raw
    is_reload_due: bool = False
    is_upgrade_due: bool = False

    def loaded(self) -> Prepared:
        """The configuration as the rehearsal read it.

        Raises msgspec.DecodeError when it was not this code that rehearsed.
        """
        return msgspec.msgpack.decode(self.prepared, type=Prepared)

    @property
    def descriptors(self) -> list[int]:
        """Everything that has to stay open over the exec."""
        sockets = [fd for slot in self.slots for fd in slot]
        return [self.memory, *sockets, *(worker.control for worker in self.workers)]


class Estate(NamedTuple):
    """What a supervisor begins with, made afresh or taken over.

    `listen` is what the sockets of `slots` are bound to: the configuration's, unless that could not
    be had. `old` are workers of the image before, `surplus` its sockets that have no slot any more.
    `is_reload_due`, `is_upgrade_due`: begin with one.
    """

    snapshot: Snapshot
    slots: listeners.Slots
    listen: str
    memory: Memory
    old: Sequence[Member] = ()
    surplus: Sequence[socket.socket] = ()
    is_reload_due: bool = False
    is_upgrade_due: bool = False

    @property
    def started(self) -> Config:
        """The configuration that listeners and processes were really made with."""
        config = self.snapshot.config
        server = msgspec.structs.replace(config.server, listen=self.listen, workers=len(self.slots))
        return msgspec.structs.replace(config, server=server)


# ---- the rehearsal: a child process of the new code


async def rehearse(file: Path | None) -> bytes:
    """Let the new code load everything, without serving; returns its `Prepared`, encoded.

    It reads `file`, as a reload would; with None it looks for one. Raises UpgradeFailed.
    """
    fd = anonymous_file()
    env = {**os.environ, REHEARSAL_VARIABLE: str(fd)}
    if file is not None:
        env[VARIABLE] = str(file)  # else another file would be found while this one is away
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *sys.orig_argv[1:],
            env=env,
            pass_fds=(fd,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        said = await _ending(process)
        if process.returncode != 0:
            text = said.decode(errors="replace").strip()[-ERROR_LENGTH_MAX:]
            raise UpgradeFailed(text or f"the new code ended with {process.returncode}")
        if prepared := os.pread(fd, os.fstat(fd).st_size, 0):
            return prepared
        raise UpgradeFailed("the new code does not know how to take over")
    except OSError as error:
        raise UpgradeFailed(str(error)) from error
    finally:
        os.close(fd)


async def _ending(process: asyncio.subprocess.Process) -> bytes:
    try:
        _, said = await asyncio.wait_for(process.communicate(), REHEARSAL_S)
        return said
    except TimeoutError:
        raise UpgradeFailed(f"the new code was not ready within {REHEARSAL_S:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def perform(source: Source, fd: int) -> None:
    """The child's part: load all that a supervisor and a worker need, write `Prepared` to `fd`.

    Raises ConfigError, ImportError, OSError: the parent shows what was said.
    """
    from ccrelay.runtime.worker import real_relay

    real_relay()
    try:
        loaded = source.load()
    except ConfigError as error:  # what is said becomes the error of the upgrade: no warnings in it
        raise ConfigError(p for p in error.problems if p.severity == "error") from None
    LogWriter(loaded.config.logging).close()
    file = None if source.path is None else os.fsencode(source.path)
    prepared = Prepared(loaded.config, source.seen, list(map(str, loaded.warnings)), file)
    os.pwrite(fd, msgspec.msgpack.encode(prepared), 0)


# ---- the old image


def replace_image(
    crew: Crew,
    slots: listeners.Slots,
    memory: Memory,
    prepared: bytes,
    *,
    listen: str,
    is_reload_due: bool,
    is_upgrade_due: bool,
    log: LogWriter,
) -> NoReturn:
    """Become the new code. Raises OSError when that cannot be, and nothing has changed.

    Call it right after `Crew.settled`: who is ending cannot be handed over.
    """
    workers = [_handed(member) for member in crew.members]
    columns = [worker.column for worker in workers if worker.column is not None]
    handover = Handover(
        listen=listen,
        slots=[[sock.fileno() for sock in sockets] for sockets in slots],
        memory=memory.fd,
        allotment=msgspec.structs.replace(memory.allotment, columns=columns),
        workers=workers,
        prepared=msgspec.Raw(prepared),
        is_reload_due=is_reload_due,
        is_upgrade_due=is_upgrade_due,
    )
    fd = anonymous_file()
    try:
        os.pwrite(fd, msgspec.msgpack.encode(handover), 0)
        log.flush()
        _exec([fd, *handover.descriptors])
    finally:  # only when it failed
        os.close(fd)


def _handed(member: Member) -> HandedWorker:
    assert member.channel is not None
    received, unsent = member.channel.pending()
    return HandedWorker(
        slot=member.slot,
        pid=member.process.pid,
        control=member.process.control.fileno(),
        column=member.column,
        is_ready=member.is_ready,
        is_leaving=member.is_leaving,
        received=received,
        unsent=unsent,
    )


def _exec(descriptors: list[int]) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        for fd in descriptors:
            os.set_inheritable(fd, True)
        # All of them: the new image keeps them from its children before it has read anything.
        environment = {**os.environ, HANDOVER_VARIABLE: ",".join(map(str, descriptors))}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    finally:  # only when it failed
        try:
            for fd in descriptors:
                with contextlib.suppress(OSError):  # one that is closed is why it failed
                    os.set_inheritable(fd, False)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_BACK)


# ---- the new image


def take_over(fd: int) -> Handover:
    """Read what the image before has left."""
    try:
        data = os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
    return msgspec.msgpack.decode(data, type=Handover)


def adopt(handover: Handover, config: Config, log: LogSink) -> Estate:
    """Make an estate of it. Call it inside the loop."""
    old_slots = [[socket.socket(fileno=fd) for fd in slot] for slot in handover.slots]
    slots, listen = _slots(handover, old_slots, config, log)
    kept = {sock for sockets in slots for sock in sockets}
    surplus = [sock for sockets in old_slots for sock in sockets if sock not in kept]
    memory = _memory(handover, config, log)
    is_same = memory.fd == handover.memory
    old = [_adopted(worker, has_column=is_same) for worker in handover.workers]
    snapshot = Snapshot(config, memory.layout(config))
    return Estate(
        snapshot,
        slots,
        listen,
        memory,
        old,
        surplus,
        is_reload_due=handover.is_reload_due,
        is_upgrade_due=handover.is_upgrade_due,
    )


def _slots(
    handover: Handover, old: listeners.Slots, config: Config, log: LogSink
) -> tuple[listeners.Slots, str]:
    server = config.server
    try:
        if server.listen != handover.listen:
            return listeners.bind(server.listen, server.workers, beside=old), server.listen
    except listeners.ListenError as error:
        log.event("error", "upgrade_listens_as_before", error=str(error))
    try:
        return listeners.regroup(old, server.workers), handover.listen
    except listeners.ListenError as error:
        log.event("error", "upgrade_listens_as_before", error=str(error))
        return old, handover.listen


def _memory(handover: Handover, config: Config, log: LogSink) -> Memory:
    try:
        memory = Memory(handover.memory, handover.allotment)
        why = memory.lacks(config)
        if why is None:
            return memory
    except ValueError as error:
        why = str(error)
    # The old workers go on in the old one, which lasts as long as they do.
    log.event("warning", "upgrade_counts_afresh", why=why)
    fresh = Memory.create(config)
    os.close(handover.memory)
    return fresh


def _adopted(worker: HandedWorker, *, has_column: bool) -> Member:
    process = WorkerProcess(worker.pid, socket.socket(fileno=worker.control))
    member = Member(worker.slot, process, worker.column if has_column else None, is_old=True)
    member.is_ready = worker.is_ready
    member.is_leaving = worker.is_leaving
    decoder: Decoder[FromWorker] = Decoder(FromWorker)
    decoder.receive(worker.received)
    member.channel = Channel(process.control, decoder, worker.unsent)
    return member
