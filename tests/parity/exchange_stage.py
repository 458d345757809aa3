"""One conversation on two stages: the compiled connections over sockets, and the fakes of
tests/unit/relay. A recorder stands in for the exchange.

A stage logs the callbacks with their arguments and with what an exchange may read at that time, and
what the client received. `CALLBACKS` is the only list of callback names.
"""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from ccrelay._fast.body import BodyLimits
from ccrelay._fast.conn import Reactor
from ccrelay._fast.downstream import ConnectionHandler
from ccrelay._fast.handlers import ConnectionPool, DownstreamLimits, UpstreamLimits
from ccrelay._fast.head_writer import RequestPlan
from ccrelay._fast.http1 import ChunkReader, parse_request, parse_response
from ccrelay._fast.listener import Listener
from ccrelay._fast.upstream import ExchangeHandler, Upstream
from ccrelay.wire.chunks import LAST_CHUNK, chunk
from ccrelay.wire.errors import PING
from tests.unit.relay.fakes import FakeDown, FakePool, FakeReactor, FakeUpstream, Trail

# Callback: the upstream's attributes that an exchange reads in it; None: a callback of the client's
# side, or of an upstream that is gone.
CALLBACKS: dict[str, tuple[str, ...] | None] = {
    "on_model": None,
    "on_body": None,
    "on_bad_body": None,
    "on_client_left": None,
    "on_head": ("any_byte", "is_event_stream", "keeps_framing"),
    "on_commit": ("mode", "committed"),
    "on_held_error": ("mode", "committed", "any_byte"),
    "on_unfinished": ("mode", "committed", "repairs"),
    "on_collected": ("mode", "committed"),
    "on_done": ("mode", "committed"),
    "on_lost": None,
}

PLAN = RequestPlan(prefix=b"", host=b"provider.test", lines=[])
SETTLE_ROUNDS = 30

Reaction = Callable[["Recorder", Any], None]


class Recorder(ExchangeHandler):
    """Records callbacks and reacts to them by script, like an exchange that decides nothing."""

    settled = True  # the fakes assert it before a response is complete
    outcome = SimpleNamespace(attempts=0)
    attempt = SimpleNamespace(target=None)

    def __init__(self, reactions: dict[str, Reaction]) -> None:
        self.log: list[tuple[object, ...]] = []
        self.down: Any = None
        self.up: Any = None
        self._reactions = reactions

    def _called(self, name: str, *args: Any) -> None:
        read = CALLBACKS[name]
        shown = ["upstream" if arg is self.up else arg for arg in args]
        state = [(attribute, _read(self.up, attribute)) for attribute in read or ()]
        if read is None:
            state = [("started", self.down.started)]
        self.log.append((name, *shown, *state))
        if name in self._reactions:
            self._reactions[name](self, self.up)


def _read(upstream: Any, name: str) -> object:
    value = getattr(upstream, name)
    return value() if callable(value) else value


def _recorded(name: str) -> Callable[..., None]:
    return lambda recorder, *args: recorder._called(name, *args)


for _name in CALLBACKS:
    setattr(Recorder, _name, _recorded(_name))


