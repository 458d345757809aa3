"""A pool whose workers are sleeping processes; the test writes their messages."""

import asyncio
import socket
import sys

import pytest

from ccrelay.config.model import Config, Key, Provider
from ccrelay.runtime import worker_pool as module
from ccrelay.runtime.control import (
    Drained,
    Failed,
    Ready,
    Reloaded,
    ReloadFailed,
    StatsReply,
    encode,
)
from ccrelay.runtime.memory import MemoryAllocator
from ccrelay.runtime.processes import WorkerProcess, spawn_worker
from ccrelay.runtime.worker_pool import UNANSWERED_MAX, ConfigSnapshot, WorkerPool

pytestmark = pytest.mark.process

OLD = Config(providers=[Provider(name="old", keys=[Key(key="test-key-1")])])
NEW = Config(providers=[Provider(name="new", keys=[Key(key="test-key-1")])])
SLEEPER = (sys.executable, "-S", "-c", "import time; time.sleep(60)")


class Log:
    def __init__(self):
        self.events = []

    def event(self, level, name, **fields):
        self.events.append((name, fields))

    def exchange(self, record):
        pass

    def named(self, name):
        return [fields for event, fields in self.events if event == name]


class Rig:
    """A pool, and for each of its workers the other end of the control channel."""

    def __init__(self):
        self.memory = MemoryAllocator.create(OLD)
        self.log = Log()
        self.pool = WorkerPool(
            ConfigSnapshot(OLD, self.memory.assign_layout(OLD)), self.memory, self.log, lambda: None
        )
        self.ends = {}
        self.monitoring = []

    def spawn(self, slot=0):
        ours, theirs = socket.socketpair()

        def start_process():
            sleeper = spawn_worker(SLEEPER)
            sleeper.control.close()
            return WorkerProcess(sleeper.pid, ours)

        worker = self.pool.spawn(slot, start_process, [])
        self.ends[worker] = theirs
        self.monitoring.append(asyncio.ensure_future(self.pool.monitor(worker)))
        return worker

    def say(self, worker, *messages):
        self.ends[worker].sendall(b"".join(map(encode, messages)))

    async def end(self):
        for worker in list(self.pool.workers):
            worker.process.kill()
            self.ends[worker].close()
        async with asyncio.timeout(20):
            while self.pool.workers:
                self.pool.reap()
                await asyncio.sleep(0.01)
        await asyncio.gather(*self.monitoring)
        for end in self.ends.values():
            end.close()
        self.memory.close()


def run(scenario):
    async def running():
        rig = Rig()
        try:
            await scenario(rig)
        finally:
            await rig.end()

    asyncio.run(asyncio.wait_for(running(), 30))


async def until(question):
    async with asyncio.timeout(20):
        while not question():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_a_slot_is_ready_from_ready_until_its_worker_drains():
    async def scenario(rig):
        worker = rig.spawn()
        assert rig.pool.slots_ready() == 0
        rig.say(worker, Ready())
        await until(lambda: rig.pool.slots_ready() == 1)
        rig.pool.drain([worker], 60.0)
        assert rig.pool.slots_ready() == 0
        assert worker.slot_free.is_set()

    run(scenario)


def test_reload_returns_failed_workers_and_replaces_the_snapshot():
    async def scenario(rig):
        fine, failing = rig.spawn(0), rig.spawn(1)
        rig.say(fine, Ready(), Reloaded())
        rig.say(failing, Ready(), ReloadFailed("it cannot"))
        snapshot = ConfigSnapshot(NEW, rig.memory.assign_layout(NEW))
        assert await rig.pool.reload(snapshot) == {failing: "it cannot"}
        assert rig.pool.snapshot is snapshot

    run(scenario)


def test_reload_fails_for_a_silent_worker_but_not_for_one_that_exits(monkeypatch):
    monkeypatch.setattr(module, "RELOAD_TIMEOUT_S", 0.3)

    async def scenario(rig):
        silent, dying = rig.spawn(0), rig.spawn(1)
        dying.process.kill()
        rig.ends[dying].close()
        asyncio.get_running_loop().call_later(0.1, rig.pool.reap)
        failed = await rig.pool.reload(ConfigSnapshot(NEW, rig.memory.assign_layout(NEW)))
        assert failed == {silent: "no reply within 0.3 s"}

    run(scenario)


