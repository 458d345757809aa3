"""`ccrelay serve` from its options to its exit code: first worker, configuration, listeners, loop.

Top-level imports are few: the first worker is started before anything else is loaded, so that both
processes import at the same time. The new image of an upgrade and its preflight enter here too
(`ccrelay.runtime.upgrade`).
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ccrelay.runtime.hardening import harden_process
from ccrelay.runtime.no_ssl import import_asyncio_without_ssl
from ccrelay.runtime.open_files import raise_open_file_limit
from ccrelay.runtime.processes import (
    CREDENTIALS_COMMAND,
    HANDOVER_VARIABLE,
    MANAGER_COMMAND,
    NO_FILE_VARIABLE,
    PREFLIGHT_VARIABLE,
    PREFLIGHT_VARIABLE_0_2,
    WORKER_COMMAND,
    PreforkedWorkers,
)
from ccrelay.runtime.source import Options, Source, apply_options
from ccrelay.runtime.terminal import Terminal, open_standard_descriptors

if TYPE_CHECKING:
    from ccrelay.config.model import Config
    from ccrelay.runtime.cloud_credentials import CloudCredentials
    from ccrelay.runtime.logs import LogWriter
    from ccrelay.runtime.management import ManagementSetup
    from ccrelay.runtime.upgrade import Handover, HandoverState

Print = Callable[[str], None]
Confirm = Callable[[Path], bool]


def launch(
    options: Options,
    print_out: Print,
    print_err: Print,
    command: Sequence[str] = WORKER_COMMAND,
    confirm: Confirm = lambda path: False,
    manager_command: Sequence[str] = MANAGER_COMMAND,
    credentials_command: Sequence[str] = CREDENTIALS_COMMAND,
) -> int:
    """Run the relay until a signal ends it; return 0 after a drain, 1 after a forced shutdown.

    Args:
        options: the options of `ccrelay serve`.
        print_out: receives the banner, and what is said at the end.
        print_err: receives configuration warnings.
        command: starts a worker process.
        confirm: asks the user for the confirmation of a file; False: there is none.
        manager_command: starts a manager process.
        credentials_command: starts a credentials process.

    Raises ConfigError, ListenError, WorkersFailed, and OSError when the log file cannot be opened.
    """
    began_at = time.monotonic()
    open_standard_descriptors()
    harden_process()
    # Removed from the environment, so that no child process inherits them.
    preflight_fd = os.environ.pop(PREFLIGHT_VARIABLE, None)
    has_no_file = os.environ.pop(NO_FILE_VARIABLE, None) is not None
    inherited = [int(fd) for fd in os.environ.pop(HANDOVER_VARIABLE, "").split(",") if fd]
    for fd in inherited:
        os.set_inheritable(fd, False)
    if os.environ.pop(PREFLIGHT_VARIABLE_0_2, None) is not None:
        from ccrelay.config.problems import ConfigError, Problem

        # Printed to standard error: 0.2 logs it as `upgrade_failed` and continues.
        raise ConfigError([Problem(message="cannot upgrade ccrelay 0.2 in place: restart it")])
    raise_open_file_limit()
    if preflight_fd is not None:
        from ccrelay.runtime.upgrade import run_preflight

        source = Source(options, None) if has_no_file else Source.find(options)
        run_preflight(source, int(preflight_fd))
        return 0
    # A new image must not ignore signals: that discards those that were blocked for it.
    terminal = Terminal() if inherited else _ignore_signals()
    preforked = PreforkedWorkers(command, manager_command, credentials_command)
    preforked.prefork()
    try:
        import_asyncio_without_ssl()
        import asyncio

        if inherited:
            return asyncio.run(_resume(options, inherited[0], print_out, preforked))
        if options.demo:
            return asyncio.run(_run_demo(options, print_out, preforked, terminal, began_at))
        source = Source.find(options)
        config = _load(source, print_err, confirm)
        return asyncio.run(_start(config, source, print_out, preforked, terminal, began_at))
    finally:
        preforked.close()


def _ignore_signals() -> Terminal:
    """Ignore signals whose default action ends a process without handlers."""
    # nohup(1) ignores SIGHUP: then the terminal may be closed.
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    terminal = Terminal() if is_ignored else Terminal.of_process()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    return terminal


def _load(source: Source, print_err: Print, confirm: Confirm) -> "Config":
    from ccrelay.config.load import Unconfirmed

    try:
        loaded = source.load()
    except Unconfirmed as error:
        if not confirm(error.path):
            raise
        loaded = source.load()
    for warning in loaded.warnings:
        print_err(str(warning))
    return loaded.config


async def _run_demo(
    options: Options,
    print_out: Print,
    preforked: PreforkedWorkers,
    terminal: Terminal,
    began_at: float,
) -> int:
    from ccrelay.config.load import demo_config
    from ccrelay.demo.server import start_demo

    demo = await start_demo()
    try:
        config = apply_options(demo_config(f"http://127.0.0.1:{demo.port}"), options)
        return await _start(config, None, print_out, preforked, terminal, began_at)
    finally:
        await demo.close()


def _load_fingerprint_key() -> str:
    """Load the key of this installation's fingerprints; return why there is none that lasts."""
    from ccrelay.config.fingerprint import set_key
    from ccrelay.config.fingerprint_key import load_key

    found = load_key(os.environ)
    set_key(found.key)
    return found.problem


