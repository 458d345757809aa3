"""The choice of a target: each way it can go, over real shared memory and real limits."""

import random
from collections import Counter
from collections.abc import Callable
from math import inf
from typing import Any

import pytest

from ccrelay._fast.affinity_table import AffinityTable, Binding, hash64
from ccrelay._fast.rate_limits import Cooldown, Dimension, Reservation
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.model import Affinity, Health, Key, Price, Provider, Routing
from ccrelay.fleet.breaker import State
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.ledger.record import Why
from ccrelay.routing.availability import LOOK_AGAIN_S, passed_over, soonest, why_taken
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route, RouteTable
from ccrelay.routing.router import Router
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import Selection, Unavailable
from ccrelay.routing.strategies import strategy_for
from ccrelay.types import RequestClass

NOW = 1000.0
HEALTH = Health(failures=1, open_s=10.0)


class Fleet:
    """Providers in one memory, and a router over them; every request asks for model `m`."""

    def __init__(self, providers: list[Provider], **routing: Any) -> None:
        memory = SharedMemory.private(targets=32, endpoints=8, bindings=64)
        self.routing = Routing(**{"strategy": "failover", **routing})
        self.affinity = AffinityTable(memory)
        self.rng = random.Random(3)
        self.providers: list[ProviderState] = []
        taken = 0
        for number, one in enumerate(providers):
            slots = list(range(taken, taken + max(len(one.keys), 1)))
            taken += len(slots)
            self.providers.append(
                ProviderState(one, HEALTH, memory=memory, slots=slots, endpoint_slot=number)
            )
        strategy = strategy_for(self.routing)
        self.route: Route = RouteTable(self.providers, lambda _: strategy).of(b'"m"', "m")
        self.router = Router(self.routing)

    def target(self, name: str) -> Target:
        """By the name of its key, which is that of a provider with one key, too."""
        return next(t for one in self.providers for t in one.targets if t.name == name)

    def binding(self, conversation: int, name: str, prefix_tokens: int = 5000) -> Binding:
        slot = self.target(name).slot
        self.affinity.keep(conversation, slot, NOW, prefix_tokens=prefix_tokens)
        found = self.affinity.find(conversation, NOW)
        assert found is not None
        return found

    def open_breaker(self, *names: str, now: float = NOW) -> None:
        for one in self.providers:
            if one.name in names:
                breaker = one.endpoint.breaker
                breaker.settle(breaker.force(now), now, self.rng, ok=False)
                assert breaker.state is State.OPEN

    def choose(
        self,
        request: RoutingRequest | None = None,
        retry_state: RetryState | None = None,
        **more: Any,
    ) -> Any:
        return self.router.choose(self.route, request or asked(), retry_state, self.rng, **more)

    def take(
        self, request: RoutingRequest | None = None, retry_state: RetryState | None = None
    ) -> Selection:
        choice = self.choose(request, retry_state)
        assert isinstance(choice, Selection), choice
        return choice

    def wait(
        self, request: RoutingRequest | None = None, retry_state: RetryState | None = None
    ) -> Unavailable:
        choice = self.choose(request, retry_state)
        assert isinstance(choice, Unavailable), choice
        return choice

    def name(
        self, request: RoutingRequest | None = None, retry_state: RetryState | None = None
    ) -> str:
        """Who is chosen; what was taken goes back."""
        taken = self.take(request, retry_state)
        give_back(taken)
        return taken.target.name

    def in_flight(self) -> int:
        return sum(one.key_pool.in_flight for one in self.providers)


def give_back(taken: Selection, now: float = NOW) -> None:
    if taken.reservation is not None:
        assert taken.reservation.cancel(now)
    breaker = taken.target.provider.endpoint.breaker
    breaker.settle(taken.ticket, now, random.Random(1), ok=None)


def key(name: str, **settings: Any) -> Key:
    return Key(key=f"test-key-{name}", name=name, **settings)


def provider(name: str, *keys: Key, **settings: Any) -> Provider:
    resolved: dict[str, Any] = {
        "base_url": "http://127.0.0.1:1",
        "auth": "bearer",
        "models": ["m"],
        "system_role": "keep",
        "count_tokens": "forward",
        "signatures": "none",
        "keys": list(keys) or [key(name)],
        **settings,
    }
    return Provider(name=name, type="compatible", **resolved)


