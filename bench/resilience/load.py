"""Load: when requests are offered, and lanes that send one after another."""

import asyncio
import contextlib
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from bench.resilience.client import Answer

LATENESS_STEP_S = 0.005

Send = Callable[[int], Awaitable[Answer]]
"""Sends the n-th request."""


def bursts(rate_per_minute: float, burst: int, seconds: float) -> list[float]:
    """Seconds after the start at which requests are offered: `burst` at once, as often as needed.

    The last burst that would come after `seconds` is left out.
    """
    every_s = burst * 60 / rate_per_minute
    count = math.ceil(seconds / every_s)
    return [number * every_s for number in range(count) for _ in range(burst)]


def sizes(least: int, most: int, dice: random.Random) -> int:
    """A size between two bounds; every order of magnitude is equally likely."""
    return round(math.exp(dice.uniform(math.log(least), math.log(most))))


async def offer(
    offsets: list[float], send: Send, *, begins_at: float, ends_at: float = math.inf
) -> list[Answer]:
    """Send whether or not earlier requests are answered; what is not at `ends_at` is left.

    Args:
        offsets: seconds after `begins_at`, ascending.
        send: called with 0, 1, 2 ...
        begins_at: monotonic seconds.
        ends_at: monotonic seconds; answers that are not there by then are not in the result.
    """
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[Answer]] = []
        for number, offset in enumerate(offsets):
            await _sleep_until(begins_at + offset)
            tasks.append(group.create_task(_awaited(send, number)))
        if math.isinf(ends_at):
            await asyncio.wait(tasks)
        else:
            await _sleep_until(ends_at)
            for task in tasks:
                task.cancel()
    return [task.result() for task in tasks if not task.cancelled()]


async def lanes(
    count: int, send: Send, *, ends_at: float, pause_s: float = 0.0, start_s: float = 0.0
) -> list[Answer]:
    """Lanes that send one request after another; none is begun after `ends_at`, all are answered.

    Args:
        count: how many at once.
        send: called with the number of the lane.
        ends_at: monotonic seconds.
        pause_s: between an answer and the next request of a lane.
        start_s: the lanes begin spread over this time, so that they do not march in step.
    """
    answers: list[Answer] = []

    async def lane(number: int) -> None:
        await asyncio.sleep(start_s * number / count)
        while time.monotonic() < ends_at:
            answers.append(await send(number))
            await asyncio.sleep(pause_s)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(lane(number))
    return answers


class Lateness:
    """How late the bench itself was: figures are no better than that."""

    def __init__(self) -> None:
        self.worst_s = 0.0

    async def watch(self) -> None:
        """Watch until cancelled."""
        while True:
            due_at = time.monotonic() + LATENESS_STEP_S
            await asyncio.sleep(LATENESS_STEP_S)
            self.worst_s = max(self.worst_s, time.monotonic() - due_at)


@contextlib.asynccontextmanager
async def lateness() -> AsyncIterator[Lateness]:
    """Watch how late the event loop is meanwhile."""
    found = Lateness()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(found.watch())
        yield found
        task.cancel()


async def _awaited(send: Send, number: int) -> Answer:
    return await send(number)


async def _sleep_until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - time.monotonic()))
