"""Listening sockets, bound once by the supervisor and kept open by it.

On Linux every worker slot has a socket of its own on the same port (SO_REUSEPORT): the kernel deals
connections out evenly, without a thundering herd. Because the supervisor keeps each slot's socket,
connections that arrive while a dead worker is being replaced wait in its queue and are not lost.
Elsewhere SO_REUSEPORT does not balance, so all slots share one socket.
"""

import errno
import os
import socket
import sys
from typing import Any

from ccrelay.config.address import split_listen

BACKLOG = 4096  # connections waiting for accept, per socket; the kernel caps it at somaxconn
HAS_BALANCING_REUSEPORT = sys.platform == "linux"

Slots = list[list[socket.socket]]


class ListenError(Exception):
    """The listen address cannot be used. The message says why and what to do next."""


def bind(listen: str, slots: int, *, beside: Slots | None = None) -> Slots:
    """Bind `listen` ("HOST:PORT", "[V6]:PORT", port 0: any free one) for `slots` workers.

    Returns one list of non-blocking listening sockets per slot (several when a host name has
    several addresses). `beside`: sockets of ours that may have the same port on another address.
    Raises ListenError.
    """
    try:
        host, port = split_listen(listen)
    except ValueError as error:
        raise ListenError(f"Cannot listen on {listen}: {error}.") from error
    addresses = _resolve(host, port, listen)
    ours = _share_port(beside or [], port)
    reuse_port = (slots > 1 or ours) and HAS_BALANCING_REUSEPORT
    taken: Slots = [[] for _ in range(slots)]
    refused: OSError | None = None
    for family, address in addresses:
        if taken[0]:  # port 0: the first address decided it
            address = (address[0], taken[0][0].getsockname()[1], *address[2:])
        try:
            if reuse_port and not ours and address[1] != 0:
                # With SO_REUSEPORT set, another process of this user that set it too (another
                # ccrelay) would not be noticed: both would get a share of the connections.
                _bound(family, address, reuse_port=False).close()
            _bind_all_slots(family, address, taken, reuse_port)
        except OSError as error:
            refused = error
            # "localhost" names ::1 also where IPv6 is switched off: one address is enough.
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            close(taken)
            raise ListenError(_explain(error, listen, host, port)) from error
    if not taken[0]:
        assert refused is not None
        raise ListenError(_explain(refused, listen, host, port)) from refused
    return taken


def regroup(slots: Slots, count: int) -> Slots:
    """Deal the same sockets out to another number of slots, binding more where there are too few.

    None is closed: connections wait in it. So with fewer slots than before, some have several
    sockets of one address. Raises ListenError, and all is as before.
    """
    same: dict[tuple[Any, ...], list[socket.socket]] = {}
    for sock in (sock for sockets in slots for sock in sockets):
        same.setdefault(sock.getsockname(), []).append(sock)
    dealt: Slots = [[] for _ in range(count)]
    added: list[socket.socket] = []
    for address, sockets in same.items():
        try:
            more = [_one_more(sockets[0], address) for _ in range(count - len(sockets))]
        except OSError as error:
            close([added])
            raise ListenError(_explain(error, join_address(*address[:2]), *address[:2])) from error
        added += more
        for number, sock in enumerate([*sockets, *more]):
            dealt[number % count].append(sock)
    return dealt


def _one_more(sock: socket.socket, address: tuple[Any, ...]) -> socket.socket:
    if not HAS_BALANCING_REUSEPORT:
        more = sock.dup()
        more.setblocking(False)
        return more
    # A single worker's socket was bound without it; the kernel takes it afterwards, too.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    more = _bound(sock.family, address, reuse_port=True)
    more.listen(BACKLOG)
    return more


def _share_port(slots: Slots, port: int) -> bool:
    ours = [sock for sockets in slots for sock in sockets if sock.getsockname()[1] == port]
    for sock in ours if HAS_BALANCING_REUSEPORT else []:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return bool(ours)


def close(slots: Slots) -> None:
    """Close every socket; may be called twice."""
    for sockets in slots:
        for sock in sockets:
            sock.close()


def addresses(slots: Slots) -> list[str]:
    """What the first slot listens on, as "HOST:PORT", with the port that was really taken."""
    return [join_address(*sock.getsockname()[:2]) for sock in slots[0]]


def join_address(host: str, port: int) -> str:
    """The inverse of `ccrelay.config.address.split_listen`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def _resolve(host: str, port: int, listen: str) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(
            f"Cannot listen on {listen}: the host {host!r} has no address here "
            f"({error.strerror}). Use an IP address, for instance 127.0.0.1:{port}."
        ) from error
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bind_all_slots(
    family: socket.AddressFamily, address: tuple[Any, ...], taken: Slots, reuse_port: bool
) -> None:
    for sockets in taken:
        if sockets is taken[0] or reuse_port:
            sock = _bound(family, address, reuse_port=reuse_port)
            sock.listen(BACKLOG)
            address = (address[0], sock.getsockname()[1], *address[2:])
        else:
            sock = taken[0][-1].dup()
            sock.setblocking(False)
        sockets.append(sock)


def _bound(
    family: socket.AddressFamily, address: tuple[Any, ...], *, reuse_port: bool
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _explain(error: OSError, listen: str, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        who = f"ss -ltnp 'sport = :{port}'" if sys.platform == "linux" else f"lsof -nPi tcp:{port}"
        return (
            f"Cannot listen on {listen}: the address is already in use, perhaps by another "
            f"ccrelay. See who has it with `{who}`, or take another port: "
            f"ccrelay serve --listen {join_address(host, port + 1 if port < 65_535 else 0)}"
        )
    if error.errno == errno.EACCES:
        return (
            f"Cannot listen on {listen}: ports below 1024 need a privilege. "
            f"Take another port: ccrelay serve --listen {join_address(host, 8787)}"
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return (
            f"Cannot listen on {listen}: this machine does not have the address {host!r}. "
            f"Use one it has, for instance 127.0.0.1:{port}."
        )
    return f"Cannot listen on {listen}: {os.strerror(error.errno or 0)}."
