"""What a base URL is taken apart into, and which URLs are refused."""

import pytest

from ccrelay.upstream.origin import Origin, bracketed, host_port, literal_address, split_url


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "prefix", "authority"),
    [
        ("https://api.example.com", "https", "api.example.com", 443, b"", b"api.example.com"),
        ("https://api.example.com/", "https", "api.example.com", 443, b"", b"api.example.com"),
        ("http://localhost:11434", "http", "localhost", 11434, b"", b"localhost:11434"),
        ("http://localhost:80/v1/", "http", "localhost", 80, b"/v1", b"localhost"),
        ("https://h.test:80", "https", "h.test", 80, b"", b"h.test:80"),
        (
            "HTTPS://API.Example.COM/A/b",
            "https",
            "api.example.com",
            443,
            b"/A/b",
            b"api.example.com",
        ),
        ("https://h.test/api/anthropic//", "https", "h.test", 443, b"/api/anthropic", b"h.test"),
        ("https://h.test/a%20b", "https", "h.test", 443, b"/a%20b", b"h.test"),
        ("http://127.0.0.1:8080", "http", "127.0.0.1", 8080, b"", b"127.0.0.1:8080"),
        ("http://[::1]:8080/x", "http", "::1", 8080, b"/x", b"[::1]:8080"),
        ("https://[2001:DB8:0::1]", "https", "2001:db8::1", 443, b"", b"[2001:db8::1]"),
        ("http://ollama_1:11434", "http", "ollama_1", 11434, b"", b"ollama_1:11434"),
        (
            "https://bücher.example",
            "https",
            "xn--bcher-kva.example",
            443,
            b"",
            b"xn--bcher-kva.example",
        ),
        ("https://h.test.:443", "https", "h.test.", 443, b"", b"h.test."),
    ],
)
def test_a_base_url_is_parsed(
    url: str, scheme: str, host: str, port: int, prefix: bytes, authority: bytes
) -> None:
    origin = Origin.parse(url)

    assert (origin.scheme, origin.host, origin.port) == (scheme, host, port)
    assert (origin.prefix, origin.authority) == (prefix, authority)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "//api.example.com",
        "ftp://api.example.com",
        "https://",
        "https:///v1",
        "https://:443",
        "https://h.test:0",
        "https://h.test:65536",
        "https://h.test:http",
        "https://h.test:-1",
        "https://user:test-key-1@h.test",
        "https://test-key-1@h.test",
        "https://h.test/?a=b",
        "https://h.test/?",
        "https://h.test/#x",
        "https://h.test/a b",
        "https://h.test/a\r\nx: y",
        "https://h.te\tst/",
        " https://h.test",
        "https://h.test\\@other.test",
        "https://h.test/ä",
        "https://-h.test",
        "https://h..test",
        "https://h.test;x",
        "https://" + "a" * 64 + ".test",
        "https://[::1",
        "https://[::g]",
        "https://[fe80::1%25eth0]",
        "https://[127.0.0.1]",
        "https://\N{BULLET OPERATOR}" + "ä" * 80 + ".test",
    ],
)
def test_an_invalid_base_url_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Origin.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:test-key-1@h.test",
        "https://user:test-key-1",
        "https://[test-key-1]:443",
        "ftp://h.test/?key=test-key-1",
        "https://h.test/?key=test-key-1",
        "https://h.test:test-key-1/",
    ],
)
def test_errors_never_quote_the_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        Origin.parse(url)

    assert "test-key-1" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_name_always_shows_the_port() -> None:
    assert Origin.parse("https://h.test").name == "h.test:443"
    assert Origin.parse("http://[::1]").name == "[::1]:80"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("db.localhost", True),
        ("notlocalhost", False),
        ("localhost.example.com", False),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("128.0.0.1", False),
        ("[::1]", True),
        ("[::2]", False),
        ("[::ffff:127.0.0.1]", True),
        ("[::ffff:192.0.2.1]", False),
    ],
)
def test_loopback_is_recognised_by_name_and_address(host: str, loopback: bool) -> None:
    assert Origin.parse(f"http://{host}:1").is_loopback is loopback


def test_origins_are_compared_by_value_and_cannot_change() -> None:
    origin = Origin.parse("https://h.test/v1")

    assert origin == Origin.parse("https://H.test:443/v1/")
    assert hash(origin) == hash(Origin.parse("https://h.test/v1"))
    with pytest.raises(AttributeError):
        origin.port = 1  # type: ignore[misc]


def test_split_url_keeps_user_and_password_for_proxies() -> None:
    parts, host, port = split_url("http://user:test-key-1@proxy.test:3128")

    assert (parts.username, parts.password) == ("user", "test-key-1")
    assert (host, port) == ("proxy.test", 3128)


def test_only_ipv6_addresses_are_bracketed() -> None:
    assert (bracketed("::1"), bracketed("h.test")) == ("[::1]", "h.test")
    assert (host_port("::1", 80), host_port("192.0.2.1", 80)) == ("[::1]:80", "192.0.2.1:80")
    assert literal_address("h.test") is None
    assert literal_address("192.0.2.1") is not None
