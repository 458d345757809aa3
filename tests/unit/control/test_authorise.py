"""The decision alone; through real doors it is made in tests/loopback/control."""

import pytest
from hypothesis import given, strategies as st

from ccrelay.control.authorise import (
    RIGHTS,
    Door,
    Right,
    Why,
    authorise,
    host_allowed,
    host_names,
    right_of,
)
from ccrelay.control.sessions import Sessions, SignedIn

GET = "/ccrelay.v1.Relay/GetStatus"
TOKEN = "t" * 43
TCP = Door(is_unix=False, token=TOKEN)
HOST = ("host", "localhost")
RIGHT = ("authorization", f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    ("owner", "peer", "is_allowed"),
    [
        *((1000, 1000, True), (1000, 0, True), (0, 0, True), (0, 1000, False)),
        *((1000, 1001, False), (1000, -1, False), (-1, -1, False)),
    ],
)
def test_a_unix_door_trusts_its_owner_and_root(owner: int, peer: int, is_allowed: bool) -> None:
    door = Door(is_unix=True, owner_uid=owner, peer_uid=peer)
    for path in RIGHTS:
        decision = authorise(door, path, [])
        assert decision.is_allowed == is_allowed
        assert is_allowed or decision.why is Why.USER


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ([HOST, RIGHT], None),
        ([(":authority", "localhost"), ("host", "evil.example"), RIGHT], None),
        ([(":authority", "evil.example"), HOST, RIGHT], Why.HOST),
        ([RIGHT], Why.HOST),
        ([HOST, HOST, RIGHT], Why.HOST),
        ([HOST], Why.NO_TOKEN),
        ([HOST, RIGHT, RIGHT], Why.WRONG_TOKEN),
        ([HOST, ("authorization", "bearer " + TOKEN)], None),
        ([HOST, ("authorization", b"Bearer " + TOKEN.encode())], None),
        ([HOST, ("authorization", "Bearer \u00fc")], Why.WRONG_TOKEN),
        ([HOST, RIGHT, ("origin", "http://localhost")], None),
        ([HOST, RIGHT, ("origin", "http://localhost:1")], Why.ORIGIN),
        ([HOST, RIGHT, ("origin", "http://localhost"), ("origin", "null")], Why.ORIGIN),
        ([HOST, RIGHT, ("sec-fetch-site", "same-origin")], None),
        ([HOST, RIGHT, ("sec-fetch-site", "same-site")], Why.ORIGIN),
    ],
)
def test_a_tcp_door(metadata: list[tuple[str, str | bytes]], why: Why | None) -> None:
    assert authorise(TCP, GET, metadata).why is why
    if why in (Why.NO_TOKEN, Why.WRONG_TOKEN):
        assert authorise(TCP, "/healthz", metadata).why is None


@given(st.text(max_size=60))
def test_no_other_path_is_open(path: str) -> None:
    owner = Door(is_unix=True, owner_uid=1, peer_uid=1)
    for door, metadata in ((owner, []), (TCP, [HOST, RIGHT])):
        is_known = path in RIGHTS or path.startswith("/assets/")
        # Whoever signs in needs the header of the page.
        is_allowed = is_known and (door.is_unix or path != "/session")
        assert authorise(door, path, metadata).is_allowed == is_allowed


@given(st.text(max_size=60))
def test_no_other_token_is_right(credential: str) -> None:
    decision = authorise(TCP, GET, [HOST, ("authorization", credential)])
    scheme, _, token = credential.partition(" ")
    assert decision.is_allowed == (scheme.lower() == "bearer" and token.strip() == TOKEN)


