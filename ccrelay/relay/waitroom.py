"""Requests of one worker that wait for a target, and when each is looked at again."""

import asyncio
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from ccrelay._fast.conn import Reactor
from ccrelay.relay import asking, failing
from ccrelay.routing.candidates import Slate
from ccrelay.routing.router import LOOK_AGAIN_S, Wait
from ccrelay.routing.waiting import RANKS, Queue
from ccrelay.types import TrafficClass

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange

# A look comes a little late rather than a hair too early.
LATE_S = 0.002


class _Seat:
    """What is known of one that waits."""

    __slots__ = ("bound", "gives_up_at", "joined_at", "line", "until")

    def __init__(
        self, line: tuple[int, int], until: float, bound: bool, now: float, gives_up_at: float
    ) -> None:
        self.line = line  # slate and rank: who waits for the same
        self.bound = bound
        self.until = until
        self.joined_at = now
        self.gives_up_at = gives_up_at


class WaitRoom:
    """Where requests wait whose targets all rest.

    Args:
        loop: for the one timer.
        reactor: for the time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, reactor: Reactor) -> None:
        self._loop = loop
        self._reactor = reactor
        self._queue: Queue[Exchange] = Queue()
        self._seats: dict[Exchange, _Seat] = {}
        self._lines: dict[tuple[int, int], int] = {}  # how many in each wait for anybody
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = inf
        self._is_poked = False

    def __len__(self) -> int:
        return len(self._seats)

    def is_behind(self, slate: Slate, traffic: TrafficClass) -> bool:
        """Whether somebody waits for the same targets who comes first."""
        return any(self._lines.get((id(slate), rank), 0) for rank in range(RANKS[traffic] + 1))

    def join(self, exchange: "Exchange", wait: Wait, gives_up_at: float) -> None:
        """Wait: the exchange is given a target in the end, or told that there is none."""
        slate = exchange.slate
        assert slate is not None
        traffic, conversation = asking.turn_of(exchange)
        line = (id(slate), RANKS[traffic])
        bound = _stands_aside(exchange, wait)
        seat = _Seat(line, wait.until, bound, self._reactor.now, gives_up_at)
        self._seats[exchange] = seat
        if not seat.bound:
            self._lines[seat.line] = self._lines.get(seat.line, 0) + 1
        self._queue.join(exchange, traffic, conversation)
        self._wake_at(min(seat.until, gives_up_at))

    def leave(self, exchange: "Exchange", *, served: bool = False) -> None:
        """Wait no more, for whatever reason."""
        seat = self._seats.pop(exchange, None)
        if seat is None:
            return
        self._queue.leave(exchange, served=served)
        self._unline(seat)
        if not (served or seat.bound):
            self.poke()  # those behind it may need less
        exchange.waited_s += max(self._reactor.now - seat.joined_at, 0.0)

    def poke(self) -> None:
        """Something became free: look soon."""
        if not self._is_poked and self._seats:
            self._is_poked = True
            self._loop.call_soon(self._look)

    def everybody(self) -> list["Exchange"]:
        """Those who wait, the next one first."""
        return list(self._queue.in_order())

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unline(self, seat: _Seat) -> None:
        if seat.bound:
            return
        left = self._lines[seat.line] - 1
        if left:
            self._lines[seat.line] = left
        else:
            del self._lines[seat.line]

    def _wake_at(self, at: float) -> None:
        at += LATE_S
        if at < self._wakes_at:
            if self._timer is not None:
                self._timer.cancel()
            delay = max(at - self._reactor.clock(), 0.0)
            self._wakes_at = at
            self._timer = self._loop.call_later(delay, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._wakes_at = inf
        self._look()

    def _look(self) -> None:
        """Give everybody who can go a target, in order; those behind a stuck one stay, too."""
        self._is_poked = False
        now = self._reactor.clock()
        stuck: set[int] = set()
        next_at = inf
        for exchange in list(self._queue.in_order()):
            seat = self._seats.get(exchange)
            if seat is None:
                continue  # what happened to an earlier one has ended it
            if seat.line[0] in stuck and not seat.bound:
                if now >= seat.gives_up_at:
                    self._give_up(exchange, Wait(seat.until, seat.bound, "those ahead"))
                else:
                    next_at = min(next_at, seat.gives_up_at)
                continue
            choice = exchange.choose()
            if not isinstance(choice, Wait):
                self.leave(exchange, served=True)
                exchange.guard(partial(exchange.take, choice))
                continue
            if now >= seat.gives_up_at or choice.until > seat.gives_up_at:
                self._give_up(exchange, choice)
                continue
            self._stay(seat, choice.until, _stands_aside(exchange, choice))
            if not seat.bound:
                stuck.add(seat.line[0])
            next_at = min(next_at, max(choice.until, now + LOOK_AGAIN_S), seat.gives_up_at)
        if next_at < inf:
            self._wake_at(next_at)

    def _give_up(self, exchange: "Exchange", wait: Wait) -> None:
        exchange.guard(lambda: failing.give_up(exchange, wait))

    def _stay(self, seat: _Seat, until: float, bound: bool) -> None:
        seat.until = until
        if seat.bound != bound:
            self._unline(seat)
            seat.bound = bound
            if not seat.bound:
                self._lines[seat.line] = self._lines.get(seat.line, 0) + 1


def _stands_aside(exchange: "Exchange", wait: Wait) -> bool:
    """Whether it waits for less than everybody: its own key, what it has not tried or may not use.

    What it may not have others may, so that they need not wait for it.
    """
    if wait.bound or exchange.tries is not None:
        return True
    slate, ask = exchange.slate, exchange.ask
    assert slate is not None
    assert ask is not None
    return slate.passes and any(
        candidate.service.client_rests.get(ask.credential, 0.0) > ask.now
        for candidate in slate.candidates
    )
