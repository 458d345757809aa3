"""`/metrics` of the App, with the state of a real shared memory."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families as parse

from ccrelay.control.http import HttpRequest, HttpResponse
from tests.loopback.manager.rig import rig, run


def test_a_scraper_gets_the_state_of_the_relay(tmp_path: Path) -> None:
    async def main() -> HttpResponse:
        async with rig(tmp_path) as made:
            routes = made.app._scrape.routes()
            return await routes["/metrics"](HttpRequest("GET", "/metrics"))

    answer = run(main())
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(answer.body.decode())
        for sample in family.samples
    }
    assert found[("ccrelay_workers", ("state", "serving"))] == 1
    assert found[("ccrelay_provider_enabled", ("provider", "one"))] == 1
    assert found[("ccrelay_state", ("state", "serving"))] == 1
