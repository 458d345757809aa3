"""The web page through a real door: signing in and out, what a session may call, and its files."""

import asyncio
import http.client
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay.control import throttle
from ccrelay.control.authorise import RIGHTS, Decision, Right
from ccrelay.control.http import HttpRequest
from ccrelay.control.page import Page, cookie_name
from ccrelay.control.page_files import POLICY
from ccrelay.control.session_file import SessionFile
from ccrelay.control.sessions import Sessions
from ccrelay.v1 import relay_pb2
from tests.loopback.control.callers import RIGHT, Metadata, Native, Web
from tests.loopback.control.harness import Log, Served, serve

GET = "/ccrelay.v1.Relay/GetStatus"
WATCH = "/ccrelay.v1.Relay/WatchStatus"
JSON = {"content-type": "application/json"}
PAGE = {"x-ccrelay-page": "1"}
EMPTY = b"\0\0\0\0\0"


class Answer:
    """An answer of the door over the standard library's client."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()
        self.cookie = (self.headers.get("set-cookie") or "").partition(";")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """A page of a served relay: with its cookie and its key."""

    def __init__(self, served: Served, cookie: str = "", key: str = "") -> None:
        self._served = served
        self.cookie, self.key = cookie, key

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        own = {"cookie": self.cookie} if self.cookie else {}
        own |= {"x-ccrelay-page": self.key} if self.key else {}
        client = http.client.HTTPConnection("127.0.0.1", self._served.port, timeout=20)
        try:
            client.request(method, path, body or None, own | (headers or {}))
            return Answer(client.getresponse())
        finally:
            client.close()

    @property
    def metadata(self) -> Metadata:
        return (("cookie", self.cookie), ("x-ccrelay-page", self.key))

    def call(self, path: str, protocol: Any = Web, metadata: Metadata | None = None) -> str:
        with protocol(self._served, unix=False) as caller:
            sent = self.metadata if metadata is None else metadata
            return str(caller.call(path, metadata=sent).code)


class Signing:
    """The sessions of a served relay."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sessions: Sessions
        self.now = 1_800_000_000.0

    def page(self, port: int) -> Page:
        self.sessions = Sessions(SessionFile(self.folder, 1, Log()), lambda: self.now)
        name = cookie_name(port, is_tls=False)
        return Page(self.sessions, name, is_tls=False, folder=self.folder / "dist")

    def code(self, *, is_read_only: bool = False) -> str:
        return self.sessions.new_code(is_read_only=is_read_only)[0]


def post_code(served: Served, code: str, **headers: str) -> Answer:
    body = json.dumps({"code": code}).encode()
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return Browser(served).ask("POST", "/session", body, JSON | PAGE | lines)


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    return Signing(tmp_path)


