import json

import pytest

from ccrelay.control.client import CallFailed
from ccrelay.v1 import providers_pb2 as pb
from tests.unit.cli import served
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]


def test_the_table_and_its_json(relay: FakeRelay) -> None:
    answer = pb.ProvidersListResponse(providers=served.status().providers)
    relay.answers["Providers/List"] = answer
    assert run("providers").stdout.startswith("3 providers, 1 breaker open")
    shown = json.loads(run("providers", "--json").stdout)
    assert [one["billing"] for one in shown["providers"]] == ["tokens", "tokens", "plan"]


@pytest.mark.parametrize("word", ["enable", "disable"])
def test_a_provider_is_switched(relay: FakeRelay, word: str) -> None:
    relay.answers["Providers/SetEnabled"] = pb.SetEnabledResponse()
    ended = run("providers", word, "zai")
    assert ended.stdout.startswith(f"zai is {word}d.\nIt holds until the relay ends.")
    [request] = relay.of("Providers/SetEnabled")
    assert (request.provider, request.enabled) == ("zai", word == "enable")


def test_the_last_provider_stays(relay: FakeRelay) -> None:
    relay.answers["Providers/SetEnabled"] = CallFailed("FAILED_PRECONDITION", "It is the last one.")
    ended = run("providers", "disable", "zai")
    assert (ended.exit_code, ended.stderr) == (1, "It is the last one.\n")


def test_a_probe_says_what_came(relay: FakeRelay) -> None:
    relay.answers["Providers/Probe"] = pb.ProbeResponse(
        ok=True, latency_ms=900, status=200, model="glm-5.3", cost_micros=400
    )
    ended = run("providers", "probe", "zai", "--kind", "message", "--key", "plan", "--model", "m")
    assert ended.stdout == "ok    zai: message, HTTP 200, glm-5.3, in 0.90 s, cost $0.0004\n"
    [request] = relay.of("Providers/Probe")
    assert request == pb.ProbeRequest(
        provider="zai", key="plan", model="m", kind=pb.PROBE_KIND_MESSAGE
    )


def test_a_probe_that_fails_says_what_to_do(relay: FakeRelay) -> None:
    relay.answers["Providers/Probe"] = pb.ProbeResponse(
        latency_ms=31, status=401, message="The key was refused: check\x1b it."
    )
    ended = run("providers", "probe", "zai", "--kind", "count_tokens")
    assert ended.exit_code == 1
    assert ended.stdout == (
        "FAIL  zai: count tokens, HTTP 401, in 31 ms\n      The key was refused: check\\u001b it.\n"
    )
    assert json.loads(run("providers", "probe", "zai", "--json").stdout)["status"] == 401


def test_unknown_commands_and_options_suggest(relay: FakeRelay) -> None:
    ended = run("providers", "disabel", "zai")
    assert ended.exit_code == 2
    assert "No such command 'disabel'. Did you mean 'disable'?" in ended.stderr
    ended = run("providers", "probe", "zai", "--knd", "connect")
    assert ended.exit_code == 2
    assert "--kind" in ended.stderr
