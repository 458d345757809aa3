"""`ccrelay statusline` for the overview and `--help`; `ccrelay.cli.entry` runs it without click."""

import click

from ccrelay.cli.groups import socket_option


@click.command()
@socket_option
def statusline(socket: str | None) -> None:
    """Print a line for Claude Code's status line.

    Target and model that answered last, windows, dollars of the session and of today, cache hits;
    for a minute what went wrong. Reads Claude Code's JSON on standard input. Without a relay the
    line is empty; the exit code is always 0. Of several relays it asks the one that
    ANTHROPIC_BASE_URL names.

    In ~/.claude/settings.json: {"statusLine": {"type": "command", "command": "ccrelay statusline"}}
    """
    from ccrelay.cli.statusline import main

    main(["--socket", socket] if socket else [])
