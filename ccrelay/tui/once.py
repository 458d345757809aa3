"""`ccrelay top --once`: the first page as text, without Textual."""

import time
from typing import Any

from ccrelay.cli.connection import Failed, Relay
from ccrelay.cli.screen import Screen, find_screen, write_lines
from ccrelay.tui.dashboard import Dashboard
from ccrelay.tui.live import Live
from ccrelay.tui.page import Done, Failed as HasFailed
from ccrelay.tui.paint import PICK, UNPICK
from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl

LAST = 1000
ATTEMPTS_MAX = 40  # exchanges whose attempts are asked for
HEIGHT_WIDE, HEIGHT = 40, 24  # without a terminal
WIDE = 116


class DirectFeed:
    """Makes calls at once, on the same thread.

    Args:
        relay: whom to ask.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def call(
        self, method: str, request: Any, response_type: type[Any], done: Done,
        failed: HasFailed, timeout_s: float,
    ) -> None:  # fmt: skip
        """Make a call."""
        try:
            answer = self._relay.call(method, request, response_type, timeout_s)
        except Failed as error:
            failed(error.message, error.code)
        else:
            done(answer)

    def follow(self, filter_text: str) -> None:
        """Nothing is followed."""


def fill(live: Live, relay: Relay) -> None:
    """Ask once for what streams would bring.

    Raises:
        Failed: no relay runs, or it refuses.
    """
    status = relay.call("Relay/GetStatus", rl.GetStatusRequest(), rl.GetStatusResponse).status
    live.on_status(rl.WatchStatusResponse(status=status, whole=True))
    try:
        answer = relay.call(
            "Exchanges/List", ex.ExchangesListRequest(page_size=LAST), ex.ExchangesListResponse
        )
    except Failed:
        return  # the ledger is off
    oldest_first = list(answer.exchanges)[::-1]
    live.on_exchanges(ex.TailResponse(exchanges=oldest_first))
    for one in [one for one in oldest_first if one.attempts > 1][-ATTEMPTS_MAX:]:
        try:
            whole = relay.call(
                "Exchanges/Get", ex.ExchangesGetRequest(id=one.id), ex.ExchangesGetResponse
            )
        except Failed:
            continue
        live.on_attempts(one, whole.attempts)


def print_once(relay: Relay, theme: str | None) -> None:
    """Print the first page.

    Raises:
        Failed: no relay runs, or it refuses.
    """
    screen = find_screen()
    if theme == "none":
        screen = screen._replace(colour=False)
    live = Live()
    fill(live, relay)
    dashboard = Dashboard(live, DirectFeed(relay), lambda: int(time.time() * 1000))
    dashboard.ask()
    write_lines(once_lines(dashboard, screen))


def once_lines(dashboard: Dashboard, screen: Screen) -> list[str]:
    """Return the first page, without the keys below it; plain where the screen has no colour."""
    from ccrelay.tui.paint import bare

    height = screen.height
    if not screen.terminal:
        height = HEIGHT_WIDE if screen.width >= WIDE else HEIGHT
    painted = screen._replace(colour=True)
    dashboard.lines(painted, height)  # asks for what it shows
    lines = dashboard.lines(painted, height)[:-1]
    if not screen.colour:
        return [bare(line).rstrip() for line in lines]
    return [line.replace(PICK, "").replace(UNPICK, "").rstrip() for line in lines]
