"""Exchanges under way, as a thread reads them, and as rows that stand below those that are over."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ccrelay.cli import exit_codes
from ccrelay.cli.cells import join
from ccrelay.cli.connection import Failed, Relay
from ccrelay.cli.exchanges_view import (
    Burst,
    Rows,
    model_cell,
    short_id,
    target_cell,
    what_cell,
)
from ccrelay.cli.format_counts import count
from ccrelay.cli.format_time import clock, elapsed, latency
from ccrelay.cli.screen import Screen
from ccrelay.cli.table import Cell
from ccrelay.v1 import exchanges_pb2 as pb

INTERVAL_MS = 500
RETRY_S = 1.0
CURRENT_S = 3.0  # an older message says nothing of now
ROWS_MIN = 3

_PHASES = {
    pb.Running.PHASE_PREPARING: "preparing",
    pb.Running.PHASE_QUEUED: "waiting",
    pb.Running.PHASE_CONNECTING: "connecting",
    pb.Running.PHASE_AWAITING: "awaiting",
    pb.Running.PHASE_HOLDING: "holding",
    pb.Running.PHASE_STREAMING: "streaming",
}


class UnderWay:
    """The newest of what WatchRunning tells, over breaks.

    Args:
        relay: the client to ask with; not shared.
        sleep: waits between two tries, seconds.
    """

    def __init__(self, relay: Relay, sleep: Callable[[float], None] = time.sleep) -> None:
        self._relay = relay
        self._sleep = sleep
        self._newest: tuple[float, Any] | None = None

    def start(self) -> None:
        """Begin to read; the thread ends with the process, or where the relay cannot tell."""
        threading.Thread(target=self.read, daemon=True).start()

    def newest(self) -> Any:
        """Return the newest message; None: nothing is known of now."""
        told = self._newest
        if told is None or time.monotonic() > told[0] + CURRENT_S:
            return None
        return told[1]

    def read(self) -> None:
        """Read until the relay says that it cannot tell."""
        request = pb.WatchRunningRequest(interval_ms=INTERVAL_MS)
        while True:
            try:
                answers = self._relay.stream(
                    "Exchanges/WatchRunning", request, pb.WatchRunningResponse
                )
                for message in answers:
                    self._newest = (time.monotonic(), message)
            except Failed as error:
                if error.code == "UNIMPLEMENTED" or error.exit_code == exit_codes.USAGE:
                    return
            self._relay.forget()
            self._sleep(RETRY_S)


def running_lines(
    message: Any, rows: Rows, letters: Mapping[str, str], screen: Screen
) -> list[str]:
    """Return the lines of a WatchRunningResponse: a row for each of the newest, and how many."""
    room = max(screen.height // 2, ROWS_MIN)
    shown = list(message.running)[-room:]
    lines = [rows.drawn(_row(one, message.at_ms, letters, screen)) for one in shown]
    waiting = sum(one.phase == pb.Running.PHASE_QUEUED for one in message.running)
    streaming = sum(one.phase == pb.Running.PHASE_STREAMING for one in message.running)
    text = join(
        [
            f"{count(message.total)} under way",
            f"{count(streaming)} streaming" if streaming else "",
            f"{count(waiting)} waiting for room" if waiting else "",
            "Ctrl-C ends",
        ]
    )
    return [*lines, "", screen.paint(screen.cut(text), "dim")]


def _row(one: Any, now_ms: int, letters: Mapping[str, str], screen: Screen) -> list[Cell]:
    is_unusual = bool(one.failed) or one.phase == pb.Running.PHASE_QUEUED
    burst = Burst((one,))
    return [
        Cell(clock(one.started_at_ms)),
        what_cell(burst, screen),
        model_cell(one, screen),
        target_cell(one, (), letters, screen),
        Cell(_PHASES.get(one.phase, "-"), style="amber" if is_unusual else ""),
        Cell(latency(one.first_event_ms)),
        Cell(elapsed(now_ms - one.started_at_ms)),
        Cell("-"),
        Cell(screen.text(short_id(one.id)), style="dim"),
    ]
