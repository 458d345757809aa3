"""The control channel: what supervisor and worker tell each other over a socketpair.

    supervisor                               worker
      Start(config, layout, ...) + memory,
        listeners -->
                                           <-- Ready | Failed(error, detail)
      Reload(config, layout) -->           <-- Reloaded | ReloadFailed(error)
      Stats -->                            <-- StatsReply(values)
                                           <-- Leaving   (the worker itself got SIGTERM)
      Drain(limit_s, gentle) -->           <-- Drained(cut)
      Stop -->

A frame is four bytes of length (big-endian) and one msgpack message. The shared memory and the
listening sockets travel beside the first byte of Start (SCM_RIGHTS), so a worker can be started,
and can import what it needs, before the configuration is known. When either end closes, the other
process ends the relationship: a worker without its supervisor exits.

After an upgrade a worker of the older version answers to a supervisor of the newer one: messages
and members are added, never renamed, and what is added has a default.
"""

import socket
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from ccrelay.config.model import Config
from ccrelay.fleet.layout import Layout

# A Start carries the whole configuration; 64 MB is far above any and stops a garbled length.
MESSAGE_BYTES_MAX = 64 << 20
# Descriptors one Start may carry: the memory, and one listening socket per address of the listen
# host; after upgrades to fewer workers also those of slots that are no more. The kernel's limit for
# one message is 253 (unix(7)).
DESCRIPTORS_MAX = 250
READ_BYTES = 65_536
LENGTH_BYTES = 4


class Start(msgspec.Struct, tag="start", frozen=True):
    """The first message to a worker; the memory and the listening sockets come with it.

    `worker_id` is the slot it fills. `column` is its own in the shared memory: a worker that still
    drains and its successor have one slot, and two columns.
    """

    config: Config
    worker_id: int
    layout: Layout
    column: int


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker accepts connections."""


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The worker could not start and exits; `error` is a line for people, `detail` a traceback."""

    error: str
    detail: str


class Leaving(msgspec.Struct, tag="leaving", frozen=True):
    """The worker stopped accepting by itself: its slot can be filled again."""


class Reload(msgspec.Struct, tag="reload", frozen=True):
    """Take this configuration for requests that begin from now on."""

    config: Config
    layout: Layout


class Reloaded(msgspec.Struct, tag="reloaded", frozen=True):
    """The new configuration is in force."""


class ReloadFailed(msgspec.Struct, tag="reload_failed", frozen=True):
    """The configuration before is still in force; `error` says why, in a line for people."""

    error: str


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Stop accepting, let running exchanges finish for `limit_s` seconds, then exit.

    `gentle`: others accept meanwhile, and idle connections are kept until their client has used or
    closed them. A second Drain replaces the first.
    """

    limit_s: float
    gentle: bool = False


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


ToWorker = Start | Reload | Drain | Stop | Stats
FromWorker = Ready | Failed | Reloaded | ReloadFailed | Leaving | Drained | StatsReply
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

    def pending(self) -> bytes:
        """What was received and is no whole message yet."""
        return bytes(self._buffer)

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


class Received(NamedTuple):
    """What a worker begins with; the descriptors are its own."""

    start: Start
    memory: int
    listeners: list[socket.socket]


def send_start(
    sock: socket.socket, start: Start, memory: int, listeners: Iterable[socket.socket]
) -> bytes:
    """Send as much of `start` as fits at once, with the descriptors; returns the unsent rest.

    Raises OSError when the worker is gone.
    """
    frame = encode(start)
    descriptors = [memory, *(listener.fileno() for listener in listeners)]
    sent = socket.send_fds(sock, [frame], descriptors)
    return frame[sent:]


def receive_start(sock: socket.socket, decoder: Decoder[ToWorker]) -> Received | None:
    """Block until Start is here; None when the supervisor went away first.

    Messages behind it stay in `decoder`.

    Raises ControlError when anything else comes.
    """
    descriptors: list[int] = []
    while True:
        data, more, _, _ = socket.recv_fds(sock, READ_BYTES, DESCRIPTORS_MAX)
        descriptors += more
        if not data:
            return None
        decoder.receive(data)
        message = decoder.next_message()
        if message is None:
            continue
        if not isinstance(message, Start) or not descriptors:
            raise ControlError(f"expected Start and descriptors, got {type(message).__name__}")
        memory, *listeners = descriptors
        return Received(message, memory, [socket.socket(fileno=fd) for fd in listeners])
