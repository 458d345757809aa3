"""The supervisor with real processes, signals and sockets; the Relay is a fake."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

import ccrelay
from ccrelay.config.model import Config, Key, Logging, Provider, Server, ServerTimeouts
from ccrelay.runtime import listeners
from ccrelay.runtime.notify import Notifier
from ccrelay.runtime.supervisor import Supervisor, WorkersFailed

pytestmark = pytest.mark.process

RUN = str(Path(__file__).with_name("run_supervisor.py"))
FAKE_WORKER = str(Path(__file__).with_name("fake_worker.py"))
ROOT = str(Path(ccrelay.__file__).parents[1])  # of the package under test
PATIENCE_S = 20.0  # a shared machine may be slow; nothing here waits that long when all is well


class Running:
    """One supervisor process, its workers and its log."""

    def __init__(self, log: Path, *, workers: int = 1, drain_s: float = 10.0, **how: object):
        self.log = log
        timeouts = ServerTimeouts(drain_s=drain_s)
        config = Config(
            server=Server(workers=workers, timeouts=timeouts),
            providers=how.get("providers", []),
            logging=Logging(level="debug", format="json", file=str(log)),
        )
        command = [sys.executable, RUN, "127.0.0.1:0", msgspec.json.encode(config).decode()]
        self.process = subprocess.Popen(
            [*command, *how.get("arguments", ())],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": ROOT, **how.get("env", {})},
        )
        self.said = self.process.stdout.readline().split()

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.said[0].rpartition(":")
        return host, int(port)

    def connect(self, words: str) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=PATIENCE_S)
        connection.sendall(words.encode())
        return connection

    def ask(self, words: str) -> str:
        with self.connect(words) as connection:
            return connection.recv(10_000).decode()

    def pids(self, count: int) -> set[int]:
        """Ask until `count` different workers have answered."""
        seen: set[int] = set()
        deadline = time.monotonic() + PATIENCE_S
        while len(seen) < count and time.monotonic() < deadline:
            seen.add(int(self.ask("pid")))
        return seen

    def events(self, name: str) -> list[dict[str, object]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def await_event(self, name: str) -> dict[str, object]:
        return eventually(lambda: next(iter(self.events(name)), None))

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)


def eventually(question):
    deadline = time.monotonic() + PATIENCE_S
    while not (answer := question()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return answer


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"  # not yet reaped by init
    return True


@pytest.fixture
def start(tmp_path):
    started: list[Running] = []

    def start(**how) -> Running:
        started.append(Running(tmp_path / f"log-{len(started)}", **how))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
        running.process.wait(PATIENCE_S)
        running.process.stdout.close()
        for event in running.events("worker_ready"):
            eventually(lambda pid=event["pid"]: not is_alive(pid))


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


def is_refused(address) -> bool:
    try:
        with socket.create_connection(address, timeout=PATIENCE_S):
            return False
    except ConnectionError:
        return True


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


def test_hangup_is_logged_and_changes_nothing(start):
    running = start()
    before = running.ask("pid")
    os.killpg(running.process.pid, signal.SIGHUP)
    assert running.await_event("hangup_ignored")["why"] == "reload comes with a later version"
    assert running.ask("pid") == before


def test_workers_end_when_the_supervisor_is_killed(start):
    running = start(workers=2)
    pids = running.pids(2)
    running.send(signal.SIGKILL)
    eventually(lambda: not any(map(is_alive, pids)))


def test_a_relay_that_cannot_be_built_ends_the_supervisor_with_its_error(start):
    running = start(workers=2, providers=[Provider(name="broken", keys=[Key(key="test-key-1")])])
    assert " ".join(running.said) == "failed: RuntimeError: this relay cannot be built"
    assert running.wait() == 1


def test_workers_that_exit_before_they_are_ready_end_the_supervisor(start):
    running = start(arguments=["--exit-at-once"])
    assert " ".join(running.said) == "failed: a worker could not start: exit code 7"
    assert running.wait() == 1
    assert len(running.events("worker_died")) == 5


def test_a_worker_program_that_is_not_there_ends_the_supervisor():
    supervisor = Supervisor(
        Config(),
        listeners.bind("127.0.0.1:0", 1),
        SilentLog(),
        notifier=Notifier({}),
        worker_command=("/no/such/program",),
    )
    with pytest.raises(WorkersFailed, match="No such file"):
        asyncio.run(asyncio.wait_for(supervisor.run(), PATIENCE_S))


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


class SilentLog:
    def event(self, level: str, name: str, **fields: object) -> None:
        pass

    def exchange(self, record: dict[str, object]) -> None:
        pass


async def _stats_of_two_workers() -> list[dict[str, int]]:
    ready = asyncio.Event()
    config = Config(server=Server(workers=2, timeouts=ServerTimeouts(drain_s=1)))
    supervisor = Supervisor(
        config,
        listeners.bind("127.0.0.1:0", 2),
        SilentLog(),
        notifier=Notifier({}),
        on_ready=ready.set,
        worker_command=(sys.executable, FAKE_WORKER),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run())
        await ready.wait()
        try:
            return await supervisor.stats()
        finally:
            supervisor.stop()


def test_counters_come_from_every_worker(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ROOT)
    stats = asyncio.run(asyncio.wait_for(_stats_of_two_workers(), PATIENCE_S))
    assert sorted(reply["worker"] for reply in stats) == [0, 1]
