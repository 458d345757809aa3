"""`ccrelay usage`: tokens and money, by group and time; and the single exchanges as a file."""

import time
from typing import TYPE_CHECKING, Any

import click

from ccrelay.cli.connection import Relay
from ccrelay.cli.groups import json_option, since_options, socket_option, watch_options

if TYPE_CHECKING:
    from ccrelay.cli.time_range import Range

SINCE = "7d"
PAGE_SIZE = 10_000
ROWS_MAX = 100_000
TIMEOUT_S = 60.0
DIMENSIONS = (
    *("provider", "model", "key", "class", "session", "project", "agent", "day", "hour", "rule"),
)


class DimensionsParam(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # click 8.1, 8.4
    """`model,day`."""

    name = "GROUPS"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Return the groups in order."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        if names == ("all",):
            return ()
        for name in names:
            if name not in DIMENSIONS:
                self.fail(_unknown(name))
        if len(set(names)) < len(names):
            self.fail(f"{value!r} names a group twice")
        return names

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[Any]:
        """Complete the last group of the list."""
        from click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        taken = before.split(",")
        names = [one for one in DIMENSIONS if one.startswith(last) and one not in taken]
        return [CompletionItem(f"{before}{comma}{name}") for name in names]


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, DIMENSIONS, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{name!r} is no group. {hint}Groups: {', '.join(DIMENSIONS)}"


@click.command()
@click.option(
    "--by",
    type=DimensionsParam(),
    default="model",
    show_default=True,
    help="What to group by, separated by commas: provider, model, key, class, session, project, "
    "agent, day, hour, rule.",
)
@since_options
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="WORDS",
    help="As of ccrelay exchanges. Repeatable.",
)
@click.option(
    "--export",
    type=click.Choice(["csv", "jsonl"]),
    help="Single exchanges instead, oldest first, to standard output.",
)
@json_option
@watch_options(5.0)
@socket_option
def usage(
    by: tuple[str, ...],
    since: str | None,
    until: str | None,
    filters: tuple[str, ...],
    export: str | None,
    as_json: bool,
    watch: bool,
    interval: float,
    socket: str | None,
) -> None:
    """Show tokens and money.

    Billed, covered by a plan (at list price) and saved by prompt caches are three figures. Without
    --since: seven days, today included. `?` marks what has no known price.
    """
    from ccrelay.cli.time_range import time_range

    relay, text = Relay(socket), " ".join(filters)
    if export:
        if watch or as_json:
            raise click.UsageError("--export stands alone: its form is csv or jsonl")
        export_rows(relay, export, text, time_range(since, until))
        return

    def bounds() -> "Range":
        # Each time: after midnight, today is another day.
        return time_range(since or (SINCE if not until else None), until)

    _show(relay, by, text, bounds, as_json=as_json, interval=interval if watch else None)


def _show(
    relay: Relay,
    by: tuple[str, ...],
    text: str,
    bounds: Any,
    *,
    as_json: bool,
    interval: float | None,
) -> None:
    from ccrelay.cli.json_output import print_json
    from ccrelay.cli.screen import Screen, find_screen, write_lines
    from ccrelay.cli.usage_view import usage_lines

    def draw(screen: Screen) -> list[str]:
        asked = bounds()
        answer = query(relay, by, text, asked)
        return usage_lines(answer, by, asked, int(time.time() * 1000), screen, text=text)

    if interval is not None:
        from ccrelay.cli import watching

        if as_json:
            watching.watch_json(
                lambda: print_json(query(relay, by, text, bounds()), line=True), interval
            )
        watching.watch(draw, interval)
    elif as_json:
        print_json(query(relay, by, text, bounds()))
    else:
        write_lines(draw(find_screen()))


def query(relay: Relay, by: tuple[str, ...], text: str, bounds: "Range") -> Any:
    """Return the sums, with the rows of all pages in one answer."""
    from ccrelay.v1.usage_pb2 import Dimension, QueryRequest, QueryResponse

    request = QueryRequest(
        group_by=[Dimension.Value(f"DIMENSION_{name.upper()}") for name in by],
        since_ms=bounds.since_ms,
        until_ms=bounds.until_ms,
        filter=text,
        page_size=PAGE_SIZE,
    )
    whole = relay.call("Usage/Query", request, QueryResponse, TIMEOUT_S)
    token = whole.next_page_token
    while token and len(whole.rows) < ROWS_MAX:
        request.page_token = token
        page = relay.call("Usage/Query", request, QueryResponse, TIMEOUT_S)
        whole.rows.extend(page.rows)
        token = page.next_page_token if page.rows else ""
    whole.next_page_token = token
    return whole


def export_rows(relay: Relay, form: str, text: str, bounds: "Range") -> None:
    """Write single exchanges to standard output as they come."""
    from ccrelay.cli.screen import find_screen, write_bytes
    from ccrelay.v1.usage_pb2 import ExportFormat, ExportRequest, ExportResponse

    request = ExportRequest(
        format=ExportFormat.Value(
            "EXPORT_FORMAT_CSV" if form == "csv" else "EXPORT_FORMAT_JSON_LINES"
        ),
        since_ms=bounds.since_ms,
        until_ms=bounds.until_ms,
        filter=text,
    )
    is_terminal = find_screen().terminal
    for piece in relay.stream("Usage/Export", request, ExportResponse):
        write_bytes(piece.data, escape=is_terminal)
