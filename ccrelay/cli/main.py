"""The `ccrelay` command: a table of subcommands, each imported only when it is used.

Exit codes are those of `ccrelay.cli.exit_codes`.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import click

from ccrelay import __version__
from ccrelay.cli import exit_codes
from ccrelay.cli.groups import SuggestingGroup


class Entry(NamedTuple):
    """The import target of a command, and its help text for the overview."""

    target: str  # "module:attribute"
    help: str


# By the question that a user has; the headings of the overview.
SECTIONS: dict[str, dict[str, Entry]] = {
    "Run": {
        "init": Entry("ccrelay.cli.init:init", "Make the first configuration."),
        "serve": Entry("ccrelay.cli.serve:serve", "Run the relay."),
        "reload": Entry("ccrelay.cli.life:reload", "Load the configuration file again."),
        "drain": Entry("ccrelay.cli.life:drain", "Finish what runs, then end the relay."),
        "stop": Entry("ccrelay.cli.life:stop", "End the relay at once."),
        "log-level": Entry("ccrelay.cli.life:log_level", "Change how much the relay logs."),
    },
    "Claude Code": {
        "claude": Entry("ccrelay.cli.claude:claude", "Run Claude Code through the relay."),
        "env": Entry(
            "ccrelay.cli.env:env", "Print the variables that lead Claude Code to the relay."
        ),
        "connect": Entry(
            "ccrelay.cli.connect:connect", "Lead Claude Code to the relay, by its settings."
        ),
        "disconnect": Entry("ccrelay.cli.connect:disconnect", "Take back what connect wrote."),
    },
    "Look": {
        "status": Entry("ccrelay.cli.status:status", "Show what the relay does now."),
        "top": Entry("ccrelay.tui.command:top", "Watch the relay in the terminal."),
        "open": Entry("ccrelay.cli.open:open_page", "Open the web page, signed in."),
        "exchanges": Entry("ccrelay.cli.exchanges:exchanges", "List exchanges, or follow them."),
        "exchange": Entry("ccrelay.cli.exchange:exchange", "Show one exchange: why, and its bill."),
        "sessions": Entry(
            "ccrelay.cli.sessions:sessions", "List sessions of Claude Code, or show one."
        ),
        "usage": Entry("ccrelay.cli.usage:usage", "Show tokens and money."),
        "statusline": Entry(
            "ccrelay.cli.statusline_command:statusline",
            "Print a line for Claude Code's status line.",
        ),
        "prices": Entry("ccrelay.cli.prices:prices", "Show the prices in force."),
        "route": Entry("ccrelay.cli.route:route", "Explain how requests are routed."),
    },
    "Change": {
        "providers": Entry(
            "ccrelay.cli.providers:providers", "Show providers; enable, disable, probe one."
        ),
        "keys": Entry("ccrelay.cli.keys:keys", "Show keys; keep, enable, disable, weigh one."),
        "overrides": Entry(
            "ccrelay.cli.overrides:overrides", "Show what was set at run time; write or drop it."
        ),
        "config": Entry("ccrelay.cli.config:config", "Check, show and apply the configuration."),
    },
    "More": {
        "doctor": Entry(
            "ccrelay.cli.doctor:doctor", "Check configuration, providers, keys and Claude Code."
        ),
        "service": Entry("ccrelay.cli.service:service", "Run the relay as a service of this user."),
        "completion": Entry(
            "ccrelay.cli.completion:completion", "Print the completion script of a shell."
        ),
        "mock": Entry(
            "ccrelay.cli.mock:mock",
            "Run a mock of Anthropic's API or a cloud's, with faults.",
        ),
        "version": Entry("ccrelay.cli.version:version", "Show versions and platform."),
    },
}
COMMANDS: dict[str, Entry] = {
    name: entry for entries in SECTIONS.values() for name, entry in entries.items()
}
ALIASES = {"key": "keys"}  # understood, and shown nowhere


@contextlib.contextmanager
def _quiet_pipe() -> Iterator[None]:
    """End with its exit code when the reader of the output is gone; click itself ends with 1."""
    try:
        yield
    except BrokenPipeError:
        _forget_output()
        raise click.exceptions.Exit(exit_codes.PIPE_CLOSED) from None


def _forget_output() -> None:
    """What is buffered cannot be written; Python would complain about it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


class LazyGroup(SuggestingGroup):
    """A group whose commands are the entries of COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None for an unknown name."""
        entry = COMMANDS.get(ALIASES.get(cmd_name, cmd_name))
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse; `--help` prints here."""
        with _quiet_pipe():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _quiet_pipe():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the table: `--help` imports no command."""
        width = max(map(len, COMMANDS))
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                rows = [(name.ljust(width), entry.help) for name, entry in entries.items()]
                formatter.write_dl(rows)


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
    sys.exit(run())


def run() -> int:
    """Run the command line and return its exit code: nothing ends with a traceback by habit.

    Unexpected errors are raised.
    """
    exit_code = exit_codes.OK
    try:
        result = cli.main(prog_name="ccrelay", standalone_mode=False)
        exit_code = result if isinstance(result, int) else exit_codes.OK
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        exit_code = error.exit_code
    except click.Abort as abort:
        if not isinstance(abort.__cause__, KeyboardInterrupt):  # a question that was declined
            return exit_codes.FAILED
        exit_code = exit_codes.INTERRUPTED
    except KeyboardInterrupt:
        exit_code = exit_codes.INTERRUPTED
    except OSError as error:
        exit_code = _output_failed(error)
    return exit_code


def _output_failed(error: OSError) -> int:
    """Return the exit code when the output cannot be written; other errors are raised again."""
    is_closed = isinstance(error, BrokenPipeError)
    if not is_closed and error.filename is not None:
        raise error
    _forget_output()
    if is_closed:
        return exit_codes.PIPE_CLOSED
    click.echo(f"The output cannot be written: {error.strerror or error}.", err=True)
    return exit_codes.FAILED
