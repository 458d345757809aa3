"""What is paid per request in Python: the gate, the choice, the head, the record, its line.

python -m pytest bench/micro/test_routing.py --benchmark-disable-gc

`test_route_and_settle` is the whole of what a pool costs: conversation, estimates, affinity,
choice, reservation, breaker, settling, averages. The difference of its two cases is the price of
3 providers x 4 keys with all limits on over one key without any.
"""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ccrelay._fast.http1 import Head, parse_request
from ccrelay._fast.shared_memory import SharedMemory
from ccrelay._fast.sse import SseTap
from ccrelay._fast.usage import Usage
from ccrelay.config.model import Auth, Config, Health, Key, Provider, Routing, Server, StrategyName
from ccrelay.fleet.provider_state import ProviderState
from ccrelay.relay import asking, settling
from ccrelay.relay.access_log import record, usage_of
from ccrelay.relay.client_auth import Authenticator, ClientAuth
from ccrelay.relay.exchange import Exchange
from ccrelay.routing.route_table import Route, RouteTable
from ccrelay.routing.router import Router, Selection
from ccrelay.routing.routing_request import RoutingRequest
from ccrelay.routing.strategies import strategy_for
from ccrelay.runtime.logs import JsonLines, TextLines
from ccrelay.types import Ending, RequestClass
from tests.unit.relay.fakes import FakeDown, FakeRelay

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


# Far above what is used here: what is looked at costs the same.
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


def services(
    count: int, keys: int = 2, limits: dict[str, Any] | None = None
) -> list[ProviderState]:
    board = SharedMemory.private(targets=64, endpoints=16)
    return [
        ProviderState(
            one,
            Health(failures=1, open_s=3600.0, open_max_s=3600.0),
            memory=board,
            slots=list(range(number * keys, number * keys + keys)),
            endpoint_slot=number,
        )
        for number, one in enumerate(providers(count, keys, limits))
    ]


def slate(count: int, name: StrategyName = "simple-shuffle", **more: Any) -> Route:
    chooser = strategy_for(Routing(), name)
    candidates = RouteTable(services(count, **more), lambda _: chooser)
    return candidates.of(b'"claude-opus-5-5"', "claude-opus-5-5")


def test_gate(benchmark: Benchmark) -> None:
    gate = Authenticator(Server(auth=Auth(tokens=["bench-relay-token", "another-relay-token"])))
    assert benchmark(gate.admit, head()).token_in_bearer


@pytest.mark.parametrize("resting", [False, True], ids=["all-up", "one-rests"])
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", STRATEGIES)
def test_choose(benchmark: Benchmark, name: StrategyName, count: int, resting: bool) -> None:
    """A provider and a key for a request without a conversation, and what was taken given back."""
    choices = slate(count, name, limits=LIMITS)
    rng = random.Random(1)
    if resting:
        breaker = choices.candidates[0].provider.endpoint.breaker
        breaker.settle(breaker.force(NOW), NOW, rng, ok=False)
    router = Router(Routing(strategy=name, panic="try"))
    ask = RoutingRequest(tokens_in=30_000, tokens_out=700, now=NOW)

    def choose() -> Selection:
        taken = router.choose(choices, ask, None, rng)
        assert isinstance(taken, Selection)
        taken.reservation.settle(NOW, 0, 0)  # type: ignore[union-attr]
        return taken

    assert benchmark(choose).candidate in choices.candidates


def test_choose_a_key(benchmark: Benchmark) -> None:
    (service,) = services(1, keys=4, limits=LIMITS)
    rng = random.Random(1)

    def pick() -> int:
        service.key_pool.survey(NOW, 30_000, 700)
        return service.pick(rng)

    assert benchmark(pick) in range(4)


def test_a_model_seen_before(benchmark: Benchmark) -> None:
    candidates = RouteTable(services(8), lambda _: strategy_for(Routing()))
    slate = candidates.of(b'"claude-opus-5-5"', "claude-opus-5-5")
    assert benchmark(candidates.remembered.get, b'"claude-opus-5-5"') is slate


def test_a_model_never_seen(benchmark: Benchmark) -> None:
    candidates = RouteTable(services(8), lambda _: strategy_for(Routing()))
    assert len(benchmark(candidates.of, b'"claude-x"', "claude-x").candidates) == 8


