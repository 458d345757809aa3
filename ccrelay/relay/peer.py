"""The address of a client, for log lines and for what is counted per address."""

import ipaddress
import socket

UNKNOWN = "unknown"


def peer_address(fd: int) -> str:
    """The peer's IP address; UNKNOWN when the connection is gone.

    An IPv4 address that came in on an IPv6 socket is written as IPv4.
    """
    if fd < 0:
        return UNKNOWN
    try:
        sock = socket.socket(fileno=fd)
    except OSError:
        return UNKNOWN
    try:
        name = sock.getpeername()
    except OSError:
        return UNKNOWN
    finally:
        sock.detach()  # the connection owns it
    if not isinstance(name, tuple):
        return UNKNOWN
    return str(name[0]).partition("%")[0].removeprefix("::ffff:")


def peer_network(address: str) -> str:
    """What one owner has: an IPv4 address, of IPv6 the /64 (RFC 6177, section 2)."""
    if ":" not in address:
        return address
    try:
        return str(ipaddress.IPv6Network((address, 64), strict=False))
    except ValueError:
        return address