def asked(**facts: Any) -> RoutingRequest:
    waits_since = facts.pop("waits_since", None)
    ask = RoutingRequest(**{"now": NOW, "tokens_in": 100, "tokens_out": 50, **facts})
    if waits_since is not None:
        ask.waits_since = waits_since
    return ask


def tried(*targets: Target, endpoint_failed: bool = False) -> RetryState:
    retry_state = RetryState()
    for target in targets:
        retry_state.add(target, endpoint_failed=endpoint_failed)
    return retry_state


def three(**routing: Any) -> Fleet:
    return Fleet([provider("a"), provider("b"), provider("c")], **routing)


# ---- a single target


def test_a_lone_target_is_selected_with_a_reservation_and_a_ticket() -> None:
    fleet = Fleet([provider("a", key("a", rpm_limit=1))])
    taken = fleet.take()
    assert isinstance(taken.reservation, Reservation)
    assert (taken.reservation.tokens_in, taken.reservation.tokens_out) == (100, 50)
    assert fleet.in_flight() == 1
    waits = fleet.wait()
    assert (waits.bound, waits.why) == (False, "limit")
    assert NOW + 59.0 < waits.until < NOW + 63.0


def learn_spent(target: Target, seconds: float, limit: int = 50) -> None:
    target.limits.learn(Dimension.REQUESTS, limit, 0, NOW + seconds, NOW + 600.0, NOW)


@pytest.mark.parametrize("count", [1, 2], ids=["one key", "two keys"])
@pytest.mark.parametrize(
    ("reset_s", "waited_s", "stays", "sent"),
    [
        (5.0, 0.0, True, False),  # soon: it is waited for
        (30.0, 0.0, True, True),  # later than the queue time
        (15.0, 10.0, True, True),  # than what is left of it
        (5.0, 0.0, False, True),  # the queue is full
    ],
)
def test_a_learned_limit_delays_and_never_refuses(
    count: int, reset_s: float, waited_s: float, stays: bool, sent: bool
) -> None:
    fleet = Fleet([provider("a", *[key(f"{n}") for n in range(count)])], queue_timeout_s=20)
    for target in fleet.providers[0].targets:
        learn_spent(target, reset_s)
    choice = fleet.choose(asked(waits_since=NOW - waited_s), stays=stays)
    assert isinstance(choice, Selection if sent else Unavailable)
    if isinstance(choice, Unavailable):
        assert choice.until == pytest.approx(NOW + reset_s)


def test_what_is_configured_refuses_whatever_was_learned() -> None:
    fleet = Fleet([provider("a", key("a", rpm_limit=1))])
    learn_spent(fleet.target("a"), 30.0)
    fleet.take()
    assert fleet.wait().why == "limit"


def test_the_best_of_several_that_are_full_by_what_was_learned_is_asked() -> None:
    keys = [key("a"), key("b"), key("c")]
    fleet = Fleet([provider("one", *keys)])
    for target, left in zip(fleet.providers[0].targets, (100, 9000, 3000), strict=True):
        target.limits.learn(Dimension.INPUT, 10_000, left, NOW + 50.0, NOW + 600.0, NOW)
    assert fleet.name(asked(tokens_in=20_000)) == "b"
    ask = asked(tokens_in=20_000, conversation=7, binding=fleet.binding(7, "c"))
    assert fleet.name(ask) == "c"  # where its prompt is cached


@pytest.mark.parametrize("count", [1, 2])
def test_a_key_with_room_only_for_what_is_not_cached_is_found_without_affinity(count: int) -> None:
    keys = [key(f"{n}", itpm_limit=1000) for n in range(count)]
    fleet = Fleet([provider("one", *keys), provider("two", key("x", itpm_limit=1000))])
    for one in fleet.providers:
        for target in one.targets:
            target.limits.reserve_unchecked(NOW, 500, 0).commit(NOW, 500, 0)
    cache = fleet.binding(7, "0", 900)
    ask = asked(tokens_in=900, tokens_home=100, cache=cache)
    assert fleet.name(ask) == "0"


