"""`ccrelay env`: the variables that lead Claude Code to the relay, for a shell."""

import os

import click

from ccrelay.cli.client_shell import SHELLS
from ccrelay.cli.groups import socket_option


@click.command()
@click.option(
    "--shell",
    type=click.Choice(SHELLS),
    help="Whose commands to print. Default: the one that asks, else by $SHELL.",
)
@click.option("--explain", is_flag=True, help="List each variable with its reason instead.")
@socket_option
def env(shell: str | None, explain: bool, socket: str | None) -> None:
    """Print the variables that lead Claude Code to the relay.

    Variables of yours stay, but for ANTHROPIC_BASE_URL; those of an earlier ccrelay env do not.
    In sh: eval "$(ccrelay env)". Relay tokens are among what is printed.
    """
    from ccrelay.cli import client_ours, launcher
    from ccrelay.cli.client_environment import environment
    from ccrelay.cli.client_shell import guess_shell, parent_name, render
    from ccrelay.cli.output import echo

    facts, pid = launcher.facts_of_running(socket)
    for said in launcher.hindrances(facts, pid, os.environ):
        echo(f"ccrelay: {said}", err=True)
    variables = launcher.decided(facts, client_ours.without_ours(os.environ))
    if explain:
        for line in launcher.explained(variables, facts):
            for part in line.split("\n"):
                echo(part)
        return
    changes = client_ours.changes(os.environ, environment(variables))
    text = render(changes, shell or guess_shell(os.environ, parent_name()))
    # Quoted for the shell: escapes would change the values. As bytes, which need be no text.
    click.echo(os.fsencode(text), nl=False)
