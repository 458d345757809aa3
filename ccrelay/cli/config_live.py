"""`ccrelay config apply`, `revisions` and `rollback`: the configuration of the running relay."""

import sys
from pathlib import Path
from typing import Any

import click

from ccrelay.cli import exit_codes
from ccrelay.cli.connection import Failed, Relay
from ccrelay.cli.groups import json_option, socket_option
from ccrelay.cli.output import echo

APPLY_TIMEOUT_S = 60.0
TEXT_MAX = 4 << 20  # bytes; a configuration is kilobytes
COMMENT_MAX = 200


def _read(file: str) -> str:
    """Return a whole text; `-` is standard input. Raises Failed."""
    try:
        data = _standard_input() if file == "-" else _head(Path(file))
        if len(data) > TEXT_MAX:
            raise Failed(f"{file}: larger than {TEXT_MAX >> 20} MiB: this is no configuration")
        return data.decode()
    except UnicodeDecodeError:
        raise Failed(f"{file}: not UTF-8", exit_codes.USAGE) from None
    except OSError as error:
        raise Failed(f"{file}: {error.strerror or error}") from None


def _standard_input() -> bytes:
    if sys.stdin is None:
        raise OSError(None, "standard input is closed")
    return sys.stdin.buffer.read(TEXT_MAX + 1)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(TEXT_MAX + 1)


def _problems(problems: Any, file: str) -> list[str]:
    lines = []
    placed = [one.message for one in problems if one.line]
    for one in problems:
        if not one.line and any(message in one.message for message in placed):
            continue  # the same, told as a line of text
        place = file if file != "-" else "standard input"
        if one.line:
            place += f":{one.line}" + (f":{one.column}" if one.column else "")
        kind = "" if one.error else "warning: "
        path = f"{one.path}: " if one.path and not one.message.startswith(one.path) else ""
        lines.append(f"{place}: {kind}{path}{one.message}")
    return lines


@click.command()
@click.argument("file", metavar="FILE|-", type=click.Path(allow_dash=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Check it and say what would change; change nothing.")
@click.option(
    "--comment", "-m", default="", metavar="TEXT", help="Why, for ccrelay config revisions."
)
@click.option(
    "--base",
    default="",
    metavar="DIGEST",
    help="Fail when the file is not the one with this SHA-256: it has changed meanwhile.",
)
@json_option
@socket_option
def apply(
    file: str, dry_run: bool, comment: str, base: str, as_json: bool, socket: str | None
) -> None:
    """Write the relay's configuration file.

    Checks a whole text, writes it and reloads. With a mistake in it, neither file nor relay
    change. Exit code 2: it has a mistake.
    """
    from ccrelay.cli.json_output import print_json
    from ccrelay.v1.config_pb2 import ApplyRequest, ApplyResponse, ValidateRequest, ValidateResponse

    if len(comment) > COMMENT_MAX:
        raise click.BadParameter(f"more than {COMMENT_MAX} characters", param_hint="--comment")
    relay, text = Relay(socket), _read(file)
    form = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}.get(Path(file).suffix.lower(), "")
    checked = relay.call(
        "Config/Validate", ValidateRequest(text=text, format=form), ValidateResponse
    )
    if not checked.ok or dry_run:
        if as_json:
            print_json(checked)
        else:
            _print_check(checked, file)
        sys.exit(exit_codes.OK if checked.ok else exit_codes.USAGE)
    answer = relay.call(
        "Config/Apply",
        ApplyRequest(text=text, base=base, comment=comment),
        ApplyResponse,
        APPLY_TIMEOUT_S,
    )
    if as_json:
        print_json(answer)
        return
    for change in checked.changes:
        echo(f"  {change}")
    for line in _problems(answer.problems, file):
        echo(line, err=True)
    echo(f"Number {answer.revision} is in force.")


def _print_check(checked: Any, file: str) -> None:
    for line in _problems(checked.problems, file):
        echo(line, err=True)
    if not checked.ok:
        echo("Nothing was changed: the running configuration stays in force.", err=True)
        return
    if not checked.changes:
        echo("It is valid, and nothing would change.")
        return
    echo("It is valid. Would change:")
    for change in checked.changes:
        echo(f"  {change}")


@click.command()
@click.option("--show", type=click.IntRange(1), metavar="N", help="Print the text of number N.")
@click.option(
    "--limit", "-n", type=click.IntRange(1, 500), default=20, show_default=True, metavar="N",
    help="At most so many.",
)  # fmt: skip
@json_option
@socket_option
def revisions(show: int | None, limit: int, as_json: bool, socket: str | None) -> None:
    """List the texts that were in force.

    Newest first; `*` is in force now.
    """
    from ccrelay.cli.json_output import print_json
    from ccrelay.v1.config_pb2 import (
        ConfigGetRequest,
        ConfigGetResponse,
        ListRevisionsRequest,
        ListRevisionsResponse,
    )

    relay = Relay(socket)
    if show is not None:
        found = relay.call("Config/Get", ConfigGetRequest(revision=show), ConfigGetResponse)
        if as_json:
            print_json(found)
        else:
            echo(found.text, nl=not found.text.endswith("\n"))
        return
    request = ListRevisionsRequest(page_size=limit)
    answer = relay.call("Config/ListRevisions", request, ListRevisionsResponse)
    if as_json:
        print_json(answer)
        return
    now = relay.call("Config/Get", ConfigGetRequest(), ConfigGetResponse)
    _print_revisions(answer.revisions, now.revision)


def _print_revisions(found: Any, current: int) -> None:
    from ccrelay.cli.format_time import stamp
    from ccrelay.cli.screen import find_screen, write_lines
    from ccrelay.cli.table import Cell, Column, draw

    screen = find_screen()
    if not found:
        text = "No configuration was applied yet: there is no file. Write one: ccrelay init"
        write_lines(screen.wrap(text))
        return
    columns = [
        Column("NO.", right=True),
        Column("SINCE"),
        Column("BY"),
        Column("LINES"),
        Column("COMMENT", shrink_to=10),
    ]
    rows = [
        [
            Cell(str(one.revision), mark="*" if one.revision == current else ""),
            Cell(stamp(one.applied_at_ms)),
            Cell(screen.text(one.origin)),
            Cell(f"+{one.lines_added} -{one.lines_removed}"),
            Cell(screen.text(one.comment)),
        ]
        for one in found
    ]
    write_lines(draw(columns, rows, screen))


@click.command()
@click.argument("number", type=click.IntRange(1), metavar="N")
@json_option
@socket_option
def rollback(number: int, as_json: bool, socket: str | None) -> None:
    """Apply an earlier text again.

    N is its number in ccrelay config revisions; the result is a new number.
    """
    from ccrelay.cli.json_output import print_json
    from ccrelay.v1.config_pb2 import RollbackRequest, RollbackResponse

    request = RollbackRequest(revision=number)
    answer = Relay(socket).call("Config/Rollback", request, RollbackResponse, APPLY_TIMEOUT_S)
    if as_json:
        print_json(answer)
        return
    for line in _problems(answer.problems, f"number {number}"):
        echo(line, err=True)
    echo(f"Number {answer.revision} is in force, with the text of number {number}.")
