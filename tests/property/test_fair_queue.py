"""Nobody is forgotten in the queue, and how often anybody is overtaken has a bound.

In the queue alone, and in the room where each waits for targets of its own: there nobody takes what
one ahead waits for, and what nobody ahead waits for is not left idle.
"""

from typing import Any, NamedTuple

import hypothesis.strategies as st
from ccrelay.relay.asking import turn_of
from hypothesis import given, settings

from ccrelay._fast.affinity_table import hash64
from ccrelay._fast.rate_limits import Capacity, Cooldown
from ccrelay.config.model import Affinity, Config, Key, Provider, Routing
from ccrelay.fleet.provider_state import Target
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.pending_queue import PendingQueue
from ccrelay.routing.fair_queue import RANKS, Claims, FairQueue
from ccrelay.routing.router import Router, Selection
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.types import TrafficClass
from tests.unit.relay.fakes import FakeDown, FakeRelay, FakeUpstream, json_head, provider

CALM = settings(deadline=None, max_examples=200)
TRAFFIC = st.sampled_from(list(TrafficClass))


class Thing(NamedTuple):
    number: int
    rank: int
    conversation: int


class Joined(NamedTuple):
    """What stood in the queue when a thing joined."""

    ahead_in_own_line: int
    at: int  # how many had been served


# A join (class, conversation), or one of: the first is served, the n-th leaves.
STEPS = st.lists(
    st.one_of(
        st.tuples(TRAFFIC, st.integers(1, 4)),
        st.just("serve"),
        st.tuples(st.just("leave"), st.integers(0, 30)),
    ),
    max_size=60,
)


@CALM
@given(STEPS)
def test_the_queue_has_those_who_joined_and_did_not_leave_once_each(steps: list[object]) -> None:
    queue: FairQueue[int] = FairQueue()
    here: list[int] = []
    for number, step in enumerate(steps):
        if step == "serve":
            if here:
                first = next(queue.in_order())
                here.remove(first)
                assert queue.leave(first, served=True)
        elif isinstance(step, tuple) and step[0] == "leave":
            if here:
                gone = here.pop(step[1] % len(here))
                assert queue.leave(gone)
        elif isinstance(step, tuple):
            queue.join(number, step[0], step[1])
            here.append(number)
        assert sorted(queue.in_order()) == sorted(here)
        assert len(queue) == len(here)


@CALM
@given(STEPS)
def test_of_each_other_conversation_no_more_go_before_one_than_stood_before_it_in_its_own_line(
    steps: list[object],
) -> None:
    queue: FairQueue[Thing] = FairQueue()
    joined: dict[Thing, Joined] = {}
    served: list[Thing] = []

    def serve() -> None:
        thing = next(queue.in_order())
        queue.leave(thing, served=True)
        before = served[joined[thing].at :]
        # The rank above goes first, however many they are; those below never do.
        assert all(other.rank <= thing.rank for other in before)
        equals = [other for other in before if other.rank == thing.rank]
        own = [other for other in equals if other.conversation == thing.conversation]
        assert len(own) == joined[thing].ahead_in_own_line
        assert all(other.number < thing.number for other in own)
        for conversation in {other.conversation for other in equals} - {thing.conversation}:
            times = sum(other.conversation == conversation for other in equals)
            assert times <= joined[thing].ahead_in_own_line + 1
        served.append(thing)

    for number, step in enumerate(steps):
        if step == "serve":
            if len(queue):
                serve()
        elif isinstance(step, tuple) and step[0] != "leave":
            thing = Thing(number, RANKS[step[0]], step[1])
            ahead = sum(other[1:] == thing[1:] for other in queue.in_order())
            joined[thing] = Joined(ahead, len(served))
            queue.join(thing, step[0], step[1])
    while len(queue):
        serve()
    assert len(served) == len(joined)


# ---- claims


@CALM
@given(
    st.lists(st.tuples(st.sets(st.integers(0, 5), min_size=1), st.integers(0, 3)), max_size=12),
    st.data(),
)
def test_a_slot_is_claimed_against_a_rank_as_long_as_a_claim_on_it_reaches_down_to_that(
    made: list[tuple[set[int], int]], data: st.DataObject
) -> None:
    claims = Claims()
    for slots, rank in made:
        claims.add(slots, rank)
    left = list(made)
    for gone in data.draw(st.permutations(made)):
        for rank in range(3):
            expected = {slot for slots, since in left if since <= rank for slot in slots}
            assert claims.of(set(range(6)), rank) == expected
        left.remove(gone)
        claims.remove(*gone)
    assert claims.of(set(range(6)), 2) == set()


