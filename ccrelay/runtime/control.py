"""The control channel: what supervisor and worker tell each other over a socketpair.

    supervisor                               worker
      Start(config, worker_id) + listeners -->
                                           <-- Ready | Failed(error, detail)
      Stats -->                            <-- StatsReply(values)
                                           <-- Leaving   (the worker itself got SIGTERM)
      Drain(limit_s) -->                   <-- Drained(cut)
      Stop -->

A frame is four bytes of length (big-endian) and one msgpack message. The listening sockets travel
beside the first byte of Start (SCM_RIGHTS), so a worker can be started, and can import what it
needs, before the configuration is known. When either end closes, the other process ends the
relationship: a worker without its supervisor exits.
"""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

from ccrelay.config.model import Config

# A Start carries the whole configuration; 64 MB is far above any and stops a garbled length.
MESSAGE_BYTES_MAX = 64 << 20
# Listening sockets one Start may carry: one per address of the listen host.
LISTENERS_MAX = 32
READ_BYTES = 65_536
LENGTH_BYTES = 4


class Start(msgspec.Struct, tag="start", frozen=True):
    """The first message to a worker; the listening sockets come with it."""

    config: Config
    worker_id: int


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker accepts connections."""


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The worker could not start and exits; `error` is a line for people, `detail` a traceback."""

    error: str
    detail: str


class Leaving(msgspec.Struct, tag="leaving", frozen=True):
    """The worker stopped accepting by itself: its slot can be filled again."""


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Stop accepting, let running exchanges finish for `limit_s` seconds, then exit."""

    limit_s: float


class Drained(msgspec.Struct, tag="drained", frozen=True):
    """The last message of a drained worker; `cut` exchanges had to be broken off."""

    cut: int


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """Break everything off and exit."""


class Stats(msgspec.Struct, tag="stats", frozen=True):
    """Ask for the worker's counters."""


class StatsReply(msgspec.Struct, tag="stats_reply", frozen=True):
    """The worker's counters, as `Relay.stats()` gives them."""

    values: dict[str, int]


ToWorker = Start | Drain | Stop | Stats
FromWorker = Ready | Failed | Leaving | Drained | StatsReply
Message = TypeVar("Message")


class ControlError(Exception):
    """The other end sent what is not a frame, or a frame over the limit."""


def encode(message: ToWorker | FromWorker) -> bytes:
    """Frame one message. Raises ControlError when it is over MESSAGE_BYTES_MAX or not text."""
    try:
        body = msgspec.msgpack.encode(message)
    except UnicodeEncodeError as error:  # an environment variable may hold any bytes
        raise ControlError("a value of the configuration is not UTF-8") from error
    if len(body) > MESSAGE_BYTES_MAX:
        raise ControlError(f"message of {len(body)} bytes; the limit is {MESSAGE_BYTES_MAX}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Decoder(Generic[Message]):
    """Bytes in, messages out; `kind` is the union of what may come, `ToWorker` or `FromWorker`."""

    def __init__(self, kind: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()

    def receive(self, data: bytes) -> None:
        """Take what was read; call `next_message` until it gives None."""
        self._buffer += data

    def next_message(self) -> Message | None:
        """Return the next whole message, or None when bytes are missing.

        Raises ControlError; the channel is unusable afterwards.
        """
        body = self._next_body()
        if body is None:
            return None
        try:
            return self._decoder.decode(body)
        except msgspec.DecodeError as error:  # its ValidationError too
            raise ControlError(f"unreadable message: {error}") from error

    def _next_body(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < LENGTH_BYTES:
            return None
        end = LENGTH_BYTES + int.from_bytes(buffer[:LENGTH_BYTES], "big")
        if end > LENGTH_BYTES + MESSAGE_BYTES_MAX:
            raise ControlError(
                f"message of {end - LENGTH_BYTES} bytes; the limit is {MESSAGE_BYTES_MAX}"
            )
        if len(buffer) < end:
            return None
        body = bytes(buffer[LENGTH_BYTES:end])
        del buffer[:end]
        return body


class Channel(Generic[Message]):
    """One end of the socketpair inside a running loop; receives messages of `kind`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decoder: Decoder[Message],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = decoder

    @classmethod
    async def open(cls, sock: socket.socket, decoder: Decoder[Message]) -> "Channel[Message]":
        """Take over `sock`; `decoder` may already hold messages."""
        sock.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        return cls(reader, writer, decoder)

    async def receive(self) -> Message | None:
        """Return the next message, or None when the other end is gone. Raises ControlError."""
        while (message := self._decoder.next_message()) is None:
            try:
                data = await self._reader.read(READ_BYTES)
            except ConnectionError:  # killed with unread bytes in its socket
                return None
            if not data:
                return None
            self._decoder.receive(data)
        return message

    def send(self, message: ToWorker | FromWorker) -> None:
        """Send one message; a peer that is gone is noticed by `receive`, not here."""
        self.send_raw(encode(message))

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are framed already (the rest of a Start)."""
        if not self._writer.is_closing():
            self._writer.write(data)

    async def close(self) -> None:
        """Send what is pending, then close."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            pass  # the peer went first

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()


def send_start(sock: socket.socket, start: Start, listeners: Iterable[socket.socket]) -> bytes:
    """Send as much of `start` as fits at once, with the listeners; returns the unsent rest.

    Raises OSError when the worker is gone.
    """
    frame = encode(start)
    sent = socket.send_fds(sock, [frame], [listener.fileno() for listener in listeners])
    return frame[sent:]


def receive_start(
    sock: socket.socket, decoder: Decoder[ToWorker]
) -> tuple[Start, list[socket.socket]] | None:
    """Block until Start is here; None when the supervisor went away first.

    Messages behind it stay in `decoder`.

    Raises ControlError when anything else comes.
    """
    listeners: list[socket.socket] = []
    while True:
        data, descriptors, _, _ = socket.recv_fds(sock, READ_BYTES, LISTENERS_MAX)
        listeners += [socket.socket(fileno=descriptor) for descriptor in descriptors]
        if not data:
            return None
        decoder.receive(data)
        message = decoder.next_message()
        if message is not None and not isinstance(message, Start):
            raise ControlError(f"expected Start, got {type(message).__name__}")
        if message is not None:
            return message, listeners
