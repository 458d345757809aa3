"""What is paid per request beside the bytes: authentication, selection, head, log entry, log line.

python -m pytest bench/micro/test_routing.py --benchmark-disable-gc

`test_route_and_settle` is the whole of what a pool costs: conversation, estimates, affinity,
selection, reservation, breaker, accounting, averages. The difference of its two cases is the price
of 3 providers x 4 keys with all limits on over one key without any.
"""

import random
from collections.abc import Callable
from typing import Any

import pytest

from ccrelay._fast.http1 import Head, parse_request, parse_response
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.sse import SseTap
from ccrelay.config.model import Auth, Config, Health, Key, Provider, Routing, Server, StrategyName
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.relay import accounting, affinity, request_profile
from ccrelay.relay.access_log import AccessLogEntry
from ccrelay.relay.attempt import Attempt, attempt_on
from ccrelay.relay.client_auth import Authenticator, ClientAuth
from ccrelay.relay.client_request import ClientRequest
from ccrelay.relay.outcome import Outcome
from ccrelay.routing.route_table import Route, RouteTable
from ccrelay.routing.router import Router
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.selection import Selection
from ccrelay.routing.strategies import strategy_for
from ccrelay.runtime.logs import JsonLines, TextLines
from ccrelay.types import Ending, RequestClass
from tests.unit.relay.fakes import FakeDown, FakeRelay, FakeUpstream

Benchmark = Callable[..., Any]

NOW = 1000.0
# The size and the fields of what Claude Code sends.
REQUEST = (
    b"POST /v1/messages?beta=true HTTP/1.1\r\nhost: 127.0.0.1:8787\r\n"
    b"connection: keep-alive\r\naccept: application/json\r\nx-stainless-retry-count: 0\r\n"
    b"x-stainless-timeout: 600\r\nx-stainless-lang: js\r\nx-stainless-package-version: 0.74.0\r\n"
    b"x-stainless-os: Linux\r\nx-stainless-arch: x64\r\nx-stainless-runtime: node\r\n"
    b"x-stainless-runtime-version: v24.3.0\r\nanthropic-dangerous-direct-browser-access: true\r\n"
    b"anthropic-version: 2023-06-01\r\nauthorization: Bearer bench-relay-token\r\n"
    b"x-app: cli\r\nuser-agent: claude-cli/2.1.330 (external, cli)\r\n"
    b"x-claude-code-session-id: 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\r\n"
    b"content-type: application/json\r\nanthropic-beta: claude-code-20250219,"
    b"interleaved-thinking-2025-05-14,context-management-2025-06-27\r\n"
    b"accept-language: *\r\nsec-fetch-mode: cors\r\naccept-encoding: gzip, deflate\r\n"
    b"content-length: 102400\r\n\r\n"
)
STREAM = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":7,'
    b'"cache_read_input_tokens":90000,"cache_creation_input_tokens":400,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start"}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":345}}\n\n'
)


def head() -> Head:
    parsed = parse_request(REQUEST)
    assert parsed is not None
    return parsed[0]


# Far above what is used here: checking them costs the same.
LIMITS = {
    "rpm_limit": 10**6,
    "tpm_limit": 10**9,
    "itpm_limit": 10**9,
    "otpm_limit": 10**9,
    "max_concurrent": 10**4,
}
STRATEGIES: tuple[StrategyName, ...] = StrategyName.__args__  # type: ignore[attr-defined]


def providers(count: int, keys: int = 2, limits: dict[str, Any] | None = None) -> list[Provider]:
    return [
        Provider(
            name=f"p{number}",
            base_url="https://relay.example/api/anthropic",
            auth="bearer",
            count_tokens="forward",
            system_role="keep",
            signatures="none",
            keys=[Key(key=f"test-key-{number}-{n}", **(limits or {})) for n in range(keys)],
            models=["claude-*"],
            weight=number + 1,
        )
        for number in range(count)
    ]


def provider_states(
    count: int, keys: int = 2, limits: dict[str, Any] | None = None
) -> list[ProviderState]:
    memory = SharedMemory.private(targets=64, endpoints=16)
    return [
        ProviderState(
            one,
            Health(failures=1, open_s=3600.0, open_max_s=3600.0),
            memory=memory,
            slots=list(range(number * keys, number * keys + keys)),
            endpoint_slot=number,
        )
        for number, one in enumerate(providers(count, keys, limits))
    ]


def route_of(count: int, name: StrategyName = "simple-shuffle", **more: Any) -> Route:
    strategy = strategy_for(Routing(), name)
    routes = RouteTable(provider_states(count, **more), lambda _: strategy)
    return routes.of(b'"claude-opus-5-5"', "claude-opus-5-5")


def test_authenticate(benchmark: Benchmark) -> None:
    tokens = ["bench-relay-token", "another-relay-token"]
    authenticator = Authenticator(Server(auth=Auth(tokens=tokens)))
    assert benchmark(authenticator.admit, head()).token_in_bearer


@pytest.mark.parametrize("is_open", [False, True], ids=["all-up", "one-open"])
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", STRATEGIES)
def test_choose(benchmark: Benchmark, name: StrategyName, count: int, is_open: bool) -> None:
    """Select a provider and a key for a request without a conversation, and give both back."""
    route = route_of(count, name, limits=LIMITS)
    rng = random.Random(1)
    if is_open:
        breaker = route.candidates[0].provider.endpoint.breaker
        breaker.settle(breaker.force(NOW), NOW, rng, ok=False)
    router = Router(Routing(strategy=name, panic="try"))
    request = RoutingRequest(tokens_in=30_000, tokens_out=700, now=NOW)

    def choose() -> Selection:
        selection = router.choose(route, request, None, rng)
        assert isinstance(selection, Selection)
        selection.reservation.commit(NOW, 0, 0)  # type: ignore[union-attr]
        return selection

    assert benchmark(choose).candidate in route.candidates


