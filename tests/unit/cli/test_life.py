import json
from typing import Any

import pytest

from ccrelay.control.client import CallFailed, NoRelay
from ccrelay.v1 import relay_pb2 as rl
from tests.unit.cli import served
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]


def test_a_reload_says_which_number_is_in_force(relay: FakeRelay) -> None:
    relay.answers["Relay/Reload"] = rl.ReloadResponse(
        changed=True, revision=12, warnings=["server.listen: needs a restart"]
    )
    assert run("reload").stdout == "Number 12 is in force.\n! server.listen: needs a restart\n"
    relay.answers["Relay/Reload"] = rl.ReloadResponse(revision=12)
    assert run("reload").stdout == "Nothing changed: number 12 stays.\n"
    relay.answers["Relay/Reload"] = rl.ReloadResponse(changed=True)
    assert run("reload").stdout == "The configuration is in force.\n"
    assert json.loads(run("reload", "--json").stdout) == {
        "changed": True,
        "revision": 0,
        "warnings": [],
    }


def test_a_reload_that_fails_says_the_mistake(relay: FakeRelay) -> None:
    relay.answers["Relay/Reload"] = CallFailed("FAILED_PRECONDITION", "c.yaml:3:1: unknown key 'x'")
    ended = run("reload")
    assert (ended.exit_code, ended.stderr) == (1, "c.yaml:3:1: unknown key 'x'\n")


def test_a_drain_says_how_long_it_takes(relay: FakeRelay) -> None:
    relay.answers["Relay/Drain"] = rl.DrainResponse(in_flight=3, limit_s=60)
    assert run("drain").stdout == "Draining: 3 exchanges under way, at most 60 s.\n"
    relay.answers["Relay/Drain"] = rl.DrainResponse(limit_s=60)
    assert run("drain").stdout == "Draining: nothing is under way.\n"


def test_a_drain_waits_for_the_end(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("ccrelay.cli.life.time.monotonic", lambda: now[0])
    monkeypatch.setattr(
        "ccrelay.cli.life.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    relay.answers["Relay/Drain"] = rl.DrainResponse(in_flight=1, limit_s=5)
    said = rl.GetStatusResponse(status=served.status())
    answers: list[Any] = [said, CallFailed("UNAVAILABLE", "busy"), NoRelay("gone")]
    relay.answers["Relay/GetStatus"] = lambda request: answers.pop(0)
    assert run("drain", "--wait").exit_code == 0
    relay.answers["Relay/GetStatus"] = said
    ended = run("drain", "--wait")
    assert ended.exit_code == 1
    assert "still runs after 20 s" in ended.stderr


@pytest.mark.parametrize(("line", "stopped"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_in_a_terminal_it_asks_before_it_cuts(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch, line: str, stopped: bool
) -> None:
    relay.answers["Relay/Stop"] = rl.StopResponse(in_flight=3)
    # CliRunner has its own input: it is the question whether there is a terminal that is faked.
    monkeypatch.setattr("ccrelay.cli.life.has_terminal_input", lambda: True)
    ended = run("stop", input=line)
    assert bool(relay.of("Relay/Stop")) is stopped
    assert ended.exit_code == (0 if stopped else 1)
    assert ("Stopped: 3 exchanges cut." in ended.stdout) is stopped


@pytest.mark.parametrize("arguments", [[], ["--yes"]])
def test_without_a_terminal_or_with_yes_it_does_not_ask(
    relay: FakeRelay, arguments: list[str]
) -> None:
    relay.answers["Relay/Stop"] = rl.StopResponse()
    assert run("stop", *arguments).stdout == "Stopped: nothing was cut.\n"
    assert relay.of("Relay/GetStatus") == []


def test_log_levels(relay: FakeRelay) -> None:
    relay.answers["Relay/SetLogLevel"] = rl.SetLogLevelResponse(previous="info")
    assert run("log-level", "debug").stdout == "The log level is debug, it was info.\n"
    ended = run("log-level", "loud")
    assert ended.exit_code == 2
    assert "'debug', 'info', 'warning', 'error'" in ended.stderr


@pytest.mark.parametrize("command", [["reload"], ["drain"], ["stop"], ["log-level", "debug"]])
def test_without_a_relay_the_exit_code_is_3(relay: FakeRelay, command: list[str]) -> None:
    for method in ("Reload", "Drain", "Stop", "SetLogLevel"):
        relay.answers[f"Relay/{method}"] = NoRelay("No relay runs.")
    assert run(*command).exit_code == 3
