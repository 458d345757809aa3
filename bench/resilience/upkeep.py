"""A worker is killed, the configuration changes, the program is replaced: all under load."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

from bench.resilience import load
from bench.resilience.client import (
    Answer,
    Connection,
    Ending,
    Request,
    ask,
    attempt,
    message,
)
from bench.resilience.findings import Finding, Findings
from bench.resilience.stage import Relay, Stage, provider, until

STREAMS = 200
LANES = 4  # of new requests while a worker is dead
RETURN_S = 2.0  # after so long the counts of a dead worker are back
ADMIT_S = 1.5  # a stream that is let through has begun by then
EXTRA = 10  # beyond the limit: none of them may get through
RELOADS = 50


async def worker_killed(stage: Stage) -> list[Finding]:
    """`kill -9` of one of two workers under 200 streams of a key that allows 204 at once.

    The limit shows the counter: once the dead worker's share is back, exactly as many new streams
    get through as were lost.
    """
    found = Findings("worker-killed")
    mock = await stage.mock("p1", "--gap-ms", "100")
    at_once = STREAMS + LANES
    section = provider(mock, key_max_concurrent=at_once)
    relay = await stage.relay("relay", providers=[section], routing={"queue_timeout_s": 60})
    deltas = 150 if stage.quick else 250
    prompt = f"demo:deltas={deltas}"
    async with asyncio.TaskGroup() as group:
        streams = [_Stream(group, relay, f"{prompt} {n}", f"s-{n}") for n in range(STREAMS)]
        await until(lambda: all(one.has_begun for one in streams), "not all streams began")
        owners = relay.owners()
        victim = owners[streams[0].answer.port]
        lost = [one for one in streams if owners[one.answer.port] == victim]
        kept = [one for one in streams if owners[one.answer.port] != victim]
        os.kill(victim, signal.SIGKILL)
        newcomers = await load.lanes(
            LANES, _newcomer(relay), ends_at=time.monotonic() + RETURN_S - 0.3, pause_s=0.02
        )
        await asyncio.sleep(0.3)
        room = at_once - len(kept)
        fresh = [_Stream(group, relay, prompt, f"fresh-{n}") for n in range(room)]
        await asyncio.sleep(ADMIT_S)
        admitted = sum(one.has_begun for one in fresh)
        extra = [_Stream(group, relay, prompt, f"extra-{n}") for n in range(EXTRA)]
        await asyncio.sleep(ADMIT_S)
        beyond = sum(one.has_begun for one in extra)
        early = [one for one in kept if one.answer.ended_at]
        for one in (*fresh, *extra):
            one.task.cancel()
    found.exactly("streams lost that were not its own", _not_complete(kept), 0)
    found.tell("streams it carried", f"{len(lost)} of {STREAMS}")
    refused = sum(not answer.is_complete for answer in newcomers)
    found.exactly("new requests refused", refused, 0)
    found.tell("new requests within 2 s", f"{len(newcomers):,}")
    found.exactly("counters off after 2 s: too high by", room - admitted, 0)
    found.exactly("counters off after 2 s: too low by", beyond, 0)
    if early:
        found.exactly("streams that ended before the counters were read", len(early), 0)
    return found.all


async def reloads(stage: Stage) -> list[Finding]:
    """50 reloads under load, by signal and by file; then the whole program is replaced."""
    found = Findings("reloads")
    mocks = [await stage.mock(f"p{n}", "--gap-ms", "50") for n in (1, 2)]
    relay = await stage.relay("relay", providers=[provider(mock, 2) for mock in mocks])
    count = 10 if stage.quick else RELOADS
    await _under_load(found, f"{count} reloads", relay, lambda: _reload(relay, count))
    done = len(relay.events("reloaded"))
    found.exactly("configurations taken", done, count)
    seen = {generation for mock in mocks for generation in _generations(mock.recorded())}
    found.exactly("last configuration seen upstream", max(seen, default=0), count)

    upgrades = 1 if stage.quick else 3
    before = relay.workers()
    await _under_load(found, "SIGUSR2", relay, lambda: _upgrade(relay, upgrades))
    found.exactly("SIGUSR2: old workers left", len(before & relay.workers()), 0)
    return found.all


# ---- load


class _Stream:
    """A stream of its own connection, watched while it runs."""

    def __init__(self, group: asyncio.TaskGroup, relay: Relay, prompt: str, session: str) -> None:
        self.answer = Answer(time.monotonic())
        self.task = group.create_task(self._run(relay, message(prompt, session=session)))

    @property
    def has_begun(self) -> bool:
        return self.answer.has_content

    async def _run(self, relay: Relay, request: Request) -> None:
        connection = await Connection.open(relay.port)
        try:
            await attempt(connection, request, self.answer)
        finally:
            await connection.close()


def _newcomer(relay: Relay) -> load.Send:
    async def send(lane: int) -> Answer:
        prompt = "demo:deltas=1 demo:gap_ms=0"
        return await ask(relay.port, message(prompt, session=f"lane-{lane}"))

    return send


class _Keeper:
    """Sends on one connection for as long as it lasts, as an SDK's pool does."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._connection: Connection | None = None
        self.raced = 0  # closed by the relay just as it was used again: any client sends anew

    async def send(self, number: int) -> Answer:
        request = message(f"keeper {number} demo:deltas=2 demo:gap_ms=5", session=f"k-{number}")
        connection = self._connection
        if connection is not None and connection.is_open:
            answer = Answer(time.monotonic())
            await attempt(connection, request, answer)
            if answer.status or answer.ending is Ending.SILENT:
                return answer
            self.raced += 1
        if connection is not None:
            await connection.close()
        answer = Answer(time.monotonic())
        try:
            self._connection = await Connection.open(self._relay.port)
        except OSError:
            answer.ending, answer.ended_at = Ending.REFUSED, time.monotonic()
            self._connection = None
            return answer
        await attempt(self._connection, request, answer)
        return answer

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()