@pytest.mark.parametrize(
    ("host", "is_allowed"),
    [
        ("localhost", True),
        ("localhost:8789", True),
        ("localhost.", True),
        ("127.0.0.1", True),
        ("127.1.2.3:1", True),
        ("[::1]:1", True),
        ("relay.example", True),
        ("RELAY.example.:99", True),
        ("10.0.0.7:8789", True),
        ("[fd00::7]", True),
        ("", False),
        ("relay.example.evil", False),
        ("localhost:", False),
        ("localhost:x", False),
        ("localhost:123456", False),
        ("a@localhost", False),
        ("localhost/x", False),
        ("localhost evil", False),
        ("[::1", False),
        ("0.0.0.0", False),
        ("2130706433", False),
        ("127.1", False),
    ],
)
def test_hosts(host: str, is_allowed: bool) -> None:
    names = host_names(["relay.example:8789", "10.0.0.7", "fd00::7", "0.0.0.0", "::", "not a host"])
    assert host_allowed(host, names) == is_allowed


def test_any_host_but_no_garbage() -> None:
    names = host_names(["*"])
    assert host_allowed("evil.example", names)
    assert not host_allowed("evil/", names)


def test_nothing_shows_the_token() -> None:
    assert TOKEN not in repr(TCP)
    for metadata in ([HOST], [HOST, ("authorization", "Bearer wrong")]):
        assert "ttt" not in authorise(TCP, GET, metadata).message


def test_only_health_and_the_files_of_the_page_are_open() -> None:
    open_paths = {path for path, right in RIGHTS.items() if right is Right.OPEN}
    health = {path for path in open_paths if path.startswith("/grpc.health.v1.")}
    assert open_paths - health == {"/", "/favicon.svg", "/healthz", "/streams.js"}
    assert right_of("/assets/app.js") is Right.OPEN
    assert right_of("/assets") is None


# ---- the page

ACT = "/ccrelay.v1.Relay/Stop"
SITE = ("sec-fetch-site", "same-origin")
NAME = "ccrelay-8789"


def page_door(sessions: Sessions) -> Door:
    sessions.use_token(TOKEN)
    return Door(is_unix=False, token=TOKEN, sessions=sessions, cookie=NAME)


def signed_in(sessions: Sessions, *, is_read_only: bool = False) -> SignedIn:
    made = sessions.sign_in(sessions.new_code(is_read_only=is_read_only)[0])
    assert made is not None
    return made


@pytest.fixture
def door() -> Door:
    return page_door(Sessions(None, lambda: 1_800_000_000.0))


@pytest.fixture
def one(door: Door) -> SignedIn:
    assert door.sessions is not None
    return signed_in(door.sessions)


def test_a_cookie_and_the_key_of_its_page_are_as_good_as_the_token(
    door: Door, one: SignedIn
) -> None:
    cookie, key = ("cookie", f"{NAME}={one.cookie}"), ("x-ccrelay-page", one.page_key)
    for path, right in RIGHTS.items():
        for site in ([], [SITE]):
            decision = authorise(door, path, [HOST, cookie, key, *site])
            assert decision.is_allowed, path
            is_looked_at = right is not Right.OPEN
            assert decision.session is (one.session if is_looked_at else None)
    assert authorise(door, "/none", [HOST, cookie, key]).why is Why.UNKNOWN


