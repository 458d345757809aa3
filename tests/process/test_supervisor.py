"""The supervisor with real processes, signals and sockets; the Relay is a fake."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from ccrelay.config.model import Config, Key, Provider, Server, ServerTimeouts
from ccrelay.runtime import listeners
from ccrelay.runtime.crew import Snapshot
from ccrelay.runtime.memory import Memory
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.processes import Recruits
from ccrelay.runtime.supervisor import Supervisor, WorkersFailed
from ccrelay.runtime.upgrade import Estate
from tests.process.running import PATIENCE_S, ROOT, eventually, is_alive, is_refused, provider

pytestmark = pytest.mark.process

FAKE_WORKER = str(Path(__file__).with_name("fake_worker.py"))


def test_every_slot_serves_once_ready_is_said(start):
    running = start(workers=2)
    pids = running.pids(2)
    assert len(pids) == 2
    eventually(lambda: pids == {event["pid"] for event in running.events("worker_ready")})


def test_a_worker_that_crashes_is_replaced_while_the_other_serves(start):
    running = start(workers=2)
    before = running.pids(2)
    died_at = time.monotonic()
    with running.connect("die") as connection, contextlib.suppress(ConnectionError):
        assert connection.recv(100) == b""
    # Connections dealt to the empty slot wait in its queue: none is refused or lost.
    after: set[int] = set()
    while not after - before:
        after.add(int(running.ask("pid")))
    took_s = time.monotonic() - died_at
    assert len(after & before) <= 1
    assert took_s < 3.0, "the first replacement starts at once (0.2 s on an idle machine)"
    died = running.await_event("worker_died")
    assert died["how"] == "killed by SIGKILL"
    assert len(running.pids(2)) == 2


def test_a_worker_sent_sigterm_drains_while_its_slot_is_filled_again(start):
    running = start()
    with running.connect("hold 1.5") as held:
        old = int(running.ask("pid"))
        os.kill(old, signal.SIGTERM)
        running.await_event("worker_leaving")
        assert int(running.ask("pid")) != old
        assert int(held.recv(100)) == old
    assert running.await_event("worker_gone")["pid"] == old


def test_sigterm_lets_a_running_exchange_finish_and_refuses_new_ones(start):
    running = start(workers=2)
    with running.connect("hold 1") as held:
        running.ask("pid")
        running.send(signal.SIGTERM)
        running.await_event("draining")
        eventually(lambda: is_refused(running.address))
        assert held.recv(100)
    assert running.wait() == 0
    assert {event["how"] for event in running.events("worker_gone")} == {"exit code 0"}


def test_the_drain_limit_cuts_what_still_runs_and_the_end_is_clean(start):
    running = start(drain_s=0.2)
    with running.connect("hold 600"):
        running.ask("pid")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert [event["cut"] for event in running.events("worker_gone")] == [1]


def test_a_second_signal_ends_at_once_with_1(start):
    running = start(drain_s=600)
    with running.connect("hold 600"):
        running.ask("pid")
        running.send(signal.SIGTERM)
        running.await_event("draining")
        running.send(signal.SIGINT)
        assert running.wait() == 1


def test_ctrl_c_reaches_the_whole_group_and_is_a_drain(start):
    running = start()
    with running.connect("hold 0.5") as held:
        running.ask("pid")
        os.killpg(running.process.pid, signal.SIGINT)
        assert held.recv(100)
    assert running.wait() == 0


def test_workers_end_when_the_supervisor_is_killed(start):
    running = start(workers=2)
    pids = running.pids(2)
    running.send(signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, pids)))


def test_a_relay_that_cannot_be_built_ends_the_supervisor_with_its_error(start):
    running = start(workers=2, providers=[provider("broken")])
    assert " ".join(running.said) == "failed: RuntimeError: this relay cannot be built"
    assert running.wait() == 1


def test_workers_that_exit_before_they_are_ready_end_the_supervisor(start):
    running = start(arguments=["--exit-at-once"])
    assert " ".join(running.said) == "failed: a worker could not start: exit code 7"
    assert running.wait() == 1
    assert len(running.events("worker_died")) == 5


def test_a_worker_program_that_is_not_there_ends_the_supervisor():
    with pytest.raises(WorkersFailed, match="No such file"):
        asyncio.run(asyncio.wait_for(_run_without_a_program(), PATIENCE_S))


async def _run_without_a_program() -> None:
    await supervisor(1, ("/no/such/program",), lambda: None).run()


def supervisor(workers, command, on_ready) -> Supervisor:
    server = Server(workers=workers, timeouts=ServerTimeouts(drain_s=1))
    config = Config(server=server, providers=[Provider(name="zai", keys=[Key(key="test-key-1")])])
    memory = Memory.create(config)
    snapshot = Snapshot(config, memory.layout(config))
    return Supervisor(
        Estate(snapshot, listeners.bind("127.0.0.1:0", workers), config.server.listen, memory),
        SilentLog(),
        notifier=Notifier({}),
        on_ready=on_ready,
        recruit=Recruits(command).take,
    )


def test_processes_of_one_slot_have_columns_of_their_own_and_give_them_back(start):
    running = start()
    first = running.ask("column")
    with running.connect("hold 0.5"):
        os.kill(int(running.ask("pid")), signal.SIGTERM)
        running.await_event("worker_ready", 2)
        assert running.ask("column") != first
    assert running.await_event("worker_gone")["returned"] == 0
    os.kill(int(running.ask("pid")), signal.SIGTERM)
    running.await_event("worker_ready", 3)
    assert running.ask("column") == first


def test_no_secret_reaches_a_worker_environment_or_command_line(start):
    env = {
        "ZAI_API_KEY": "test-key-1",
        "MY_OWN_NAME_FOR_IT": "test-key-1",
        "CCRELAY_RELAY_TOKEN": "test-key-1",
        "CCRELAY_CONFIG": "test-key-1",
        "CCRELAY_DEBUG": "1",
    }
    keys = [Key(key="test-key-1")]
    running = start(env=env, providers=[Provider(name="zai", type="zai", keys=keys)])
    assert set(env) & set(running.ask("env").split(",")) == {"CCRELAY_DEBUG"}
    if sys.platform == "linux":
        worker = Path("/proc", running.ask("pid"))
        for file in ("environ", "cmdline"):
            assert b"test-key-1" not in (worker / file).read_bytes()


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_the_service_manager_is_told_ready_and_stopping(start, tmp_path, kind):
    if kind == "abstract" and sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    name = f"@ccrelay-test-{os.getpid()}" if kind == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1) if kind == "abstract" else name)
        manager.settimeout(PATIENCE_S)
        running = start(env={"NOTIFY_SOCKET": name})
        assert manager.recv(1000) == b"READY=1"
        assert manager.recv(1000) == b"STATUS=1 of 1 workers ready"
        assert "NOTIFY_SOCKET" not in running.ask("env").split(",")
        running.send(signal.SIGTERM)
        assert manager.recv(1000) == b"STOPPING=1\nSTATUS=drain"
        assert running.wait() == 0


async def _signal_at_a_demo(number: signal.Signals, event: str) -> dict[str, object]:
    ready = asyncio.Event()
    running = supervisor(1, (sys.executable, FAKE_WORKER), ready.set)  # as the demo: no source
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(running.run())
        await ready.wait()
        os.kill(os.getpid(), number)
        while not running._log.told(event):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        running.stop()
    return running._log.told(event)[0]


@pytest.mark.parametrize(
    ("number", "event", "why"),
    [
        (signal.SIGHUP, "nothing_to_reload", "there is no configuration file"),
        (signal.SIGUSR2, "nothing_to_upgrade", "the demo ends with its process"),
    ],
)
def test_the_demo_has_nothing_to_reload_or_to_upgrade(monkeypatch, number, event, why):
    monkeypatch.setenv("PYTHONPATH", ROOT)
    told = asyncio.run(asyncio.wait_for(_signal_at_a_demo(number, event), PATIENCE_S))
    assert told == {"why": why}


class SilentLog:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append((name, fields))

    def told(self, name: str) -> list[dict[str, object]]:
        return [fields for event, fields in self.events if event == name]

    def exchange(self, record: dict[str, object]) -> None:
        pass


async def _stats_of_two_workers() -> list[dict[str, int]]:
    ready = asyncio.Event()
    running = supervisor(2, (sys.executable, FAKE_WORKER), ready.set)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(running.run())
        await ready.wait()
        try:
            return await running.stats()
        finally:
            running.stop()


def test_counters_come_from_every_worker(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ROOT)
    stats = asyncio.run(asyncio.wait_for(_stats_of_two_workers(), PATIENCE_S))
    assert sorted(reply["worker"] for reply in stats) == [0, 1]
