"""Debian's Chromium, signed in to the page of a relay.

All tests here need a browser: `pytest -m browser tests/browser`. `CCRELAY_CHROMIUM` names another.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import launched
from tests.browser.design import Design
from tests.browser.door import DIST, Door
from tests.browser.relay import PATIENCE_S, RealRelay, real_relay
from tests.loopback.control.harness import TOKEN, serve


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder: without `-m browser` they are left out.

    Sockets that a browser left in threads of the tests' own servers are closed when they are
    collected, in whatever test that is.
    """
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(PATIENCE_S * 3))
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))
            unraisable = "ignore:.*unclosed|.*socket.socket:pytest.PytestUnraisableExceptionWarning"
            item.add_marker(pytest.mark.filterwarnings(unraisable))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The browser; each test has a context of its own."""
    assert (DIST / "index.html").exists(), "build the page first: npm run build in ccrelay/web"
    with launched() as browser:
        yield browser


class Tab:
    """A page of the browser, and what went wrong in it."""

    def __init__(self, chromium: Any, door: "Door | RealRelay", **how: Any) -> None:
        self.door = door
        usual = {
            "viewport": {"width": 1440, "height": 900},
            "permissions": ["clipboard-read", "clipboard-write"],
        }
        self.context = chromium.new_context(**{**usual, **how})
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.outside: list[str] = []
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", self._said)
        self.page.on("request", self._asked)

    def _said(self, message: Any) -> None:
        text = message.text
        # That a relay is gone is told by the browser, too.
        if (
            message.type == "error"
            and "Failed to load resource" not in text
            and "net::" not in text
        ):
            self.problems.append(text)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.door.url, "data:", "blob:")):
            self.outside.append(request.url)

    def open(self, address: str = "#/now") -> Any:
        """Sign in and go to a page."""
        self.page.goto(self.door.link)
        self.page.wait_for_selector("header.bar")
        self.page.goto(self.door.url + address)
        return self.page

    def close(self) -> None:
        """Close it; scripts, the security policy and other machines had no part in the test."""
        self.context.close()
        assert self.problems == []
        assert self.outside == []


@pytest.fixture
def tabs(chromium: Any) -> Iterator[Any]:
    """Makes tabs; at the end nothing has gone wrong in any."""
    made: list[Tab] = []

    def make(door: "Door | RealRelay", **how: Any) -> Tab:
        made.append(Tab(chromium, door, **how))
        return made[-1]

    yield make
    for tab in made:
        tab.close()


@pytest.fixture
def design(tmp_path: Path) -> Iterator[Door]:
    """A door to the relay of the design: the data of the pictures."""
    with serve(tmp_path, Design().behaviours()) as served:
        door = Door(served.address, TOKEN)
        yield door
        door.close()


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RealRelay]:
    """A real relay that has not answered anything yet."""
    with real_relay(tmp_path) as running:
        yield running


@pytest.fixture
def door(relay: RealRelay) -> RealRelay:
    """The door of the real relay: its own."""
    return relay


@pytest.fixture
def proxied(relay: RealRelay) -> Iterator[Door]:
    """A door before the real relay that can be cut."""
    made = Door(relay.management, relay.token)
    yield made
    made.close()
