import json

import pytest

from ccrelay.cli.overrides import NOTHING
from ccrelay.v1 import providers_pb2 as pb
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, day, relay, zone

__all__ = ["relay", "zone"]


def test_overrides_are_listed(relay: FakeRelay) -> None:
    override = pb.Override(
        id="zai/plan.weight", provider="zai", key="hmac:51aa0000", setting="weight", value="3",
        file_value="1", set_at_ms=day("14:00:00"),
    )  # fmt: skip
    relay.answers["Providers/ListOverrides"] = pb.ListOverridesResponse(overrides=[override])
    assert run("overrides").stdout == (
        "ID               IS     IN THE FILE  SINCE\n"
        "zai/plan.weight  3      1            2026-12-03 14:00:00\n"
    )
    assert json.loads(run("overrides", "--json").stdout)["overrides"][0]["value"] == "3"


def test_none_says_what_to_do(relay: FakeRelay) -> None:
    relay.answers["Providers/ListOverrides"] = pb.ListOverridesResponse()
    assert run("overrides").stdout.replace("\n", " ").strip() == NOTHING


@pytest.mark.parametrize(
    ("arguments", "ids"), [(["--all"], []), (["zai.enabled"], ["zai.enabled"])]
)
def test_they_are_written_and_dropped(
    relay: FakeRelay, arguments: list[str], ids: list[str]
) -> None:
    relay.answers["Providers/WriteOverrides"] = pb.WriteOverridesResponse(
        file="c.yaml", revision=12
    )
    relay.answers["Providers/DropOverrides"] = pb.DropOverridesResponse(dropped=1)
    ended = run("overrides", "write", *arguments)
    assert ended.stdout == "Written to c.yaml: number 12 is in force.\n"
    assert run("overrides", "drop", *arguments).stdout == "1 override dropped.\n"
    for _, request in relay.asked:
        assert list(request.ids) == ids


@pytest.mark.parametrize("arguments", [[], ["zai.enabled", "--all"]])
def test_which_ones_must_be_said(relay: FakeRelay, arguments: list[str]) -> None:
    for word in ("write", "drop"):
        ended = run("overrides", word, *arguments)
        assert ended.exit_code == 2
        assert "--all" in ended.stderr
    assert relay.asked == []