# ---- the whole of it


class Round:
    """One request after another from being routed to being settled, without the bytes between."""

    def __init__(self, *providers: Provider) -> None:
        self.relay = FakeRelay(*providers, config=Config())
        self.down = FakeDown(self.relay.reactor)
        self.down.head = head()
        candidates = self.relay.snap.candidates
        self.route = candidates.of(b'"claude-opus-5-5"', "claude-opus-5-5")
        tap = SseTap()
        tap.feed_bytes(STREAM)
        self.upstream: Any = SimpleNamespace(
            taps=SimpleNamespace(sse=tap, first_event_at=0.0),
            started_at=0.0,
            head_seen_at=0.0,
            head=SimpleNamespace(status=200, get=lambda _name: None),
        )
        self.usage = Usage(input=7, output=345, cache_read=90_000, cache_write_5m=400)
        self.passed = ClientAuth(True, False, False)

    def __call__(self) -> Exchange:
        """What a request costs: a thousand of them a second."""
        relay = self.relay
        relay.reactor.now += 0.001
        made: Any = Exchange(relay, self.down, RequestClass.MESSAGES, self.passed)  # type: ignore[arg-type]
        made.route = self.route
        made.request = asking.ask_of(made, self.route)
        relay.budget.request(made.request.now)
        taken = made.choose()
        made.candidate, made.target, made.reservation, made.ticket = taken
        if made.request.conversation:
            asking.settle_down(made, made.target)
        upstream = made.upstream = self.upstream
        upstream.started_at = upstream.head_seen_at = relay.reactor.now
        upstream.taps.first_event_at = relay.reactor.now
        if made.target.limited:
            settling.on_commit(made, upstream)
        made.status, made.good, made.stream = 200, True, True
        settling.close(made, Ending.COMPLETE, self.usage, relay.reactor.now)
        return made  # type: ignore[no-any-return]


@pytest.mark.parametrize("pool", ["one-key", "3x4-limited"])
def test_route_and_settle(benchmark: Benchmark, pool: str) -> None:
    chosen = providers(1, 1) if pool == "one-key" else providers(3, 4, LIMITS)
    route = Round(*chosen)
    made = benchmark(route)
    assert made.target.provider.name in {one.name for one in chosen}
    assert (made.reservation, made.ticket) == (None, None)
    assert route.relay.in_flight() == 0


def test_write_the_head(benchmark: Benchmark) -> None:
    (service,) = services(1)
    assert b"bearer" not in benchmark(service.targets[0].plan.render, head(), 102_400, False)


def exchange() -> Any:
    """What `record` reads of an exchange whose stream is over."""
    (candidate,) = slate(1).candidates
    tap = SseTap()
    tap.feed_bytes(STREAM)
    taps = SimpleNamespace(sse=tap, first_event_at=NOW + 0.9)
    return SimpleNamespace(
        relay=SimpleNamespace(id_of=lambda serial: f"req_ccrelay_0123456789a{serial:x}"),
        serial=0x1B2,
        kind=RequestClass.MESSAGES,
        model="claude-opus-5-5",
        candidate=candidate,
        target=candidate.provider.targets[0],
        status=200,
        attempts=1,
        error=None,
        down=SimpleNamespace(received_at=NOW, body_seen=102_400, bytes_out=40_000),
        request=RoutingRequest(conversation=1),
        route=SimpleNamespace(rule=None),
        waited_s=0.0,
        moved=False,
        upstream=SimpleNamespace(taps=taps, head_seen_at=NOW + 0.8),
    )


def recorded(of: Any) -> dict[str, object]:
    """What `settle` does for the line."""
    return record(of, Ending.COMPLETE, NOW + 2.0, 0, *usage_of(of.upstream))


def test_record(benchmark: Benchmark) -> None:
    line = benchmark(recorded, exchange())
    assert (line["output"], line["stop"]) == (345, "end_turn")


@pytest.mark.parametrize("lines", [JsonLines, TextLines], ids=["json", "text"])
def test_log_line(benchmark: Benchmark, lines: type[JsonLines] | type[TextLines]) -> None:
    members = recorded(exchange())
    line = benchmark(lines(0, lambda: NOW).exchange, members)
    assert line.endswith(b"\n")
