"""`ccrelay exchange ID`: one exchange with its attempts, its reasons and its bill."""

from typing import Any

import click

from ccrelay.cli import exit_codes
from ccrelay.cli.connection import Failed, Relay
from ccrelay.cli.groups import json_option, socket_option

LAST = "last"


@click.command()
@click.argument("id", metavar="ID|last")
@json_option
@socket_option
def exchange(id: str, as_json: bool, socket: str | None) -> None:
    """Show one exchange: why, and its bill.

    ID is that of `ccrelay exchanges`, of the log, or of `request-id`; its beginning is enough where
    only one has it. `last` is the newest one.
    """
    relay = Relay(socket)
    answer = get(relay, _newest(relay) if id == LAST else id)
    if as_json:
        from ccrelay.cli.json_output import print_json

        print_json(answer)
        return
    from ccrelay.cli.exchange_view import exchange_lines
    from ccrelay.cli.screen import find_screen, write_lines

    write_lines(exchange_lines(answer, find_screen()))


def _newest(relay: Relay) -> str:
    from ccrelay.cli.exchange_calls import EMPTY, find

    found = find(relay, "", 1, 0, 0)
    if not found:
        raise Failed(EMPTY)
    return str(found[0].id)


def get(relay: Relay, wanted: str) -> Any:
    """Return one exchange by its id, with or without what all ids begin with.

    Raises:
        Failed: there is none, or several begin so.
    """
    from ccrelay.cli.exchanges_view import ID_PREFIX
    from ccrelay.v1.exchanges_pb2 import ExchangesGetRequest, ExchangesGetResponse

    forms = [wanted] if ID_PREFIX.startswith(wanted[:4]) else [ID_PREFIX + wanted, wanted]
    message = ""
    # The whole id first: the end of one may be the beginning of another.
    for form in forms:
        try:
            return relay.call("Exchanges/Get", ExchangesGetRequest(id=form), ExchangesGetResponse)
        except Failed as error:
            if error.code != "NOT_FOUND":
                raise
            message = error.message
    raise Failed(message or f"No exchange {wanted}: see ccrelay exchanges", exit_codes.FAILED)
