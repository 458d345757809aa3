"""Reloads with a real supervisor and real workers around a fake Relay."""

import os
import signal
import socket
import sys
import time

import msgspec
import pytest

from ccrelay.config.model import Logging, Server
from tests.process.running import PATIENCE_S, Running, eventually, provider

pytestmark = pytest.mark.process

KEYS = ["test-key-1", "test-key-2", "test-key-3"]


def names(running: Running, workers: int = 1) -> set[str]:
    """The providers that each of the workers has loaded."""
    seen: dict[str, str] = {}
    while len(seen) < workers:
        with running.connect("pid") as connection:
            pid = connection.recv(100).decode()
            connection.sendall(b"names")
            seen[pid] = connection.recv(1000).decode()
    return set(seen.values())


def test_sighup_reloads_every_worker(start):
    running = start(workers=2, watch=False, providers=[provider("zai", *KEYS[:2])])
    before = running.pids(2)
    running.change(providers=[provider("zai", *KEYS[1:]), provider("other")])
    os.killpg(running.process.pid, signal.SIGHUP)  # as a terminal does; workers ignore it
    event = running.await_event("reloaded")
    assert event["providers_added"] == ["other"]
    assert len(event["keys_added"]["zai"]) == len(event["keys_removed"]["zai"]) == 1
    # The second key keeps its slot, the third gets a fresh one.
    assert names(running, 2) == {"zai:[1, 2],other:[3]"}
    assert running.pids(2) == before
    assert "test-key" not in running.log.read_text()


def test_a_worker_spawned_after_a_reload_gets_the_new_configuration(start):
    running = start(watch=False)
    running.change(providers=[provider("fresh")])
    running.send(signal.SIGHUP)
    running.await_event("reloaded")
    os.kill(int(running.ask("pid")), signal.SIGTERM)
    running.await_event("worker_ready", 2)
    assert names(running) == {"fresh:[1]"}


def test_an_invalid_file_changes_nothing_and_logs_every_problem_with_its_position(start):
    running = start(watch=False)
    keys = "keys: [{key: test-key-1}]"  # causes a warning, which must not be reported as a failure
    running.file.write_text(
        f"server:\n  wrokers: 2\nproviders:\n  - {{name: a, type: zaj, {keys}}}\n"
    )
    running.send(signal.SIGHUP)
    running.await_event("reload_failed", 2)
    problems = [event["problem"] for event in running.events("reload_failed")]
    assert any("ccrelay.yaml:2:3: " in problem and "wrokers" in problem for problem in problems)
    assert any("ccrelay.yaml:4:" in problem for problem in problems)
    assert not any("warning" in problem for problem in problems)
    assert names(running) == {"zai:[0]"}


def test_a_reload_that_fails_in_one_worker_is_rolled_back_in_all(start):
    running = start(workers=2, watch=False)
    running.change(providers=[provider("new"), provider("unloadable-1", "test-key-2")])
    running.send(signal.SIGHUP)
    event = running.await_event("reload_failed")
    assert (event["worker"], "cannot be built" in event["problem"]) == (1, True)
    eventually(lambda: names(running, 2) == {"zai:[0]"})
    running.change(providers=[provider("new")])
    running.send(signal.SIGHUP)
    running.await_event("reloaded")
    assert len(names(running, 2)) == 1
    assert running.events("worker_died") == []


def test_sighup_with_an_unchanged_file_logs_reload_unchanged(start):
    running = start(watch=False)
    running.send(signal.SIGHUP)
    event = running.await_event("reload_unchanged")
    assert (event["level"], event["trigger"]) == ("info", "signal")
    assert running.events("reloaded") == []


def test_settings_that_need_a_restart_are_logged_at_every_reload(start):
    running = start(watch=False)
    server = msgspec.structs.replace(running.config.server, workers=3)
    running.change(server=server, providers=[provider("fresh")])
    running.send(signal.SIGHUP)
    event = running.await_event("reload_needs_restart")
    assert event["settings"] == ["server.workers"]
    assert "SIGUSR2" in event["hint"]
    assert names(running) == {"fresh:[1]"}  # the rest is in force
    running.change(providers=[provider("fresher")])
    running.send(signal.SIGHUP)
    assert running.await_event("reload_needs_restart", 2)["settings"] == ["server.workers"]


