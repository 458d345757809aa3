"""Listening sockets, bound once by the supervisor and kept open by it.

On Linux every worker slot has its own socket on the same port (SO_REUSEPORT): the kernel balances
connections over them, without a thundering herd. The supervisor keeps each slot's socket open, so
connections that arrive while a dead worker is replaced stay in its accept queue. On other systems
SO_REUSEPORT does not balance, so all slots share one socket.
"""

import errno
import socket
import sys
from typing import Any

from ccrelay.config.address import join_address, listen_problem, split_listen

BACKLOG = 4096  # accept queue of each socket; the kernel caps it at somaxconn
FREE_PORT_ATTEMPTS = 16  # port 0 with several addresses: to find one that is free on each
HAS_BALANCING_REUSEPORT = sys.platform == "linux"

Slots = list[list[socket.socket]]


class ListenError(Exception):
    """The listen address cannot be used; the message says why and what to do."""


def bind(listen: str, slots: int, *, existing: Slots | None = None) -> Slots:
    """Bind `listen` ("HOST:PORT", "[V6]:PORT", port 0: any free one) for `slots` workers.

    Returns one list of non-blocking listening sockets per slot (several when a host name has
    several addresses; `[::]` stands for all of both families). `existing`: own sockets that may
    have the same port on another address. Raises ListenError.
    """
    try:
        host, port = split_listen(listen)
    except ValueError as error:
        raise ListenError(f"Cannot listen on {listen}: {error}.") from error
    addresses = _resolve(host, port, listen)
    own = _enable_reuse_port(existing or [], port)
    attempts_left = 1 if port else FREE_PORT_ATTEMPTS
    while True:
        attempts_left -= 1
        try:
            return _bind(addresses, slots, own=own)
        except OSError as error:
            # A port that is free on the first address may be in use on the next.
            if error.errno != errno.EADDRINUSE or not attempts_left:
                raise ListenError(listen_problem(error, listen, host, port)) from error


def _bind(addresses: "list[_Address]", slots: int, *, own: bool) -> Slots:
    """Bind all of the addresses that this machine has; raise OSError when that fails."""
    reuse_port = (slots > 1 or own) and HAS_BALANCING_REUSEPORT
    bound: Slots = [[] for _ in range(slots)]
    failure: OSError | None = None
    for family, address in addresses:
        if bound[0]:  # port 0: use the port of the first address
            address = (address[0], bound[0][0].getsockname()[1], *address[2:])
        try:
            if reuse_port and not own and address[1] != 0:
                # With SO_REUSEPORT, binding a port of another ccrelay of this user would succeed,
                # and each would get a share of the connections.
                _bound(family, address, reuse_port=False).close()
            _bind_all_slots(family, address, bound, reuse_port)
        except OSError as error:
            failure = error
            # "localhost" resolves to ::1 even with IPv6 disabled: one address is enough.
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                continue
            close(bound)
            raise
    if not bound[0]:
        assert failure is not None
        raise failure
    return bound


def redistribute(slots: Slots, count: int) -> Slots:
    """Distribute the same sockets over `count` slots, and bind more when there are too few.

    None is closed, because connections may be in its accept queue; so with fewer slots some have
    several sockets of one address. Raises ListenError; nothing has changed then.
    """
    same: dict[tuple[Any, ...], list[socket.socket]] = {}
    for sock in (sock for sockets in slots for sock in sockets):
        same.setdefault(sock.getsockname(), []).append(sock)
    regrouped: Slots = [[] for _ in range(count)]
    added: list[socket.socket] = []
    for address, sockets in same.items():
        try:
            more = [_add_socket(sockets[0], address) for _ in range(count - len(sockets))]
        except OSError as error:
            close([added])
            listen = join_address(*address[:2])
            raise ListenError(listen_problem(error, listen, *address[:2])) from error
        added += more
        for number, sock in enumerate([*sockets, *more]):
            regrouped[number % count].append(sock)
    return regrouped


def _add_socket(sock: socket.socket, address: tuple[Any, ...]) -> socket.socket:
    if not HAS_BALANCING_REUSEPORT:
        more = sock.dup()
        more.setblocking(False)
        return more
    # The socket of a single worker was bound without it; Linux accepts it after bind, too.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    more = _bound(sock.family, address, reuse_port=True)
    more.listen(BACKLOG)
    return more


def _enable_reuse_port(slots: Slots, port: int) -> bool:
    own = [sock for sockets in slots for sock in sockets if sock.getsockname()[1] == port]
    for sock in own if HAS_BALANCING_REUSEPORT else []:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return bool(own)


def close(slots: Slots) -> None:
    """Close every socket. Idempotent."""
    for sockets in slots:
        for sock in sockets:
            sock.close()


def addresses(slots: Slots) -> list[str]:
    """The addresses of the first slot, "HOST:PORT", with the port that was really bound."""
    return [join_address(*sock.getsockname()[:2]) for sock in slots[0]]


_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def _resolve(host: str, port: int, listen: str) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ListenError(
            f"Cannot listen on {listen}: cannot resolve the host {host!r} "
            f"({error.strerror}). Use an IP address, for instance 127.0.0.1:{port}."
        ) from error
    if host == "::":
        # Separate sockets instead of one for both: addresses of IPv4 clients stay IPv4 addresses,
        # and one family may be missing.
        found += socket.getaddrinfo("0.0.0.0", port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def _bind_all_slots(
    family: socket.AddressFamily, address: tuple[Any, ...], bound: Slots, reuse_port: bool
) -> None:
    for sockets in bound:
        if sockets is bound[0] or reuse_port:
            sock = _bound(family, address, reuse_port=reuse_port)
            sock.listen(BACKLOG)
            address = (address[0], sock.getsockname()[1], *address[2:])
        else:
            sock = bound[0][-1].dup()
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
