"""`ccrelay sessions`: conversations of clients with what they came to; one of them as a tree."""

import time
from typing import Any

import click

from ccrelay.cli import exit_codes
from ccrelay.cli.connection import Failed, Relay
from ccrelay.cli.groups import json_option, since_options, socket_option

LIMIT = 20
SINCE = "today"
PAGE_MAX = 1000
MOVES_MAX = 100
TIMEOUT_S = 60.0
GROUPS = ("agent", "class", "model", "key")
NONE = "No session since {}. Longer ago: ccrelay sessions --since 7d"
NONE_MATCHES = "No session matches. See those of today: ccrelay sessions"


@click.command()
@click.argument("session", required=False, default="", metavar="[ID]")
@since_options
@click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="WORDS",
    help="As of ccrelay exchanges. Repeatable.",
)
@click.option(
    "--limit",
    "-n",
    type=click.IntRange(1, 10_000),
    default=LIMIT,
    show_default=True,
    metavar="N",
    help="At most so many, the latest.",
)
@json_option
@socket_option
def sessions(
    session: str,
    since: str | None,
    until: str | None,
    filters: tuple[str, ...],
    limit: int,
    as_json: bool,
    socket: str | None,
) -> None:
    """List sessions of Claude Code, or show one.

    Without ID: the sessions of today, the latest last, or those of --since. With the ID of one, or
    its beginning: its main conversation and sub-agents with what each cost, and its moves.
    """
    from ccrelay.cli.time_range import time_range

    relay, words = Relay(socket), " ".join(filters)
    if session:
        if since or until or filters:
            raise click.UsageError("a session is shown whole: leave out --since, --until, --filter")
        _show_one(relay, session, as_json)
        return
    bounds = time_range(since or (SINCE if not until else None), until)
    found = find(relay, words, limit, bounds.since_ms, bounds.until_ms)
    if as_json:
        from ccrelay.cli.json_output import as_dict, print_json

        print_json({"sessions": [as_dict(one) for one in found]})
        return
    from ccrelay.cli.exchange_calls import letters_of
    from ccrelay.cli.screen import find_screen, write_lines
    from ccrelay.cli.sessions_view import session_lines

    screen = find_screen()
    if not found:
        text = NONE_MATCHES if filters or until else NONE.format(since or SINCE)
        write_lines(screen.wrap(screen.text(text)))
        return
    now_ms = int(time.time() * 1000)
    write_lines(session_lines(found[::-1], letters_of(relay), now_ms, screen))


def find(relay: Relay, words: str, limit: int, since_ms: int = 0, until_ms: int = 0) -> list[Any]:
    """Return up to `limit` sessions, the latest first, page by page."""
    from ccrelay.v1.usage_pb2 import ListSessionsRequest, ListSessionsResponse

    found: list[Any] = []
    token = ""
    while len(found) < limit:
        request = ListSessionsRequest(
            filter=words,
            page_size=min(limit - len(found), PAGE_MAX),
            page_token=token,
            since_ms=since_ms,
            until_ms=until_ms,
        )
        answer = relay.call("Usage/ListSessions", request, ListSessionsResponse, TIMEOUT_S)
        found += answer.sessions
        token = answer.next_page_token
        if not token or not answer.sessions:
            break
    return found[:limit]


def _show_one(relay: Relay, begin: str, as_json: bool) -> None:
    one = unique(relay, begin)
    parts, moves = details(relay, one.session)
    if as_json:
        from ccrelay.cli.json_output import as_dict, print_json

        print_json(
            {
                "session": as_dict(one),
                "conversations": [
                    {**dict(zip(GROUPS, row.group, strict=True)), "totals": as_dict(row.totals)}
                    for row in parts.rows
                ],
                "moves": [as_dict(move) for move in moves],
            }
        )
        return
    from ccrelay.cli.exchange_calls import attempts_of, letters_of
    from ccrelay.cli.screen import find_screen, write_lines
    from ccrelay.cli.sessions_view import tree_lines

    now_ms = int(time.time() * 1000)
    letters, attempts = letters_of(relay), attempts_of(relay)
    write_lines(tree_lines(one, parts, moves, letters, attempts, now_ms, find_screen()))


def unique(relay: Relay, begin: str) -> Any:
    """Return the one session whose id begins so.

    Raises:
        Failed: there is none, or there are several.
    """
    found = [
        one
        for one in find(relay, f"session:{quoted(begin)}", PAGE_MAX)
        if one.session.casefold().startswith(begin.casefold())
    ]
    if not found:
        raise Failed(f"No session begins with {begin!r}. See them: ccrelay sessions --since 7d")
    if len(found) > 1:
        shown = ", ".join(one.session for one in found[:5])
        more = ", ..." if len(found) > 5 else ""
        raise Failed(f"Several begin so: {shown}{more}. Give more of it.", exit_codes.USAGE)
    return found[0]


def details(relay: Relay, session: str) -> tuple[Any, list[Any]]:
    """Return the sums of a session by GROUPS, and its exchanges that left a warm cache."""
    from ccrelay.v1.exchanges_pb2 import ExchangesListRequest, ExchangesListResponse
    from ccrelay.v1.usage_pb2 import Dimension, QueryRequest, QueryResponse

    words = f"session={quoted(session)}"
    request = QueryRequest(
        group_by=[Dimension.Value(f"DIMENSION_{name.upper()}") for name in GROUPS],
        filter=words,
        page_size=10_000,
    )
    parts = relay.call("Usage/Query", request, QueryResponse, TIMEOUT_S)
    asked = ExchangesListRequest(filter=f"{words} moved:yes", page_size=MOVES_MAX)
    moves = relay.call("Exchanges/List", asked, ExchangesListResponse, TIMEOUT_S)
    return parts, list(moves.exchanges)[::-1]


def quoted(text: str) -> str:
    """Return a value of a filter, in quotation marks."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
