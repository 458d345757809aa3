"""The page Now: it says what the API says, at once and by itself, and survives the relay."""

import re
from typing import Any

from ccrelay.v1 import exchanges_pb2 as ex, relay_pb2 as rl
from tests.browser.door import Door
from tests.browser.relay import RealRelay, until

STATUS = (rl.GetStatusRequest(), rl.GetStatusResponse)


def listed(relay: RealRelay, **members: Any) -> list[ex.Exchange]:
    """Exchanges of the ledger, newest first."""
    answer = relay.call(
        "Exchanges/List", ex.ExchangesListRequest(**members), ex.ExchangesListResponse
    )
    return list(answer.exchanges)


def filled(relay: RealRelay, count: int) -> list[ex.Exchange]:
    """Make exchanges, and wait until the ledger has them."""
    for number in range(count):
        assert relay.ask(f"turn {number}") == 200
    return until(lambda: (rows := listed(relay)) and len(rows) >= count and rows, "no ledger")


def figures(page: Any) -> dict[str, str]:
    """The strip: what stands below each title."""
    return {
        one.locator("dt").inner_text(): one.locator("dd.fig").inner_text().replace("\xa0", " ")
        for one in page.locator(".strip > div").all()
    }


def test_it_says_what_the_api_says(relay: RealRelay, door: Door, tabs: Any) -> None:
    filled(relay, 3)
    page = tabs(door).open("#/now")
    page.wait_for_selector(".strip")
    assert page.locator("h1").inner_text() == "Answering. Nothing was lost today."
    said = relay.call("Relay/GetStatus", *STATUS).status
    shown = figures(page)
    assert shown["Exchanges today"] == str(said.today.exchanges) == "3"
    assert shown["Streams open"] == "0"
    assert page.locator(".lane").count() == 3
    assert [one.inner_text() for one in page.locator(".lane .tgt").all()] == [
        "M\nmain/team-a", "M\nmain/team-b", "S\nspare/plan",
    ]  # fmt: skip
    rows = page.locator("table.xt tbody tr")
    until(lambda: rows.count() == 3, "not all rows")
    assert rows.first.locator(".a-what").inner_text() == "payments-api main"
    assert page.locator(".link-state").inner_text().startswith("Live")


def test_it_is_empty_at_first_and_fills_by_itself(relay: RealRelay, door: Door, tabs: Any) -> None:
    page = tabs(door).open("#/now")
    page.wait_for_selector("text=Ready. Nothing has come through yet.")
    assert f"127.0.0.1:{relay.port}" in page.locator(".blank").inner_text()
    assert page.locator(".cmd").inner_text().startswith("ccrelay claude")
    relay.ask()
    page.wait_for_selector("table.xt tbody tr")
    until(lambda: figures(page)["Exchanges today"] == "1", "the count stands still")


def test_it_says_that_the_relay_is_gone_and_comes_back_by_itself(
    relay: RealRelay, door: Door, tabs: Any
) -> None:
    filled(relay, 2)
    page = tabs(door).open("#/now")
    page.wait_for_selector("table.xt tbody tr")
    relay.kill()
    page.wait_for_selector(".banner.lost")
    text = page.locator(".banner.lost").inner_text()
    assert "The relay does not answer." in text
    assert re.search(r"Shown is what it said at \d\d:\d\d:\d\d", text)
    assert "Not connected" in page.locator(".link-state").inner_text()
    assert figures(page)["Exchanges today"] == "2"  # the last figures stay
    relay.start()
    relay.ask("after the restart")
    page.wait_for_selector(".banner.lost", state="detached")
    until(lambda: page.locator("table.xt tbody tr").count() == 3, "what ended since is missing")
    until(lambda: figures(page)["Exchanges today"] == "3", "the sums stand still")


def test_an_error_of_the_relay_is_told(design: Door, tabs: Any) -> None:
    design.errors["Relay/WatchStatus"] = (13, "the state is damaged")
    page = tabs(design).open("#/now")
    page.wait_for_selector("text=The state of the relay could not be read")
    assert "the state is damaged" in page.locator(".blank").inner_text()
    design.errors.clear()
    page.click("text=Try again")
    page.wait_for_selector(".strip")


def test_the_first_data_wait_for_one_call_only(design: Door, tabs: Any) -> None:
    """How long that takes: `python -m bench.web_load`."""
    design.only = "Relay/WatchStatus"
    page = tabs(design).open("#/now")
    page.wait_for_selector(".strip")
    loaded = page.evaluate(
        "performance.getEntriesByType('resource').map(one => new URL(one.name).pathname)"
    )
    kinds = sorted(path.rpartition(".")[2] for path in loaded)
    assert [kind for kind in kinds if kind in ("css", "js")] == ["css", "js"]


def test_attention_names_what_is_wrong_worst_first(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/now")
    page.wait_for_selector(".heed a")
    texts = [one.inner_text() for one in page.locator(".heed a").all()]
    assert texts[0].startswith("bedrock open, probe in")
    assert any(text.startswith("login 7-day window runs out") for text in texts)
    assert any(text.startswith("team-b cooldown") for text in texts)
    page.click(".heed a >> text=bedrock")
    assert page.url.endswith("#/providers/bedrock")


def test_hand_overs_are_told_in_words_too(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/now")
    lanes = page.locator("section[aria-label^=Lanes] > p.vh")
    until(lambda: "team-a failed (529), eu-role took over." in lanes.inner_text(), "no hand-over")


def test_streams_are_shown_as_they_run(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/now")
    rows = page.locator("table.xt tbody tr:has-text('streaming')")
    until(lambda: rows.count() == 3, "not all streams")
    before = rows.first.locator(".a-dur").inner_text()
    until(lambda: rows.first.locator(".a-dur").inner_text() != before, "its time stands still")
