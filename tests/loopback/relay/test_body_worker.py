"""Work on large bodies: whose turn it is, what is refused, and how it ends."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ccrelay.errors import BadRequest, NoTarget, RelayError
from ccrelay.relay.body_worker import WAITING_CLIENT_MAX, WAITING_MAX, BodyWorker
from tests.loopback.relay.harness import eventually


class Desk:
    """A worker whose first job waits for `gate`, and what the others did."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.begun: list[object] = []
        self.done: list[tuple[object, Any, RelayError | None]] = []
        self.gate = threading.Event()
        self.worker = BodyWorker(
            asyncio.get_running_loop(), lambda name, error: self.failures.append(repr(error))
        )
        self.put("held", 0, lambda: self.gate.wait(5.0))

    def put(
        self,
        name: object,
        client: int = 1,
        job: Callable[[], Any] | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        def begin() -> Callable[[], Any]:
            self.begun.append(name)
            return job or (lambda: name)

        self.worker.run(client, begin, lambda *how: self.done.append((name, *how)), timeout_s)

    async def rest(self) -> list[object]:
        """Let all go on; the jobs in the order in which they began."""
        self.gate.set()
        await eventually(lambda: len(self.worker) == 0)
        return self.begun[1:]


async def test_results_come_back_in_the_loop_and_not_at_once(runner: object) -> None:
    desk = Desk()
    desk.put("a", job=threading.get_ident)
    assert desk.done == []
    await desk.rest()
    assert [name for name, _, _ in desk.done] == ["held", "a"]
    assert desk.done[1][1] != threading.get_ident()


async def test_one_job_runs_at_a_time_and_bodies_that_wait_are_not_touched(runner: object) -> None:
    desk = Desk()
    desk.put("a")
    await asyncio.sleep(0.02)
    assert desk.begun == ["held"]
    await desk.rest()


async def test_clients_take_turns(runner: object) -> None:
    desk = Desk()
    for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
        desk.put(name, ord(name[0]))
    assert await desk.rest() == ["a1", "b1", "c1", "a2", "b2", "a3"]


async def test_a_client_cannot_fill_it(runner: object) -> None:
    desk = Desk()
    for n in range(WAITING_CLIENT_MAX):
        desk.put(n)
    with pytest.raises(NoTarget, match="too many large request bodies"):
        desk.put("surplus")
    desk.put("another's", 2)
    assert (await desk.rest())[:2] == [0, "another's"]


async def test_it_has_a_bound_for_all_clients(runner: object) -> None:
    desk = Desk()
    for n in range(WAITING_MAX):
        desk.put(n, client=n)
    with pytest.raises(NoTarget) as refused:
        desk.put("surplus", client=9999)
    assert (refused.value.status, refused.value.retry_after_s) == (529, 1)
    await desk.rest()


async def test_one_that_waits_for_too_long_is_told_and_the_others_go_on(runner: object) -> None:
    desk = Desk()
    desk.put("late", 1, timeout_s=0.02)
    desk.put("later", 2, timeout_s=0.04)
    desk.put("patient", 1)
    await asyncio.sleep(0.1)
    assert [(name, error is not None) for name, _, error in desk.done] == [
        ("late", True),
        ("later", True),
    ]
    assert await desk.rest() == ["patient"]


async def test_errors_for_the_client_are_passed_on_and_others_are_reported(runner: object) -> None:
    desk = Desk()

    def bad() -> None:
        raise BadRequest("no")

    def broken() -> None:
        raise ValueError("a bug")

    desk.put("bad", job=bad)
    desk.put("broken", job=broken)
    desk.put("good")
    await desk.rest()
    errors = [error.status if error is not None else None for _, _, error in desk.done]
    assert errors == [None, 400, 500, None]
    assert desk.failures == ["ValueError('a bug')"]


async def test_one_that_nobody_waits_for_is_not_begun_and_one_that_cannot_is_told(
    runner: object,
) -> None:
    desk = Desk()
    told: list[Any] = []

    def full() -> Any:
        raise NoTarget("no memory")

    desk.worker.run(1, lambda: None, lambda *how: told.append(how), 5.0)
    desk.worker.run(1, full, lambda *how: told.append(how), 5.0)
    desk.put("good")
    assert await desk.rest() == ["good"]
    assert [error.message for _, error in told] == ["no memory"]


async def test_nothing_comes_back_after_it_is_closed(runner: object) -> None:
    desk = Desk()
    desk.put("a")
    desk.worker.close()
    desk.gate.set()
    await asyncio.sleep(0.05)
    assert desk.done == []
