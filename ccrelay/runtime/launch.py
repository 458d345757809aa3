"""`ccrelay serve` from its flags to its exit code: first worker, configuration, listeners, loop.

Imports little at the top: the first worker is started before anything else is loaded, so that both
processes import at the same time.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ccrelay.runtime.lean import import_asyncio_without_ssl
from ccrelay.runtime.limits import raise_open_files
from ccrelay.runtime.processes import WorkerProcess, spawn

if TYPE_CHECKING:
    from ccrelay.config.model import Config

Say = Callable[[str], None]


class Options(NamedTuple):
    """The flags; None means: as the configuration says."""

    config: Path | None = None
    listen: str | None = None
    workers: int | None = None
    demo: bool = False
    log_format: str | None = None
    log_level: str | None = None


def launch(options: Options, say: Say, warn: Say) -> int:
    """Run the relay until a signal ends it; return 0 after a drain, 1 when it was cut short.

    `say` gets the banner, `warn` what the configuration should be told of. Raises ConfigError,
    ListenError, WorkersFailed, and OSError when the log file cannot be opened.
    """
    raise_open_files()
    first = spawn()
    try:
        import_asyncio_without_ssl()
        import asyncio

        return asyncio.run(_run(options, say, warn, first))
    finally:
        first.end()


async def _run(options: Options, say: Say, warn: Say, first: WorkerProcess) -> int:
    if not options.demo:
        from ccrelay.config.load import load

        loaded = load(options.config)
        for warning in loaded.warnings:
            warn(str(warning))
        return await _supervise(
            overridden(loaded.config, options), loaded.path, options, say, first
        )
    from ccrelay.config.load import demo_config
    from ccrelay.demo.server import start_demo

    demo = await start_demo()
    try:
        config = overridden(demo_config(f"http://127.0.0.1:{demo.port}"), options)
        return await _supervise(config, None, options, say, first)
    finally:
        await demo.close()


async def _supervise(
    config: "Config", source: Path | None, options: Options, say: Say, first: WorkerProcess
) -> int:
    import os

    from ccrelay.runtime import listeners
    from ccrelay.runtime.banner import banner
    from ccrelay.runtime.logs import LogWriter
    from ccrelay.runtime.notify import Notifier
    from ccrelay.runtime.supervisor import Supervisor

    slots = listeners.bind(config.server.listen, config.server.workers)
    text = banner(config, listeners.addresses(slots), source=source, demo=options.demo)
    log = LogWriter(config.logging)
    try:
        supervisor = Supervisor(
            config,
            slots,
            log,
            notifier=Notifier(os.environ),
            on_ready=lambda: say(text),
            first=first,
        )
        return await supervisor.run()
    finally:
        log.close()


def overridden(config: "Config", options: Options) -> "Config":
    """Return the configuration with the flags in place, checked again. Raises ConfigError."""
    from msgspec.structs import replace

    from ccrelay.config.check import check
    from ccrelay.config.problems import ConfigError

    server = {"listen": options.listen, "workers": options.workers}
    logging = {"format": options.log_format, "level": options.log_level}
    changed = replace(
        config,
        server=replace(config.server, **_given(server)),
        logging=replace(config.logging, **_given(logging)),
    )
    # Only what flags can change: `--listen 0.0.0.0:8787` without relay tokens is refused here.
    wrong = [p for p in check(changed) if p.severity == "error" and p.path[:1] == ("server",)]
    if wrong:
        raise ConfigError(wrong)
    return changed


def _given(members: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
