"""`ccrelay serve` from its flags to its exit code: first worker, configuration, listeners, loop.

Imports little at the top: the first worker is started before anything else is loaded, so that both
processes import at the same time. The same way in is taken by the new image of an upgrade, and by
its rehearsal (`ccrelay.runtime.upgrade`).
"""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ccrelay.runtime.lean import import_asyncio_without_ssl
from ccrelay.runtime.limits import raise_open_files
from ccrelay.runtime.processes import (
    HANDOVER_VARIABLE,
    REHEARSAL_VARIABLE,
    WORKER_COMMAND,
    Recruits,
)
from ccrelay.runtime.source import Options, Source, overridden

if TYPE_CHECKING:
    from ccrelay.config.model import Config

Say = Callable[[str], None]


def launch(options: Options, say: Say, warn: Say, command: Sequence[str] = WORKER_COMMAND) -> int:
    """Run the relay until a signal ends it; return 0 after a drain, 1 when it was cut short.

    `say` gets the banner, `warn` what the configuration should be told of; `command` starts a
    worker. Raises ConfigError, ListenError, WorkersFailed, and OSError when the log file cannot be
    opened.
    """
    # Taken out of the environment, so that no other child takes it for its own.
    rehearsal = os.environ.pop(REHEARSAL_VARIABLE, None)
    handed = [int(fd) for fd in os.environ.pop(HANDOVER_VARIABLE, "").split(",") if fd]
    for fd in handed:
        os.set_inheritable(fd, False)
    raise_open_files()
    if rehearsal is not None:
        from ccrelay.runtime.upgrade import perform

        perform(Source.find(options), int(rehearsal))
        return 0
    if not handed:
        # They would end a process that has no handlers yet. An image that takes over must not do
        # this: it would throw away what is held back for it.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    recruits = Recruits(command)
    recruits.start_first()
    try:
        import_asyncio_without_ssl()
        import asyncio

        if handed:
            return asyncio.run(_go_on(options, handed[0], recruits))
        return asyncio.run(_run(options, say, warn, recruits))
    finally:
        recruits.end()


async def _run(options: Options, say: Say, warn: Say, recruits: Recruits) -> int:
    if not options.demo:
        source = Source.find(options)
        loaded = source.load()
        for warning in loaded.warnings:
            warn(str(warning))
        return await _begin(loaded.config, source, say, recruits)
    from ccrelay.config.load import demo_config
    from ccrelay.demo.server import start_demo

    demo = await start_demo()
    try:
        config = overridden(demo_config(f"http://127.0.0.1:{demo.port}"), options)
        return await _begin(config, None, say, recruits)
    finally:
        await demo.close()


async def _begin(config: "Config", source: Source | None, say: Say, recruits: Recruits) -> int:
    from ccrelay.runtime import listeners
    from ccrelay.runtime.banner import banner
    from ccrelay.runtime.crew import Snapshot
    from ccrelay.runtime.logs import LogWriter
    from ccrelay.runtime.memory import Memory
    from ccrelay.runtime.notify import Notifier
    from ccrelay.runtime.supervisor import Supervisor
    from ccrelay.runtime.upgrade import Estate

    slots = listeners.bind(config.server.listen, config.server.workers)
    path = None if source is None else source.path
    text = banner(
        config, listeners.addresses(slots), pid=os.getpid(), source=path, demo=source is None
    )
    memory = Memory.create(config)
    log = LogWriter(config.logging)
    try:
        supervisor = Supervisor(
            Estate(Snapshot(config, memory.layout(config)), slots, config.server.listen, memory),
            log,
            notifier=Notifier(os.environ),
            on_ready=lambda: say(text),
            recruit=recruits.take,
            source=source,
        )
        return await supervisor.run()
    finally:
        log.close()


async def _go_on(options: Options, handed: int, recruits: Recruits) -> int:
    from ccrelay.runtime.logs import LogWriter
    from ccrelay.runtime.notify import Notifier
    from ccrelay.runtime.supervisor import Supervisor
    from ccrelay.runtime.upgrade import adopt, take_over

    handover = take_over(handed)
    prepared = handover.loaded()
    # Not looked for again: it may be away for a moment, or another one in its place.
    path = None if prepared.file is None else Path(os.fsdecode(prepared.file))
    source = Source(options, path, prepared.digest)
    log = LogWriter(prepared.config.logging)
    try:
        for warning in prepared.warnings:
            log.event("warning", "config_warning", problem=warning)
        estate = adopt(handover, prepared.config, log)
        supervisor = Supervisor(
            estate,
            log,
            notifier=Notifier(os.environ),
            on_ready=lambda: log.event("info", "upgraded", workers=len(estate.slots)),
            recruit=recruits.take,
            source=source,
        )
        return await supervisor.run()
    finally:
        log.close()
