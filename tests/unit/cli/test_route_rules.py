"""`ccrelay route rules`: lines, times, and JSON."""

import json

import pytest

from ccrelay.cli.cells import width_of
from ccrelay.cli.route_rules import NO_RULES, rule_lines
from ccrelay.v1 import routing_pb2 as ro
from tests.unit.cli import examples, served
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, day, plain, relay, zone

__all__ = ["relay", "zone"]

NOW = day("14:32:08")


@pytest.fixture
def asked(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> FakeRelay:
    monkeypatch.setattr("time.time", lambda: served.day("14:32:08") / 1000)
    relay.answers["Routing/ListRules"] = examples.rules()
    return relay


def test_each_rule_has_its_conditions_and_what_it_changes(asked: FakeRelay) -> None:
    ended = run("route", "rules")
    assert ended.exit_code == 0, ended.output
    lines = ended.output.splitlines()
    assert lines[0] == " 1  background" + "55 today, last 14:31:12, $0.21".rjust(80 - 14)
    assert lines[1:4] == [
        "      when  request_class: [background]",
        "       use  providers: [zai]",
        "            model: glm-5.3",
    ]
    assert lines[4] == " 2  rules[1]" + "0 today".rjust(80 - 12)
    assert lines[5:7] == ["      when  every request", "       use  strategy: failover"]
    assert lines[7] == "    everything else" + "184 today".rjust(80 - 19)
    assert asked.of("Routing/ListRules")[0].since_ms == served.at("2026-12-03 00:00:00")


def test_all_of_the_ledger(asked: FakeRelay) -> None:
    ended = run("route", "rules", "--since", "all")
    assert asked.of("Routing/ListRules")[0].since_ms == 0
    assert ended.output.splitlines()[0].endswith(" 55, last 14:31:12, $0.21")


def test_a_wrong_time_is_told(asked: FakeRelay) -> None:
    assert run("route", "rules", "--since", "soon").exit_code == 2


def test_json_is_the_message(asked: FakeRelay) -> None:
    shown = json.loads(run("route", "rules", "--json").output)
    assert shown["unmatched"] == 184
    assert shown["rules"][0]["use"] == ["providers: [zai]", "model: glm-5.3"]


def test_no_rules_are_said(asked: FakeRelay) -> None:
    asked.answers["Routing/ListRules"] = ro.ListRulesResponse(unmatched=5)
    assert " ".join(run("route", "rules").output.split()) == NO_RULES


@pytest.mark.parametrize("width", [20, 40, 80, 140])
def test_no_line_is_too_long(width: int) -> None:
    for line in rule_lines(examples.rules(), "today", NOW, plain(width)):
        assert width_of(line) <= width, line
