"""The page Sessions: the list, the tree of one session, what happened in it."""

from typing import Any

from tests.browser.door import Door
from tests.browser.relay import until

TREE = "table.tree tbody tr"


def test_the_list_and_the_tree(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/sessions")
    page.wait_for_selector(TREE)
    assert page.locator("h1").inner_text().startswith("payments-api has cost $13.84 since ")
    assert "One conversation with 9 sub-agents, 47 turns." in page.locator(".head p").inner_text()
    assert "It moved once, which cost $0.97 of cache." in page.locator(".head p").inner_text()
    entries = page.locator(".sess")
    assert entries.count() == 6
    assert entries.first.get_attribute("aria-current") == "true"
    names = [
        one.inner_text().split("\n")[0] for one in page.locator(f"{TREE} td:first-child").all()
    ]
    assert names[0] == "main"
    assert names[1].startswith("Explore")
    # Caches are in it, so it is no input as Usage has it.
    assert "Prompt" in page.locator("table.tree thead").inner_text()
    total = page.locator("table.tree tfoot td").last.inner_text()
    assert total == "$13.84"


def test_what_happened_has_its_price_and_leads_to_the_exchange(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/sessions")
    moved = page.locator(".why.when li:has-text('moved to eu-role')")
    moved.wait_for()
    assert "$0.97" in moved.inner_text()
    moved.locator("a").click()
    page.wait_for_selector(".drawer >> text=The conversation moved, and the move cost $0.97")


def test_keys_go_through_the_list(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/sessions")
    page.wait_for_selector(TREE)
    page.keyboard.press("j")
    until(lambda: page.locator("h1").inner_text().startswith("handbook has cost"), "no step")
    page.keyboard.press("k")
    until(lambda: page.locator("h1").inner_text().startswith("payments-api"), "no step back")
    page.keyboard.press("y")
    page.wait_for_selector(".said >> text=ccrelay sessions 3f8c41aa-9b0e")


def test_a_conversation_leads_to_its_exchanges(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/sessions")
    page.locator(f"{TREE} a:has-text('Explore')").click()
    page.wait_for_selector("table.xv tr.go")
    wanted = 'session="3f8c41aa-9b0e" agent="Explore"'
    assert page.locator(".filter input").input_value() == wanted
    for row in page.locator("table.xv tr.go .a-what").all():
        assert "Explore" in row.inner_text()


def test_an_error_is_told_and_tried_again(design: Door, tabs: Any) -> None:
    design.errors["Usage/ListSessions"] = (14, "ledger: database is locked")
    page = tabs(design).open("#/sessions")
    page.wait_for_selector("text=The sessions could not be read")
    assert "ccrelay sessions --since today" in page.locator(".cmd").inner_text()
    design.errors.clear()
    page.click("text=Try again")
    page.wait_for_selector(TREE)


def test_the_last_figures_stay_while_the_relay_is_gone(design: Door, tabs: Any) -> None:
    page = tabs(design).open("#/sessions")
    page.wait_for_selector(TREE)
    design.cut()
    page.wait_for_selector(".banner.lost")
    assert page.locator(TREE).count() > 2
    design.mend()
    page.click(".banner.lost button")
    page.wait_for_selector(".banner.lost", state="detached")
    assert page.locator(TREE).count() > 2
