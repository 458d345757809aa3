"""`ccrelay config trust`: shows what a found configuration file does, and records its digest.

Imports are inside the functions: `--help` must not import YAML and the checks.
"""

import os
import sys
from pathlib import Path

import click

from ccrelay.cli.output import echo, has_terminal_input

NOT_CONFIRMED = 1  # exit code
INVALID_CONFIG = 2  # exit code


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def trust(file: Path | None, yes: bool) -> None:
    """Confirm the file of a working directory.

    Only then it is used there. Prints where FILE sends requests, what it runs and reads, and
    records its SHA-256. Default: the file found in the working directory. No program is
    run. Exit codes: 0 recorded, 1 not confirmed or no file, 2 invalid or refused.
    """
    from ccrelay.config.load import NAMES, ConfigError, locate

    if file is None and (found := locate(env={})):  # without HOME: in this directory only
        file = found.path
    if file is None:
        echo("no ccrelay.yaml, ccrelay.yml or ccrelay.toml in this directory", err=True)
        sys.exit(NOT_CONFIRMED)
    if file.name not in NAMES:
        raise click.UsageError(f"no command searches for a file of this name: use --config {file}")
    if not yes and not has_terminal_input():
        raise click.UsageError("standard input is not a terminal: add --yes")
    try:
        is_confirmed = ask(file, yes=yes, err=False)
    except ConfigError as error:
        echo(str(error), err=True)
        sys.exit(INVALID_CONFIG)
    if not is_confirmed:
        sys.exit(NOT_CONFIRMED)


def ask(file: Path, *, yes: bool = False, err: bool = True) -> bool:
    """Show what the file does, ask unless `yes`, and record the answer; whether it is confirmed.

    Raises ConfigError when the file is invalid, or others can change it.
    """
    from ccrelay.config.load import load
    from ccrelay.config.trust import NoRecord, confirm

    loaded = load(file, require_secrets=False, run_commands=False)
    assert loaded.effects is not None
    echo(f"{os.path.abspath(file)}", err=err)
    echo("\n".join(loaded.effects.lines()), err=err)
    try:
        if not yes and not click.confirm("Use this file?", default=False, err=err):
            return False
        record = confirm(file, loaded.digest, os.environ)
    except (click.Abort, KeyboardInterrupt):
        return False
    except NoRecord as error:
        echo(str(error), err=True)
        return False
    echo(f"confirmed, in {record}", err=err)
    return True
