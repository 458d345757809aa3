"""`ccrelay env`: the variables that lead Claude Code to the relay, for a shell."""

import os

import click

from ccrelay.cli.client_shell import SHELLS
from ccrelay.cli.groups import socket_option


@click.command()
@click.option(
    "--shell",
    type=click.Choice(SHELLS),
    help="Whose commands to print. Default: by $SHELL, else sh.",
)
@click.option("--explain", is_flag=True, help="List each variable with its reason instead.")
@socket_option
def env(shell: str | None, explain: bool, socket: str | None) -> None:
    """Print the variables that lead Claude Code to the relay.

    Variables that are set in this shell stay, but for ANTHROPIC_BASE_URL. In sh:
    eval "$(ccrelay env)". Relay tokens are among what is printed.
    """
    from ccrelay.cli import launcher
    from ccrelay.cli.client_environment import environment
    from ccrelay.cli.client_shell import guess_shell, render
    from ccrelay.cli.output import echo

    facts, _ = launcher.facts_of_running(socket)
    variables = launcher.decided(facts, os.environ)
    if explain:
        for line in launcher.explained(variables, facts):
            for part in line.split("\n"):
                echo(part)
        return
    text = render(environment(variables), shell or guess_shell(os.environ))
    click.echo(text, nl=False)  # quoted for the shell: escapes would change the values
