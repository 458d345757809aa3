"""No request is forgotten in the queue, and how often one is overtaken has a bound.

In the fair queue alone, and in the pending queue, where each request waits for targets of its own:
there none takes a target that one ahead waits for, and no target is idle that none ahead waits for.
"""

from typing import Any, NamedTuple

import hypothesis.strategies as st
from hypothesis import given, settings

from ccrelay._fast.affinity_table import hash64
from ccrelay._fast.rate_limits import Capacity, Cooldown
from ccrelay.config.model import Affinity, Config, Key, Provider, Routing
from ccrelay.fleet.provider_state import Target
from ccrelay.relay.client_auth import ClientAuth
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.pending_queue import PendingQueue
from ccrelay.routing.fair_queue import RANKS, Claims, FairQueue
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.router import Router
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import Selection
from ccrelay.types import TrafficClass
from tests.unit.relay.fakes import FakeDown, FakeRelay, FakeUpstream, json_head, provider
from tests.unit.relay.scenario import is_sent, serving

CALM = settings(deadline=None, max_examples=200)
TRAFFIC = st.sampled_from(list(TrafficClass))


class Thing(NamedTuple):
    number: int
    rank: int
    conversation: int


class Joined(NamedTuple):
    """What was in the queue when a thing joined."""

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
def test_the_queue_holds_each_that_joined_and_did_not_leave_once(steps: list[object]) -> None:
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
@given(
    st.lists(
        st.one_of(st.tuples(TRAFFIC, st.integers(1, 2), st.integers(1, 4)), st.just("serve")),
        max_size=60,
    )
)
def test_each_other_client_overtakes_at_most_as_often_as_its_own_requests_are_ahead(
    steps: list[object],
) -> None:
    queue: FairQueue[tuple[int, int]] = FairQueue()
    joined: dict[tuple[int, int], int] = {}  # how many had been served
    served: list[tuple[int, int]] = []

    def serve() -> None:
        thing = next(queue.in_order())
        queue.leave(thing, served=True)
        before = served[joined[thing] :]
        own = sum(client == thing[1] for _, client in before)
        for other in {client for _, client in before} - {thing[1]}:
            assert sum(client == other for _, client in before) <= own + 1
        served.append(thing)

    for number, step in enumerate(steps):
        if step == "serve":
            if len(queue):
                serve()
        elif isinstance(step, tuple):
            thing = (number, step[2])
            joined[thing] = len(served)
            queue.join(thing, step[0], step[1], client=step[2])
    while len(queue):
        serve()


