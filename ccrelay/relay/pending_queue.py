"""Requests of one worker that wait for a target, and when each is tried again.

A queued request blocks its eligible targets for requests behind it: the targets of its model, less
those it has tried and those where its own credential cools down. A blocked target is full for a
request behind, whether that one has just arrived, failed elsewhere or is queued: it goes to another
target, or waits. Requests of other clients are behind it until it is their turn
(`routing.fair_queue`). A request that waits for its conversation's own key blocks that key alone,
and only for lower ranks: it gets the key soon or moves, and equal ranks need not wait for that.

So no request is overtaken at a target it waits for, and targets that no earlier request waits for
are not left idle.
"""

import asyncio
from collections.abc import Iterator, Set
from math import inf
from typing import Protocol

from ccrelay._fast.conn import Reactor
from ccrelay.routing.availability import LOOK_AGAIN_S
from ccrelay.routing.fair_queue import RANKS, Claims, FairQueue
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import Selection, Unavailable
from ccrelay.types import RequestClass, TrafficClass

# A try comes a little late rather than a hair too early.
LATE_S = 0.002
# What one turn of the loop may do: a try costs some 30 us, and a thousand requests may wait.
TRIES_PER_TURN = 64
TURN_S = 0.001

_NONE: Set[int] = frozenset()
_MESSAGES = int(RequestClass.MESSAGES)


class Waiter(Protocol):
    """A request that waits, or is about to."""

    @property
    def route(self) -> Route | None:
        """The providers of its model."""

    @property
    def request(self) -> RoutingRequest | None:
        """What it needs."""

    @property
    def retry_state(self) -> RetryState | None:
        """What it has tried."""

    def queue_position(self) -> tuple[int, int]:
        """Its traffic class and conversation."""

    def route_to(self, *, stays: bool, held: Set[int]) -> Selection | Unavailable:
        """Ask its router for a target outside of `held`."""

    def on_selected(self, selection: Selection) -> None:
        """A target was acquired for it; it is queued no more."""

    def on_queue_timeout(self, unavailable: Unavailable) -> None:
        """No target can take it in time; it is queued no more."""

    def add_queue_time(self, seconds: float) -> None:
        """It has been queued for so long."""

    def reroute(self) -> None:
        """The configuration has changed; it is queued no more."""

    def __hash__(self) -> int:
        """By identity."""


class _Entry:
    """What is known of a queued request."""

    __slots__ = ("blocked", "blocks_from", "client", "eligible", "expires_at", "joined_at", "rank")

    def __init__(
        self, rank: int, client: int, eligible: Set[int], now: float, expires_at: float
    ) -> None:
        self.rank = rank
        self.client = client
        self.eligible = eligible  # slots it could go to
        self.blocked = _NONE
        self.blocks_from = rank  # the first rank that its blocked targets are full for
        self.joined_at = now
        self.expires_at = expires_at

    @property
    def follows_others(self) -> bool:
        """Whether it has nowhere to go when requests ahead block all that its model has."""
        return self.blocks_from == self.rank and bool(self.eligible)


class _Pass:
    """One pass over all queued requests; it may take several turns of the loop."""

    __slots__ = ("ahead", "full", "next_at", "now", "waiters")

    def __init__(self, waiters: Iterator[Waiter]) -> None:
        self.waiters = waiters
        self.now = 0.0
        self.ahead = Claims()  # of requests that were tried and stay
        self.full: set[Route] = set()  # every target is blocked: a short way for many requests
        self.next_at = inf


