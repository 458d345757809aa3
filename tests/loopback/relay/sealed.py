"""The provider's end of a TLS connection whose every byte on the wire is the test's."""

import ctypes
import functools
import os
import shutil
import ssl
import subprocess
from pathlib import Path

from ccrelay._fast import libssl
from tests.loopback.relay.harness import Peer, Upstream
from tests.loopback.relay.wires import Request, parse_request

# Both ways to run a session, where both can be had.
WAYS = ["libssl", "python"] if libssl.available() else ["python"]

KEY_UPDATE_REQUESTED = 1  # SSL_KEY_UPDATE_REQUESTED of openssl/ssl.h


def make_certificate(folder: Path) -> Path:
    """Key and certificate of localhost in one file, the certificate alone in cert.pem beside it."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "these tests need the openssl program"
    command = (
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -keyout key.pem -out cert.pem -subj /CN=localhost"
        " -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
        " -addext basicConstraints=critical,CA:TRUE"
    )
    subprocess.run(command.split(), check=True, capture_output=True, cwd=folder)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


def server_context(pem: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """A provider's context that speaks this version only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.minimum_version = context.maximum_version = version
    return context


def https(upstream: Upstream) -> str:
    """The URL of a scripted provider that speaks TLS."""
    return upstream.url.replace("http:", "https:")


class SealedPeer:
    """TLS over one end of a connection; what it wants sent is sent by the test."""

    def __init__(self, peer: Peer, context: ssl.SSLContext) -> None:
        self.peer = peer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.obj = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._plain = b""

    async def shake_hands(self, and_then: bytes = b"", cut: int | None = None) -> None:
        """Take the handshake. `and_then` goes out with its last flight, up to the cut's byte."""
        while True:
            try:
                self.obj.do_handshake()
            except ssl.SSLWantReadError:
                await self.peer.send(self._outgoing.read())
                assert await self.peer.more(), "no handshake"
                self._take()
            else:
                break
        last = self._outgoing.read()
        sealed = self.seal(and_then) if and_then else b""
        await self.peer.send(last + sealed[:cut])
        self.kept = sealed[cut:] if cut is not None else b""

    def _take(self) -> None:
        data, self.peer.pending = self.peer.pending, b""
        self._incoming.write(data)

    def seal(self, data: bytes) -> bytes:
        """The records of these bytes, together with what else there is to send."""
        self.obj.write(data)
        return self._outgoing.read()

    def goodbye(self) -> bytes:
        """The record of a close_notify."""
        try:
            self.obj.unwrap()
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    async def send(self, *pieces: bytes) -> None:
        """Seal each piece and send it in a write of its own."""
        for piece in pieces:
            await self.peer.send(self.seal(piece))

    async def more(self) -> bool:
        """Read until there are more plain bytes. False at a close_notify and at the end."""
        while True:
            try:
                got = self.obj.read(1 << 20)
            except ssl.SSLWantReadError:
                if not await self.peer.more():
                    return False
                self._take()
            except ssl.SSLZeroReturnError:
                return False
            else:
                self._plain += got
                return bool(got)

    async def body(self) -> bytes:
        """The body of the next request; for long ones."""
        while b"\r\n\r\n" not in self._plain:
            assert await self.more(), "no head"
        head, _, rest = self._plain.partition(b"\r\n\r\n")
        sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        left = int(sizes[0].partition(b":")[2])
        pieces = []
        while True:
            pieces.append(rest[:left])
            left -= len(pieces[-1])
            self._plain = b""
            if left == 0:
                return b"".join(pieces)
            assert await self.more(), "no whole body"
            rest = self._plain

    async def request(self) -> Request:
        """The next whole request."""
        while (parsed := parse_request(self._plain)) is None:
            if not await self.more():
                raise ConnectionError("no whole request")
        request, size = parsed
        self._plain = self._plain[size:]
        return request


# ---- what Python's `ssl` cannot ask of the library


@functools.cache
def _library() -> ctypes.CDLL:
    import _ssl

    assert _ssl.__file__ is not None
    library = ctypes.CDLL(_ssl.__file__, mode=os.RTLD_LAZY | os.RTLD_NOLOAD)
    library.CRYPTO_get_ex_new_index(0, ctypes.c_long(0), None, _on_birth, None, None)
    return library


_born: list[int] = []
_BIRTH = ctypes.CFUNCTYPE(
    None,
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    *(ctypes.c_int, ctypes.c_long, ctypes.c_void_p),
)


@_BIRTH
def _on_birth(parent: int, *_: object) -> None:
    _born.append(parent)


class CommandingPeer(SealedPeer):
    """A peer that can also begin a key update or ask for a renegotiation."""

    def __init__(self, peer: Peer, context: ssl.SSLContext) -> None:
        self._lib = _library()
        super().__init__(peer, context)
        self._ssl = ctypes.c_void_p(_born[-1])

    def update_keys(self) -> None:
        """Have the next record follow a KeyUpdate that asks for the other side's."""
        assert self._lib.SSL_key_update(self._ssl, KEY_UPDATE_REQUESTED) == 1

    def renegotiate(self) -> bytes:
        """The record that asks for a handshake in the middle of the connection (TLS 1.2)."""
        assert self._lib.SSL_renegotiate(self._ssl) == 1
        assert self._lib.SSL_do_handshake(self._ssl) == 1
        return self._outgoing.read()
