"""`ccrelay claude`: Claude Code through the relay, which is started where none runs."""

import contextlib
import os
from typing import TYPE_CHECKING, Any

import click

from ccrelay.cli.output import echo

if TYPE_CHECKING:
    from ccrelay.cli.client_facts import Facts

# What Claude Code answers by itself: no relay is started for it.
ASKS_NO_MODEL = frozenset({("--help",), ("-h",), ("--version",), ("-v",)})


class Verbatim(click.Command):
    """A command that understands no option itself: all arguments go on as they are, `--` too."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take all arguments."""
        ctx.params["arguments"] = tuple(args)
        return []


@click.command(cls=Verbatim, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def claude(arguments: tuple[str, ...]) -> Any:
    """Run Claude Code through the relay.

    All arguments are Claude Code's. It uses the relay that runs, else starts one that ends with
    Claude Code. Variables are set for that process only.
    """
    from ccrelay.cli import launcher
    from ccrelay.cli.client_environment import BASE_URL, environment
    from ccrelay.cli.client_ours import marked, without_ours

    env = without_ours(os.environ)
    program = launcher.find_claude(env)
    if arguments[:1] in ASKS_NO_MODEL:
        launcher.replace_process(program, arguments, env)
    launcher.check_clouds(env)
    facts = _facts(env)
    launcher.check_settings(facts, env)
    variables = launcher.decided(facts, env)
    for said in launcher.conflicts(variables, env):
        echo(f"ccrelay: {said}", err=True)
    changed = {BASE_URL: facts.url, **environment(variables)}
    launcher.replace_process(program, arguments, {**env, **marked(env, changed)})


def _facts(env: dict[str, str]) -> "Facts":
    """The facts of the relay that runs, else of one that is started. Raises Failed."""
    from ccrelay.cli import launcher, own_relay, relay_users
    from ccrelay.cli.connection import Failed
    from ccrelay.config.places import state_folder

    state = state_folder(env)
    with contextlib.ExitStack() as alone:
        for is_alone in (False, True):
            if is_alone:  # another launcher may be starting one
                alone.enter_context(relay_users.starting(state))
            try:
                return launcher.facts_of_running(state=state)[0]
            except Failed as error:
                if not launcher.is_no_relay(error) or env.get("CCRELAY_SOCKET"):
                    raise
        started = own_relay.start(env)
    echo(f"ccrelay: started a relay at {started.facts.url} until Claude Code ends.", err=True)
    echo(f"ccrelay: its log is {started.log}.", err=True)
    return started.facts
