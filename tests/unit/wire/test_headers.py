import pytest

from ccrelay.wire.headers import client_tokens, host_allowed, host_set, origin_allowed


@pytest.mark.parametrize(
    ("authorization", "x_api_key", "tokens"),
    [
        (b"Bearer test-key-1", None, (b"test-key-1",)),
        (b"bearer  test-key-1 ", None, (b"test-key-1",)),
        (None, b" test-key-2 ", (b"test-key-2",)),
        (b"Bearer test-key-1", b"test-key-2", (b"test-key-1", b"test-key-2")),
        (b"Bearer test-key-1", b"test-key-1", (b"test-key-1",)),
        (b"Basic dXNlcg==", None, ()),
        (b"Bearer", b"", ()),
        (b"Bearer a b", None, ()),
        (None, None, ()),
    ],
)
def test_client_tokens_reads_both_credential_headers(
    authorization: bytes | None, x_api_key: bytes | None, tokens: tuple[bytes, ...]
) -> None:
    assert client_tokens(authorization, x_api_key) == tokens


@pytest.mark.parametrize(
    "host",
    [
        b"localhost",
        b"LocalHost:8787",
        b"localhost.",
        b"127.0.0.1:1",
        b"127.255.3.9",
        b"[::1]",
        b"[::1]:80",
    ],
)
def test_loopback_hosts_are_always_allowed(host: bytes) -> None:
    assert host_allowed(host, frozenset())


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"evil.example",
        b"localhost.evil.example",
        b"127.0.0.1.evil.example",
        b"127.0.0.256",
        b"127.0.0",
        b"127.00.0.1",
        b"128.0.0.1",
        b"[::2]",
        b"::1",
        b"user@localhost",
        b"localhost:80:80",
        b"localhost:8o",
        b"local host",
        b"\xff",
    ],
)
def test_other_hosts_must_be_listed(host: bytes) -> None:
    assert not host_allowed(host, frozenset())


def test_a_listed_host_is_allowed_on_any_port() -> None:
    allowed = host_set(["Relay.Example:8787", "[FD00::5]:1"])
    assert host_allowed(b"relay.example", allowed)
    assert host_allowed(b"relay.example:9", allowed)
    assert host_allowed(b"[fd00::5]:7", allowed)
    assert not host_allowed(b"other.example", allowed)


def test_a_star_allows_any_host_and_origin() -> None:
    assert host_allowed(b"what ever", host_set(["*"]))
    assert origin_allowed(b"https://evil.example", frozenset({"*"}))


def test_origins_must_be_listed_in_full() -> None:
    allowed = frozenset({"https://tools.example"})
    assert origin_allowed(None, frozenset())
    assert origin_allowed(b"https://Tools.example", allowed)
    assert not origin_allowed(b"http://tools.example", allowed)
    assert not origin_allowed(b"null", allowed)
    assert not origin_allowed(b"http://localhost:3000", frozenset())
