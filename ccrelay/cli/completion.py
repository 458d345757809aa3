"""`ccrelay completion`: the script that a shell reads to complete commands, options and names."""

import click

VARIABLE = "_CCRELAY_COMPLETE"
SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog='bash: eval "$(ccrelay completion bash)" in ~/.bashrc. '
    'zsh: eval "$(ccrelay completion zsh)" in ~/.zshrc. '
    "fish: ccrelay completion fish > ~/.config/fish/completions/ccrelay.fish"
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    Names of providers and keys come from the running relay; without one there are none.
    """
    from click.shell_completion import ShellComplete, get_completion_class

    from ccrelay.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    # Not `BashComplete.source`: it runs bash to ask for its version.
    click.echo(ShellComplete.source(found(cli, {}, "ccrelay", VARIABLE)))
