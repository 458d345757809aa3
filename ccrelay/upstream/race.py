"""The race of connection attempts to the addresses of one name (RFC 8305, "happy eyeballs")."""

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any

from ccrelay.upstream.origin import host_port

Address = tuple[int, tuple[Any, ...]]
"""Family and socket address, as `socket.getaddrinfo` gives them."""

ATTEMPT_DELAY_S = 0.25  # RFC 8305 section 5, "Connection Attempt Delay"

# A stream may be silent for minutes and NAT entries expire after five: probe every minute.
_KEEPALIVE = [
    ("TCP_KEEPIDLE", 60),
    ("TCP_KEEPALIVE", 60),
    ("TCP_KEEPINTVL", 60),
    ("TCP_KEEPCNT", 5),
]


class ConnectionRace:
    """Staggered attempts (RFC 8305 section 5): the first to connect wins.

    Callbacks instead of tasks: however `run` ends, all sockets but the winner's are closed by then.
    aiohappyeyeballs 2.7 does not serve: it awaits the losers inside `suppress(CancelledError)`, so
    that a cancellation at that time is swallowed, and with it our time limit; and the reason per
    address is lost in one text.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, addresses: Iterable[Address]) -> None:
        self.failures: list[str] = []
        self.was_refused = False  # by one address at least
        self.codes: list[int] = []  # errno of each failure
        self.won_by: Address = (0, ())
        self._loop = loop
        self._waiting = deque(addresses)
        self._running: dict[socket.socket, Address] = {}
        self._outcome: asyncio.Future[socket.socket | None] = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> socket.socket | None:
        """Return the first connected socket; None: all failed, see `failures`."""
        winner = None
        try:
            self._start_next()
            winner = await self._outcome
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for sock in self._running:
                self._loop.remove_writer(sock.fileno())
                if sock is not winner:
                    sock.close()
        return winner

    def _start_next(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        while self._waiting and not self._outcome.done():
            if self._start(self._waiting.popleft()):
                if self._waiting:
                    self._timer = self._loop.call_later(ATTEMPT_DELAY_S, self._start_next)
                return
        if not self._running and not self._outcome.done():
            self._outcome.set_result(None)

    def _start(self, address: Address) -> bool:
        # True: in progress or connected. False: failed immediately.
        try:
            sock = _new_socket(address[0])
        except OSError as error:
            self._failed(address, error.errno or 0)
            return False
        self._running[sock] = address
        code = sock.connect_ex(address[1])
        if code == 0:
            self._won(sock)
        elif code in (errno.EINPROGRESS, errno.EINTR):
            self._loop.add_writer(sock.fileno(), self._ready, sock)
        else:
            self._drop(sock, code)
            return False
        return True

    def _ready(self, sock: socket.socket) -> None:
        self._loop.remove_writer(sock.fileno())
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            self._won(sock)
        else:
            self._drop(sock, code)
            self._start_next()

    def _won(self, sock: socket.socket) -> None:
        if not self._outcome.done():
            self.won_by = self._running[sock]
            self._outcome.set_result(sock)

    def _drop(self, sock: socket.socket, code: int) -> None:
        address = self._running.pop(sock)
        sock.close()
        self._failed(address, code)

    def _failed(self, address: Address, code: int) -> None:
        self.was_refused |= code == errno.ECONNREFUSED
        self.codes.append(code)
        self.failures.append(f"{host_port(*address[1][:2])}: {os.strerror(code)}")


def interleaved(addresses: Iterable[Address]) -> list[Address]:
    """Alternate address families, starting with the resolver's first (RFC 8305 section 4)."""
    families: dict[int, list[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address[0], []).append(address)
    return [a for a in chain.from_iterable(zip_longest(*families.values())) if a is not None]


def _new_socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE:
            if hasattr(socket, name):  # the first one's name differs between Linux and macOS
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    except OSError:
        sock.close()
        raise
    return sock
