"""TLS to an upstream, as far as the end of the handshake, over memory instead of transports.

OpenSSL reads and writes two memory buffers; this module moves their bytes until the handshake is
done, then the connection's owner (the hot part) goes on with the same three objects. Only this way
can a session be resumed: the event loops' own TLS takes none.

`import ssl` costs nothing here, asyncio has done it already; reading the trust store does
(25 ms, 2 MB), so the context is built when the first handshake needs it.
"""

import asyncio
import functools
import socket
import ssl
from typing import Protocol

from msgspec import Struct

from ccrelay._fast.libssl import Native, capture

READ_BYTES = 16_640  # one TLS record at its largest: 16 KB, header, padding and tag

# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
_WRONG_NAME = frozenset({62, 64})


class TlsSession(Struct, eq=False):
    """A TLS connection after its handshake.

    The buffers may already hold bytes that came with the handshake's last flight.
    """

    obj: ssl.SSLObject
    incoming: ssl.MemoryBIO  # ciphertext from the socket, to be read by `obj`
    outgoing: ssl.MemoryBIO  # ciphertext from `obj`, to be sent
    native: Native | None = None  # libssl's own object behind `obj`, where it can be used directly


class Stream(Protocol):
    """Something that bytes are read from and written to while a connection is being made."""

    async def receive(self) -> bytes:
        """Return the next bytes, or nothing at the end."""

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""


class SocketStream:
    """A connected, non-blocking socket as a `Stream`. It does not own the socket."""

    __slots__ = ("_loop", "_sock")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock

    async def receive(self) -> bytes:
        """Return the next bytes, or nothing at the end."""
        return await self._loop.sock_recv(self._sock, READ_BYTES)

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        await self._loop.sock_sendall(self._sock, data)


class TlsStream:
    """A TLS connection as a `Stream`: what is inside it can be anything, TLS included."""

    __slots__ = ("_inner", "_sending", "session")

    def __init__(self, inner: Stream, session: TlsSession) -> None:
        self.session = session
        self._inner = inner
        # A loop takes one writer per socket, and both directions may have something to send.
        self._sending = asyncio.Lock()

    async def receive(self) -> bytes:
        """Return the next plain bytes, or nothing at the end, an untidy one included."""
        while True:
            try:
                return self.session.obj.read(READ_BYTES)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                return b""
            # What `read` left to send (an answer to a key update) goes out with the sender's own
            # bytes if one is at it: waiting for it here would deadlock with a peer that does not
            # read before it is read from.
            if not self._sending.locked():
                await self._flush()
            data = await self._inner.receive()
            if not data:
                return b""
            self.session.incoming.write(data)

    async def send(self, data: bytes) -> None:
        """Encrypt and send all of `data`."""
        # After the handshake a write never waits for a read: renegotiation is off.
        self.session.obj.write(data)
        await self._flush()

    async def _flush(self) -> None:
        async with self._sending:
            await _flush(self._inner, self.session.outgoing)


@functools.cache
def context() -> ssl.SSLContext:
    """The process's one client context: the system's trust, names checked, TLS 1.2 or newer.

    OpenSSL reads `SSL_CERT_FILE` and `SSL_CERT_DIR` here, once.
    """
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # Without it a TLS 1.2 server may ask for a handshake in the middle of an answer.
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols(["http/1.1"])
    return made


async def handshake(stream: Stream, host: str, resume: ssl.SSLSession | None) -> TlsSession:
    """Shake hands with `host`, a name or an IP literal, over a connected stream.

    Args:
        stream: where the ciphertext goes.
        host: the name that the certificate must be valid for; sent as SNI unless it is an address.
        resume: a session of an earlier connection to offer, or None.

    Raises:
        ssl.SSLError: refused by either side; our alert has been sent then.
        OSError: the connection broke or ended.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    # wrap_bio copies the session, so one may serve several connections at a time.
    obj, native = capture(
        lambda: context().wrap_bio(
            incoming, outgoing, server_hostname=host.rstrip("."), session=resume
        )
    )
    session = TlsSession(obj, incoming, outgoing, native)
    while True:
        try:
            obj.do_handshake()
        except ssl.SSLWantReadError:
            await _flush(stream, outgoing)
        except ssl.SSLError:
            await _send_alert(stream, outgoing)
            raise
        else:
            await _flush(stream, outgoing)
            return session
        data = await stream.receive()
        if not data:
            raise ConnectionAbortedError("the connection was closed during the handshake")
        incoming.write(data)


def resumable(session: TlsSession) -> ssl.SSLSession | None:
    """The session to offer next time, or None when the server has not given one yet.

    Under TLS 1.3 the server's tickets come after the handshake and count only once `obj` has read
    them (RFC 8446 section 4.6.1): ask after the first response at the earliest.
    """
    found = session.obj.session
    if found is None:
        return None
    if found.has_ticket or (session.obj.version() == "TLSv1.2" and found.id):
        return found
    return None


def explain(error: OSError) -> str:
    """Say why a handshake failed, and what to do where that is known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        if error.verify_code in _WRONG_NAME:
            return f"verification failed: {reason}; check the host in the URL"
        return (
            f"verification failed: {reason}; if a private CA is meant to be trusted, "
            "set SSL_CERT_FILE to a file that holds its certificate"
        )
    if isinstance(error, ssl.SSLError):
        return f"handshake failed: {(error.reason or 'protocol error').replace('_', ' ').lower()}"
    return f"handshake failed: {error.strerror or error}"


class Bridge:
    """Joins a local socket to a TLS stream: TLS inside TLS, an https origin behind an https proxy.

    The hot part knows one layer of TLS over one socket; behind such a proxy it gets the other end
    of the local pair. Two coroutines run it; both end quietly when either side is gone.
    """

    __slots__ = ("_near", "_outer", "_stream")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outer: socket.socket,
        far: TlsStream,
        near: socket.socket,
    ) -> None:
        self._outer = outer
        self._stream = far
        self._near = (near, SocketStream(loop, near))

    @property
    def session(self) -> TlsSession:
        """The outer TLS connection."""
        return self._stream.session

    async def carry_up(self) -> None:
        """Carry bytes from the local socket to the stream until the local side ends."""
        await _carry(self._near[1], self._stream)

    async def carry_down(self) -> None:
        """Carry bytes from the stream to the local socket; tell it when they end."""
        await _carry(self._stream, self._near[1])
        try:
            self._near[0].shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the local side left first

    def close(self) -> None:
        """Close both sockets. Neither coroutine may be running any more."""
        self._near[0].close()
        self._outer.close()


async def _carry(source: Stream, sink: Stream) -> None:
    try:
        while data := await source.receive():
            await sink.send(data)
    except OSError:
        pass  # ssl.SSLError too: either side is gone, and its end says so to the other


async def _flush(stream: Stream, outgoing: ssl.MemoryBIO) -> None:
    while outgoing.pending:
        await stream.send(outgoing.read())


async def _send_alert(stream: Stream, outgoing: ssl.MemoryBIO) -> None:
    # The alert tells the server's log why; the handshake's own error is the one to report.
    try:
        await _flush(stream, outgoing)
    except OSError:
        pass
