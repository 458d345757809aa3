"""`ccrelay prices`: what tokens cost, as the relay reckons."""

import click

from ccrelay.cli.connection import Relay
from ccrelay.cli.groups import json_option, socket_option


@click.command()
@click.option("--model", metavar="TEXT", help="Only models with this in their name.")
@json_option
@socket_option
def prices(model: str | None, as_json: bool, socket: str | None) -> None:
    """Show the prices in force.

    Those of the configuration come first and are marked `*`. A model without a price costs `?`.
    """
    from ccrelay.v1.usage_pb2 import PricesRequest, PricesResponse

    answer = Relay(socket).call("Usage/Prices", PricesRequest(), PricesResponse)
    if model:
        kept = [one for one in answer.prices if model.lower() in one.model.lower()]
        answer = PricesResponse(prices=kept, version=answer.version)
    if as_json:
        from ccrelay.cli.json_output import print_json

        print_json(answer)
        return
    from ccrelay.cli.screen import find_screen, write_lines
    from ccrelay.cli.usage_view import prices_lines

    write_lines(prices_lines(answer, find_screen()))