def test_rapid_sighups_end_with_the_newest_configuration(start):
    running = start(workers=2, watch=False)
    for number in range(5):
        config = msgspec.structs.replace(running.config, providers=[provider(f"p{number}")])
        fresh = running.file.with_suffix(".tmp")
        fresh.write_bytes(msgspec.json.encode(config))
        os.replace(fresh, running.file)  # atomic: a reader never sees half a file
        running.send(signal.SIGHUP)
    eventually(lambda: {name.split(":")[0] for name in names(running, 2)} == {"p4"})
    assert running.events("reload_failed") == []


def test_sd_notify_gets_reloading_and_ready(start, tmp_path):
    place = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(place)
        manager.settimeout(PATIENCE_S)
        running = start(env={"NOTIFY_SOCKET": place}, watch=False)
        heard = [manager.recv(1000) for _ in range(2)]
        running.change(providers=[provider("fresh")])
        running.send(signal.SIGHUP)
        heard = [manager.recv(1000) for _ in range(2)]
    assert heard[0].startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert heard[1] == b"READY=1"


# ---- file events


def test_a_file_written_in_place_is_reloaded(start):
    running = start()
    running.change(providers=[provider("fresh")])
    assert running.await_event("reloaded")["trigger"] == "file"
    assert names(running) == {"fresh:[1]"}


def test_a_replaced_file_is_reloaded_every_time(start):
    running = start()
    for count, name in enumerate(("one", "two", "three"), 1):
        config = msgspec.structs.replace(running.config, providers=[provider(name)])
        fresh = running.file.with_suffix(".tmp")
        fresh.write_bytes(msgspec.json.encode(config))
        os.replace(fresh, running.file)
        assert running.await_event("reloaded", count)["providers_added"] == [name]


def test_a_swapped_symlink_of_the_path_triggers_a_reload(start, tmp_path):
    """The tree of a Kubernetes volume: file -> ..data/file, ..data -> a folder by date."""
    volume = tmp_path / "volume"
    volume.mkdir()

    def publish(date: str, content: bytes) -> None:
        (volume / date).mkdir()
        (volume / date / "relay.yaml").write_bytes(content)
        (volume / "..tmp").symlink_to(date)
        os.replace(volume / "..tmp", volume / "..data")

    server = Server(listen="127.0.0.1:0")
    log = Logging(level="debug", format="json", file=str(tmp_path / "relay-0" / "log"))

    def content(name: str) -> bytes:
        made = {"server": server, "logging": log, "providers": [provider(name)]}
        return msgspec.json.encode(made)

    publish("..2026_01", content("first"))
    (volume / "relay.yaml").symlink_to("..data/relay.yaml")
    running = start(path=volume / "relay.yaml")
    for count, date in enumerate(("..2026_02", "..2026_03"), 1):
        publish(date, content(f"of{date}"))
        assert running.await_event("reloaded", count)["providers_added"] == [f"of{date}"]


def test_an_invalid_file_is_reported_once_and_reloaded_when_fixed(start):
    running = start()
    running.file.write_text("providers: [\n")
    running.await_event("reload_failed")
    running.change(providers=[provider("fixed")])
    assert running.await_event("reloaded")["providers_added"] == ["fixed"]
    assert len(running.events("reload_failed")) == 1


def test_reverting_an_invalid_edit_is_logged_at_info(start):
    running = start()
    running.await_event("reload_unchanged")  # the check at startup
    running.file.write_text("providers: [\n")
    running.await_event("reload_failed")
    running.write(running.config)
    event = eventually(
        lambda: [e for e in running.events("reload_unchanged") if e["level"] == "info"]
    )
    assert event[0]["trigger"] == "file"


def test_a_missing_file_is_logged_once_and_so_is_its_return(start):
    running = start()
    running.await_event("reload_unchanged")  # the check at startup
    running.file.unlink()
    event = running.await_event("config_unreadable")
    assert (event["level"], event["file"]) == ("warning", str(running.file))
    running.write(running.config)
    eventually(lambda: [e for e in running.events("reload_unchanged") if e["level"] == "info"])
    assert len(running.events("config_unreadable")) == 1
    assert names(running) == {"zai:[0]"}


