"""The manager as a process: kept by the supervisor, and of no consequence for requests."""

import hashlib
import json
import os
import signal
import socket
import stat
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import pytest

from ccrelay.config.model import Logging, Management
from tests.process.running import PATIENCE_S, Running, eventually, is_alive, provider

pytestmark = pytest.mark.process

RESTART_LIMIT_S = 2.0  # after kill -9, on a machine that has nothing else to do
SLOWER = 5.0  # than that: tests run beside each other


@pytest.fixture
def folder():
    """Of the Unix socket; short, as the address of a socket has little room."""
    with tempfile.TemporaryDirectory(prefix="cc-") as folder:
        yield Path(folder)


@pytest.fixture
def managed(start, folder):
    """Starts a supervisor with fake workers and a fake manager, and waits for both."""

    def managed(**how) -> "Managed":
        how.setdefault("management", Management(listen="127.0.0.1:0"))
        how["env"] = {"XDG_RUNTIME_DIR": str(folder), **how.get("env", {})}
        running = Managed(start(**how), folder)
        running.state()
        return running

    return managed


class Managed:
    """A supervisor whose manager answers commands."""

    def __init__(self, running: Running, folder: Path) -> None:
        self.running = running
        self._folder = folder / "ccrelay"
        self.first_pid: int = running.await_event("manager_started")["pid"]

    @property
    def socket(self) -> Path:
        port = self.running.address[1]
        return self._folder / f"{port}.sock"

    def ask(self, *words: object, address: tuple[str, int] | None = None):
        family = socket.AF_UNIX if address is None else socket.AF_INET
        with socket.socket(family) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(str(self.socket) if address is None else address)
            connection.sendall(json.dumps(words).encode() + b"\n")
            with connection.makefile("rb") as answer:
                return json.loads(answer.read())

    def state(self) -> dict[str, object]:
        return self.ask("state")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        pid = self.state()["pid"]
        os.kill(pid, number)
        return pid

    def override(self, *overrides: tuple[str, str, str, int]):
        return self.ask("overrides", *overrides)


class Load:
    """Requests one after the other, until `stop` tells what came of them."""

    def __init__(self, running: Running, clients: int = 3) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._running = running
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        with self._running.connect("pid") as kept:
            if not kept.recv(100):
                self.failures.append("cut")
            while not self._over.is_set():
                try:
                    kept.sendall(b"pid")
                    if not (kept.recv(100) and self._running.ask("pid")):
                        self.failures.append("cut")
                    self.answers += 2
                except OSError as error:
                    self.failures.append(repr(error))
                    return

    def stop(self) -> tuple[list[str], int]:
        self._over.set()
        for thread in self._threads:
            thread.join()
        return self.failures, self.answers


def restarted(managed: Managed, was: int) -> float:
    """Wait for another manager that answers; how long that took, seconds."""
    began = time.monotonic()
    assert managed.state()["pid"] != was  # connected while there is none: it waits
    return time.monotonic() - began


# ---- start and stop


def test_the_manager_is_told_where_it_is(managed):
    relay = managed(workers=2)
    state = relay.state()
    running = relay.running
    assert state["supervisor"] == running.process.pid
    assert state["listen"] == [running.output[0]]
    assert state["config_file"] == str(running.file)
    assert state["socket"] == str(relay.socket)
    assert state["restarts"] == 0
    assert abs(state["started_at_ms"] / 1000 - time.time()) < 60
    assert [(one["slot"], one["state"]) for one in state["workers"]] == [
        (0, "serving"),
        (1, "serving"),
    ]
    assert {one["pid"] for one in state["workers"]} == running.pids(2)
    host, _, port = state["http_listen"].rpartition(":")
    assert relay.ask("state", address=(host, int(port)))["pid"] == state["pid"]


def test_its_socket_is_private_and_gone_at_the_end(managed):
    relay = managed()
    assert stat.S_IMODE(relay.socket.lstat().st_mode) == 0o600
    assert stat.S_IMODE(relay.socket.parent.stat().st_mode) == 0o700
    relay.running.send(signal.SIGTERM)
    assert relay.running.wait() == 0
    assert list(relay.socket.parent.iterdir()) == []
    assert not is_alive(relay.first_pid)
    assert relay.running.events("manager_died") == []


