"""`ccrelay route rules`: the rules in force, and how often each matched."""

import time
from typing import Any

import click

from ccrelay.cli.connection import Relay
from ccrelay.cli.groups import json_option, socket_option

TIMEOUT_S = 60.0
SINCE = "today"
INDENT = 12
NO_RULES = "There are no rules: every request is routed by the strategy. Add some: routing.rules"


@click.command()
@click.option(
    "--since",
    metavar="WHEN",
    default=SINCE,
    show_default=True,
    help="Count matches from this time on, as of ccrelay usage; `all`: as far as the ledger goes.",
)
@json_option
@socket_option
def rules(since: str, as_json: bool, socket: str | None) -> None:
    """Show the rules in force, in order, and how often each matched.

    The first one that matches applies. Counts are of the ledger, by the names of rules.
    """
    from ccrelay.cli.time_range import time_range
    from ccrelay.v1.routing_pb2 import ListRulesRequest, ListRulesResponse

    since_ms = 0 if since == "all" else time_range(since, None).since_ms
    request = ListRulesRequest(since_ms=since_ms)
    answer = Relay(socket).call("Routing/ListRules", request, ListRulesResponse, TIMEOUT_S)
    if as_json:
        from ccrelay.cli.json_output import print_json

        print_json(answer)
        return
    from ccrelay.cli.screen import find_screen, write_lines

    write_lines(rule_lines(answer, since, int(time.time() * 1000), find_screen()))


def _labelled(label: str, texts: list[str], screen: Any) -> list[str]:
    from ccrelay.cli.cells import wrap

    found: list[str] = []
    indent = min(INDENT, screen.width // 2)
    for text in texts:
        for line in wrap(text, screen.width - indent, 2, screen.ellipsis):
            found.append(f"{label:>{indent - 2}}  {line}" if not found else " " * indent + line)
    return found


def rule_lines(answer: Any, since: str, now_ms: int, screen: Any) -> list[str]:
    """Return the lines of a `ListRulesResponse`.

    Args:
        answer: rules with counts.
        since: what they are counted from, as it was asked for.
        now_ms: since 1970.
        screen: what they are for.
    """
    from ccrelay.cli.cells import join
    from ccrelay.cli.format_counts import count
    from ccrelay.cli.format_money import dollars
    from ccrelay.cli.format_time import moment

    if not answer.rules:
        return list(screen.wrap(NO_RULES))
    lines = []
    for number, rule in enumerate(answer.rules, 1):
        facts = [
            f"{count(rule.matched)} {since}" if since != "all" else count(rule.matched),
            f"last {moment(rule.last_matched_at_ms, now_ms)}" if rule.last_matched_at_ms else "",
            dollars(rule.cost_micros) if rule.cost_micros else "",
        ]
        name = screen.text(f"{number:>2}  {rule.name}")
        lines += screen.ends(screen.paint(screen.cut(name), "bold"), join(facts))
        when = [screen.text(line) for line in rule.when] or ["every request"]
        use = [screen.text(line) for line in rule.use] or ["nothing is changed"]
        lines += _labelled("when", when, screen) + _labelled("use", use, screen)
    unmatched = f"{count(answer.unmatched)} {since}" if since != "all" else count(answer.unmatched)
    return [*lines, *screen.ends("    everything else", unmatched)]
