import json

import pytest

from ccrelay.v1 import providers_pb2 as pb
from tests.unit.cli import served
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]


def test_the_table_and_its_json(relay: FakeRelay) -> None:
    relay.answers["Providers/List"] = pb.ProvidersListResponse(providers=served.status().providers)
    assert run("keys").stdout.startswith("3 in use, 1 idle, 1 in cooldown.\n\n  KEY ")
    assert len(json.loads(run("keys", "--json").stdout)["providers"]) == 3


@pytest.mark.parametrize("word", ["enable", "disable"])
def test_a_key_is_switched(relay: FakeRelay, word: str) -> None:
    relay.answers["Providers/SetKeyEnabled"] = pb.SetKeyEnabledResponse()
    assert run("keys", word, "zai/a/b").stdout.startswith(f"zai/a/b is {word}d.\n")
    [request] = relay.of("Providers/SetKeyEnabled")
    assert (request.provider, request.key, request.enabled) == ("zai", "a/b", word == "enable")


def test_a_key_is_weighed(relay: FakeRelay) -> None:
    relay.answers["Providers/SetWeight"] = pb.SetWeightResponse()
    assert run("keys", "weight", "zai/plan", "3").stdout.startswith("zai/plan has weight 3.\n")
    [request] = relay.of("Providers/SetWeight")
    assert request == pb.SetWeightRequest(provider="zai", key="plan", weight=3)


@pytest.mark.parametrize("number", ["-1", "1001", "1.5", "x"])
def test_a_weight_out_of_range_is_wrong_usage(relay: FakeRelay, number: str) -> None:
    assert run("keys", "weight", "zai/plan", number).exit_code == 2
    assert relay.asked == []


@pytest.mark.parametrize(
    ("target", "key", "cleared", "said"),
    [
        ("zai/plan", "plan", 1, "zai/plan: 1 cooldown ended.\n"),
        ("zai", "", 2, "zai: 2 cooldowns ended.\n"),
        ("zai", "", 0, "zai: no cooldown to end.\n"),
    ],
)
def test_cooldowns_end(relay: FakeRelay, target: str, key: str, cleared: int, said: str) -> None:
    relay.answers["Providers/ClearCooldown"] = pb.ClearCooldownResponse(cleared=cleared)
    assert run("keys", "clear-cooldown", target).stdout == said
    [request] = relay.of("Providers/ClearCooldown")
    assert (request.provider, request.key) == ("zai", key)


@pytest.mark.parametrize("target", ["zai", "/plan", "zai/", "/"])
def test_a_key_needs_its_provider(relay: FakeRelay, target: str) -> None:
    ended = run("keys", "disable", target)
    assert ended.exit_code == 2
    assert "is not PROVIDER/KEY" in ended.stderr
