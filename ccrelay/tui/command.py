"""`ccrelay top`: the dashboard in the terminal."""

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import click

from ccrelay.cli import exit_codes
from ccrelay.cli.connection import Caller, Failed, Relay
from ccrelay.cli.groups import socket_option

WITHOUT_EXTRA = "ccrelay top needs Textual. Install it: pip install 'ccrelay-proxy[tui]'"
NO_TERMINAL = "ccrelay top needs a terminal. Without one: ccrelay top --once, or ccrelay status"


@click.command()
@click.option(
    "--theme",
    type=click.Choice(["system", "light", "dark", "none"]),
    help="Colours; none: no colour. Default: those of the terminal; with NO_COLOR: none.",
)
@click.option("--once", is_flag=True, help="Print the first page once, and end.")
@socket_option
def top(theme: str | None, once: bool, socket: str | None) -> None:
    """Watch the relay in the terminal: lanes, windows, exchanges, sessions, providers, rules.

    By keyboard: ? shows the keys. Needs the extra: pip install 'ccrelay-proxy[tui]'
    """
    relay = Relay(socket)
    if once:
        from ccrelay.tui.once import print_once

        print_once(relay, theme)
        return
    if find_spec("textual") is None:
        raise Failed(WITHOUT_EXTRA)
    if not all(map(_is_terminal, (sys.stdin, sys.stdout, sys.stderr))):  # Textual draws on stderr
        raise Failed(NO_TERMINAL, exit_codes.USAGE)
    _run(socket, theme or _default_theme(os.environ))


def _is_terminal(stream: Any) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _default_theme(env: Any) -> str:
    return "none" if env.get("NO_COLOR") else "system"


class Finder:
    """Finds the relay, and stays with it while others start and end.

    Args:
        env: where it is looked for.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._client: Caller | None = None
        self._where = ""

    def find(self) -> Caller:
        """Return the client of the relay that was found first, or of another one when it is gone.

        Raises:
            ControlError: there is none, or there are several and none was found before.
        """
        from ccrelay.cli.connection import connect
        from ccrelay.control.client import Client, SeveralRelays

        client = self._client
        if client is None:
            try:
                client = connect(self._env)
            except SeveralRelays as error:
                if self._where not in map(str, error.paths):
                    raise
                client = Client(self._where)
            self._client, self._where = client, getattr(client, "where", "")
        return client

    def forget(self) -> None:
        """Look for it again: it does not answer."""
        self._client = None


def _run(socket: str | None, theme: str) -> None:
    """Show the dashboard until it is left.

    Raises:
        Failed: several relays run, and none was chosen.
    """
    from ccrelay.cli.connection import SOCKET_VARIABLE, failed
    from ccrelay.cli.screen import find_screen
    from ccrelay.control.client import ControlError, SeveralRelays
    from ccrelay.tui.app import SIGNALLED, TopApp
    from ccrelay.tui.feed import LiveFeed
    from ccrelay.tui.live import Live

    env = {**os.environ, SOCKET_VARIABLE: socket} if socket else dict(os.environ)
    finder = Finder(env)
    try:
        finder.find()
    except SeveralRelays as error:
        raise failed(error) from None
    except ControlError:
        pass  # the dashboard says so, and tries again
    live = Live()
    woken: list[TopApp] = []

    def wake() -> None:
        if woken:
            woken[0].wake()

    feed = LiveFeed(live, finder.find, wake, forget=finder.forget)
    app = TopApp(live, feed, theme, unicode=find_screen().unicode)
    woken.append(app)
    app.run()
    if (app.return_code or 0) > SIGNALLED:
        raise SystemExit(app.return_code)
    if app.return_code:
        raise Failed("ccrelay top ended by a failure.")
