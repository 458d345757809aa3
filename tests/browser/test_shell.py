"""What stands around all pages: sign-in, keyboard, themes, read-only, hidden pages."""

from typing import Any

from tests.browser.door import CODE, Door
from tests.browser.relay import until


def test_without_a_cookie_it_tells_how_to_sign_in(design: Door, tabs: Any) -> None:
    page = tabs(design).page
    page.goto(design.url)
    page.wait_for_selector("h1:has-text('Sign in')")
    assert "ccrelay open" in page.locator(".cmd").inner_text()
    assert not any("ccrelay.v1" in path for path in design.calls)


def test_a_code_that_is_used_up_is_told(design: Door, tabs: Any) -> None:
    page = tabs(design).page
    page.goto(f"{design.url}#k=wrong")
    page.wait_for_selector("text=This link does not sign in any more")
    assert "k=" not in page.url


def test_the_code_leaves_the_address_and_the_cookie_stays(design: Door, tabs: Any) -> None:
    tab = tabs(design)
    page = tab.page
    page.goto(design.link)
    page.wait_for_selector(".strip")
    assert CODE not in page.url
    assert CODE not in page.evaluate("JSON.stringify(history.state) + document.cookie")
    page.goto("about:blank")
    page.go_back()
    page.wait_for_selector(".strip")
    assert CODE not in page.url


def test_it_goes_to_pages_by_two_keys(design: Door, tabs: Any) -> None:
    page = tabs(design).open()
    page.wait_for_selector(".strip")
    names = ("exchanges", "usage", "sessions", "providers", "routing", "config", "now")
    for letter, name in zip("eusprcn", names, strict=True):
        page.keyboard.press("g")
        page.keyboard.press(letter)
        page.wait_for_url(f"**/#/{name}")
        current = page.locator(".tabs [aria-current=page]")
        until(lambda: current.inner_text().lower() == name, "another tab is marked")  # noqa: B023


def test_the_list_of_keys_opens_and_closes(design: Door, tabs: Any) -> None:
    page = tabs(design).open()
    page.wait_for_selector(".strip")
    page.locator(".key-hint").focus()
    page.keyboard.press("?")
    page.wait_for_selector("[role=dialog] >> text=Keyboard")
    page.keyboard.press("g")
    page.keyboard.press("e")  # keys of the page rest meanwhile
    assert "#/now" in page.url
    page.keyboard.press("Escape")
    page.wait_for_selector("[role=dialog]", state="detached")
    assert page.evaluate("document.activeElement.className") == "key-hint"


def test_y_copies_the_command_of_the_view(design: Door, tabs: Any) -> None:
    page = tabs(design).open()
    page.wait_for_selector(".strip")
    page.keyboard.press("y")
    page.wait_for_selector(".said >> text=Copied: ccrelay status")
    assert page.evaluate("navigator.clipboard.readText()") == "ccrelay status"


def test_the_theme_follows_the_system_and_the_choice_stays(design: Door, tabs: Any) -> None:
    page = tabs(design, color_scheme="dark").open()
    page.wait_for_selector(".strip")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.keyboard.press("t")
    assert page.evaluate(paper) != dark
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.reload()
    page.wait_for_selector(".strip")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.keyboard.press("t")
    assert page.evaluate(paper) == dark


def test_read_only_is_told_and_the_banner_leaves(design: Door, tabs: Any) -> None:
    design.read_only = True
    page = tabs(design).open()
    page.wait_for_selector(".banner >> text=Read-only.")
    assert page.locator(".bar .tag").inner_text() == "Read-only"
    page.wait_for_selector(".banner", state="detached")
    assert page.locator(".bar .tag").inner_text() == "Read-only"


def test_a_hidden_page_closes_its_streams_and_opens_them_again(design: Door, tabs: Any) -> None:
    page = tabs(design).open()
    page.wait_for_selector(".strip")
    until(lambda: len(design.open) == 3, "three streams are open")
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});" + (
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.evaluate(hide % "true")
    until(lambda: not design.open, "streams are open while the page is hidden")
    page.evaluate(hide % "false")
    until(lambda: len(design.open) == 3, "the streams stay closed")
    assert page.locator(".banner.lost").count() == 0


def test_a_cookie_that_ends_leads_to_the_sign_in(design: Door, tabs: Any) -> None:
    tab = tabs(design)
    page = tab.open()
    page.wait_for_selector(".strip")
    tab.context.clear_cookies()
    design.cut()
    design.mend()
    page.wait_for_selector("h1:has-text('Sign in')")