def test_it_is_started_after_the_workers_serve_and_stopped_after_they_are_gone(managed):
    relay = managed()
    relay.running.send(signal.SIGTERM)
    assert relay.running.wait() == 0
    lines = sorted(relay.running.lines(), key=lambda line: line["at"])
    names = [line["event"] for line in lines]
    order = ["worker_ready", "manager_started", "draining", "worker_exited"]
    assert [name for name in names if name in order] == order
    at = {line["event"]: line["at"] for line in lines}
    assert at["worker_exited"] <= at["fake_manager_closed"]
    assert relay.running.events("fake_manager_closed")[0]["manager"] == relay.first_pid


def test_without_management_nothing_is_started_or_bound(start, folder):
    running = start(env={"XDG_RUNTIME_DIR": str(folder)})
    running.ask("pid")
    running.send(signal.SIGTERM)
    assert running.wait() == 0
    assert [line for line in running.lines() if "manage" in line["event"]] == []
    assert not (folder / "ccrelay").exists()


def test_a_manager_that_does_not_stop_is_killed_and_the_exit_code_stays(managed):
    relay = managed(providers=[provider("clingy")])
    relay.running.send(signal.SIGTERM)
    assert relay.running.wait() == 0
    assert "did not stop" in relay.running.events("manager_died")[0]["reason"]
    assert not is_alive(relay.first_pid)


def test_a_manager_that_dies_of_the_end_is_replaced_once_for_the_last_records(managed):
    relay = managed(providers=[provider("mortal")])
    relay.running.send(signal.SIGTERM)
    assert relay.running.wait() == 0
    assert len(relay.running.events("fake_manager_closed")) == 1
    assert "code 9" in relay.running.await_event("manager_died")["reason"]


def test_a_manager_that_asks_when_the_workers_are_gone_is_answered(managed):
    relay = managed(providers=[provider("curious")])
    relay.running.send(signal.SIGTERM)
    assert relay.running.wait() == 0
    assert [event["manager"] for event in relay.running.events("fake_manager_closed")] == [
        relay.first_pid
    ]
    for name in ("internal_error", "manager_died"):
        assert relay.running.events(name) == []


def test_a_relay_that_ends_within_an_upgrade_writes_its_last_records(managed):
    relay = managed(watch=False)
    relay.running.change(providers=[provider("broken")])
    relay.running.send(signal.SIGUSR2)
    relay.running.await_event("worker_died")  # of the new image, which has no manager yet
    relay.running.send(signal.SIGTERM)
    assert relay.running.wait() == 0
    assert len(relay.running.events("fake_manager_closed")) == 2


def test_a_relay_that_ends_right_after_its_start_writes_its_last_records(start, folder):
    environment = {"XDG_RUNTIME_DIR": str(folder)}
    running = start(management=Management(listen="127.0.0.1:0"), env=environment)
    running.send(signal.SIGTERM)
    assert running.wait() == 0
    assert len(running.events("fake_manager_closed")) == 1


@pytest.mark.slow
def test_however_often_it_was_killed_the_next_one_is_there_soon(managed):
    relay = managed()
    for _ in range(8):
        assert restarted(relay, relay.kill()) < RESTART_LIMIT_S * SLOWER


def test_a_second_signal_does_not_wait_for_the_manager(managed):
    relay = managed(providers=[provider("clingy")])
    relay.running.send(signal.SIGTERM)
    relay.running.await_event("worker_exited")
    time.sleep(0.2)
    began = time.monotonic()
    relay.running.send(signal.SIGTERM)
    assert relay.running.wait() == 0
    assert time.monotonic() - began < 2.0
    assert not is_alive(relay.first_pid)


def test_it_ends_with_a_killed_supervisor_even_when_it_hangs(managed):
    relay = managed()
    relay.running.process.kill()
    eventually(lambda: not is_alive(relay.first_pid))
    other = managed()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(other.socket))
        connection.sendall(b'["hang"]\n')
        other.running.process.kill()
        eventually(lambda: not is_alive(other.first_pid))


def test_signals_to_all_processes_leave_it_running(managed):
    relay = managed()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR2):
        relay.kill(number)
    time.sleep(0.5)
    assert relay.state()["pid"] == relay.first_pid


