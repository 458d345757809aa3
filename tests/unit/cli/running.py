"""Runs commands in this process, on a fake relay."""

from typing import Any

from click.testing import CliRunner, Result

from ccrelay.cli.main import cli


def run(*arguments: str, **how: Any) -> Result:
    """Run `ccrelay ...`."""
    return CliRunner().invoke(cli, list(arguments), prog_name="ccrelay", **how)
