"""Forward proxies: which one applies to an origin, and the CONNECT request.

The environment variables mean what they mean to curl and Go; where those differ, the interpretation
with fewer proxied requests wins. Loopback origins are never proxied.

Imports no `ssl`: the supervisor checks the variables, and uses no TLS.
"""

import base64
import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from ccrelay.errors import UpstreamFailed
from ccrelay.upstream.origin import DEFAULT_PORTS, Origin, host_port, literal_address, split_url

if TYPE_CHECKING:
    from ccrelay.upstream.tls import Stream

ProxyScheme = Literal["http", "https", "socks4", "socks4a", "socks5", "socks5h"]

PROXY_PORTS: Mapping[str, int] = {
    **DEFAULT_PORTS,
    "socks5": 1080,
    "socks5h": 1080,
    "socks4": 1080,
    "socks4a": 1080,
}

# A CONNECT response is a status line and a few fields.
ANSWER_BYTES_MAX = 16_384

SOCKS_LOGIN_BYTES_MAX = 255  # RFC 1929 section 2; ASCII, as in the library that sends it

# RFC 9112 sections 4 and 5, without obs-fold.
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_FIELD_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:]+))(?::(?P<port>[0-9]{1,5}))?")


class Proxy(Struct, frozen=True, gc=False):
    """A forward proxy: HTTP with CONNECT, or SOCKS. Its repr hides the credentials."""

    scheme: ProxyScheme
    host: str
    port: int
    authorization: bytes = b""  # HTTP: value of Proxy-Authorization; empty: none
    user: str = ""  # SOCKS
    password: str = ""  # SOCKS

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Parse a proxy URL; the scheme defaults to http.

        A proxy URL has no path, so user and password end at the last `@`: `#`, `/`, `?` and `@` in
        a password need no escape.

        Raises:
            ValueError: not a proxy URL; the message never quotes it.
        """
        scheme, separator, rest = url.partition("://")
        if not separator:
            scheme, rest = "http", url
        login, at, address = rest.rpartition("@")
        parts, host, port = split_url(f"{scheme}://{address}", PROXY_PORTS)
        if parts.path not in ("", "/") or "?" in address or "#" in address:
            raise ValueError("must end after the port")
        kind = _scheme(parts.scheme)
        if not at:
            return cls(scheme=kind, host=host, port=port)
        if any(ord(c) < 0x20 or ord(c) == 0x7F for c in login):
            raise ValueError("contains a control character")
        user, _, password = login.partition(":")
        if not kind.startswith("socks"):
            pair = unquote_to_bytes(f"{user}:{password}")
            return cls(
                scheme=kind,
                host=host,
                port=port,
                authorization=b"Basic " + base64.b64encode(pair),
            )
        made = cls(
            scheme=kind,
            host=host,
            port=port,
            user=unquote_to_bytes(user).decode("latin-1"),
            password=unquote_to_bytes(password).decode("latin-1"),
        )
        _check_socks_login(made)
        return made

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS; otherwise HTTP."""
        return self.scheme.startswith("socks")

    @property
    def resolves_names(self) -> bool:
        """Whether it is given the name of the origin, and not its address."""
        return self.scheme not in ("socks4", "socks5")

    @property
    def name(self) -> str:
        """`host:port` for display."""
        return host_port(self.host, self.port)

    def __repr__(self) -> str:
        auth = " with credentials" if self.authorization or self.user else ""
        return f"<Proxy {self.scheme}://{self.name}{auth}>"

    def __rich_repr__(self) -> list[tuple[str, str]]:  # msgspec's own would show every field
        return [("url", f"{self.scheme}://{self.name}")]


def proxy_for(origin: Origin, env: Mapping[str, str]) -> Proxy | None:
    """Choose the proxy that `env` names for `origin`, or None for a direct connection.

    Raises:
        ValueError: the variable that applies holds no usable proxy URL.
    """
    found = proxy_variable(origin, env)
    if found is None:
        return None
    name, url = found
    try:
        return Proxy.parse(url)
    except ValueError as error:
        raise ValueError(f"The proxy URL in {name} {error}.") from None


