"""Listen addresses, and what is wrong with them; classification of hosts: loopback, private."""

import errno
import ipaddress
import re
import sys
from collections.abc import Sequence

# RFC 1123 labels, plus `_`, which container networks use.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?\Z")
_PORT = re.compile(r"[0-9]{1,5}\Z")
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_PRIVATE_SUFFIXES = (".local", ".lan", ".internal", ".home.arpa")


def split_listen(text: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT` or `[IPV6]:PORT`, the host without brackets.

    Raises:
        ValueError: invalid; the message says why.
    """
    if "://" in text:
        raise ValueError("a URL is invalid here: use HOST:PORT, such as 127.0.0.1:8787")
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.match(port) or int(port) > 65_535:
        raise ValueError(
            "missing or invalid port (0 to 65535): use HOST:PORT, such as 127.0.0.1:8787"
        )
    if not host:
        raise ValueError(f"missing host: use HOST:PORT, such as 127.0.0.1:{port}")
    if host.startswith("[") and host.endswith("]"):
        address = _address(host[1:-1]) if ":" in host else None
        if address is None:
            raise ValueError("invalid IPv6 address in brackets")
        return str(address), int(port)  # of IPv4 for [::ffff:127.0.0.1]
    if ":" in host:
        raise ValueError(f"an IPv6 address needs brackets, such as [::1]:{port}")
    if host == "*":
        raise ValueError(
            f"invalid host: for all addresses use [::]:{port}, for those of IPv4 0.0.0.0:{port}"
        )
    if not is_host(host):
        raise ValueError("invalid host: use an IP address or a host name")
    return host, int(port)


def join_address(host: str, port: int) -> str:
    """The inverse of `split_listen`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def page_url(listen: str, *, is_tls: bool = False, hosts: Sequence[str] = ()) -> str:
    """Return the URL of a listener for clients on this machine, without a path.

    Args:
        listen: its address; for one of all addresses, loopback is named.
        is_tls: whether it speaks TLS; then a certificate is for a name.
        hosts: names of the listener, without `*`; the first one is used with TLS.
    """
    host, port = split_listen(listen)
    host = _WILDCARDS.get(host, host)
    named = [name for name in hosts if name != "*"] if is_tls else []
    if named:
        return f"https://{named[0] if _has_port(named[0]) else f'{named[0]}:{port}'}"
    return f"{'https' if is_tls else 'http'}://{join_address(host, port)}"


def _has_port(name: str) -> bool:
    return _PORT.match(name.rpartition(":")[2]) is not None and name.count(":") == 1


def listen_problem(
    error: OSError, listen: str, host: str, port: int, *, command: str = "ccrelay serve"
) -> str:
    """Say why a command cannot listen, and what to do.

    Args:
        error: from binding the address.
        listen: the address as configured.
        host: its host.
        port: its port.
        command: what was run, without options.
    """
    if error.errno == errno.EADDRINUSE:
        finder = (
            f"ss -ltnp 'sport = :{port}'" if sys.platform == "linux" else f"lsof -nPi tcp:{port}"
        )
        return (
            f"Cannot listen on {listen}: address already in use, perhaps by another ccrelay. "
            f"Find the process with `{finder}`, or use another port: "
            f"{command} --listen {join_address(host, port + 1 if port < 65_535 else 0)}"
        )
    if error.errno == errno.EACCES:
        return (
            f"Cannot listen on {listen}: permission denied; ports below 1024 are privileged. "
            f"Use another port: {command} --listen {join_address(host, 8787)}"
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return (
            f"Cannot listen on {listen}: {host!r} is not an address of this machine. "
            f"Use one of its addresses, for instance 127.0.0.1:{port}."
        )
    return f"Cannot listen on {listen}: {error.strerror}."


def is_host(text: str) -> bool:
    """Whether text is an IP address or a valid host name."""
    if _address(text) is not None:
        return True
    # Digits and dots that are no address: 127.0.0.256, or short forms like 127.1, which parsers
    # interpret differently.
    return _HOST.match(text) is not None and not all(c.isdigit() or c == "." for c in text)


def is_loopback(host: str) -> bool:
    """Whether the host is the local machine. Names are not resolved."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    name = _name(host)
    return name == "localhost" or name.endswith(".localhost")


def is_private(host: str) -> bool:
    """Whether the host is on a local network, including loopback. Names are not resolved."""
    address = _address(host)
    if address is not None:
        return address.is_private and not address.is_unspecified
    name = _name(host)
    # Names without a dot are local: containers of one network, hosts of one site.
    return is_loopback(host) or "." not in name or name.endswith(_PRIVATE_SUFFIXES)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _name(host: str) -> str:
    return host.rstrip(".").lower()
