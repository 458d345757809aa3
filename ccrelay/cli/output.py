"""Output of the commands: what came from a file or a provider cannot control the terminal."""

import click

from ccrelay.printable import printable


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text to standard output or error, with escapes for what is not printable."""
    click.echo(printable(text), err=err, nl=nl)
