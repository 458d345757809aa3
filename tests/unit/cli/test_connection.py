"""Failures of calls as exit codes and one sentence."""

from pathlib import Path
from typing import Any

import pytest

from ccrelay.cli import connection
from ccrelay.cli.connection import Failed, Relay
from ccrelay.control.client import CallFailed, Client, NoRelay, SeveralRelays
from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]


@pytest.mark.parametrize(
    ("error", "exit_code", "said"),
    [
        (NoRelay("none: start one"), 3, "none: start one"),
        (SeveralRelays([Path("a"), Path("b")]), 2, "Choose one"),
        (CallFailed("INVALID_ARGUMENT", "no field x"), 2, "no field x"),
        (CallFailed("NOT_FOUND", "no such"), 1, "no such"),
        (CallFailed("UNIMPLEMENTED", ""), 1, "upgrade it"),
        (CallFailed("INTERNAL", ""), 1, "INTERNAL"),
    ],
)
def test_every_failure_has_its_exit_code(
    relay: FakeRelay, error: Exception, exit_code: int, said: str
) -> None:
    relay.answers["Relay/GetStatus"] = error
    with pytest.raises(Failed) as raised:
        Relay().call("Relay/GetStatus", rl.GetStatusRequest(), rl.GetStatusResponse)
    assert raised.value.exit_code == exit_code
    assert said in raised.value.message


def test_a_stream_fails_at_its_beginning_or_later(relay: FakeRelay) -> None:
    relay.answers["Exchanges/Tail"] = [ex.TailResponse(), CallFailed("UNAVAILABLE", "gone")]
    stream = Relay().stream("Exchanges/Tail", ex.TailRequest(), ex.TailResponse)
    assert next(stream) == ex.TailResponse()
    with pytest.raises(Failed, match="gone"):
        next(stream)


def test_the_relay_is_looked_for_once_until_it_is_forgotten(relay: FakeRelay) -> None:
    asked = Relay("/x.sock", {"HOME": "/h"})

    def call() -> Any:
        return asked.call("Relay/GetStatus", rl.GetStatusRequest(), rl.GetStatusResponse)

    call()
    call()
    assert relay.envs == [{"HOME": "/h", "CCRELAY_SOCKET": "/x.sock"}]
    asked.forget()
    call()
    assert len(relay.envs) == 2


def test_the_client_is_that_of_the_socket_that_is_named() -> None:
    client = connection.connect({"CCRELAY_SOCKET": "/x.sock"})
    assert isinstance(client, Client)
    assert client.where == "/x.sock"
    with pytest.raises(NoRelay, match="--socket"):
        connection.connect({})


def test_a_message_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Failed("a\x1b[2J").show()
    assert capsys.readouterr().err == "a\\u001b[2J\n"
