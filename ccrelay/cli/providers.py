"""`ccrelay providers`: the providers, and the hand on them."""

import sys
import time
from typing import Any

import click

from ccrelay.cli import exit_codes
from ccrelay.cli.connection import Relay
from ccrelay.cli.groups import SuggestingGroup, json_option, socket_option, watch_options
from ccrelay.cli.targets import complete_providers

PROBES = ("connect", "count_tokens", "message")
PROBE_TIMEOUT_S = 60.0
CHANGE_TIMEOUT_S = 30.0

_name = click.argument("name", shell_complete=complete_providers)


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@json_option
@watch_options(1.0)
@socket_option
@click.pass_context
def providers(
    ctx: click.Context, as_json: bool, watch: bool, interval: float, socket: str | None
) -> None:
    """Show providers; enable, disable, probe one.

    Without a command: a table. `*` marks what was set at run time (ccrelay overrides).
    """
    if ctx.invoked_subcommand is None:
        from ccrelay.cli.keys_view import providers_lines

        show_providers(providers_lines, as_json, watch, interval, Relay(socket))


def show_providers(lines: Any, as_json: bool, watch: bool, interval: float, relay: Relay) -> None:
    """Print the answer of Providers.List as `lines` draws it, or as JSON, once or repeatedly."""
    from ccrelay.cli.json_output import print_json
    from ccrelay.cli.screen import Screen, find_screen, write_lines
    from ccrelay.v1.providers_pb2 import ProvidersListRequest, ProvidersListResponse

    def get() -> Any:
        return relay.call("Providers/List", ProvidersListRequest(), ProvidersListResponse)

    def draw(screen: Screen) -> list[str]:
        answer: list[str] = lines(get().providers, int(time.time() * 1000), screen)
        return answer

    if watch:
        from ccrelay.cli import watching

        if as_json:
            watching.watch_json(lambda: print_json(get(), line=True), interval)
        watching.watch(draw, interval)
    elif as_json:
        print_json(get())
    else:
        write_lines(draw(find_screen()))


def set_enabled(name: str, enabled: bool, as_json: bool, socket: str | None) -> None:
    """Enable or disable a provider, and say it."""
    from ccrelay.cli.changes import report
    from ccrelay.v1.providers_pb2 import SetEnabledRequest, SetEnabledResponse

    answer = Relay(socket).call(
        "Providers/SetEnabled",
        SetEnabledRequest(provider=name, enabled=enabled),
        SetEnabledResponse,
        CHANGE_TIMEOUT_S,
    )
    report(answer, f"{name} is {'enabled' if enabled else 'disabled'}.", as_json)


@providers.command()
@_name
@json_option
@socket_option
def enable(name: str, as_json: bool, socket: str | None) -> None:
    """Send requests to a provider again.

    An override of `enabled`.
    """
    set_enabled(name, True, as_json, socket)


@providers.command()
@_name
@json_option
@socket_option
def disable(name: str, as_json: bool, socket: str | None) -> None:
    """Send no more requests to a provider.

    An override of `enabled`; what runs goes on.
    """
    set_enabled(name, False, as_json, socket)


@providers.command()
@_name
@click.option(
    "--kind",
    type=click.Choice(PROBES),
    default="connect",
    show_default=True,
    help="connect: TCP and TLS; count_tokens: free, tells whether the key is accepted; message: "
    "one token, billed.",
)
@click.option("--key", metavar="NAME", default="", help="Name or fingerprint. Default: the first.")
@click.option("--model", metavar="NAME", default="", help="Default: health.probe_model.")
@json_option
@socket_option
def probe(name: str, kind: str, key: str, model: str, as_json: bool, socket: str | None) -> None:
    """Ask a provider something, now.

    Says what came. Exit code 1: not what was asked for.
    """
    from ccrelay.cli.cells import join
    from ccrelay.cli.format_money import cost_of_one
    from ccrelay.cli.format_time import short
    from ccrelay.cli.json_output import print_json
    from ccrelay.cli.screen import find_screen, write_lines
    from ccrelay.v1.providers_pb2 import ProbeKind, ProbeRequest, ProbeResponse

    request = ProbeRequest(
        provider=name, key=key, model=model, kind=ProbeKind.Value(f"PROBE_KIND_{kind.upper()}")
    )
    answer = Relay(socket).call("Providers/Probe", request, ProbeResponse, PROBE_TIMEOUT_S)
    if as_json:
        print_json(answer)
    else:
        screen = find_screen()
        facts = [
            kind.replace("_", " "),
            f"HTTP {answer.status}" if answer.status else "",
            screen.text(answer.model),
            f"in {short(answer.latency_ms)}",
            f"cost {cost_of_one(answer.cost_micros)}" if answer.cost_micros else "",
        ]
        found = f"{screen.text(name)}: {join(facts)}"
        first, *more = [*_indented(screen, found), *_indented(screen, screen.text(answer.message))]
        verdict = screen.paint("ok", "green") if answer.ok else screen.paint("FAIL", "red")
        write_lines([verdict + first[2 if answer.ok else 4 :], *more])
    if not answer.ok:
        sys.exit(exit_codes.FAILED)


def _indented(screen: Any, text: str) -> list[str]:
    from ccrelay.cli.cells import wrap

    lines = wrap(text, screen.width - 6, 0, screen.ellipsis) if text else []
    return [f"      {line}" for line in lines]
