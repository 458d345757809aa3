"""Records in, and what a scraper gets."""

import asyncio
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from ccrelay.config.model import Config, Provider, Telemetry
from ccrelay.control.http import HttpRequest
from ccrelay.fleet.layout import Layout
from ccrelay.manager.scrape import Scrape
from ccrelay.runtime.manager_link import ConfigChanged, ReloadProblem
from tests.unit.telemetry.collector import serving, wait_for
from tests.unit.telemetry.records import record
from tests.unit.telemetry.test_otel import Log
from tests.unit.telemetry.test_state import status

PROVIDERS = [Provider(name="anthropic", type="anthropic", base_url="https://api.anthropic.com")]


class State:
    """What the manager knows; counts how often it is asked."""

    def __init__(self) -> None:
        self.refreshed = 0

    async def refresh(self) -> None:
        self.refreshed += 1

    def compute(self) -> Any:
        found = status()
        found.queued = self.refreshed
        return found


def scrape(state: State, telemetry: Telemetry | None = None) -> Scrape:
    config = Config(providers=PROVIDERS, telemetry=telemetry or Telemetry())
    return Scrape(config, Log(), {}, state.refresh, state.compute)


def get(made: Scrape, accept: str = "") -> Any:
    handler = made.routes()["/metrics"]
    request = HttpRequest("GET", "/metrics", "", [("accept", accept)])

    async def go() -> Any:
        return await handler(request)

    return asyncio.run(go())


def values(body: bytes) -> dict[str, float]:
    return {
        sample.name: sample.value for family in parse(body.decode()) for sample in family.samples
    }


def test_records_and_state_are_shown() -> None:
    made = scrape(State())
    made.observe([record(), record()])
    answer = get(made)
    assert answer.status == 200
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    assert values(answer.body)["ccrelay_exchanges_total"] == 2
    assert values(answer.body)["ccrelay_queued"] == 1
    assert values(get(made).body)["ccrelay_queued"] == 2  # the state is that of now


def test_the_form_is_what_is_asked_for() -> None:
    answer = get(scrape(State()), "application/openmetrics-text; version=1.0.0")
    assert answer.content_type.startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


def test_a_reload_turns_the_export_on_and_off() -> None:
    with serving() as collector:
        made = scrape(State())
        made.observe([record(id="before")])
        there = Telemetry(otlp_endpoint=collector.url, metrics=False)
        for telemetry in (there, there):
            changed = Config(providers=PROVIDERS, telemetry=telemetry)
            made.on_message(ConfigChanged(changed, Layout({}, {}), [], "file"))
        made.on_message(ReloadProblem("no"))
        made.observe([record(id="after")])
        asyncio.run(made.close())
        wait_for(lambda: len(collector.spans()) == 2)  # of one exchange
        assert "ccrelay_telemetry_exported" not in str(values(get(made).body))
