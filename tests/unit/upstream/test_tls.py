"""The handshake over memory BIOs, against a server on memory BIOs."""

import shutil
import ssl
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ccrelay.upstream import tls
from ccrelay.upstream.tls import TlsSession, TlsStream, explain, handshake, resumable

T = TypeVar("T")
HOST = "api.example.com"


def finish(coro: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never has to wait: no loop, no sockets."""
    try:
        coro.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coro.close()
    raise AssertionError("the coroutine waits")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for HOST and 192.0.2.1, with its key, in one PEM file."""
    path = tmp_path_factory.mktemp("tls")
    openssl = shutil.which("openssl")
    assert openssl is not None, "these tests need the openssl program"
    command = f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    extensions = [f"subjectAltName=DNS:{HOST},IP:192.0.2.1", "keyUsage=critical,digitalSignature"]
    subprocess.run(
        [*command.split(), "-subj", "/CN=test", "-keyout", path / "key", "-out", path / "crt"]
        + [word for extension in extensions for word in ("-addext", extension)],
        check=True,
        capture_output=True,
    )
    pem = path / "both.pem"
    pem.write_bytes((path / "key").read_bytes() + (path / "crt").read_bytes())
    return pem


@pytest.fixture(autouse=True)
def _fresh_context() -> Iterator[None]:
    tls.context.cache_clear()
    yield
    tls.context.cache_clear()


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


class Peer:
    """A stream whose other end is a TLS server; `read_bytes` at a time reach the client."""

    def __init__(self, context: ssl.SSLContext, read_bytes: int = 1 << 20) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.obj = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.error: ssl.SSLError | None = None
        self.received = b""
        self.ready = False
        self._read_bytes = read_bytes

    async def send(self, data: bytes) -> None:
        self.incoming.write(data)
        try:
            if not self.ready:
                self.obj.do_handshake()
                self.ready = True
            self.received += self.obj.read(65_536)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.error = error

    async def receive(self) -> bytes:
        return self.outgoing.read(self._read_bytes)


@pytest.fixture
def peer(certificate: Path) -> Callable[..., Peer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])

    def make(
        highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        read_bytes: int = 1 << 20,
        kind: type[Peer] = Peer,
    ) -> Peer:
        context.maximum_version = highest
        return kind(context, read_bytes)

    return make


def test_the_context_verifies_and_requires_tls_1_2() -> None:
    context = tls.context()

    assert context is tls.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("read_bytes", [1, 100, 1 << 20])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_handshake_completes_at_any_split(
    peer: Callable[..., Peer], version: ssl.TLSVersion, read_bytes: int
) -> None:
    server = peer(version, read_bytes)

    session = finish(handshake(server, HOST, None))

    assert server.ready
    assert session.obj.version() == version.name.replace("v1_", "v1.")
    assert session.obj.selected_alpn_protocol() == "http/1.1"
    assert session.outgoing.pending == 0


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("host", [HOST, f"{HOST}.", "192.0.2.1"])
def test_names_with_and_without_dot_and_addresses_are_verified(
    peer: Callable[..., Peer], host: str
) -> None:
    assert finish(handshake(peer(), host, None)).obj.getpeercert()


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("host", ["other.example.com", "192.0.2.2"])
def test_a_certificate_for_another_name_is_rejected_with_an_alert(
    peer: Callable[..., Peer], host: str
) -> None:
    server = peer()

    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        finish(handshake(server, host, None))

    said = explain(caught.value)
    assert host in said
    assert "mismatch" in said
    assert "check the host" in said
    assert server.error is not None
    assert "alert" in str(server.error).lower()


def test_an_untrusted_certificate_is_rejected_with_a_hint(
    peer: Callable[..., Peer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))

    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        finish(handshake(peer(), HOST, None))

    said = explain(caught.value)
    assert said.startswith("verification failed: self")
    assert f'SSL_CERT_FILE cannot be read: "{tmp_path / "none"}" (No such file' in said
    assert (
        f'SSL_CERT_DIR names a directory without a certificate under its hash: "{tmp_path}"' in said
    )