def test_requests_ahead_keep_what_has_room_for_them() -> None:
    fleet = Fleet([provider("a"), provider("b")])
    learn_spent(fleet.target("b"), 30.0)
    held = {fleet.target("a").slot, fleet.target("b").slot}
    assert isinstance(fleet.choose(held=held), Unavailable)
    late = fleet.choose(asked(waits_since=NOW - 100.0), held=held)
    assert late.target.name == "b"


def test_a_single_target_that_was_tried_is_not_tried_again() -> None:
    fleet = Fleet([provider("a")])
    waits = fleet.wait(retry_state=tried(fleet.target("a")))
    assert (waits.until, waits.why) == (inf, "no target left")


# ---- affinity


def test_a_conversation_goes_to_its_sticky_target_whatever_the_strategy_prefers() -> None:
    fleet = three()
    assert fleet.name() == "a"
    ask = asked(conversation=7, binding=fleet.binding(7, "c"))
    assert fleet.name(ask) == "c"


@pytest.mark.parametrize("name", ["simple-shuffle", "round-robin", "least-busy", "latency-based"])
def test_strategies_that_do_not_weigh_caches_keep_the_sticky_target(name: str) -> None:
    fleet = three(strategy=name)
    place = fleet.binding(7, "b")
    for _ in range(20):
        assert fleet.take(asked(conversation=7, binding=place)).target.name == "b"


def test_a_binding_outside_the_route_is_ignored() -> None:
    fleet = three()
    fleet.affinity.keep(7, 31, NOW, prefix_tokens=5000)
    assert fleet.name(asked(conversation=7, binding=fleet.affinity.find(7, NOW))) == "a"


def test_a_warm_conversation_waits_for_its_sticky_target() -> None:
    fleet = three()
    fleet.target("b").limits.start_cooldown(NOW + 3.0, int(Cooldown.RATE))
    waits = fleet.wait(asked(conversation=7, binding=fleet.binding(7, "b")))
    assert waits.bound
    assert waits.until == pytest.approx(NOW + 3.0)


@pytest.mark.parametrize(
    ("open_s", "prefix_tokens", "routing"),
    [
        (6.0, 5000, {}),  # longer than affinity.wait_s
        (3.0, 100, {}),  # too short a prefix to be cached
        (3.0, 5000, {"affinity": Affinity(wait_s=0.0)}),
        (3.0, 5000, {"queue_timeout_s": 0.0}),
        (3.0, 5000, {"queue_timeout_s": 2.0}),
    ],
    ids=["too long", "not cached", "moves at once", "nobody waits", "nobody waits that long"],
)
def test_a_conversation_moves_at_once_where_waiting_is_not_worth_it(
    open_s: float, prefix_tokens: int, routing: dict[str, Any]
) -> None:
    fleet = three(**routing)
    fleet.target("b").limits.start_cooldown(NOW + open_s, int(Cooldown.RATE))
    assert fleet.name(asked(conversation=7, binding=fleet.binding(7, "b", prefix_tokens))) == "a"


def test_affinity_wait_s_counts_from_waits_since() -> None:
    fleet = three()
    fleet.target("b").limits.start_cooldown(NOW + 3.0, int(Cooldown.RATE))
    place = fleet.binding(7, "b")
    assert fleet.name(asked(conversation=7, binding=place, waits_since=NOW - 4.0)) == "a"


def test_without_stays_it_does_not_wait_for_the_sticky_target() -> None:
    fleet = three()
    fleet.target("b").limits.start_cooldown(NOW + 3.0, int(Cooldown.RATE))
    ask = asked(conversation=7, binding=fleet.binding(7, "b"))
    taken = fleet.choose(ask, stays=False)
    assert taken.target.name == "a"


def test_a_sticky_target_that_was_tried_or_failed_is_left() -> None:
    fleet = Fleet([provider("a", key("a1"), key("a2")), provider("b")])
    ask = asked(conversation=7, binding=fleet.binding(7, "a1"))
    assert fleet.name(ask, tried(fleet.target("a1"))) in ("a2", "b")
    assert fleet.name(ask, tried(fleet.target("a2"), endpoint_failed=True)) == "b"