class PendingQueue:
    """Where requests wait whose targets are all unavailable, or blocked by earlier requests.

    Args:
        loop: for the one timer.
        reactor: for the time.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, reactor: Reactor) -> None:
        self._loop = loop
        self._reactor = reactor
        self._queue: FairQueue[Waiter] = FairQueue()
        self.entries: dict[Waiter, _Entry] = {}
        self._claims = Claims()
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = inf
        self._is_poked = False
        self._pass: _Pass | None = None  # under way

    def __len__(self) -> int:
        return len(self.entries)

    def select(self, waiter: Waiter, *, stays: bool = True) -> Selection | Unavailable:
        """Acquire a target for a request that is not queued, of those that none ahead blocks."""
        eligible = _eligible(waiter)
        assert waiter.request is not None
        rank = RANKS[TrafficClass(waiter.queue_position()[0])]
        held = self._claims.of(eligible, rank, waiter.request.client) if eligible else _NONE
        choice = _select(waiter, eligible, held, waits=stays)
        if held and isinstance(choice, Unavailable) and not choice.bound:
            # Conversations take turns, so it may precede some that block it: try again soon.
            return Unavailable(self._reactor.now + LOOK_AGAIN_S, choice.bound, choice.why)
        return choice

    def join(self, waiter: Waiter, unavailable: Unavailable, expires_at: float) -> None:
        """Queue: the request is given a target, or told at `expires_at` that there is none."""
        traffic, conversation = waiter.queue_position()
        traffic_class = TrafficClass(traffic)
        assert waiter.request is not None
        client = waiter.request.client
        entry = _Entry(
            RANKS[traffic_class], client, _eligible(waiter), self._reactor.now, expires_at
        )
        self.entries[waiter] = entry
        self._block(waiter, entry, bound=unavailable.bound)
        self._queue.join(waiter, traffic_class, conversation, client)
        self._wake_at(min(unavailable.until, expires_at))

    def leave(self, waiter: Waiter, *, served: bool = False) -> None:
        """Leave the queue, for whatever reason."""
        entry = self.entries.pop(waiter, None)
        if entry is None:
            return
        self._queue.leave(waiter, served=served)
        self._claims.remove(entry.blocked, entry.blocks_from, _claimant(entry))
        if not served:
            self.poke()  # those behind it may need less
        waiter.add_queue_time(max(self._reactor.now - entry.joined_at, 0.0))

    def poke(self) -> None:
        """Capacity became free: try soon."""
        if not self._is_poked and self.entries:
            self._is_poked = True
            self._loop.call_soon(self._try_all)

    def waiters(self) -> list[Waiter]:
        """The queued requests, the next one first."""
        return list(self._queue.in_order())

    def waiting_of(self, client: int) -> int:
        """How many requests of a client are queued."""
        return self._queue.waiting_of(client)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _block(self, waiter: Waiter, entry: _Entry, *, bound: bool) -> None:
        slots, blocks_from = entry.eligible, entry.rank
        if bound:
            assert waiter.request is not None
            assert waiter.request.binding is not None
            slots, blocks_from = frozenset({waiter.request.binding.slot}), entry.rank + 1
        if slots is not entry.blocked or blocks_from != entry.blocks_from:
            self._claims.remove(entry.blocked, entry.blocks_from, _claimant(entry))
            entry.blocked, entry.blocks_from = slots, blocks_from
            self._claims.add(slots, blocks_from, _claimant(entry))

    def _wake_at(self, at: float) -> None:
        at += LATE_S
        if at < self._wakes_at:
            if self._timer is not None:
                self._timer.cancel()
            delay = max(at - self._reactor.clock(), 0.0)
            self._wakes_at = at
            self._timer = self._loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._wakes_at = inf
        self._try_all()

    def _try_all(self) -> None:
        """Give each request that can go a target, in order, around what those ahead wait for.

        As many as a turn of the loop allows; the others follow in the next turns.
        """
        if self._pass is not None:
            return  # it is under way, and goes on with a pass from the beginning
        self._is_poked = False
        self._pass = _Pass(iter(list(self._queue.in_order())))
        self._go_on()

    def _go_on(self) -> None:
        this = self._pass
        assert this is not None
        try:
            is_done = self._take_turn(this)
        except BaseException:
            self._pass = None
            raise
        if not is_done:
            self._loop.call_soon(self._go_on)
            return
        self._pass = None
        if this.next_at < inf:
            self._wake_at(this.next_at)
        if self._is_poked:
            self._loop.call_soon(self._try_all)

    def _take_turn(self, this: _Pass) -> bool:
        """Try some of the requests that are left in a pass. True: it is over."""
        this.now = self._reactor.clock()
        ends_at = this.now + TURN_S
        tries = 0
        for waiter in this.waiters:
            entry = self.entries.get(waiter)
            if entry is None:
                continue  # what happened to an earlier one has ended it
            if entry.follows_others and waiter.route in this.full and this.now < entry.expires_at:
                if entry.expires_at < this.next_at:
                    this.next_at = entry.expires_at
                continue
            self._try(waiter, entry, this)
            tries += 1
            if tries >= TRIES_PER_TURN or self._reactor.clock() > ends_at:
                return False
        return True

    def _try(self, waiter: Waiter, entry: _Entry, this: _Pass) -> None:
        """Let one request go, fail it, or let it stay."""
        route, request, now = waiter.route, waiter.request, this.now
        assert route is not None
        assert request is not None
        request.now = now
        if route.passes:
            entry.eligible = _eligible(waiter)  # its credential's cooldown may have changed
        held = this.ahead.of(entry.eligible, entry.rank)
        choice = _select(waiter, entry.eligible, held, waits=now < entry.expires_at)
        if isinstance(choice, Selection):
            self.leave(waiter, served=True)
            waiter.on_selected(choice)
            return
        # A request that waits for what others have first cannot know when that will be.
        if now >= entry.expires_at or (choice.until > entry.expires_at and not held):
            self.leave(waiter)
            waiter.on_queue_timeout(choice)
            return
        self._block(waiter, entry, bound=choice.bound)
        if len(held) < len(entry.eligible):
            # All that follow in this pass are behind it, whoever's they are.
            this.ahead.add(
                entry.blocked, 0 if entry.blocks_from == entry.rank else entry.blocks_from
            )
        if entry.follows_others and len(entry.eligible) == len(route.by_slot) and not route.passes:
            this.full.add(route)
        this.next_at = min(this.next_at, max(choice.until, now + LOOK_AGAIN_S), entry.expires_at)


def _claimant(entry: _Entry) -> int | None:
    """Whose claim it is that stands for a request; None: it blocks lower ranks only, of anybody."""
    return entry.client if entry.blocks_from == entry.rank else None


def _eligible(waiter: Waiter) -> Set[int]:
    """The slots of the targets it could go to if they had capacity."""
    route, request, retry_state = waiter.route, waiter.request, waiter.retry_state
    assert route is not None
    assert request is not None
    if request.kind != _MESSAGES:
        return _NONE  # limits do not count it: it takes nothing from other requests
    if retry_state is None and not route.passes:
        return route.by_slot.keys()
    return {
        slot
        for slot, (candidate, target) in route.by_slot.items()
        if (retry_state is None or target not in retry_state.targets)
        and candidate.provider.client_cooldowns.get(request.credential, 0.0) <= request.now
    }


def _select(
    waiter: Waiter, eligible: Set[int], held: Set[int], *, waits: bool
) -> Selection | Unavailable:
    """Acquire an eligible target that is not held. All held: it waits for requests ahead, if it
    can wait."""
    if waits and held and len(held) == len(eligible):
        return Unavailable(inf, False, "queued ahead")
    return waiter.route_to(stays=waits, held=held)
