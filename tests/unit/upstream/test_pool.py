"""Which connections the pool keeps, hands out and closes."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Coroutine, Iterator
from typing import Any, cast

import pytest

from ccrelay._fast.conn import Reactor
from ccrelay._fast.handlers import UpstreamLimits
from ccrelay._fast.upstream import Upstream
from ccrelay.errors import RelayError, UpstreamFailed
from ccrelay.upstream.dial import Dialed
from ccrelay.upstream.pool import Pool
from ccrelay.upstream.tls import TlsSession

LIMITS = UpstreamLimits(
    first_byte_s=1.0, idle_s=1.0, total_s=1.0, pool_idle_s=1.0, event_bytes_max=1000
)


class FakeUpstream(Upstream):
    """A connection without a socket."""

    def __init__(self) -> None:  # not that of Upstream, which needs a socket
        self.ended = False
        self.retired = False
        self.uses = 1

    def is_closed(self) -> bool:
        return self.ended

    def retire(self) -> None:
        self.retired = self.ended = True


def tls_session() -> TlsSession:
    """A TLS session before its handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    obj = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    return TlsSession(obj, incoming, outgoing)


class FakeDialer:
    def __init__(self) -> None:
        self.error: RelayError | None = None
        self.tls: TlsSession | None = None
        self.fds: list[int] = []
        self.peers: list[socket.socket] = []
        self.remembered: list[object] = []

    async def dial(self) -> Dialed:
        if self.error is not None:
            raise self.error
        sock, peer = socket.socketpair()
        sock.setblocking(False)
        self.fds.append(sock.fileno())
        self.peers.append(peer)
        return Dialed(sock, self.tls, "127.0.0.1:443")

    def remember(self, session: object) -> None:
        self.remembered.append(session)


class AtOnce:
    """A TaskSet that runs each task to its end at once."""

    def spawn(self, coro: Coroutine[Any, Any, None], name: str) -> None:
        with pytest.raises(StopIteration):
            coro.send(None)


@pytest.fixture
def dialer() -> Iterator[FakeDialer]:
    dialer = FakeDialer()
    yield dialer
    for peer in dialer.peers:
        peer.close()


@pytest.fixture
def pool(dialer: FakeDialer) -> Iterator[Pool]:
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        reactor = Reactor(loop, lambda *_: None)
        yield Pool(reactor, cast("Any", dialer), LIMITS, cast("Any", AtOnce()), idle_max=2)


def dialled(pool: Pool) -> Upstream:
    """The connection that a dial hands over."""
    got: list[tuple[Upstream | None, RelayError | None]] = []
    pool.dial(lambda *result: got.append(result))
    ((upstream, error),) = got
    assert upstream is not None
    assert error is None
    return upstream


def test_the_most_recently_used_connection_is_taken_first(pool: Pool) -> None:
    one, two = FakeUpstream(), FakeUpstream()
    pool.give(one)
    pool.give(two)
    assert pool.idle == 2
    assert [pool.take(), pool.take(), pool.take()] == [two, one, None]


def test_a_closed_connection_is_not_taken(pool: Pool) -> None:
    one, two = FakeUpstream(), FakeUpstream()
    pool.give(one)
    pool.give(two)
    two.ended = True
    assert pool.take() is one
    assert pool.take() is None


def test_connections_over_idle_max_are_closed(pool: Pool) -> None:
    given = [FakeUpstream() for _ in range(3)]
    for upstream in given:
        pool.give(upstream)
    assert [upstream.retired for upstream in given] == [False, False, True]
    assert pool.idle == 2


def test_a_closed_pool_closes_idle_and_returned_connections(pool: Pool) -> None:
    kept, late = FakeUpstream(), FakeUpstream()
    kept.session = object()
    pool.give(kept)
    pool.close()
    pool.give(late)
    assert kept.retired
    assert late.retired
    assert kept.session is None
    assert (pool.idle, pool.take()) == (0, None)


def test_a_connection_closed_while_idle_is_removed(pool: Pool) -> None:
    upstream = FakeUpstream()
    upstream.session = object()
    pool.give(upstream)
    pool.on_idle_closed(upstream)
    assert (pool.idle, upstream.session) == (0, None)
    pool.on_idle_closed(upstream)  # lent and ended before its exchange began


def test_a_dialled_connection_owns_its_descriptor(pool: Pool, dialer: FakeDialer) -> None:
    upstream = dialled(pool)
    assert upstream.fd == dialer.fds[0]
    assert pool.dialled == 1
    assert pool.idle == 0
    upstream.retire()
    assert dialer.peers[0].recv(1) == b""  # closed once, by the connection
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(dialer.fds[0])


def test_a_dialled_connection_goes_back_to_its_pool(pool: Pool) -> None:
    upstream = dialled(pool)
    pool.give(upstream)
    assert pool.take() is upstream
    pool.give(upstream)
    upstream.retire()
    assert pool.take() is None


def test_a_failed_dial_passes_its_error_on(pool: Pool, dialer: FakeDialer) -> None:
    dialer.error = UpstreamFailed("unreachable")
    got: list[tuple[Any, Any]] = []
    pool.dial(lambda *result: got.append(result))
    assert got == [(None, dialer.error)]
    assert pool.dialled == 0


def test_the_tls_session_is_kept_once_after_the_first_response(
    pool: Pool, dialer: FakeDialer
) -> None:
    dialer.tls = tls_session()
    upstream = dialled(pool)
    assert upstream.session is dialer.tls
    upstream.uses = 1
    pool.learned(upstream)
    upstream.uses = 2
    pool.learned(upstream)
    assert dialer.remembered == [dialer.tls]


def test_a_plain_connection_has_no_session_to_keep(pool: Pool, dialer: FakeDialer) -> None:
    upstream = dialled(pool)
    upstream.uses = 1
    pool.learned(upstream)
    assert dialer.remembered == []