# ---- the room

LIMIT = 150  # tokens a minute: one large request, or eleven small ones
MODELS = st.sampled_from([["m"], ["n"], ["m", "n"]])
LIMITS = st.sampled_from([{"itpm_limit": LIMIT}, {"max_concurrent": 1}, {"rpm_limit": 2}])
BODIES = {
    (model, is_large): b'{"model":"%b","stream":true,"messages":[%b]}'
    % (model.encode(), b" " * (424 if is_large else 0))
    for model in "mn"
    for is_large in (False, True)
}
# Most of what happens is that somebody comes; the rest is who is dealt with, by number.
HAPPENS = st.lists(
    st.one_of(
        st.tuples(
            st.just("comes"), st.sampled_from("mn"), st.booleans(), st.booleans(), st.integers(0, 2)
        ),
        st.tuples(st.just("comes"), st.just("m"), st.just(True), st.just(False), st.integers(0, 2)),
        st.tuples(st.sampled_from(["ends", "leaves", "fails", "used", "rests"]), st.integers(0, 9)),
        st.tuples(st.just("passes"), st.sampled_from([0.02, 0.6, 4.0])),
    ),
    max_size=50,
)


@st.composite
def fleets(draw: Any) -> list[Provider]:
    return [
        provider(
            f"p{number}",
            models=draw(MODELS),
            keys=[
                Key(key=f"test-key-{number}-{k}", **draw(LIMITS))
                for k in range(draw(st.integers(1, 2)))
            ],
        )
        for number in range(draw(st.integers(1, 3)))
    ]


class FairRoom(PendingQueue):
    """Remembers in which order it looks."""

    order: list[Exchange] | None = None

    def _look(self) -> None:
        self.order = self.everybody()
        super()._look()
        self.order = None

    def ahead_of(self, exchange: Exchange) -> list[Exchange]:
        """Who is before this one of those that wait; one that comes is behind its conversation."""
        order = self.order
        if order is None or exchange not in order:
            queue: FairQueue[Exchange] = FairQueue()
            for turns in self._queue._ranks:
                for conversation, line in turns.items():
                    for one in line:
                        queue.join(one, turn_of(one)[0], conversation)
            queue.join(exchange, *turn_of(exchange))
            order = list(queue.in_order())
        return [one for one in order[: order.index(exchange)] if one in self.seats]

    def claims(self, one: Exchange, against: Exchange) -> set[int]:
        """What one that waits keeps from another that is behind it."""
        seat = self.seats[one]
        if seat.claims_from == seat.rank:
            return reach(one)
        assert one.request is not None
        assert one.request.binding is not None  # it waits for its own key
        lower = RANKS[turn_of(against)[0]] > seat.rank
        return {one.request.binding.slot} if lower else set()


class FairRouter(Router):
    """Looks at what is taken whether somebody ahead waits for it."""

    __slots__ = ("world",)
    world: "World"

    def choose(self, slate: Any, ask: RoutingRequest, *args: Any, **more: Any) -> Any:
        choice = super().choose(slate, ask, *args, **more)
        if isinstance(choice, Selection):
            room = self.world.room
            taker = next(one for one in self.world.relay.active if one.request is ask)
            for one in room.ahead_of(taker):
                assert choice.target.slot not in room.claims(one, taker), (one, taker)
        return choice


def reach(exchange: Exchange) -> set[int]:
    assert exchange.route is not None
    tried = [target.slot for target in exchange.retry_state.targets] if exchange.retry_state else []
    return set(exchange.route.by_slot) - set(tried)


