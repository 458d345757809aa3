"""Which connections the pool keeps, hands out and closes."""

from collections.abc import Coroutine
from typing import Any

import pytest

from ccrelay.errors import RelayError, UpstreamFailed
from ccrelay.upstream import pool as module
from ccrelay.upstream.pool import Pool


class FakeUpstream:
    def __init__(self, reactor: object = None, fd: int = -1, *_: object) -> None:
        self.fd = fd
        self.is_closed = False
        self.retired = False
        self.uses = 1
        self.session: object = None
        self.tls: tuple[object, ...] = ()

    def retire(self) -> None:
        self.retired = self.is_closed = True

    def attach_tls(self, *parts: object) -> None:
        self.tls = parts


class FakeSocket:
    def detach(self) -> int:
        return 77


class FakeTls:
    obj, incoming, outgoing, native = "obj", "incoming", "outgoing", "native"


class FakeDialed:
    def __init__(self, tls: FakeTls | None) -> None:
        self.sock = FakeSocket()
        self.tls = tls


class FakeDialer:
    def __init__(self) -> None:
        self.outcome: FakeDialed | RelayError = FakeDialed(None)
        self.remembered: list[object] = []

    async def dial(self) -> FakeDialed:
        if isinstance(self.outcome, RelayError):
            raise self.outcome
        return self.outcome

    def remember(self, session: object) -> None:
        self.remembered.append(session)


class AtOnce:
    """A TaskSet that runs each task to its end at once."""

    def spawn(self, coro: Coroutine[Any, Any, None], name: str) -> None:
        with pytest.raises(StopIteration):
            coro.send(None)


@pytest.fixture
def dialer() -> FakeDialer:
    return FakeDialer()


@pytest.fixture
def pool(dialer: FakeDialer, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(module, "Upstream", FakeUpstream)
    parts: Any = (None, dialer, None, AtOnce())
    return Pool(*parts, idle_max=2)


def test_the_most_recently_used_connection_is_taken_first(pool: Any) -> None:
    one, two = FakeUpstream(), FakeUpstream()
    pool.give(one)
    pool.give(two)
    assert pool.idle == 2
    assert [pool.take(), pool.take(), pool.take()] == [two, one, None]


def test_a_closed_connection_is_not_taken(pool: Any) -> None:
    one, two = FakeUpstream(), FakeUpstream()
    pool.give(one)
    pool.give(two)
    two.is_closed = True
    assert pool.take() is one
    assert pool.take() is None


def test_connections_over_idle_max_are_closed(pool: Any) -> None:
    given = [FakeUpstream() for _ in range(3)]
    for upstream in given:
        pool.give(upstream)
    assert [upstream.retired for upstream in given] == [False, False, True]
    assert pool.idle == 2


def test_a_closed_pool_closes_idle_and_returned_connections(pool: Any) -> None:
    kept, late = FakeUpstream(), FakeUpstream()
    kept.session = object()
    pool.give(kept)
    pool.close()
    pool.give(late)
    assert kept.retired
    assert late.retired
    assert kept.session is None
    assert (pool.idle, pool.take()) == (0, None)


def test_a_connection_closed_while_idle_is_removed(pool: Any) -> None:
    upstream = FakeUpstream()
    upstream.session = object()
    pool.give(upstream)
    pool.on_idle_closed(upstream)
    assert (pool.idle, upstream.session) == (0, None)
    pool.on_idle_closed(upstream)  # lent and ended before its exchange began


def test_a_dialled_connection_owns_its_descriptor(pool: Any) -> None:
    got: list[tuple[Any, Any]] = []
    pool.dial(lambda *result: got.append(result))
    ((upstream, error),) = got
    assert (upstream.fd, upstream.tls, error) == (77, (), None)
    assert pool.dialled == 1
    assert pool.idle == 0


def test_a_failed_dial_passes_its_error_on(pool: Any, dialer: FakeDialer) -> None:
    dialer.outcome = UpstreamFailed("unreachable")
    got: list[tuple[Any, Any]] = []
    pool.dial(lambda *result: got.append(result))
    assert got == [(None, dialer.outcome)]
    assert pool.dialled == 0


def test_the_tls_session_is_kept_once_after_the_first_response(
    pool: Any, dialer: FakeDialer
) -> None:
    tls = FakeTls()
    dialer.outcome = FakeDialed(tls)
    got: list[Any] = []
    pool.dial(lambda upstream, _: got.append(upstream))
    (upstream,) = got
    assert upstream.tls == ("obj", "incoming", "outgoing", "native")
    pool.learned(upstream)
    upstream.uses = 2
    pool.learned(upstream)
    assert dialer.remembered == [tls]


def test_a_plain_connection_has_no_session_to_keep(pool: Any, dialer: FakeDialer) -> None:
    pool.learned(FakeUpstream())
    assert dialer.remembered == []
