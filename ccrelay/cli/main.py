"""The `ccrelay` command: a table of subcommands, each imported only when it is used.

Exit codes: 0 success, 1 runtime failure, 2 invalid usage or configuration.
"""

import importlib
from typing import NamedTuple

import click

from ccrelay import __version__


class Entry(NamedTuple):
    """The import target of a command, and its help text for the overview."""

    target: str  # "module:attribute"
    help: str


COMMANDS: dict[str, Entry] = {
    "serve": Entry("ccrelay.cli.serve:serve", "Run the relay."),
    "config": Entry("ccrelay.cli.config:config", "Create, check and show the configuration."),
    "route": Entry("ccrelay.cli.route:route", "Explain how requests are routed."),
    "mock": Entry(
        "ccrelay.cli.mock:mock",
        "Run a mock provider with the Anthropic API and fault injection.",
    ),
    "version": Entry("ccrelay.cli.version:version", "Show versions and platform."),
}


class LazyGroup(click.Group):
    """A group whose commands are the entries of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None for an unknown name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the table: `--help` imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try it without a key: ccrelay serve --demo",
)
@click.version_option(__version__, message="ccrelay %(version)s")
def cli() -> None:
    """A relay between Claude Code and the LLM providers behind it."""


def main() -> None:
    """Run the command line; exits the process."""
    cli(prog_name="ccrelay")
