"""`ccrelay serve`: hands over to `ccrelay.runtime.launch`; failures become exit codes."""

import contextlib
import sys
from pathlib import Path

import click

from ccrelay.runtime.launch import launch
from ccrelay.runtime.source import Options

FAILED = 1  # the address is taken, no worker starts, the second signal
MISCONFIGURED = 2  # as click's own usage errors


@click.command()
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. Default: $CCRELAY_CONFIG, else the first that is found.",
)
@click.option("--listen", metavar="HOST:PORT", help="Instead of server.listen.")
@click.option("--workers", type=click.IntRange(1, 256), help="Instead of server.workers.")
@click.option("--demo", is_flag=True, help="Without key and network: a built-in provider answers.")
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), help="Instead of logging.format."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Instead of logging.level.",
)
def serve(
    config: Path | None,
    listen: str | None,
    workers: int | None,
    demo: bool,
    log_format: str | None,
    log_level: str | None,
) -> None:
    """Run the relay.

    SIGTERM or Ctrl-C lets running exchanges finish (server.timeouts.drain_s), a second one ends at
    once. SIGHUP reads the configuration again, as does a change of its file. SIGUSR2 replaces all
    processes by the program that is installed now, without a gap. Exit codes: 0 after a drain, 1
    when something failed, 2 when the configuration is wrong.
    """
    options = Options(config, listen, workers, demo, log_format, log_level)
    sys.exit(_launch(options))


def _launch(options: Options) -> int:
    try:
        return launch(options, _say, _warn)
    except Exception as error:  # outermost shell; what it does not know it raises again
        exit_code = _exit_code(error)
        if exit_code is None:
            raise
        _warn(str(error))
        return exit_code


def _exit_code(error: Exception) -> int | None:
    # Imported after the fact: before the first worker is started nothing else is loaded.
    from ccrelay.config.problems import ConfigError
    from ccrelay.runtime.listeners import ListenError
    from ccrelay.runtime.supervisor import WorkersFailed

    if isinstance(error, ConfigError):
        return MISCONFIGURED
    if isinstance(error, ListenError | WorkersFailed | OSError):
        return FAILED
    return None


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads standard output: serve all the same
        click.echo(text)


def _warn(text: str) -> None:
    with contextlib.suppress(OSError):
        click.echo(text, err=True)