def proxy_variable(origin: Origin, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and value of the variable that sets the proxy for `origin`; None: no proxy."""
    if origin.is_loopback or _is_exempt(origin, env):
        return None
    for name in _variables(origin.scheme, env):
        if url := env.get(name, "").strip():
            return name, url
    return None


async def connect(stream: "Stream", proxy: Proxy, origin: Origin) -> None:
    """Open a tunnel to `origin` through the proxy at the other end of `stream`.

    On return the tunnel is open and no byte of it has been read.

    Raises:
        UpstreamFailed: refused, closed, or an invalid HTTP/1 response.
        OSError: the connection to the proxy failed.
    """
    await stream.send(connect_request(proxy, origin))
    answer = bytearray()
    while (end := answer.find(b"\r\n\r\n")) < 0:
        data = await stream.receive()
        if not data:
            raise _failure(proxy, origin, "closed the connection without a response")
        answer += data
        if len(answer) > ANSWER_BYTES_MAX:
            raise _failure(proxy, origin, f"sent a response head of over {ANSWER_BYTES_MAX} bytes")
    status = read_answer(bytes(answer[:end]))
    if status is None:
        raise _failure(proxy, origin, "sent an invalid HTTP/1 response")
    if status == 407:
        raise _failure(
            proxy, origin, "refused CONNECT with status 407: check the user and password in its URL"
        )
    if not 200 <= status <= 299:
        raise _failure(proxy, origin, f"refused CONNECT with status {status}")
    # In TLS and HTTP/1 the client speaks first: such bytes would be taken for a response.
    if len(answer) > end + 4:
        raise _failure(proxy, origin, "sent data after its CONNECT response")


def connect_request(proxy: Proxy, origin: Origin) -> bytes:
    """Build the CONNECT request (RFC 9110 section 9.3.6)."""
    target = origin.name.encode("ascii")
    lines = [b"CONNECT " + target + b" HTTP/1.1", b"Host: " + target]
    if proxy.authorization:
        lines.append(b"Proxy-Authorization: " + proxy.authorization)
    return b"\r\n".join([*lines, b"", b""])


def read_answer(head: bytes) -> int | None:
    """Parse a response head (without its empty line) and return its status; None: malformed."""
    first, *fields = head.split(b"\r\n")
    match = _STATUS_LINE.fullmatch(first)
    if match is None or not all(_FIELD_LINE.fullmatch(field) for field in fields):
        return None
    return int(match[1])


def _scheme(text: str) -> ProxyScheme:
    match text:
        case "https" | "socks4" | "socks4a" | "socks5" | "socks5h":
            return text
        case _:
            return "http"


def _check_socks_login(proxy: Proxy) -> None:
    """Raise ValueError for a user and password that the protocol cannot carry."""
    is_version_4 = proxy.scheme in ("socks4", "socks4a")
    if is_version_4 and proxy.password:
        raise ValueError("has a password, which SOCKS4 cannot send: use socks5://")
    for text in (proxy.user, proxy.password):
        if not text.isascii() or not text.isprintable() or len(text) > SOCKS_LOGIN_BYTES_MAX:
            raise ValueError(
                f"has a user or password that SOCKS cannot send: at most {SOCKS_LOGIN_BYTES_MAX} "
                "printable ASCII characters"
            )
    if not is_version_4 and bool(proxy.user) != bool(proxy.password):
        raise ValueError("has a user without a password, or the reverse: SOCKS5 needs both")


def _failure(proxy: Proxy, origin: Origin, what: str) -> UpstreamFailed:
    return UpstreamFailed(f"Cannot reach {origin.name}: proxy {proxy.name} {what}.")


def _variables(scheme: str, env: Mapping[str, str]) -> list[str]:
    names = [f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY"]
    if "REQUEST_METHOD" in env:
        # In a CGI process HTTP_PROXY holds the client's `Proxy` header (CVE-2016-5385).
        names = [name for name in names if name != "HTTP_PROXY"]
    return names


def _is_exempt(origin: Origin, env: Mapping[str, str]) -> bool:
    entries = env.get("no_proxy") or env.get("NO_PROXY") or ""
    return any(_covers(entry, origin) for entry in re.split(r"[,\s]+", entries.lower()) if entry)


def _covers(entry: str, origin: Origin) -> bool:
    if entry == "*":
        return True
    try:
        network = ipaddress.ip_network(entry, strict=False)  # an address is a network of size one
    except ValueError:
        pass
    else:
        address = literal_address(origin.host)
        return address is not None and address in network
    match = _HOST_AND_PORT.fullmatch(entry)
    if match is None or (match["port"] and int(match["port"]) != origin.port):
        return False
    return _covers_host(match["v6"] or match["name"], origin.host)


def _covers_host(pattern: str, host: str) -> bool:
    literal = literal_address(host)
    if literal is not None:  # suffixes do not apply to addresses: "2.1" does not cover 192.0.2.1
        return literal == literal_address(pattern)
    suffix = pattern.removeprefix("*").strip(".")
    name = host.rstrip(".")
    return bool(suffix) and (name == suffix or name.endswith(f".{suffix}"))