# ---- kept alive


@pytest.mark.parametrize("how", ["kill", "exit", "memory"])
def test_a_manager_that_dies_costs_no_request_and_is_replaced(managed, how):
    relay = managed(workers=2)
    load = Load(relay.running)
    try:
        pid = relay.state()["pid"]
        if how == "kill":
            relay.kill()
        else:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(relay.socket))
                command = '["exit", 3]\n' if how == "exit" else '["eat"]\n'
                connection.sendall(command.encode())
                eventually(lambda: not is_alive(pid))
        assert restarted(relay, pid) < SLOWER
    finally:
        failures, answers = load.stop()
    assert failures == []
    assert answers > 100
    died = relay.running.await_event("manager_died")
    assert died["pid"] == pid
    reasons = {"kill": "killed by SIGKILL", "exit": "exit code 3", "memory": "it is out of memory"}
    assert died["reason"] == reasons[how]
    assert relay.running.await_event("manager_started", 2)["restarts"] == 1
    assert relay.running.events("worker_died") == []


@pytest.mark.parametrize("how", ["stopped", "busy"])
def test_a_manager_that_hangs_costs_no_request_and_is_replaced(managed, how):
    relay = managed(workers=2)
    load = Load(relay.running)
    try:
        pid = relay.state()["pid"]
        if how == "stopped":
            relay.kill(signal.SIGSTOP)
        else:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(relay.socket))
                connection.sendall(b'["hang"]\n')
        eventually(lambda: relay.running.events("manager_died"))
        assert restarted(relay, pid) < SLOWER
    finally:
        failures, answers = load.stop()
    assert failures == []
    assert answers > 100
    assert "hangs" in relay.running.events("manager_died")[0]["reason"]
    assert not is_alive(pid)


def test_a_supervisor_that_was_stopped_itself_does_not_kill_a_healthy_manager(managed):
    relay = managed()
    os.kill(relay.running.process.pid, signal.SIGSTOP)
    time.sleep(3.0)
    os.kill(relay.running.process.pid, signal.SIGCONT)
    time.sleep(1.0)
    assert relay.state()["pid"] == relay.first_pid
    assert relay.running.events("manager_died") == []


def test_a_manager_that_cannot_start_is_tried_again_and_said_once(start, folder):
    running = start(
        management=Management(listen="127.0.0.1:0"),
        providers=[provider("startless")],
        env={"XDG_RUNTIME_DIR": str(folder)},
    )
    reason = running.await_event("manager_died")["reason"]
    assert reason == "RuntimeError: this manager cannot start"
    running.await_event("manager_start_failed", 3)
    assert len(running.events("manager_died")) == 1
    assert running.ask("pid")
    running.change(providers=[provider("mended")])
    started = running.await_event("manager_started")
    assert started["level"] == "info"
    running.send(signal.SIGTERM)
    assert running.wait() == 0


def test_it_is_less_worth_than_workers_to_the_kernel(managed):
    state = managed().state()
    assert state["nice"] >= 5
    assert state["oom_score_adj"] == 500


