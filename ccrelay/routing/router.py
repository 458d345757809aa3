"""The choice of a target: affinity, availability, strategy, key; or how long to wait.

    a conversation's place, if it can take the request      -> there
    its place within affinity.wait_s, and its cache is warm -> wait for it
    providers whose breaker admits and that have a ready key -> the strategy's choice, then a key
    nobody                                                   -> wait for the soonest

A strategy that weighs the cache is asked first: its own place is one of those it chooses among, as
long as its key can take the request, or will within affinity.wait_s.

Pure: the caller brings `now` and chance. What is taken (a reservation, a breaker's ticket) belongs
to the caller, who gives it back once.
"""

import random
from collections.abc import Set
from math import inf
from typing import NamedTuple

from ccrelay._fast.slots import Reservation, Room
from ccrelay.config.model import Routing
from ccrelay.fleet.breaker import State
from ccrelay.fleet.service import Service, Target
from ccrelay.routing.ask import Ask
from ccrelay.routing.candidates import Candidate, Slate
from ccrelay.routing.tries import Tries
from ccrelay.types import RequestClass, TrafficClass

# A prefix shorter than this is not cached by any current model (providers reference, section 4).
WORTH_WAITING_TOKENS = 512
# When another worker was faster, or frees its share at a time nobody can know.
LOOK_AGAIN_S = 0.05

_READY = int(Room.READY)
_COUNT_TOKENS = RequestClass.COUNT_TOKENS
_MAIN = TrafficClass.MAIN


class Taken(NamedTuple):
    """A target that was chosen, and what was taken of it."""

    candidate: Candidate
    target: Target
    reservation: Reservation | None  # None: the request counts against nothing
    ticket: int  # of the endpoint's breaker


class Wait(NamedTuple):
    """Nobody can take the request now."""

    until: float  # when somebody could, monotonic; inf: nobody will
    bound: bool  # it waits for its own place, and stands in nobody's way
    why: str  # for the log: what the soonest target waits for


