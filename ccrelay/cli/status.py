"""`ccrelay status`: what the relay does now."""

import sys

import click

from ccrelay import __version__
from ccrelay.cli import exit_codes
from ccrelay.cli.connection import Relay
from ccrelay.cli.groups import json_option, socket_option, watch_options


@click.command()
@json_option
@watch_options(1.0)
@socket_option
def status(as_json: bool, watch: bool, interval: float, socket: str | None) -> None:
    """Show what the relay does now: keys, windows, addresses, and today's tokens and money.

    `!` marks what needs a look, `p` what a plan covers, `?` what has no known price, `*` what was
    set at run time. Exit code 0 while for every model a target can be used, else 1.
    """
    from ccrelay.cli.json_output import print_json
    from ccrelay.cli.screen import Screen, find_screen, write_lines
    from ccrelay.cli.status_view import status_lines
    from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse, Status

    relay = Relay(socket)

    def get() -> Status:
        return relay.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse).status

    def draw(screen: Screen) -> list[str]:
        return status_lines(get(), screen, own_version=__version__)

    if watch:
        from ccrelay.cli import watching

        if as_json:
            watching.watch_json(lambda: print_json(get(), line=True), interval)
        watching.watch(draw, interval)
    now = get()
    if as_json:
        print_json(now)
    else:
        write_lines(status_lines(now, find_screen(), own_version=__version__))
    if not now.answering:
        sys.exit(exit_codes.FAILED)
