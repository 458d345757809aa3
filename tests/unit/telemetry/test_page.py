"""docs/metrics.md and the dashboard are what the catalogue says."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ccrelay.metrics import CATALOGUE
from ccrelay.telemetry.page import page
from tests.pages import DOCS

DASHBOARD = DOCS / "grafana" / "ccrelay.json"
SERIES = re.compile(r"\b(ccrelay_\w+)(?:\{([^}]*)\})?")
GROUPS = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")


def test_the_page_is_up_to_date() -> None:
    assert (DOCS / "metrics.md").read_text() == page(), (
        "run: python -m ccrelay.telemetry.page > docs/metrics.md"
    )


def expressions(node: Any) -> Iterator[str]:
    """Every query of the dashboard: of panels, of variables, of annotations."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in ("expr", "query", "definition") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for item in node:
            yield from expressions(item)


def base_name(series: str) -> str:
    for suffix in ("_bucket", "_sum", "_count"):
        stem = series.removesuffix(suffix)
        if stem != series and stem in CATALOGUE and CATALOGUE[stem].kind == "histogram":
            return stem
    return series


def unknown(expression: str) -> set[str]:
    """Names and labels of a query that the catalogue does not have."""
    wrong: set[str] = set()
    labels: set[str] = set()
    for name, selectors in SERIES.findall(expression):
        metric = CATALOGUE.get(base_name(name))
        if metric is None:
            wrong.add(name)
            continue
        own = {*metric.labels, "instance", "job"} | ({"le"} if metric.buckets else set())
        labels |= own
        wrong |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", selectors)) - own
    for group in GROUPS.findall(expression):
        wrong |= {label for label in re.split(r"[\s,]+", group) if label} - labels
    for asked in re.findall(r"label_values\([^)]*,\s*(\w+)\)", expression):
        wrong |= {asked} - labels
    return wrong


QUERIES = sorted(set(expressions(json.loads(DASHBOARD.read_text()))))


def test_the_dashboard_asks_for_something() -> None:
    assert len([query for query in QUERIES if "ccrelay_" in query]) >= 20


@pytest.mark.parametrize("query", QUERIES)
def test_what_the_dashboard_asks_for_exists(query: str) -> None:
    assert unknown(query) == set()


@pytest.mark.parametrize("query", re.findall(r"`([^`]*ccrelay_[^`]*)`", page()))
def test_what_the_page_asks_for_exists(query: str) -> None:
    if query != "ccrelay_" and not query.startswith("docs/"):
        assert unknown(query) == set()


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("rate(ccrelay_gone_total[5m])", {"ccrelay_gone_total"}),
        ('ccrelay_queued{provider="x"}', {"provider"}),
        ("sum by (model) (ccrelay_in_flight)", {"model"}),
        ("label_values(ccrelay_in_flight, model)", {"model"}),
        ("sum by (le, provider) (rate(ccrelay_first_event_seconds_bucket[5m]))", set()),
        ("ccrelay_in_flight_bucket", {"ccrelay_in_flight_bucket"}),
    ],
)
def test_a_wrong_query_is_found(query: str, wrong: set[str]) -> None:
    assert unknown(query) == wrong


def test_panels_can_be_read() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels:
        assert panel["title"]
        assert panel["description"], panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
