import json

from tests.unit.cli import examples
from tests.unit.cli.running import run
from tests.unit.cli.served import FakeRelay, relay, zone
from tests.unit.cli.test_usage_view import PRICES

__all__ = ["relay", "zone"]


def test_prices_and_their_json(relay: FakeRelay) -> None:
    relay.answers["Usage/Prices"] = examples.prices()
    assert run("prices").stdout == PRICES
    shown = json.loads(run("prices", "--json", "--model", "GLM").stdout)
    assert [one["model"] for one in shown["prices"]] == ["glm-5.3"]
    assert shown["version"] == "2026-11-22"
