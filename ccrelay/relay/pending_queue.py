"""Requests of one worker that wait for a target, and when each is looked at again.

Who waits claims what it could go to: the targets of its model, but those it has tried and those
that rest for its own credential. A target that somebody ahead in the fair order claims is full for
a request, whether it has just come, failed elsewhere or waits here: it goes to another, or waits.
One that waits for its conversation's own key claims that key alone, and against lower ranks only:
it will have the key soon or move, and its equals need not wait for that.

So nobody is overtaken at a target it waits for, and what nobody ahead claims is not left idle.
"""

import asyncio
from collections.abc import Set
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from ccrelay._fast.conn import Reactor
from ccrelay.relay import asking, failing
from ccrelay.routing.fair_queue import RANKS, Claims, Queue
from ccrelay.routing.route_table import Route
from ccrelay.routing.router import LOOK_AGAIN_S, Selection, Unavailable
from ccrelay.types import RequestClass

if TYPE_CHECKING:
    from ccrelay.relay.exchange import Exchange

# A look comes a little late rather than a hair too early.
LATE_S = 0.002

_NONE: Set[int] = frozenset()
_MESSAGES = RequestClass.MESSAGES


class _Seat:
    """What is known of one that waits."""

    __slots__ = ("claimed", "claims_from", "gives_up_at", "joined_at", "rank", "reach")

    def __init__(self, rank: int, reach: Set[int], now: float, gives_up_at: float) -> None:
        self.rank = rank
        self.reach = reach  # what it could go to
        self.claimed = _NONE
        self.claims_from = rank  # the first rank that has to leave alone what it claims
        self.joined_at = now
        self.gives_up_at = gives_up_at

    @property
    def stands_behind(self) -> bool:
        """Whether it has nowhere to go when others claim all that its model has."""
        return self.claims_from == self.rank and bool(self.reach)


class _Look:
    """One look at all who wait."""

    __slots__ = ("ahead", "full", "next_at", "now")

    def __init__(self, now: float) -> None:
        self.now = now
        self.ahead = Claims()  # of those that were looked at and stay
        self.full: set[Route] = set()  # every target is claimed: a short way for many
        self.next_at = inf


