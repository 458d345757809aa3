"""An accepted connection as a stream of bytes: with limits, and it says when the peer goes."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

READ_SIZE = 16 * 1024
BUFFER_MAX = 64 * 1024
# A peer that reads nothing for so long is cut. Long, because a person may have paused a terminal.
STALL_S = 600.0
CLOSE_S = 2.0
LINGER_S = 1.0
LINGER_BYTES = 16 * 1024 * 1024
TLS_HANDSHAKE_S = 10.0


class _Protocol(asyncio.StreamReaderProtocol):
    """Tells of the peer's end at once, also while nothing reads."""

    def __init__(self, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, loop=loop)
        self.is_gone = False
        self.on_gone: Callable[[], object] | None = None

    def eof_received(self) -> bool | None:
        self._went()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._went()
        super().connection_lost(exc)

    def _went(self) -> None:
        self.is_gone = True
        on_gone, self.on_gone = self.on_gone, None
        if on_gone is not None:
            on_gone()


class Stream:
    """One connection. Its methods raise OSError where it breaks, TimeoutError where it is late."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Protocol
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._protocol = protocol

    @classmethod
    async def accepted(cls, sock: socket.socket, tls: ssl.SSLContext | None) -> "Stream":
        """Take over an accepted socket; with TLS, after the handshake."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=BUFFER_MAX, loop=loop)
        protocol = _Protocol(reader, loop)
        handshake_s = None if tls is None else TLS_HANDSHAKE_S
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, sock, ssl=tls, ssl_handshake_timeout=handshake_s
        )
        transport.set_write_buffer_limits(high=BUFFER_MAX)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        return cls(reader, writer, protocol)

    @property
    def is_gone(self) -> bool:
        """Whether the peer has closed its end, or all of it."""
        return self._protocol.is_gone

    def on_gone(self, call: Callable[[], object] | None) -> None:
        """Call this once when the peer goes; at once where it is gone. None: nothing."""
        self._protocol.on_gone = call
        if call is not None and self._protocol.is_gone:
            self._protocol._went()

    async def read(self, limit_s: float) -> bytes:
        """Return what comes next; b"" at the end."""
        async with asyncio.timeout(limit_s):
            return await self.reader.read(READ_SIZE)

    async def write(self, data: bytes) -> None:
        """Send, and wait until only little of it has not left."""
        if self.writer.is_closing():
            raise ConnectionResetError
        self.writer.write(data)
        try:
            async with asyncio.timeout(STALL_S):
                await self.writer.drain()
        except TimeoutError:
            raise ConnectionAbortedError from None

    def abort(self) -> None:
        """Close at once."""
        self.writer.transport.abort()

    async def linger(self) -> None:
        """Take what the peer still sends for a moment, so that it gets to read our answer.

        A socket that is closed with unread data resets the connection.
        """
        with contextlib.suppress(OSError, TimeoutError):
            if self.writer.can_write_eof():
                self.writer.write_eof()
            left = LINGER_BYTES
            async with asyncio.timeout(LINGER_S):
                while left > 0 and (data := await self.reader.read(BUFFER_MAX)):
                    left -= len(data)

    async def close(self) -> None:
        """Send what is buffered, and close. Never raises OSError."""
        self._protocol.on_gone = None
        self.writer.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.writer.wait_closed()
        except OSError:  # TimeoutError, too
            self.abort()
        except asyncio.CancelledError:
            self.abort()
            raise