async def _under_load(
    found: Findings, what: str, relay: Relay, act: Callable[[], Awaitable[None]]
) -> None:
    """Whatever `act` does: streams, kept connections and new ones must not notice."""
    keepers = [_Keeper(relay) for _ in range(8)]
    is_over = False

    async def until_over(send: load.Send, lane: int, answers: list[Answer]) -> None:
        while not is_over:
            answers.append(await send(lane))
            await asyncio.sleep(0.02)

    async def stream(lane: int) -> Answer:
        prompt = f"stream {lane} demo:deltas=40"
        return await ask(relay.port, message(prompt, session=f"stream-{lane}"))

    short: list[Answer] = []
    long: list[Answer] = []
    async with asyncio.TaskGroup() as group:
        for number, keeper in enumerate(keepers):
            group.create_task(until_over(keeper.send, number, short))
        for lane in range(4):
            group.create_task(until_over(_newcomer(relay), lane, short))
        for lane in range(40):
            group.create_task(until_over(stream, lane, long))
        await asyncio.sleep(1.0)
        await act()
        await asyncio.sleep(1.0)
        is_over = True
    for keeper in keepers:
        await keeper.close()
    found.exactly(f"{what}: requests failed", sum(not a.is_complete for a in short), 0)
    found.exactly(f"{what}: streams cut", sum(not a.is_complete for a in long), 0)
    told = f"{len(short):,} requests, {len(long):,} streams"
    raced = sum(keeper.raced for keeper in keepers)
    found.tell(f"{what}: under", f"{told}; {raced} kept connections closed while being used")


async def _reload(relay: Relay, count: int) -> None:
    for generation in range(1, count + 1):
        for section in relay.sections["providers"]:
            section["headers"] = {"x-bench-generation": str(generation)}
            section["weight"] = 1 + generation % 3
        relay.write()
        if generation % 2:
            relay.send(signal.SIGHUP)
        wanted = generation
        await until(
            lambda wanted=wanted: len(relay.events("reloaded")) >= wanted,  # type: ignore[misc]
            f"reload {generation} was not taken",
        )


async def _upgrade(relay: Relay, count: int) -> None:
    for number in range(1, count + 1):
        before = relay.workers()
        relay.send(signal.SIGUSR2)
        await until(
            lambda before=before: not before & relay.workers(),  # type: ignore[misc]
            f"SIGUSR2, number {number}: the old workers are still there",
            wait_s=60,
        )


# ---- what came of it


def _not_complete(streams: list[_Stream]) -> int:
    return sum(not one.answer.is_complete for one in streams)


def _generations(recorded: list[dict[str, object]]) -> list[int]:
    found = []
    for line in recorded:
        headers = line["headers"]
        assert isinstance(headers, list)
        found += [int(value) for name, value in headers if name == "x-bench-generation"]
    return found
