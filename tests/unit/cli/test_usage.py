import json

import pytest

from ccrelay.v1 import usage_pb2 as us
from tests.unit.cli import examples, served
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, at, relay, zone
from tests.unit.cli.test_usage_view import AT_120

__all__ = ["relay", "zone"]


@pytest.fixture(autouse=True)
def queried(relay: FakeRelay, monkeypatch: pytest.MonkeyPatch) -> None:
    relay.answers["Usage/Query"] = examples.usage()
    now_s = served.day("14:32:08") / 1000
    monkeypatch.setattr("ccrelay.cli.usage.time.time", lambda: now_s)


def test_seven_days_by_model_are_the_default(relay: FakeRelay) -> None:
    ended = run("usage", env={"COLUMNS": "120"})
    assert ended.stdout == AT_120
    [request] = relay.of("Usage/Query")
    assert list(request.group_by) == [us.DIMENSION_MODEL]
    assert (request.since_ms, request.until_ms) == (at("2026-11-27 00:00:00"), 0)


def test_what_is_asked_for(relay: FakeRelay) -> None:
    relay.answers["Usage/Query"] = us.QueryResponse()
    run("usage", "--by", "model, day", "--until", "yesterday", "--filter", "zai")
    [request] = relay.of("Usage/Query")
    assert list(request.group_by) == [us.DIMENSION_MODEL, us.DIMENSION_DAY]
    assert (request.since_ms, request.until_ms) == (0, at("2026-12-03 00:00:00"))
    assert request.filter == "zai"
    run("usage", "--by", "all")
    assert list(relay.of("Usage/Query")[1].group_by) == []


@pytest.mark.parametrize(
    ("by", "said"),
    [("modle", "Did you mean 'model'?"), ("model,model", "twice"), ("x", "Groups: provider, ")],
)
def test_what_is_no_group_is_wrong_usage(relay: FakeRelay, by: str, said: str) -> None:
    ended = run("usage", "--by", by)
    assert ended.exit_code == 2
    assert said in ended.stderr
    assert relay.asked == []


def test_all_pages_are_one_answer(relay: FakeRelay) -> None:
    pages = {
        "": us.QueryResponse(rows=examples.usage().rows[:2], next_page_token="2"),
        "2": us.QueryResponse(rows=examples.usage().rows[2:]),
    }
    relay.answers["Usage/Query"] = lambda request: pages[request.page_token]
    shown = json.loads(run("usage", "--json").stdout)
    assert [row["group"][0] for row in shown["rows"]][2:] == ["claude-haiku-5-5", "glm-5.3"]
    assert shown["next_page_token"] == ""


def test_an_export_is_bytes_as_they_come(relay: FakeRelay) -> None:
    pieces = [us.ExportResponse(data=b"id,cost\r\n"), us.ExportResponse(data="a,é\r\n".encode())]
    relay.answers["Usage/Export"] = pieces
    ended = run("usage", "--export", "csv", "--filter", "zai")
    assert ended.stdout_bytes == "id,cost\r\na,é\r\n".encode()
    [request] = relay.of("Usage/Export")
    assert request == us.ExportRequest(format=us.EXPORT_FORMAT_CSV, filter="zai")
    run("usage", "--export", "jsonl", "--since", "today")
    assert relay.of("Usage/Export")[1].format == us.EXPORT_FORMAT_JSON_LINES


@pytest.mark.parametrize("other", ["--json", "--watch"])
def test_an_export_stands_alone(relay: FakeRelay, other: str) -> None:
    ended = run("usage", "--export", "csv", other)
    assert ended.exit_code == 2
    assert "--export stands alone" in ended.stderr
