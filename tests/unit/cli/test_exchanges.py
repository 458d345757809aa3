import json

import pytest

from ccrelay.control.client import CallFailed
from ccrelay.v1 import exchanges_pb2 as ex, providers_pb2 as pb
from tests.unit.cli import examples, served
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, at, relay, zone
from tests.unit.cli.test_exchanges_view import AT_120

__all__ = ["relay", "zone"]


@pytest.fixture(autouse=True)
def listed(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    relay.answers["Exchanges/List"] = ex.ExchangesListResponse(exchanges=examples.exchanges())
    relay.answers["Exchanges/Get"] = examples.detail()
    relay.answers["Providers/List"] = pb.ProvidersListResponse(providers=served.status().providers)
    now_s = served.day("14:32:08") / 1000
    monkeypatch.setattr("ccrelay.cli.exchanges.time.time", lambda: now_s)


def test_rows_are_printed_the_newest_last(relay: FakeRelay) -> None:
    ended = run("exchanges", env={"COLUMNS": "120"})
    assert ended.exit_code == 0
    assert ended.stdout == AT_120


def test_what_is_asked_for(relay: FakeRelay) -> None:
    run("exchanges", "--filter", "zai", "--filter", "cost>0.1", "--since", "yesterday", "-n", "7")
    [request] = relay.of("Exchanges/List")
    assert request.filter == "zai cost>0.1"
    assert request.page_size == 7
    assert request.since_ms == at("2026-12-02 00:00:00")
    assert request.until_ms == 0


def test_none_is_not_asked_for_where_none_follow(relay: FakeRelay) -> None:
    ended = run("exchanges", "--limit", "0")
    assert (ended.exit_code, relay.of("Exchanges/List")) == (2, [])
    assert "--follow" in ended.stderr


def test_json_is_one_object_the_newest_first(relay: FakeRelay) -> None:
    shown = json.loads(run("exchanges", "--json").stdout)
    assert list(shown) == ["exchanges"]
    assert shown["exchanges"][0]["id"] == "req_ccrelay_023"
    assert shown["exchanges"][2]["outcome"] == "failover"


def test_nothing_says_what_to_do(relay: FakeRelay) -> None:
    relay.answers["Exchanges/List"] = ex.ExchangesListResponse()
    assert "through the relay: ccrelay claude" in run("exchanges").stdout
    assert run("exchanges", "--filter", "x").stdout.startswith("No exchange matches.")
    assert json.loads(run("exchanges", "--json").stdout) == {"exchanges": []}


def test_a_filter_that_is_refused_is_wrong_usage(relay: FakeRelay) -> None:
    relay.answers["Exchanges/List"] = CallFailed("INVALID_ARGUMENT", "No field 'modle'.")
    ended = run("exchanges", "--filter", "modle:x")
    assert (ended.exit_code, ended.stderr) == (2, "No field 'modle'.\n")


def test_following_has_no_beginning_in_time(relay: FakeRelay) -> None:
    ended = run("exchanges", "--follow", "--since", "7d")
    assert ended.exit_code == 2
    assert "use --limit" in ended.stderr
