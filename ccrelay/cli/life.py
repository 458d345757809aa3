"""`ccrelay reload`, `drain`, `stop` and `log-level`."""

import time
from typing import Any

import click

from ccrelay.cli import exit_codes
from ccrelay.cli.connection import Failed, Relay
from ccrelay.cli.groups import json_option, socket_option
from ccrelay.cli.output import has_terminal_input

RELOAD_TIMEOUT_S = 60.0
POLL_S = 0.2
LEVELS = ("debug", "info", "warning", "error")


def _write(sentences: list[str]) -> None:
    from ccrelay.cli.screen import find_screen, write_lines

    screen = find_screen()
    write_lines(line for text in sentences for line in screen.wrap(screen.text(text), 2))


def _json(answer: Any) -> None:
    from ccrelay.cli.json_output import print_json

    print_json(answer)


@click.command()
@json_option
@socket_option
def reload(as_json: bool, socket: str | None) -> None:
    """Load the configuration file again.

    Waits until all workers use it. With a mistake in the file, the running one stays in force.
    """
    from ccrelay.v1.relay_pb2 import ReloadRequest, ReloadResponse

    answer = Relay(socket).call("Relay/Reload", ReloadRequest(), ReloadResponse, RELOAD_TIMEOUT_S)
    if as_json:
        _json(answer)
        return
    number = f"number {answer.revision}" if answer.revision else "the configuration"
    sentence = f"{number} is in force." if answer.changed else f"Nothing changed: {number} stays."
    _write([sentence[0].upper() + sentence[1:], *(f"! {text}" for text in answer.warnings)])


@click.command()
@click.option("--wait", is_flag=True, help="Return when the relay has ended.")
@json_option
@socket_option
def drain(wait: bool, as_json: bool, socket: str | None) -> None:
    """Finish what runs, then end the relay.

    It accepts nothing new; what still runs after server.timeouts.drain_s is cut.
    """
    from ccrelay.cli.format_counts import count
    from ccrelay.v1.relay_pb2 import DrainRequest, DrainResponse

    relay = Relay(socket)
    answer = relay.call("Relay/Drain", DrainRequest(), DrainResponse)
    if as_json:
        _json(answer)
    elif answer.in_flight:
        running = f"{count(answer.in_flight, 'exchange')} under way"
        _write([f"Draining: {running}, at most {answer.limit_s:g} s."])
    else:
        _write(["Draining: nothing is under way."])
    if wait:
        _wait_for_end(relay, answer.limit_s + 15)


def _wait_for_end(relay: Relay, limit_s: float) -> None:
    from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse

    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            relay.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse, 2.0)
        except Failed as error:
            if error.exit_code == exit_codes.NO_RELAY:
                return
        time.sleep(POLL_S)
    raise Failed(f"The relay still runs after {limit_s:g} s. End it at once: ccrelay stop")


@click.command()
@click.option("--yes", "-y", is_flag=True, help="Do not ask, although exchanges are cut.")
@json_option
@socket_option
def stop(yes: bool, as_json: bool, socket: str | None) -> None:
    """End the relay at once.

    What runs is cut. In a terminal it asks before it cuts anything; ccrelay drain cuts nothing.
    """
    from ccrelay.cli.format_counts import count
    from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse, StopRequest, StopResponse

    relay = Relay(socket)
    if not yes and not as_json and has_terminal_input():
        status = relay.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse).status
        if status.in_flight:
            running = count(status.in_flight, "exchange")
            click.confirm(f"{running} under way will be cut. Stop?", abort=True)
    answer = relay.call("Relay/Stop", StopRequest(), StopResponse)
    if as_json:
        _json(answer)
    else:
        cut = (
            f"{count(answer.in_flight, 'exchange')} cut" if answer.in_flight else "nothing was cut"
        )
        _write([f"Stopped: {cut}."])


@click.command("log-level")
@click.argument("level", type=click.Choice(LEVELS))
@json_option
@socket_option
def log_level(level: str, as_json: bool, socket: str | None) -> None:
    """Change how much the relay logs.

    Until it ends, or a reload changes logging.level.
    """
    from ccrelay.v1.relay_pb2 import SetLogLevelRequest, SetLogLevelResponse

    request = SetLogLevelRequest(level=level)
    answer = Relay(socket).call("Relay/SetLogLevel", request, SetLogLevelResponse)
    if as_json:
        _json(answer)
    else:
        _write([f"The log level is {level}, it was {answer.previous}."])