def test_a_new_conversation_has_the_same_key_in_every_process() -> None:
    keys = [key(f"k{n}") for n in range(4)]
    fleets = [Fleet([provider("a", *order)]) for order in (keys, keys[::-1])]
    at = [
        [fleet.name(asked(conversation=hash64(b"c%d" % n))) for n in range(64)] for fleet in fleets
    ]
    assert at[0] == at[1]
    assert set(Counter(at[0])) == {"k0", "k1", "k2", "k3"}


def test_a_new_conversation_whose_preferred_key_is_full_gets_another() -> None:
    fleet = Fleet([provider("a", key("a1"), key("a2"))])
    ask = asked(conversation=hash64(b"c"))
    favourite = fleet.name(ask)
    fleet.target(favourite).limits.start_cooldown(NOW + 60.0, int(Cooldown.RATE))
    assert fleet.name(ask) in {"a1", "a2"} - {favourite}


# ---- cost-based weighs the cache itself


def priced(name: str, dollars: float, *keys: Key) -> Provider:
    cached = Price(input=dollars, output=dollars, cache_read=dollars / 10)
    return provider(name, *keys, prices={"m": cached})


def test_cost_based_leaves_a_sticky_target_where_the_whole_prompt_is_cheaper() -> None:
    fleet = Fleet([priced("dear", 10.0), priced("cheap", 2.0)], strategy="cost-based")
    short = asked(conversation=7, binding=fleet.binding(7, "dear", 1000), tokens_in=2000)
    assert fleet.name(short) == "cheap"
    # 100k of the 101k are read at a dollar; bought anew at the other they cost two each.
    long = asked(
        conversation=7, binding=fleet.binding(7, "dear", 100_000), tokens_in=101_000, tokens_out=10
    )
    assert fleet.name(long) == "dear"


def test_cost_based_keeps_the_key_that_holds_the_cache() -> None:
    keys = [key(f"k{n}") for n in range(4)]
    fleet = Fleet([priced("a", 5.0, *keys), priced("b", 5.0)], strategy="cost-based")
    for name in ("k0", "k1", "k2", "k3"):
        ask = asked(conversation=7, binding=fleet.binding(7, name), tokens_in=6000)
        assert fleet.name(ask) == name


def test_cost_based_waits_for_its_own_key_where_that_is_cheaper_and_soon() -> None:
    fleet = Fleet([priced("a", 1.0), priced("b", 5.0)], strategy="cost-based")
    gauge = fleet.target("a").limits
    gauge.start_cooldown(NOW + 1.0, int(Cooldown.RATE))
    ask = asked(conversation=7, binding=fleet.binding(7, "a"), tokens_in=6000)
    wait = fleet.choose(ask)
    assert isinstance(wait, Unavailable)
    assert (wait.until, wait.bound) == (NOW + 1.0, True)
    gauge.start_cooldown(NOW + 60.0, int(Cooldown.RATE))
    assert fleet.name(ask) == "b"


def test_cost_based_does_not_wait_for_a_key_that_is_dearer_than_another() -> None:
    fleet = Fleet([priced("a", 5.0), priced("b", 0.1)], strategy="cost-based")
    fleet.target("a").limits.start_cooldown(NOW + 1.0, int(Cooldown.RATE))
    ask = asked(conversation=7, binding=fleet.binding(7, "a", 1000), tokens_in=6000)
    assert fleet.name(ask) == "b"


def test_the_cache_is_at_one_key_and_not_at_its_siblings() -> None:
    # b costs more than reading a's cache, and less than writing all of it to a's other key.
    fleet = Fleet([priced("a", 4.0, key("k0"), key("k1")), priced("b", 3.0)], strategy="cost-based")
    ask = asked(conversation=7, binding=fleet.binding(7, "k0", 100_000), tokens_in=101_000)
    assert fleet.name(ask) == "k0"
    fleet.target("k0").limits.start_cooldown(NOW + 60.0, int(Cooldown.RATE))
    assert fleet.name(ask) == "b"


