"""A crew whose workers are sleeping processes; the test speaks for them."""

import asyncio
import socket
import sys

import pytest

from ccrelay.config.model import Config, Key, Provider
from ccrelay.runtime import crew as module
from ccrelay.runtime.control import (
    Drained,
    Failed,
    Ready,
    Reloaded,
    ReloadFailed,
    StatsReply,
    encode,
)
from ccrelay.runtime.crew import Crew, Snapshot
from ccrelay.runtime.memory import Memory
from ccrelay.runtime.processes import WorkerProcess, spawn

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

    def told(self, name):
        return [fields for event, fields in self.events if event == name]


class Rig:
    """A crew, and for each of its workers the far end of the control channel."""

    def __init__(self):
        self.memory = Memory.create(OLD)
        self.log = Log()
        self.crew = Crew(
            Snapshot(OLD, self.memory.layout(OLD)), self.memory, self.log, lambda: None
        )
        self.ends = {}
        self.attending = []

    def hire(self, slot=0):
        ours, theirs = socket.socketpair()

        def recruit():
            sleeper = spawn(SLEEPER)
            sleeper.control.close()
            return WorkerProcess(sleeper.pid, ours)

        member = self.crew.hire(slot, recruit, [])
        self.ends[member] = theirs
        self.attending.append(asyncio.ensure_future(self.crew.attend(member)))
        return member

    def say(self, member, *messages):
        self.ends[member].sendall(b"".join(map(encode, messages)))

    async def end(self):
        for member in list(self.crew.members):
            member.process.kill()
            self.ends[member].close()
        async with asyncio.timeout(20):
            while self.crew.members:
                self.crew.reap()
                await asyncio.sleep(0.01)
        await asyncio.gather(*self.attending)
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


def test_a_slot_counts_as_served_from_ready_until_its_worker_leaves():
    async def scenario(rig):
        member = rig.hire()
        assert rig.crew.slots_ready() == 0
        rig.say(member, Ready())
        await until(lambda: rig.crew.slots_ready() == 1)
        rig.crew.retire([member], 60.0)
        assert rig.crew.slots_ready() == 0
        assert member.vacated.is_set()

    run(scenario)


def test_a_reload_tells_who_failed_and_newcomers_begin_with_it():
    async def scenario(rig):
        fine, failing = rig.hire(0), rig.hire(1)
        rig.say(fine, Ready(), Reloaded())
        rig.say(failing, Ready(), ReloadFailed("it cannot"))
        snapshot = Snapshot(NEW, rig.memory.layout(NEW))
        assert await rig.crew.reload(snapshot) == {failing: "it cannot"}
        assert rig.crew.snapshot is snapshot

    run(scenario)


def test_one_who_does_not_answer_has_failed_and_one_who_dies_has_not(monkeypatch):
    monkeypatch.setattr(module, "RELOAD_S", 0.3)

    async def scenario(rig):
        silent, dying = rig.hire(0), rig.hire(1)
        dying.process.kill()
        rig.ends[dying].close()
        asyncio.get_running_loop().call_later(0.1, rig.crew.reap)
        failed = await rig.crew.reload(Snapshot(NEW, rig.memory.layout(NEW)))
        assert failed == {silent: "no answer within 0.3 s"}

    run(scenario)


def test_waiting_for_those_who_are_ending_is_over_when_they_are_reaped():
    async def scenario(rig):
        staying, ending = rig.hire(0), rig.hire(1)
        await asyncio.wait_for(rig.crew.settled(), 1.0)
        rig.ends[ending].close()  # its channel is closed, its process goes on
        await until(lambda: ending.is_ending)
        waiting = asyncio.ensure_future(rig.crew.settled())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        ending.process.kill()
        await until(lambda: rig.crew.reap() or waiting.done())
        assert rig.crew.members == {staying}

    run(scenario)


def test_those_who_leave_are_not_asked_to_reload():
    async def scenario(rig):
        rig.crew.retire([rig.hire()], 60.0)
        assert await rig.crew.reload(Snapshot(NEW, rig.memory.layout(NEW))) == {}

    run(scenario)


def test_one_who_sends_what_is_no_message_is_ended():
    async def scenario(rig):
        member = rig.hire()
        rig.ends[member].sendall(b"\0\0\0\1\xc1")
        await until(lambda: rig.log.told("worker_garbled"))
        await until(lambda: rig.crew.reap() or not rig.crew.members)
        assert rig.log.told("worker_died")[0]["how"] == "killed by SIGKILL"

    run(scenario)


def test_what_a_worker_says_before_its_end_is_kept():
    async def scenario(rig):
        member = rig.hire()
        rig.say(member, Failed("no luck", "detail"), Drained(3))
        await until(lambda: member.cut == 3)
        assert member.ending()[:2] == ("no luck", False)

    run(scenario)


def test_counters_of_those_who_answer():
    async def scenario(rig):
        member, _ = rig.hire(0), rig.hire(1)
        rig.say(member, Ready())
        await until(lambda: member.is_ready)
        asking = asyncio.ensure_future(rig.crew.stats())
        await asyncio.sleep(0)
        rig.say(member, StatsReply({"open": 2}))
        assert await asking == [{"open": 2}]

    run(scenario)


def test_without_a_column_nobody_is_hired_and_without_a_process_the_column_is_free_again():
    async def scenario(rig):
        def no_process():
            raise OSError("no process left")

        for _ in range(2 * rig.memory.memory.workers):
            with pytest.raises(OSError, match="no process left"):
                rig.crew.hire(0, no_process, [])
        while rig.memory.take_column() is not None:
            pass
        with pytest.raises(OSError, match="too many workers are still finishing"):
            rig.crew.hire(0, no_process, [])

    run(scenario)
