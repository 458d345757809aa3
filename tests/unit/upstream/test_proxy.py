"""Which proxy the environment names, and the strict reading of its answer to CONNECT."""

import base64
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from ccrelay.errors import UpstreamFailed
from ccrelay.upstream.origin import Origin
from ccrelay.upstream.proxy import (
    ANSWER_BYTES_MAX,
    Proxy,
    connect,
    connect_request,
    proxy_for,
    read_answer,
)

T = TypeVar("T")

HTTPS = Origin.parse("https://api.example.com")
HTTP = Origin.parse("http://api.example.com")
PROXY = Proxy.parse("http://user:test-key-1@proxy.test:3128")


def finish(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never has to wait: no loop, no sockets."""
    try:
        coro.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coro.close()
    raise AssertionError("the coroutine waits")


class Script:
    """A stream that answers with the given reads, then ends."""

    def __init__(self, *reads: bytes) -> None:
        self.reads = list(reads)
        self.sent = b""

    async def receive(self) -> bytes:
        return self.reads.pop(0) if self.reads else b""

    async def send(self, data: bytes) -> None:
        self.sent += data


def chosen(origin: Origin, **env: str) -> str | None:
    proxy = proxy_for(origin, env)
    return None if proxy is None else proxy.name


def test_without_variables_there_is_no_proxy() -> None:
    assert chosen(HTTPS) is None
    assert chosen(HTTPS, HTTPS_PROXY="", https_proxy=" ") is None


def test_each_scheme_has_its_own_variable() -> None:
    env = {"HTTPS_PROXY": "http://s.test:1", "HTTP_PROXY": "http://p.test:2"}

    assert chosen(HTTPS, **env) == "s.test:1"
    assert chosen(HTTP, **env) == "p.test:2"
    assert chosen(HTTP, HTTPS_PROXY="http://s.test:1") is None


def test_lower_case_precedes_upper_case_and_all_proxy_is_last() -> None:
    env = {"ALL_PROXY": "http://all.test:3"}
    assert chosen(HTTPS, **env) == chosen(HTTP, **env) == "all.test:3"

    env["HTTPS_PROXY"] = "http://upper.test:2"
    assert chosen(HTTPS, **env) == "upper.test:2"

    env["https_proxy"] = "http://lower.test:1"
    assert chosen(HTTPS, **env) == "lower.test:1"


def test_http_proxy_is_ignored_in_a_cgi_process() -> None:
    env = {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil.test:1"}

    assert chosen(HTTP, **env) is None
    assert chosen(HTTP, **env, http_proxy="http://p.test:2") == "p.test:2"
    assert chosen(HTTPS, REQUEST_METHOD="GET", HTTPS_PROXY="http://s.test:1") == "s.test:1"


@pytest.mark.parametrize(
    "url", ["http://localhost:1", "https://127.0.0.1:1", "http://[::1]:1", "http://a.localhost"]
)
def test_loopback_origins_never_go_through_a_proxy(url: str) -> None:
    assert chosen(Origin.parse(url), ALL_PROXY="http://p.test:1") is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "exempt"),
    [
        ("*", "https://api.example.com", True),
        ("other.test, *", "https://api.example.com", True),
        ("example.com", "https://api.example.com", True),
        ("example.com", "https://example.com", True),
        (".example.com", "https://api.example.com", True),
        (".example.com", "https://example.com", True),
        ("*.example.com", "https://api.example.com", True),
        ("EXAMPLE.com.", "https://api.example.com", True),
        ("example.com", "https://api.example.com.", True),
        ("ample.com", "https://api.example.com", False),
        ("api.example.com.evil.test", "https://api.example.com", False),
        ("other.test,api.example.com", "https://api.example.com", True),
        ("other.test api.example.com", "https://api.example.com", True),
        ("api.example.com:443", "https://api.example.com", True),
        ("api.example.com:8443", "https://api.example.com", False),
        ("api.example.com:443", "http://api.example.com", False),
        ("192.0.2.1", "http://192.0.2.1", True),
        ("192.0.2.1:80", "http://192.0.2.1", True),
        ("192.0.2.1:81", "http://192.0.2.1", False),
        ("192.0.2.0/24", "http://192.0.2.77", True),
        ("192.0.2.1/24", "http://192.0.2.77", True),
        ("192.0.2.0/24", "http://192.0.3.77", False),
        ("192.0.2.0/24", "http://api.example.com", False),
        ("2.1", "http://192.0.2.1", False),
        ("2001:db8::/32", "http://[2001:db8::7]", True),
        ("2001:db8::7", "http://[2001:db8:0::7]", True),
        ("[2001:db8::7]:80", "http://[2001:db8::7]", True),
        ("[2001:db8::7]", "http://[2001:db8::7]:81", True),
        ("[2001:db8::7]:81", "http://[2001:db8::7]", False),
        ("2001:db8::/32", "http://192.0.2.1", False),
        ("192.0.2.0/99,[,:80,.,*.", "https://api.example.com", False),
        ("", "https://api.example.com", False),
    ],
)
def test_no_proxy_exempts_hosts_ports_addresses_and_networks(
    no_proxy: str, url: str, exempt: bool
) -> None:
    name = chosen(Origin.parse(url), ALL_PROXY="http://p.test:1", NO_PROXY=no_proxy)

    assert name == (None if exempt else "p.test:1")


def test_lower_case_no_proxy_precedes_upper_case() -> None:
    env = {"ALL_PROXY": "http://p.test:1", "NO_PROXY": "*", "no_proxy": "other.test"}

    assert chosen(HTTPS, **env) == "p.test:1"


@pytest.mark.parametrize(
    ("url", "scheme", "name"),
    [
        ("proxy.test:3128", "http", "proxy.test:3128"),
        ("proxy.test", "http", "proxy.test:80"),
        ("http://proxy.test/", "http", "proxy.test:80"),
        ("https://proxy.test", "https", "proxy.test:443"),
        ("user:test-key-1@proxy.test:1", "http", "proxy.test:1"),
        ("http://[2001:db8::1]:3128", "http", "[2001:db8::1]:3128"),
        ("socks5://proxy.test", "socks5", "proxy.test:1080"),
        ("SOCKS5H://proxy.test:9050/", "socks5h", "proxy.test:9050"),
        ("socks4://[2001:db8::1]", "socks4", "[2001:db8::1]:1080"),
        ("socks4a://user@proxy.test:1", "socks4a", "proxy.test:1"),
    ],
)
def test_a_proxy_url_is_parsed(url: str, scheme: str, name: str) -> None:
    proxy = Proxy.parse(url)

    assert (proxy.scheme, proxy.name) == (scheme, name)


@pytest.mark.parametrize(
    ("userinfo", "pair"),
    [
        ("user:test-key-1", b"user:test-key-1"),
        ("user", b"user:"),
        ("us%40er:p%3Aq%2F", b"us@er:p:q/"),
        ("ü:ß", "ü:ß".encode()),
        (":only", b":only"),
        ("user:a#b", b"user:a#b"),
        ("user:a/b?c#d@e:f", b"user:a/b?c#d@e:f"),
        ("us er:\\pass", b"us er:\\pass"),
        ("user:a://b", b"user:a://b"),
    ],
)
def test_user_and_password_become_basic_authorization(userinfo: str, pair: bytes) -> None:
    proxy = Proxy.parse(f"http://{userinfo}@proxy.test")

    assert proxy.authorization == b"Basic " + base64.b64encode(pair)


@pytest.mark.parametrize(
    ("userinfo", "login"),
    [
        ("user:a/b?c#d@e:f", ("user", "a/b?c#d@e:f")),
        ("us%40er:p%3Aq%2F", ("us@er", "p:q/")),
    ],
)
def test_socks_keeps_user_and_password(userinfo: str, login: tuple[str, str]) -> None:
    proxy = Proxy.parse(f"socks5://{userinfo}@proxy.test")

    assert (proxy.user, proxy.password) == login
    assert proxy.authorization == b""
    for shown in (repr(proxy), str(proxy), str(proxy.__rich_repr__())):
        assert login[1] not in shown


def test_a_proxy_without_user_sends_no_authorization() -> None:
    assert Proxy.parse("http://proxy.test").authorization == b""


def test_the_repr_hides_the_password() -> None:
    encoded = base64.b64encode(b"user:test-key-1").decode()

    assert encoded.encode() in PROXY.authorization
    for shown in (repr(PROXY), str(PROXY), str(PROXY.__rich_repr__())):
        assert "proxy.test:3128" in shown
        assert "test-key-1" not in shown
        assert encoded not in shown


@pytest.mark.parametrize(
    "url",
    [
        "ftp://user:test-key-1@proxy.test",
        "socks://user:test-key-1@proxy.test",
        "http://user:test-key-1@",
        "http://user:test-key-1",
        "http://user:test-key-1@proxy.test#12",
        "http://user:test-key-1@proxy.test?12",
        "http://proxy.test/test-key-1",
    ],
)
def test_an_invalid_proxy_url_is_rejected_by_variable_name(url: str) -> None:
    with pytest.raises(ValueError, match="https_proxy") as caught:
        proxy_for(HTTPS, {"https_proxy": url})

    assert "test-key-1" not in str(caught.value)


def test_connect_sends_host_port_and_authorization() -> None:
    assert connect_request(PROXY, HTTPS) == (
        b"CONNECT api.example.com:443 HTTP/1.1\r\n"
        b"Host: api.example.com:443\r\n"
        b"Proxy-Authorization: " + PROXY.authorization + b"\r\n\r\n"
    )
    plain = connect_request(Proxy.parse("proxy.test"), Origin.parse("http://[2001:db8::1]"))
    assert plain == b"CONNECT [2001:db8::1]:80 HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"HTTP/1.1 200 Connection established", 200),
        (b"HTTP/1.0 200 OK\r\nVia: x\r\nX:\r\nY: \xe4", 200),
        (b"HTTP/1.1 204", 204),
        (b"HTTP/1.1 200 ", 200),
        (b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic", 407),
        (b"HTTP/2 200 OK", None),
        (b"HTTP/1.1  200 OK", None),
        (b"HTTP/1.1 2000 OK", None),
        (b"HTTP/1.1 20 OK", None),
        (b"HTTP/1.1 600 OK", None),
        (b"http/1.1 200 OK", None),
        (b"HTTP/1.1 200 OK\nX: y", None),
        (b"HTTP/1.1 200 OK\x00", None),
        (b"HTTP/1.1 200 OK\r\nX : y", None),
        (b"HTTP/1.1 200 OK\r\n folded: y", None),
        (b"HTTP/1.1 200 OK\r\nno colon", None),
        (b"HTTP/1.1 200 OK\r\nX: a\nb", None),
        (b"HTTP/1.1 200 OK\r\nX: a\rb", None),
        (b"HTTP/1.1 200 OK\r\n: y", None),
        (b"", None),
    ],
)
def test_the_answer_is_read_strictly(head: bytes, status: int | None) -> None:
    assert read_answer(head) == status


def test_a_2xx_opens_the_tunnel_at_any_split() -> None:
    answer = b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\n"

    for cut in range(1, len(answer)):
        stream = Script(answer[:cut], answer[cut:])
        finish(connect(stream, PROXY, HTTPS))
        assert stream.sent == connect_request(PROXY, HTTPS)


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        ([b"HTTP/1.1 403 Forbidden\r\n\r\n"], "refused CONNECT with status 403"),
        ([b"HTTP/1.1 407 x\r\n\r\n"], "status 407: check the user and password"),
        ([b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"], "status 302"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"], "status 100"),
        ([b"SSH-2.0-x\r\n\r\n"], "invalid HTTP/1 response"),
        ([b"HTTP/1.1 200 OK\r\n"], "closed the connection without a response"),
        ([], "closed the connection without a response"),
        ([b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK"], "sent data after its CONNECT response"),
        ([b"HTTP/1.1 200 OK\r\nX: " + b"a" * 4000] + [b"a" * 4000] * 5, "over 16384 bytes"),
    ],
)
def test_any_other_answer_fails_with_the_proxy_and_the_reason(
    reads: list[bytes], said: str
) -> None:
    with pytest.raises(UpstreamFailed, match=said) as caught:
        finish(connect(Script(*reads), PROXY, HTTPS))

    assert caught.value.status == 502
    assert "proxy.test:3128" in caught.value.message
    assert "api.example.com:443" in caught.value.message
    assert "test-key-1" not in caught.value.message


def test_the_answer_size_is_bounded() -> None:
    stream = Script(*[b"a" * 1024] * 100)

    with pytest.raises(UpstreamFailed):
        finish(connect(stream, PROXY, HTTPS))

    assert len(stream.reads) == 100 - ANSWER_BYTES_MAX // 1024 - 1
