"""`ccrelay open`: the web page, signed in."""

import os
import sys
from collections.abc import Mapping

import click

from ccrelay.cli.connection import Relay
from ccrelay.cli.groups import socket_option
from ccrelay.cli.output import echo

NO_BROWSER = "There is no browser here: open the link in one. It works once, for five minutes."
FAR = "From another machine, forward the port first: ssh -L {port}:{address} HOST"


@click.command("open")
@click.option("--print", "only_print", is_flag=True, help="Print the link, open no browser.")
@click.option("--read-only", is_flag=True, help="The page may change nothing.")
@socket_option
def open_page(only_print: bool, read_only: bool, socket: str | None) -> None:
    """Open the web page, signed in, in your browser.

    The link that is printed works once, for five minutes; the browser stays signed in.
    """
    from ccrelay.v1.relay_pb2 import CreateSignInLinkRequest, CreateSignInLinkResponse

    request = CreateSignInLinkRequest(read_only=read_only)
    url = Relay(socket).call("Relay/CreateSignInLink", request, CreateSignInLinkResponse).url
    echo(url)
    if only_print:
        return
    if not has_display(os.environ, sys.platform) or not _opened(url):
        echo(NO_BROWSER, err=True)
        if os.environ.get("SSH_CONNECTION"):
            address = url.partition("://")[2].partition("/")[0]
            echo(FAR.format(port=address.rpartition(":")[2], address=address), err=True)


def has_display(env: Mapping[str, str], platform: str) -> bool:
    """Whether a browser with windows can be started; one in the terminal shows nothing here."""
    if platform != "linux":
        return not env.get("SSH_CONNECTION")
    is_windows = bool(env.get("WSL_DISTRO_NAME"))
    return is_windows or bool(env.get("DISPLAY") or env.get("WAYLAND_DISPLAY"))


def _opened(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False