class Bytes:
    """A stream that gives these bytes, then ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def send(self, data: bytes) -> None:
        assert data

    async def receive(self) -> bytes:
        data, self._data = self._data, b""
        return data


def test_a_non_tls_server_gives_a_clear_error() -> None:
    with pytest.raises(ssl.SSLError) as caught:
        finish(handshake(Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"), HOST, None))

    assert explain(caught.value) == "handshake failed: wrong version number"


def test_a_connection_closed_during_the_handshake_is_an_error() -> None:
    with pytest.raises(ConnectionAbortedError) as caught:
        finish(handshake(Bytes(b""), HOST, None))

    assert explain(caught.value) == (
        "handshake failed: the connection was closed during the handshake"
    )


class Deaf(Peer):
    """Takes the client's hello and breaks when anything else is sent."""

    sent = 0

    async def send(self, data: bytes) -> None:
        self.sent += 1
        if self.sent > 1:
            raise ConnectionResetError(104, "Connection reset by peer")
        await super().send(data)


@pytest.mark.usefixtures("trusted")
def test_the_handshake_error_outlasts_a_failed_alert(peer: Callable[..., Peer]) -> None:
    server = peer(kind=Deaf)

    with pytest.raises(ssl.SSLCertVerificationError):
        finish(handshake(server, "other.example.com", None))

    assert server.sent == 2


def talk(server: Peer, session: TlsSession) -> None:
    """Let the client read what the server says, tickets included."""
    stream = TlsStream(server, session)
    finish(stream.send(b"hello"))
    assert server.received == b"hello"
    server.obj.write(b"world")
    assert finish(stream.receive()) == b"world"


@pytest.mark.usefixtures("trusted")
def test_a_tls_1_3_session_is_available_after_the_first_read(
    peer: Callable[..., Peer],
) -> None:
    server = peer()
    session = finish(handshake(server, HOST, None))
    assert resumable(session) is None

    talk(server, session)
    assert resumable(session) is not None


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_one_session_resumes_several_connections(
    peer: Callable[..., Peer], version: ssl.TLSVersion
) -> None:
    first = peer(version)
    session = finish(handshake(first, HOST, None))
    assert not session.obj.session_reused
    talk(first, session)
    kept = resumable(session)

    resumed = []
    for _ in range(3):
        server = peer(version)
        again = finish(handshake(server, HOST, kept))
        talk(server, again)
        resumed.append(again.obj.session_reused)
    assert resumed == [True, True, True]


@pytest.mark.usefixtures("trusted")
def test_a_tls_stream_ends_with_and_without_close_notify(
    peer: Callable[..., Peer],
) -> None:
    tidy, cut = peer(), peer()
    tidy_stream = TlsStream(tidy, finish(handshake(tidy, HOST, None)))
    cut_stream = TlsStream(cut, finish(handshake(cut, HOST, None)))

    with pytest.raises(ssl.SSLWantReadError):
        tidy.obj.unwrap()

    assert finish(tidy_stream.receive()) == b""
    assert finish(cut_stream.receive()) == b""


class Full(Peer):
    """Takes the handshake; after it, what is sent finds a full buffer and waits."""

    async def send(self, data: bytes) -> None:
        if self.ready:
            await Forever()
        await super().send(data)


class Forever:
    def __await__(self) -> Iterator[None]:
        yield


@pytest.mark.usefixtures("trusted")
def test_reading_a_tls_stream_does_not_wait_for_a_blocked_sender(
    peer: Callable[..., Peer],
) -> None:
    server = peer(kind=Full)
    stream = TlsStream(server, finish(handshake(server, HOST, None)))
    sender = stream.send(b"hello")
    sender.send(None)

    server.obj.write(b"world")
    assert finish(stream.receive()) == b"world"
    sender.close()


def test_trusted_certificates_that_are_missing_are_named_in_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = 20, "unable to get local issuer certificate"

    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere/certs")

    assert explain(error) == (
        "verification failed: unable to get local issuer certificate; "
        'SSL_CERT_FILE cannot be read: "/nowhere/ca.pem" (No such file or directory); '
        'SSL_CERT_DIR cannot be read: "/nowhere/certs" (No such file or directory); '
        "correct it and restart ccrelay"
    )

    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR")
    assert explain(error).endswith("set SSL_CERT_FILE to a file with its certificate")


def test_socket_errors_use_the_systems_message() -> None:
    assert explain(ConnectionResetError(104, "Connection reset by peer")) == (
        "handshake failed: Connection reset by peer"
    )