def test_choose_a_key(benchmark: Benchmark) -> None:
    (provider,) = provider_states(1, keys=4, limits=LIMITS)
    rng = random.Random(1)

    def pick() -> int:
        provider.key_pool.refresh(NOW, 30_000, 700)
        return provider.pick(rng)

    assert benchmark(pick) in range(4)


def test_a_model_seen_before(benchmark: Benchmark) -> None:
    routes = RouteTable(provider_states(8), lambda _: strategy_for(Routing()))
    route = routes.of(b'"claude-opus-5-5"', "claude-opus-5-5")
    assert benchmark(routes.remembered.get, b'"claude-opus-5-5"') is route


def test_a_model_never_seen(benchmark: Benchmark) -> None:
    routes = RouteTable(provider_states(8), lambda _: strategy_for(Routing()))
    assert len(benchmark(routes.of, b'"claude-x"', "claude-x").candidates) == 8


# ---- the whole of it


class Round:
    """One request after another from being routed to being settled, without the bytes between."""

    def __init__(self, *providers: Provider) -> None:
        self.relay = FakeRelay(*providers, config=Config())
        self.config = self.relay.context.config
        self.down = FakeDown(self.relay.reactor)
        self.down.head = head()
        self.route = self.config.routes.of(b'"claude-opus-5-5"', "claude-opus-5-5")
        self.upstream = served(self.relay)
        self.auth = ClientAuth(True, False, False)

    def __call__(self) -> Attempt:
        """What a request costs: a thousand of them a second."""
        relay, context, config, route = self.relay, self.relay.context, self.config, self.route
        relay.reactor.now += 0.001
        now = relay.reactor.now
        client = ClientRequest(self.down, int(RequestClass.MESSAGES), self.auth)
        request = request_profile.build(context, config, client, route, 0.0)
        assert request is not None
        context.budget.request(now)
        selection = config.router.choose(route, request, None, context.rng)
        assert isinstance(selection, Selection)
        attempt = attempt_on(selection)
        if request.conversation:
            affinity.bind(context, config, client, route, request, attempt, None)
        upstream = attempt.upstream = self.upstream
        upstream.started_at = upstream.head_seen_at = now
        upstream.taps.first_event_at = now
        outcome = Outcome()
        accounting.on_content(context, config, attempt, outcome, upstream)
        attempt.breaker_result = True
        outcome.status, outcome.stream = 200, True
        outcome.ending = int(Ending.COMPLETE)
        accounting.read_usage(upstream, outcome)
        accounting.settle(context, config, route, request, attempt, outcome, now, "req_1")
        return attempt


def served(relay: FakeRelay) -> FakeUpstream:
    """A connection over which a stream has come."""
    upstream = relay.pools[next(iter(relay.pools))].add_idle()
    parsed = parse_response(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    assert parsed is not None
    upstream.head = parsed[0]
    upstream.taps.sse = SseTap()
    upstream.taps.sse.feed_bytes(STREAM)
    return upstream


@pytest.mark.parametrize("pool", ["one-key", "3x4-limited"])
def test_route_and_settle(benchmark: Benchmark, pool: str) -> None:
    chosen = providers(1, 1) if pool == "one-key" else providers(3, 4, LIMITS)
    route = Round(*chosen)
    attempt = benchmark(route)
    assert attempt.target.provider.name in {one.name for one in chosen}
    assert (attempt.reservation, attempt.ticket) == (None, None)
    assert route.relay.in_flight() == 0


def test_write_the_head(benchmark: Benchmark) -> None:
    (provider,) = provider_states(1)
    render = provider.targets[0].plan.render
    assert b"bearer" not in benchmark(render, head(), 102_400, False, b"/v1/messages")


def logged() -> AccessLogEntry:
    """The log entry of an exchange whose stream is over."""
    relay = FakeRelay(*providers(1), config=Config())
    route = relay.context.config.routes.of(b'"claude-opus-5-5"', "claude-opus-5-5")
    (candidate,) = route.candidates
    client = ClientRequest(
        FakeDown(relay.reactor), int(RequestClass.MESSAGES), ClientAuth(True, False, False)
    )
    client.model = "claude-opus-5-5"
    attempt = Attempt(candidate, candidate.provider.targets[0], None, None)
    upstream = attempt.upstream = served(relay)
    upstream.head_seen_at, upstream.taps.first_event_at = NOW + 0.8, NOW + 0.9
    outcome = Outcome()
    outcome.status, outcome.attempts = 200, 1
    accounting.read_usage(upstream, outcome)
    request = RoutingRequest(conversation=1)

    return AccessLogEntry(
        "req_ccrelay_0123456789a1b2", client, route, request, attempt, outcome, NOW + 2.0
    )


def test_read_usage(benchmark: Benchmark) -> None:
    upstream, outcome = served(FakeRelay()), Outcome()
    benchmark(accounting.read_usage, upstream, outcome)
    assert outcome.usage is not None
    assert (outcome.usage.output, outcome.stop_reason) == (345, "end_turn")


def test_log_entry(benchmark: Benchmark) -> None:
    entry = benchmark(logged().members)
    assert (entry["output"], entry["stop"]) == (345, "end_turn")


@pytest.mark.parametrize("lines", [JsonLines, TextLines], ids=["json", "text"])
def test_log_line(benchmark: Benchmark, lines: type[JsonLines] | type[TextLines]) -> None:
    line = benchmark(lines(0, lambda: NOW).exchange, logged())
    assert line.endswith(b"\n")
