"""Groups of commands that suggest what was meant, and the options that all commands share."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class SuggestingGroup(click.Group):
    """A group that names the nearest command when it does not have the one that was asked for."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is a UsageError with a suggestion."""
        name = args[0]
        is_asked = not name.startswith("-") and not ctx.resilient_parsing
        if is_asked and self.get_command(ctx, name) is None:
            raise click.UsageError(unknown(name, self.list_commands(ctx)), ctx)
        return super().resolve_command(ctx, args)


def unknown(name: str, known: Iterable[str]) -> str:
    """Return the sentence about a command that does not exist."""
    from difflib import get_close_matches

    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    message = f"No such command {name!r}."
    return f"{message} Did you mean {near[0]!r}?" if near else message


def json_option(command: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/cli.md).")(
        command
    )


def socket_option(command: F) -> F:
    """Add `--socket`; its variable is read where the socket is looked for."""
    return click.option(
        "--socket",
        metavar="PATH",
        help="Socket of the relay. Default: $CCRELAY_SOCKET, else the one that runs.",
    )(command)


def watch_options(interval_s: float) -> Callable[[F], F]:
    """Add `--watch` and `--interval`."""

    def add(command: F) -> F:
        command = click.option(
            "--interval",
            type=click.FloatRange(0.1, 3600),
            default=interval_s,
            show_default=True,
            metavar="SECONDS",
            help="Time between two, with --watch.",
        )(command)
        return click.option("--watch", is_flag=True, help="Show it again and again; Ctrl-C ends.")(
            command
        )

    return add


def since_options(command: F) -> F:
    """Add `--since` and `--until`."""
    command = click.option(
        "--until", metavar="WHEN", help="Before this time; a date includes its day."
    )(command)
    return click.option(
        "--since",
        metavar="WHEN",
        help="From this time on: 7d (today is one of them), 24h, 30m, today, yesterday, "
        "2026-11-30, 2026-11-30T14:00.",
    )(command)
