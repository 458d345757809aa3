"""The choice of a target: affinity, availability, strategy, key; or how long to wait.

    a conversation's place, if it can take the request      -> there
    its place within affinity.wait_s, and its cache is warm -> wait for it
    providers whose breaker admits and that have a ready key -> the strategy's choice, then a key
    nobody                                                   -> wait for the soonest

Pure: the caller brings `now` and chance. What is taken (a reservation, a breaker's ticket) belongs
to the caller, who gives it back once.
"""

import random
from math import inf
from typing import NamedTuple

from ccrelay._fast.slots import Reservation, Room
from ccrelay.config.model import Routing
from ccrelay.fleet.breaker import State
from ccrelay.fleet.service import Service, Target
from ccrelay.routing.ask import Ask
from ccrelay.routing.candidates import Candidate, Slate
from ccrelay.types import RequestClass

# A prefix shorter than this is not cached by any current model (providers reference, section 4).
WORTH_WAITING_TOKENS = 512
# When another worker was faster, or frees its share at a time nobody can know.
LOOK_AGAIN_S = 0.05

_READY = int(Room.READY)
_COUNT_TOKENS = RequestClass.COUNT_TOKENS


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


class Tries:
    """What an exchange has tried, so that no target is tried twice."""

    __slots__ = ("_masks", "count", "failed", "targets")

    def __init__(self) -> None:
        self.count = 0
        self.targets: list[Target] = []
        self.failed: list[Service] = []  # whose endpoint failed, whatever the key
        self._masks: dict[str, int] = {}

    def add(self, target: Target, *, endpoint_failed: bool) -> None:
        """Note an attempt that failed."""
        self.count += 1
        self.targets.append(target)
        name = target.service.name
        self._masks[name] = self._masks.get(name, 0) | 1 << target.index
        if endpoint_failed and target.service not in self.failed:
            self.failed.append(target.service)

    def exclude(self, service: Service) -> None:
        """Nothing of this provider is worth trying: it lacks the model."""
        self.targets.extend(t for t in service.targets if t not in self.targets)
        self._masks[service.name] = -1

    def mask(self, service: Service) -> int:
        """The bits of its keys that were tried."""
        return self._masks.get(service.name, 0)


class Router:
    """Chooses for one configuration."""

    __slots__ = ("_affinity_wait_s", "_panics")

    def __init__(self, routing: Routing) -> None:
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
    ) -> Taken | Wait:
        """Take a target for a request, or say how long to wait for one.

        Not `stays`: a conversation does not wait for its own key.
        """
        if slate.lone is not None and tries is None:
            taken = self._take(*slate.lone, ask, rng)
            if taken is not None:
                return taken
        else:
            waits = None
            if ask.place is not None and not slate.chooser.weighs_cache:
                at_home = self._at_home(slate, ask, tries, rng)
                if isinstance(at_home, Taken):
                    return at_home
                waits = at_home
            if waits is not None and stays:
                return waits
            taken = self._elsewhere(slate, ask, tries, rng)
            if taken is not None:
                return taken
        return self._last_resort(slate, ask, tries, rng)

    # ---- where the conversation lives

    def _at_home(
        self, slate: Slate, ask: Ask, tries: Tries | None, rng: random.Random
    ) -> Taken | Wait | None:
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
        taken = self._take(candidate, target, ask, rng)
        if taken is not None:
            return taken
        if place.prefix_tokens < WORTH_WAITING_TOKENS or self._affinity_wait_s <= 0:
            return None
        until = self._ready_at(candidate, target, ask)
        if until > ask.waits_since + self._affinity_wait_s:
            return None
        return Wait(until, True, "its own key")

    # ---- anywhere

    def _elsewhere(
        self, slate: Slate, ask: Ask, tries: Tries | None, rng: random.Random
    ) -> Taken | None:
        now = ask.now
        available = []
        for candidate in slate.candidates:
            service = candidate.service
            skip = 0
            if service.client_rests and _rests(service, ask):
                continue
            if tries is not None:
                if service in tries.failed:
                    continue
                skip = tries.mask(service)
            if service.endpoint.breaker.available(now) and service.bank.survey(
                now, ask.tokens_in, ask.tokens_out, skip
            ):
                available.append(candidate)
        while available:
            candidate = (
                slate.chooser.choose(available, ask, rng) if len(available) > 1 else available[0]
            )
            taken = self._take_key(candidate, ask, rng)
            if taken is not None:
                return taken
            available.remove(candidate)  # another worker was faster
        return None

    def _take_key(self, candidate: Candidate, ask: Ask, rng: random.Random) -> Taken | None:
        service = candidate.service
        bank = service.bank
        index = -1
        place = ask.place
        if place is not None and candidate.holds(place.slot):  # its provider was weighed
            index = next(t.index for t in service.targets if t.slot == place.slot)
        if ask.conversation and (index < 0 or not bank.is_ready(index)):
            index = bank.favourite(ask.conversation)
        if index < 0 or not bank.is_ready(index):
            index = service.pick(rng)
        return self._take(candidate, service.targets[index], ask, rng) if index >= 0 else None

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
            reservation = target.gauge.reserve(ask.now, ask.tokens_in, ask.tokens_out)
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
        if self._panics and tries is None and not self._any_closed(slate, ask.now):
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
        skip = tries.mask(service)
        if not service.endpoint.breaker.available(ask.now) or _rests(service, ask):
            return None
        if not service.bank.survey(ask.now, ask.tokens_in, ask.tokens_out, skip):
            return None
        return self._take_key(candidate, ask, rng)

    def _any_closed(self, slate: Slate, now: float) -> bool:
        """Whether some breaker admits, of a provider that has a key at all."""
        return any(
            c.service.endpoint.breaker.available(now)
            and any(target.gauge.rests_until < inf for target in c.service.targets)
            for c in slate.candidates
        )

    def _panic(self, slate: Slate, ask: Ask, rng: random.Random) -> Taken | None:
        """Every breaker is open: one that may fail is better than an error that is certain."""
        ready = [
            candidate
            for candidate in slate.candidates
            if candidate.service.bank.survey(ask.now, ask.tokens_in, ask.tokens_out)
            and not _rests(candidate.service, ask)
        ]
        if not ready:
            return None
        candidate = slate.chooser.choose(ready, ask, rng)
        service = candidate.service
        index = service.pick(rng)
        if index < 0:
            return None
        target = service.targets[index]
        reservation = None
        if ask.kind is not _COUNT_TOKENS:
            reservation = target.gauge.reserve(ask.now, ask.tokens_in, ask.tokens_out)
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
        at = target.gauge.ready_at(ask.now, ask.tokens_in, ask.tokens_out)
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
        return _WORDS[target.gauge.state(ask.now, ask.tokens_in, ask.tokens_out)]


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
