"""The export as the manager uses it: a collector that takes, refuses, hangs or is not there."""

import socket
import threading
import time
from typing import Any

import pytest

from ccrelay.config.model import Config, Provider, Telemetry
from ccrelay.telemetry import otel as module
from ccrelay.telemetry.otel import Otel, Wanted
from tests.unit.telemetry.collector import Collector, plain, serving, wait_for
from tests.unit.telemetry.records import attempt, record
from tests.unit.telemetry.test_genai import USAGE


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def event(self, level: str, name: str, **fields: object) -> None:
        self.events.append((name, fields))

    def exchange(self, entry: object) -> None:
        raise AssertionError

    def names(self) -> list[str]:
        return [name for name, _ in self.events]


def config(endpoint: str | None, **telemetry: Any) -> Config:
    return Config(
        providers=[
            Provider(name="anthropic", type="anthropic", base_url="https://api.anthropic.com")
        ],
        telemetry=Telemetry(otlp_endpoint=endpoint, **telemetry),
    )


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELAY_S", 0.02)
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_an_exchange_arrives_as_spans_and_metrics() -> None:
    tries = [
        attempt(),
        attempt(started_us=410_000, ended_us=900_000, status=200, verdict="answered"),
    ]
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    log = Log()
    with serving() as collector:
        export = Otel(log, {})
        export.apply(config(collector.url, headers={"authorization": "Bearer test-token"}))
        made = record(**USAGE, attempts=2, tries=tries, traceparent=f"00-{trace}-{span}-01")
        export.observe([made])
        wait_for(collector.spans)
        counts = export.counts()
        export.close()
        assert set(collector.paths) == {"/v1/traces", "/v1/metrics"}
        assert collector.headers[0]["authorization"] == "Bearer test-token"
        assert collector.headers[0]["content-type"] == "application/x-protobuf"
        exchange, failed, answered = collector.spans()
        [source] = collector.resources()
        assert "gen_ai.client.token.usage" in collector.points()
    assert exchange.trace_id.hex() == trace
    assert exchange.parent_span_id.hex() == span
    assert failed.parent_span_id == answered.parent_span_id == exchange.span_id
    assert (exchange.kind, failed.kind) == (2, 3)  # SERVER, CLIENT
    assert plain(failed.attributes)["error.type"] == "overloaded"
    assert plain(answered.attributes)["gen_ai.usage.input_tokens"] == 335
    assert exchange.start_time_unix_nano == 1_800_000_000_000_000_000
    assert source["service.name"] == "ccrelay"
    assert counts is not None
    assert counts.dropped == {}
    assert log.events == []


def test_without_an_endpoint_nothing_is_started() -> None:
    export = Otel(Log(), {})
    before = threading.active_count()
    export.apply(config(None))
    export.observe([record()])
    assert threading.active_count() == before
    assert export.counts() is None
    export.close()


def test_the_standard_variables_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as collector:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=test-team",
        }
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        export = Otel(Log(), env)
        export.apply(config(None, metrics=False))
        export.observe([record()])
        wait_for(collector.spans)
        export.close()
        assert collector.headers[0]["x-team"] == "test-team"
        assert set(collector.paths) == {"/v1/traces"}


@pytest.mark.parametrize(
    ("env", "telemetry", "wanted"),
    [
        ({}, {}, (False, False)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, {}, (False, False)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, {}, (True, True)),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h"}, {}, (True, False)),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://h"}, {}, (False, True)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h"}, {"traces": False}, (False, True)),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h", "OTEL_METRICS_EXPORTER": "none"},
            {},
            (True, False),
        ),
        ({"OTEL_SDK_DISABLED": "true"}, {"otlp_endpoint": "http://h"}, (False, False)),
        ({"OTEL_TRACES_EXPORTER": "none"}, {"otlp_endpoint": "http://h"}, (True, True)),
    ],
)
def test_what_is_wanted(
    env: dict[str, str], telemetry: dict[str, Any], wanted: tuple[bool, bool]
) -> None:
    found = Wanted(Telemetry(**telemetry), env)
    assert (found.traces, found.metrics) == wanted