def test_shutdown_does_not_wait_for_a_secret_command_of_a_reload(start, tmp_path):
    running = start(watch=False)
    started = tmp_path / "started"
    key = f"${{cmd:sh -c 'touch {started}; sleep 8'}}"
    running.change(providers=[provider("zai", key)])
    running.send(signal.SIGHUP)
    eventually(started.exists)
    asked_at = time.monotonic()
    running.send(signal.SIGTERM)
    assert running.wait() == 0
    assert time.monotonic() - asked_at < 5.0


# ---- what a change of the file alone must not do


def command_key(trace: object) -> str:
    return f"${{cmd:sh -c 'echo x >> {trace}; echo test-key-2'}}"


def test_a_change_of_the_file_runs_no_new_command_and_sighup_does(start, tmp_path):
    trace = tmp_path / "ran"
    running = start()
    running.change(providers=[provider("zai", command_key(trace))])
    problem = running.await_event("reload_failed")["problem"]
    assert 'the command "sh" is new' in problem
    assert "send SIGHUP to apply it, or restart" in problem
    assert (trace.exists(), names(running)) == (False, {"zai:[0]"})
    running.send(signal.SIGHUP)
    assert running.await_event("reloaded")["trigger"] == "signal"
    assert trace.read_text() == "x\n"
    # Now it is known, and the next change of the file runs it again.
    running.change(providers=[provider("zai", command_key(trace)), provider("other")])
    assert running.await_event("reloaded", 2)["trigger"] == "file"
    assert trace.read_text() == "x\nx\n"


def test_the_known_commands_are_kept_over_an_upgrade(start, tmp_path):
    trace = tmp_path / "ran"
    running = start(providers=[provider("zai", command_key(trace))])
    running.send(signal.SIGUSR2)
    running.await_event("upgraded")
    ran = len(trace.read_text())
    running.change(providers=[provider("zai", command_key(trace)), provider("other")])
    assert running.await_event("reloaded")["trigger"] == "file"
    assert len(trace.read_text()) > ran
    running.change(providers=[provider("zai", command_key(tmp_path / "new"))])
    assert "is new" in running.await_event("reload_failed")["problem"]
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("is_upgraded", [False, True])
def test_a_change_of_a_found_file_brings_no_new_host_and_sighup_does(start, is_upgraded):
    running = start(is_found=True)
    if is_upgraded:
        running.send(signal.SIGUSR2)
        running.await_event("upgraded")
    running.change(providers=[provider("zai"), provider("same-host", "test-key-2")])
    assert running.await_event("reloaded")["trigger"] == "file"
    running.change(providers=[provider("zai", base_url="https://other.example")])
    problem = running.await_event("reload_failed")["problem"]
    assert '"https://other.example" is new' in problem
    running.send(signal.SIGHUP)
    assert running.await_event("reloaded", 2)["trigger"] == "signal"


@pytest.mark.parametrize("place", [".", "ccrelay.yaml"])
@pytest.mark.parametrize("trigger", ["file", "signal"])
def test_who_can_write_the_file_is_asked_at_every_reload(start, place, trigger):
    running = start(watch=trigger == "file")
    (running.file.parent / place).chmod(0o777)
    running.change(providers=[provider("other")])
    if trigger == "signal":
        running.send(signal.SIGHUP)
    problem = running.await_event("reload_failed")["problem"]
    assert "refused: " in problem
    assert "can be written by every user (mode 0777): chmod" in problem
    assert names(running) == {"zai:[0]"}


def test_a_reload_can_disable_the_file_watch(start):
    running = start()
    server = msgspec.structs.replace(running.config.server, watch=False)
    running.change(server=server)
    running.await_event("reloaded")
    running.change(providers=[provider("unseen")])
    os.kill(int(running.ask("pid")), signal.SIGTERM)  # takes longer than a file event
    running.await_event("worker_exited")
    assert len(running.events("reloaded")) == 1
    running.send(signal.SIGHUP)
    assert running.await_event("reloaded", 2)["trigger"] == "signal"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_changes_of_other_files_trigger_no_file_checks(start):
    running = start()
    running.await_event("reload_unchanged")  # the check at startup
    for number in range(20):
        (running.file.parent / f"other-{number}").write_text("x")
    running.change(providers=[provider("fresh")])
    running.await_event("reloaded")
    # The log is in the same directory.
    assert len(running.events("reload_unchanged")) <= 2
