"""Exchanges under any order of what clients, providers, keys, time and reloads can do to them.

Several at once, over providers with several limited keys each. The fakes (unit/relay/fakes.py)
replace the C side and assert what it relies on: one head, no bytes behind an end, one attempt at a
time, no connection lent twice, the right state at each call. Selections are checked as they are
made (`WatchedRouter`), breaker tickets as they come back (`WatchedBreaker`), and everything else
after every step: the state, what was acquired, what the client has received.
"""

import random
import re
from itertools import pairwise
from math import inf
from typing import Any

import hypothesis.strategies as st
import msgspec
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ccrelay._fast.body import BodyFault
from ccrelay._fast.rate_limits import Capacity
from ccrelay._fast.upstream import Loss, Mode
from ccrelay.config.model import (
    Affinity,
    Config,
    Credential,
    Health,
    Key,
    Provider,
    RetryBudget,
    Routing,
)
from ccrelay.errors import NoTarget, UpstreamFailed
from ccrelay.fleet.breaker import Breaker
from ccrelay.fleet.provider_state import ProviderState, Target
from ccrelay.relay import retry
from ccrelay.relay.attempt import Attempt
from ccrelay.relay.exchange import Exchange
from ccrelay.relay.exchange_state import TRANSITIONS, ExchangeState
from ccrelay.relay.request_body import INLINE_ELEMENTS_MAX
from ccrelay.relay.runtime_config import RuntimeConfig
from ccrelay.routing.fair_queue import RANKS
from ccrelay.routing.retry_state import RetryState
from ccrelay.routing.route_table import Route
from ccrelay.routing.router import Router
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import Selection, Unavailable
from ccrelay.types import RequestClass, TrafficClass
from ccrelay.wire.cloud_credential import AwsKeys, BearerToken, IssuedCredential
from tests.unit.relay.fakes import (
    BODY,
    MODEL_SEEN,
    OVERLOADED,
    STOP,
    STREAM_HEAD,
    FakeDown,
    FakePool,
    FakeRelay,
    FakeUpstream,
    provider,
)

THOUGHT = (
    b'{"model":"m","stream":true,"messages":[{"role":"assistant","content":['
    b'{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"a"}]}]}'
)
# What is made of it is made by the worker.
LARGE_THOUGHT = THOUGHT[:-1] + b',"x":[%b0]}' % (b"0," * INLINE_ELEMENTS_MAX)
# Of what is learned that a cloud refuses it.
REFUSABLE = BODY[:-1] + b',"context_management":{"edits":[]}}'
# Larger than a cloud takes, as the test has it.
HUGE = BODY[:-1] + b',"metadata":{"user_id":"%b"}}' % (b"x" * 2000)
# The plain case stands first and more than once, so that most exchanges come far.
BODIES = [
    *[BODY] * 9,
    *[THOUGHT] * 4,
    *[LARGE_THOUGHT] * 3,
    *[REFUSABLE] * 2,
    HUGE,
    BODY.replace(b"true", b"false"),
    b'{"stream":true,"messages":[],"model":"m"}',
    b'{"stream":true}',
    b'{"model":7}',
    b'{"model":"unserved"}',
]
SELDOM = st.integers(0, 4).map(lambda n: n == 4)
WHO = st.integers(0, 7)

# Large enough for a conversation to wait for the key where it is cached.
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":'
    b'{"input_tokens":9,"cache_creation_input_tokens":900,"output_tokens":1}}}\n\n'
)
DELTA = b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":20}}\n\n'
TO_CLOSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
STREAMS = [STREAM_HEAD, STREAM_HEAD, TO_CLOSE]


def answer(status: int, kind: str, message: str, fields: bytes = b"") -> tuple[bytes, bytes]:
    head = b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n%b" % (status, fields)
    body = b'{"type":"error","error":{"type":"%b","message":"%b"}}'
    return head + b"transfer-encoding: chunked\r\n\r\n", body % (kind.encode(), message.encode())


