"""`ccrelay sessions`: what it asks, and what it does with several, none, and one."""

import json

import pytest

from ccrelay.cli.sessions import quoted
from ccrelay.v1 import exchanges_pb2 as ex, providers_pb2 as pb, usage_pb2 as us
from tests.unit.cli import examples, served
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone

__all__ = ["relay", "zone"]


@pytest.fixture
def asked(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> FakeRelay:
    monkeypatch.setattr("time.time", lambda: served.day("14:32:08") / 1000)
    relay.answers["Usage/ListSessions"] = examples.sessions()
    relay.answers["Usage/Query"] = examples.session_parts()
    relay.answers["Exchanges/List"] = ex.ExchangesListResponse(exchanges=[examples.FAILED_OVER])
    relay.answers["Exchanges/Get"] = examples.detail()
    relay.answers["Providers/List"] = pb.ProvidersListResponse(providers=served.status().providers)
    return relay


def test_those_of_today_are_listed_the_latest_last(asked: FakeRelay) -> None:
    ended = run("sessions")
    assert ended.exit_code == 0, ended.output
    lines = ended.output.splitlines()
    assert [line.split()[0] for line in lines] == ["PROJECT", "-", "handbook", "payments-api"]
    request = asked.of("Usage/ListSessions")[0]
    assert request.since_ms == served.at("2026-12-03 00:00:00")
    assert (request.filter, request.page_size) == ("", 20)


def test_options_are_passed_on_and_pages_follow(asked: FakeRelay) -> None:
    pages = [
        us.ListSessionsResponse(sessions=examples.sessions().sessions, next_page_token="more"),
        us.ListSessionsResponse(sessions=examples.sessions().sessions[:1]),
    ]
    asked.answers["Usage/ListSessions"] = lambda request: pages.pop(0)
    ended = run("sessions", "-n", "5", "--filter", "project:a", "--since", "7d", "--json")
    assert len(json.loads(ended.output)["sessions"]) == 4
    first, second = asked.of("Usage/ListSessions")
    assert (first.filter, first.page_size, second.page_size) == ("project:a", 5, 2)
    assert second.page_token == "more"


def test_none_is_said(asked: FakeRelay) -> None:
    asked.answers["Usage/ListSessions"] = us.ListSessionsResponse()
    assert run("sessions").output == (
        "No session since today. Longer ago: ccrelay sessions --since 7d\n"
    )
    assert run("sessions", "--filter", "a").output.startswith("No session matches.")


def test_one_is_shown_as_a_tree_by_the_beginning_of_its_id(asked: FakeRelay) -> None:
    ended = run("sessions", "3F8C")
    assert ended.exit_code == 0, ended.output
    assert ended.output.startswith("payments-api 3f8c41aa-1111 has cost $13.84 since 12:41")
    assert asked.of("Usage/ListSessions")[0].filter == 'session:"3F8C"'
    query = asked.of("Usage/Query")[0]
    assert query.filter == 'session="3f8c41aa-1111"'
    assert list(query.group_by) == [
        *(us.DIMENSION_AGENT, us.DIMENSION_CLASS, us.DIMENSION_MODEL, us.DIMENSION_KEY),
    ]
    assert asked.of("Exchanges/List")[0].filter == 'session="3f8c41aa-1111" moved:yes'


def test_one_as_json(asked: FakeRelay) -> None:
    shown = json.loads(run("sessions", "3f8c", "--json").output)
    assert shown["session"]["turns"] == 47
    first = shown["conversations"][0]
    assert (first["agent"], first["class"], first["key"]) == ("", "main", "anthropic/team-a")
    assert first["totals"]["exchanges"] == 40
    assert len(shown["moves"]) == 1


def test_an_unknown_one_and_several_are_told(asked: FakeRelay) -> None:
    ended = run("sessions", "999")
    assert ended.exit_code == 1
    assert "No session begins with '999'" in ended.output
    several = us.ListSessionsResponse(
        sessions=[us.Session(session=name) for name in ("3f8c1", "3f8c2", "a-3f8c")]
    )
    asked.answers["Usage/ListSessions"] = several
    ended = run("sessions", "3f8c")
    assert ended.exit_code == 2
    assert "Several begin so: 3f8c1, 3f8c2. Give more of it." in ended.output


def test_one_is_shown_whole(asked: FakeRelay) -> None:
    ended = run("sessions", "3f8c", "--since", "7d")
    assert ended.exit_code == 2
    assert "a session is shown whole" in ended.output


def test_values_of_filters_are_quoted() -> None:
    assert quoted('a"b\\c d') == '"a\\"b\\\\c d"'
