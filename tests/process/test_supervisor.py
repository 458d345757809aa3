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
from ccrelay.runtime.memory import MemoryAllocator
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.processes import PreforkedWorkers
from ccrelay.runtime.supervisor import Supervisor, WorkersFailed
from ccrelay.runtime.upgrade import HandoverState
from ccrelay.runtime.worker_pool import ConfigSnapshot
from tests.process.running import PATIENCE_S, ROOT, eventually, is_refused, provider

pytestmark = pytest.mark.process

FAKE_WORKER = str(Path(__file__).with_name("fake_worker.py"))


def test_every_slot_serves_after_ready(start):
    running = start(workers=2)
    pids = running.pids(2)
    assert len(pids) == 2
    eventually(lambda: pids == {event["pid"] for event in running.events("worker_ready")})


def test_a_crashed_worker_is_replaced_while_the_other_serves(start):
    running = start(workers=2)
    before = running.pids(2)
    died_at = time.monotonic()
    with running.connect("die") as connection, contextlib.suppress(ConnectionError):
        assert connection.recv(100) == b""
    # Connections to the empty slot stay in its accept queue: none is refused or lost.
    after: set[int] = set()
    while not after - before:
        after.add(int(running.ask("pid")))
    took_s = time.monotonic() - died_at
    assert len(after & before) <= 1
    assert took_s < 3.0, "the first replacement starts at once (0.2 s on an idle machine)"
    died = running.await_event("worker_died")
    assert died["exit_status"] == "killed by SIGKILL"
    assert len(running.pids(2)) == 2


def test_sigterm_to_a_worker_drains_it_and_refills_its_slot(start):
    running = start()
    with running.connect("hold 1.5") as held:
        old = int(running.ask("pid"))
        os.kill(old, signal.SIGTERM)
        running.await_event("worker_draining")
        assert int(running.ask("pid")) != old
        assert int(held.recv(100)) == old
    assert running.await_event("worker_exited")["pid"] == old


def test_sigterm_drains_running_exchanges_and_refuses_new_connections(start):
    running = start(workers=2)
    with running.connect("hold 1") as held:
        running.ask("pid")
        running.send(signal.SIGTERM)
        running.await_event("draining")
        eventually(lambda: is_refused(running.address))
        assert held.recv(100)
    assert running.wait() == 0
    assert {event["exit_status"] for event in running.events("worker_exited")} == {"exit code 0"}


def test_the_drain_limit_aborts_running_exchanges_with_exit_code_0(start):
    running = start(drain_s=0.2)
    with running.connect("hold 600"):
        running.ask("pid")
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert [event["cut"] for event in running.events("worker_exited")] == [1]


def test_a_second_signal_forces_shutdown_with_exit_code_1(start):
    running = start(drain_s=600)
    with running.connect("hold 600"):
        running.ask("pid")
        running.send(signal.SIGTERM)
        running.await_event("draining")
        running.send(signal.SIGINT)
        assert running.wait() == 1


def test_ctrl_c_to_the_process_group_drains(start):
    running = start()
    with running.connect("hold 0.5") as held:
        running.ask("pid")
        os.killpg(running.process.pid, signal.SIGINT)
        assert held.recv(100)
    assert running.wait() == 0


def test_a_relay_that_fails_to_start_ends_the_supervisor_with_its_error(start):
    running = start(workers=2, providers=[provider("broken")])
    assert " ".join(running.output) == "failed: RuntimeError: this relay cannot be built"
    assert running.wait() == 1


def test_workers_that_exit_before_ready_end_the_supervisor(start):
    running = start(arguments=["--exit-at-once"])
    assert " ".join(running.output) == "failed: a worker could not start: exit code 7"
    assert running.wait() == 1
    assert len(running.events("worker_died")) == 5


def test_a_missing_worker_program_ends_the_supervisor():
    with pytest.raises(WorkersFailed, match="No such file"):
        asyncio.run(asyncio.wait_for(_run_without_a_program(), PATIENCE_S))


async def _run_without_a_program() -> None:
    await supervisor(1, ("/no/such/program",), lambda: None).run()


def supervisor(workers, command, on_ready) -> Supervisor:
    server = Server(workers=workers, timeouts=ServerTimeouts(drain_s=1))
    config = Config(server=server, providers=[Provider(name="zai", keys=[Key(key="test-key-1")])])
    memory = MemoryAllocator.create(config)
    snapshot = ConfigSnapshot(config, memory.assign_layout(config))
    sockets = listeners.bind("127.0.0.1:0", workers)
    return Supervisor(
        HandoverState(snapshot, sockets, config.server.listen, memory),
        RecordingLog(),
        notifier=Notifier({}),
        on_ready=on_ready,
        start_process=PreforkedWorkers(command).spawn,
    )


def test_worker_and_successor_have_separate_columns_and_release_them(start):
    running = start()
    first = running.ask("column")
    with running.connect("hold 0.5"):
        os.kill(int(running.ask("pid")), signal.SIGTERM)
        running.await_event("worker_ready", 2)
        assert running.ask("column") != first
    assert running.await_event("worker_exited")["released"] == 0
    os.kill(int(running.ask("pid")), signal.SIGTERM)
    running.await_event("worker_ready", 3)
    assert running.ask("column") == first


def test_no_secret_in_worker_environment_or_command_line(start):
    env = {
        "ZAI_API_KEY": "test-key-1",
        "MY_OWN_NAME_FOR_IT": "test-key-1",
        "CCRELAY_RELAY_TOKEN": "test-key-1",
        "CCRELAY_MINE": "test-key-1",
        "LC_MINE": "test-key-1",
        "PYTHONMINE": "test-key-1",
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
def test_sd_notify_gets_ready_and_stopping(start, tmp_path, kind):
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
        while not running._log.named(event):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        running.stop()
    return running._log.named(event)[0]


@pytest.mark.parametrize(
    ("number", "event", "reason"),
    [
        (signal.SIGHUP, "reload_unavailable", "there is no configuration file"),
        (signal.SIGUSR2, "upgrade_unavailable", "--demo cannot be upgraded"),
    ],
)
def test_the_demo_cannot_be_reloaded_or_upgraded(monkeypatch, number, event, reason):
    monkeypatch.setenv("PYTHONPATH", ROOT)
    fields = asyncio.run(asyncio.wait_for(_signal_at_a_demo(number, event), PATIENCE_S))
    assert fields == {"reason": reason}


class RecordingLog:
    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append((name, fields))

    def named(self, name: str) -> list[dict[str, object]]:
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


def test_stats_come_from_every_worker(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ROOT)
    stats = asyncio.run(asyncio.wait_for(_stats_of_two_workers(), PATIENCE_S))
    assert sorted(reply["worker"] for reply in stats) == [0, 1]
