"""What is paid per request in Python: the gate, the choice, the head, the record, its line.

python -m pytest bench/micro/test_routing.py --benchmark-disable-gc
"""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ccrelay._fast.http1 import Head, parse_request
from ccrelay._fast.sse import SseTap
from ccrelay.config.model import Auth, Health, Key, Provider, Server
from ccrelay.fleet.service import Service
from ccrelay.relay.gate import Gate
from ccrelay.relay.record import record
from ccrelay.routing.candidates import Candidate, Candidates
from ccrelay.routing.strategies import STRATEGIES
from ccrelay.runtime.logs import JsonLines, TextLines
from ccrelay.types import Ending, RequestClass

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


def services(count: int) -> list[Service]:
    return [
        Service(
            Provider(
                name=f"p{number}",
                base_url="https://relay.example/api/anthropic",
                auth="bearer",
                count_tokens="forward",
                keys=[Key(key="test-key-1"), Key(key="test-key-2")],
                models=["claude-*"],
                weight=number + 1,
            ),
            Health(),
        )
        for number in range(count)
    ]


def slate(count: int) -> list[Candidate]:
    return list(Candidates(services(count)).of(b'"claude-opus-5-5"', "claude-opus-5-5").candidates)


def test_gate(benchmark: Benchmark) -> None:
    gate = Gate(Server(auth=Auth(tokens=["bench-relay-token", "another-relay-token"])))
    assert benchmark(gate.admit, head()).token_in_bearer


@pytest.mark.parametrize("resting", [False, True], ids=["all-up", "one-rests"])
@pytest.mark.parametrize("count", [1, 8])
@pytest.mark.parametrize("name", list(STRATEGIES))
def test_choose(benchmark: Benchmark, name: str, count: int, resting: bool) -> None:
    candidates = slate(count)
    if resting:
        candidates[0].endpoint.unreachable(NOW)
    rng = random.Random(1)
    assert benchmark(STRATEGIES[name], candidates, (), NOW, rng) in candidates  # type: ignore[index]


def test_choose_a_target(benchmark: Benchmark) -> None:
    (service,) = services(1)
    assert benchmark(service.choose_target, random.Random(1)) in service.targets


def test_a_model_seen_before(benchmark: Benchmark) -> None:
    candidates = Candidates(services(8))
    slate = candidates.of(b'"claude-opus-5-5"', "claude-opus-5-5")
    assert benchmark(candidates.remembered.get, b'"claude-opus-5-5"') is slate


def test_a_model_never_seen(benchmark: Benchmark) -> None:
    candidates = Candidates(services(8))
    assert len(benchmark(candidates.of, b'"claude-x"', "claude-x").candidates) == 8


def test_write_the_head(benchmark: Benchmark) -> None:
    (service,) = services(1)
    assert b"bearer" not in benchmark(service.targets[0].plan.render, head(), 102_400, False)


def exchange() -> Any:
    """What `record` reads of an exchange whose stream is over."""
    (candidate,) = slate(1)
    tap = SseTap()
    tap.feed_bytes(STREAM)
    taps = SimpleNamespace(sse=tap, first_event_at=NOW + 0.9)
    return SimpleNamespace(
        id="req_ccrelay_0123456789a1b2",
        kind=RequestClass.MESSAGES,
        model="claude-opus-5-5",
        candidate=candidate,
        target=candidate.service.targets[0],
        status=200,
        attempts=1,
        error=None,
        down=SimpleNamespace(received_at=NOW, body_seen=102_400, bytes_out=40_000),
        upstream=SimpleNamespace(taps=taps, head_seen_at=NOW + 0.8),
    )


def test_record(benchmark: Benchmark) -> None:
    line = benchmark(record, exchange(), Ending.COMPLETE, NOW + 2.0, 0)
    assert (line["output"], line["stop"]) == (345, "end_turn")


@pytest.mark.parametrize("lines", [JsonLines, TextLines], ids=["json", "text"])
def test_log_line(benchmark: Benchmark, lines: type[JsonLines] | type[TextLines]) -> None:
    members = record(exchange(), Ending.COMPLETE, NOW + 2.0, 0)
    line = benchmark(lines(0, lambda: NOW).exchange, members)
    assert line.endswith(b"\n")