def test_only_the_sticky_target_counts_new_tokens_alone() -> None:
    fleet = Fleet([provider("a", key("k0", itpm_limit=5000), key("k1", itpm_limit=200_000))])
    ask = asked(conversation=7, binding=fleet.binding(7, "k0"), tokens_in=100_000, tokens_home=900)
    taken = fleet.take(ask)
    assert (taken.target.name, taken.reservation.tokens_in) == ("k0", 900)  # type: ignore[union-attr]
    fleet.target("k0").limits.start_cooldown(NOW + 60.0, int(Cooldown.RATE))
    taken = fleet.take(ask)
    assert (taken.target.name, taken.reservation.tokens_in) == ("k1", 100_000)  # type: ignore[union-attr]
    assert isinstance(fleet.choose(ask), Selection)
    assert isinstance(fleet.choose(ask), Unavailable), "which two of them have filled"


# ---- keys


def test_keys_of_a_lower_priority_are_for_when_the_higher_ones_are_full() -> None:
    fleet = Fleet([provider("a", key("low"), key("high", priority=1, rpm_limit=2))])
    assert [fleet.take().target.name for _ in range(4)] == ["high", "high", "low", "low"]


def test_a_key_in_cooldown_or_disabled_is_skipped() -> None:
    fleet = Fleet([provider("a", key("rests"), key("out"), key("fine"))])
    fleet.target("rests").limits.start_cooldown(NOW + 5.0, int(Cooldown.RATE))
    fleet.target("out").limits.start_cooldown(inf, int(Cooldown.REFUSED))
    assert {fleet.take().target.name for _ in range(10)} == {"fine"}


def test_a_provider_whose_keys_are_all_full_is_skipped() -> None:
    fleet = Fleet([provider("a", key("a", max_concurrent=1)), provider("b")])
    held = [fleet.take() for _ in range(3)]
    assert [taken.target.name for taken in held] == ["a", "b", "b"]


# ---- after a failure


def test_another_key_of_the_same_provider_may_follow_one_that_failed_by_itself() -> None:
    fleet = Fleet([provider("a", key("a1"), key("a2")), provider("b")])
    assert fleet.name(retry_state=tried(fleet.target("a1"))) == "a2"


def test_after_an_endpoint_failed_others_come_first_and_its_other_keys_last() -> None:
    fleet = Fleet([provider("a", key("a1"), key("a2")), provider("b")])
    retry_state = tried(fleet.target("a1"), endpoint_failed=True)
    assert fleet.name(retry_state=retry_state) == "b"
    retry_state.add(fleet.target("b"), endpoint_failed=True)
    assert fleet.name(retry_state=retry_state) == "a2"
    retry_state.add(fleet.target("a2"), endpoint_failed=True)
    assert fleet.wait(retry_state=retry_state).until == inf


def test_the_other_keys_of_a_failed_endpoint_are_left_alone_while_its_breaker_is_open() -> None:
    fleet = Fleet([provider("a", key("a1"), key("a2"))])
    fleet.open_breaker("a")
    waits = fleet.wait(retry_state=tried(fleet.target("a1"), endpoint_failed=True))
    assert waits.why == "breaker_open"
    assert waits.until == fleet.providers[0].endpoint.breaker.resumes_at


def test_an_excluded_provider_is_not_tried_with_any_key() -> None:
    fleet = Fleet([provider("a", key("a1"), key("a2")), provider("b")])
    retry_state = tried(fleet.target("a1"))
    retry_state.exclude(fleet.providers[0])
    assert fleet.name(retry_state=retry_state) == "b"
    retry_state.add(fleet.target("b"), endpoint_failed=False)
    assert fleet.wait(retry_state=retry_state).until == inf


def test_tries_count_attempts_and_remember_them_by_provider() -> None:
    fleet = Fleet([provider("a", key("a1"), key("a2")), provider("b")])
    retry_state = tried(fleet.target("a2"), fleet.target("b"))
    assert (retry_state.count, retry_state.failed) == (2, [])
    assert [retry_state.mask(service) for service in fleet.providers] == [0b10, 0b1]
    retry_state.exclude(fleet.providers[0])
    assert len(retry_state.targets) == 3


# ---- breakers


def test_an_endpoint_with_an_open_breaker_is_skipped_until_its_open_time_ends() -> None:
    fleet = three()
    fleet.open_breaker("a")
    assert fleet.name() == "b"
    later = fleet.providers[0].endpoint.breaker.resumes_at
    taken = fleet.take(asked(now=later))
    assert taken.target.name == "a"
    assert taken.target.provider.endpoint.breaker.state is State.HALF_OPEN
    assert fleet.name(asked(now=later)) == "b"  # one trial is enough