@pytest.fixture
def served(tmp_path: Path, signing: Signing, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(throttle, "LONGEST_S", 0.0)
    (tmp_path / "dist" / "assets").mkdir(parents=True)
    (tmp_path / "dist" / "index.html").write_text("<!doctype html><title>ccrelay</title>")
    (tmp_path / "dist" / "assets" / "app.js").write_text("1;" * 500)
    with serve(tmp_path, {"Relay/WatchStatus": watch}, page=signing.page) as served:
        yield served


Sign = Callable[..., Browser]


@pytest.fixture
def sign(served: Served, signing: Signing) -> Sign:
    """Signs a browser in."""

    def sign(*, is_read_only: bool = False) -> Browser:
        answer = post_code(served, signing.code(is_read_only=is_read_only))
        assert answer.status == 200, answer.body
        return Browser(served, answer.cookie, answer.json["page_key"])

    return sign


_MAY_GO_ON: list[asyncio.Event] = []


async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
    _MAY_GO_ON[:] = [asyncio.Event()]
    yield relay_pb2.WatchStatusResponse()
    await _MAY_GO_ON[0].wait()
    yield relay_pb2.WatchStatusResponse()


# ---- signing in and out


@pytest.mark.parametrize("is_read_only", [True, False])
def test_a_code_becomes_a_cookie_that_scripts_cannot_read(
    served: Served, signing: Signing, is_read_only: bool
) -> None:
    code = signing.code(is_read_only=is_read_only)
    answer = post_code(served, code)
    assert (answer.status, answer.json["read_only"]) == (200, is_read_only)
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert name.startswith(f"ccrelay-{served.port}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert "Secure" not in attributes
    assert not any(each.lower().startswith("domain") for each in attributes)
    browser = Browser(served, answer.cookie, answer.json["page_key"])
    assert browser.ask("GET", "/session").json == {"read_only": is_read_only}
    assert browser.call(GET) == "OK"
    again = post_code(served, code)
    assert (again.status, again.cookie) == (401, "")
    assert b"ccrelay open" in again.body


def test_with_tls_the_cookie_is_for_tls() -> None:
    sessions = Sessions(None, lambda: 1_800_000_000.0)
    sessions.use_token("t" * 43)
    page = Page(sessions, cookie_name(8789, is_tls=True), is_tls=True)
    body = json.dumps({"code": sessions.new_code(is_read_only=False)[0]}).encode()
    request = HttpRequest("POST", "/session", "", tuple(JSON.items()))

    async def late(why: str) -> None:
        raise AssertionError(why)

    answer = asyncio.run(page.answer(request, body, Decision(), late))
    name, *attributes = dict(answer.headers)["set-cookie"].split("; ")
    assert name.startswith("__Host-ccrelay-8789=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"code": "x"}', JSON | PAGE, 401),
        (b'{"code": "x"}', JSON, 401),
        (b'{"code": "x"}', PAGE, 415),
        (b'{"code": "x"}', PAGE | {"content-type": "text/plain"}, 415),
        (b"code=x", PAGE | {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b"", JSON | PAGE, 400),
        (b'{"code": 1}', JSON | PAGE, 400),
        (b'["x"]', JSON | PAGE, 400),
        (b'{"code": "\xff"}', JSON | PAGE, 400),
        (b'{"code": "%s"}' % (b"x" * 5000), JSON | PAGE, 413),
        (b'{"code": "x"}', JSON | PAGE | {"host": "evil.example"}, 403),
        (b'{"code": "x"}', JSON | PAGE | {"origin": "http://evil.example"}, 403),
        (b'{"code": "x"}', JSON | PAGE | {"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_what_signs_nobody_in(
    served: Served, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = Browser(served).ask("POST", "/session", body, headers)
    assert (answer.status, answer.cookie) == (status, "")


def test_a_wrong_code_is_answered_late_and_logged_without_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    delays = []
    monkeypatch.setattr(
        throttle.WrongTokens, "add", lambda self, address, now: delays.append(address) or 0.0
    )
    for _ in range(3):
        assert post_code(served, "a-wrong-code").status == 401
    assert delays == ["127.0.0.1"] * 3
    told = [(level, fields) for level, name, fields in served.log.events]
    assert [fields["why"] for _, fields in told] == ["wrong_code"] * 3
    assert [level for level, _ in told] == ["warning", "debug", "debug"]
    assert "a-wrong-code" not in str(told)


def test_signing_out_ends_the_session_and_the_cookie(sign: Sign) -> None:
    browser, other = sign(), sign()
    answer = browser.ask("DELETE", "/session")
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert answer.cookie.endswith("=")
    for _ in range(2):
        assert browser.ask("GET", "/session").status == 401
        assert browser.ask("DELETE", "/session").status == 401
        assert browser.call(GET) == "UNAUTHENTICATED"
    assert other.call(GET) == "OK"


def test_who_signs_in_again_has_one_session(served: Served, signing: Signing, sign: Sign) -> None:
    browser = sign()
    body = json.dumps({"code": signing.code()}).encode()
    assert browser.ask("POST", "/session", body, JSON).status == 200
    assert browser.call(GET) == "UNAUTHENTICATED"


def test_the_session_path_takes_three_methods(sign: Sign) -> None:
    browser = sign()
    for method in ("PUT", "PATCH", "HEAD", "OPTIONS"):
        answer = browser.ask(method, "/session")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, DELETE")
        assert "access-control-allow-origin" not in answer.headers


# ---- what a session may call


@pytest.mark.parametrize("protocol", [Native, Web])
@pytest.mark.parametrize("is_read_only", [True, False])
def test_every_method_by_a_page(sign: Sign, protocol: Any, is_read_only: bool) -> None:
    browser = sign(is_read_only=is_read_only)
    paths = [path for path in RIGHTS if path.startswith("/ccrelay.v1.")]
    for path in paths:
        is_refused = is_read_only and RIGHTS[path] is Right.ACT
        expected = "PERMISSION_DENIED" if is_refused else "OK"
        if path.rpartition("/")[2] != "WatchStatus":
            assert browser.call(path, protocol) == expected, path


@pytest.mark.parametrize("protocol", [Native, Web])
def test_no_method_by_the_cookie_alone(sign: Sign, protocol: Any) -> None:
    browser = sign()
    cookie, key = browser.metadata
    paths = [path for path in RIGHTS if path.startswith("/ccrelay.v1.")]
    for path in paths:
        assert browser.call(path, protocol, (cookie,)) == "UNAUTHENTICATED", path
        assert browser.call(path, protocol, (key,)) == "UNAUTHENTICATED", path
        wrong = (cookie, ("x-ccrelay-page", "1"))
        assert browser.call(path, protocol, wrong) == "UNAUTHENTICATED", path


def test_the_cookie_is_worth_nothing_to_another_server_that_it_was_sent_to(sign: Sign) -> None:
    """Cookies ignore ports: who runs another server on this host may get it, and is no browser."""
    browser = sign()
    for headers in ({}, {"x-ccrelay-page": "1"}, {"x-ccrelay-page": browser.cookie}):
        thief = Browser(browser._served, browser.cookie)
        assert thief.ask("GET", "/session", headers=headers).status == 401
        assert thief.ask("GET", "/metrics", headers=headers).status == 401


def test_a_page_may_read_metrics_and_nobody_else(served: Served, sign: Sign) -> None:
    assert sign(is_read_only=True).ask("GET", "/metrics").body == b"up 1\n"
    assert Browser(served).ask("GET", "/metrics").status == 401


def test_a_stream_ends_with_its_session(served: Served, signing: Signing, sign: Sign) -> None:
    browser = sign()
    _MAY_GO_ON.clear()
    found = []

    def read() -> None:
        with Web(served, unix=False) as caller:
            found.append(caller.call(WATCH, metadata=browser.metadata, timeout_s=20))

    reader = threading.Thread(target=read)
    reader.start()
    while not _MAY_GO_ON:
        assert reader.is_alive()
    assert browser.ask("DELETE", "/session").status == 204
    served.loop.call(_MAY_GO_ON[0].set)
    reader.join(20)
    assert found[0].code == "UNAUTHENTICATED"
    assert len(found[0].answers) == 1


def test_another_token_signs_out(served: Served, sign: Sign) -> None:
    browser = sign()
    served.loop.call(lambda: served.server.use_token("n" * 43))
    assert browser.call(GET) == "UNAUTHENTICATED"


def test_the_next_manager_knows_who_is_signed_in(
    served: Served, signing: Signing, sign: Sign, tmp_path: Path
) -> None:
    browser = sign()
    served.loop.run(served.server.close(0.0))
    later = tmp_path / "later"
    later.mkdir()
    with serve(later, page=signing.page) as again:
        other = Browser(again, browser.cookie.replace(str(served.port), str(again.port)))
        other.key = browser.key
        assert other.call(GET) == "OK"


# ---- files


def test_the_page_comes_as_it_is_with_its_policy(served: Served) -> None:
    answer = Browser(served).ask("GET", "/")
    assert (answer.status, answer.body[:9]) == (200, b"<!doctype")
    assert answer.headers.get_all("cache-control") == ["no-cache"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == POLICY
    head = Browser(served).ask("HEAD", "/")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.body))
    tag = {"if-none-match": answer.headers["etag"]}
    again = Browser(served).ask("GET", "/", headers=tag)
    assert (again.status, again.body) == (304, b"")
    assert "content-length" not in again.headers
    assert Browser(served).ask("POST", "/", b"x").status == 405


def test_a_file_comes_packed_on_a_connection_that_stays(served: Served) -> None:
    client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    for _ in range(3):
        client.request("GET", "/assets/app.js", headers={"accept-encoding": "gzip"})
        response = client.getresponse()
        assert (response.status, response.headers["content-encoding"]) == (200, "gzip")
        assert len(response.read()) < 100
        assert response.headers.get_all("cache-control") == ["public, max-age=31536000, immutable"]
    client.close()


@pytest.mark.parametrize("path", ["/", "/assets/app.js", "/favicon.svg", "/session"])
def test_a_page_that_rebinds_its_name_gets_no_file(served: Served, path: str) -> None:
    answer = Browser(served).ask("GET", path, headers={"host": f"evil.example:{served.port}"})
    assert answer.status == 403
    assert answer.headers["content-security-policy"] == POLICY


def test_without_a_page_there_are_no_files_and_no_sessions(tmp_path: Path) -> None:
    with serve(tmp_path) as served:
        for path in ("/", "/assets/app.js"):
            assert Browser(served).ask("GET", path).status == 404
        assert Browser(served).ask("GET", "/session", headers=PAGE).status == 404
        metadata = (("cookie", "ccrelay-1=x"), ("x-ccrelay-page", "x"))
        assert Browser(served).call(GET, metadata=metadata) == "UNAUTHENTICATED"
        assert Browser(served).call(GET, metadata=RIGHT) == "OK"