ANSWERS = [
    answer(200, "message", "whole"),
    answer(429, "rate_limit_error", "slow down", b"retry-after: 3\r\n"),
    answer(429, "rate_limit_error", "slow down", b"retry-after: 300\r\n"),
    answer(429, "rate_limit_error", "slow down"),
    answer(401, "authentication_error", "invalid x-api-key"),
    answer(402, "billing_error", "no balance"),
    answer(403, "permission_error", "not yours"),
    answer(529, "overloaded_error", "Overloaded"),
    answer(529, "overloaded_error", "Overloaded"),
    answer(500, "api_error", "Internal server error"),
    answer(404, "not_found_error", "model: m"),
    answer(400, "invalid_request_error", "messages: field required"),
    answer(400, "invalid_request_error", "Invalid `signature` in `thinking` block"),
    answer(400, "invalid_request_error", "context_management: Extra inputs are not permitted"),
    answer(403, "permission_error", "expired", b"x-amzn-errortype: ExpiredTokenException\r\n"),
    answer(
        403,
        "permission_error",
        "expired",
        b"x-amzn-errortype: InvalidSignatureException\r\ndate: Fri, 01 Jan 2100 00:00:00 GMT\r\n",
    ),
]
TOKEN = BearerToken("test-token-1")
AWS = AwsKeys("AKIDEXAMPLE", "test-secret-1")
CLOUDS: list[tuple[str, AwsKeys | BearerToken]] = [("google", TOKEN), ("amazon", AWS)]


def cloud_keys(limits: list[dict[str, int]]) -> list[Key]:
    """Two credentials of a cloud."""
    return [
        Key(key=f"credential:{n}", credential=Credential(profile=f"p-{n}"), **more)
        for n, more in enumerate(limits)
    ]


def content(by: int) -> bytes:
    """An event that tells which attempt it is of."""
    return b'event: content_block_start\ndata: {"type":"content_block_start","by":%d}\n\n' % by


