"""Output of the commands: what came from a file or a provider cannot control the terminal."""

import sys

import click

from ccrelay.printable import printable


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text to standard output or error, with escapes for what is not printable."""
    click.echo(printable(text), err=err, nl=nl)


def has_terminal_input() -> bool:
    """Return whether a question can be answered; standard input may be closed."""
    return sys.stdin is not None and sys.stdin.isatty()