@CALM
@given(STEPS)
def test_each_other_conversation_overtakes_at_most_as_often_as_its_own_requests_are_ahead(
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
def test_a_slot_is_claimed_against_a_rank_while_a_claim_reaches_it(
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


# ---- the pending queue

LIMIT = 150  # tokens a minute: one large request, or eleven small ones
MODELS = st.sampled_from([["m"], ["n"], ["m", "n"]])
LIMITS = st.sampled_from([{"itpm_limit": LIMIT}, {"max_concurrent": 1}, {"rpm_limit": 2}])
BODIES = {
    (model, is_large): b'{"model":"%b","stream":true,"messages":[%b]}'
    % (model.encode(), b" " * (424 if is_large else 0))
    for model in "mn"
    for is_large in (False, True)
}
CLIENTS = st.sampled_from([1, 1, 2, 3])
# Most events are arrivals; the others name a request or a key by number.
HAPPENS = st.lists(
    st.one_of(
        st.tuples(
            st.just("comes"),
            st.sampled_from("mn"),
            st.booleans(),
            st.booleans(),
            st.integers(0, 2),
            CLIENTS,
        ),
        st.tuples(
            st.just("comes"),
            st.just("m"),
            st.just(True),
            st.just(False),
            st.integers(0, 2),
            CLIENTS,
        ),
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


class WatchedQueue(PendingQueue):
    """Remembers the order of the pass under way."""

    order: list[Exchange] | None = None

    def _try_all(self) -> None:
        self.order = self.waiters()
        super()._try_all()
        self.order = None

    def ahead_of(self, exchange: Exchange) -> list[Exchange]:
        """Queued requests before this one; a new one is behind those of its conversation."""
        order = self.order
        if order is None or exchange not in order:
            queue: FairQueue[Exchange] = FairQueue()
            for client, known in self._queue._clients.items():
                for turns in known.ranks:
                    for conversation, line in turns.items():
                        for one in line:
                            traffic = TrafficClass(one.queue_position()[0])
                            queue.join(one, traffic, conversation, client)  # type: ignore[arg-type]
            place, conversation = exchange.queue_position()
            assert exchange.request is not None
            queue.join(exchange, TrafficClass(place), conversation, exchange.request.client)
            order = list(queue.in_order())
        return [one for one in order[: order.index(exchange)] if one in self.entries]

    def blocks(self, one: Exchange, behind: Exchange) -> set[int]:
        """The slots that a queued request blocks for another behind it."""
        entry = self.entries[one]
        if entry.blocks_from == entry.rank:
            return reach(one)
        assert one.request is not None
        assert one.request.binding is not None  # it waits for its sticky target
        lower = RANKS[TrafficClass(behind.queue_position()[0])] > entry.rank
        return {one.request.binding.slot} if lower else set()


class WatchedRouter(Router):
    """Asserts that no selected target is one that a request ahead waits for."""

    world: "World"

    def choose(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        *args: Any,
        **more: Any,
    ) -> Any:
        choice = super().choose(route, request, retry_state, *args, **more)
        if isinstance(choice, Selection):
            queue = self.world.queue
            taker = next(one for one in self.world.relay.active if one.request is request)
            for one in queue.ahead_of(taker):
                assert choice.target.slot not in queue.blocks(one, taker), (one, taker)
        return choice


class WatchedRelay(FakeRelay):
    queue_class = WatchedQueue


def reach(exchange: Exchange) -> set[int]:
    assert exchange.route is not None
    tried = [target.slot for target in exchange.retry_state.targets] if exchange.retry_state else []
    return set(exchange.route.by_slot) - set(tried)


class World:
    """A relay, and what happens to it."""

    def __init__(self, providers: list[Provider], **routing: Any) -> None:
        config = Config(routing=Routing(**{"strategy": "failover", **routing}))
        self.relay = WatchedRelay(*providers, config=config)
        self.queue: Any = self.relay.queue
        router = WatchedRouter(config.routing)
        router.world = self
        self.relay.context.config.router = router
        self.targets = [target for one in self.relay.providers for target in one.targets]
        self.all: list[Exchange] = []

    def step(self, what: str, *how: Any) -> None:
        getattr(self, what)(*how)
        self.relay.loop.run()
        self.no_target_is_idle_that_none_ahead_waits_for()

    def comes(self, model: str, is_large: bool, is_agent: bool, session: int, client: int) -> None:
        extra = b"x-claude-code-agent-id: a-1\r\n" if is_agent else b""
        down = FakeDown(
            self.relay.reactor, body=BODIES[model, is_large], session=f"s-{session}", extra=extra
        )
        auth = ClientAuth(False, False, False, client)
        self.all.append(self.relay.request(down, auth=auth))

    def _under_way(self, number: int) -> FakeUpstream | None:
        sent = [one for one in self.all if is_sent(one)]
        return serving(self.relay, sent[number % len(sent)]) if sent else None

    def ends(self, number: int) -> None:
        self._answer(number, 400)  # an answer that leads nowhere

    def fails(self, number: int) -> None:
        self._answer(number, 429)  # it fails over, and its models rest there

    def _answer(self, number: int, status: int) -> None:
        upstream = self._under_way(number)
        if upstream is not None:
            upstream.respond(json_head(status))
            upstream.feed(b'{"type":"error","error":{"type":"some_error","message":"m"}}')
            upstream.finish()

    def leaves(self, number: int) -> None:
        queued = self.queue.waiters()
        if queued:
            queued[number % len(queued)].client.down.leave()  # type: ignore[attr-defined]

    def used(self, number: int) -> None:
        """Some tokens are used, for a time that is worth waiting."""
        gauge = self.targets[number % len(self.targets)].limits
        at = self.relay.reactor.now - 57.0 + number
        gauge.reserve_unchecked(at, 10, 0).commit(at, 10, 0)

    def rests(self, number: int) -> None:
        gauge = self.targets[number % len(self.targets)].limits
        gauge.start_cooldown(self.relay.reactor.now + 2.0, int(Cooldown.RATE))

    def passes(self, seconds: float) -> None:
        self.relay.pass_time(seconds)

    def no_target_is_idle_that_none_ahead_waits_for(self) -> None:
        self.queue.poke()
        self.relay.loop.run()
        order = self.queue.waiters()
        for place, one in enumerate(order):
            if self.queue.entries[one].blocks_from != self.queue.entries[one].rank:
                continue  # it waits for its sticky target
            taken = [self.queue.blocks(other, one) for other in order[:place]]
            for slot in reach(one).difference(*taken):
                assert not self._could_go(self.relay.context.config.by_slot[slot], one)

    def _could_go(self, target: Target, one: Exchange) -> bool:
        assert one.request is not None
        assert one.route is not None
        now, (candidate, _) = self.relay.reactor.now, one.route.by_slot[target.slot]
        room = target.limits.state(
            now, one.request.tokens_in, one.request.tokens_out, candidate.group
        )
        return room == Capacity.READY and target.provider.endpoint.breaker.available(now)

    def end(self) -> None:
        """Every queued request was sent or failed in time, and blocks nothing any more."""
        self.relay.pass_time(21.0)
        assert self.queue.waiters() == []
        everything = {target.slot for target in self.targets}
        for client in (None, 1, 2, 3):
            held = [self.queue._claims.of(everything, rank, client) for rank in range(3)]
            assert held == [set()] * 3


@CALM
@given(fleets(), HAPPENS)
def test_no_request_is_overtaken_at_a_target_it_waits_for(
    providers: list[Provider], happens: list[tuple[Any, ...]]
) -> None:
    world = World(providers, affinity=Affinity(enabled=False))
    for step in happens:
        world.step(*step)
    world.end()


@CALM
@given(fleets(), HAPPENS, st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_no_request_is_overtaken_where_conversations_have_sticky_targets(
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