def test_wait_for_exits_returns_when_the_exiting_worker_is_reaped():
    async def scenario(rig):
        staying, exiting = rig.spawn(0), rig.spawn(1)
        await asyncio.wait_for(rig.pool.wait_for_exits(), 1.0)
        rig.ends[exiting].close()  # its channel is closed, its process goes on
        await until(lambda: exiting.is_exiting)
        waiting = asyncio.ensure_future(rig.pool.wait_for_exits())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        exiting.process.kill()
        await until(lambda: rig.pool.reap() or waiting.done())
        assert rig.pool.workers == {staying}

    run(scenario)


def test_draining_workers_are_not_reloaded():
    async def scenario(rig):
        rig.pool.drain([rig.spawn()], 60.0)
        assert await rig.pool.reload(ConfigSnapshot(NEW, rig.memory.assign_layout(NEW))) == {}

    run(scenario)


def test_a_worker_that_violates_the_protocol_is_killed():
    async def scenario(rig):
        worker = rig.spawn()
        rig.ends[worker].sendall(b"\0\0\0\1\xc1")
        await until(lambda: rig.log.named("worker_protocol_error"))
        await until(lambda: rig.pool.reap() or not rig.pool.workers)
        assert rig.log.named("worker_died")[0]["exit_status"] == "killed by SIGKILL"

    run(scenario)


def test_error_and_cut_count_are_kept_after_exit():
    async def scenario(rig):
        worker = rig.spawn()
        rig.say(worker, Failed("no luck", "detail"), Drained(3))
        await until(lambda: worker.cut == 3)
        assert worker.exit_report()[:2] == ("no luck", False)

    run(scenario)


def test_stats_leave_out_workers_that_are_not_ready():
    async def scenario(rig):
        worker, _ = rig.spawn(0), rig.spawn(1)
        rig.say(worker, Ready())
        await until(lambda: worker.is_ready)
        asking = asyncio.ensure_future(rig.pool.stats())
        await asyncio.sleep(0)
        rig.say(worker, StatsReply({"open": 2}))
        assert await asking == [{"open": 2}]

    run(scenario)


def test_exchanges_under_way_are_those_of_workers_that_answer(monkeypatch):
    monkeypatch.setattr("ccrelay.runtime.worker_pool.RUNNING_TIMEOUT_S", 0.05)

    async def scenario(rig):
        workers = [rig.spawn(slot) for slot in range(2)]
        for worker in workers:
            rig.say(worker, Ready())
        await until(lambda: all(worker.is_ready for worker in workers))
        for _ in range(UNANSWERED_MAX + 2):
            asking = asyncio.ensure_future(rig.pool.running(500))
            await asyncio.sleep(0)
            rig.say(workers[0], StatsReply({}, {}, b"told"))
            assert await asking == [b"told"]
        # One that hangs is not asked for ever.
        assert len(workers[0].pending_stats) == 0
        assert len(workers[1].pending_stats) == UNANSWERED_MAX
        rig.say(workers[1], *[StatsReply({}, {}, b"late")] * UNANSWERED_MAX)
        await until(lambda: not workers[1].pending_stats)
        asking = asyncio.ensure_future(rig.pool.running(500))
        await asyncio.sleep(0)
        rig.ends[workers[1]].close()  # it dies meanwhile
        rig.say(workers[0], StatsReply({}, {}, b"told"))
        assert await asking == [b"told"]

    run(scenario)


def test_a_worker_of_an_older_version_tells_nothing_and_is_not_harmed():
    async def scenario(rig):
        worker = rig.spawn()
        rig.say(worker, Ready())
        await until(lambda: worker.is_ready)
        asking = asyncio.ensure_future(rig.pool.running(500))
        await asyncio.sleep(0)
        rig.say(worker, StatsReply({"open": 1}))
        assert await asking == []
        assert worker.error is None

    run(scenario)


def test_spawn_needs_a_free_column_and_releases_it_when_the_process_cannot_start():
    async def scenario(rig):
        def no_process():
            raise OSError("no process left")

        for _ in range(2 * rig.memory.memory.workers):
            with pytest.raises(OSError, match="no process left"):
                rig.pool.spawn(0, no_process, [])
        while rig.memory.acquire_column() is not None:
            pass
        with pytest.raises(OSError, match="too many workers are still draining"):
            rig.pool.spawn(0, no_process, [])

    run(scenario)
