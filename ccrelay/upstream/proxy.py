"""Forward proxies: which one applies to an origin, and the CONNECT request.

The environment variables mean what they mean to curl and Go; where those differ, the interpretation
with fewer proxied requests wins. Loopback origins are never proxied.
"""

import base64
import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from ccrelay.errors import UpstreamFailed
from ccrelay.upstream.origin import Origin, Scheme, host_port, literal_address, split_url
from ccrelay.upstream.tls import Stream

# A CONNECT response is a status line and a few fields.
ANSWER_BYTES_MAX = 16_384

# RFC 9112 sections 4 and 5, without obs-fold.
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?")
_FIELD_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:]+))(?::(?P<port>[0-9]{1,5}))?")


class Proxy(Struct, frozen=True, gc=False):
    """An HTTP proxy that supports CONNECT. Its repr hides the credentials."""

    scheme: Scheme
    host: str
    port: int
    authorization: bytes = b""  # value of Proxy-Authorization; empty: none

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Parse a proxy URL; the scheme defaults to http.

        Raises:
            ValueError: not a proxy URL; the message never quotes it.
        """
        parts, host, port = split_url(url if "://" in url else f"http://{url}")
        # An unescaped `/`, `?` or `#` in a password would turn the user name into the host.
        if parts.path not in ("", "/") or "?" in url or "#" in url:
            raise ValueError("must end after the port (percent-encode the password)")
        authorization = b""
        if "@" in parts.netloc:
            pair = f"{parts.username or ''}:{parts.password or ''}"
            authorization = b"Basic " + base64.b64encode(unquote_to_bytes(pair))
        return cls(
            scheme="https" if parts.scheme == "https" else "http",
            host=host,
            port=port,
            authorization=authorization,
        )

    @property
    def name(self) -> str:
        """`host:port` for display."""
        return host_port(self.host, self.port)

    def __repr__(self) -> str:
        auth = " with credentials" if self.authorization else ""
        return f"<Proxy {self.scheme}://{self.name}{auth}>"

    def __rich_repr__(self) -> list[tuple[str, str]]:  # msgspec's own would show every field
        return [("url", f"{self.scheme}://{self.name}")]


def proxy_for(origin: Origin, env: Mapping[str, str]) -> Proxy | None:
    """Choose the proxy that `env` names for `origin`, or None for a direct connection.

    Raises:
        ValueError: the variable that applies holds no http or https proxy URL.
    """
    if origin.is_loopback or _is_exempt(origin, env):
        return None
    for name in _variables(origin.scheme, env):
        url = env.get(name, "").strip()
        if url:
            try:
                return Proxy.parse(url)
            except ValueError as error:
                raise ValueError(f"The proxy URL in {name} {error}.") from None
    return None


async def connect(stream: Stream, proxy: Proxy, origin: Origin) -> None:
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
