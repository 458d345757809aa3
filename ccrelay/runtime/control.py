"""The control channel: messages between supervisor and worker over a socketpair.

    supervisor                               worker
      Start(config, layout, ...) + memory,
        listeners -->
                                           <-- Ready | Failed(error, detail)
      Reload(config, layout) -->           <-- Reloaded | ReloadFailed(error)
      Stats(running) -->                   <-- StatsReply(values, totals, running)
      Credentials(issued) -->
                                           <-- CredentialRejected(provider, key, serial)
                                           <-- Draining  (the worker itself got SIGTERM)
      Drain(limit_s, gentle) -->           <-- Drained(cut, totals)
      Stop -->                             <-- StatsReply(values, totals)

A frame is four bytes of length (big-endian) and one msgpack message. The descriptors of the shared
memory and the listening sockets are sent with the first byte of Start (SCM_RIGHTS), so a worker can
be started, and can import, before the configuration is loaded. A worker exits when its supervisor
closes the channel.

After an upgrade, workers of the older version talk to a supervisor of the newer one: messages and
members are added with a default, and never renamed.
"""

import socket
from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from ccrelay.config.model import Config
from ccrelay.fleet.layout import Layout
from ccrelay.wire.cloud_credential import IssuedCredential

# A Start carries the whole configuration. 64 MB is far above any, and catches a corrupt length.
MESSAGE_BYTES_MAX = 64 << 20
# Descriptors of one Start: the memory, and one listening socket per address of the listen host;
# after an upgrade to fewer workers also those of removed slots. The kernel takes 253 (unix(7)).
DESCRIPTORS_MAX = 250
READ_BYTES = 65_536
LENGTH_BYTES = 4


class Start(msgspec.Struct, tag="start", frozen=True):
    """The first message to a worker; carries the descriptors of memory and listening sockets.

    `worker_id` is the slot that it fills. `column` is its column in the shared memory: a draining
    worker and its successor have the same slot, and two columns. `fingerprint_key` is that of the
    supervisor.
    """

    config: Config
    worker_id: int
    layout: Layout
    column: int
    fingerprint_key: bytes = b""
    credentials: list[IssuedCredential] = []


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker accepts connections."""


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """The worker could not start and exits; `error` is one line, `detail` a traceback."""

    error: str
    detail: str


class Draining(msgspec.Struct, tag="draining", frozen=True):
    """The worker got SIGTERM and stopped accepting: its slot can be filled again."""


class Reload(msgspec.Struct, tag="reload", frozen=True):
    """Use this configuration for requests that start from now on."""

    config: Config
    layout: Layout


class Reloaded(msgspec.Struct, tag="reloaded", frozen=True):
    """The new configuration is in force."""


class ReloadFailed(msgspec.Struct, tag="reload_failed", frozen=True):
    """The previous configuration is still in force; `error` says why in one line."""

    error: str


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Stop accepting, let running exchanges finish for `limit_s` seconds, then exit.

    `gentle`: other workers accept meanwhile; idle connections are kept until the client uses or
    closes them. A second Drain replaces the first.
    """

    limit_s: float
    gentle: bool = False


class Drained(msgspec.Struct, tag="drained", frozen=True):
    """The last message of a drained worker; `cut` is the number of exchanges it aborted.

    `totals`: as in StatsReply.
    """

    cut: int
    totals: dict[str, int] = {}


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """Abort everything and exit."""


class Credentials(msgspec.Struct, tag="credentials", frozen=True):
    """Credentials of clouds that were issued, or could not be, since the message before."""

    issued: list[IssuedCredential]


class CredentialRejected(msgspec.Struct, tag="credential_rejected", frozen=True):
    """A cloud refused a credential as expired or unknown, or none has come yet (serial 0)."""

    provider: str
    key: str
    serial: int


class Stats(msgspec.Struct, tag="stats", frozen=True):
    """Ask for the worker's counters.

    `running`: and for so many exchanges under way, the oldest.
    """

    running: int = 0