def test_a_trial_without_capacity_frees_the_endpoint() -> None:
    fleet = Fleet([provider("a", key("a", max_concurrent=1))], panic="refuse")
    held = fleet.take()
    fleet.open_breaker("a")
    later = fleet.providers[0].endpoint.breaker.resumes_at
    assert fleet.wait(asked(now=later)).why == "max_concurrent"
    give_back(held, later)
    assert fleet.take(asked(now=later)).ticket & 3 == State.HALF_OPEN


def test_in_panic_one_is_tried_although_every_breaker_is_open() -> None:
    fleet = three()
    fleet.open_breaker("a", "b", "c")
    taken = fleet.take()
    assert taken.reservation is not None
    assert taken.target.provider.endpoint.breaker.state is State.OPEN
    assert fleet.wait(retry_state=tried(taken.target)).why == "breaker_open"


def test_panic_needs_a_key_with_capacity_and_no_target_ready_in_time() -> None:
    fleet = three()
    fleet.open_breaker("a", "b")
    gauge = fleet.target("c").limits
    gauge.start_cooldown(NOW + 10.0, int(Cooldown.RATE))
    assert isinstance(fleet.choose(), Unavailable), "c will be there in time"
    gauge.start_cooldown(NOW + 60.0, int(Cooldown.RATE))
    assert fleet.take().target.name in ("a", "b")
    fleet.open_breaker("c")
    for name in ("a", "b"):
        fleet.target(name).limits.start_cooldown(NOW + 60.0, int(Cooldown.RATE))
    assert isinstance(fleet.choose(), Unavailable)


def test_where_panic_is_refused_the_wait_is_for_the_first_breaker() -> None:
    fleet = three(panic="refuse")
    fleet.open_breaker("a", now=NOW)
    fleet.open_breaker("b", "c", now=NOW + 3.0)
    waits = fleet.wait(asked(now=NOW + 3.0))
    assert waits.until == fleet.providers[0].endpoint.breaker.resumes_at


# ---- counting tokens


def test_count_tokens_reserves_nothing() -> None:
    fleet = Fleet([provider("a", key("a", rpm_limit=1))])
    for _ in range(3):
        assert fleet.take(asked(kind=RequestClass.COUNT_TOKENS)).reservation is None
    assert fleet.in_flight() == 0
    assert fleet.take().reservation is not None


@pytest.mark.parametrize("count", [1, 3])
def test_count_tokens_goes_to_a_full_key_but_not_to_one_in_cooldown(count: int) -> None:
    names = [f"p{n}" for n in range(count)]
    fleet = Fleet([provider(name, key(name, rpm_limit=1)) for name in names])
    for _ in names:
        fleet.take()
    ask = asked(kind=RequestClass.COUNT_TOKENS, tokens_in=0, tokens_out=0)
    assert fleet.take(ask).target.name in names
    for name in names:
        fleet.target(name).limits.start_cooldown(NOW + 9.0, int(Cooldown.RATE))
    assert fleet.wait(ask).why == "cooldown"


def test_count_tokens_goes_to_no_tried_key() -> None:
    fleet = Fleet([provider(name, key(name, rpm_limit=1)) for name in ("a", "b")])
    fleet.take()
    fleet.take()
    ask = asked(kind=RequestClass.COUNT_TOKENS, tokens_in=0, tokens_out=0)
    assert fleet.take(ask, tried(fleet.target("a"))).target.name == "b"
    assert isinstance(fleet.choose(ask, tried(fleet.target("a"), fleet.target("b"))), Unavailable)


# ---- a login that is at its own limit


def with_login() -> Fleet:
    login = Provider(
        name="login",
        type="anthropic",
        base_url="http://127.0.0.1:1",
        auth="x-api-key",
        models=["m"],
        system_role="keep",
        count_tokens="forward",
        signatures="claude",
    )
    return Fleet([login, provider("b")])


def of_client(credential: int, **facts: Any) -> RoutingRequest:
    ask = asked(**facts)
    ask.credential = credential
    return ask


