"""What a scraper gets, read with the parsers of prometheus-client."""

import shutil
import subprocess
import threading
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ccrelay.ledger.record import Billing, Record, Result
from ccrelay.metrics import CATALOGUE, LABEL_VALUES_MAX
from ccrelay.telemetry.prometheus import Metrics
from ccrelay.telemetry.state import Drops
from ccrelay.types import RequestClass, TrafficClass
from tests.unit.telemetry.records import attempt, record
from tests.unit.telemetry.test_state import status

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every series as name and label values in the order of the catalogue."""
    _, body = metrics.render()
    found = {}
    for family in parse_text(body.decode()):
        for sample in family.samples:
            labels = CATALOGUE[name_of(sample.name)].labels
            values = [sample.labels[label] for label in labels]
            bound = [sample.labels["le"]] if "le" in sample.labels else []
            assert sample.labels.keys() - {"le"} == set(labels)
            key = (sample.name, *values, *bound)
            assert key not in found
            found[key] = sample.value
    return found


def name_of(sample: str) -> str:
    for suffix in ("_bucket", "_sum", "_count"):
        if sample.removesuffix(suffix) in CATALOGUE:
            return sample.removesuffix(suffix)
    return sample


def observed(*records: Record) -> dict[tuple[str, ...], float]:
    metrics = Metrics()
    metrics.observe(records)
    return samples(metrics)


FULL: dict[str, Any] = {
    "traffic": TrafficClass.SUBAGENT,
    "bytes_in": 1000,
    "bytes_out": 2000,
    "has_usage": True,
    "input": 10,
    "output": 40,
    "cache_read": 300,
    "cache_write_5m": 20,
    "cache_write_1h": 5,
    "thinking": 15,
    "first_event_us": 700_000,
    "queued_us": 3_200_000,
    "cost_micros": 123_000,
    "uncached_micros": 400_000,
    "billing": Billing.PLAN,
}


@pytest.mark.parametrize(
    ("series", "value"),
    [
        (("exchanges_total", "anthropic", "team-a", "claude-opus-5-5", "subagent", "ok"), 1),
        (("responses_total", "200"), 1),
        (("attempts_total", "anthropic", "answered"), 1),
        (("exchange_duration_seconds_sum", "anthropic", "claude-opus-5-5"), 2.0),
        (("exchange_duration_seconds_bucket", "anthropic", "claude-opus-5-5", "1.0"), 0),
        (("exchange_duration_seconds_bucket", "anthropic", "claude-opus-5-5", "2.5"), 1),
        (("first_event_seconds_sum", "anthropic", "claude-opus-5-5"), 0.7),
        (("queue_wait_seconds_sum", "anthropic"), 3.2),
        (("relay_own_seconds_sum",), 0.00018),
        (("request_bytes_total", "anthropic"), 1000),
        (("response_bytes_total", "anthropic"), 2000),
        (("tokens_total", "anthropic", "claude-opus-5-5", "input"), 10),
        (("tokens_total", "anthropic", "claude-opus-5-5", "output"), 40),
        (("tokens_total", "anthropic", "claude-opus-5-5", "cache_read"), 300),
        (("tokens_total", "anthropic", "claude-opus-5-5", "cache_write_5m"), 20),
        (("tokens_total", "anthropic", "claude-opus-5-5", "cache_write_1h"), 5),
        (("thinking_tokens_total", "anthropic", "claude-opus-5-5"), 15),
        (("cost_dollars_total", "anthropic", "claude-opus-5-5", "plan"), 0.123),
        (("cost_uncached_dollars_total", "anthropic", "claude-opus-5-5", "plan"), 0.4),
    ],
)
def test_a_member_of_a_record_is_counted(series: tuple[str, ...], value: float) -> None:
    name, *values = series
    assert observed(record(**FULL))[f"ccrelay_{name}", *values] == pytest.approx(value)


def test_exchanges_add_up() -> None:
    found = observed(*[record(**FULL)] * 3)
    assert found["ccrelay_tokens_total", "anthropic", "claude-opus-5-5", "input"] == 30


def test_a_failover_is_two_attempts_and_a_move_has_its_price() -> None:
    tries = [attempt(), attempt(provider="zai", status=200, verdict="answered", error="")]
    found = observed(
        record(
            provider="zai",
            result=Result.FAILOVER,
            attempts=2,
            tries=tries,
            moved=True,
            moved_micros=970_000,
        )
    )
    assert found["ccrelay_attempts_total", "anthropic", "overloaded"] == 1
    assert found["ccrelay_attempts_total", "zai", "answered"] == 1
    assert found["ccrelay_moves_total", "zai"] == 1
    assert found["ccrelay_moved_dollars_total", "zai"] == pytest.approx(0.97)


def test_an_unknown_price_is_counted_and_is_no_money() -> None:
    found = observed(record(**FULL | {"cost_micros": -1, "uncached_micros": -1}))
    assert found["ccrelay_unpriced_exchanges_total", "anthropic", "claude-opus-5-5"] == 1
    assert not [key for key in found if "dollars" in key[0]]


def test_what_cost_more_with_the_cache_breaks_no_counter() -> None:
    found = observed(record(**FULL | {"cost_micros": 500_000, "uncached_micros": 400_000}))
    cost = found["ccrelay_cost_dollars_total", "anthropic", "claude-opus-5-5", "plan"]
    assert cost == pytest.approx(0.5)


def test_a_refused_request_has_no_target() -> None:
    refused = record(
        provider="",
        key="",
        key_name="",
        sent="",
        status=401,
        result=Result.REFUSED,
        attempts=0,
        traffic=-1,
        kind=RequestClass.MESSAGES,
    )
    found = observed(refused)
    series = ("ccrelay_exchanges_total", "none", "none", "none", "messages", "refused")
    assert found[series] == 1
    assert not [key for key in found if key[0] == "ccrelay_attempts_total"]


def test_numbers_that_cannot_be_break_no_counter() -> None:
    negative = {name: -5 for name, value in FULL.items() if value is not True}
    observed(record(**negative, has_usage=True, moved=True, moved_micros=-1, duration_us=-1))


def test_invented_names_do_not_fill_the_memory() -> None:
    metrics = Metrics()
    metrics.observe([record(sent=f"model-{n}", key_name=f"key-{n}") for n in range(1000)])
    found = samples(metrics)
    models = {key[3] for key in found if key[0] == "ccrelay_exchanges_total"}
    assert len(models) == LABEL_VALUES_MAX + 1
    total = sum(value for key, value in found.items() if key[0] == "ccrelay_exchanges_total")
    assert total == 1000


def test_a_secret_is_in_no_label() -> None:
    metrics = Metrics(status)
    metrics.observe([record(**FULL, session="s", conversation=5, error="boom")])
    assert b"session" not in metrics.render()[1]


def test_hostile_text_cannot_forge_a_series() -> None:
    metrics = Metrics()
    metrics.observe([record(provider='a"} 1\nforged_total 9\n', key_name='k"\\')])
    names = {family.name for family in parse_text(metrics.render()[1].decode())}
    assert "forged" not in "".join(names)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
        ("text/html, junk;;;=, application/json;q=x", "text/plain; version=0.0.4"),
        (OPENMETRICS, "application/openmetrics-text; version=1.0.0"),
        (f"text/plain;version=0.0.4;q=0.5,{OPENMETRICS};q=0.8", "application/openmetrics-text"),
        ("application/openmetrics-text; version=not-a-version", "application/openmetrics-text"),
    ],
)
def test_the_form_is_what_the_scraper_asks_for(accept: str, kind: str) -> None:
    assert Metrics().render(accept)[0].startswith(kind)


def test_openmetrics_is_valid_and_says_the_same() -> None:
    metrics = Metrics(status, lambda: Drops({"traces": 4}, {"traces": 1}))
    metrics.observe([record(**FULL)])
    _, body = metrics.render(OPENMETRICS)
    found = {
        sample.name for family in parse_openmetrics(body.decode()) for sample in family.samples
    }
    assert found == {key[0] for key in samples(metrics)}


def test_everything_shown_is_in_the_catalogue() -> None:
    metrics = Metrics(status, lambda: Drops({"traces": 4}, {"traces": 1}))
    tries = [attempt(), attempt(provider="zai")]
    unpriced = record(**FULL | {"cost_micros": -1})
    metrics.observe([record(**FULL, moved=True, tries=tries), unpriced])
    assert {name_of(key[0]) for key in samples(metrics)} == CATALOGUE.keys()


def test_without_a_state_the_counters_are_shown() -> None:
    metrics = Metrics(lambda: None)
    metrics.observe([record()])
    assert ("ccrelay_responses_total", "200") in samples(metrics)


def test_scrapes_while_records_come() -> None:
    metrics = Metrics(status)
    writer = threading.Thread(target=lambda: metrics.observe([record(**FULL)] * 2000))
    writer.start()
    while writer.is_alive():
        metrics.render()
    writer.join()
    assert samples(metrics)["ccrelay_responses_total", "200"] == 2000


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_say() -> None:
    metrics = Metrics(status, lambda: Drops({"traces": 4}, {"traces": 1}))
    metrics.observe([record(**FULL, moved=True, tries=[attempt()])])
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=metrics.render()[1],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