def test_another_protocol_is_told() -> None:
    log = Log()
    port = free_port()
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    export = Otel(log, env)
    export.apply(config(None, traces=True, metrics=False))
    assert log.names() == ["telemetry_protocol"]
    export.close(0.5)


def test_without_the_extra_the_command_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = Log()
    monkeypatch.setattr(module, "_is_installed", lambda: False)
    export = Otel(log, {})
    export.apply(config("http://127.0.0.1:1"))
    export.apply(config("http://127.0.0.1:1"))  # a reload that changes nothing says nothing
    [(name, fields)] = log.events
    assert name == "telemetry_not_installed"
    assert "pip install 'ccrelay-proxy[otel]'" in str(fields["hint"])
    export.observe([record()])
    assert export.counts() is None


def test_a_collector_that_is_not_there_costs_a_counted_drop_and_one_line() -> None:
    log = Log()
    export = Otel(log, {})
    export.apply(config(f"http://127.0.0.1:{free_port()}", metrics=False))
    started = time.monotonic()
    for _ in range(20):
        export.observe([record()] * 1000)
    assert time.monotonic() - started < 0.5
    counts = export.counts()
    assert counts is not None
    assert counts.dropped["traces"] >= 2 * (20_000 - module.RECORDS_MAX - module.SPANS_MAX)
    started = time.monotonic()
    export.close(0.3)
    assert time.monotonic() - started < 3
    assert log.names().count("telemetry_failing") <= 1


def test_a_collector_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with serving() as collector:
        collector.is_hanging = True
        log = Log()
        export = Otel(log, {})
        export.apply(config(collector.url, metrics=False))
        started = time.monotonic()
        export.observe([record()] * 100)
        assert time.monotonic() - started < 0.1
        wait_for(lambda: "telemetry_failing" in log.names())
        collector.is_hanging = False
        collector.hang.set()
        collector.traces.clear()
        export.observe([record()])
        wait_for(lambda: "telemetry_resumed" in log.names())
        counts = export.counts()
        export.close()
    assert counts is not None
    assert counts.dropped == {"traces": 200}
    assert counts.exported["traces"] >= 2
    assert log.names() == ["telemetry_failing", "telemetry_resumed"]


def test_a_refusal_is_told_once_and_shows_no_secret() -> None:
    log = Log()
    with serving() as collector:
        collector.status = 403
        export = Otel(log, {})
        export.apply(
            config(collector.url, metrics=False, headers={"authorization": "Bearer test-key-12345"})
        )
        for _ in range(3):
            export.observe([record()])
            time.sleep(0.05)
        wait_for(lambda: dropped(export) == 6)
        export.close()
    assert log.names() == ["telemetry_failing"]
    assert "test-key-12345" not in str(log.events)


def dropped(export: Otel) -> int:
    counts = export.counts()
    return counts.dropped.get("traces", 0) if counts else 0


def test_a_reload_sends_to_the_new_place_and_loses_nothing() -> None:
    with serving() as first, serving() as second:
        export = Otel(Log(), {})
        export.apply(config(first.url, metrics=False))
        export.observe([record(id="e-1")])
        export.apply(config(second.url, metrics=False))
        export.observe([record(id="e-2")])
        wait_for(lambda: ids(first) == {"e-1"} and ids(second) == {"e-2"})
        export.apply(config(None))
        assert export.counts() is None
        export.close()


def ids(collector: Collector) -> set[str]:
    return {
        plain(span.attributes)["ccrelay.exchange.id"]
        for span in collector.spans()
        if "ccrelay.exchange.id" in plain(span.attributes)
    }


def test_what_waits_at_the_end_is_sent() -> None:
    with serving() as collector:
        export = Otel(Log(), {})
        export.apply(config(collector.url, metrics=False))
        export.observe([record(id=f"e-{n}") for n in range(1500)])
        export.close(10.0)
        assert len(ids(collector)) == 1500


def test_threads_end_with_the_export() -> None:
    before = threading.active_count()
    with serving() as collector:
        export = Otel(Log(), {})
        export.apply(config(collector.url))
        export.observe([record()])
        export.close(5.0)
        wait_for(lambda: threading.active_count() <= before + 2)  # those of the collector
    wait_for(lambda: threading.active_count() <= before)
