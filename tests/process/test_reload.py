"""Reloads of a real supervisor with real workers around a fake Relay."""

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
    """What the workers go by; all of them are asked."""
    seen: dict[str, str] = {}
    while len(seen) < workers:
        with running.connect("pid") as connection:
            pid = connection.recv(100).decode()
            connection.sendall(b"names")
            seen[pid] = connection.recv(1000).decode()
    return set(seen.values())


def test_a_hangup_gives_the_new_configuration_to_every_worker(start):
    running = start(workers=2, watch=False, providers=[provider("zai", *KEYS[:2])])
    before = running.pids(2)
    running.change(providers=[provider("zai", *KEYS[1:]), provider("other")])
    os.killpg(running.process.pid, signal.SIGHUP)  # as a terminal would: workers ignore it
    told = running.await_event("reloaded")
    assert told["providers_added"] == ["other"]
    assert len(told["keys_added"]["zai"]) == len(told["keys_removed"]["zai"]) == 1
    # The second key keeps its slot, the third gets a fresh one.
    assert names(running, 2) == {"zai:[1, 2],other:[3]"}
    assert running.pids(2) == before
    assert "test-key" not in running.log.read_text()


def test_a_worker_that_starts_later_gets_the_new_configuration(start):
    running = start(watch=False)
    running.change(providers=[provider("fresh")])
    running.send(signal.SIGHUP)
    running.await_event("reloaded")
    os.kill(int(running.ask("pid")), signal.SIGTERM)
    running.await_event("worker_ready", 2)
    assert names(running) == {"fresh:[1]"}


def test_a_broken_file_changes_nothing_and_every_problem_is_told_with_its_place(start):
    running = start(watch=False)
    keys = "keys: [{key: test-key-1}]"  # worth a warning, which is not why it fails
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


def test_what_a_worker_cannot_build_is_taken_back_from_all(start):
    running = start(workers=2, watch=False)
    running.change(providers=[provider("new"), provider("unloadable-1")])
    running.send(signal.SIGHUP)
    told = running.await_event("reload_failed")
    assert (told["worker"], "cannot be built" in told["problem"]) == (1, True)
    eventually(lambda: names(running, 2) == {"zai:[0]"})
    running.change(providers=[provider("new")])
    running.send(signal.SIGHUP)
    running.await_event("reloaded")
    assert len(names(running, 2)) == 1
    assert running.events("worker_died") == []


def test_an_unchanged_file_is_told_and_changes_nothing(start):
    running = start(watch=False)
    running.send(signal.SIGHUP)
    told = running.await_event("reload_unchanged")
    assert (told["level"], told["why"]) == ("info", "signal")
    assert running.events("reloaded") == []


def test_what_needs_a_restart_is_named_until_it_came(start):
    running = start(watch=False)
    server = msgspec.structs.replace(running.config.server, workers=3)
    running.change(server=server, providers=[provider("fresh")])
    running.send(signal.SIGHUP)
    told = running.await_event("reload_needs_restart")
    assert told["settings"] == ["server.workers"]
    assert "SIGUSR2" in told["next"]
    assert names(running) == {"fresh:[1]"}  # the rest is in force
    running.change(providers=[provider("fresher")])
    running.send(signal.SIGHUP)
    assert running.await_event("reload_needs_restart", 2)["settings"] == ["server.workers"]


def test_several_hangups_at_once_are_served_one_after_the_other(start):
    running = start(workers=2, watch=False)
    for number in range(5):
        config = msgspec.structs.replace(running.config, providers=[provider(f"p{number}")])
        fresh = running.file.with_suffix(".tmp")
        fresh.write_bytes(msgspec.json.encode(config))
        os.replace(fresh, running.file)  # one that is being read is never half written
        running.send(signal.SIGHUP)
    eventually(lambda: {name.split(":")[0] for name in names(running, 2)} == {"p4"})
    assert running.events("reload_failed") == []


def test_the_service_manager_hears_of_a_reload_and_its_end(start, tmp_path):
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


def test_a_file_written_in_place_is_taken(start):
    running = start()
    running.change(providers=[provider("fresh")])
    assert running.await_event("reloaded")["why"] == "file"
    assert names(running) == {"fresh:[1]"}


def test_a_file_put_in_its_place_is_taken_again_and_again(start):
    running = start()
    for count, name in enumerate(("one", "two", "three"), 1):
        config = msgspec.structs.replace(running.config, providers=[provider(name)])
        fresh = running.file.with_suffix(".tmp")
        fresh.write_bytes(msgspec.json.encode(config))
        os.replace(fresh, running.file)
        assert running.await_event("reloaded", count)["providers_added"] == [name]


def test_a_link_on_the_way_that_leads_elsewhere_is_followed(start, tmp_path):
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


def test_a_broken_file_is_left_alone_until_it_is_mended(start):
    running = start()
    running.file.write_text("providers: [\n")
    running.await_event("reload_failed")
    running.change(providers=[provider("mended")])
    assert running.await_event("reloaded")["providers_added"] == ["mended"]
    assert len(running.events("reload_failed")) == 1


def test_undoing_a_broken_edit_is_told(start):
    running = start()
    running.await_event("reload_unchanged")  # the look at the beginning
    running.file.write_text("providers: [\n")
    running.await_event("reload_failed")
    running.write(running.config)
    told = eventually(
        lambda: [e for e in running.events("reload_unchanged") if e["level"] == "info"]
    )
    assert told[0]["why"] == "file"


def test_a_file_that_is_gone_is_told_once_and_so_is_its_return(start):
    running = start()
    running.await_event("reload_unchanged")  # the look at the beginning
    running.file.unlink()
    told = running.await_event("config_unreadable")
    assert (told["level"], told["file"]) == ("warning", str(running.file))
    running.write(running.config)
    eventually(lambda: [e for e in running.events("reload_unchanged") if e["level"] == "info"])
    assert len(running.events("config_unreadable")) == 1
    assert names(running) == {"zai:[0]"}


def test_the_end_does_not_wait_for_a_command_of_a_reload(start, tmp_path):
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


def test_a_file_is_not_watched_when_that_is_switched_off_by_a_reload_too(start):
    running = start()
    server = msgspec.structs.replace(running.config.server, watch=False)
    running.change(server=server)
    running.await_event("reloaded")
    running.change(providers=[provider("unseen")])
    os.kill(int(running.ask("pid")), signal.SIGTERM)  # takes longer than an event would
    running.await_event("worker_gone")
    assert len(running.events("reloaded")) == 1
    running.send(signal.SIGHUP)
    assert running.await_event("reloaded", 2)["why"] == "signal"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_watching_costs_next_to_nothing_when_other_files_of_the_folder_change(start):
    running = start()
    running.await_event("reload_unchanged")  # the look at the beginning
    for number in range(20):
        (running.file.parent / f"other-{number}").write_text("x")
    running.change(providers=[provider("fresh")])
    running.await_event("reloaded")
    # The log itself lies in that folder.
    assert len(running.events("reload_unchanged")) <= 2