class Router:
    """Chooses for one configuration."""

    __slots__ = ("_affinity_wait_s", "_max_wait_s", "_panics")

    def __init__(self, routing: Routing) -> None:
        self._max_wait_s = routing.max_wait_s
        self._affinity_wait_s = min(routing.affinity.wait_s, routing.max_wait_s)
        self._panics = routing.panic == "try"

    def choose(
        self,
        slate: Slate,
        ask: Ask,
        tries: Tries | None,
        rng: random.Random,
        *,
        stays: bool = True,
        held: Set[int] = frozenset(),
    ) -> Taken | Wait:
        """Take a target for a request, or say how long to wait for one.

        Not `stays`: a conversation does not wait for its own key. Held: slots of the slate that
        others wait for who come first; to this request they are full.
        """
        if slate.lone is not None and tries is None:
            taken = self._take(*slate.lone, ask, rng)
            if taken is not None:
                return taken
            return self._last_resort(slate, ask, tries, rng)
        by_place = None
        if ask.place is not None:
            if slate.chooser.weighs_cache:
                by_place = self._weigh(slate, ask, tries, rng, held, stays=stays)
            else:
                by_place = self._at_home(slate, ask, tries, rng, held)
        if by_place is not None and (stays or isinstance(by_place, Taken)):
            return by_place
        if held:
            tries = Tries.and_held(tries, (slate.by_slot[slot][1] for slot in held))
        taken = self._elsewhere(slate, ask, tries, rng)
        return taken if taken is not None else self._last_resort(slate, ask, tries, rng)

    # ---- where the conversation lives

    def _home(self, slate: Slate, ask: Ask, tries: Tries | None) -> tuple[Candidate, Target] | None:
        """Where it lives, unless it was tried or may not be."""
        place = ask.place
        assert place is not None
        home = slate.by_slot.get(place.slot)
        if home is None:
            return None
        candidate, target = home
        if candidate.service.client_rests and _rests(candidate.service, ask):
            return None
        if tries is not None and (target in tries.targets or candidate.service in tries.failed):
            return None
        return home

    def _at_home(
        self, slate: Slate, ask: Ask, tries: Tries | None, rng: random.Random, held: Set[int]
    ) -> Taken | Wait | None:
        home = self._home(slate, ask, tries)
        if home is None:
            return None
        is_held = home[1].slot in held
        taken = None if is_held else self._take(*home, ask, rng)
        return taken if taken is not None else self._worth_waiting(*home, ask, is_held)

    def _worth_waiting(
        self, candidate: Candidate, target: Target, ask: Ask, is_held: bool
    ) -> Wait | None:
        """How long to wait for its own key; None: that is not worth it."""
        place = ask.place
        assert place is not None
        if place.prefix_tokens < WORTH_WAITING_TOKENS or self._affinity_wait_s <= 0:
            return None
        if ask.traffic is not _MAIN and not candidate.service.endpoint.breaker.available(ask.now):
            return None  # it takes nothing along when it goes, and would wait at each turn
        until = self._ready_at(candidate, target, ask)
        moves_at = ask.waits_since + self._affinity_wait_s
        if until > moves_at or ask.now >= moves_at:
            return None
        # When those ahead go, all are looked at; nobody can tell when that is.
        return Wait(moves_at if is_held else until, True, "its own key")

    def _weigh(
        self,
        slate: Slate,
        ask: Ask,
        tries: Tries | None,
        rng: random.Random,
        held: Set[int],
        *,
        stays: bool,
    ) -> Taken | Wait | None:
        """What a strategy says that knows what leaving a warm cache costs."""
        home = self._home(slate, ask, tries)
        is_held = home is not None and home[1].slot in held
        is_ready = home is not None and not is_held and self._is_ready(*home, ask)
        waits = None
        if home is not None and not is_ready and stays:
            waits = self._worth_waiting(*home, ask, is_held)
        ask.home_open = is_ready or waits is not None
        if held:
            tries = Tries.and_held(tries, (slate.by_slot[slot][1] for slot in held))
        available = self._available(slate, ask, tries)
        while available or waits is not None:
            offered = available
            if home is not None and waits is not None and home[0] not in available:
                # In configured order, as strategies have it.
                offered = [c for c in slate.candidates if c in available or c is home[0]]
            candidate = slate.chooser.choose(offered, ask, rng)
            if waits is not None and home is not None and candidate is home[0]:
                return waits
            taken = self._take_key(candidate, ask, tries, rng)
            if taken is not None:
                return taken
            available.remove(candidate)
        return None

    def _is_ready(self, candidate: Candidate, target: Target, ask: Ask) -> bool:
        if not candidate.service.endpoint.breaker.available(ask.now):
            return False
        need = ask.need(target.slot)
        return bool(target.gauge.state(ask.now, need, ask.tokens_out) == _READY)

    # ---- anywhere

    def _elsewhere(
        self, slate: Slate, ask: Ask, tries: Tries | None, rng: random.Random
    ) -> Taken | None:
        available = self._available(slate, ask, tries)
        while available:
            candidate = (
                slate.chooser.choose(available, ask, rng) if len(available) > 1 else available[0]
            )
            taken = self._take_key(candidate, ask, tries, rng)
            if taken is not None:
                return taken
            available.remove(candidate)  # another worker was faster
        return None

    def _available(self, slate: Slate, ask: Ask, tries: Tries | None) -> list[Candidate]:
        """Whose breaker admits and who has a ready key that was not tried."""
        now = ask.now
        available = []
        for candidate in slate.candidates:
            service = candidate.service
            if service.client_rests and _rests(service, ask):
                continue
            if tries is not None and service in tries.failed:
                continue
            if service.endpoint.breaker.available(now) and self._has_key(candidate, ask, tries):
                available.append(candidate)
        return available

    def _has_key(self, candidate: Candidate, ask: Ask, tries: Tries | None) -> bool:
        """Whether a key that was not tried has room. The bank remembers what it saw."""
        service = candidate.service
        skip = tries.mask(service) if tries is not None else 0
        if service.bank.survey(ask.now, ask.tokens_in, ask.tokens_out, skip):
            return True
        # Its own key, to which most of the prompt is no news.
        index = self._own_key(candidate, ask, tries)
        return index >= 0 and self._is_ready(candidate, service.targets[index], ask)

    def _own_key(self, candidate: Candidate, ask: Ask, tries: Tries | None) -> int:
        """The key where the conversation lives, if it is this provider's and was not tried."""
        place = ask.place
        if place is None or not candidate.holds(place.slot):
            return -1
        service = candidate.service
        index = next(t.index for t in service.targets if t.slot == place.slot)
        tried = tries is not None and tries.mask(service) >> index & 1
        return -1 if tried else index

    def _take_key(
        self, candidate: Candidate, ask: Ask, tries: Tries | None, rng: random.Random
    ) -> Taken | None:
        """A key of a provider that was surveyed: its own, the favourite, the one with most room."""
        service = candidate.service
        index = self._own_key(candidate, ask, tries)
        if index >= 0:
            taken = self._take(candidate, service.targets[index], ask, rng)
            if taken is not None:
                return taken
        index = self._key_by_affinity(service, ask, rng)
        return self._take(candidate, service.targets[index], ask, rng) if index >= 0 else None

    def _key_by_affinity(self, service: Service, ask: Ask, rng: random.Random) -> int:
        """The first choice of a conversation among the keys, where it has room; -1: none has."""
        bank = service.bank
        index = bank.favourite(ask.conversation) if ask.conversation else -1
        return index if index >= 0 and bank.is_ready(index) else service.pick(rng)

    def _take(
        self, candidate: Candidate, target: Target, ask: Ask, rng: random.Random
    ) -> Taken | None:
        breaker = candidate.service.endpoint.breaker
        ticket = breaker.admit(ask.now, rng)
        if ticket is None:
            return None
        if ask.kind is _COUNT_TOKENS:  # has limits of its own at every provider
            if target.gauge.state(ask.now, 0, 0) == _READY or target.gauge.rests_until <= ask.now:
                return Taken(candidate, target, None, ticket)
        else:
            place = ask.place  # as Ask.need has it; every request pays this
            is_home = place is not None and place.slot == target.slot
            need = ask.tokens_home if is_home else ask.tokens_in
            reservation = target.gauge.reserve(ask.now, need, ask.tokens_out)
            if reservation is not None:
                return Taken(candidate, target, reservation, ticket)
        breaker.settle(ticket, ask.now, rng, ok=None)
        return None

    # ---- nobody

    def _last_resort(
        self, slate: Slate, ask: Ask, tries: Tries | None, rng: random.Random
    ) -> Taken | Wait:
        """Other keys of an endpoint that failed, an endpoint whose breaker is open, or waiting."""
        if ask.kind is _COUNT_TOKENS:
            taken = self._uncounted(slate, ask, tries, rng)
            if taken is not None:
                return taken
        if tries is not None and tries.failed:
            for candidate in slate.candidates:
                if candidate.service in tries.failed:
                    taken = self._another_key(candidate, ask, tries, rng)
                    if taken is not None:
                        return taken
        if self._panics and tries is None and not self._any_closed(slate, ask):
            taken = self._panic(slate, ask, rng)
            if taken is not None:
                return taken
        return self.soonest(slate, ask, tries)

    def _uncounted(
        self, slate: Slate, ask: Ask, tries: Tries | None, rng: random.Random
    ) -> Taken | None:
        """What no limit counts can go to a key that is full."""
        for candidate, target in slate.by_slot.values():
            service = candidate.service
            if tries is not None and (target in tries.targets or service in tries.failed):
                continue
            if service.client_rests and _rests(service, ask):
                continue
            taken = self._take(candidate, target, ask, rng)
            if taken is not None:
                return taken
        return None

    def _another_key(
        self, candidate: Candidate, ask: Ask, tries: Tries, rng: random.Random
    ) -> Taken | None:
        service = candidate.service
        if not service.endpoint.breaker.available(ask.now) or _rests(service, ask):
            return None
        if not self._has_key(candidate, ask, tries):
            return None
        return self._take_key(candidate, ask, tries, rng)

    def _any_closed(self, slate: Slate, ask: Ask) -> bool:
        """Whether somebody whose breaker admits could take the request while it may wait."""
        ends_at = ask.waits_since + self._max_wait_s
        return any(
            candidate.service.endpoint.breaker.available(ask.now)
            and any(
                self._ready_at(candidate, target, ask) <= ends_at
                for target in candidate.service.targets
            )
            for candidate in slate.candidates
        )

    def _panic(self, slate: Slate, ask: Ask, rng: random.Random) -> Taken | None:
        """Every breaker is open: one that may fail is better than an error that is certain."""
        ready = [
            candidate
            for candidate in slate.candidates
            if not candidate.service.endpoint.breaker.available(ask.now)
            and not _rests(candidate.service, ask)
            and self._has_key(candidate, ask, None)
        ]
        if not ready:
            return None
        # Not even now does a conversation leave its place without need.
        place = ask.place
        at_home = [c for c in ready if place is not None and c.holds(place.slot)]
        candidate = at_home[0] if at_home else slate.chooser.choose(ready, ask, rng)
        service = candidate.service
        index = self._own_key(candidate, ask, None)
        if index < 0 or not service.bank.is_ready(index):
            index = self._key_by_affinity(service, ask, rng)
        if index < 0:
            return None
        target = service.targets[index]
        reservation = None
        if ask.kind is not _COUNT_TOKENS:
            reservation = target.gauge.reserve(ask.now, ask.need(target.slot), ask.tokens_out)
            if reservation is None:
                return None
        return Taken(candidate, target, reservation, service.endpoint.breaker.force(ask.now))

    def soonest(self, slate: Slate, ask: Ask, tries: Tries | None = None) -> Wait:
        """When somebody who was not tried could take the request."""
        until, why = inf, ""
        for candidate in slate.candidates:
            service = candidate.service
            for target in service.targets:
                if tries is not None and target in tries.targets:
                    continue
                ready_at = self._ready_at(candidate, target, ask)
                if ready_at < until or not why:
                    until, why = ready_at, self.state_of(target, ask)
        if until <= ask.now:  # it was ready and another worker took it, or it is a breaker's trial
            until = ask.now + LOOK_AGAIN_S
        return Wait(until, False, why or "nobody is left to try")

    def _ready_at(self, candidate: Candidate, target: Target, ask: Ask) -> float:
        breaker = candidate.service.endpoint.breaker
        at = target.gauge.ready_at(ask.now, ask.need(target.slot), ask.tokens_out)
        if candidate.service.client_rests:
            at = max(at, candidate.service.client_rests.get(ask.credential, 0.0))
        if breaker.available(ask.now):
            return at
        # A trial is out: it may pass at any moment.
        on_trial = breaker.state is State.HALF_OPEN
        return max(at, ask.now + LOOK_AGAIN_S if on_trial else breaker.resumes_at)

    def state_of(self, target: Target, ask: Ask) -> str:
        """Why a target does not take a request: a word for the log."""
        if not target.service.endpoint.breaker.available(ask.now):
            return "breaker_open"
        if _rests(target.service, ask):
            return "resting"
        return _WORDS[target.gauge.state(ask.now, ask.need(target.slot), ask.tokens_out)]


def _rests(service: Service, ask: Ask) -> bool:
    """Whether the client's own credential was refused there for its limits."""
    return service.client_rests.get(ask.credential, 0.0) > ask.now


_WORDS = {
    int(Room.READY): "ready",
    int(Room.FULL): "limit",
    int(Room.BUSY): "max_concurrent",
    int(Room.RESTING): "resting",
    int(Room.OUT): "key_refused",
}
