"""Hostile pages in the browser in which the user is signed in to the relay's page.

They try everything that a page can do to another server (`tests.browser.hostile`) from three
origins: another port of 127.0.0.1, to which the browser sends the relay's cookie; another site; and
a name that was rebound to the relay's own address and port. What they read, what of it reached a
servicer, and whether the session still stands is asserted.

Three layers stand in the way: Host and Origin, the page's key, and the content type of calls. Each
of them holds without the others; without all three the attacks succeed, so that the test would
notice.
"""

import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.control import authorise, throttle, web
from ccrelay.control.page import Page, cookie_name
from ccrelay.control.sessions import Session, Sessions
from ccrelay.v1 import relay_pb2
from tests.browser.chromium import launched
from tests.browser.hostile import PAGE, Hostile, hostile_server
from tests.browser.relay import PATIENCE_S
from tests.loopback.control.harness import Served, serve

pytestmark = pytest.mark.browser

EVIL = "evil.example"
# As the relay's own page does: signs in by the fragment, keeps the key, calls.
INDEX = "<!doctype html><title>ours</title><p id=said>...</p><script src=/assets/app.js></script>"
ICON = "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><path d='M0 0h9v9z'/></svg>"
SCRIPT = """
const key = () => localStorage.getItem('key') || '1';
async function signIn() {
  const code = new URLSearchParams(location.hash.slice(1)).get('k');
  history.replaceState(null, '', '/');
  if (!code) return;
  const answer = await fetch('/session', {method: 'POST', body: JSON.stringify({code}),
    headers: {'content-type': 'application/json', 'x-ccrelay-page': '1'}});
  localStorage.setItem('key', (await answer.json()).page_key);
}
async function call(method) {
  const answer = await fetch('/ccrelay.v1.' + method, {method: 'POST', body: new Uint8Array(5),
    headers: {'content-type': 'application/grpc-web+proto', 'x-ccrelay-page': key()}});
  return answer.text();
}
signIn().then(() => { document.title = 'signed in'; });
"""


