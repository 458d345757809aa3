"""SIGUSR2: real processes replace themselves; the Relay is a fake."""

import contextlib
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from ccrelay.runtime import upgrade
from ccrelay.runtime.memory import anonymous_file
from tests.process.running import PATIENCE_S, Running, eventually, is_alive, is_refused, provider

pytestmark = pytest.mark.process


def replace(running: Running, count: int = 1) -> None:
    running.send(signal.SIGUSR2)
    running.await_event("upgraded", count)


def use(connection: socket.socket, words: str) -> str:
    connection.sendall(words.encode())
    return connection.recv(1000).decode()


def test_an_upgrade_replaces_workers_and_keeps_pid_and_address(start):
    running = start(workers=2)
    before = running.pids(2)
    replace(running)
    eventually(lambda: not any(map(is_alive, before)))
    after = running.pids(2)
    assert len(after) == 2
    assert not after & before
    assert running.process.poll() is None
    running.await_event("worker_exited", 2)
    assert {event["exit_status"] for event in running.events("worker_exited")} == {"exit code 0"}
    assert running.events("worker_died") == []
    running.send(signal.SIGTERM)
    assert running.wait() == 0
    assert running.process.stdout.read() == "", "the banner is printed once"


def test_running_and_idle_connections_stay_with_their_old_worker(start):
    running = start()
    with running.connect("hold 1") as held, running.connect("pid") as idle:
        old = idle.recv(100).decode()
        replace(running)
        assert held.recv(100).decode() == old
        assert use(idle, "pid") == old
        limit_s = running.config.routing.timeouts.total_s
        assert eventually(lambda: use(idle, "drain") == repr((limit_s, True)))
        assert running.ask("pid") != old
        assert is_alive(int(old))
    eventually(lambda: not is_alive(int(old)))
    assert running.await_event("worker_exited")["cut"] == 0