class World:
    """A relay, and what happens to it."""

    def __init__(self, providers: list[Provider], **routing: Any) -> None:
        self.relay = FakeRelay(
            *providers, config=Config(routing=Routing(**{"strategy": "failover", **routing}))
        )
        self.room = FairRoom(self.relay.loop, self.relay.reactor)  # type: ignore[arg-type]
        self.relay.waiting = self.room
        router = FairRouter(self.relay.snap.config.routing)
        router.world = self
        self.relay.snap.router = router
        self.targets = [target for one in self.relay.providers for target in one.targets]
        self.all: list[Exchange] = []

    def step(self, what: str, *how: Any) -> None:
        getattr(self, what)(*how)
        self.relay.loop.run()
        self.nothing_is_idle_that_nobody_ahead_waits_for()

    def comes(self, model: str, is_large: bool, is_agent: bool, session: int) -> None:
        extra = b"x-claude-code-agent-id: a-1\r\n" if is_agent else b""
        down = FakeDown(
            self.relay.reactor, body=BODIES[model, is_large], session=f"s-{session}", extra=extra
        )
        self.all.append(self.relay.request(down))

    def _under_way(self, number: int) -> FakeUpstream | None:
        sent = [one for one in self.all if one.target is not None and one not in self.room.seats]
        open_ones = [one for one in sent if not one.settled]
        if not open_ones:
            return None
        one = open_ones[number % len(open_ones)]
        assert one.target is not None
        return one.upstream or self.relay.pools[one.target.provider.name].connect_for(one)  # type: ignore[return-value]

    def ends(self, number: int) -> None:
        self._answer(number, 400)  # an answer that leads nowhere

    def fails(self, number: int) -> None:
        self._answer(number, 429)  # it goes on elsewhere, and nothing rests

    def _answer(self, number: int, status: int) -> None:
        upstream = self._under_way(number)
        if upstream is not None:
            upstream.respond(json_head(status))
            upstream.feed(b'{"type":"error","error":{"type":"some_error","message":"m"}}')
            upstream.finish()

    def leaves(self, number: int) -> None:
        waiting = self.room.everybody()
        if waiting:
            waiting[number % len(waiting)].down.leave()  # type: ignore[attr-defined]

    def used(self, number: int) -> None:
        """A little room is gone, for a time within which it is worth to wait."""
        gauge = self.targets[number % len(self.targets)].limits
        at = self.relay.reactor.now - 57.0 + number
        gauge.force(at, 10, 0).settle(at, 10, 0)

    def rests(self, number: int) -> None:
        gauge = self.targets[number % len(self.targets)].limits
        gauge.rest(self.relay.reactor.now + 2.0, int(Cooldown.RATE))

    def passes(self, seconds: float) -> None:
        self.relay.pass_time(seconds)

    def nothing_is_idle_that_nobody_ahead_waits_for(self) -> None:
        self.room.poke()
        self.relay.loop.run()
        order = self.room.everybody()
        for place, one in enumerate(order):
            if self.room.seats[one].claims_from != self.room.seats[one].rank:
                continue  # it waits for its own key
            taken = [self.room.claims(other, one) for other in order[:place]]
            for slot in reach(one).difference(*taken):
                assert not self._could_go(self.relay.snap.by_slot[slot], one)

    def _could_go(self, target: Target, one: Exchange) -> bool:
        assert one.request is not None
        now = self.relay.reactor.now
        room = target.limits.state(now, one.request.tokens_in, one.request.tokens_out)
        return room == Capacity.READY and target.provider.endpoint.breaker.available(now)

    def end(self) -> None:
        """Everybody who waits has gone or was told in time, and claims nothing any more."""
        self.relay.pass_time(21.0)
        assert self.room.everybody() == []
        everything = {target.slot for target in self.targets}
        assert [self.room._claims.of(everything, rank) for rank in range(3)] == [set()] * 3


@CALM
@given(fleets(), HAPPENS)
def test_nobody_is_passed_over_at_a_target_that_it_waits_for(
    providers: list[Provider], happens: list[tuple[Any, ...]]
) -> None:
    world = World(providers, affinity=Affinity(enabled=False))
    for step in happens:
        world.step(*step)
    world.end()


@CALM
@given(fleets(), HAPPENS, st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_nobody_is_passed_over_where_conversations_have_keys_of_their_own(
    providers: list[Provider], happens: list[tuple[Any, ...]], homes: list[int]
) -> None:
    world = World(providers)
    for session, home in enumerate(homes):
        slot = world.targets[home % len(world.targets)].slot
        key = hash64(b"s-%d" % session)
        world.relay.affinity.keep(key, slot, world.relay.reactor.now, prefix_tokens=9000)
    for step in happens:
        world.step(*step)
    world.end()