class StatsReply(msgspec.Struct, tag="stats_reply", frozen=True):
    """The worker's counters, as `Relay.stats()` gives them; unasked for also after a Stop.

    `totals`: what its exchanges came to since it started, as `Relay.totals()` gives it. `running`:
    exchanges under way, as `Relay.running()` gives them; empty: not asked for, or an older version.
    """

    values: dict[str, int]
    totals: dict[str, int] = {}
    running: bytes = b""


ToWorker = Start | Reload | Drain | Stop | Stats | Credentials
FromWorker = (
    Ready | Failed | Reloaded | ReloadFailed | Draining | Drained | StatsReply | CredentialRejected
)
Message = TypeVar("Message")


class ControlError(Exception):
    """The peer sent an invalid frame, or one over the limit."""


def encode(message: msgspec.Struct) -> bytes:
    """Frame one message. Raises ControlError when it is over MESSAGE_BYTES_MAX or not text."""
    try:
        body = msgspec.msgpack.encode(message)
    except UnicodeEncodeError as error:  # environment variables may hold any bytes
        raise ControlError("a value of the configuration is not UTF-8") from error
    if len(body) > MESSAGE_BYTES_MAX:
        raise ControlError(f"message of {len(body)} bytes; the limit is {MESSAGE_BYTES_MAX}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


class Decoder(Generic[Message]):
    """Bytes in, messages out; `kind` is the union of messages to accept, such as `FromWorker`."""

    def __init__(self, kind: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(kind)
        self._buffer = bytearray()

    def receive(self, data: bytes) -> None:
        """Add received bytes; then call `next_message` until it returns None."""
        self._buffer += data

    def next_message(self) -> Message | None:
        """Return the next complete message, or None when bytes are missing.

        Raises ControlError; the channel is unusable after it.
        """
        body = self._next_body()
        if body is None:
            return None
        try:
            return self._decoder.decode(body)
        except msgspec.DecodeError as error:  # its ValidationError too
            raise ControlError(f"unreadable message: {error}") from error

    def pending(self) -> bytes:
        """The received bytes that are not a complete message yet."""
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
    """What a worker starts with; it owns the descriptors."""

    start: Start
    memory_fd: int
    listeners: list[socket.socket]


def send_start(
    sock: socket.socket, start: Start, memory_fd: int, listeners: Iterable[socket.socket]
) -> bytes:
    """Send `start` and the descriptors without blocking; returns the bytes that did not fit.

    Raises OSError when the worker is gone, ControlError as `encode` does.
    """
    return send_first(sock, start, [memory_fd, *(listener.fileno() for listener in listeners)])


def send_first(sock: socket.socket, message: msgspec.Struct, descriptors: list[int]) -> bytes:
    """Send the first message of a channel and descriptors; as `send_start`, for any process."""
    frame = encode(message)
    sent = socket.send_fds(sock, [frame], descriptors)
    return frame[sent:]


def receive_start(sock: socket.socket, decoder: Decoder[ToWorker]) -> Received | None:
    """Block until Start has arrived; None when the supervisor closed the channel before.

    Messages after it stay in `decoder`. Raises ControlError when the first message is another one.
    """
    received = receive_first(sock, decoder)
    if received is None:
        return None
    message, descriptors = received
    if not isinstance(message, Start) or not descriptors:
        raise ControlError(f"expected Start and descriptors, got {type(message).__name__}")
    memory_fd, *listeners = descriptors
    return Received(message, memory_fd, [socket.socket(fileno=fd) for fd in listeners])


def receive_first(
    sock: socket.socket, decoder: Decoder[Message]
) -> tuple[Message, list[int]] | None:
    """Block until the first message has arrived; returns it and the descriptors that came with it.

    None when the peer closed the channel before. Messages after it stay in `decoder`. Raises
    ControlError.
    """
    descriptors: list[int] = []
    while True:
        data, more, _, _ = socket.recv_fds(sock, READ_BYTES, DESCRIPTORS_MAX)
        descriptors += more
        if not data:
            return None
        decoder.receive(data)
        message = decoder.next_message()
        if message is not None:
            return message, descriptors