class Stage(ABC):
    """Moves both ends of an exchange; what is observed goes to `recorder.log`."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    @abstractmethod
    def open(self, body: bytes, arrived: int, *, chunked: bool = False, minor: int = 1) -> None:
        """A request arrives, with the first `arrived` bytes of its body."""

    @abstractmethod
    def arrive(self, upto: int) -> None:
        """The body arrives up to this offset."""

    @abstractmethod
    def leave(self) -> None:
        """The client closes."""

    @abstractmethod
    def respond(self, head: bytes) -> None:
        """The provider sends a response head."""

    @abstractmethod
    def feed(self, payload: bytes) -> None:
        """The provider sends payload, framed as its head says."""

    @abstractmethod
    def end(self) -> None:
        """The provider ends the body the way its head says."""

    @abstractmethod
    def lose(self, reason: int) -> None:
        """The connection is lost for this reason (Loss)."""

    @abstractmethod
    def act(self, action: Callable[[Recorder], object]) -> None:
        """The exchange does something by itself, as after a timer."""

    @abstractmethod
    def received(self) -> tuple[list[int], bytes, str | None]:
        """The statuses and the payload that the client has, and how its response ended."""

    def probe(self) -> None:
        """Log what an exchange reads between two callbacks."""
        up, down = self.recorder.up, self.recorder.down
        if down.exchange is not None and up.exchange is not None:
            seen = (up.mode, up.committed, up.may_insert(), down.started, down.body_complete())
            self.recorder.log.append(("probe", *seen))

    def send(self, **options: Any) -> None:
        """The exchange starts an attempt."""
        recorder = self.recorder
        self.act(lambda _: recorder.up.send_request(recorder, recorder.down, PLAN, **options))


class AnyState(Trail):
    """A recorder has no states."""

    def expect(self, exchange: Any, state: object) -> None:
        pass


class FakeStage(Stage):
    """The fakes. Framing is not modelled: payload is fed, and the test ends the response."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.pool = FakePool(AnyState())
        self._reusable = True
        self._left = -1  # of a body with a length

    def open(self, body: bytes, arrived: int, *, chunked: bool = False, minor: int = 1) -> None:
        reactor = FakeReactor()
        reactor.trail = self.pool.trail
        down = FakeDown(
            reactor,
            body=body,
            arrived=arrived,
            chunked=chunked,
            minor=minor,
        )
        self.recorder.down, self.recorder.up = down, FakeUpstream(self.pool)
        down.exchange = self.recorder

    def arrive(self, upto: int) -> None:
        self.recorder.down.arrive(upto)

    def leave(self) -> None:
        self.recorder.down.leave()

    def respond(self, head: bytes) -> None:
        parsed = parse_response(head)
        assert parsed is not None
        has_end = parsed[0].chunked or parsed[0].content_length >= 0
        self._reusable = has_end and parsed[0].keep_alive
        self._left = parsed[0].content_length
        self.recorder.up.respond(head)

    def feed(self, payload: bytes) -> None:
        self.recorder.up.feed(payload)
        if self._left >= 0:
            self._left -= len(payload)
            if self._left == 0:
                self.recorder.up.finish(reusable=self._reusable)

    def end(self) -> None:
        if self._left < 0:
            self.recorder.up.finish(reusable=self._reusable)

    def lose(self, reason: int) -> None:
        self.recorder.up.lose(reason)

    def act(self, action: Callable[[Recorder], object]) -> None:
        action(self.recorder)

    def received(self) -> tuple[list[int], bytes, str | None]:
        down = self.recorder.down
        payload = down.got
        if payload.startswith(b"HTTP/1.1 "):  # a head made here, unlike an upstream's
            payload = payload.partition(b"\r\n\r\n")[2]
        statuses = [int(head.split(b" ", 2)[1]) for head in down.heads]
        # A request that is not read to its end leaves no connection to go on with.
        if down.ended == "complete" and not (down.keep_alive and down.body_complete()):
            return statuses, _unframed(payload), "complete, closed"
        return statuses, _unframed(payload), down.ended


def _unframed(payload: bytes) -> bytes:
    """Without chunk framing: the fakes frame only the last chunk, an exchange what it inserts."""
    return payload.removesuffix(LAST_CHUNK).replace(chunk(PING), PING)


class Idle(ConnectionPool):
    """The pool of the real stage."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def give(self, upstream: Any) -> None:
        self.given.append(upstream)

    def on_idle_closed(self, upstream: Any) -> None:
        raise AssertionError("nothing closes idle connections here")


class Accepting(ConnectionHandler):
    """The listener's handler of the real stage."""

    def __init__(self, stage: "RealStage") -> None:
        self._stage = stage
        self.connections: set[Any] = set()

    def on_request(self, down: Any) -> None:
        self._stage.recorder.down = down
        down.exchange = self._stage.recorder

    def on_gone(self, down: Any) -> None:
        self.connections.discard(down)

    def on_refused(self, down: Any, fault: int) -> None:
        raise AssertionError(f"refused: {fault}")

    def on_slow(self, down: Any) -> None:
        raise AssertionError("no test waits that long")