class PendingQueue:
    """Where requests wait whose targets all rest, or are claimed by others.

    Args:
        loop: for the one timer.
        reactor: for the time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, reactor: Reactor) -> None:
        self._loop = loop
        self._reactor = reactor
        self._queue: Queue[Exchange] = Queue()
        # Those who wait. Every request asks whether there is anybody: empty, it is false.
        self.seats: dict[Exchange, _Seat] = {}
        self._claims = Claims()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = inf
        self._is_poked = False

    def __len__(self) -> int:
        return len(self.seats)

    def choose(self, exchange: "Exchange", *, stays: bool = True) -> Selection | Unavailable:
        """Take a target for one that is not here, of those that nobody claims who comes first."""
        reach = _reach(exchange)
        held = self._claims.of(reach, _rank(exchange)) if reach else _NONE
        choice = _choose(exchange, reach, held, stays=stays)
        if held and isinstance(choice, Unavailable) and not choice.bound:
            # Conversations take turns, so that it may be before some of those who claim: look soon.
            return choice._replace(until=self._reactor.now + LOOK_AGAIN_S)
        return choice

    def join(self, exchange: "Exchange", wait: Unavailable, gives_up_at: float) -> None:
        """Wait: the exchange is given a target in the end, or told that there is none."""
        traffic, conversation = asking.turn_of(exchange)
        seat = _Seat(RANKS[traffic], _reach(exchange), self._reactor.now, gives_up_at)
        self.seats[exchange] = seat
        self._claim(exchange, seat, bound=wait.bound)
        self._queue.join(exchange, traffic, conversation)
        self._wake_at(min(wait.until, gives_up_at))

    def leave(self, exchange: "Exchange", *, served: bool = False) -> None:
        """Wait no more, for whatever reason."""
        seat = self.seats.pop(exchange, None)
        if seat is None:
            return
        self._queue.leave(exchange, served=served)
        self._claims.remove(seat.claimed, seat.claims_from)
        if not served:
            self.poke()  # those behind it may need less
        exchange.waited_s += max(self._reactor.now - seat.joined_at, 0.0)

    def poke(self) -> None:
        """Something became free: look soon."""
        if not self._is_poked and self.seats:
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

    def _claim(self, exchange: "Exchange", seat: _Seat, *, bound: bool) -> None:
        slots, claims_from = seat.reach, seat.rank
        if bound:
            assert exchange.request is not None
            assert exchange.request.binding is not None
            slots, claims_from = frozenset({exchange.request.binding.slot}), seat.rank + 1
        if slots is not seat.claimed or claims_from != seat.claims_from:
            self._claims.remove(seat.claimed, seat.claims_from)
            self._claims.add(slots, claims_from)
            seat.claimed, seat.claims_from = slots, claims_from

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
        """Give everybody who can go a target, in order, around what those ahead still wait for."""
        self._is_poked = False
        now = self._reactor.clock()
        look = _Look(now)
        for exchange in list(self._queue.in_order()):
            seat = self.seats.get(exchange)
            if seat is None:
                continue  # what happened to an earlier one has ended it
            if seat.stands_behind and exchange.route in look.full and now < seat.gives_up_at:
                if seat.gives_up_at < look.next_at:
                    look.next_at = seat.gives_up_at
            else:
                self._see(exchange, seat, look)
        if look.next_at < inf:
            self._wake_at(look.next_at)

    def _see(self, exchange: "Exchange", seat: _Seat, look: _Look) -> None:
        """Let one go, or tell it, or let it stay."""
        route, request, now = exchange.route, exchange.request, look.now
        assert route is not None
        assert request is not None
        request.now = now
        if route.passes:
            seat.reach = _reach(exchange)  # its credential's rest may have begun or ended
        held = look.ahead.of(seat.reach, seat.rank)
        choice = _choose(exchange, seat.reach, held)
        if isinstance(choice, Selection):
            self.leave(exchange, served=True)
            exchange.guard(partial(exchange.take, choice))
            return
        # One that waits for what others have first cannot know when that will be.
        if now >= seat.gives_up_at or (choice.until > seat.gives_up_at and not held):
            exchange.guard(lambda: failing.give_up(exchange, choice))
            return
        self._claim(exchange, seat, bound=choice.bound)
        if len(held) < len(seat.reach):
            look.ahead.add(seat.claimed, seat.claims_from)
        if seat.stands_behind and len(seat.reach) == len(route.by_slot) and not route.passes:
            look.full.add(route)
        look.next_at = min(look.next_at, max(choice.until, now + LOOK_AGAIN_S), seat.gives_up_at)


def _rank(exchange: "Exchange") -> int:
    return RANKS[asking.turn_of(exchange)[0]]


def _reach(exchange: "Exchange") -> Set[int]:
    """The slots of those it could go to if they had room."""
    route, request, retry_state = exchange.route, exchange.request, exchange.retry_state
    assert route is not None
    assert request is not None
    if exchange.kind is not _MESSAGES:
        return _NONE  # limits do not count it: it takes nothing from anybody
    if retry_state is None and not route.passes:
        return route.by_slot.keys()
    return {
        slot
        for slot, (candidate, target) in route.by_slot.items()
        if (retry_state is None or target not in retry_state.targets)
        and candidate.provider.client_cooldowns.get(request.credential, 0.0) <= request.now
    }


def _choose(
    exchange: "Exchange", reach: Set[int], held: Set[int], *, stays: bool = True
) -> Selection | Unavailable:
    """Take a target of those in reach that are not held. All held: it waits for those ahead."""
    route, request = exchange.route, exchange.request
    assert route is not None
    assert request is not None
    if held and len(held) == len(reach):
        return Unavailable(inf, False, "those ahead")
    router, rng = exchange.snap.router, exchange.relay.rng
    return router.choose(route, request, exchange.retry_state, rng, stays=stays, held=held)
