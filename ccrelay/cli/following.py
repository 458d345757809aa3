"""`ccrelay exchanges --follow`: rows as exchanges end; what is under way stands below them.

One thread reads the stream into a bounded queue; the other one draws. A stream that breaks, since
the manager was replaced, is opened again, and what ended meanwhile is not lost nor shown twice.
"""

import errno
import queue
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from ccrelay.cli import exit_codes
from ccrelay.cli.cells import join
from ccrelay.cli.connection import Failed, Relay
from ccrelay.cli.exchange_calls import attempts_of, letters_of
from ccrelay.cli.exchanges_view import Burst, Rows, belongs
from ccrelay.cli.format_counts import count
from ccrelay.cli.json_output import print_json
from ccrelay.cli.output import echo
from ccrelay.cli.screen import find_screen, write_lines
from ccrelay.cli.under_way import UnderWay, running_lines
from ccrelay.cli.watching import Frame
from ccrelay.v1.exchanges_pb2 import TailRequest, TailResponse
from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse

QUEUE_MAX = 64  # messages; then the stream is read later, and the relay counts what it drops
TICK_S = 0.5
BURST_S = 2.0  # a burst is over after so long a silence
RETRY_S = 1.0
GIVE_UP_S = 30.0
SEEN_MAX = 2000
OVERLAP = 200  # exchanges that are asked for again after a break


