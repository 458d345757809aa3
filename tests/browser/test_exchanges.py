"""The page Exchanges: the table, its filters and keys, and one exchange in the drawer."""

from typing import Any

import pytest

from ccrelay.cli import format_counts, format_money
from ccrelay.v1 import exchanges_pb2 as ex
from tests.browser.door import Door
from tests.browser.relay import RealRelay, real_relay, until
from tests.browser.test_now import filled, listed

ROWS = "table.xv tbody tr.go"


def short(one: ex.Exchange) -> str:
    return one.id.removeprefix("req_ccrelay_")


def ids(page: Any) -> list[str]:
    """Ids of the rows that are in the document, from above."""
    return [one.inner_text() for one in page.locator(f"{ROWS} td.id").all()]


def test_rows_are_those_of_the_ledger(relay: RealRelay, door: Door, tabs: Any) -> None:
    filled(relay, 4)
    page = tabs(door).open("#/exchanges")
    rows = page.locator(ROWS)
    until(lambda: rows.count() == 4, "not all rows")
    assert ids(page) == [short(one) for one in listed(relay)]
    first = listed(relay)[0]
    cells = [one.inner_text().replace("\xa0", " ") for one in rows.first.locator("td").all()]
    assert cells[2] == "payments-api main"
    assert cells[3] == "sonnet-4-5"
    assert cells[4].split("\n")[-1] == f"{first.provider}/{first.key}"
    assert cells[5] == "ok"
    written = first.tokens.cache_write_5m + first.tokens.cache_write_1h
    counts = (first.tokens.input, written, first.tokens.cache_read, first.tokens.output)
    assert [cell.strip() for cell in cells[8:12]] == [format_counts.tokens(one) for one in counts]
    until(lambda: "4 today, newest first." in page.locator(".head p").inner_text(), "no sum")


def test_a_filter_is_the_relays(relay: RealRelay, door: Door, tabs: Any) -> None:
    filled(relay, 2)
    relay.ask(project="handbook")
    until(lambda: len(listed(relay)) == 3, "no ledger")
    page = tabs(door).open("#/exchanges")
    until(lambda: page.locator(ROWS).count() == 3, "not all rows")
    page.keyboard.press("/")
    page.keyboard.type("project:handbook")
    until(lambda: page.locator(ROWS).count() == 1, "the filter has no effect")
    assert "filter=project%3Ahandbook" in page.url
    # The field keeps the focus while the table changes, and new rows go through the filter.
    page.keyboard.type(" outcome:ok")
    relay.ask(project="handbook")
    relay.ask(project="other")
    until(lambda: page.locator(ROWS).count() == 2, "a row that fits is missing")
    page.fill(".filter input", "project:nothing-of-this-name")
    page.wait_for_selector("text=No exchange fits this filter")
    page.fill(".filter input", "sattus:529")
    page.wait_for_selector(".filter-problem:not(:empty)")
    assert "sattus" in page.locator(".filter-problem").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    until(lambda: page.locator(ROWS).count() == 5, "a second Esc clears the filter")


def test_the_drawer_shows_attempts_reasons_and_bill(tmp_path: Any, tabs: Any) -> None:
    with real_relay(tmp_path, "--script", "ok,529,ok") as relay:
        door = Door(relay.management, relay.token)
        filled(relay, 2)
        (one,) = listed(relay, filter="outcome:failover")
        said = relay.call(
            "Exchanges/Get", ex.ExchangesGetRequest(id=one.id), ex.ExchangesGetResponse
        )
        page = tabs(door).open("#/exchanges")
        row = page.locator(f"{ROWS}:has-text('failover')")
        row.click()
        drawer = page.locator(".drawer")
        drawer.locator("text=Why this target").wait_for()
        assert page.url.endswith(f"#/exchanges/{short(one)}")
        heads = [text.inner_text().replace("\n", " ") for text in drawer.locator(".wf .h").all()]
        assert len(heads) == len(said.attempts) == 2
        for head, attempt in zip(heads, said.attempts, strict=True):
            assert f"{attempt.provider}/{attempt.key}" in head
            assert str(attempt.status) in head
        assert said.choice.sentence in drawer.locator(".why .took").inner_text()
        assert drawer.locator(".why .out").count() == len(said.choice.passed)
        bill = drawer.locator("table tbody tr")
        assert bill.count() == len(said.bill)
        total = drawer.locator("tfoot tr").first.locator("td").last.inner_text()
        assert total == format_money.cost_of_one(said.exchange.cost.micros)
        explain = drawer.locator(".cmd span").inner_text()
        assert explain.startswith(f"ccrelay route explain --model {one.model} --class main")
        # The hand-over is in the row, too.
        assert "failed over to" in row.locator(".a-where").inner_text()
        page.keyboard.press("y")
        page.wait_for_selector(f".said >> text=ccrelay exchange {short(one)}")
        page.keyboard.press("Escape")
        drawer.wait_for(state="detached")
        door.close()


