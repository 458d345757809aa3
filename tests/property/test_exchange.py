"""An exchange under any order of what a client, a provider and time can do to it.

The fakes (tests/unit/relay/fakes.py) stand for the C side and assert what it relies on: one head,
no bytes behind an end, one attempt at a time, no connection lent twice. The invariants here are
looked at after every step.
"""

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ccrelay._fast.body import BodyFault
from ccrelay._fast.upstream import Loss, Mode
from ccrelay.config.model import Config, Routing
from ccrelay.errors import UpstreamFailed
from ccrelay.fleet.service import Service
from ccrelay.relay.exchange import Exchange
from ccrelay.types import RequestClass
from tests.unit.relay.fakes import (
    BODY,
    CONTENT,
    MODEL_SEEN,
    OVERLOADED,
    START,
    STOP,
    STREAM_HEAD,
    FakeDown,
    FakeRelay,
    FakeUpstream,
    json_head,
    service,
)

# The plain case stands first and more than once, so that most exchanges come far.
BODIES = [
    *[BODY] * 5,
    BODY.replace(b"true", b"false"),
    b'{"stream":true,"messages":[],"model":"m"}',
    b'{"stream":true}',
    b'{"model":7}',
    b'{"model":"unserved"}',
]
TO_CLOSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
HEADS = [STREAM_HEAD, STREAM_HEAD, TO_CLOSE, *map(json_head, (200, 400, 429, 529))]
SELDOM = st.integers(0, 4).map(lambda n: n == 4)
PIECES = [START, CONTENT, STOP, OVERLOADED, CONTENT[:20], CONTENT[20:]]


def fleet() -> list[Service]:
    """One provider of each habit."""
    return [
        service("plain", models=["m"], count_tokens="estimate"),
        service("repairs", "ollama", model_mapping={"m": "other"}, models=["m"]),
        service("translates", "zai", models=["m"]),
        service("rewrites", models=["m"], system_role="user"),
    ]


