"""The JSON of messages: what scripts rely on."""

import json

import pytest

from ccrelay.cli.json_output import as_dict, enum_word, print_json
from ccrelay.v1 import providers_pb2 as pb, relay_pb2 as rl, usage_pb2 as us
from tests.unit.cli import served


def test_every_member_is_there_under_its_name_of_the_schema() -> None:
    shown = as_dict(pb.Key(name="a", state=pb.Key.STATE_IN_USE))
    assert list(shown) == [field.name for field in pb.Key.DESCRIPTOR.fields]
    assert shown["state"] == "in_use"
    assert shown["room"] is None
    assert shown["windows"] == []
    assert shown["today"] is None
    assert as_dict(pb.Key(room=0.0))["room"] == 0.0


def test_large_numbers_are_numbers() -> None:
    assert as_dict(pb.Totals(saved_micros=-(2**63)))["saved_micros"] == -(2**63)


def test_enums_are_their_words() -> None:
    assert as_dict(pb.Provider(billing=pb.BILLING_PLAN))["billing"] == "plan"
    assert as_dict(pb.Breaker())["state"] == "unspecified"
    assert as_dict(us.QueryRequest(group_by=[2, 8]))["group_by"] == ["model", "day"]
    enum = pb.Key.DESCRIPTOR.enum_types_by_name["State"]
    assert enum_word(enum, 999) == 999  # of a newer relay


def test_maps_and_nested_messages() -> None:
    version = rl.GetVersionResponse(version="1", libraries={"click": "8"})
    assert as_dict(version)["libraries"] == {"click": "8"}
    whole = as_dict(served.status())
    assert whole["providers"][0]["keys"][0]["today"]["plan_micros"] == 6_840_000
    json.dumps(whole)


@pytest.mark.parametrize("line", [False, True])
def test_what_is_printed_is_json_that_controls_no_terminal(
    capsys: pytest.CaptureFixture[str], line: bool
) -> None:
    name = "a\x1b[2J\x7f\u202e日\n"
    print_json(pb.Override(provider=name), line=line)
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.replace("\n", "").isprintable()
    assert json.loads(out)["provider"] == name
    assert (out.count("\n") == 1) is line
