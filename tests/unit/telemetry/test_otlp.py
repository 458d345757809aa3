"""Exporters against a collector that decodes what comes."""

import logging

import pytest

from ccrelay.ledger.record import Record, Result
from ccrelay.telemetry.genai import Target
from ccrelay.telemetry.otlp import LastMessage, MetricExport, resource
from tests.unit.telemetry.collector import Collector, plain, serving
from tests.unit.telemetry.records import attempt, record
from tests.unit.telemetry.test_genai import USAGE

KNOWN = {"anthropic": Target("anthropic", "api.anthropic.com", 443)}


def exported(collector: Collector, *records: Record) -> list[tuple[str, int, str]]:
    told: list[tuple[str, int, str]] = []
    export = MetricExport(
        collector.url, {"x-token": "t"}, lambda *args: told.append(args), resource("i"), KNOWN
    )
    for one in records:
        export.observe(one)
    export.close(5.0)
    return told


def test_metrics_of_the_conventions_arrive() -> None:
    with serving() as collector:
        made = record(**USAGE, first_event_us=700_000, sent="served", model="asked")
        told = exported(collector, made, made)
        points = collector.points()
        assert collector.paths == ["/v1/metrics"]
        assert collector.headers[0]["x-token"] == "t"
    assert told == [("metrics", 1, "")]
    [duration] = points["gen_ai.client.operation.duration"]
    assert (duration.count, duration.sum) == (2, 4.0)
    assert plain(duration.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "served",
        "gen_ai.response.model": "served",
        "server.address": "api.anthropic.com",
        "server.port": 443,
    }
    [first] = points["gen_ai.client.operation.time_to_first_chunk"]
    assert first.sum == pytest.approx(1.4)
    tokens = {
        plain(point.attributes)["gen_ai.token.type"]: point.sum
        for point in points["gen_ai.client.token.usage"]
    }
    assert tokens == {"input": 670, "output": 80}


def test_a_failed_attempt_has_its_error() -> None:
    tries = [attempt(), attempt(provider="gone", verdict="answered", status=200)]
    with serving() as collector:
        exported(collector, record(attempts=2, tries=tries, result=Result.FAILOVER))
        found = [
            plain(point.attributes)
            for point in collector.points()["gen_ai.client.operation.duration"]
        ]
    assert {one.get("error.type") for one in found} == {"overloaded", None}
    assert {one["gen_ai.provider.name"] for one in found} == {"anthropic", "_OTHER"}


def test_invented_models_are_one_series() -> None:
    with serving() as collector:
        made = [
            record(sent=f"m-{n}", status=404, result=Result.PASSED_ON, error="model_unknown")
            for n in range(300)
        ]
        exported(collector, *made)
        assert len(collector.points()["gen_ai.client.operation.duration"]) == 1


def test_a_collector_that_refuses_is_told() -> None:
    with serving() as collector:
        collector.status = 401
        [(signal, number, reason)] = exported(collector, record())
    assert (signal, number) == ("metrics", 1)
    assert "401" in reason


def test_the_resource_is_named_by_the_standard_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resource("i").attributes["service.name"] == "ccrelay"
    assert resource("i").attributes["service.instance.id"] == "i"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    assert resource("i").attributes["service.name"] == "ccrelay"
    assert resource("i").attributes["deployment.environment.name"] == "test"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    assert resource("i").attributes["service.name"] == "mine"


def test_messages_of_the_sdk_do_not_reach_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    kept = LastMessage.install()
    assert LastMessage.install() is kept
    logging.getLogger("opentelemetry.exporter").error("it broke: %s", "so")
    assert kept.take() == "it broke: so"
    assert kept.take() == "the collector did not take it"
    assert capfd.readouterr().err == ""