class Life(RuleBasedStateMachine):
    """One exchange from its request to its last line."""

    relay: FakeRelay
    down: FakeDown
    exchange: Exchange

    @initialize(
        order=st.permutations(range(4)),
        serving=st.integers(1, 4),
        idle=st.integers(0, 2),
        body=st.sampled_from(BODIES),
        arrived=st.sampled_from([len(BODY)] * 3 + [0, 1, MODEL_SEEN, MODEL_SEEN + 9]),
        kind=st.sampled_from([RequestClass.MESSAGES] * 3 + [RequestClass.COUNT_TOKENS]),
        chunked=st.booleans(),
        windowed=st.booleans(),
        minor=st.sampled_from([1, 1, 1, 0]),
    )
    def begin(
        self,
        order: list[int],
        serving: int,
        idle: int,
        body: bytes,
        arrived: int,
        kind: RequestClass,
        chunked: bool,
        windowed: bool,
        minor: int,
    ) -> None:
        services = fleet()
        config = Config(routing=Routing(ping_s=10.0, early_head_s=25.0))
        self.relay = FakeRelay(*(services[n] for n in order[:serving]), config=config)
        for pool in self.relay.pools.values():
            for _ in range(idle):
                pool.add_idle()
        self.down = FakeDown(
            self.relay.reactor,
            body=body,
            arrived=arrived,
            chunked=chunked and minor == 1,
            # Chunked bodies are kept whole or refused.
            windowed=windowed and not chunked,
            minor=minor,
        )
        self.exchange = self.relay.open(self.down, kind)
        self.committed_sends: int | None = None
        self.last_dials: int | None = None
        self.exchange.guard(self.exchange.route)

    # ---- what there is

    def upstreams(self) -> list[FakeUpstream]:
        return [upstream for pool in self.relay.pools.values() for upstream in pool.all]

    def serving(self) -> FakeUpstream | None:
        found = [upstream for upstream in self.upstreams() if upstream.exchange is not None]
        assert len(found) <= 1
        return found[0] if found else None

    def dialling(self) -> Any:
        return next((pool for pool in self.relay.pools.values() if pool.dials), None)

    def has_head(self) -> bool:
        upstream = self.serving()
        return upstream is not None and upstream.head is not None

    def is_asked(self) -> bool:
        upstream = self.serving()
        return upstream is not None and upstream.head is None

    # ---- the client

    @precondition(lambda self: not self.down.body_complete and self.down.ended is None)
    @rule(more=st.integers(1, 60))
    def body_arrives(self, more: int) -> None:
        self.down.arrive(self.down.arrived + more)

    @precondition(lambda self: not self.down.body_complete and self.down.exchange is not None)
    @rule(turns=SELDOM, fault=st.sampled_from([fault for fault in BodyFault if fault]))
    def body_turns_bad(self, turns: bool, fault: BodyFault) -> None:
        if turns:
            self.down.exchange.on_bad_body(int(fault))

    @precondition(lambda self: not self.down.body_complete and self.down.exchange is not None)
    @rule(stops=SELDOM)
    def body_stops(self, stops: bool) -> None:
        if stops:
            self.down.exchange.on_slow_body()

    # Ends are drawn seldom, or no exchange would come far.

    @rule(leaves=SELDOM)
    def client_leaves(self, leaves: bool) -> None:
        if leaves and self.down.ended is None:
            self.down.leave()

    @precondition(lambda self: not self.exchange.settled)
    @rule(breaks=SELDOM)
    def client_breaks_without_a_word(self, breaks: bool) -> None:
        self.down.breaks = self.down.breaks or breaks

    @precondition(lambda self: self.down.body_complete and self.down.exchange is not None)
    @rule(
        seconds=st.sampled_from([30.0, 10.0, 1.0]),
        queued=st.sampled_from([0, 0, 1]),
        stalled=st.sampled_from([0.0] * 7 + [1000.0]),
    )
    def time_passes(self, seconds: float, queued: int, stalled: float) -> None:
        self.relay.reactor.now += seconds
        self.down.queued = queued
        self.down.stalled_for = stalled
        self.down.exchange.on_wait()

    # ---- the provider

    @precondition(lambda self: self.dialling() is not None)
    @rule()
    def dial_succeeds(self) -> None:
        self.dialling().connect()

    @precondition(lambda self: self.dialling() is not None)
    @rule()
    def dial_fails(self) -> None:
        self.dialling().refuse(UpstreamFailed("Provider p cannot be reached."))

    @precondition(lambda self: self.is_asked())
    @rule(head=st.sampled_from(HEADS))
    def head_comes(self, head: bytes) -> None:
        upstream = self.serving()
        assert upstream is not None
        upstream.respond(head)
        assert upstream.exchange is None or upstream.mode != Mode.UNDECIDED

    @precondition(lambda self: self.has_head())
    @rule(data=st.sampled_from(PIECES), between=st.booleans())
    def body_comes(self, data: bytes, between: bool) -> None:
        upstream = self.serving()
        assert upstream is not None
        upstream.between = between
        upstream.feed(data)

    @precondition(lambda self: self.has_head())
    @rule(reusable=st.booleans())
    def response_ends(self, reusable: bool) -> None:
        upstream = self.serving()
        assert upstream is not None
        upstream.finish(reusable=reusable)

    @precondition(lambda self: self.serving() is not None)
    @rule(is_lost=SELDOM, loss=st.sampled_from([Loss.CLOSED, Loss.RESET, *Loss]))
    def provider_is_lost(self, is_lost: bool, loss: Loss) -> None:
        upstream = self.serving()
        assert upstream is not None
        if is_lost:
            upstream.lose(loss)

    # ---- the relay

    @precondition(lambda self: not self.exchange.settled)
    @rule(shuts=SELDOM)
    def relay_shuts_down(self, shuts: bool) -> None:
        if shuts:
            self.exchange.shut()

    # ---- what always holds

    @invariant()
    def it_is_settled_once_and_then_nothing_is_counted(self) -> None:
        settled = self.exchange.settled
        assert len(self.relay.log.records) == settled
        assert (self.exchange in self.relay.active) != settled
        expected = 0 if settled else int(self.serving() is not None)
        assert self.relay.in_flight() == expected

    @invariant()
    def the_client_gets_one_head_and_its_end_when_it_is_settled(self) -> None:
        assert len(self.down.heads) <= 1
        assert (self.down.ended is not None) == self.exchange.settled
        if self.down.ended == "complete":
            assert len(self.down.heads) == 1

    @invariant()
    def nothing_is_run_again_behind_the_commit_point(self) -> None:
        sends = sum(len(upstream.sent) for upstream in self.upstreams())
        assert sends == self.exchange.attempts
        if self.committed_sends is not None:
            assert sends == self.committed_sends
            if not self.exchange.settled:
                assert self.dialling() is None
        elif self.down.started and any(one.committed for one in self.upstreams()):
            self.committed_sends = sends

    @invariant()
    def every_connection_is_at_work_in_the_pool_or_closed(self) -> None:
        for pool in self.relay.pools.values():
            assert len(set(pool.idle)) == len(pool.idle)
            for upstream in pool.all:
                places = (upstream.exchange is not None, upstream in pool.idle, upstream.is_closed)
                assert sum(places) == 1, places
        if self.exchange.settled:
            assert self.serving() is None

    @invariant()
    def nothing_is_dialled_for_a_settled_exchange(self) -> None:
        dials = sum(len(pool.dials) for pool in self.relay.pools.values())
        if self.last_dials is not None:
            assert dials <= self.last_dials
        self.last_dials = dials if self.exchange.settled else None

    @invariant()
    def an_unsettled_exchange_waits_for_something(self) -> None:
        if not self.exchange.settled:
            waits = (self.down.wants, self.dialling(), self.serving())
            assert any(wait is not None for wait in waits)
            assert sum(len(pool.dials) for pool in self.relay.pools.values()) <= 1

    def teardown(self) -> None:
        """Whatever it waits for at last fails; then nothing may be left."""
        if not hasattr(self, "exchange"):
            return
        for _ in range(20):
            if self.dialling() is not None:
                self.dial_fails()
            elif (upstream := self.serving()) is not None:
                upstream.lose(Loss.TOTAL)
            elif not self.exchange.settled:
                self.down.arrive(len(self.down.body))
        assert self.exchange.settled
        assert self.relay.in_flight() == 0
        self.it_is_settled_once_and_then_nothing_is_counted()
        self.the_client_gets_one_head_and_its_end_when_it_is_settled()
        self.every_connection_is_at_work_in_the_pool_or_closed()


TestLife = Life.TestCase
TestLife.settings = settings(deadline=None, max_examples=250, stateful_step_count=30)
