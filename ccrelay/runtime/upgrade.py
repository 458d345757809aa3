"""Replace the program of a running relay: new code, same process id, no connection lost.

    old image                                     new image (same process)
      preflight: a child process of the new
        code imports and loads everything
      write the Handover, exec -----------------> restore listeners, memory, previous workers
                                                  spawn new workers
                                                  all ready: drain the previous workers gently

The listening sockets stay open, so no connection is refused. The new image uses the configuration
that the preflight loaded: whatever could fail in it has failed before the exec.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, NoReturn

import msgspec

from ccrelay.config.fingerprint import current_key
from ccrelay.config.load import VARIABLE
from ccrelay.config.model import Config
from ccrelay.config.problems import ConfigError
from ccrelay.runtime import listeners
from ccrelay.runtime.adjustments import Adjustments, judge
from ccrelay.runtime.channel import Channel
from ccrelay.runtime.cloud_credentials import HandedCredential
from ccrelay.runtime.control import Decoder, FromWorker
from ccrelay.runtime.logs import LogWriter
from ccrelay.runtime.manager_doors import DoorsHandover
from ccrelay.runtime.memory import Allocations, MemoryAllocator, anonymous_file
from ccrelay.runtime.processes import (
    HANDOVER_VARIABLE,
    NO_FILE_VARIABLE,
    PREFLIGHT_VARIABLE,
    WorkerProcess,
)
from ccrelay.runtime.source import Source
from ccrelay.runtime.terminal import Terminal
from ccrelay.runtime.worker_pool import ConfigSnapshot, Worker, WorkerPool
from ccrelay.types import LogSink

PREFLIGHT_TIMEOUT_S = 30.0  # imports take 0.2 s; the rest is for ${cmd:...}
ERROR_LENGTH_MAX = 4000
OLDER_MAX = 3  # memories that were replaced and are still read
# Blocked from before the exec until the new image has handlers: none is lost, and none kills it.
BLOCKED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)


class UpgradeFailed(Exception):
    """The new code cannot run; the message says why. The old image goes on."""


class PreflightResult(msgspec.Struct, frozen=True):
    """What a preflight loaded: the checked configuration, its digest, warnings for the log.

    `file` is the path that it was read from, None when there is no file; as bytes, because a path
    need not be UTF-8. `commands` are the `${cmd:...}` that ran. `variables`: those that the
    configuration refers to.
    """

    config: Config
    digest: bytes | None
    warnings: list[str]
    file: bytes | None = None
    commands: list[str] = []
    variables: frozenset[str] = frozenset()


class WorkerHandover(msgspec.Struct, frozen=True):
    """A worker that keeps running. `received`, `unsent`: buffered bytes of its control channel.

    `totals`: what its exchanges came to, as it last told. `takes_credentials`: of `Worker`.
    """

    slot: int
    pid: int
    control: int
    column: int | None
    is_ready: bool
    is_draining: bool
    received: bytes
    unsent: bytes
    totals: dict[str, int] = {}
    started_at_ms: int = 0
    takes_credentials: bool = False


class Handover(msgspec.Struct, frozen=True):
    """What one image passes to the next. Sockets, memory and controls are descriptor numbers.

    `is_reload_due`, `is_upgrade_due`: requested, but not started yet.

    `listen` is the address that the sockets of `slots` are bound to; the configuration may say
    another one by now. `terminal`: the descriptors of `Terminal`. `is_file_unnamed`: of `Source`.
    `fingerprint_key`: so that fingerprints stay where the key is in no file. `totals`: what the
    exchanges of workers that are gone came to. `started_at`: of the first image, monotonic seconds;
    0: not known. `doors`: listeners of the management plane. `adjustments`: what was set at run
    time. `started_at_ms`: of the first image, since 1970. `older`: as of `MemoryAllocator`.

    Read by newer versions than the one that wrote it: members are added, with a default, and never
    renamed or given another meaning.
    """

    listen: str
    slots: list[list[int]]
    memory: int
    allocations: Allocations
    workers: list[WorkerHandover]
    preflight: msgspec.Raw
    is_reload_due: bool = False
    is_upgrade_due: bool = False
    terminal: list[int] = []
    is_file_unnamed: bool = False
    fingerprint_key: bytes = b""
    totals: dict[str, int] = {}
    started_at: float = 0.0
    doors: DoorsHandover | None = None
    adjustments: Adjustments = Adjustments()
    started_at_ms: int = 0
    older: list[int] = []
    credentials: list[HandedCredential] = []

    def preflight_result(self) -> PreflightResult:
        """The result of the preflight.

        Raises msgspec.DecodeError when other code than this ran it.
        """
        return msgspec.msgpack.decode(self.preflight, type=PreflightResult)

    @property
    def descriptors(self) -> list[int]:
        """All descriptors that must stay open across the exec."""
        sockets = [fd for slot in self.slots for fd in slot]
        doors = [] if self.doors is None else [self.doors.unix, self.doors.tcp]
        controls = [worker.control for worker in self.workers]
        return [self.memory, *self.older, *sockets, *controls, *(fd for fd in doors if fd >= 0)]


class HandoverState(NamedTuple):
    """What a supervisor starts with: created on a fresh start, or restored from a `Handover`.

    `listen` is the address that the sockets of `slots` are bound to: the configured one, unless
    binding it failed. `previous` are the workers of the image before, `surplus` its sockets that no
    slot uses. `is_reload_due`, `is_upgrade_due`: run one as soon as every slot serves. `totals`,
    `started_at`, `credentials`: of earlier images, as in `Handover`; 0: it starts now. `base` is
    what the file says, without `adjustments`; None: the configuration of `snapshot`.
    """

    snapshot: ConfigSnapshot
    slots: listeners.Slots
    listen: str
    memory: MemoryAllocator
    previous: Sequence[Worker] = ()
    surplus: Sequence[socket.socket] = ()
    is_reload_due: bool = False
    is_upgrade_due: bool = False
    terminal: Terminal = Terminal()
    totals: Mapping[str, int] = MappingProxyType({})
    started_at: float = 0.0
    base: Config | None = None
    adjustments: Adjustments = Adjustments()
    credentials: Sequence[HandedCredential] = ()

    @property
    def running_config(self) -> Config:
        """The configuration, with the listen address and worker count that are really in use."""
        config = self.snapshot.config
        server = msgspec.structs.replace(config.server, listen=self.listen, workers=len(self.slots))
        return msgspec.structs.replace(config, server=server)


# ---- the preflight: a child process of the new code


async def preflight(file: Path | None) -> bytes:
    """Let the new code load everything without serving; returns its encoded `PreflightResult`.

    It loads `file`, as a reload would; with None it searches for none, as one that has appeared in
    the meantime was not there when its user started the relay. Raises UpgradeFailed.
    """
    fd = anonymous_file()
    env = {**os.environ, PREFLIGHT_VARIABLE: str(fd)}
    if file is not None:
        env[VARIABLE] = str(file)  # a search could find another file
    else:
        env[NO_FILE_VARIABLE] = "1"
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
        stderr = await _wait(process)
        if process.returncode != 0:
            text = stderr.decode(errors="replace").strip()[-ERROR_LENGTH_MAX:]
            raise UpgradeFailed(text or f"the new code exited with {process.returncode}")
        if result := os.pread(fd, os.fstat(fd).st_size, 0):
            return result
        raise UpgradeFailed("the new code does not support an upgrade from this version")
    except OSError as error:
        raise UpgradeFailed(str(error)) from error
    finally:
        os.close(fd)


async def _wait(process: asyncio.subprocess.Process) -> bytes:
    try:
        _, stderr = await asyncio.wait_for(process.communicate(), PREFLIGHT_TIMEOUT_S)
        return stderr
    except TimeoutError:
        raise UpgradeFailed(
            f"the new code was not ready within {PREFLIGHT_TIMEOUT_S:g} s"
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def run_preflight(source: Source, fd: int) -> None:
    """Run in the child: load what a supervisor and a worker need, write the result to `fd`.

    Raises ConfigError, ImportError, OSError: the parent reports what the child wrote to stderr.
    """
    from ccrelay.runtime.worker import load_relay

    load_relay()
    try:
        loaded = source.load()
    except ConfigError as error:  # it becomes the message of upgrade_failed: leave warnings out
        raise ConfigError(p for p in error.problems if p.severity == "error") from None
    LogWriter(loaded.config.logging).close()
    file = None if source.path is None else os.fsencode(source.path)
    result = PreflightResult(
        loaded.config,
        source.last_digest,
        list(map(str, loaded.warnings)),
        file,
        sorted(loaded.commands),
        loaded.variables,
    )
    os.pwrite(fd, msgspec.msgpack.encode(result), 0)


# ---- the old image


def replace_image(
    pool: WorkerPool,
    slots: listeners.Slots,
    memory: MemoryAllocator,
    preflight_result: bytes,
    *,
    listen: str,
    is_reload_due: bool,
    is_upgrade_due: bool,
    terminal: Terminal,
    is_file_unnamed: bool,
    started_at: float,
    log: LogWriter,
    doors: DoorsHandover | None,
    adjustments: Adjustments,
    started_at_ms: int,
) -> NoReturn:
    """Exec the new code. Raises OSError when the exec fails; nothing has changed then.

    Call it right after `WorkerPool.wait_for_exits`: a worker that is exiting cannot be handed over.
    """
    workers = [_worker_handover(worker) for worker in pool.workers]
    columns = [worker.column for worker in workers if worker.column is not None]
    handover = Handover(
        listen=listen,
        slots=[[sock.fileno() for sock in sockets] for sockets in slots],
        memory=memory.fd,
        allocations=msgspec.structs.replace(memory.allocations, columns=columns),
        workers=workers,
        preflight=msgspec.Raw(preflight_result),
        is_reload_due=is_reload_due,
        is_upgrade_due=is_upgrade_due,
        terminal=list(terminal.fds),
        is_file_unnamed=is_file_unnamed,
        fingerprint_key=current_key(),
        totals=pool.past_totals,
        started_at=started_at,
        doors=doors,
        adjustments=adjustments,
        started_at_ms=started_at_ms,
        older=memory.older,
        credentials=pool.credentials.handover(),
    )
    fd = anonymous_file()
    try:
        os.pwrite(fd, msgspec.msgpack.encode(handover), 0)
        log.flush()
        _exec([fd, *handover.descriptors])
    finally:  # reached only when the exec failed
        os.close(fd)


def _worker_handover(worker: Worker) -> WorkerHandover:
    assert worker.channel is not None
    received, unsent = worker.channel.pending()
    return WorkerHandover(
        slot=worker.slot,
        pid=worker.process.pid,
        control=worker.process.control.fileno(),
        column=worker.column,
        is_ready=worker.is_ready,
        is_draining=worker.is_draining,
        received=received,
        unsent=unsent,
        totals=worker.totals,
        started_at_ms=worker.started_at_ms,
        takes_credentials=worker.takes_credentials,
    )


def _exec(descriptors: list[int]) -> NoReturn:
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED_SIGNALS)
    try:
        for fd in descriptors:
            os.set_inheritable(fd, True)
        # All are listed: the new image makes them non-inheritable before it reads the handover.
        environment = {**os.environ, HANDOVER_VARIABLE: ",".join(map(str, descriptors))}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
    finally:  # reached only when the exec failed
        try:
            for fd in descriptors:
                with contextlib.suppress(OSError):  # a closed one may be why the exec failed
                    os.set_inheritable(fd, False)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED_SIGNALS)


# ---- the new image


def read_handover(fd: int) -> Handover:
    """Read and close the handover of the previous image. Raises msgspec.DecodeError."""
    try:
        data = os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
    return msgspec.msgpack.decode(data, type=Handover)


def restore(handover: Handover, config: Config, log: LogSink) -> HandoverState:
    """Rebuild the state of the previous image. Call it inside a running loop."""
    old_slots = [[socket.socket(fileno=fd) for fd in slot] for slot in handover.slots]
    slots, listen = _slots(handover, old_slots, config, log)
    kept = {sock for sockets in slots for sock in sockets}
    surplus = [sock for sockets in old_slots for sock in sockets if sock not in kept]
    memory = _memory(handover, config, log)
    is_shared = memory.fd == handover.memory
    previous = [_restored_worker(worker, has_column=is_shared) for worker in handover.workers]
    adjustments = _adjustments(handover, config, log)
    effective = adjustments.apply(config)
    snapshot = ConfigSnapshot(effective, memory.assign_layout(effective))
    return HandoverState(
        snapshot,
        slots,
        listen,
        memory,
        previous,
        surplus,
        is_reload_due=handover.is_reload_due,
        is_upgrade_due=handover.is_upgrade_due,
        terminal=Terminal(handover.terminal),
        totals=handover.totals,
        started_at=handover.started_at,
        base=config,
        adjustments=adjustments,
        credentials=handover.credentials,
    )


def _adjustments(handover: Handover, config: Config, log: LogSink) -> Adjustments:
    adjustments = handover.adjustments
    overrides = adjustments.overrides
    if problem := judge(config, overrides, overrides).problem:
        # The file has changed with the upgrade, and says what is to be in force.
        log.event("warning", "overrides_dropped", problem=problem)
        return msgspec.structs.replace(adjustments, overrides=[])
    return adjustments


def _slots(
    handover: Handover, previous: listeners.Slots, config: Config, log: LogSink
) -> tuple[listeners.Slots, str]:
    server = config.server
    try:
        if server.listen != handover.listen:
            return listeners.bind(server.listen, server.workers, existing=previous), server.listen
    except listeners.ListenError as error:
        log.event("error", "upgrade_kept_listeners", error=str(error))
    try:
        return listeners.redistribute(previous, server.workers), handover.listen
    except listeners.ListenError as error:
        log.event("error", "upgrade_kept_listeners", error=str(error))
        return previous, handover.listen


def _memory(handover: Handover, config: Config, log: LogSink) -> MemoryAllocator:
    try:
        memory = MemoryAllocator(handover.memory, handover.allocations, handover.older)
        reason = memory.capacity_error(config)
        if reason is None:
            return memory
    except ValueError as error:
        reason = str(error)
    # The previous workers keep the old memory, and write the records of what they finish there.
    log.event("warning", "upgrade_counters_reset", reason=reason)
    created = MemoryAllocator.create(config)
    created.older = [handover.memory, *handover.older]
    for fd in created.older[OLDER_MAX:]:
        os.close(fd)
    del created.older[OLDER_MAX:]
    return created


def _restored_worker(handed: WorkerHandover, *, has_column: bool) -> Worker:
    process = WorkerProcess(handed.pid, socket.socket(fileno=handed.control))
    worker = Worker(
        handed.slot,
        process,
        handed.column if has_column else None,
        is_previous=True,
        started_at_ms=handed.started_at_ms or None,
    )
    worker.is_ready = handed.is_ready
    worker.is_draining = handed.is_draining
    worker.totals = handed.totals
    worker.takes_credentials = handed.takes_credentials
    decoder: Decoder[FromWorker] = Decoder(FromWorker)
    decoder.receive(handed.received)
    worker.channel = Channel(process.control, decoder, handed.unsent)
    return worker
