"""One end of the control channel inside a running loop.

Bytes are read and decoded in one breath, and what the kernel does not take is kept in plain sight:
the supervisor can leave its process image at any instant (`ccrelay.runtime.upgrade`) and the next
one goes on where this one stood.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Generic

from ccrelay.runtime.control import Decoder, FromWorker, Message, ToWorker, encode

READ_BYTES = 65_536


class Channel(Generic[Message]):
    """Sends, and receives messages of the decoder's kind. Owns the socket.

    Args:
        sock: one end of the socketpair.
        decoder: may hold bytes or messages already.
        unsent: bytes that go out first.
    """

    def __init__(self, sock: socket.socket, decoder: Decoder[Message], unsent: bytes = b"") -> None:
        sock.setblocking(False)
        self._sock = sock
        self._decoder = decoder
        self._unsent = bytearray()
        self._is_waiting = False  # for room in the kernel
        self._emptied: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.send_raw(unsent)

    async def receive(self) -> Message | None:
        """Return the next message, or None when the other end is gone. Raises ControlError."""
        while (message := self._decoder.next_message()) is None:
            try:
                data = self._sock.recv(READ_BYTES)
            except BlockingIOError:
                await self._readable()
                continue
            except OSError:  # killed with unread bytes in its socket, or closed by us
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
        if self._sock.fileno() < 0:
            return
        self._unsent += data
        if not self._is_waiting:
            self._flush()

    def pending(self) -> tuple[bytes, bytes]:
        """What a successor has to know: bytes received but not yet whole, bytes not yet sent."""
        return self._decoder.pending(), bytes(self._unsent)

    async def close(self) -> None:
        """Send what is pending, then close."""
        if self._unsent:
            self._emptied = self._loop.create_future()
            await self._emptied
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
            except OSError:  # the peer is gone, or we closed
                self._unsent.clear()
        self._wait_for_room(bool(self._unsent), self._flush)
        if not self._unsent and self._emptied is not None:
            _resolve(self._emptied)

    def _wait_for_room(self, is_needed: bool, then: Callable[[], None]) -> None:
        if is_needed and not self._is_waiting:
            self._loop.add_writer(self._sock, then)
        elif self._is_waiting and not is_needed:
            self._loop.remove_writer(self._sock)
        self._is_waiting = is_needed


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
