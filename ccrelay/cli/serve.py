"""`ccrelay serve`: calls `ccrelay.runtime.launch`, and maps failures to exit codes."""

import contextlib
import os
import sys
from pathlib import Path

import click

from ccrelay.cli.detach import start_detached, telling
from ccrelay.cli.output import echo
from ccrelay.runtime.launch import launch
from ccrelay.runtime.source import Options

FAILED = 1  # address in use, no worker starts, forced shutdown
MISCONFIGURED = 2  # as click's own usage errors
STDOUT_FD = 1


@click.command()
@click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. Default: $CCRELAY_CONFIG, else the first file found.",
)
@click.option("--listen", metavar="HOST:PORT", help="Overrides server.listen.")
@click.option("--workers", type=click.IntRange(1, 256), help="Overrides server.workers.")
@click.option("--demo", is_flag=True, help="Use a built-in mock provider: no API key, no network.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="Overrides logging.format.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Overrides logging.level.",
)
@click.option("--detach", is_flag=True, help="Run in the background; return once it serves.")
def serve(
    config: Path | None,
    listen: str | None,
    workers: int | None,
    demo: bool,
    log_format: str | None,
    log_level: str | None,
    detach: bool,
) -> None:
    """Run the relay.

    SIGTERM or Ctrl-C drains running exchanges (server.timeouts.drain_s); a second one forces the
    shutdown. SIGHUP, or a change of the file, reloads the configuration. SIGUSR2 upgrades to the
    installed program without downtime. Exit codes: 0 after a drain, 1 after a failure, 2 when the
    configuration is invalid.
    """
    if detach:
        sys.exit(start_detached(os.environ, echo))
    options = Options(config, listen, workers, demo, log_format, log_level)
    sys.exit(_launch(options))


def _launch(options: Options) -> int:
    try:
        return launch(options, telling(_print_out), _print_err, confirm=_confirm)
    except Exception as error:  # outermost shell; unknown errors are re-raised
        exit_code = _exit_code(error)
        if exit_code is None:
            raise
        _print_err(str(error))
        return exit_code


def _confirm(file: Path) -> bool:
    """Ask for the confirmation of a file that was found in the working directory."""
    if not all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr)):
        return False
    from ccrelay.cli.trust import ask

    return ask(file)


def _exit_code(error: Exception) -> int | None:
    # Imported here: nothing else is loaded before the first worker is started.
    from ccrelay.config.problems import ConfigError
    from ccrelay.runtime.listeners import ListenError
    from ccrelay.runtime.supervisor import WorkersFailed

    if isinstance(error, ConfigError):
        return MISCONFIGURED
    if isinstance(error, ListenError | WorkersFailed | OSError):
        return FAILED
    return None


def _print_out(text: str) -> None:
    try:
        echo(text)
    except OSError:  # a closed standard output must not stop the relay
        # What is left in its buffer would fail again at the exit, with code 120.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, STDOUT_FD)
        os.close(null)


def _print_err(text: str) -> None:
    with contextlib.suppress(OSError):
        echo(text, err=True)
