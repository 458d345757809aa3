"""A TCP tap: forwards all bytes between two programs and records them.

One tap stands between client and relay, another between relay and upstream; what they saw is parsed
by h11, which is no code of ours, and compared. A tap never looks at the bytes it carries.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import NamedTuple

import h11

# l_onoff=1, l_linger=0: close(2) sends RST instead of FIN (socket(7)).
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

LEAVING_S = 0.05  # what is on its way over loopback has come by then

Fields = list[tuple[bytes, bytes]]


class Seen(NamedTuple):
    """A request and its response, as recorded by a tap."""

    connection: int  # number of its connection
    method: bytes
    target: bytes
    fields: Fields  # names with their original case
    body: bytes
    status: int | None  # None: no response head came
    response_fields: Fields
    payload: bytes  # the response body without its framing
    is_whole: bool  # the response is complete by its framing

    def field(self, name: bytes) -> bytes | None:
        """The first value of a request header; `name` in lower case."""
        return _first(self.fields, name)

    def response_field(self, name: bytes) -> bytes | None:
        """The first value of a response header; `name` in lower case."""
        return _first(self.response_fields, name)

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    def __repr__(self) -> str:
        return f"<Seen #{self.connection} {self.method!r} {self.target!r} {self.status}>"


class Conversation:
    """The bytes of one connection."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent = bytearray()  # by the client
        self.received = bytearray()  # by the client
        self.was_reset = False

    def seen(self) -> list[Seen]:
        """The exchanges of the connection."""
        found = []
        rest = bytes(self.received)
        for method, target, fields, body in _requests(bytes(self.sent)):
            response, rest = _response(method, rest)
            found.append(Seen(self.number, method, target, fields, body, *response))
        return found


class Tap:
    """Listens on a free port of 127.0.0.1 and forwards connections to `port`."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.conversations: list[Conversation] = []
        self.to_port = port
        self._server: asyncio.Server | None = None
        self._ends: set[_End] = set()
        self._dials: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for end in tuple(self._ends):
            end.transport.abort()
        await asyncio.gather(*self._dials, return_exceptions=True)
        await asyncio.sleep(0)  # let both ends notice it

    def seen(self) -> list[Seen]:
        """All exchanges so far, by connection and request."""
        return [one for conversation in self.conversations for one in conversation.seen()]

    def _accept(self) -> "_End":
        conversation = Conversation(len(self.conversations) + 1)
        self.conversations.append(conversation)
        client = _End(self, conversation, conversation.sent)
        server = _End(self, conversation, conversation.received)
        client.peer, server.peer = server, client
        client.on_open = lambda: self._dial(client, server)
        return client

    def _dial(self, client: "_End", server: "_End") -> None:
        client.transport.pause_reading()  # until the upstream is connected
        dial = asyncio.get_running_loop().create_task(self._connect(client, server))
        self._dials.add(dial)
        dial.add_done_callback(self._dials.discard)

    async def _connect(self, client: "_End", server: "_End") -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: server, "127.0.0.1", self.to_port)
        except OSError:  # upstream refused: close the client too
            client.reset()
        else:
            client.transport.resume_reading()

    def joined(self, end: "_End") -> None:
        self._ends.add(end)

    def left(self, end: "_End") -> None:
        self._ends.discard(end)


class _End(asyncio.Protocol):
    """One side of a connection through a tap."""

    def __init__(self, tap: Tap, conversation: Conversation, copy: bytearray) -> None:
        self.on_open: Callable[[], None] = lambda: None
        self.transport: asyncio.Transport
        self.peer: _End
        self._tap = tap
        self._conversation = conversation
        self._copy = copy
        self._has_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._tap.joined(self)
        self.on_open()

    def data_received(self, data: bytes) -> None:
        self._copy += data
        self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self._has_ended = True
        if self.peer._has_ended:
            self.peer.transport.close()
            return False
        if self.peer.transport.can_write_eof() and not self.peer.transport.is_closing():
            self.peer.transport.write_eof()
        return True  # the other direction stays open

    def connection_lost(self, exc: Exception | None) -> None:
        self._tap.left(self)
        if not hasattr(self.peer, "transport"):
            return
        if self._has_ended and self._copy is self._conversation.sent:
            # A client that left in order, maybe before it read the end of an answer: what is on its
            # way to the tap is recorded.
            asyncio.get_running_loop().call_later(LEAVING_S, self.peer.transport.close)
        elif exc is None:
            self.peer.transport.close()
        else:  # as a direct connection would
            self._conversation.was_reset = True
            self.peer.reset()

    def pause_writing(self) -> None:
        self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def reset(self) -> None:
        if not self.transport.is_closing():
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.transport.abort()


def _requests(sent: bytes) -> list[tuple[bytes, bytes, Fields, bytes]]:
    """The complete requests in the bytes of a client."""
    found: list[tuple[bytes, bytes, Fields, bytes]] = []
    judge = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    judge.receive_data(sent)
    head: h11.Request | None = None
    body: list[bytes] = []
    while True:
        event = judge.next_event()
        if isinstance(event, h11.Request):
            head, body = event, []
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            fields = [(bytes(n), bytes(v)) for n, v in head.headers.raw_items()]
            found.append((bytes(head.method), bytes(head.target), fields, b"".join(body)))
            if judge.their_state is not h11.DONE:
                return found
            judge.send(h11.Response(status_code=204, headers=[]))
            judge.send(h11.EndOfMessage())
            judge.start_next_cycle()
        else:  # NEED_DATA, PAUSED
            return found


Response = tuple[int | None, Fields, bytes, bool]


def _response(method: bytes, received: bytes) -> tuple[Response, bytes]:
    """The first response in the bytes received by a client, and the rest."""
    judge = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 22)
    judge.send(h11.Request(method=method, target=b"/", headers=[(b"host", b"tap")]))
    judge.send(h11.EndOfMessage())
    judge.receive_data(received)
    status: int | None = None
    fields: Fields = []
    body: list[bytes] = []
    at_end = False
    while True:
        try:
            event = judge.next_event()
            if event is h11.NEED_DATA and not at_end:
                at_end = True
                judge.receive_data(b"")  # the connection is closed
                continue
        except h11.RemoteProtocolError:
            return (status, fields, b"".join(body), False), b""
        if isinstance(event, h11.Response):
            status = event.status_code
            fields = [(bytes(n), bytes(v)) for n, v in event.headers.raw_items()]
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            return (status, fields, b"".join(body), True), judge.trailing_data[0]
        elif not isinstance(event, h11.InformationalResponse):
            return (status, fields, b"".join(body), False), b""


def _first(fields: Fields, name: bytes) -> bytes | None:
    return next((value for key, value in fields if key.lower() == name), None)
