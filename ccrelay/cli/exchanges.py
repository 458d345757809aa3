"""`ccrelay exchanges`: what happened, newest last; `--follow` goes on with what happens."""

import time
from typing import Any

import click

from ccrelay.cli.connection import Relay
from ccrelay.cli.exchange_calls import EMPTY, attempts_of, find, letters_of
from ccrelay.cli.groups import json_option, since_options, socket_option

LIMIT = 50
NONE_MATCHES = "No exchange matches. See all of them: ccrelay exchanges"


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with exchanges as they end; Ctrl-C ends.")
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="WORDS",
    help="Words that all must match, such as 'provider:zai cost>0.10' (docs/cli.md). Repeatable.",
)
@since_options
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(0, 100_000),
    default=LIMIT,
    show_default=True,
    metavar="N",
    help="At most so many, the newest. With --follow: to begin with.",
)
@json_option
@socket_option
def exchanges(
    follow: bool,
    filters: tuple[str, ...],
    since: str | None,
    until: str | None,
    limit: int,
    as_json: bool,
    socket: str | None,
) -> None:
    """List exchanges, or follow them.

    One row each, the newest last; count_tokens that follow one another are one row. Cost is at list
    price where a plan pays.
    """
    relay, text = Relay(socket), " ".join(filters)
    if follow:
        if since or until:
            raise click.UsageError("--follow begins with the newest: use --limit")
        from ccrelay.cli.following import follow_exchanges

        follow_exchanges(relay, text, limit, as_json=as_json)
        return
    if not limit:
        raise click.UsageError("--limit 0 lists nothing: it is for --follow")
    from ccrelay.cli.time_range import time_range

    bounds = time_range(since, until)
    found = find(relay, text, limit, bounds.since_ms, bounds.until_ms)
    if as_json:
        from ccrelay.cli.json_output import as_dict, print_json

        print_json({"exchanges": [as_dict(one) for one in found]})
        return
    is_narrowed = bool(text or since or until)
    _print(relay, found, is_narrowed)


def _print(relay: Relay, found: list[Any], is_narrowed: bool) -> None:
    from ccrelay.cli.exchanges_view import Rows, fold
    from ccrelay.cli.screen import find_screen, write_lines

    screen = find_screen()
    if not found:
        text = NONE_MATCHES if is_narrowed else EMPTY
        write_lines(screen.wrap(screen.text(text)))
        return
    rows = Rows(screen, letters_of(relay), attempts_of(relay))
    now_ms = int(time.time() * 1000)
    lines = rows.heading()
    for burst in fold(reversed(found)):
        lines += rows.lines(burst, now_ms)
    write_lines(lines)
