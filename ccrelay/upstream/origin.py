"""The origin of an upstream: the parts of a provider's base URL, validated once.

Errors never quote the URL: it may contain a user name, a password or a key.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

Scheme = Literal["http", "https"]

DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}

# RFC 1123 labels, plus `_`, which container networks use.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
# urlsplit silently drops tab, CR and LF, so they are rejected before.
_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_PATH = re.compile(r"[!-~]*")


class Origin(Struct, frozen=True, gc=False):
    """Scheme, host and port of an upstream, and the path prefix of its requests."""

    scheme: Scheme
    host: str  # lower case, IPv6 without brackets
    port: int
    prefix: bytes  # path of the base URL without its trailing slash; often empty
    authority: bytes  # value of the Host header (RFC 9110 section 7.2)

    @classmethod
    def parse(cls, base_url: str) -> "Origin":
        """Parse a base URL.

        Raises:
            ValueError: not an absolute http or https URL, or one with user, query or fragment.
        """
        parts, host, port = split_url(base_url)
        if "@" in parts.netloc:
            raise ValueError("must not contain a user name or password")
        if "?" in base_url or "#" in base_url:
            raise ValueError("must not have a query or a fragment")
        if _PATH.fullmatch(parts.path) is None:
            raise ValueError("has a path with characters that must be percent-encoded")
        authority = (
            bracketed(host) if port == DEFAULT_PORTS[parts.scheme] else host_port(host, port)
        )
        return cls(
            scheme="https" if parts.scheme == "https" else "http",
            host=host,
            port=port,
            prefix=parts.path.rstrip("/").encode("ascii"),
            authority=authority.encode("ascii"),
        )

    @property
    def name(self) -> str:
        """`host:port` for display, always with the port."""
        return host_port(self.host, self.port)

    @property
    def is_loopback(self) -> bool:
        """Whether the host is a loopback name or address; nothing is resolved."""
        address = literal_address(self.host)
        if address is None:
            name = self.host.rstrip(".")
            return name == "localhost" or name.endswith(".localhost")  # RFC 6761 section 6.3
        mapped = getattr(address, "ipv4_mapped", None)
        return bool((mapped or address).is_loopback)


def split_url(url: str, ports: Mapping[str, int] = DEFAULT_PORTS) -> tuple[SplitResult, str, int]:
    """Split an absolute URL into its parts, its host and its port.

    Args:
        url: an http or https URL, or one with another scheme of `ports`.
        ports: default port by scheme.

    Raises:
        ValueError: anything else; the message never quotes the URL.
    """
    if _UNSAFE.search(url):
        raise ValueError("contains a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        # urlsplit's messages quote parts of the URL, perhaps the password.
        raise ValueError("is not a URL with a valid host and port") from None
    if parts.scheme not in ports:
        *others, last = [f"{scheme}://" for scheme in ports]
        raise ValueError(f"must begin with {', '.join(others)} or {last}")
    if not host:
        raise ValueError("has no host")
    if port is None:
        port = ports[parts.scheme]
    if port == 0:
        raise ValueError("has port 0")
    return parts, _normal_host(host), port


def literal_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """`host` as an address, or None when it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def bracketed(host: str) -> str:
    """`host` as written in a URL: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def host_port(host: str, port: int) -> str:
    """`host:port`, IPv6 addresses in brackets."""
    return f"{bracketed(host)}:{port}"


def _normal_host(host: str) -> str:
    if ":" in host:
        address = literal_address(host)
        # A zone id is local to one machine and not allowed in a Host header.
        if address is None or "%" in host:
            raise ValueError("has an invalid IPv6 address as host")
        return str(address)
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError("has an invalid host") from None
    if _HOST_NAME.fullmatch(host) is None:
        raise ValueError("has an invalid host")
    return host
