"""Bodies that are made to cost work, and what other clients notice of them.

Two clients, one worker. One streams and sends small requests; the other has bodies unpacked,
rewritten and refused, as fast as it gets answers, from a process of its own. Rounds with an attack
and without one take turns; the ratio of the two is what counts, since the machine is shared.
"""

import asyncio
import contextlib
import gzip
import itertools
import math
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from bench.resilience.client import TOKEN, Answer, Connection, attempt, message
from bench.resilience.findings import Finding, Findings
from bench.resilience.stage import Relay, Stage, provider

ROOT = Path(__file__).parents[2]
ATTACKER = "bench-relay-token-2"
RATIO_MAX = 2.0
STREAMS = 4
LANES = 2
GAP_MS = 5
NICE = 19
MB = 1_000_000


def _repeated(item: bytes, size: int, around: bytes = b'{"model":"big","messages":[%b]}') -> bytes:
    return around % b",".join([item] * (size // (len(item) + 1)))


_BLOCKS = b'{"model":"big","messages":[{"role":"user","content":[%b]}]}'
_TURN = b'{"role":"user","content":"' + b"x" * 3000 + b'"}'

# Name, content coding, body.
ATTACKS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "4 MB of ones": ("", lambda: _repeated(b"1", 4 * MB)),
    "0.9 MB of ones, below the bound": ("", lambda: _repeated(b"1", 900_000)),
    "0.6 MB of empty blocks, below the bound": ("", lambda: _repeated(b"{}", 600_000, _BLOCKS)),
    "4 MB of turns": ("", lambda: _repeated(_TURN, 4 * MB)),
    "32 MB of turns": ("", lambda: _repeated(_TURN, 32 * MB)),
    "32 MB of spaces in gzip": (
        "gzip",
        lambda: gzip.compress(b'{"model":"big","x":"' + b" " * (32 * MB) + b'"}'),
    ),
    "4 MB of ones in gzip": ("gzip", lambda: gzip.compress(_repeated(b"1", 4 * MB))),
}


async def bodies(stage: Stage) -> list[Finding]:
    """p99 of another client's events and small requests while each attack runs."""
    found = Findings("bodies")
    rounds, seconds = (3, 1.5) if stage.quick else (7, 4.0)
    mock = await stage.mock("p1", "--gap-ms", str(GAP_MS))
    other = await stage.mock("p2")  # of the attacker, whose bodies hold it up
    # What the attacker and its provider take of the machine is not what is asked here.
    os.setpriority(os.PRIO_PROCESS, other.pid, NICE)
    plain = {"models": ["claude-bench-1"], "model_mapping": {}}
    rewriting = provider(other) | {"name": "big", "type": "ollama", "models": ["big"]}
    rewriting |= {"system_role": "user", "auth": "x-api-key"}
    relay = await stage.relay(
        "relay",
        server={"workers": 1, "auth": {"tokens": [TOKEN, ATTACKER]}},
        providers=[provider(mock) | plain, rewriting],
    )
    for name in ATTACKS:
        await _attack(found, relay, name, rounds, seconds)
    return found.all


async def _attack(found: Findings, relay: Relay, name: str, rounds: int, seconds: float) -> None:
    ratios: list[tuple[float, float]] = []
    longest = 0.0
    for _ in range(rounds):
        calm = await _watch(relay.port, seconds)
        async with _attacked(relay.port, name):
            hit = await _watch(relay.port, seconds)
        ratios.append((hit.events / calm.events, hit.asks / calm.asks))
        longest = max(longest, hit.longest)
    events = statistics.median(ratio for ratio, _ in ratios)
    asks = statistics.median(ratio for _, ratio in ratios)
    found.at_most(f"{name}: p99 between events, times that without", events, RATIO_MAX)
    found.at_most(f"{name}: p99 of small requests, times that without", asks, RATIO_MAX)
    found.tell(f"{name}: longest wait for an event", f"{1000 * longest:.0f} ms")


class _Watched:
    """What the other client saw, seconds."""

    def __init__(self, gaps: list[float], asks: list[float]) -> None:
        self.events = _p99(gaps)
        self.asks = _p99(asks)
        self.longest = max(gaps)


async def _watch(port: int, seconds: float) -> _Watched:
    ends_at = time.monotonic() + seconds
    gaps: list[float] = []
    asks: list[float] = []

    async def stream() -> None:
        deltas = math.ceil(1000 * seconds / GAP_MS)
        answer = await _on_its_own(port, f"demo:deltas={deltas}", stream=True)
        times = [at for at, _ in answer.reads]
        gaps.extend(after - before for before, after in itertools.pairwise(times))

    async def lane() -> None:
        connection = await Connection.open(port)
        try:
            while time.monotonic() < ends_at:
                answer = Answer(time.monotonic())
                await attempt(connection, message("demo:deltas=1", stream=False), answer)
                asks.append(answer.ended_at - answer.asked_at)
                await asyncio.sleep(0.002)
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(STREAMS):
            group.create_task(stream())
        for _ in range(LANES):
            group.create_task(lane())
    return _Watched(gaps, asks)


async def _on_its_own(port: int, prompt: str, *, stream: bool) -> Answer:
    connection = await Connection.open(port)
    answer = Answer(time.monotonic())
    try:
        await attempt(connection, message(prompt, stream=stream), answer)
    finally:
        await connection.close()
    return answer


def _p99(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


# ---- the attacker


@contextlib.asynccontextmanager
async def _attacked(port: int, name: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.resilience.bodies",
        str(port),
        name,
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        await process.stdout.readline()  # its first answer is there
        yield
    finally:
        process.kill()
        await process.wait()


def attack(port: int, name: str) -> None:
    """Send one body after the other until killed; says so when the first is answered."""
    os.nice(NICE)
    coding, make = ATTACKS[name]
    body = make()
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\nx-api-key: {ATTACKER}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    ) + (f"content-encoding: {coding}\r\n" if coding else "")
    wire = head.encode() + b"connection: close\r\n\r\n" + body
    is_first = True
    while True:
        with (
            contextlib.suppress(ConnectionError),
            socket.create_connection(("127.0.0.1", port)) as client,
        ):
            client.sendall(wire)
            while client.recv(65_536):
                pass
        if is_first:
            print("answered", flush=True)
            is_first = False


if __name__ == "__main__":
    attack(int(sys.argv[1]), sys.argv[2])
