"""When a listener accepts and when it pauses; serving is tested in loopback."""

from collections.abc import Callable
from typing import Any

import pytest

from ccrelay._fast.body import BodyLimits
from ccrelay._fast.conn import Reactor
from ccrelay._fast.handlers import DownstreamLimits
from ccrelay._fast.listener import Listener

# No descriptor: to accept on it fails, and nothing is waiting.
NOTHING_WAITS = -1


class Handle:
    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeLoop:
    """A loop whose readers and timers are run by the test."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], object]] = {}
        self.handles: list[Handle] = []

    def add_reader(self, fd: int, call: Callable[[], object]) -> None:
        self.readers[fd] = call

    def remove_reader(self, fd: int) -> None:
        del self.readers[fd]

    def add_writer(self, fd: int, call: Callable[[], object]) -> None:
        raise AssertionError("a listener does not write")

    remove_writer = remove_reader

    def call_later(self, delay: float, call: Callable[[], object]) -> Handle:
        assert 0.0 < delay < 1.0
        self.handles.append(Handle(call))
        return self.handles[-1]

    def let_time_pass(self) -> None:
        handles, self.handles = self.handles, []
        for handle in handles:
            if not handle.is_cancelled:
                handle.call()


class Handler:
    def __init__(self) -> None:
        self.connections: set[Any] = set()


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def listener(loop: FakeLoop, handler: Handler) -> Listener:
    limits = DownstreamLimits(
        head_bytes_max=1024,
        fields_max=8,
        body=BodyLimits(body_bytes_max=1024, replay_bytes_max=1024),
        head_s=1.0,
        body_idle_s=1.0,
        keepalive_s=1.0,
        write_stall_s=1.0,
        wait_s=1.0,
    )
    parts: Any = (Reactor(loop, pytest.fail), NOTHING_WAITS, handler, limits)  # type: ignore[arg-type]
    made = Listener(*parts)
    made.connections_max = 1
    return made


def turn(loop: FakeLoop) -> None:
    """A connection comes."""
    loop.readers[NOTHING_WAITS]()


def test_it_accepts_from_start_to_stop(loop: FakeLoop, listener: Listener) -> None:
    assert not loop.readers
    listener.start()
    listener.start()
    turn(loop)
    assert NOTHING_WAITS in loop.readers
    listener.stop()
    listener.stop()
    loop.let_time_pass()
    assert not loop.readers


def test_at_the_connection_limit_it_pauses_and_retries(
    loop: FakeLoop, handler: Handler, listener: Listener
) -> None:
    listener.start()
    handler.connections.add("one")
    turn(loop)
    assert not loop.readers
    loop.let_time_pass()
    assert NOTHING_WAITS in loop.readers


def test_without_a_limit_it_never_pauses(
    loop: FakeLoop, handler: Handler, listener: Listener
) -> None:
    listener.connections_max = 0
    listener.start()
    handler.connections.add("one")
    turn(loop)
    assert NOTHING_WAITS in loop.readers


def test_stopping_cancels_the_pause(loop: FakeLoop, handler: Handler, listener: Listener) -> None:
    listener.start()
    handler.connections.add("one")
    turn(loop)
    listener.stop()
    loop.let_time_pass()
    assert not loop.readers


def test_stopping_at_the_limit_does_not_resume_accepting(
    loop: FakeLoop, handler: Handler, listener: Listener
) -> None:
    listener.start()
    handler.connections.add("one")
    listener.stop()
    loop.let_time_pass()
    assert not loop.readers
