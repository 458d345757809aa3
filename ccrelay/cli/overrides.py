"""`ccrelay overrides`: what was set at run time; to write it to the file, or to drop it."""

from typing import Any

import click

from ccrelay.cli.connection import Relay
from ccrelay.cli.groups import SuggestingGroup, json_option, socket_option
from ccrelay.cli.targets import complete_overrides

CHANGE_TIMEOUT_S = 30.0
NOTHING = (
    "Nothing is set at run time: all is as the file says. "
    "Change a key: ccrelay keys disable PROVIDER/KEY"
)

_ids = click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=complete_overrides)
_all = click.option("--all", "everything", is_flag=True, help="All of them.")


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@json_option
@socket_option
@click.pass_context
def overrides(ctx: click.Context, as_json: bool, socket: str | None) -> None:
    """Show what was set at run time; write or drop it.

    An override holds over reloads and restarts of workers, until the relay ends.
    """
    if ctx.invoked_subcommand is not None:
        return
    from ccrelay.cli.json_output import print_json
    from ccrelay.cli.screen import find_screen, write_lines
    from ccrelay.v1.providers_pb2 import ListOverridesRequest, ListOverridesResponse

    answer = Relay(socket).call(
        "Providers/ListOverrides", ListOverridesRequest(), ListOverridesResponse
    )
    if as_json:
        print_json(answer)
    else:
        write_lines(_lines(answer.overrides, find_screen()))


def _lines(found: Any, screen: Any) -> list[str]:
    from ccrelay.cli.format_time import stamp
    from ccrelay.cli.table import Cell, Column, draw

    if not found:
        lines: list[str] = screen.wrap(NOTHING)
        return lines
    columns = [
        Column("ID", shrink_to=16),
        Column("IS", least=5),
        Column("IN THE FILE", least=5),
        Column("SINCE"),
    ]
    rows = [
        [
            Cell(screen.text(one.id)),
            Cell(screen.text(one.value)),
            Cell(screen.text(one.file_value)),
            Cell(stamp(one.set_at_ms)),
        ]
        for one in found
    ]
    return draw(columns, rows, screen)


def _chosen(ids: tuple[str, ...], everything: bool) -> tuple[str, ...]:
    if bool(ids) == everything:
        raise click.UsageError("name the overrides (ccrelay overrides), or use --all")
    return ids


@overrides.command()
@_ids
@_all
@json_option
@socket_option
def write(ids: tuple[str, ...], everything: bool, as_json: bool, socket: str | None) -> None:
    """Write overrides to the configuration file.

    They stay when the relay ends.
    """
    from ccrelay.cli.changes import report
    from ccrelay.v1.providers_pb2 import WriteOverridesRequest, WriteOverridesResponse

    answer = Relay(socket).call(
        "Providers/WriteOverrides",
        WriteOverridesRequest(ids=_chosen(ids, everything)),
        WriteOverridesResponse,
        CHANGE_TIMEOUT_S,
    )
    sentence = f"Written to {answer.file}: number {answer.revision} is in force."
    report(answer, sentence, as_json, hint="")


@overrides.command()
@_ids
@_all
@json_option
@socket_option
def drop(ids: tuple[str, ...], everything: bool, as_json: bool, socket: str | None) -> None:
    """Drop overrides.

    What the file says holds again.
    """
    from ccrelay.cli.changes import report
    from ccrelay.cli.format_counts import count
    from ccrelay.v1.providers_pb2 import DropOverridesRequest, DropOverridesResponse

    answer = Relay(socket).call(
        "Providers/DropOverrides",
        DropOverridesRequest(ids=_chosen(ids, everything)),
        DropOverridesResponse,
        CHANGE_TIMEOUT_S,
    )
    report(answer, f"{count(answer.dropped, 'override')} dropped.", as_json, hint="")
