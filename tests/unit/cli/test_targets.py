"""Names that a shell completes."""

from typing import Any

import click
import pytest

from ccrelay.cli import targets
from ccrelay.control.client import NoRelay
from ccrelay.v1 import providers_pb2 as pb
from tests.unit.cli import served
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]
CONTEXT = click.Context(click.Command("x"))


def values(items: list[Any]) -> list[str]:
    return [item.value for item in items]


@pytest.fixture(autouse=True)
def listed(relay: FakeRelay) -> None:
    providers = served.status().providers
    providers[2].overrides.add(id="zai.enabled")
    providers[2].keys[0].overrides.add(id="zai/plan.weight")
    providers.add(name="a b")
    providers.add(name="x\x1b")
    relay.answers["Providers/List"] = pb.ProvidersListResponse(providers=providers)


def test_names_are_those_of_the_running_relay() -> None:
    assert values(targets.complete_providers(CONTEXT, None, "")) == ["anthropic", "bedrock", "zai"]
    assert values(targets.complete_keys(CONTEXT, None, "anthropic/te")) == [
        "anthropic/team-a",
        "anthropic/team-b",
    ]
    assert values(targets.TargetParam().shell_complete(CONTEXT, None, "z")) == ["zai/plan"]
    assert values(targets.complete_overrides(CONTEXT, None, "")) == [
        "zai.enabled",
        "zai/plan.weight",
    ]


@pytest.mark.parametrize("error", [NoRelay("none"), ValueError("bug"), OSError("broken")])
def test_no_failure_disturbs_the_line(relay: FakeRelay, error: Exception) -> None:
    relay.answers["Providers/List"] = error
    assert targets.complete_providers(CONTEXT, None, "") == []


def test_a_target_is_split_at_the_first_slash() -> None:
    param = targets.TargetParam()
    assert param.convert("a/b/c", None, None) == targets.Target("a", "b/c")
    assert param.convert(targets.Target("a", "b"), None, None) == ("a", "b")
    with pytest.raises(click.BadParameter, match="ccrelay keys"):
        param.convert("a", None, None)
