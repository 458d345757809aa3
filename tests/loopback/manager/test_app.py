"""The App as a whole: it starts, serves, and ends without leaving anything."""

import asyncio
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ccrelay.manager.app import Served
from ccrelay.runtime.manager_link import ToManager, WorkersChanged
from ccrelay.v1 import providers_pb2, relay_pb2 as v1
from tests.loopback.manager.rig import NoBooks, rig, run


class Books(NoBooks):
    """A ledger that knows one key, and what became of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    @property
    def sums(self) -> Any:  # type: ignore[override]
        return self

    async def totals(self, since_ms: int) -> Mapping[tuple[str, str], providers_pb2.Totals]:
        from ccrelay.config.fingerprint import fingerprint

        return {("one", fingerprint("sk-test-a")): providers_pb2.Totals(exchanges=418)}

    def state(self) -> v1.Ledger:
        return v1.Ledger(state=v1.Ledger.STATE_FAILING, problem="The disk is full: free space.")

    def services(self, running: Any) -> Sequence[Served]:
        return ()

    async def start(self) -> None:
        self.calls.append("start")

    def on_message(self, message: ToManager) -> None:
        self.calls.append(type(message).__name__)

    async def close(self) -> None:
        self.calls.append("close")


def test_the_ledger_is_part_of_the_status(tmp_path: Path) -> None:
    books = Books()

    async def main() -> v1.Status:
        async with rig(tmp_path, books=books) as made:
            made.app.on_message(WorkersChanged([]))
            return (await made.relay.GetStatus(v1.GetStatusRequest())).status  # type: ignore[no-any-return]

    status = run(main())
    assert status.today.exchanges == 418
    assert status.providers[0].keys[0].today.exchanges == 418
    assert status.management.ledger.state == v1.Ledger.STATE_FAILING
    assert status.notices[0].subject == "ledger"
    assert books.calls[:2] == ["start", "WorkersChanged"]
    assert books.calls[-1] == "close"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            call = made.relay.WatchStatus(v1.WatchStatusRequest())
            await call.read()
            await made.relay.GetStatus(v1.GetStatusRequest())
        # The watcher was still there when the doors were closed.

    run(main())
    tasks_before = threading.active_count()
    count = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        run(main())
    assert len(os.listdir("/proc/self/fd")) <= count + 2
    assert threading.active_count() <= tasks_before + 2


def test_the_clients_of_two_doors_see_one_state(tmp_path: Path) -> None:
    async def main() -> None:
        async with rig(tmp_path) as made:
            request = providers_pb2.SetEnabledRequest(provider="two", enabled=False)
            call = made.relay.WatchStatus(v1.WatchStatusRequest())
            await call.read()
            await made.providers.SetEnabled(request)
            change = await call.read()
            assert [one.name for one in change.status.providers] == ["two"]
            assert any(notice.subject == "overrides" for notice in change.status.notices)
            call.cancel()

    run(main())


def test_a_worker_that_hammers_the_memory_disturbs_no_watcher(tmp_path: Path) -> None:
    async def main() -> int:
        async with rig(tmp_path) as made:
            limits = made.worker("two").targets[0].limits
            call = made.relay.WatchStatus(v1.WatchStatusRequest(interval_ms=1))
            await call.read()
            received = 0
            loop = asyncio.get_running_loop()
            ends_at = loop.time() + 1.5
            held = []
            while loop.time() < ends_at:
                held.append(limits.reserve(loop.time(), 1, 1))
                await asyncio.wait_for(call.read(), 5)
                received += 1
            call.cancel()
            return received

    assert 5 <= run(main()) <= 17  # ten a second, whatever the client asks for