def test_a_client_credential_in_cooldown_is_avoided_for_its_owner_only() -> None:
    fleet = with_login()
    fleet.providers[0].cool_down_client(11, NOW + 30.0)
    assert fleet.name(of_client(11)) == "b"
    assert fleet.name(of_client(12)) == "client"
    assert fleet.name(of_client(11, now=NOW + 30.0)) == "client"


def test_a_sticky_target_is_left_while_the_client_credential_cools_down() -> None:
    fleet = with_login()
    fleet.providers[0].cool_down_client(11, NOW + 3.0)
    ask = of_client(11, conversation=7, binding=fleet.binding(7, "client"))
    assert fleet.name(ask) == "b"


def test_the_wait_ends_with_the_cooldown_of_the_client_credential() -> None:
    fleet = with_login()
    fleet.providers[0].cool_down_client(11, NOW + 30.0)
    fleet.target("b").limits.start_cooldown(NOW + 60.0, int(Cooldown.QUOTA))
    waits = fleet.wait(of_client(11))
    assert (waits.until, waits.why) == (NOW + 30.0, "cooldown")


# ---- nobody


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda gauge: gauge.start_cooldown(NOW + 7.0, int(Cooldown.RATE)), "cooldown"),
        (lambda gauge: gauge.start_cooldown(inf, int(Cooldown.REFUSED)), "key_refused"),
        (lambda gauge: None, "max_concurrent"),
    ],
)
def test_unavailable_says_why(prepare: Callable[[Any], None], why: str) -> None:
    fleet = Fleet([provider("a", key("a", max_concurrent=1))])
    held = fleet.take()
    prepare(held.target.limits)
    assert fleet.wait().why == why


def test_the_wait_is_for_the_soonest_of_all() -> None:
    fleet = three()
    for name, open_s in (("a", 30.0), ("b", 7.0), ("c", 20.0)):
        fleet.target(name).limits.start_cooldown(NOW + open_s, int(Cooldown.RATE))
    waits = fleet.wait()
    assert waits.until == pytest.approx(NOW + 7.0)
    assert not waits.bound
    waits = fleet.wait(retry_state=tried(fleet.target("b")))
    assert waits.until == pytest.approx(NOW + 20.0)


def test_what_is_ready_by_now_is_looked_at_again_shortly() -> None:
    fleet = three()
    assert soonest(fleet.route, asked(), None, False).until == NOW + LOOK_AGAIN_S


def test_the_wait_is_for_the_later_of_breaker_and_key() -> None:
    fleet = Fleet([provider("a")], panic="refuse")
    fleet.open_breaker("a")
    fleet.target("a").limits.start_cooldown(NOW + 100.0, int(Cooldown.RATE))
    assert fleet.wait().until == pytest.approx(NOW + 100.0)


# ---- what others wait for


def held(fleet: Fleet, *names: str) -> dict[str, Any]:
    return {"held": {fleet.target(name).slot for name in names}}


def test_blocked_targets_are_full() -> None:
    fleet = Fleet([provider("a"), provider("b", key("b1"), key("b2"))])
    taken = fleet.choose(**held(fleet, "a"))
    assert taken.target.provider.name == "b"
    give_back(taken)
    taken = fleet.choose(**held(fleet, "a", "b1"))
    assert taken.target.name == "b2"
    give_back(taken)


def test_blocked_and_tried_targets_are_both_skipped() -> None:
    fleet = Fleet([provider(name) for name in "abc"])
    made = tried(fleet.target("a"))
    taken = fleet.choose(retry_state=made, **held(fleet, "b"))
    assert taken.target.name == "c"
    give_back(taken)
    assert (made.count, made.targets) == (1, [fleet.target("a")])
    assert fleet.name(retry_state=made) == "b"


def test_a_conversation_waits_for_its_blocked_sticky_target() -> None:
    fleet = Fleet([provider("a"), provider("b")], affinity=Affinity(wait_s=5.0))
    ask = asked(conversation=7, binding=fleet.binding(7, "b"))
    wait = fleet.choose(ask, **held(fleet, "b"))
    assert (wait.until, wait.bound) == (NOW + 5.0, True)
    taken = fleet.choose(ask, stays=False, **held(fleet, "b"))
    assert taken.target.name == "a"
    give_back(taken)
    ask.now = NOW + 5.0
    assert fleet.choose(ask, **held(fleet, "b")).target.name == "a"