def test_keys_go_through_the_rows(relay: RealRelay, door: Door, tabs: Any) -> None:
    filled(relay, 3)
    newest, middle, oldest = map(short, listed(relay))
    page = tabs(door).open("#/exchanges")
    until(lambda: page.locator(ROWS).count() == 3, "not all rows")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.locator("tr.pick td.id").inner_text() == middle
    page.keyboard.press("Enter")
    page.wait_for_selector(".drawer >> text=Bill")
    assert page.url.endswith(middle)
    page.keyboard.press("j")
    page.wait_for_url(f"**/{oldest}")
    page.keyboard.press("k")
    page.keyboard.press("k")
    page.wait_for_url(f"**/{newest}")
    page.keyboard.press("Escape")
    page.wait_for_selector(".drawer", state="detached")
    assert page.locator("tr.pick td.id").inner_text() == newest


def test_held_still_new_rows_are_counted(relay: RealRelay, door: Door, tabs: Any) -> None:
    filled(relay, 2)
    page = tabs(door).open("#/exchanges")
    until(lambda: page.locator(ROWS).count() == 2, "not all rows")
    page.keyboard.press("f")
    page.wait_for_selector(".tools >> text=Holding")
    for _ in range(3):
        relay.ask()
    page.wait_for_selector(".tools >> text=3 new")
    assert page.locator(ROWS).count() == 2
    page.keyboard.press("f")
    until(lambda: page.locator(ROWS).count() == 5, "it does not follow")


def test_nothing_is_lost_or_doubled_over_a_cut_connection(
    relay: RealRelay, proxied: Door, tabs: Any
) -> None:
    filled(relay, 3)
    page = tabs(proxied).open("#/exchanges")
    until(lambda: page.locator(ROWS).count() == 3, "not all rows")
    for _ in range(3):
        proxied.cut()
        page.wait_for_selector(".banner.lost")
        for _ in range(3):
            relay.ask()
        proxied.mend()
        page.click(".banner.lost button")
        page.wait_for_selector(".banner.lost", state="detached")
        relay.ask()
    until(lambda: len(listed(relay)) == 15, "no ledger")
    until(lambda: page.locator(ROWS).count() == 15, "not all rows")
    assert ids(page) == [short(one) for one in listed(relay)]


def test_bursts_of_count_tokens_fold(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/exchanges?filter=kind:count_tokens")
    row = page.locator(f"{ROWS}:has-text('25 × count_tokens')")
    before = page.locator(".kid-row").count()
    assert before == 0
    row.locator(".fold").click()
    page.wait_for_selector(".kid-row")
    assert row.locator(".fold").get_attribute("aria-expanded") == "true"
    row.locator(".fold").click()
    page.wait_for_selector(".kid-row", state="detached")


def test_an_error_and_an_empty_ledger_are_told(proxied: Door, tabs: Any) -> None:
    page = tabs(proxied).open("#/exchanges")
    page.wait_for_selector("text=No exchange today")
    proxied.errors["Exchanges/List"] = (14, "ledger: database is locked")
    page = tabs(proxied).open("#/exchanges")
    page.wait_for_selector("text=The exchanges could not be read")
    assert (
        "The relay answered, and said: ledger: database is locked"
        in page.locator(".blank").inner_text()
    )


def test_an_unknown_exchange_is_told(relay: RealRelay, door: Door, tabs: Any) -> None:
    page = tabs(door).open("#/exchanges/no-such-id")
    page.wait_for_selector(".drawer >> text=This exchange could not be read")


@pytest.mark.parametrize(
    "name", ["<b>bold</b><img src=x onerror=alert(1)>", "a" * 300, '"quoted" \\ back', "\u202eabc"]
)
def test_hostile_names_are_text(relay: RealRelay, door: Door, tabs: Any, name: str) -> None:
    relay.ask(project=name.encode().decode("latin-1"))
    (one,) = until(lambda: listed(relay), "no ledger")
    page = tabs(door).open("#/exchanges")
    page.wait_for_selector(ROWS)
    assert one.project in page.locator(f"{ROWS} .a-what").inner_text()
    assert page.locator("table.xv b, table.xv img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    page.locator(ROWS).click()
    page.wait_for_selector(".drawer >> text=Bill")
    assert page.locator(".drawer header b, .drawer img").count() == 0
    assert page.locator(".drawer").evaluate("one => one.scrollWidth - one.clientWidth") <= 0
