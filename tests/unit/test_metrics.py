"""The catalogue: names and units as Prometheus wants them."""

import pytest

from ccrelay.metrics import CATALOGUE, FROM_RECORDS, FROM_STATE, LABELS, Metric

METRICS = [*FROM_RECORDS, *FROM_STATE]


def test_no_name_is_there_twice() -> None:
    assert len(CATALOGUE) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_tells_kind_and_unit(metric: Metric) -> None:
    assert metric.name.startswith("ccrelay_")
    stem = metric.name
    if metric.kind == "counter":
        assert stem.endswith("_total")
        stem = stem.removesuffix("_total")
    else:
        assert not stem.endswith(("_total", "_count", "_sum", "_bucket"))
    if metric.kind == "info":
        assert stem.endswith("_info")
    if metric.unit:
        assert stem.endswith(f"_{metric.unit}")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_help_and_labels_are_told(metric: Metric) -> None:
    assert metric.help.endswith(".")
    assert "\n" not in metric.help
    assert set(metric.labels) <= LABELS.keys()
    assert len(set(metric.labels)) == len(metric.labels)
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_every_label_is_used() -> None:
    assert {label for metric in METRICS for label in metric.labels} == LABELS.keys()
