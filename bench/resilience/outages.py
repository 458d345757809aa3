"""A provider dies and comes back, under streams: who notices, and how soon it carries its share."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager

from bench.resilience import load
from bench.resilience.client import Answer, ask, message
from bench.resilience.findings import Finding, Findings
from bench.resilience.stage import Mock, Relay, Stage, provider, relaying, until

PROVIDERS = 3
STREAMS = 100
PASS_ON_MAX_MS = 100
IDLE_S = 2.0  # routing.timeouts.idle_s here: after so much silence a stream is given up
# How a provider dies: what its mock is told; "" ends its process.
DEATHS = {
    "refuse": "",
    "reset": "reset_before_head",
    "stall": "stall_head",
    "529": "529",
    "error-in-200": "error_first",
}
# What happens to a stream past the commit point: a fault of the mock; "" ends its process.
BREAKS = {
    "killed": "",
    "reset": "reset_mid_stream,after=12",
    "closed": "cut_mid_event,after=12",
    "stall": "stall_mid_stream,after=12",
    "error event": "error_mid,after=12",
}
TIMEOUTS = {"connect_s": 2.0, "first_byte_s": 1.0, "idle_s": IDLE_S}
OPEN_MAX_S = 2.0
HEALTH = {"open_s": 0.5, "open_max_s": OPEN_MAX_S, "probe_timeout_s": 1.0}
JITTER = 0.2  # of a rest, upwards
SHARE_LEAST = 0.75  # of a third: from here on it carries its share
SHARE_WINDOW_S = 1.5


async def provider_dies(stage: Stage) -> list[Finding]:
    """One of three providers dies under 100 streams, in five ways; streams break in five ways."""
    found = Findings("provider-dies")
    mocks = await _mocks(stage)
    for name, fault in DEATHS.items():
        async with _fresh_relay(stage, f"dies-{name}", mocks) as relay:
            answers = await _die(stage, relay, mocks, fault)
        failed = [a for a in answers if not a.is_complete and not a.has_content]
        found.exactly(f"{name}: errors before any content", len(failed), 0)
        if fault:
            cut = [a for a in answers if not a.is_complete and a.has_content]
            found.exactly(f"{name}: streams cut", len(cut), 0)
        slowest = max((a.first_at - a.asked_at for a in answers if a.has_content), default=0.0)
        told = f"{slowest:.2f} s of {len(answers):,} streams"
        found.tell(f"{name}: longest time to content", told)
    for name, fault in BREAKS.items():
        for mock in mocks:
            await mock.forget()
        fresh = _fresh_relay(stage, f"breaks-{name.replace(' ', '-')}", mocks)
        async with fresh as relay, load.lateness() as late:
            await _break(found, name, relay, mocks, fault)
        worst_ms = 1000 * late.worst_s
        found.tell(
            f"past the commit point, {name}: the bench itself was late", f"{worst_ms:.1f} ms"
        )
    return found.all


async def provider_returns(stage: Stage) -> list[Finding]:
    """One of three providers is away for a while: the time until it carries its share again."""
    found = Findings("provider-returns")
    mocks = await _mocks(stage)
    away_s = 4.0 if stage.quick else 12.0
    bound_s = OPEN_MAX_S * (1 + JITTER) + HEALTH["probe_timeout_s"]
    for name in ("529", "refuse"):
        async with _fresh_relay(stage, f"returns-{name}", mocks) as relay:
            answers, seconds = await _return(relay, mocks, DEATHS[name], away_s)
        found.at_most(f"{name}: until it carries its share again", seconds, bound_s, "s")
        failed = [a for a in answers if not a.is_complete and not a.has_content]
        found.exactly(f"{name}: errors before any content", len(failed), 0)
    return found.all


# ---- scenes


async def _die(stage: Stage, relay: Relay, mocks: list[Mock], fault: str) -> list[Answer]:
    before_s, dead_s, after_s = (1.5, 3.0, 1.5) if stage.quick else (3.0, 8.0, 4.0)
    ends_at = time.monotonic() + before_s + dead_s + after_s

    async def send(lane: int) -> Answer:
        return await ask(relay.port, message(f"lane {lane} demo:deltas=8", session=f"lane-{lane}"))

    async def interfere() -> None:
        await asyncio.sleep(before_s)
        await _away(mocks[0], fault)
        await asyncio.sleep(dead_s)
        await _back(mocks[0], fault)

    streams = load.lanes(STREAMS, send, ends_at=ends_at, start_s=1.0)
    answers, _ = await asyncio.gather(streams, interfere())
    return answers


async def _break(found: Findings, name: str, relay: Relay, mocks: list[Mock], fault: str) -> None:
    begun = 0
    prompt = "demo:deltas=40" + (f" demo:fault={fault}" if fault else "")

    def has_begun() -> None:
        nonlocal begun
        begun += 1

    async def send(number: int) -> Answer:
        request = message(f"{number} {prompt}", session=f"{name}-{number}")
        return await ask(relay.port, request, on_content=has_begun)

    async def kill() -> tuple[float, int]:
        await until(lambda: begun == STREAMS, "not all streams began")
        theirs = await mocks[0].requests()
        return mocks[0].kill(), theirs

    streams = load.offer([0.005 * n for n in range(STREAMS)], send, begins_at=time.monotonic())
    if fault:
        answers = await streams
        broken, elsewhere = answers, sum([await mock.requests() for mock in mocks])
        wanted = STREAMS
        delays = [passed_on_s(answer, name) for answer in answers]
    else:
        answers, (killed_at, theirs) = await asyncio.gather(streams, kill())
        broken = [answer for answer in answers if not answer.is_complete]
        elsewhere = sum([await mock.requests() for mock in mocks[1:]])
        wanted = STREAMS - theirs
        delays = [answer.ended_at - killed_at for answer in broken]
        found.exactly(f"{name}: streams broken, of those it carried", len(broken), theirs)
        await mocks[0].start()
    what = f"past the commit point, {name}"
    slowest_ms = 1000 * max(delays, default=0.0)
    found.at_most(f"{what}: passed on, slowest of {len(broken)}", slowest_ms, PASS_ON_MAX_MS, "ms")
    found.exactly(f"{what}: run again", elsewhere - wanted, 0)
    found.exactly(f"{what}: not told as they were", sum(not _is_honest(a) for a in broken), 0)


async def _return(
    relay: Relay, mocks: list[Mock], fault: str, away_s: float
) -> tuple[list[Answer], float]:
    """All answers, and the time from its return until one of three carries its share."""
    watch_s = 2 * OPEN_MAX_S + SHARE_WINDOW_S + 2.0
    ends_at = time.monotonic() + 2.0 + away_s + watch_s

    async def send(lane: int) -> Answer:
        prompt = f"lane {lane} demo:deltas=2 demo:gap_ms=20"
        # A conversation of its own: those that moved away stay where their cache is now.
        session = f"s-{lane}-{time.monotonic():.6f}"
        return await ask(relay.port, message(prompt, session=session))

    async def interfere() -> tuple[float, list[tuple[float, int, int]]]:
        await asyncio.sleep(2.0)
        await _away(mocks[0], fault)
        await asyncio.sleep(away_s)
        await _back(mocks[0], fault)
        returned_at = time.monotonic()
        samples = []
        while (now := time.monotonic()) < ends_at:
            first, *others = [await mock.requests() for mock in mocks]
            samples.append((now, first, first + sum(others)))
            await asyncio.sleep(0.1)
        return returned_at, samples

    lanes = load.lanes(30, send, ends_at=ends_at, pause_s=0.15, start_s=0.5)
    answers, (returned_at, samples) = await asyncio.gather(lanes, interfere())
    return answers, carries_from(samples) - returned_at


async def _away(mock: Mock, fault: str) -> None:
    if fault:
        await mock.fault(fault)
    else:
        mock.kill()


async def _back(mock: Mock, fault: str) -> None:
    if fault:
        await mock.fault("none")
    else:
        await mock.start()


# ---- what came of it


def passed_on_s(answer: Answer, name: str) -> float:
    """How long what happened to a stream at its provider took to reach its client, at most.

    Measured from the last event before it; the provider breaks off right after that one, or, when
    it falls silent, the relay gives up `IDLE_S` later.
    """
    told_at = answer.came_at(b"event: error") or answer.ended_at
    earlier = [at for at, _ in answer.reads if at < told_at]
    since_s = told_at - (earlier[-1] if earlier else told_at)
    return max(0.0, since_s - IDLE_S) if name == "stall" else since_s


def carries_from(samples: Iterable[tuple[float, int, int]]) -> float:
    """The first instant from which one of three carries its share; inf: never.

    Args:
        samples: instant, requests it has carried so far, requests all have carried.
    """
    known = list(samples)
    for at, own, total in known:
        later = next((s for s in known if s[0] >= at + SHARE_WINDOW_S), None)
        if later is None:
            break
        carried, among = later[1] - own, later[2] - total
        if among and carried / among >= SHARE_LEAST / PROVIDERS:
            return at
    return float("inf")


def _is_honest(answer: Answer) -> bool:
    """Whether it holds what came from the provider, in order, and no ending that did not."""
    return (
        answer.status == 200
        and answer.has_content
        and answer.is_in_order
        and b"event: message_stop" not in answer.body
    )


async def _mocks(stage: Stage) -> list[Mock]:
    return [await stage.mock(f"p{n}", "--gap-ms", "100") for n in range(1, PROVIDERS + 1)]


def _fresh_relay(stage: Stage, name: str, mocks: list[Mock]) -> AbstractAsyncContextManager[Relay]:
    """A relay that knows of no failure yet."""
    return relaying(
        stage,
        name,
        routing={"timeouts": TIMEOUTS},
        health=HEALTH,
        providers=[provider(mock) for mock in mocks],
    )