class Relay:
    """The door, with servicers that count."""

    def __init__(self, folder: Path, *, is_tls: bool = False) -> None:
        self.calls: dict[str, int] = {}
        self._is_tls = is_tls
        self.sessions = Sessions(None, lambda: 1_800_000_000.0)
        self._folder = folder
        (folder / "assets").mkdir(parents=True)
        (folder / "index.html").write_text(INDEX)
        (folder / "favicon.svg").write_text(ICON)
        (folder / "assets" / "app.js").write_text(SCRIPT)
        (folder / "assets" / "app.css").write_text("p { color: red }")

    def page(self, port: int) -> Page:
        name = cookie_name(port, is_tls=self._is_tls)
        return Page(self.sessions, name, is_tls=self._is_tls, folder=self._folder)

    def counting(self, name: str, answer: Any) -> Any:
        async def method(request: Any, context: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            return answer

        return method

    def streaming(self, name: str) -> Any:
        async def method(request: Any, context: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            yield relay_pb2.WatchStatusResponse()

        return method

    def link(self, served: Served) -> str:
        scheme = "https" if self._is_tls else "http"
        return f"{scheme}://{served.address}/#k={self.sessions.new_code(is_read_only=False)[0]}"


@pytest.fixture
def relay(tmp_path: Path) -> Relay:
    return Relay(tmp_path / "dist")


@pytest.fixture
def served(relay: Relay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(throttle, "LONGEST_S", 0.0)
    status = relay_pb2.GetStatusResponse(status=relay_pb2.Status(version="a-secret-version"))
    behaviours = {
        "Relay/Stop": relay.counting("Stop", relay_pb2.StopResponse()),
        "Relay/GetStatus": relay.counting("GetStatus", status),
        "Relay/WatchStatus": relay.streaming("WatchStatus"),
    }
    with serve(tmp_path, behaviours, page=relay.page) as served:
        yield served


@pytest.fixture
def hostile() -> Iterator[Hostile]:
    with hostile_server() as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched([f"--host-resolver-rules=MAP {EVIL} 127.0.0.1"]) as browser:
        yield browser


@pytest.fixture
def user(browser: Any, served: Served, relay: Relay) -> Iterator[Any]:
    """A browser profile whose user is signed in, and has the relay's page open."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_S * 1000)
    page = context.new_page()
    page.goto(relay.link(served))
    page.wait_for_function("document.title === 'signed in'")
    yield page
    context.close()


def origins(served: Served, hostile: Hostile) -> dict[str, str]:
    """From where the hostile page comes."""
    return {
        "another port": f"http://127.0.0.1:{hostile.port}",
        "another site": f"http://{EVIL}:{hostile.port}",
        "a rebound name": f"http://{EVIL}:{served.port}",
    }


def attacked(user: Any, served: Served, origin: str, target: str) -> dict[str, str]:
    """What a page of this origin reads, in a tab beside the user's."""
    page = user.context.new_page()
    if origin.endswith(f":{served.port}"):  # before its name was rebound, it came from elsewhere
        page.route(f"{origin}/", lambda route: route.fulfill(body=PAGE, content_type="text/html"))
    page.goto(f"{origin}/")
    page.unroute_all()
    found = page.evaluate(f"run({json.dumps(target)})")
    for other in user.context.pages:
        if other is not user:
            other.close()
    assert isinstance(found, dict)
    assert len(found) > 40
    return found


def what_was_read(found: dict[str, str]) -> dict[str, str]:
    """All that is no refusal: a page whose name was rebound reads those."""
    refusal = authorise._HOST.message
    return {name: text for name, text in found.items() if text and not text.startswith(refusal)}


def assert_still_signed_in(user: Any, relay: Relay) -> None:
    relay.calls.clear()
    assert "grpc-status: 0" in user.evaluate("call('Relay/GetStatus')")
    assert "grpc-status: 0" in user.evaluate("call('Relay/Stop')")
    assert relay.calls == {"GetStatus": 1, "Stop": 1}


@pytest.mark.parametrize("where", ["another port", "another site", "a rebound name"])
def test_a_hostile_page_reads_and_changes_nothing(
    user: Any, relay: Relay, served: Served, hostile: Hostile, where: str
) -> None:
    assert_still_signed_in(user, relay)
    relay.calls.clear()
    origin = origins(served, hostile)[where]
    is_rebound = where == "a rebound name"
    # A page whose name was rebound asks its own origin, which is now the relay.
    for target in [f"http://{served.address}", *([origin] if is_rebound else [])]:
        assert what_was_read(attacked(user, served, origin, target)) == {}
    assert relay.calls == {}
    assert len(relay.sessions._sessions) == 1
    assert_still_signed_in(user, relay)
    assert served.failures() == []


def test_the_cookie_that_another_port_receives_opens_nothing(
    user: Any, relay: Relay, served: Served, hostile: Hostile
) -> None:
    page = user.context.new_page()
    page.goto(f"http://127.0.0.1:{hostile.port}/")
    page.reload()
    stolen = hostile.cookies[-1]
    assert stolen.startswith(f"ccrelay-{served.port}=")  # browsers do send it
    relay.calls.clear()
    for key in ("", "1", stolen.partition("=")[2]):
        client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
        headers = {"cookie": stolen, "content-type": "application/grpc-web+proto"}
        headers |= {"x-ccrelay-page": key} if key else {}
        client.request("POST", "/ccrelay.v1.Relay/Stop", b"\0\0\0\0\0", headers)
        assert b"grpc-status: 16" in client.getresponse().read()
        client.close()
    assert relay.calls == {}
    assert_still_signed_in(user, relay)


LAYERS = ("origin", "key", "kind")


def take_away(layer: str, patch: pytest.MonkeyPatch) -> None:
    """Do without one of the layers."""
    match layer:
        case "origin":
            patch.setattr(authorise, "_foreign", lambda *_: None)
        case "key":  # of the page: the cookie is enough
            patch.setattr(authorise, "PAGE_HEADER", "host")  # any caller has one
            patch.setattr(authorise, "_session", session_of_cookie)
        case "kind":  # what a form can send is a call, too
            patch.setattr(web, "is_call", lambda request: request.path.startswith("/ccrelay.v1."))


def session_of_cookie(door: Any, keys: Any, metadata: Any) -> Session | None:
    """Return the session of a cookie, with any sender."""
    for cookie in authorise._cookies(door, metadata):
        key = door.sessions._page_key(cookie)
        if session := door.sessions.find(cookie, key):
            return session
    return None


@pytest.mark.parametrize("left", [*LAYERS, None])
def test_each_layer_holds_alone_and_without_all_the_attacks_succeed(
    user: Any,
    relay: Relay,
    served: Served,
    hostile: Hostile,
    monkeypatch: pytest.MonkeyPatch,
    left: str | None,
) -> None:
    for layer in LAYERS:
        if layer != left:
            take_away(layer, monkeypatch)
    relay.calls.clear()
    attacked(user, served, f"http://127.0.0.1:{hostile.port}", f"http://{served.address}")
    is_safe = left is not None
    assert ("Stop" not in relay.calls) == is_safe, relay.calls


def test_with_tls_the_page_is_signed_in_by_a_cookie_for_tls(browser: Any, tmp_path: Path) -> None:
    """Although Chromium sends even that one to other ports of 127.0.0.1, and without TLS."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    files = [str(tmp_path / name) for name in ("cert.pem", "key.pem")]
    more = ["-out", files[0], "-keyout", files[1]]
    subprocess.run([*command, *more], check=True, capture_output=True)
    relay = Relay(tmp_path / "dist", is_tls=True)
    behaviours = {"Relay/Stop": relay.counting("Stop", relay_pb2.StopResponse())}
    with serve(tmp_path, behaviours, page=relay.page, tls=(files[0], files[1])) as served:
        with browser.new_context(ignore_https_errors=True) as context:
            page = context.new_page()
            page.goto(relay.link(served))
            page.wait_for_function("document.title === 'signed in'")
            assert "grpc-status: 0" in page.evaluate("call('Relay/Stop')")
            [cookie] = context.cookies()
            assert (cookie["name"], cookie["secure"]) == (f"__Host-ccrelay-{served.port}", True)
        assert relay.calls == {"Stop": 1}
