"""Blocking calls that are bounded in time and number."""

import asyncio
import threading
import time

import pytest

from ccrelay.credentials import calls as module
from ccrelay.credentials.calls import Calls, TooManyAbandoned


def run(scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_a_call_returns_or_raises():
    async def scenario():
        calls = Calls()
        assert await calls.run(lambda: 5) == 5
        with pytest.raises(KeyError):
            await calls.run({}.popitem)

    run(scenario)


def test_calls_run_beside_each_other_but_not_all_at_once():
    async def scenario():
        calls = Calls(running_max=2)
        most, running, lock = 0, 0, threading.Lock()

        def work():
            nonlocal most, running
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.02)
            with lock:
                running -= 1

        await asyncio.gather(*(calls.run(work) for _ in range(8)))
        assert most == 2

    run(scenario)


def test_a_call_that_never_comes_back_is_given_up_and_blocks_no_other():
    async def scenario():
        calls = Calls(limit_s=0.05, running_max=1)
        release = threading.Event()
        with pytest.raises(TimeoutError):
            await calls.run(lambda: release.wait(20))
        assert calls.abandoned == 1
        assert await calls.run(lambda: 5) == 5
        release.set()
        ends_at = time.monotonic() + 20
        while calls.abandoned:
            assert time.monotonic() < ends_at
            await asyncio.sleep(0.01)

    run(scenario)


def test_a_timeout_of_the_library_is_no_thread_that_is_given_up():
    async def scenario():
        calls = Calls()

        def late():
            raise TimeoutError

        with pytest.raises(TimeoutError):
            await calls.run(late)
        assert calls.abandoned == 0

    run(scenario)


def test_too_many_given_up_end_the_process(monkeypatch):
    monkeypatch.setattr(module, "ABANDONED_MAX", 2)

    async def scenario():
        calls = Calls(limit_s=0.02)
        release = threading.Event()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await calls.run(lambda: release.wait(20))
        with pytest.raises(TooManyAbandoned):
            await calls.run(lambda: 5)
        release.set()

    run(scenario)