class RealStage(Stage):
    """The compiled connections: the client over loopback TCP, the provider over a socketpair."""

    def __init__(self, recorder: Recorder, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(recorder)
        self._loop = loop
        self._crashes: list[BaseException] = []
        self._reactor = Reactor(loop, lambda error, _: self._crashes.append(error))
        self._pool = Idle()
        self._handler = Accepting(self)
        limits = DownstreamLimits(
            head_bytes_max=65_536,
            fields_max=100,
            body=BodyLimits(body_bytes_max=1 << 20, replay_bytes_max=1 << 24),
            head_s=60.0,
            body_idle_s=60.0,
            keepalive_s=60.0,
            write_stall_s=60.0,
            wait_s=60.0,
        )
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self._listener = Listener(self._reactor, self._server.fileno(), self._handler, limits)
        self._listener.connections_max = 8
        self._listener.start()
        self._client = socket.create_connection(self._server.getsockname())
        self._client.setblocking(False)
        near, self._provider = socket.socketpair()
        near.setblocking(False)
        self._provider.setblocking(False)
        up_limits = UpstreamLimits(
            first_byte_s=60.0, idle_s=60.0, total_s=60.0, pool_idle_s=60.0, event_bytes_max=65_536
        )
        recorder.up = Upstream(self._reactor, near.detach(), self._pool, up_limits)
        self._body = self._got = b""
        self._chunked_request = False
        self._arrived = 0
        self._framing = ""
        self._left: str | None = None

    def close(self) -> None:
        """Close every socket and timer."""
        self._listener.stop()
        if not self.recorder.up.is_closed():
            self.recorder.up.retire()
        if self.recorder.down is not None:
            self.recorder.down.abort()
        self._reactor.stop()
        for sock in (self._server, self._client, self._provider):
            sock.close()

    def _settle(self) -> None:
        async def rounds() -> None:
            for _ in range(SETTLE_ROUNDS):
                await asyncio.sleep(0)

        self._loop.run_until_complete(rounds())
        if self._crashes:
            raise self._crashes[0]

    def open(self, body: bytes, arrived: int, *, chunked: bool = False, minor: int = 1) -> None:
        self._body, self._chunked_request = body, chunked
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % len(body)
        head = b"POST /v1/messages HTTP/1.%d\r\nhost: localhost\r\n%b\r\n\r\n" % (minor, framing)
        assert parse_request(head) is not None
        self._client.sendall(head + self._framed_request(arrived))
        self._settle()

    def _framed_request(self, upto: int) -> bytes:
        data = self._body[self._arrived : upto]
        self._arrived = max(upto, self._arrived)
        if not self._chunked_request:
            return data
        framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return framed + (b"0\r\n\r\n" if upto >= len(self._body) else b"")

    def arrive(self, upto: int) -> None:
        self._client.sendall(self._framed_request(upto))
        self._settle()

    def leave(self) -> None:
        self._read()
        self._client.close()
        self._left = "left"
        self._settle()

    def respond(self, head: bytes) -> None:
        parsed = parse_response(head)
        assert parsed is not None
        length = "length" if parsed[0].content_length >= 0 else "close"
        self._framing = "chunked" if parsed[0].chunked else length
        self._provider.sendall(head)
        self._settle()

    def feed(self, payload: bytes) -> None:
        if self._framing == "chunked":
            payload = b"%x\r\n%b\r\n" % (len(payload), payload)
        while payload:
            try:
                payload = payload[self._provider.send(payload) :]
            except BlockingIOError:
                pass
            self._settle()
        self._read()

    def end(self) -> None:
        if self._framing == "chunked":
            self._provider.sendall(b"0\r\n\r\n")
        elif self._framing == "close":
            self._provider.shutdown(socket.SHUT_WR)
        self._settle()

    def lose(self, reason: int) -> None:
        if reason == 3:  # garbage
            self._provider.sendall(b"SSH-2.0-x\r\n")
        else:
            self._provider.shutdown(socket.SHUT_RDWR)
        self._settle()

    def act(self, action: Callable[[Recorder], object]) -> None:
        action(self.recorder)
        self._settle()

    def _read(self) -> None:
        while self._left is None:
            try:
                data = self._client.recv(65_536)
            except BlockingIOError:
                return
            except ConnectionResetError:
                self._left = "abort"
                return
            if not data:
                self._left = "closed"
            self._got += data

    def received(self) -> tuple[list[int], bytes, str | None]:
        self._read()
        parsed = parse_response(self._got) if self._got else None
        if parsed is None:
            return [], b"", "cut" if self._left == "closed" else self._left
        head, size = parsed
        payload, complete = self._got[size:], self._left == "closed"
        if head.chunked:
            reader = ChunkReader()
            payload = b"".join(reader.feed(payload))
            complete = reader.done
        elif head.content_length >= 0:
            complete = len(payload) == head.content_length
        ended = self._left
        if complete and self._left in ("closed", None):
            ended = "complete, closed" if self._left else "complete"
        elif self._left == "closed":
            ended = "cut"
        return [head.status], payload, ended