def test_its_environment_is_an_allow_list(managed):
    secret = {"ZAI_API_KEY": "test-key-1", "CCRELAY_MINE": "test-key-1", "OTEL_MINE": "test-key-1"}
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    found = managed(env={**secret, **named}).ask("env")
    assert not secret.keys() & found.keys()
    assert found["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"
    assert {"XDG_RUNTIME_DIR", "XDG_STATE_HOME"} <= found.keys()


# ---- what it is told


def test_it_is_told_of_reloads_failures_and_workers(managed):
    relay = managed(watch=False)
    running = relay.running
    running.change(providers=[provider("other")])
    running.send(signal.SIGHUP)
    state = eventually(lambda: (s := relay.state())["enabled"] == {"other": True} and s)
    assert state["origin"] == "signal"
    running.file.write_text("providers: 3")
    running.send(signal.SIGHUP)
    assert "providers" in eventually(lambda: relay.state()["problem"])
    running.write(running.config)
    running.send(signal.SIGHUP)
    eventually(lambda: relay.state()["problem"] == "")
    os.kill(int(running.ask("pid")), signal.SIGTERM)
    running.await_event("worker_ready", 2)
    pid = int(running.ask("pid"))
    eventually(lambda: [w["pid"] for w in relay.state()["workers"]] == [pid])
    relay.kill()
    state = relay.state()
    assert (state["origin"], state["enabled"]) == ("signal", {"other": True})


def test_a_change_of_its_own_sections_starts_it_again(managed):
    relay = managed()
    changed = Management(listen="127.0.0.1:0", allowed_hosts=["relay.example"])
    relay.running.change(management=changed)
    relay.running.await_event("reloaded")
    eventually(lambda: relay.state()["pid"] != relay.first_pid)
    assert relay.running.events("manager_died") == []
    assert relay.state()["restarts"] == 0  # nothing went wrong


def test_another_management_listen_needs_a_restart(managed):
    relay = managed()
    relay.running.change(management=Management(listen="127.0.0.1:1"))
    assert relay.running.await_event("reload_needs_restart")["settings"] == ["management.listen"]
    host, _, port = relay.state()["http_listen"].rpartition(":")
    assert relay.ask("state", address=(host, int(port)))


def test_it_is_told_which_text_is_in_force_whatever_the_file_says_by_now(managed):
    relay = managed(watch=False)
    running = relay.running
    digests = [hashlib.sha256(running.file.read_bytes()).hexdigest()]
    assert relay.state()["digest"] == digests[0]
    running.file.write_text(f"{running.file.read_text()}\n# a comment\n")
    digests.append(hashlib.sha256(running.file.read_bytes()).hexdigest())
    assert relay.ask("reload", "file")["changed"] is False
    assert relay.state()["digest"] == digests[1]
    assert relay.ask("level", "warning")["error"] == ""
    running.file.write_text("providers: 3")
    assert relay.ask("reload")["is_refused"]
    assert relay.state()["digest"] == digests[1]
    relay.kill()
    state = relay.state()
    assert (state["digest"], state["origin"]) == (digests[1], "file")


# ---- commands


def test_reload(managed):
    relay = managed(watch=False)
    running = relay.running
    assert relay.ask("reload") == reply(1)
    running.change(providers=[provider("other")], logging=replaced_log(running, format="text"))
    answer = relay.ask("reload", "apply")
    assert (answer["changed"], answer["error"]) == (True, "")
    assert any("logging.format" in warning for warning in answer["warnings"])
    assert running.ask("names") == "other:[1]"
    assert relay.state()["origin"] == "apply"
    running.file.write_text('{"providers": [{"name": "a", "type": "zaj"}], "x": 1}')
    answer = relay.ask("reload")
    assert (answer["changed"], answer["is_refused"]) == (False, True)
    assert "ccrelay.yaml:1" in answer["error"]
    assert "more" in answer["error"]
    running.change(providers=[provider("unloadable")])
    answer = relay.ask("reload")
    assert (answer["changed"], answer["is_refused"]) == (False, False)
    assert "cannot be built" in answer["error"]
    assert running.ask("names") == "other:[1]"


def replaced_log(running: Running, **members: object) -> Logging:
    return msgspec.structs.replace(running.config.logging, **members)


def reply(id: int, **members: object) -> dict[str, object]:
    whole = {
        "type": "reply",
        **{"id": id, "error": "", "is_refused": False, "changed": False, "warnings": []},
        **{"previous": "", "stats": [], "limit_s": 0.0, "running": [], "values": {}},
    }
    return {**whole, **members}


def test_stats(managed):
    relay = managed(workers=2)
    assert sorted(one["worker"] for one in relay.ask("stats")["stats"]) == [0, 1]


def test_exchanges_under_way_are_told_while_it_drains_too(managed):
    relay = managed(workers=2, drain_s=8.0)
    with relay.running.connect("hold 2") as held:
        assert eventually(lambda: sorted(relay.ask("running")) == [[0, []], [1, []]])
        relay.running.send(signal.SIGTERM)
        relay.running.await_event("draining")
        assert [1, []] in relay.ask("running")  # the idle one may have ended
        assert held.recv(100)
    assert relay.running.wait() == 0


def test_where_there_is_a_file_the_environment_is_not_told(managed):
    told = managed().ask("environment", "PATH")
    assert told == reply(1, error="there is a configuration file", is_refused=True)


def test_drain_answers_first_and_a_second_one_forces_nothing(managed):
    relay = managed(drain_s=8.0)
    with relay.running.connect("hold 1") as held:
        time.sleep(0.2)
        assert relay.ask("drain") == reply(1, changed=True, limit_s=8.0)
        assert relay.ask("drain") == reply(2, changed=True, limit_s=8.0)
        assert eventually(
            lambda: [one["state"] for one in relay.state()["workers"]] == ["draining"]
        )
        assert relay.ask("reload")["error"] == "the relay is stopping"
        assert held.recv(100)
    assert relay.running.wait() == 0
    assert relay.running.events("forced_shutdown") == []


def test_stop_answers_first(managed):
    relay = managed()
    with relay.running.connect("hold 100"):
        assert relay.ask("stop")["error"] == ""
        assert relay.running.wait() == 0  # else systemd would start it again
    assert not is_alive(relay.first_pid)


def test_the_log_level_is_that_of_all_processes_until_the_file_says_another(managed):
    relay = managed(watch=False)
    running = relay.running
    running.await_event("fake_manager_serves")  # is written some time after it was said
    assert relay.ask("level", "loud")["is_refused"]
    answer = relay.ask("level", "error")
    assert (answer["changed"], answer["previous"]) == (True, "debug")
    written = len(running.lines())
    running.change(providers=[provider("other")])
    assert relay.ask("reload")["changed"]
    os.kill(int(running.ask("pid")), signal.SIGTERM)
    eventually(lambda: len(relay.state()["workers"]) == 1)
    time.sleep(0.3)
    relay.kill()
    eventually(lambda: relay.state()["level"] == "error")
    later = [(line["level"], line["event"]) for line in running.lines()[written:]]
    assert {level for level, _ in later} <= {"error"}, later
    running.change(logging=replaced_log(running, level="info"))
    assert relay.ask("reload")["changed"]
    assert relay.state()["level"] == "info"


# ---- overrides


def test_overrides_survive_reloads_workers_managers_and_upgrades(managed):
    providers = [provider("a", "test-key-1"), provider("b", "test-key-2")]
    relay = managed(providers=providers, watch=False)
    running = relay.running
    (key,) = relay.state()["keys"]["b"]
    wanted = [("a", "", "enabled", 0), ("b", key, "weight", 7)]
    assert relay.override(*wanted)["changed"]
    changes = running.await_event("overrides_changed")["changes"]
    assert changes == ["a disabled", f"b/{key} weight 7"]

    def are_in_force() -> bool:
        state = relay.state()
        return (
            state["enabled"]["a"] is False
            and state["weights"]["b"] == [7]
            and len(state["overrides"]) == 2
        )

    assert are_in_force()
    relay.kill()
    assert are_in_force()
    running.change(providers=[*providers, provider("c", "test-key-3")])
    assert relay.ask("reload")["changed"]
    assert are_in_force()
    before = relay.state()
    running.send(signal.SIGUSR2)
    running.await_event("upgraded")
    eventually(lambda: relay.state()["pid"] != before["pid"])
    assert are_in_force()
    assert relay.state()["http_listen"] == before["http_listen"]
    assert relay.state()["started_at_ms"] == before["started_at_ms"]
    assert relay.ask("overrides")["changed"]
    changes = running.await_event("overrides_changed", 2)["changes"]
    assert changes == ["a enabled as in the file", f"b/{key} weight as in the file"]
    assert relay.state()["enabled"] == {"a": True, "b": True, "c": True}
    assert relay.state()["origin"] == "override"


def test_overrides_that_cannot_be_are_refused_and_change_nothing(managed):
    relay = managed(providers=[provider("a", "test-key-1"), provider("b", "test-key-2")])
    (key,) = relay.state()["keys"]["a"]
    refused = {
        "there is no provider": [("zaj", "", "enabled", 0)],
        "has no key": [("b", key, "enabled", 0)],
        "0 or 1": [("a", "", "enabled", 2)],
        "a weight is": [("a", key, "weight", 1001)],
        "of a key": [("a", "", "weight", 3)],
        "at least one must be enabled": [("a", "", "enabled", 0), ("b", "", "enabled", 0)],
    }
    for words, wanted in refused.items():
        answer = relay.override(*wanted)
        assert words in answer["error"]
        assert answer["is_refused"]
        assert not answer["changed"]
    assert relay.state()["enabled"] == {"a": True, "b": True}
    assert relay.running.events("overrides_changed") == []
    answer = relay.override(("a", key, "enabled", 0))
    assert answer["warnings"] == [
        "providers[0].keys: all keys are disabled: this provider gets no requests"
    ]


def test_overrides_that_workers_cannot_build_are_rolled_back(managed):
    providers = [provider("a", "test-key-1"), provider("unloadable-0", "test-key-2")]
    relay = managed(providers=providers)
    answer = relay.override(("a", "", "enabled", 0))
    assert "cannot be built" in answer["error"]
    assert relay.state()["enabled"]["a"]
    assert relay.state()["overrides"] == []


def test_a_file_that_cannot_be_used_with_the_overrides_is_refused(managed):
    providers = [provider("a", "test-key-1"), provider("b", "test-key-2")]
    relay = managed(providers=providers, watch=False)
    relay.override(("a", "", "enabled", 0))
    disabled = msgspec.structs.replace(providers[1], enabled=False)
    relay.running.change(providers=[providers[0], disabled])
    answer = relay.ask("reload")
    assert answer["is_refused"]
    assert "set at run time: a disabled" in answer["error"]
    assert relay.state()["enabled"] == {"a": False, "b": True}


def test_an_override_of_what_is_gone_does_nothing_and_stands_in_nobodys_way(managed):
    providers = [provider("a", "test-key-1"), provider("b", "test-key-2")]
    relay = managed(providers=providers, watch=False)
    relay.override(("a", "", "enabled", 0))
    relay.running.change(providers=providers[1:])
    assert relay.ask("reload")["changed"]
    (key,) = relay.state()["keys"]["b"]
    assert relay.override(("a", "", "enabled", 0), ("b", key, "weight", 3))["changed"]


# ---- upgrades


def test_an_upgrade_keeps_the_doors_and_starts_another_manager(managed):
    relay = managed()
    before = relay.state()
    inode = relay.socket.lstat().st_ino
    relay.running.send(signal.SIGUSR2)
    relay.running.await_event("upgraded")
    state = eventually(lambda: (s := relay.state())["pid"] != before["pid"] and s)
    assert relay.socket.lstat().st_ino == inode
    assert state["http_listen"] == before["http_listen"]
    assert not is_alive(before["pid"])
    assert relay.running.events("manager_died") == []
    relay.running.send(signal.SIGTERM)
    assert relay.running.wait() == 0
    assert not relay.socket.exists()


def test_records_in_a_memory_that_an_upgrade_replaced_are_read(managed):
    relay = managed(watch=False)
    running = relay.running
    assert relay.state()["older_memories"] == []
    for count, keys in ((1, 300), (2, 1400)):
        names = [f"test-key-{number}" for number in range(keys)]
        running.change(providers=[provider("zai", *names)])
        running.send(signal.SIGUSR2)
        running.await_event("upgraded", count)
        assert len(running.events("upgrade_counters_reset")) == count
        assert relay.state()["older_memories"] == [True] * count
    assert relay.kill()
    assert relay.state()["older_memories"] == [True, True]


def test_an_upgrade_that_fails_leaves_a_manager(managed):
    relay = managed(watch=False)
    good = relay.running.config
    relay.running.change(providers=[provider("broken")])
    relay.running.send(signal.SIGUSR2)
    relay.running.await_event("upgrade_failed")
    assert relay.state()["supervisor"] == relay.running.process.pid
    relay.running.write(good)


def test_an_upgrade_can_switch_the_management_plane_off_and_on(managed):
    relay = managed(watch=False)
    running = relay.running
    running.change(management=Management(enabled=False))
    running.send(signal.SIGUSR2)
    running.await_event("upgraded")
    assert not relay.socket.exists()
    running.change(management=Management(listen="127.0.0.1:0"))
    running.send(signal.SIGUSR2)
    running.await_event("upgraded", 2)
    eventually(relay.socket.exists)
    assert relay.state()["restarts"] == 0
