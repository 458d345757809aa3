"""The page of a real relay in a real browser: signed in by a link, once, and for good."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.control.client import Client, ControlError, find_socket
from ccrelay.v1.relay_pb2 import GetStatusRequest, GetStatusResponse, Status
from tests.browser.chromium import launched
from tests.browser.relay import PATIENCE_S, until
from tests.child import child_environment

pytestmark = pytest.mark.browser

PROGRAM = [sys.executable, "-P", "-m", "ccrelay"]
TABS = "nav.tabs"


class Relay:
    """`ccrelay serve --demo` with a page on a free port."""

    def __init__(self, folder: Path) -> None:
        (folder / "run").mkdir(mode=0o700)
        config = folder / "c.yaml"
        config.write_text(
            "server: {listen: '127.0.0.1:0'}\nmanagement: {listen: '127.0.0.1:0'}\n"
            "providers: [{name: a, type: anthropic, base_url: 'http://127.0.0.1:9'}]\n"
        )
        config.chmod(0o600)
        self.environment = {
            **child_environment(),
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.process = subprocess.Popen(
            [*PROGRAM, "serve", "--config", str(config)],
            env=self.environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.output = ""
        assert self.process.stdout is not None
        while "/#k=" not in self.output:
            line = self.process.stdout.readline()
            assert line, self.output
            self.output += line
        self.banner_link = next(word for word in self.output.split() if "/#k=" in word)
        port = self.output.split("http://127.0.0.1:")[1].split()[0]
        socket = folder / "run" / "ccrelay" / f"{port}.sock"  # other relays may run beside it
        self.environment["CCRELAY_SOCKET"] = str(socket)

    def link(self, *more: str) -> str:
        """Another link."""
        done = subprocess.run(
            [*PROGRAM, "open", "--print", *more],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_S,
        )
        return done.stdout.strip()

    def status(self) -> Status | None:
        """What the manager says; None: there is none at the moment."""
        try:
            client = Client(find_socket(self.environment))
            request = GetStatusRequest()
            return client.call("Relay/GetStatus", request, GetStatusResponse).status
        except (ControlError, OSError):
            return None

    def kill_manager(self) -> None:
        before = until(self.status, "no manager").management
        os.kill(before.pid, signal.SIGKILL)
        restarts = before.restarts
        until(
            lambda: (now := self.status()) and now.management.restarts > restarts, "no new manager"
        )

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def relay() -> Iterator[Relay]:
    with tempfile.TemporaryDirectory(prefix="cc-") as folder:
        running = Relay(Path(folder))
        yield running
        running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A page in a profile of its own; no script of it may fail, nor break the policy."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_S * 1000)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: problems.append(said.text) if "Policy" in said.text else None)
    yield page
    context.close()
    assert problems == []


def has_left_the_code(tab: Any) -> bool:
    return "k=" not in tab.url and "k=" not in tab.evaluate("location.href")


def test_the_link_of_the_banner_signs_in_for_good(relay: Relay, tab: Any) -> None:
    tab.goto(relay.banner_link)
    tab.wait_for_selector(TABS)
    assert has_left_the_code(tab)
    [cookie] = tab.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert tab.evaluate("document.cookie") == ""
    for _ in range(2):  # as long as the browser has the cookie, over managers, too
        tab.goto(relay.banner_link.partition("#")[0])
        tab.wait_for_selector(TABS)
        relay.kill_manager()


def test_a_link_signs_in_one_browser_only(relay: Relay, tab: Any, browser: Any) -> None:
    tab.goto(relay.banner_link)
    tab.wait_for_selector(TABS)
    with browser.new_context() as other:
        page = other.new_page()
        page.goto(relay.banner_link)
        page.wait_for_selector("text=ccrelay open")
        assert page.query_selector(TABS) is None
        assert other.cookies() == []


def test_a_browser_that_was_never_signed_in_is_told_how(relay: Relay, tab: Any) -> None:
    tab.goto(relay.banner_link.partition("#")[0])
    tab.wait_for_selector("text=ccrelay open")
    assert tab.query_selector(TABS) is None


def test_a_link_to_look_is_refused_what_changes_something(relay: Relay, tab: Any) -> None:
    tab.goto(relay.link("--read-only"))
    tab.wait_for_selector(TABS)
    answer = tab.evaluate("fetch('/session').then(answer => answer.status)")
    assert answer == 401  # by the cookie alone
    with tab.expect_request(lambda request: "/ccrelay.v1." in request.url) as called:
        tab.reload()
    key = called.value.headers["x-ccrelay-page"]
    reload = f"""fetch('/ccrelay.v1.Relay/Reload', {{method: 'POST', body: new Uint8Array(5),
        headers: {{'content-type': 'application/grpc-web+proto', 'x-ccrelay-page': '{key}'}}}})
        .then(answer => answer.text())"""
    assert "grpc-status: 7" in tab.evaluate(reload)
