"""One end of the control channel inside a running loop.

Reads are decoded at once, and unsent bytes are accessible, so that the supervisor can exec a new
image at any time (`ccrelay.runtime.upgrade`) and the new one continues the conversation.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Generic

import msgspec

from ccrelay.runtime.control import Decoder, Message, encode

READ_BYTES = 65_536


class Channel(Generic[Message]):
    """Sends, and receives messages of the decoder's kind. Owns the socket.

    Args:
        sock: one end of the socketpair.
        decoder: may already hold received bytes.
        unsent: bytes to send first.
    """

    def __init__(self, sock: socket.socket, decoder: Decoder[Message], unsent: bytes = b"") -> None:
        sock.setblocking(False)
        self._sock = sock
        self._decoder = decoder
        self._unsent = bytearray()
        self._is_write_blocked = False  # the socket buffer is full
        self._flushed: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.send_raw(unsent)

    async def receive(self) -> Message | None:
        """Return the next message, or None when the peer is gone. Raises ControlError."""
        while (message := self._decoder.next_message()) is None:
            try:
                data = self._sock.recv(READ_BYTES)
            except BlockingIOError:
                await self._readable()
                continue
            except OSError:  # peer killed with unread bytes, or closed here
                return None
            if not data:
                return None
            self._decoder.receive(data)
        return message

    def send(self, message: msgspec.Struct) -> None:
        """Send one message. When the peer is gone nothing happens: `receive` reports it."""
        self.send_raw(encode(message))

    def send_raw(self, data: bytes) -> None:
        """Send bytes that are framed already."""
        if self._sock.fileno() < 0:
            return
        self._unsent += data
        if not self._is_write_blocked:
            self._flush()

    def pending(self) -> tuple[bytes, bytes]:
        """The bytes of an incomplete received message, and the bytes not sent yet."""
        return self._decoder.pending(), bytes(self._unsent)

    async def close(self) -> None:
        """Send the unsent bytes, then close."""
        if self._unsent:
            self._flushed = self._loop.create_future()
            await self._flushed
        self.abort()

    def abort(self) -> None:
        """Close at once."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._loop.remove_writer(self._sock)
            self._sock.close()

    async def _readable(self) -> None:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self._sock, _resolve, ready)
        try:
            await ready
        finally:
            if self._sock.fileno() >= 0:
                self._loop.remove_reader(self._sock)

    def _flush(self) -> None:
        while self._unsent:
            try:
                del self._unsent[: self._sock.send(self._unsent)]
            except BlockingIOError:
                break
            except OSError:  # peer gone, or closed here
                self._unsent.clear()
        self._watch_writable(bool(self._unsent), self._flush)
        if not self._unsent and self._flushed is not None:
            _resolve(self._flushed)

    def _watch_writable(self, is_needed: bool, on_writable: Callable[[], None]) -> None:
        if is_needed and not self._is_write_blocked:
            self._loop.add_writer(self._sock, on_writable)
        elif self._is_write_blocked and not is_needed:
            self._loop.remove_writer(self._sock)
        self._is_write_blocked = is_needed


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