@pytest.mark.slow
def test_no_connection_is_refused_during_three_upgrades(start):
    running = start(workers=2)
    answers: set[str] = set()
    failures: list[OSError] = []
    over = threading.Event()

    def request() -> None:
        while not over.is_set():
            try:
                answers.add(running.ask("pid"))
            except OSError as error:
                failures.append(error)

    threads = [threading.Thread(target=request) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for count in (1, 2, 3):
            replace(running, count)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert "" not in answers
    assert len(answers) >= 7


def test_a_failed_preflight_changes_nothing(start):
    running = start(watch=False)
    before = running.ask("pid")
    literal = "{key: test-key-1}"  # causes a warning, which must not be in the error
    running.file.write_text(f"providers: [{{name: a, type: zaj, keys: [{literal}]}}]\n")
    running.send(signal.SIGUSR2)
    error = running.await_event("upgrade_failed")["error"]
    assert "ccrelay.yaml:1" in error
    assert "warning" not in error
    assert running.ask("pid") == before
    running.change(providers=[provider("fixed")])
    replace(running)
    assert running.ask("names") == "fixed:[1]"


def test_old_workers_keep_serving_when_new_ones_cannot_start(start):
    running = start(watch=False)
    before = running.ask("pid")
    good = running.config
    running.change(providers=[provider("broken")])
    running.send(signal.SIGUSR2)
    assert "cannot be built" in running.await_event("upgrade_failed")["error"]
    assert running.ask("pid") == before
    running.write(good)
    replace(running)
    eventually(lambda: not is_alive(int(before)))
    assert running.ask("names") == "zai:[0]"


def test_after_an_incomplete_upgrade_a_fixed_file_completes_it(start):
    running = start()
    before = running.ask("pid")
    running.change(providers=[provider("broken")])  # only when it starts with it
    running.await_event("reloaded")
    running.send(signal.SIGUSR2)
    running.await_event("upgrade_failed")
    running.change(providers=[provider("broken"), provider("another", "test-key-2")])
    assert "did not complete" in running.await_event("reload_failed")["problem"]
    running.send(signal.SIGHUP)
    running.await_event("reload_failed", 2)
    assert running.ask("pid") == before
    running.change(providers=[provider("fixed")])
    running.await_event("upgraded")
    assert running.ask("names").startswith("fixed:")
    eventually(lambda: not is_alive(int(before)))
    running.change(providers=[provider("later")])
    running.await_event("reloaded", 2)


def test_cooldowns_survive_an_upgrade(start):
    running = start(watch=False)
    running.ask("cool")
    replace(running)
    assert running.ask("cooling") == "True"
    assert running.events("upgrade_counters_reset") == []
    providers = [provider("other", "test-key-2"), *running.config.providers]
    running.change(providers=providers)
    replace(running, 2)
    assert running.ask("names") == "other:[1],zai:[0]"


def test_an_upgrade_enlarges_the_shared_memory_when_needed(start):
    running = start(watch=False)
    keys = [f"test-key-{number}" for number in range(300)]
    running.change(providers=[provider("zai", *keys)])
    running.send(signal.SIGHUP)
    assert "SIGUSR2" in running.await_event("reload_failed")["problem"]
    with running.connect("pid") as idle:
        idle.recv(100)
        replace(running)
        assert running.await_event("upgrade_counters_reset")["reason"] == (
            "too small for this configuration"
        )
        assert "299" in running.ask("names")[-10:]
    running.await_event("worker_exited")


@pytest.mark.parametrize(("workers", "then"), [(1, 3), (3, 1), (3, 2)])
def test_an_upgrade_to_another_worker_count_keeps_every_socket(start, workers, then):
    running = start(workers=workers, watch=False)
    with running.connect("hold 1") as held:
        server = msgspec.structs.replace(running.config.server, workers=then)
        running.change(server=server)
        replace(running)
        assert held.recv(100)
    assert len(running.pids(then)) == then
    eventually(lambda: len(running.events("worker_exited")) == workers)
    assert len({running.ask("pid") for _ in range(60)}) == then


def test_an_upgrade_to_another_address_closes_the_old_one(start):
    running = start(watch=False)
    old = running.address
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = msgspec.structs.replace(running.config.server, listen=f"127.0.0.1:{port}")
    running.change(server=server)
    replace(running)
    eventually(lambda: is_refused(old))
    running.output = [f"127.0.0.1:{port}"]
    assert running.ask("pid")


def test_an_upgrade_keeps_the_old_address_when_the_new_one_is_in_use(start):
    running = start(watch=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        running.change(server=msgspec.structs.replace(running.config.server, listen=listen))
        replace(running)
        assert "already in use" in running.await_event("upgrade_kept_listeners")["error"]
        assert running.ask("pid")
        running.change(providers=[provider("fresh")])
        running.send(signal.SIGHUP)
        assert running.await_event("reload_needs_restart")["settings"] == ["server.listen"]
    old = running.address
    replace(running, 2)
    eventually(lambda: is_refused(old))
    running.output = [listen]
    assert running.ask("names").startswith("fresh:")
    replace(running, 3)
    assert running.ask("pid"), "and stays there"


def test_an_upgrade_applies_address_and_worker_count_of_an_earlier_reload(start):
    running = start()
    old = running.address
    with socket.create_server(("127.0.0.1", 0)) as probe:
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    server = msgspec.structs.replace(running.config.server, listen=listen, workers=2)
    running.change(server=server)
    event = running.await_event("reload_needs_restart")
    assert event["settings"] == ["server.listen", "server.workers"]
    replace(running)
    eventually(lambda: is_refused(old))
    running.output = [listen]
    assert len(running.pids(2)) == 2


def test_an_upgrade_waits_for_an_exiting_worker(start):
    running = start()
    running.ask("linger")
    os.kill(int(running.ask("pid")), signal.SIGTERM)
    running.await_event("worker_ready", 2)
    replace(running)
    eventually(lambda: len(running.events("worker_exited")) == 2)
    assert running.events("upgrade_failed") == running.events("worker_died") == []
    running.send(signal.SIGTERM)
    assert running.wait() == 0


def test_shutdown_applies_the_drain_limit_to_previous_workers(start):
    running = start(drain_s=0.3)
    with running.connect("hold 600"):
        replace(running)
        running.send(signal.SIGTERM)
        assert running.wait() == 0
    assert sorted(event["cut"] for event in running.events("worker_exited")) == [0, 1]


def test_a_killed_previous_worker_is_reaped_and_not_replaced(start):
    running = start()
    with running.connect("pid") as idle:
        old = int(idle.recv(100))
        replace(running)
        os.kill(old, signal.SIGKILL)
        died = running.await_event("worker_died")
    assert (died["pid"], died["exit_status"]) == (old, "killed by SIGKILL")
    running.ask("pid")
    assert len(running.events("worker_ready")) == 2


def test_reloads_and_file_events_work_after_an_upgrade(start):
    running = start()
    replace(running)
    running.change(providers=[provider("by-file")])
    assert running.await_event("reloaded")["trigger"] == "file"
    running.change(server=msgspec.structs.replace(running.config.server, watch=False))
    running.await_event("reloaded", 2)
    running.change(providers=[provider("by-signal")])
    running.send(signal.SIGHUP)
    running.await_event("reloaded", 3)
    assert running.ask("names").startswith("by-signal:")


def open_files(pid: int) -> set[str]:
    names = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            names.add(os.readlink(entry))
    return names


def test_workers_inherit_no_handover_variable_or_descriptor(start):
    running = start(workers=2)
    replace(running)
    assert not any("HANDOVER" in name for name in running.ask("env").split(","))
    eventually(lambda: len(running.events("worker_exited")) == 2)
    if sys.platform == "linux":
        supervisor = open_files(running.process.pid)
        for pid in running.pids(2):
            shared = {name for name in open_files(pid) & supervisor if "socket:" in name}
            assert len(shared) == 1, "its listening socket, and no control channel"
            assert not any("memfd" in name for name in open_files(pid))


def test_sd_notify_gets_reloading_and_ready_for_an_upgrade(start, tmp_path):
    place = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(place)
        manager.settimeout(PATIENCE_S)
        running = start(env={"NOTIFY_SOCKET": place})
        heard = [manager.recv(1000) for _ in range(2)]
        running.send(signal.SIGUSR2)
        heard = [manager.recv(1000) for _ in range(2)]
    assert heard[0].startswith(b"RELOADING=1\nMONOTONIC_USEC=")
    assert heard[1] == b"READY=1"


def test_a_failed_exec_restores_signals_and_descriptors(monkeypatch):
    def fails(*arguments: object) -> None:
        assert signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert os.get_inheritable(fd)
        raise OSError("no memory for a program")

    monkeypatch.setattr(os, "execve", fails)
    fd = anonymous_file()
    try:
        with pytest.raises(OSError, match="no memory for a program"):
            upgrade._exec([fd])
        assert not os.get_inheritable(fd)
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        os.close(fd)


def test_an_exec_with_a_closed_descriptor_restores_signals():
    fd = anonymous_file()
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            upgrade._exec([fd, -1])
        assert not os.get_inheritable(fd)
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        os.close(fd)


# Moves the file away once `go` exists, after it has been read.
MOVES = """${cmd:sh -c "test -e go && mv ccrelay.yaml away.yaml; echo test-key-1"}"""


def test_a_file_missing_after_the_preflight_does_not_end_the_process(start):
    running = start(providers=[provider("zai", MOVES)])
    folder = running.file.parent
    (folder / "go").touch()
    replace(running)
    assert running.await_event("config_unreadable")["file"] == str(running.file)
    assert running.ask("names") == "zai:[0]"
    (folder / "go").unlink()
    (folder / "away.yaml").rename(running.file)
    assert running.await_event("reload_unchanged")["trigger"] == "file"
    replace(running, 2)
    assert running.process.poll() is None


def test_an_upgrade_fails_when_its_file_is_missing_and_searches_no_other(start, tmp_path):
    folders = {"XDG_CONFIG_HOME": tmp_path / "xdg", "HOME": tmp_path}
    first, second = tmp_path / "xdg/ccrelay/config.yaml", tmp_path / ".config/ccrelay/config.yaml"
    for file in (first, second):
        file.parent.mkdir(parents=True)
    first.symlink_to(tmp_path / "relay-0/ccrelay.yaml")
    second.write_text("providers: [{name: other, type: ollama}]")
    env = {name: str(folder) for name, folder in folders.items()} | {"CCRELAY_CONFIG": ""}
    running = start(path="-", env=env, watch=False)
    first.unlink()
    running.send(signal.SIGUSR2)
    assert str(first) in running.await_event("upgrade_failed")["error"]
    assert running.ask("names") == "zai:[0]"


def test_an_upgrade_requested_during_an_upgrade_runs_after_it(start):
    running = start(watch=False)
    running.send(signal.SIGUSR2)
    running.await_event("upgrade_started")
    for _ in range(3):
        running.send(signal.SIGUSR2)
    running.await_event("upgraded", 2)
    running.send(signal.SIGTERM)
    assert running.wait() == 0
    names = [event["event"] for event in running.lines()]
    assert names.count("upgrade_started") == names.count("upgraded") == 2
    assert not [name for name in names if name.startswith("reload")]


def test_a_reload_requested_during_an_upgrade_runs_after_it(start):
    running = start(watch=False)
    running.send(signal.SIGUSR2)
    running.await_event("upgrade_started")
    running.send(signal.SIGHUP)
    running.await_event("upgraded")
    assert running.await_event("reload_unchanged")["trigger"] == "signal"
    names = [event["event"] for event in running.lines()]
    assert names.index("upgraded") < names.index("reload_unchanged")
