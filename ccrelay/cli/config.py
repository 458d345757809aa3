"""`ccrelay config`: check, show, path, schema.

`ccrelay.cli.trust` has trust, `ccrelay.cli.config_live` what asks the running relay. `config init`
is `ccrelay init` by its old name.

Imports are inside the commands: `--help` must not import YAML and the checks.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ccrelay.cli import config_live
from ccrelay.cli.groups import SuggestingGroup
from ccrelay.cli.output import echo
from ccrelay.cli.trust import trust

if TYPE_CHECKING:
    from ccrelay.config.problems import ConfigError

INVALID_CONFIG = 2  # exit code of every command with an invalid configuration

_file_option = click.option(
    "--config",
    "-c",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. Default: $CCRELAY_CONFIG, else the first file found.",
)


class _ConfigGroup(SuggestingGroup):
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "init":
            from ccrelay.cli.init import init

            return init
        return super().get_command(ctx, cmd_name)


@click.group(cls=_ConfigGroup)
def config() -> None:
    """Check, show and apply the configuration."""


for command in (trust, config_live.apply, config_live.revisions, config_live.rollback):
    config.add_command(command)


@config.command()
@_file_option
@click.option("--run-commands", is_flag=True, help="Run the programs of ${cmd:...}, as serve does.")
def check(file: Path | None, run_commands: bool) -> None:
    """Check the configuration and print all problems. Exit code 0: valid, 2: invalid.

    Programs of ${cmd:...} are not run: their values are not checked, with a warning.
    """
    from ccrelay.config.problems import ConfigError
    from ccrelay.config.secret_shapes import is_dubious
    from ccrelay.runtime.source import Options, Source

    try:
        # As `serve` does.
        loaded = Source.find(Options(config=file)).load(run_commands=run_commands)
    except ConfigError as error:
        echo(str(error))
        count = sum(problem.severity == "error" for problem in error.problems)
        echo(f"{count} {'error' if count == 1 else 'errors'}")
        sys.exit(INVALID_CONFIG)
    for warning in loaded.warnings:
        echo(str(warning))
    names = [p.name for p in loaded.config.providers if p.enabled]
    providers = ", ".join("..." if is_dubious(name) else name for name in names)
    echo(f"{loaded.path or 'no file, environment only'}: ok (providers: {providers})")


@config.command()
@_file_option
def show(file: Path | None) -> None:
    """Print the effective configuration as YAML.

    With defaults; secrets are fingerprints. Programs of ${cmd:...} are not run.
    """
    from ccrelay.config.load import ConfigError, load

    try:
        loaded = load(file, run_commands=False)
    except ConfigError as error:
        _exit_invalid(error)
    import yaml

    from ccrelay.config.fingerprint import set_key
    from ccrelay.config.fingerprint_key import load_key
    from ccrelay.config.show import redacted

    found = load_key(os.environ)
    set_key(found.key)
    if found.problem:
        echo(f"# fingerprints of this run only: {found.problem}")
    echo(f"# from {loaded.path or 'the environment (no file)'}")
    shown = redacted(loaded.config, not_run=loaded.not_run)
    echo(yaml.safe_dump(shown, sort_keys=False, width=100), nl=False)


@config.command()
@_file_option
@click.option("--all", "all_locations", is_flag=True, help="Print all locations that are searched.")
def path(file: Path | None, all_locations: bool) -> None:
    """Print the path of the configuration file in use. Exit code 1: no file."""
    from ccrelay.config.load import ConfigError, find, search_paths

    try:
        found = find(file)
    except ConfigError as error:
        _exit_invalid(error)
    if not all_locations:
        if found is None:
            echo("no configuration file (see --all); using environment variables only", err=True)
            sys.exit(1)
        echo(str(found))
        return
    locations = search_paths(os.environ)
    if found is not None and found not in locations:
        locations.insert(0, found)  # from --config or $CCRELAY_CONFIG
    for location in locations:
        echo(f"{'*' if location == found else ' '} {location}")


@config.command()
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    import json

    from ccrelay.config.schema import schema as json_schema

    echo(json.dumps(json_schema(), indent=2))


def _exit_invalid(error: "ConfigError") -> NoReturn:
    echo(str(error), err=True)
    sys.exit(INVALID_CONFIG)
