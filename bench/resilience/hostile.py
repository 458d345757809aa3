"""Hostile clients beside good ones: what a stream and a small request feel of them."""

import asyncio
import contextlib
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator

from bench.loopback import processes
from bench.resilience.client import Answer, Connection, Request, ask, message
from bench.resilience.findings import Finding, Findings
from bench.resilience.hostile_client import KINDS
from bench.resilience.stage import ROOT, Relay, Stage, StageError, provider

STREAMS = 8
GAP_MS = 10  # between two events of the provider
PAUSE_S = 0.005  # between two small requests
RATIO = 2.0  # what is felt of a hostile client, at most
KEPT_MB = 3  # of a body that is sent while bodies are announced


async def hostile(stage: Stage) -> list[Finding]:
    """One worker; each kind of hostile client in turn, against the same without any.

    All dripping and announcing clients use the only key's places (`max_concurrent`) and the memory
    for retries up, if they can.
    """
    found = Findings("hostile")
    seconds = 4.0 if stage.quick else 12.0
    mock = await stage.mock("p1", "--gap-ms", str(GAP_MS))
    relay = await stage.relay(
        "relay",
        providers=[provider(mock, key_max_concurrent=STREAMS + 4)],
        server={"workers": 1, "limits": {"replay_bytes_max": 128 << 20}},
        routing={"queue_timeout_s": 5},
    )
    await _feel(relay, 1.0)  # warm
    events, small = await _feel(relay, seconds)
    found.tell("alone: p99 between two events of a stream", f"{events:.1f} ms")
    found.tell("alone: p99 of a small request", f"{small:.1f} ms")
    for kind in KINDS:
        async with _beside(kind, relay):
            then_events, then_small = await _feel(relay, seconds)
            kept = await ask(relay.port, message("y" * (KEPT_MB << 20)), patience_s=30)
        found.at_most(
            f"a client {kind}: p99 between two events of a stream",
            then_events,
            RATIO * events,
            "ms",
        )
        found.tell(f"a client {kind}: p99 of a small request", f"{then_small:.1f} ms")
        found.exactly(f"a client {kind}: large requests refused", not kept.is_complete, 0)
    return found.all


@contextlib.asynccontextmanager
async def _beside(kind: str, relay: Relay) -> AsyncIterator[None]:
    """A hostile client of this kind, meanwhile."""
    process = _start(kind, relay.port)
    try:
        assert process.stdout is not None
        said = await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 20)
        if said.strip() != b"ready":
            raise StageError(f"the client that {kind} did not begin")
        yield
    finally:
        processes.end(process)


def _start(kind: str, port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.resilience.hostile_client", kind, str(port)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


async def _feel(relay: Relay, seconds: float) -> tuple[float, float]:
    """99th percentiles, ms: between two events of a stream; of a small request."""
    deltas = int(seconds * 1000 / GAP_MS)
    waits: list[float] = []
    async with asyncio.TaskGroup() as group:
        streams = [
            group.create_task(ask(relay.port, message(f"demo:deltas={deltas} stream {n}")))
            for n in range(STREAMS)
        ]
        await _small_requests(relay, waits, time.monotonic() + seconds)
    answers = [task.result() for task in streams]
    if not all(answer.is_complete for answer in answers):
        raise StageError(f"a stream did not end well: {[str(answer) for answer in answers]}")
    gaps = [gap for answer in answers for gap in _gaps(answer)]
    return _p99_ms(gaps), _p99_ms(waits)


async def _small_requests(relay: Relay, waits: list[float], ends_at: float) -> None:
    connection = await Connection.open(relay.port)
    while time.monotonic() < ends_at:
        answer = Answer(time.monotonic())
        await connection.exchange(Request("GET", "/health"), answer)
        waits.append(time.monotonic() - answer.asked_at)
        await asyncio.sleep(PAUSE_S)
    await connection.close()


def _gaps(answer: Answer) -> list[float]:
    """Seconds between two reads of a stream, from its first content on."""
    instants = [at for at, _ in answer.reads if at >= answer.first_at]
    return [after - before for before, after in itertools.pairwise(instants)]


def _p99_ms(seconds: list[float]) -> float:
    return 1000 * statistics.quantiles(seconds, n=100)[98]