def _log_temporary_key(log: "LogWriter", problem: str) -> None:
    if problem:
        log.event(
            "info",
            "fingerprints_temporary",
            reason=problem,
            hint="Fingerprints of keys change with every start: no file holds their key.",
        )


def _management(
    config: "Config",
    source: Source | None,
    listen: list[str],
    log: "LogWriter",
    preforked: PreforkedWorkers,
    handover: "Handover | None" = None,
) -> "ManagementSetup | None":
    """Bind the doors of the management plane; None where there is none. Raises ListenError."""
    if not config.management.enabled and (handover is None or handover.doors is None):
        return None
    import time

    from ccrelay.config.address import split_listen
    from ccrelay.runtime.management import ManagementSetup
    from ccrelay.runtime.manager_doors import Doors
    from ccrelay.runtime.sign_in_code import make_code

    port = split_listen(listen[0])[1]
    if handover is None:
        doors = Doors.open(config.management, port, os.environ, log)
    else:
        doors = Doors.restore(handover.doors, config.management, port, os.environ, log)
    if not config.management.enabled:
        return None
    path = None if source is None else source.path
    return ManagementSetup(
        doors,
        lambda: preforked.spawn_manager(source.variables if source else ()),
        listen,
        "" if path is None else str(path),
        os.getpid(),
        (0 if handover is None else handover.started_at_ms) or int(time.time() * 1000),
        # Of a start only: the next image of an upgrade prints no banner.
        make_code(sys.stdout, os.environ) if handover is None else None,
    )


def _credentials(
    state: "HandoverState", source: Source | None, log: "LogWriter", preforked: PreforkedWorkers
) -> "CloudCredentials":
    from ccrelay.runtime.cloud_credentials import CloudCredentials

    return CloudCredentials(
        state.snapshot.config,
        log,
        lambda: preforked.spawn_credentials(source.variables if source else ()),
        state.credentials,
    )


async def _start(
    config: "Config",
    source: Source | None,
    print_out: Print,
    preforked: PreforkedWorkers,
    terminal: Terminal,
    began_at: float,
) -> int:
    from ccrelay.runtime import listeners
    from ccrelay.runtime.banner import banner
    from ccrelay.runtime.logs import LogWriter
    from ccrelay.runtime.memory import MemoryAllocator
    from ccrelay.runtime.notify import Notifier
    from ccrelay.runtime.supervisor import Supervisor
    from ccrelay.runtime.upgrade import HandoverState
    from ccrelay.runtime.worker_pool import ConfigSnapshot

    problem = _load_fingerprint_key()
    slots = listeners.bind(config.server.listen, config.server.workers)
    path = None if source is None else source.path
    addresses = listeners.addresses(slots)
    memory = MemoryAllocator.create(config)
    log = LogWriter(config.logging)
    _log_temporary_key(log, problem)

    def on_ready() -> None:
        text = banner(
            config,
            addresses,
            pid=os.getpid(),
            config_file=path,
            demo=source is None,
            ready_s=time.monotonic() - began_at,
            management=(management.doors.listen or None) if management else None,
            code=management.sign_in.code if management and management.sign_in else "",
            is_terminal=bool(terminal.fds),
        )
        print_out(text + "\n")
        log.begin()

    try:
        management = _management(config, source, listeners.addresses(slots), log, preforked)
        snapshot = ConfigSnapshot(config, memory.assign_layout(config))
        state = HandoverState(snapshot, slots, config.server.listen, memory, terminal=terminal)
        supervisor = Supervisor(
            state,
            log,
            notifier=Notifier(os.environ),
            on_ready=on_ready,
            start_process=lambda: preforked.spawn(source.variables if source else ()),
            source=source,
            say=print_out,
            management=management,
            credentials=_credentials(state, source, log, preforked),
        )
        return await supervisor.run()
    finally:
        log.close()


async def _resume(
    options: Options, inherited: int, print_out: Print, preforked: PreforkedWorkers
) -> int:
    from ccrelay.config.fingerprint import set_key
    from ccrelay.runtime import listeners
    from ccrelay.runtime.logs import LogWriter
    from ccrelay.runtime.notify import Notifier
    from ccrelay.runtime.supervisor import Supervisor
    from ccrelay.runtime.upgrade import read_handover, restore

    handover = read_handover(inherited)
    result = handover.preflight_result()
    # Not searched for again: the file may be missing for a moment while it is replaced.
    path = None if result.file is None else Path(os.fsdecode(result.file))
    source = Source(
        options,
        path,
        result.digest,
        is_unnamed=handover.is_file_unnamed,
        commands=result.commands,
        config=result.config,
    )
    source.variables = result.variables
    if handover.fingerprint_key:
        set_key(handover.fingerprint_key)
        problem = ""
    else:  # of an image that had none
        problem = _load_fingerprint_key()
    log = LogWriter(handover.adjustments.apply(result.config).logging)
    _log_temporary_key(log, problem)
    try:
        for warning in result.warnings:
            log.event("warning", "config_warning", problem=warning)
        state = restore(handover, result.config, log)
        supervisor = Supervisor(
            state,
            log,
            notifier=Notifier(os.environ),
            on_ready=lambda: log.event("info", "upgraded", workers=len(state.slots)),
            start_process=lambda: preforked.spawn(source.variables),
            source=source,
            say=print_out,
            management=_management(
                state.snapshot.config,
                source,
                listeners.addresses(state.slots),
                log,
                preforked,
                handover,
            ),
            credentials=_credentials(state, source, log, preforked),
        )
        return await supervisor.run()
    finally:
        log.close()
