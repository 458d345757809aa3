import json

import pytest

from ccrelay import __version__
from ccrelay.control.client import CallFailed, NoRelay
from ccrelay.v1 import relay_pb2 as rl
from tests.unit.cli import served
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone
from tests.unit.cli.test_status_view import AT_80

__all__ = ["relay", "zone"]


def test_status_is_printed(relay: FakeRelay) -> None:
    said = served.status()
    said.version = __version__
    relay.answers["Relay/GetStatus"] = rl.GetStatusResponse(status=said)
    ended = run("status")
    assert ended.exit_code == 0
    assert ended.stdout == AT_80.replace("0.3.0", __version__)


def test_the_exit_code_is_1_when_some_model_has_no_target(relay: FakeRelay) -> None:
    said = served.status()
    said.answering = False
    relay.answers["Relay/GetStatus"] = rl.GetStatusResponse(status=said)
    assert run("status").exit_code == 1
    ended = run("status", "--json")
    assert ended.exit_code == 1
    assert json.loads(ended.stdout)["answering"] is False


def test_json_has_what_the_schema_has(relay: FakeRelay) -> None:
    shown = json.loads(run("status", "--json").stdout)
    assert list(shown) == [field.name for field in rl.Status.DESCRIPTOR.fields]
    assert shown["providers"][0]["keys"][2]["state"] == "cooldown"


def test_without_a_relay_it_says_what_to_do(relay: FakeRelay) -> None:
    relay.answers["Relay/GetStatus"] = NoRelay("No relay runs. Start one: ccrelay serve\x1b")
    ended = run("status")
    assert ended.exit_code == 3
    assert ended.stdout == ""
    assert ended.stderr == "No relay runs. Start one: ccrelay serve\\u001b\n"


def test_a_call_that_fails_is_one_sentence(relay: FakeRelay) -> None:
    relay.answers["Relay/GetStatus"] = CallFailed("UNAVAILABLE", "The manager starts.")
    assert run("status").stderr == "The manager starts.\n"


def test_watching_prints_again_until_ctrl_c(
    relay: FakeRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("ccrelay.cli.watching.pause", sleep)
    ended = run("status", "--watch", "--interval", "2.5")
    assert naps == [2.5, 2.5, 2.5]
    assert ended.stdout.count("Answering.") == 3
    naps.clear()
    lines = run("status", "--watch", "--json").stdout.splitlines()
    assert [json.loads(line)["version"] for line in lines] == ["0.3.0"] * 3


def test_the_socket_is_chosen_by_option(relay: FakeRelay) -> None:
    run("status", "--socket", "/tmp/x.sock")
    assert relay.envs[0]["CCRELAY_SOCKET"] == "/tmp/x.sock"