class WatchedBreaker(Breaker):
    """Counts the tickets that are out."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.out = 0

    def admit(self, now: float, rng: random.Random) -> int | None:
        assert self.available(now) or super().admit(now, rng) is None
        ticket = super().admit(now, rng)
        self.out += ticket is not None
        return ticket

    def force(self, now: float) -> int:
        self.out += 1
        return super().force(now)

    def settle(self, ticket: int, now: float, rng: random.Random, ok: bool | None) -> None:
        assert self.out > 0, "given back twice"
        self.out -= 1
        super().settle(ticket, now, rng, ok)


class WatchedRouter(Router):
    """Judges each choice by what there was to choose from."""

    def __init__(self, routing: Routing) -> None:
        super().__init__(routing)
        self.routing = routing
        self.log: list[
            tuple[RoutingRequest, Selection]
        ] = []  # the request is kept, so that its identity is its own

    def choose(
        self,
        route: Route,
        request: RoutingRequest,
        retry_state: RetryState | None,
        rng: random.Random,
        stays: bool = True,
        held: Any = frozenset(),
    ) -> Any:
        targets = {t: c.group for c, t in route.by_slot.values()}
        now, out = request.now, request.tokens_out
        states = {
            target: target.limits.state(now, request.need(target.slot), out, group)
            for target, group in targets.items()
        }
        before = {target: state for target, state in states.items() if target.slot not in held}
        self.ready_at = {
            target: target.limits.ready_at(now, request.need(target.slot), out, True, group)
            for target, group in targets.items()
            if target in before
        }
        admits = {
            one.provider: one.provider.endpoint.breaker.available(request.now)
            for one in route.candidates
        }
        choice = super().choose(route, request, retry_state, rng, stays, held)
        if isinstance(choice, Selection):
            if choice.target in before:
                self.judge(choice, request, retry_state, before, admits)
            else:  # requests ahead wait for it, and only for what was learned
                assert states[choice.target] == Capacity.TIGHT
                assert not stays or now >= request.waits_since + self.routing.queue_timeout_s
            self.log.append((request, choice))
        else:
            self.judge_wait(choice, request, retry_state, before, admits)
        return choice

    def judge(
        self,
        selection: Selection,
        request: RoutingRequest,
        retry_state: RetryState | None,
        before: dict[Target, int],
        admits: dict[ProviderState, bool],
    ) -> None:
        target = selection.target
        assert selection.candidate.provider is target.provider
        if retry_state is not None:
            assert target not in retry_state.targets
        if request.kind == RequestClass.COUNT_TOKENS:
            assert selection.reservation is None
            assert before[target] != Capacity.DISABLED
            assert target.limits.cooldown_until() <= request.now + 1e-6  # whole microseconds
        else:
            assert selection.reservation is not None
            assert selection.reservation.open
            is_ready = before[target] in (Capacity.READY, Capacity.TIGHT)
            assert is_ready or target.refusals.in_trial
        is_counted = request.kind != RequestClass.COUNT_TOKENS  # what limits do not hold for
        if is_counted and before[target] == Capacity.TIGHT and admits[target.provider]:
            for other, state in before.items():
                spare = state == Capacity.READY and admits[other.provider]
                assert not spare or (retry_state is not None and other in retry_state.targets)
        if not admits[target.provider]:
            assert self.routing.panic == "try"
            ends_at = request.waits_since + self.routing.queue_timeout_s
            assert not any(admits[t.provider] and at <= ends_at for t, at in self.ready_at.items())
            assert retry_state is None
        elif retry_state is not None and target.provider in retry_state.failed:
            for other, state in before.items():
                spare = state == Capacity.READY and admits[other.provider]
                tried = other in retry_state.targets or other.provider in retry_state.failed
                assert tried or not spare, "an endpoint that failed, and others were ready"

    def judge_wait(
        self,
        wait: Unavailable,
        request: RoutingRequest,
        retry_state: RetryState | None,
        before: dict[Target, int],
        admits: dict[ProviderState, bool],
    ) -> None:
        assert wait.until > request.now
        if wait.bound:
            assert request.binding is not None
            assert wait.until <= request.waits_since + self.routing.affinity.wait_s
            return
        for target, state in before.items():
            tried = retry_state is not None and target in retry_state.targets
            assert tried or state != Capacity.READY or not admits[target.provider], (
                "it could have gone"
            )


class WatchedRelay(FakeRelay):
    """Watches the router and the breakers of each configuration."""

    def __init__(self, *providers: Provider, config: Config) -> None:
        self.breakers: list[WatchedBreaker] = []
        self.routers: list[WatchedRouter] = []
        super().__init__(*providers, config=config)

    def runtime_config(self, config: Config, providers: Any) -> RuntimeConfig:
        made = super().runtime_config(config, providers)
        router = WatchedRouter(config.routing)
        made.router = router
        self.routers.append(router)
        for provider_state in made.providers:
            endpoint = provider_state.endpoint
            breaker = WatchedBreaker(endpoint.stats, config.health, endpoint.breaker._on_change)
            endpoint.breaker = breaker
            self.breakers.append(breaker)
            if provider_state.bridges:
                provider_state.dialect.payload_bytes_max = 2000
        return made


class Life:
    """A request and what was seen of it so far."""

    def __init__(self, down: FakeDown, exchange: Exchange) -> None:
        self.down = down
        self.exchange = exchange
        self.sends_at_commit: int | None = None
        self.attempts: list[Attempt] = []  # as they were seen after a step


LIMITS: list[dict[str, int]] = [
    {"max_concurrent": 1},
    {"rpm_limit": 2},
    {"rpm_limit": 3, "max_concurrent": 2, "priority": 1},
    {"tpm_limit": 2000},
    {},
]


def fleet(limits: list[int], chosen: list[int]) -> list[Provider]:
    """One provider of each habit, with two keys or a login."""

    def keys(name: str, at: int) -> list[Key]:
        return [
            Key(key=f"test-key-{name}-{n}", **LIMITS[limits[(at + n) % len(limits)]])
            for n in range(2)
        ]

    every = [
        provider("plain", models=["m"], count_tokens="estimate", keys=keys("plain", 0)),
        provider("claude", "anthropic", models=["m"], signatures="claude", keys=keys("claude", 1)),
        provider("maps", "ollama", model_mapping={"m": "o"}, models=["m"], keys=keys("maps", 2)),
        provider("translates", "zai", models=["m"], keys=keys("translates", 3)),
        provider("rewrites", models=["m"], system_role="user", keys=keys("rewrites", 4)),
        provider("login", "anthropic", models=["m"], signatures="claude", keys=[]),
        provider(
            "google",
            "vertex",
            models=["m"],
            project="p",
            location="global",
            keys=cloud_keys([LIMITS[limits[n % len(limits)]] for n in range(2)]),
        ),
        provider(
            "amazon",
            "claude-aws",
            models=["m"],
            region="us-east-1",
            workspace="w",
            keys=cloud_keys([LIMITS[limits[n % len(limits)]] for n in range(2)]),
        ),
    ]
    return [every[n] for n in chosen]


CHOSEN = st.lists(st.integers(0, 7), min_size=1, max_size=3, unique=True)


class Lives(RuleBasedStateMachine):
    """Up to six requests at once, from their heads to their log entries."""

    relay: WatchedRelay

    @initialize(
        chosen=CHOSEN,
        limits=st.lists(st.integers(0, len(LIMITS) - 1), min_size=2, max_size=4),
        idle=st.sampled_from([6, 2, 0]),
        strategy=st.sampled_from(
            ["simple-shuffle", "round-robin", "least-busy", "failover", "cost-based"]
        ),
        panic=st.sampled_from(["try", "refuse"]),
        attempts_max=st.sampled_from([4, 4, 8, 2, 1]),
        queue_timeout_s=st.sampled_from([20.0, 20.0, 20.0, 2.0, 0.0]),
        queue_max=st.sampled_from([1000, 1000, 1]),
        affinity=st.sampled_from(
            [Affinity(), Affinity(), Affinity(wait_s=0.0), Affinity(enabled=False)]
        ),
        budget=st.sampled_from([RetryBudget()] * 2 + [RetryBudget(ratio=0.0, minimum=1)]),
        debug=st.booleans(),
        issued=st.sampled_from([True, True, True, False]),
    )
    def begin(
        self, chosen: list[int], limits: list[int], idle: int, issued: bool, **routing: Any
    ) -> None:
        self.limits = limits
        self.config = Config(
            routing=Routing(
                ping_s=10.0,
                early_head_s=15.0,
                retry_budget=routing.pop("budget"),
                **routing,
            ),
            health=Health(failures=2, open_s=1.0, open_max_s=8.0),
        )
        self.relay = WatchedRelay(*fleet(limits, chosen), config=self.config)
        self.lives: list[Life] = []
        self.settled_ids: list[str] = []
        self.serial = 0
        for which in CLOUDS if issued else ():
            for key in range(2):
                self.a_credential_comes(which, key, "good")
        for pool in self.relay.pools.values():
            for _ in range(idle):
                pool.add_idle()

    # ---- credentials of clouds

    @rule(
        which=st.sampled_from(CLOUDS),
        key=st.integers(0, 1),
        what=st.sampled_from(["good", "good", "good", "short", "none", "odd"]),
    )
    def a_credential_comes(
        self, which: tuple[str, AwsKeys | BearerToken], key: int, what: str
    ) -> None:
        name, secret = which
        self.serial += 1
        expires_at = self.relay.wall() + 2.0 if what == "short" else 0.0
        issued = IssuedCredential(name, f"credential:{key}", secret, self.serial, expires_at)
        if what == "none":
            issued = IssuedCredential(name, f"credential:{key}", None, 0, 0.0, "There is none.")
        elif what == "odd":  # it cannot be sent there
            odd = BearerToken("a\nb") if name == "google" else AwsKeys("\u00e4", "test-secret-1")
            issued = msgspec.structs.replace(issued, secret=odd)
        self.relay.take_credentials(issued)

    # ---- what there is

    def open_lives(self) -> list[Life]:
        return [life for life in self.lives if not life.exchange.settled]

    def serving(self) -> list[FakeUpstream]:
        return [one for one in self.relay.upstreams() if one.exchange is not None]

    def asked(self) -> list[FakeUpstream]:
        return [one for one in self.serving() if one.head is None]

    def answering(self) -> list[FakeUpstream]:
        return [one for one in self.serving() if one.head is not None]

    def dialling(self) -> list[FakePool]:
        return [pool for pool in self.relay.pools.values() if pool.dials]

    def incomplete(self) -> list[Life]:
        return [life for life in self.open_lives() if not life.down.body_complete()]

    # ---- clients

    @precondition(lambda self: len(self.open_lives()) < 6)
    @rule(
        body=st.sampled_from(BODIES),
        arrived=st.sampled_from([1 << 20] * 9 + [0, MODEL_SEEN, MODEL_SEEN + 9]),
        kind=st.sampled_from([RequestClass.MESSAGES] * 4 + [RequestClass.COUNT_TOKENS]),
        shape=st.sampled_from(["whole"] * 8 + ["chunked", "windowed", "old"]),
        session=st.sampled_from(["s-1", "s-2", "s-3", None]),
        agent=SELDOM,
    )
    def a_client_sends_a_request(
        self,
        body: bytes,
        arrived: int,
        kind: RequestClass,
        shape: str,
        session: str | None,
        agent: bool,
    ) -> None:
        down = FakeDown(
            self.relay.reactor,
            body=body,
            arrived=min(arrived, len(body)),
            chunked=shape == "chunked",
            windowed=shape == "windowed",
            minor=0 if shape == "old" else 1,
            session=session,
            extra=b"x-claude-code-agent-id: a\r\n" if agent else b"",
        )
        self.lives.append(Life(down, self.relay.request(down, kind)))

    @precondition(lambda self: len(self.open_lives()) < 6)
    @rule(session=st.sampled_from(["s-1", "s-2", "s-3"]))
    def a_turn_succeeds(self, session: str) -> None:
        """Where a target is free; the conversation then has a warm binding."""
        down = FakeDown(self.relay.reactor, session=session)
        exchange = self.relay.request(down)
        self.lives.append(Life(down, exchange))
        if self.is_dialling(exchange):
            self.relay.pools[exchange.attempt.target.provider.name].connect_for(exchange)
        upstream = exchange.attempt.upstream if exchange.attempt is not None else None
        if upstream is not None and upstream.exchange is exchange:
            upstream.respond(STREAM_HEAD)
            upstream.feed(START)
            upstream.feed(content(self.number_of(upstream)))
            upstream.feed(DELTA + STOP)
            upstream.finish()

    @precondition(lambda self: self.incomplete())
    @rule(who=WHO, more=st.integers(1, 200))
    def body_arrives(self, who: int, more: int) -> None:
        life = self.incomplete()[who % len(self.incomplete())]
        life.down.arrive(life.down.arrived + more)

    # Ends are drawn seldom, or no exchange would come far.

    @precondition(lambda self: self.open_lives())
    @rule(
        who=WHO,
        happens=SELDOM,
        what=st.sampled_from(["leaves", "breaks", "shut", "bad body", "slow body"]),
        fault=st.sampled_from([fault for fault in BodyFault if fault]),
    )
    def exchange_ends(self, who: int, happens: bool, what: str, fault: BodyFault) -> None:
        down = self.open_lives()[who % len(self.open_lives())].down
        if not happens:
            return
        if what == "leaves":
            down.leave()
        elif what == "breaks":
            down.breaks = True
        elif what == "shut":
            down.exchange.shut()
        elif not down.body_complete() and what == "bad body":
            down.exchange.on_bad_body(int(fault))
        elif not down.body_complete():
            down.exchange.on_slow_body()

    @precondition(lambda self: len(self.relay.queue))
    @rule(who=WHO, leaves=st.booleans())
    def a_queued_client_leaves(self, who: int, leaves: bool) -> None:
        queued = self.relay.queue.waiters()
        if leaves:
            queued[who % len(queued)].client.down.leave()  # type: ignore[attr-defined]

    # ---- time

    @rule(
        seconds=st.sampled_from([0.05, 1.0, 3.0, 12.0, 45.0]),
        queued=st.sampled_from([0, 0, 1]),
        stalled=st.sampled_from([0.0] * 39 + [1000.0]),
    )
    def time_passes(self, seconds: float, queued: int, stalled: float) -> None:
        self.relay.pass_time(seconds)
        for life in self.open_lives():
            down = life.down
            if down.body_complete() and down.exchange is not None and self.now >= down.wake_at:
                down.queued, down.stall_s = queued, stalled
                down.exchange.on_wait()

    @property
    def now(self) -> float:
        return self.relay.reactor.now

    # ---- providers

    @precondition(lambda self: self.dialling())
    @rule(who=WHO, fails=SELDOM)
    def dial_ends(self, who: int, fails: bool) -> None:
        pool = self.dialling()[who % len(self.dialling())]
        if fails:
            pool.refuse(UpstreamFailed("Provider p cannot be reached."))
        else:
            pool.connect()

    @precondition(lambda self: self.asked())
    @rule(who=WHO, head=st.sampled_from(STREAMS))
    def stream_begins(self, who: int, head: bytes) -> None:
        upstream = self.asked()[who % len(self.asked())]
        upstream.respond(head)
        assert upstream.exchange is None or upstream.mode != Mode.UNDECIDED

    @precondition(lambda self: self.asked())
    @rule(who=WHO, reply=st.sampled_from(ANSWERS))
    def head_of_an_answer_comes(self, who: int, reply: tuple[bytes, bytes]) -> None:
        """Its body, its end or its loss may follow."""
        self.asked()[who % len(self.asked())].respond(reply[0])

    @precondition(lambda self: self.asked())
    @rule(who=WHO, reply=st.sampled_from(ANSWERS), whole=st.booleans(), reusable=st.booleans())
    def answer_comes(
        self, who: int, reply: tuple[bytes, bytes], whole: bool, reusable: bool
    ) -> None:
        upstream = self.asked()[who % len(self.asked())]
        upstream.respond(reply[0])
        if upstream.exchange is not None:
            upstream.feed(reply[1])
        if whole and upstream.exchange is not None:
            upstream.finish(reusable=reusable)

    @precondition(lambda self: self.answering())
    @rule(
        who=WHO,
        piece=st.sampled_from(["start", "content", "content", "stop", "error", "half", "rest"]),
        between=st.booleans(),
    )
    def body_comes(self, who: int, piece: str, between: bool) -> None:
        upstream = self.answering()[who % len(self.answering())]
        upstream.between = between
        by = content(self.number_of(upstream))
        pieces = {"start": START, "stop": DELTA + STOP, "error": OVERLOADED, "content": by}
        pieces |= {"half": by[:20], "rest": by[20:]}
        upstream.feed(pieces[piece])

    def number_of(self, upstream: FakeUpstream) -> int:
        """Tells one attempt from every other."""
        return id(upstream) * 1000 + upstream.uses

    @precondition(lambda self: self.answering())
    @rule(who=WHO, reusable=st.booleans())
    def response_ends(self, who: int, reusable: bool) -> None:
        self.answering()[who % len(self.answering())].finish(reusable=reusable)

    @precondition(lambda self: self.serving())
    @rule(who=WHO, is_lost=SELDOM, loss=st.sampled_from([Loss.CLOSED, Loss.RESET, *Loss]))
    def provider_is_lost(self, who: int, is_lost: bool, loss: Loss) -> None:
        if is_lost:
            self.serving()[who % len(self.serving())].lose(loss)

    # ---- the relay

    @precondition(lambda self: self.relay.worker.waiting)
    @rule(who=WHO, fails=SELDOM)
    def worker_works(self, who: int, fails: bool) -> None:
        waiting = self.relay.worker.waiting
        if fails:  # it has waited for too long
            _, ready = waiting.pop(who % len(waiting))
            ready(None, NoTarget("too many"))
        else:
            self.relay.worker.work(who % len(waiting))

    @rule(happens=SELDOM, chosen=CHOSEN)
    def configuration_is_reloaded(self, happens: bool, chosen: list[int]) -> None:
        if happens:
            self.relay.reload(*fleet(self.limits, chosen))

    # ---- what always holds

    @invariant()
    def each_exchange_is_done_once_and_logged_once(self) -> None:
        ids = [line["id"] for line in self.relay.log.records]
        assert len(set(ids)) == len(ids)
        settled = {life.exchange.id for life in self.lives if life.exchange.settled}
        assert set(ids) == settled
        assert self.relay.active == {life.exchange for life in self.open_lives()}

    @invariant()
    def what_an_attempt_acquired_is_held_or_was_given_back(self) -> None:
        for life in self.lives:
            attempt = life.exchange.attempt
            if attempt is not None and (not life.attempts or life.attempts[-1] is not attempt):
                life.attempts.append(attempt)
            for one in life.attempts:
                is_over = one is not attempt or life.exchange.settled
                if is_over or life.exchange.state == ExchangeState.QUEUED:
                    assert one.finished
                if one.finished:
                    assert one.reservation is None
                    assert one.ticket is None
                else:
                    assert one.reservation is None or one.reservation.open
        current = [life.exchange.attempt for life in self.open_lives()]
        held = [attempt for attempt in current if attempt is not None]
        assert self.in_flight() == sum(attempt.reservation is not None for attempt in held)
        tickets = sum(attempt.ticket is not None for attempt in held)
        assert sum(breaker.out for breaker in self.relay.breakers) == tickets

    @invariant()
    def a_finished_attempt_gives_nothing_back_again(self) -> None:
        before = self.in_flight(), sum(breaker.out for breaker in self.relay.breakers)
        for life in self.lives:
            for attempt in life.attempts:
                if attempt.finished:
                    assert not attempt.finish(self.now, self.relay.rng, 1, 1)
        assert before == (self.in_flight(), sum(breaker.out for breaker in self.relay.breakers))

    @invariant()
    def every_transition_is_one_of_the_table_and_done_is_the_last(self) -> None:
        trail = self.relay.reactor.trail
        for life in self.lives:
            states = trail.of(life.exchange)
            assert states[0] is ExchangeState.ROUTING
            assert states.count(ExchangeState.DONE) <= 1
            for old, new in pairwise(states):
                # ROUTING between two others is not seen: nothing is called in it.
                by_routing = (
                    ExchangeState.ROUTING in TRANSITIONS[old]
                    and new in TRANSITIONS[ExchangeState.ROUTING]
                )
                assert new in TRANSITIONS[old] or by_routing, (old, new)

    @invariant()
    def the_state_says_what_the_exchange_waits_for(self) -> None:
        queued = self.relay.queue.waiters()
        for life in self.lives:
            exchange, attempt = life.exchange, life.exchange.attempt
            upstream = attempt.upstream if attempt is not None else None
            is_served = upstream is not None and upstream.exchange is exchange
            # Of a response that was never held only the head is: it stays HOLDING to its end.
            streams = {ExchangeState.HOLDING, ExchangeState.STREAMING}
            by_mode = {
                Mode.UNDECIDED: {ExchangeState.AWAITING_HEAD},
                Mode.HOLD: {ExchangeState.HOLDING},
                Mode.FORWARD: streams,
                Mode.COLLECT: {ExchangeState.COLLECTING_ERROR},
            }
            if life.down.ended is not None:
                expected = {ExchangeState.DONE}
            elif life.down.wants is not None:
                expected = {ExchangeState.AWAITING_BODY}
            elif exchange in queued:
                expected = {ExchangeState.QUEUED}
            elif self.is_dialling(exchange):
                expected = {ExchangeState.CONNECTING}
            elif self.is_prepared(exchange):
                expected = {ExchangeState.PREPARING}
            else:
                assert is_served
                assert upstream is not None
                expected = by_mode[Mode(upstream.mode)]
            assert exchange.state in expected

    def in_flight(self) -> int:
        gauges = {
            target.slot: target.limits
            for router in self.relay.routers
            for _, selection in router.log
            for target in selection.target.provider.targets
        }
        return sum(gauge.in_flight for gauge in gauges.values())

    @invariant()
    def no_target_fails_twice_and_attempts_are_bounded(self) -> None:
        most = self.config.routing.attempts_max
        for life in self.lives:  # a key that could not have served costs no attempt
            retry_state = life.exchange.retry_state
            assert retry_state is None or retry_state.count <= most
        waits = {
            id(life.exchange.request): life.exchange.retry_state.waits
            for life in self.lives
            if life.exchange.retry_state is not None
        }
        for router in self.relay.routers:
            by_request: dict[int, list[Target]] = {}
            for request, selection in router.log:
                by_request.setdefault(id(request), []).append(selection.target)
            for request, targets in by_request.items():
                # A target that named a time is no failure, and may be selected again then.
                failed = len(targets) - waits.get(request, 0)
                assert len({target.slot for target in targets}) >= failed

    @invariant()
    def a_target_gets_a_request_again_only_after_a_stale_connection_or_a_signature_refusal(
        self,
    ) -> None:
        sends: dict[tuple[int, str, int], int] = {}
        counted: dict[int, int] = {}
        for name, pool in self.relay.pools.items():
            for exchange, target in pool.sends:
                assert target is not None
                key = (id(exchange), name, target.slot)
                sends[key] = sends.get(key, 0) + 1
                counted[id(exchange)] = counted.get(id(exchange), 0) + 1
            for exchange in pool.refused:
                counted[id(exchange)] = counted.get(id(exchange), 0) + 1
            for exchange in pool.stale:
                counted[id(exchange)] -= 1
        reloads = len(self.relay.routers)
        for times in sends.values():
            # sent, without foreign blocks, without any; to a cloud with another credential, by
            # another clock, without three features; each once stale; and after each time
            assert times <= reloads * (2 * 8 + retry.WAITS_MAX)
        for life in self.lives:
            assert life.exchange.outcome.attempts == counted.get(id(life.exchange), 0)

    @invariant()
    def the_client_gets_one_head_and_its_end_when_the_exchange_is_done(self) -> None:
        for life in self.lives:
            down = life.down
            assert len(down.heads) <= 1
            assert (down.ended is not None) == life.exchange.settled
            if down.ended == "complete":
                assert len(down.heads) == 1
            assert len(set(re.findall(rb'"by":(\d+)', down.got))) <= 1, "content of two attempts"

    @invariant()
    def no_attempt_follows_the_commit_point(self) -> None:
        for life in self.lives:
            exchange = life.exchange
            if life.sends_at_commit is not None:
                assert exchange.outcome.attempts == life.sends_at_commit
                assert exchange not in self.relay.queue.waiters()
                assert not self.is_dialling(exchange)
            elif b'"by":' in life.down.got:
                life.sends_at_commit = exchange.outcome.attempts

    def is_dialling(self, exchange: Exchange) -> bool:
        if exchange.settled:
            return False
        dials = [ready for pool in self.relay.pools.values() for ready in pool.dials]
        return any(ready.__self__ is exchange for ready in dials)  # type: ignore[attr-defined]

    def is_prepared(self, exchange: Exchange) -> bool:
        """Whether the worker is to make its body, or it waits for a credential."""
        jobs = [begin.__self__ for begin, _ in self.relay.worker.waiting]  # type: ignore[attr-defined]
        return (exchange in jobs or exchange.waits is not None) and not exchange.settled

    @invariant()
    def memory_of_bodies_is_given_back(self) -> None:
        for life in self.open_lives():
            client = life.exchange.client
            assert client.memory().held == client.held

    @invariant()
    def an_exchange_under_way_waits_for_exactly_one_thing(self) -> None:
        serving = [one.exchange for one in self.serving()]
        waiting = self.relay.queue.waiters()
        assert len(set(map(id, serving))) == len(serving)
        assert len(waiting) == len(self.relay.queue)
        for life in self.lives:
            exchange = life.exchange
            waits = (
                life.down.wants is not None,
                self.is_dialling(exchange),
                exchange in serving,
                exchange in self.relay.queue.waiters(),
                self.is_prepared(exchange),
            )
            # A client may still be sending while its exchange waits for something else.
            assert sum(waits) == (0 if exchange.settled else 1), waits

    @invariant()
    def queued_requests_are_tried_again(self) -> None:
        if len(self.relay.queue):
            self.relay.loop.run()
            assert len(self.relay.queue) == 0 or self.relay.loop.next_at < inf

    @invariant()
    def every_connection_is_in_use_idle_or_closed(self) -> None:
        for pool in self.relay.pools.values():
            assert len(set(pool.idle)) == len(pool.idle)
            for upstream in pool.all:
                places = (
                    upstream.exchange is not None,
                    upstream in pool.idle,
                    upstream.is_closed(),
                )
                assert sum(places) == 1, places

    def teardown(self) -> None:
        """Whatever exchanges wait for happens at last; then nothing may be held."""
        if not hasattr(self, "lives"):
            return
        for _ in range(300):
            if not self.open_lives():
                break
            for life in self.incomplete():
                life.down.arrive(len(life.down.body))
            if self.relay.worker.waiting:
                self.relay.worker.work()
            elif self.dialling():
                self.dial_ends(0, fails=False)
            elif self.asked():
                self.stream_begins(0, STREAM_HEAD)
            elif self.answering():
                self.body_comes(0, "start", between=True)
                if self.answering():  # it may have proved to be no answer
                    self.response_ends(0, reusable=True)
            else:
                self.relay.pass_time(5.0)
        assert self.open_lives() == []
        self.relay.loop.run()
        for check in (
            self.each_exchange_is_done_once_and_logged_once,
            self.what_an_attempt_acquired_is_held_or_was_given_back,
            self.a_finished_attempt_gives_nothing_back_again,
            self.every_transition_is_one_of_the_table_and_done_is_the_last,
            self.the_state_says_what_the_exchange_waits_for,
            self.no_target_fails_twice_and_attempts_are_bounded,
            self.the_client_gets_one_head_and_its_end_when_the_exchange_is_done,
            self.every_connection_is_in_use_idle_or_closed,
        ):
            check()
        assert self.in_flight() == 0
        assert len(self.relay.queue) == 0
        for life in self.lives:
            route = life.exchange.route
            if route is not None:
                claims = self.relay.queue._claims
                assert not claims.of(route.by_slot.keys(), RANKS[TrafficClass.BACKGROUND])


TestLives = Lives.TestCase
TestLives.settings = settings(deadline=None, max_examples=200, stateful_step_count=60)