@pytest.mark.parametrize(
    ("cookie", "key", "more", "why"),
    [
        ("{name}={cookie}", "{key}", [], None),
        ("other=1; {name}={cookie}; x=y", "{key}", [], None),
        ("{name}=tossed; {name}={cookie}", "{key}", [], None),
        ("{name}=a; {name}=b; {name}=c; {name}=d; {name}={cookie}", "{key}", [], Why.SIGNED_OUT),
        ("{name}={cookie}", None, [], Why.NO_PAGE_KEY),
        ("{name}={cookie}", "1", [], Why.SIGNED_OUT),
        ("{name}={cookie}", "{key}x", [], Why.SIGNED_OUT),
        ("{name}={cookie}x", "{key}", [], Why.SIGNED_OUT),
        ("ccrelay-8790={cookie}", "{key}", [], Why.SIGNED_OUT),
        ("{name}", "{key}", [], Why.SIGNED_OUT),
        (None, "{key}", [], Why.SIGNED_OUT),
        (None, None, [], Why.NO_TOKEN),
        ("{name}={cookie}", "{key}", [("x-ccrelay-page", "1")], Why.SIGNED_OUT),
        ("{name}={cookie}", "{key}", [("sec-fetch-site", "none")], Why.SIGNED_OUT),
        ("{name}={cookie}", "{key}", [("sec-fetch-site", "same-site")], Why.ORIGIN),
        ("{name}={cookie}", "{key}", [("origin", "http://localhost:1")], Why.ORIGIN),
        ("{name}={cookie}", "{key}", [("origin", "null")], Why.ORIGIN),
        ("{name}={cookie}", "{key}", [("authorization", "Bearer x")], Why.WRONG_TOKEN),
    ],
)
def test_what_a_page_sends(
    door: Door,
    one: SignedIn,
    cookie: str | None,
    key: str | None,
    more: list[tuple[str, str]],
    why: Why | None,
) -> None:
    values = {"name": NAME, "cookie": one.cookie, "key": one.page_key}
    lines = [("cookie", cookie), ("x-ccrelay-page", key)]
    metadata = [(name, text.format(**values)) for name, text in lines if text is not None]
    for path in (GET, ACT):
        assert authorise(door, path, [HOST, *metadata, *more]).why is why


def test_a_page_that_may_only_look(door: Door) -> None:
    assert door.sessions is not None
    one = signed_in(door.sessions, is_read_only=True)
    metadata = [HOST, ("cookie", f"{NAME}={one.cookie}"), ("x-ccrelay-page", one.page_key)]
    for path, right in RIGHTS.items():
        decision = authorise(door, path, metadata)
        assert decision.why is (Why.READ_ONLY if right is Right.ACT else None), path
    assert authorise(door, "/none", metadata).why is Why.UNKNOWN


def test_a_page_without_sessions_is_signed_out(one: SignedIn) -> None:
    cookie, key = ("cookie", f"{NAME}={one.cookie}"), ("x-ccrelay-page", one.page_key)
    assert authorise(TCP, GET, [HOST, cookie, key]).why is Why.SIGNED_OUT
    door = Door(is_unix=False, token=TOKEN, cookie=NAME)
    assert authorise(door, GET, [HOST, cookie, key]).why is Why.SIGNED_OUT


def test_signing_in_needs_the_header_of_the_page_and_no_session(door: Door) -> None:
    assert authorise(door, "/session", [HOST, RIGHT]).why is Why.NO_PAGE_KEY
    decision = authorise(door, "/session", [HOST, ("x-ccrelay-page", "1")])
    assert (decision.is_allowed, decision.session) == (True, None)


@pytest.mark.parametrize(
    ("path", "site", "mode", "dest", "is_allowed"),
    [
        ("/", "cross-site", "navigate", "document", True),
        ("/", "same-site", "navigate", "document", True),
        ("/", "cross-site", "navigate", "iframe", False),
        ("/", "cross-site", "no-cors", "document", False),
        ("/", "cross-site", "no-cors", "image", False),
        ("/assets/app.js", "cross-site", "navigate", "document", False),
        ("/assets/app.js", "cross-site", "no-cors", "script", False),
        ("/healthz", "cross-site", "navigate", "document", False),
        ("/metrics", "cross-site", "navigate", "document", False),
        ("/session", "cross-site", "navigate", "document", False),
    ],
)
def test_a_link_may_lead_to_the_page_and_to_nothing_else(
    door: Door, path: str, site: str, mode: str, dest: str, is_allowed: bool
) -> None:
    sent = [HOST, ("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)]
    assert authorise(door, path, sent).is_allowed == is_allowed
    posted = [*sent, ("origin", "http://evil.example")]  # a form
    assert authorise(door, path, posted).why is Why.ORIGIN
    assert authorise(door, path, [*sent, ("host", "evil.example")]).why is Why.HOST


def test_nothing_shows_sessions(door: Door) -> None:
    assert "sessions" not in repr(door)
