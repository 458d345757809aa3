"""Any number of visible windows: all are live, each calls at once, and none depends on another.

A browser has six connections to an origin; pages of one context are all visible, as windows are.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.door import Door
from tests.browser.relay import PATIENCE_S, RealRelay, until

WITHOUT_WORKERS = "delete window.SharedWorker"
SIGN_IN = """async code => {
  const key = localStorage.getItem("ccrelay.page-key");
  const headers = {"content-type": "application/json", "x-ccrelay-page": key};
  const answer = await fetch("session", {method: "POST", headers, body: JSON.stringify({code})});
  localStorage.setItem("ccrelay.page-key", (await answer.json()).page_key);
}"""
ROWS = "table.xt tbody tr.go"
ADDRESSES = ("#/now", "#/exchanges", "#/now", "#/exchanges?filter=project%3Apayments-api")


class Windows:
    """Visible windows of one signed-in browser."""

    def __init__(self, chromium: Any, relay: RealRelay, script: str = "") -> None:
        self.context = chromium.new_context(viewport={"width": 1440, "height": 900})
        self.context.set_default_timeout(PATIENCE_S * 1000)
        self.relay = relay
        self.pages: list[Any] = []
        self.problems: list[str] = []
        if script:
            self.context.add_init_script(script)

    def open(self, address: str) -> Any:
        """Another window."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(self.relay.url + address if self.pages else self.relay.link)
        page.locator("header.bar").wait_for()
        page.goto(self.relay.url + address)
        page.locator(".link-state:has-text('Live')").wait_for()
        self.pages.append(page)
        return page

    def close(self, page: Any) -> None:
        """Close a window."""
        self.pages.remove(page)
        page.close()

    def show(self, count: int) -> None:
        """Wait until all windows show so many exchanges."""
        for page in self.pages:
            until(lambda: page.locator(ROWS).count() == count, "a window stands still")  # noqa: B023

    def call(self) -> None:
        """Each window asks for something that it has not asked for before, and goes back."""
        for page in self.pages:
            address = page.evaluate("location.hash")
            page.evaluate("location.hash = '#/sessions'")
            page.locator("table.tree tbody tr").first.wait_for()
            page.evaluate(f"location.hash = '{address}'")


@pytest.fixture
def windows(chromium: Any, relay: RealRelay) -> Iterator[Any]:
    """Makes a browser."""
    made: list[Windows] = []

    def make(script: str = "") -> Windows:
        made.append(Windows(chromium, relay, script))
        return made[-1]

    yield make
    for one in made:
        one.context.close()
        assert one.problems == []


@pytest.mark.parametrize("script", ["", WITHOUT_WORKERS], ids=["worker", "no worker"])
def test_all_windows_are_live_and_call_at_once(windows: Any, relay: RealRelay, script: str) -> None:
    shown = windows(script)
    relay.ask()
    for address in (*ADDRESSES, *(ADDRESSES if script else ())):
        shown.open(address)
    shown.show(1)
    shown.call()
    relay.ask()
    shown.show(2)
    count = 2
    for at in (0, -1, 1):  # the first, who began all streams, the last, and one between
        shown.close(shown.pages[at])
        relay.ask()
        count += 1
        shown.show(count)
        shown.call()


def test_windows_with_more_filters_than_streams_are_live(windows: Any, relay: RealRelay) -> None:
    shown = windows()
    relay.ask()
    shown.open("#/now")
    filters = ("project:pay", "class:main", "outcome:ok", "model:sonnet", "provider:main")
    for one in filters:
        shown.open(f"#/exchanges?filter={one.replace(':', '%3A')}")
    shown.show(1)
    shown.call()
    relay.ask()
    shown.show(2)


def test_all_windows_tell_that_the_relay_is_gone_and_back(windows: Any, relay: RealRelay) -> None:
    shown = windows()
    relay.ask()
    for address in ADDRESSES:
        shown.open(address)
    shown.show(1)
    relay.kill()
    for page in shown.pages:
        page.locator(".banner.lost").wait_for()
    relay.start()
    relay.ask()
    for page in shown.pages:
        page.locator(".banner.lost").wait_for(state="detached")
    shown.show(2)


def test_all_windows_are_signed_out_with_one(windows: Any, relay: RealRelay) -> None:
    shown = windows()
    relay.ask()
    for address in ADDRESSES:
        shown.open(address)
    status = shown.pages[0].evaluate(
        """fetch("session", {method: "DELETE", headers: {
          "x-ccrelay-page": localStorage.getItem("ccrelay.page-key")}}).then(one => one.status)"""
    )
    assert status == 204
    for page in shown.pages:
        page.locator("h1:has-text('Sign in')").wait_for()


def test_a_worker_that_crashed_is_replaced(windows: Any, relay: RealRelay, chromium: Any) -> None:
    shown = windows()
    relay.ask()
    for address in ADDRESSES[:2]:
        shown.open(address)
    shown.show(1)
    session = chromium.new_browser_cdp_session()
    found = session.send("Target.getTargets")["targetInfos"]
    workers = [one["targetId"] for one in found if one["type"] == "shared_worker"]
    assert len(workers) == 1
    session.send("Target.closeTarget", {"targetId": workers[0]})
    session.detach()
    relay.ask()
    shown.show(2)


def test_windows_share_their_streams(design: Door, tabs: Any) -> None:
    tab = tabs(design)
    tab.open("#/now").locator(".strip").wait_for()
    for _ in range(3):
        page = tab.context.new_page()
        page.goto(design.url)
        page.locator(".strip").wait_for()
    until(lambda: len(design.open) == 3, "not three streams for four windows")


def test_another_link_leaves_all_windows_signed_in(windows: Any, relay: RealRelay) -> None:
    shown = windows()
    relay.ask()
    for address in ADDRESSES[:2]:
        shown.open(address)
    shown.show(1)
    bare = shown.context.new_page()
    bare.goto(f"{relay.url}streams.js")  # of the origin, and reads no stream
    bare.evaluate(SIGN_IN, relay.link.partition("#k=")[2])  # the session before ends with it
    relay.ask()
    shown.show(2)
    shown.call()
    relay.ask()
    shown.show(3)


def test_a_window_goes_on_when_another_signs_in(design: Door, tabs: Any) -> None:
    tab = tabs(design)
    tab.page.goto(f"{design.url}#/sessions")
    tab.page.locator("h1:has-text('Sign in')").wait_for()
    tab.context.new_page().goto(design.link)
    tab.page.locator("table.tree tbody tr").first.wait_for()


def test_a_window_that_crashed_holds_no_stream(design: Door, tabs: Any) -> None:
    tab = tabs(design)
    tab.open("#/usage").locator("table.us-sums").first.wait_for()
    until(lambda: len(design.open) == 1, "not the state alone")
    other = tab.context.new_page()
    other.goto(f"{design.url}#/exchanges?filter=project%3Ahandbook")
    until(lambda: len(design.open) == 3, "not three streams")
    with contextlib.suppress(Exception):  # as Playwright tells it
        other.goto("chrome://crash")
    until(lambda: len(design.open) == 1, "a window that is gone holds streams")
