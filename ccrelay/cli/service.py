"""`ccrelay service`: the relay as a service of the user, under systemd or launchd.

Imports are inside the commands: `--help` must not import the configuration.
"""

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import click

from ccrelay.cli.output import echo

NOT_RUNNING = 3  # exit code of `status`


@click.group()
def service() -> None:
    """Run the relay as a service of this user (systemd, launchd)."""


@service.command()
@click.option(
    "--config",
    "-c",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file. Default: $CCRELAY_CONFIG, else the first file found.",
)
@click.option(
    "--environment-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the variables of the configuration. Default: environment, in its folder.",
)
@click.option("--print", "only_print", is_flag=True, help="Print the file and change nothing.")
@click.option("--no-start", is_flag=True, help="Do not start it now.")
@click.option("--force", is_flag=True, help="Replace a file that another program wrote.")
def install(
    file: Path | None,
    environment_file: Path | None,
    only_print: bool,
    no_start: bool,
    force: bool,
) -> None:
    """Install the service, enable it, and start it.

    Keys are not copied: the command says which variables the configuration needs, and where to
    write them. Exit codes: 0 done, 1 a failure, 2 invalid configuration.
    """
    from ccrelay.cli import service_launchd, service_systemd
    from ccrelay.cli.service_plan import Refused, make_plan

    try:
        plan = make_plan(file, environment_file, os.environ)
        if only_print:
            is_launchd = sys.platform == "darwin"
            text = (
                service_launchd.plist_text(plan, os.environ)
                if is_launchd
                else service_systemd.unit_text(plan)
            )
            echo(text, nl=False)
            return
        code = _manager().install(plan, os.environ, start=not no_start, force=force)
    except Refused as error:
        _refuse(error)
    sys.exit(code)


@service.command()
@click.option("--force", is_flag=True, help="Remove a file that another program wrote.")
def uninstall(force: bool) -> None:
    """Stop the service and remove it; configuration, keys and ledger stay."""
    from ccrelay.cli.service_plan import Refused

    try:
        code = _manager().uninstall(os.environ, force=force)
    except Refused as error:
        _refuse(error)
    sys.exit(code)


@service.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Say whether the service is installed, enabled and running.

    Exit codes: 0 running, 1 a failure, 3 not running.
    """
    from ccrelay.cli.service_plan import Refused

    try:
        found = _manager().state(os.environ)
    except Refused as error:
        _refuse(error)
    if as_json:
        import json

        echo(json.dumps(found, indent=2))
    else:
        echo("\n".join(_lines(found)))
    sys.exit(0 if found["running"] else NOT_RUNNING)


def _lines(found: dict[str, object]) -> list[str]:
    lines = [f"installed  {_word(found['installed'])}, {found['file']}"]
    if found["enabled"] is None:
        return [*lines, "running    not known: no service manager of this user can be asked here"]
    lines.append(f"enabled    {_word(found['enabled'])}, starts with a login")
    pid = f", pid {found['pid']}" if found["pid"] else ""
    lines.append(f"running    {_word(found['running'])}, {found['state']}{pid}")
    if found["linger"] is False:
        lines.append("linger     no: it ends with the last login; loginctl enable-linger")
    elif found["linger"]:
        lines.append("linger     yes: it runs without a login")
    if not found["installed"]:
        lines.append("\nInstall it: ccrelay service install")
    return lines


def _word(value: object) -> str:
    return "yes" if value else "no"


def _manager() -> ModuleType:
    """The module for this system's service manager. Raises Refused."""
    import shutil

    from ccrelay.cli import service_launchd, service_systemd
    from ccrelay.cli.service_plan import Refused

    if sys.platform == "darwin":
        return service_launchd
    if shutil.which("systemctl") is None:
        raise Refused(
            "there is no systemd here; run it in the background instead: ccrelay serve --detach"
        )
    return service_systemd


def _refuse(error: Exception) -> NoReturn:
    echo(str(error), err=True)
    sys.exit(getattr(error, "code", 1))
