"""TLS handshakes with upstreams over memory BIOs, without transports.

OpenSSL reads and writes two memory buffers; this module moves their bytes until the handshake is
complete, then the compiled connection takes over the same three objects. The event loops' own TLS
would not do: it cannot resume sessions.

asyncio imports `ssl` anyway, but loading the trust store takes 25 ms and 2 MB, so the context is
created by the first handshake.
"""

import asyncio
import functools
import os
import socket
import ssl
from typing import Protocol

from msgspec import Struct

from ccrelay._fast.libssl import Native, capture
from ccrelay.upstream.trust import trust_problems

READ_BYTES = 16_640  # one TLS record at its largest: 16 KB, header, padding and tag

# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
_WRONG_NAME = frozenset({62, 64})


class TlsSession(Struct, eq=False):
    """A TLS connection after its handshake.

    The buffers may already hold data that arrived with the last handshake message.
    """

    obj: ssl.SSLObject
    incoming: ssl.MemoryBIO  # ciphertext from the socket, to be read by `obj`
    outgoing: ssl.MemoryBIO  # ciphertext from `obj`, to be sent
    native: Native | None = None  # libssl's own object behind `obj`, where it can be used directly


class Stream(Protocol):
    """A byte stream, used while a connection is being established."""

    async def receive(self) -> bytes:
        """Return the next bytes; empty at the end."""

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""


class SocketStream:
    """A connected, non-blocking socket as a `Stream`. Does not own the socket."""

    __slots__ = ("_loop", "_sock")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._loop = loop
        self._sock = sock

    async def receive(self) -> bytes:
        """Return the next bytes; empty at the end."""
        return await self._loop.sock_recv(self._sock, READ_BYTES)

    async def send(self, data: bytes) -> None:
        """Send all of `data`."""
        await self._loop.sock_sendall(self._sock, data)


class TlsStream:
    """A TLS connection as a `Stream`, which can carry another TLS connection."""

    __slots__ = ("_inner", "_sending", "session")

    def __init__(self, inner: Stream, session: TlsSession) -> None:
        self.session = session
        self._inner = inner
        # A loop allows one writer per socket, and both directions may have data to send.
        self._sending = asyncio.Lock()

    async def receive(self) -> bytes:
        """Return the next plaintext bytes; empty at the end, with or without close_notify."""
        while True:
            try:
                return self.session.obj.read(READ_BYTES)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                return b""
            # `read` may leave data to send (a key update response). If a send is in progress, the
            # data goes out with it: waiting here would deadlock with a peer that reads only after
            # its own data was read.
            if not self._sending.locked():
                await self._flush()
            data = await self._inner.receive()
            if not data:
                return b""
            self.session.incoming.write(data)

    async def send(self, data: bytes) -> None:
        """Encrypt and send all of `data`."""
        # With renegotiation off, a write after the handshake never waits for a read.
        self.session.obj.write(data)
        await self._flush()

    async def _flush(self) -> None:
        async with self._sending:
            await _flush(self._inner, self.session.outgoing)


@functools.cache
def context() -> ssl.SSLContext:
    """The client context of the process: system trust store, host names checked, TLS 1.2 or newer.

    OpenSSL reads `SSL_CERT_FILE` and `SSL_CERT_DIR` here, once.
    """
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    # Otherwise a TLS 1.2 server may request a handshake in the middle of a response.
    made.options |= ssl.OP_NO_RENEGOTIATION
    made.set_alpn_protocols(["http/1.1"])
    return made


async def handshake(stream: Stream, host: str, resume: ssl.SSLSession | None) -> TlsSession:
    """Perform the TLS handshake with `host`, a name or IP literal, over a connected stream.

    Args:
        stream: carries the ciphertext.
        host: the name the certificate must be valid for; sent as SNI unless it is an address.
        resume: a session of an earlier connection to resume, or None.

    Raises:
        ssl.SSLError: rejected by either side; our alert has been sent.
        OSError: the connection failed or was closed.
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
    """The session to resume later, or None when the server has not sent one yet.

    TLS 1.3 servers send tickets after the handshake, available once `obj` has read them (RFC 8446
    section 4.6.1): call this after the first response at the earliest.
    """
    found = session.obj.session
    if found is None:
        return None
    if found.has_ticket or (session.obj.version() == "TLSv1.2" and found.id):
        return found
    return None


def explain(error: OSError) -> str:
    """Describe why a handshake failed, with a remedy if one is known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        if error.verify_code in _WRONG_NAME:
            return f"verification failed: {reason}; check the host in the URL"
        if found := trust_problems(os.environ):  # the likely cause; read once, at the start
            named = "; ".join(f"{variable} {problem}" for variable, problem in found)
            return f"verification failed: {reason}; {named}; correct it and restart ccrelay"
        return (
            f"verification failed: {reason}; to trust a private CA, "
            "set SSL_CERT_FILE to a file with its certificate"
        )
    if isinstance(error, ssl.SSLError):
        return f"handshake failed: {(error.reason or 'protocol error').replace('_', ' ').lower()}"
    return f"handshake failed: {error.strerror or error}"


class Bridge:
    """Joins a local socket to a TLS stream, for TLS in TLS: an https origin behind an https proxy.

    The compiled connection handles one TLS layer over one socket; behind such a proxy it gets the
    other end of the local pair. Two coroutines copy; both end quietly when either side is gone.
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
        """Copy from the local socket to the stream until the local side ends."""
        await _carry(self._near[1], self._stream)

    async def carry_down(self) -> None:
        """Copy from the stream to the local socket, and shut it down at the end."""
        await _carry(self._stream, self._near[1])
        try:
            self._near[0].shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the local side left first

    def close(self) -> None:
        """Close both sockets, after both coroutines have ended."""
        self._near[0].close()
        self._outer.close()


async def _carry(source: Stream, sink: Stream) -> None:
    try:
        while data := await source.receive():
            await sink.send(data)
    except OSError:
        pass  # also ssl.SSLError: one side is gone; closing tells the other


async def _flush(stream: Stream, outgoing: ssl.MemoryBIO) -> None:
    while outgoing.pending:
        await stream.send(outgoing.read())


async def _send_alert(stream: Stream, outgoing: ssl.MemoryBIO) -> None:
    # The alert is for the server's log; the handshake's own error is reported here.
    try:
        await _flush(stream, outgoing)
    except OSError:
        pass
