"""What the supervisor tells is taken over at once."""

import asyncio
from typing import Any

import msgspec

from ccrelay.config.fingerprint import fingerprint
from ccrelay.config.overrides import Override, apply_overrides
from ccrelay.manager.state import RelayState
from ccrelay.runtime.manager_link import (
    ConfigChanged,
    ManagerStart,
    ReloadProblem,
    WorkerInfo,
    WorkersChanged,
)
from ccrelay.v1 import relay_pb2 as v1
from tests.unit.manager.worlds import World


def made(**values: Any) -> tuple[RelayState, World]:
    world = World()
    start = ManagerStart(
        config=world.config,
        layout=world.layout,
        listen=[],
        config_file="/c.yaml",
        pid=1,
        started_at_ms=2,
        restarts=3,
        fingerprint_key=b"",
        socket="",
        http_listen="127.0.0.1:1",
        workers=[],
        overrides=[],
    )
    start = msgspec.structs.replace(start, **values)
    state = RelayState(start, world.memory, world.clock, world.facts, v1.Ledger)
    return state, world


def test_another_configuration() -> None:
    async def main() -> None:
        state, world = made(reload_problem="it broke")
        overrides = [
            Override("one", "", "enabled", 0, 9),
            Override("one", fingerprint("k-a"), "weight", 5, 9),
        ]
        config = apply_overrides(world.config, overrides)
        state.on_message(
            ConfigChanged(
                config, world.layout, overrides, "file", ["w", "c.yaml:1:2: warning: x: y"]
            )
        )
        assert state.reload_problem == ""
        assert state.remarks() == ["w"]
        state.on_message(ConfigChanged(config, world.layout, overrides, "override", []))
        assert state.remarks() == ["w"]
        state.text_problem = "Revisions are not kept."
        assert state.remarks() == ["w", "Revisions are not kept."]
        one = state.provider("one")
        assert one is not None
        assert not one.enabled
        assert [override.id for override in one.overrides] == ["one.enabled"]
        assert [override.id for override in one.keys[0].overrides] == ["one/a.weight"]
        assert one.keys[0].weight == 5
        assert state.provider("gone") is None

    asyncio.run(main())


def test_life_follows_from_the_workers() -> None:
    async def main() -> None:
        state, _ = made()
        assert state.life() == v1.Status.STATE_STARTING

        def told(*states: Any) -> int:
            workers = [WorkerInfo(n, n + 9, n, one, 0) for n, one in enumerate(states)]
            state.on_message(WorkersChanged(workers))
            return state.life()

        assert told("starting", "serving") == v1.Status.STATE_STARTING
        assert told("serving", "serving") == v1.Status.STATE_SERVING
        assert told("serving", "draining") == v1.Status.STATE_SERVING  # a reload or an upgrade
        assert told("draining", "draining") == v1.Status.STATE_DRAINING
        assert told("draining") == v1.Status.STATE_DRAINING

    asyncio.run(main())


def test_a_worker_that_is_replaced_does_not_drain_the_relay() -> None:
    async def main() -> None:
        state, _ = made()
        state.on_message(WorkersChanged([WorkerInfo(0, 9, 0, "draining", 0)]))
        state.on_message(WorkersChanged([WorkerInfo(0, 10, 0, "serving", 0)]))
        assert state.life() == v1.Status.STATE_SERVING

    asyncio.run(main())


def test_waiting_for_a_message() -> None:
    async def main() -> None:
        state, _ = made()
        assert not await state.until(lambda: state.reload_problem == "x", 0.05)
        waiting = asyncio.ensure_future(state.until(lambda: state.reload_problem == "x", 5))
        await asyncio.sleep(0)
        state.on_message(WorkersChanged([]))
        await asyncio.sleep(0)
        state.on_message(ReloadProblem("x"))
        assert await waiting

    asyncio.run(main())