def test_a_blocked_sticky_target_is_left_where_waiting_is_not_worth_it() -> None:
    fleet = Fleet([provider("a"), provider("b")], affinity=Affinity(wait_s=5.0))
    small = asked(conversation=7, binding=fleet.binding(7, "b", prefix_tokens=100))
    taken = fleet.choose(small, **held(fleet, "b"))
    assert taken.target.name == "a"
    give_back(taken)
    fleet.target("b").limits.start_cooldown(NOW + 6.0, int(Cooldown.RATE))
    ask = asked(conversation=7, binding=fleet.binding(7, "b"))
    assert fleet.choose(ask, **held(fleet, "b")).target.name == "a"


def test_other_blocked_targets_do_not_move_a_conversation() -> None:
    fleet = Fleet([provider("a"), provider("b")])
    ask = asked(conversation=7, binding=fleet.binding(7, "b"))
    assert fleet.choose(ask, **held(fleet, "a")).target.name == "b"


def test_beside_blocked_targets_the_wait_is_for_the_soonest_other() -> None:
    fleet = Fleet([provider("a"), provider("b")])
    fleet.target("b").limits.start_cooldown(NOW + 3.0, int(Cooldown.RATE))
    wait = fleet.choose(**held(fleet, "a"))
    assert (wait.until, wait.bound, wait.why) == (NOW + 3.0, False, "cooldown")


# ---- what is said of a choice


def reason(fleet: Fleet, request: RoutingRequest, retry_state: RetryState | None = None) -> Why:
    found = fleet.choose(request, retry_state)
    assert isinstance(found, Selection)
    return Why(why_taken(fleet.route, request, found))


def passed(fleet: Fleet, request: RoutingRequest, retry_state: RetryState | None = None) -> Any:
    found = fleet.choose(request, retry_state)
    assert isinstance(found, Selection)
    return passed_over(fleet.route, request, retry_state, found.target)


def test_the_reason_of_a_choice() -> None:
    assert reason(Fleet([provider("one")]), asked()) is Why.ONLY
    fleet = Fleet([provider("one"), provider("two")])
    assert reason(fleet, asked()) is Why.STRATEGY
    request = asked(conversation=7)
    request.binding = fleet.binding(7, "two")
    assert reason(fleet, request) is Why.AFFINITY
    fleet.target("two").limits.start_cooldown(NOW + 900.0, int(Cooldown.RATE))
    assert reason(fleet, request) is Why.STRATEGY


def test_the_reason_where_nothing_else_could_serve() -> None:
    fleet = Fleet([provider("one"), provider("two")], panic="try", queue_timeout_s=0.0)
    fleet.open_breaker("one", "two")
    assert reason(fleet, asked()) is Why.PANIC
    fleet = Fleet([provider("one", key("one-a"), key("one-b"))], queue_timeout_s=0.0)
    failed = tried(fleet.target("one-a"), endpoint_failed=True)
    assert reason(fleet, asked(), failed) is Why.LAST_RESORT


def test_nothing_is_passed_over_where_all_could_serve() -> None:
    fleet = Fleet([provider("one"), provider("two", key("two-a"), key("two-b"))])
    assert passed(fleet, asked()) is None
    assert passed(Fleet([provider("one")]), asked()) is None


def test_targets_that_could_not_serve_are_named_with_the_reason() -> None:
    fleet = Fleet(
        [
            provider("one"),
            provider("two", key("two-a"), key("two-b")),
            provider("three"),
            provider("four"),
        ]
    )
    fleet.open_breaker("one")
    fleet.target("two-a").limits.start_cooldown(NOW + 60.0, int(Cooldown.RATE))
    failed = tried(fleet.target("three"))
    assert passed(fleet, asked()) == "one/one=breaker_open two/two-a=cooldown"
    assert passed(fleet, asked(), failed) == (
        "one/one=breaker_open two/two-a=cooldown three/three=tried"
    )
    counting = asked(kind=int(RequestClass.COUNT_TOKENS))
    assert passed(fleet, counting) is None
