"""The page Usage: its sums are those of the API, by every group; charts say it in words."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.v1 import usage_pb2 as us
from tests.browser.design_pages import PagesDesign
from tests.browser.door import Door
from tests.browser.pages_rig import HOSTILE, door_to, is_wider_than_screen, violations
from tests.browser.relay import RealRelay, until
from tests.unit.cli.served import totals


@pytest.fixture
def pages() -> PagesDesign:
    """What the fake relay says."""
    return PagesDesign()


@pytest.fixture
def fake(tmp_path: Path, pages: PagesDesign) -> Iterator[Door]:
    """A door to the relay of the design."""
    with door_to(tmp_path, pages) as door:
        yield door


def midnight_ms() -> int:
    now = time.localtime()
    return int(time.mktime((now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0, 0, 0, -1)) * 1000)


def query(relay: RealRelay, **members: Any) -> us.QueryResponse:
    """Sums of today."""
    request = us.QueryRequest(since_ms=midnight_ms(), **members)
    answer: us.QueryResponse = relay.call("Usage/Query", request, us.QueryResponse)
    return answer


def filled(relay: RealRelay) -> None:
    """Make exchanges of two models and two projects, and wait until the ledger has them."""
    prompt = "hello demo:input=200000"
    for number in range(6):
        model = "claude-opus-4-5" if number % 3 else "claude-haiku-4-5"
        project = "payments-api" if number % 2 else "handbook"
        assert relay.ask(prompt, model=model, project=project, session=f"5e55-{number}") == 200
    until(lambda: query(relay).total.exchanges == 6, "the ledger lacks some")


def dollars(micros: int) -> str:
    return f"${micros / 1e6:,.2f}" if micros else "-"


def table(page: Any) -> dict[str, dict[str, str]]:
    """The rows of sums by the name of the group; texts by the head of their column."""
    heads = [one.inner_text().strip() for one in page.locator("table.us-sums th").all()]
    found = {}
    for row in page.locator("table.us-sums tbody tr, table.us-sums tfoot tr").all():
        cells = [one.inner_text().strip() for one in row.locator("td").all()]
        found[cells[0].replace("\n", "")] = dict(zip(heads, cells, strict=True))
    return found


@pytest.mark.parametrize(
    ("by", "dimension"),
    [
        ("model", us.DIMENSION_MODEL),
        ("provider", us.DIMENSION_PROVIDER),
        ("project", us.DIMENSION_PROJECT),
        ("day", us.DIMENSION_DAY),
        ("class", us.DIMENSION_CLASS),
    ],
)
def test_its_rows_are_those_of_the_api(
    relay: RealRelay, door: Door, tabs: Any, by: str, dimension: Any
) -> None:
    filled(relay)
    page = tabs(door).open(f"#/usage?by={by}&since=today")
    page.wait_for_selector("table.us-sums tbody tr")
    until(lambda: table(page)["Total"]["Exchanges"] == "6", "not all exchanges")
    shown, said = table(page), query(relay, group_by=[dimension])
    assert list(shown) == [row.group[0] or "not known" for row in said.rows] + ["Total"]
    for row in said.rows:
        cells = shown[row.group[0] or "not known"]
        assert cells["Exchanges"] == str(row.totals.exchanges)
        assert cells["Billed"] == dollars(row.totals.billed_micros)
    total = said.total.billed_micros
    assert total > 10_000
    assert page.locator("h1").inner_text() == f"${total / 1e6:,.2f} billed today"
    assert page.locator(".strip dd.fig").first.inner_text() == f"${total / 1e6:,.2f}"


def test_sessions_and_keys_lead_to_their_pages(relay: RealRelay, door: Door, tabs: Any) -> None:
    filled(relay)
    page = tabs(door).open("#/usage?by=session&since=today")
    page.wait_for_selector("table.us-sums tbody a")
    assert page.locator("table.us-sums tbody tr").count() == 6
    assert page.locator("table.us-sums tbody a").first.get_attribute("href").startswith(
        "#/sessions/5e55-"
    )  # fmt: skip
    page.select_option(".us-by select", "key") if page.locator(".us-by select").is_visible() else (
        page.click(".us-groups button:has-text('Key')")
    )
    page.wait_for_selector("table.us-sums tbody .tgt")
    page.locator("table.us-sums tbody a").first.click()
    page.wait_for_url("**/#/exchanges?filter=provider%3D*")


def test_a_filter_narrows_all_and_its_mistake_is_told(
    relay: RealRelay, door: Door, tabs: Any
) -> None:
    filled(relay)
    page = tabs(door).open("#/usage?since=today")
    page.wait_for_selector("table.us-sums tbody tr")
    page.keyboard.press("/")
    page.keyboard.type("project=handbook")
    until(lambda: table(page)["Total"]["Exchanges"] == "3", "the filter has no effect")
    expected = query(relay, filter="project=handbook").total.billed_micros
    assert page.locator("h1").inner_text() == f"${expected / 1e6:,.2f} billed today"
    page.keyboard.type(" nonsense:x")
    page.wait_for_selector("#filter-problem >> text=nonsense")
    assert page.locator(".filter input").get_attribute("aria-invalid") == "true"
    page.keyboard.press("Escape")
    until(lambda: table(page)["Total"]["Exchanges"] == "6", "the filter stays")


def test_an_export_is_what_the_api_exports(relay: RealRelay, door: Door, tabs: Any) -> None:
    filled(relay)
    page = tabs(door).open("#/usage?since=today&filter=project%3Dhandbook")
    page.wait_for_selector("table.us-sums tbody tr")
    with page.expect_download() as download:
        page.click("text=Export CSV")
    assert download.value.suggested_filename.endswith(".csv")
    with Path(download.value.path()).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert {row["project"] for row in rows} == {"handbook"}
    with page.expect_download() as download:
        page.click("text=JSON")
    assert len(Path(download.value.path()).read_text().splitlines()) == 3


def test_keys_change_the_range_and_copy_the_command(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/usage")
    page.wait_for_selector("table.us-sums tbody tr")
    page.keyboard.press("]")
    page.wait_for_url("**since=30d")
    page.keyboard.press("[")
    page.keyboard.press("[")
    page.wait_for_url("**since=today")
    page.keyboard.press("[")  # there is none shorter
    assert page.url.endswith("since=today")
    page.click(".us-groups button:has-text('Project')")
    page.keyboard.press("y")
    page.wait_for_selector(".said span")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "ccrelay usage --by project --since today"


def test_the_chart_says_in_words_what_it_draws(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/usage")
    page.wait_for_selector(".us-plot svg")
    label = page.locator(".us-plot svg").get_attribute("aria-label")
    assert label.startswith("Cost per day, at list price: ")
    assert "$40.0" not in label
    assert "$39.70" in label
    assert label.endswith("today about $37.60 by midnight")
    legend = page.locator(".c-use .legend").first.inner_text().split("\n")
    assert legend == ["opus-5-5", "sonnet-5-5", "haiku-5-5", "glm-5.3", "expected"]
    # Each colour of the legend is drawn, in proportion to its sum.
    fills = """[...document.querySelectorAll('.us-plot rect')].reduce((sums, one) => {
        const fill = getComputedStyle(one).fill;
        sums[fill] = (sums[fill] ?? 0) + Number(one.getAttribute('height'));
        return sums; }, {})"""
    swatches = """[...document.querySelectorAll('.c-use .legend .sw:not(.hold)')]
        .map((one) => getComputedStyle(one).backgroundColor)"""
    light = page.evaluate(fills)
    assert list(light) == page.evaluate(swatches)
    opus, sonnet = list(light.values())[:2]
    assert opus / sonnet == pytest.approx(125.5 / 41.6, rel=0.01)
    page.keyboard.press("t")
    page.keyboard.press("t")  # dark
    until(lambda: list(page.evaluate(fills)) == page.evaluate(swatches), "colours of two themes")
    assert list(page.evaluate(fills)) != list(light)
    page.hover(".us-slots i >> nth=4")
    assert "opus-5-5" in page.locator(".us-tip").inner_text()
    assert "$39.70" in page.locator(".us-tip").inner_text()


def test_a_window_that_runs_out_is_drawn_and_told(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/usage")
    page.wait_for_selector("#window svg")
    label = page.locator("#window svg").get_attribute("aria-label")
    assert "71 % used" in label
    assert "Runs out" in label
    assert "25 h early" in label
    assert page.locator("#window .hz").count() == 1
    page.select_option("#window select", label="5-hour window of zai/plan")
    until(
        lambda: "18 % used" in page.locator("#window svg").get_attribute("aria-label"), "no change"
    )
    assert page.locator("#window .hz").count() == 0


def test_moves_are_listed_with_their_price(fake: Door, tabs: Any) -> None:
    page = tabs(fake).open("#/usage")
    page.wait_for_selector("text=$0.97")
    panel = page.locator("section:has(h2:text('Moves and failovers'))")
    assert panel.locator("tbody tr").count() == 2
    assert "6 exchanges needed a second target" in panel.inner_text()


def test_nothing_yet_is_told(relay: RealRelay, door: Door, tabs: Any) -> None:
    page = tabs(door).open("#/usage?since=today")
    page.wait_for_selector("text=No usage today")
    assert page.locator(".cmd").inner_text().startswith("ccrelay claude")


def test_an_error_is_told_and_figures_stay(fake: Door, tabs: Any) -> None:
    fake.errors["Usage/Query"] = (13, "ledger: database is locked")
    page = tabs(fake).open("#/usage")
    page.wait_for_selector("text=The usage could not be read")
    assert "database is locked" in page.locator(".blank").inner_text()
    fake.errors.clear()
    page.click("text=Try again")
    page.wait_for_selector("table.us-sums")
    fake.errors["Usage/Query"] = (13, "ledger: database is locked")
    page.keyboard.press("]")
    page.wait_for_selector("text=These figures are from before")
    assert page.locator("h1").inner_text() == "$121.15 billed in 7 days"


def test_hostile_names_are_texts(tmp_path: Path, pages: PagesDesign, tabs: Any) -> None:
    async def hostile(request: Any, context: Any) -> Any:
        if len(request.group_by) == 2:
            rows = [
                us.UsageRow(group=["2026-01-01", HOSTILE], totals=totals(billed_micros=9_000_000))
            ]
        else:
            rows = [
                us.UsageRow(group=[HOSTILE], totals=totals(exchanges=1, billed_micros=9_000_000))
            ]
        return us.QueryResponse(rows=rows, total=totals(exchanges=1, billed_micros=9_000_000))

    with door_to(tmp_path, pages, {"Usage/Query": hostile}) as door:
        page = tabs(door).open("#/usage?by=project")
        page.wait_for_selector("table.us-sums tbody tr")
        assert page.locator("table.us-sums tbody td").first.inner_text() == HOSTILE
        assert page.locator("main b:text('bold')").count() == 0
        assert is_wider_than_screen(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(fake: Door, tabs: Any, scheme: str) -> None:
    page = tabs(fake, color_scheme=scheme).open("#/usage")
    page.wait_for_selector(".us-plot svg")
    page.wait_for_selector("#window svg")
    assert violations(page) == []