class Tail:
    """The stream of exchanges, over breaks.

    Args:
        relay: whom to ask.
        text: filter.
        last: how many to begin with.
        sleep: waits between two tries, seconds.
    """

    def __init__(
        self, relay: Relay, text: str, last: int, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._relay, self._text, self._last = relay, text, last
        self._sleep = sleep
        self._seen: deque[str] = deque(maxlen=SEEN_MAX)
        self._known: set[str] = set()
        self._messages: queue.Queue[TailResponse | Failed] = queue.Queue(QUEUE_MAX)

    def start(self) -> None:
        """Begin to read; the thread ends with the process."""
        threading.Thread(target=self._read, daemon=True).start()

    def next(self, timeout_s: float) -> TailResponse | None:
        """Return the next message; None: nothing came in time.

        Raises:
            Failed: the stream broke, and could not be opened again.
        """
        try:
            message = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(message, Failed):
            raise message
        return message

    def _read(self) -> None:
        last, failing_since, began = self._last, 0.0, False
        while True:
            try:
                request = TailRequest(filter=self._text, last=last)
                for message in self._relay.stream("Exchanges/Tail", request, TailResponse):
                    began, failing_since = True, 0.0
                    self._messages.put(self._new(message))
                error = Failed("The relay ended the stream.", exit_codes.NO_RELAY)
            except Failed as failed:
                error = failed
            now = time.monotonic()
            failing_since = failing_since or now
            if not began or error.exit_code == exit_codes.USAGE or now - failing_since > GIVE_UP_S:
                self._messages.put(error)
                return
            last = OVERLAP
            self._relay.forget()
            self._sleep(RETRY_S)

    def _new(self, message: TailResponse) -> TailResponse:
        """Return a message without the exchanges that were in one before."""
        fresh = [one for one in message.exchanges if one.id not in self._known]
        for one in fresh:
            if len(self._seen) == SEEN_MAX:
                self._known.discard(self._seen[0])
            self._seen.append(one.id)
            self._known.add(one.id)
        return TailResponse(exchanges=fresh, dropped=message.dropped)


def follow_exchanges(relay: Relay, text: str, last: int, *, as_json: bool) -> None:
    """Print exchanges as they end, until Ctrl-C.

    Raises:
        Failed: the relay is gone, or refuses the filter.
    """
    tail = Tail(relay, text, min(last, 1000))
    tail.start()
    if as_json:
        while True:
            message = tail.next(TICK_S)
            stop_without_reader(sys.stdout)
            for one in message.exchanges if message else ():
                print_json(one, line=True)
            if message and message.dropped:
                _say_dropped(message.dropped)
    # Only where there is no filter: those under way cannot be compared with one here.
    under_way = None if text else UnderWay(relay.another())
    Follower(relay, tail, under_way).run()


def stop_without_reader(file: TextIO) -> None:
    """Notice that the reader of a pipe went away also while there is nothing to write.

    Raises:
        BrokenPipeError: it did.
    """
    try:
        poll = select.poll()
        poll.register(file.fileno(), 0)
        events = poll.poll(0)
    except (OSError, ValueError, AttributeError):
        return  # not a file of the system, or one that cannot be polled
    if events and events[0][1] & select.POLLERR:
        raise BrokenPipeError(errno.EPIPE, "the reader of the output went away")


def _say_dropped(dropped: int) -> None:
    echo(f"{count(dropped, 'exchange')} left out: this reader is too slow", err=True)


class Follower:
    """Draws what a Tail brings, and below it what is under way.

    Args:
        relay: whom to ask for all else.
        tail: exchanges as they end.
        under_way: those that have not ended; None: only how many there are.
    """

    def __init__(self, relay: Relay, tail: Tail, under_way: UnderWay | None = None) -> None:
        self._relay, self._tail, self._under_way = relay, tail, under_way
        self._letters = letters_of(relay)
        self._attempts = attempts_of(relay, is_bounded=False)
        self._screen = find_screen()
        self._rows = self._new_rows()
        self._frame = Frame() if self._screen.terminal else None
        self._burst: list[Any] = []
        self._burst_at = 0.0

    def _new_rows(self) -> Rows:
        return Rows(self._screen, self._letters, self._attempts)

    def run(self) -> None:
        """Draw until Ctrl-C or until the stream fails."""
        write_lines(self._rows.heading())
        if self._frame is not None and self._under_way is not None:
            self._under_way.start()
        try:
            self._draw_foot()
            while True:
                message = self._tail.next(TICK_S)
                stop_without_reader(sys.stdout)
                self.step(message)
        finally:
            if self._frame is not None:
                self._frame.erase()
                self._frame.close()
            self._print(self._take_burst())

    def step(self, message: TailResponse | None) -> None:
        """Draw one message, or what a silence means."""
        self._resize()
        lines: list[str] = []
        for one in message.exchanges if message else ():
            if self._burst and not belongs(self._burst[-1], one):
                lines += self._take_burst()
            self._burst.append(one)
            self._burst_at = time.monotonic()
            if one.kind != "count_tokens":
                lines += self._take_burst()
        if self._burst and time.monotonic() - self._burst_at >= BURST_S:
            lines += self._take_burst()
        if message and message.dropped:
            text = f"{count(message.dropped, 'exchange')} left out: this terminal is too slow"
            lines.append(self._screen.paint(self._screen.cut(text), "amber"))
        self._print(lines)
        self._draw_foot()

    def _resize(self) -> None:
        screen = find_screen()
        if screen.width != self._screen.width:
            if self._frame is not None:
                self._frame.erase()
            self._screen = screen
            self._rows = self._new_rows()
            write_lines(self._rows.heading())

    def _take_burst(self) -> list[str]:
        if not self._burst:
            return []
        lines = self._rows.lines(Burst(tuple(self._burst)), int(time.time() * 1000))
        self._burst = []
        return lines

    def _print(self, lines: list[str]) -> None:
        if lines:
            if self._frame is not None:
                self._frame.erase()
            write_lines(lines)

    def _draw_foot(self) -> None:
        if self._frame is None:
            return
        newest = self._under_way.newest() if self._under_way is not None else None
        if newest is not None:
            lines = running_lines(newest, self._rows, self._letters, self._screen)
            self._frame.draw(lines, self._screen)
            return
        try:
            answer = self._relay.call("Relay/GetStatus", GetStatusRequest(), GetStatusResponse, 1.0)
            status = answer.status
            text = join(
                [
                    f"{status.in_flight} under way",
                    f"{status.queued} waiting for room" if status.queued else "",
                    "Ctrl-C ends",
                ]
            )
        except Failed as error:
            self._relay.forget()
            text = f"Not connected, trying again: {self._screen.text(error.message)}"
        self._frame.draw(["", self._screen.paint(self._screen.cut(text), "dim")], self._screen)
