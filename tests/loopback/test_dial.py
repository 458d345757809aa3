"""Dialling over loopback sockets, on uvloop and on asyncio's loop."""

import asyncio
import base64
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop

from ccrelay.errors import UpstreamFailed
from ccrelay.upstream import race, tls
from ccrelay.upstream.dial import Dialed, Dialer
from ccrelay.upstream.origin import Origin
from ccrelay.upstream.proxy import Proxy
from ccrelay.upstream.race import ATTEMPT_DELAY_S, Address

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]
Handler = Callable[[socket.socket], None]
NAME = "provider.test"
SECRET = "test-key-1"

needs_ipv6 = pytest.mark.usefixtures("_ipv6")


# --- surroundings ---------------------------------------------------------------------------


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run[Any]]:
    """Run a coroutine on that kind of loop; no error may reach its exception handler."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        complaints: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))

        def finish(coro: Coroutine[Any, Any, T]) -> T:
            return runner.run(asyncio.wait_for(coro, 20))

        yield finish
        assert complaints == []


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA (ca.crt) and a certificate for NAME and loopback (server.pem)."""
    path = tmp_path_factory.mktemp("certificates")
    openssl = shutil.which("openssl")
    assert openssl is not None, "these tests need the openssl program"
    names = f"DNS:{NAME},DNS:proxy.test,DNS:localhost,IP:127.0.0.1,IP:::1"

    def make(name: str, *options: str, ca: bool) -> None:
        usage = "keyCertSign" if ca else "digitalSignature"
        command = (
            f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
            f" -keyout {name}.key -out {name}.crt -addext keyUsage=critical,{usage}"
            f" -addext basicConstraints=critical,CA:{str(ca).upper()}"
        )
        subprocess.run(
            [*command.split(), "-subj", f"/CN=ccrelay test {name}", *options],
            check=True,
            capture_output=True,
            cwd=path,
        )

    make("ca", ca=True)
    signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", f"subjectAltName={names}"]
    make("server", *signed, ca=False)
    pem = (path / "server.key").read_bytes() + (path / "server.crt").read_bytes()
    (path / "server.pem").write_bytes(pem)
    return path


@pytest.fixture(autouse=True)
def _fresh_context() -> Iterator[None]:
    tls.context.cache_clear()
    yield
    tls.context.cache_clear()


@pytest.fixture
def trusted(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.crt"))


@pytest.fixture
def server_context(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    context.set_alpn_protocols(["http/1.1"])
    return context


@pytest.fixture
def _ipv6() -> None:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))


class Server:
    """Accepts in a thread and serves each connection in its own thread."""

    def __init__(self, handler: Handler, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._handler = handler
        self._closing = False
        self._listener = socket.create_server((host, 0), family=family)
        self.host, self.port = self._listener.getsockname()[:2]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closing:
                sock.close()
                return
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):  # the client may close at any time
            sock.settimeout(20)
            self._handler(sock)

    def close(self) -> None:
        self._closing = True
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        socket.create_connection((self.host, self.port)).close()  # wakes accept()
        for thread in self._threads:
            thread.join(20)
        self._listener.close()


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[Server] = []

    def start(handler: Handler, host: str = "127.0.0.1") -> Server:
        servers.append(Server(handler, host))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def echo(sock: socket.socket) -> None:
    while data := sock.recv(65_536):
        sock.sendall(data)


def silent(sock: socket.socket) -> None:
    while sock.recv(65_536):
        pass


def tls_echo(context: ssl.SSLContext) -> Handler:
    def handle(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as inside:
            echo(inside)

    return handle


class TlsEnd:
    """The server's end of a TLS connection, for two threads; ssl.SSLSocket supports only one."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._obj = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while not self._shakes_hands():
            self._incoming.write(self._sock.recv(65_536) or self._gone())

    def _shakes_hands(self) -> bool:
        try:
            self._obj.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            self._sock.sendall(self._outgoing.read())
        return True

    def _gone(self) -> bytes:
        raise ConnectionAbortedError

    def recv(self, size: int) -> bytes:
        while True:
            try:
                with self._lock:
                    return self._obj.read(size)
            except ssl.SSLWantReadError:
                data = self._sock.recv(65_536)
            if not data:
                return b""
            with self._lock:
                self._incoming.write(data)

    def sendall(self, data: bytes) -> None:
        with self._lock:
            self._obj.write(data)
            sealed = self._outgoing.read()
        self._sock.sendall(sealed)

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)


def read_head(sock: socket.socket | TlsEnd) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)
        if not data:
            break
        head += data
    return head


def splice(one: socket.socket | TlsEnd, other: socket.socket) -> None:
    """Copy both ways until either side ends."""

    def copy(source: socket.socket | TlsEnd, sink: socket.socket | TlsEnd) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=copy, args=(other, one))
    back.start()
    copy(one, other)
    back.join(20)


def connect_proxy(
    heads: list[bytes], target: Server, context: ssl.SSLContext | None = None
) -> Handler:
    """A proxy that records the CONNECT head and always connects to `target`."""

    def handle(sock: socket.socket) -> None:
        inside = TlsEnd(sock, context) if context else sock
        with socket.create_connection((target.host, target.port)) as onward:
            heads.append(read_head(inside))
            inside.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
            splice(inside, onward)

    return handle


def scripted_proxy(answer: bytes) -> Handler:
    def handle(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        silent(sock)

    return handle


def knows(*addresses: tuple[str, int]) -> Callable[[str, int], Awaitable[Sequence[Address]]]:
    """A resolver that returns these addresses for every name."""

    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, (address, number))
            for address, number in addresses
        ]

    return resolve


def refusing_port(host: str = "127.0.0.1") -> int:
    """A port without a listener."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port whose backlog is full: further connection attempts hang."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def dialer(url: str, **options: Any) -> Dialer:
    loop = asyncio.get_running_loop()
    return Dialer(Origin.parse(url), loop, **{"connect_s": 10.0, **options})


def open_files() -> set[str]:
    """Open descriptors of this process, with their targets."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    return found


async def settled(before: set[str]) -> set[str]:
    """Descriptors open beyond `before`, after giving the loop and the servers time to close."""
    for _ in range(100):
        left = open_files() - before
        if not left:
            break
        await asyncio.sleep(0.01)
    return left


async def say(dialed: Dialed, data: bytes) -> bytes:
    """Send, and return as many bytes of the echo."""
    loop = asyncio.get_running_loop()
    stream: tls.Stream = tls.SocketStream(loop, dialed.sock)
    if dialed.tls is not None:
        stream = tls.TlsStream(stream, dialed.tls)
    await stream.send(data)
    back = b""
    while len(back) < len(data):
        more = await stream.receive()
        assert more, "the connection ended early"
        back += more
    return back


async def failure(made: Dialer) -> UpstreamFailed:
    with pytest.raises(UpstreamFailed) as caught:
        await made.dial()
    assert SECRET not in caught.value.message
    assert base64.b64encode(f"user:{SECRET}".encode()).decode() not in caught.value.message
    assert caught.value.message.endswith(".")
    return caught.value


# --- TCP ------------------------------------------------------------------------------------


def test_a_plain_connection_is_ready_for_use(run: Run[None], serve: Serve) -> None:
    server = serve(echo)

    async def main() -> None:
        dialed = await dialer(f"http://127.0.0.1:{server.port}").dial()
        with dialed.sock as sock:
            assert not sock.getblocking()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert not sock.get_inheritable()
            assert dialed.tls is None
            assert dialed.peer == f"127.0.0.1:{server.port}"
            assert await say(dialed, b"hello") == b"hello"

    run(main())


@needs_ipv6
def test_ipv6_literals_need_no_lookup(run: Run[None], serve: Serve) -> None:
    server = serve(echo, "::1")

    async def never(host: str, port: int) -> Sequence[Address]:
        raise AssertionError("a literal address needs no resolver")

    async def main() -> None:
        dialed = await dialer(f"http://[::1]:{server.port}", resolver=never).dial()
        with dialed.sock:
            assert dialed.peer == f"[::1]:{server.port}"

    run(main())


def test_the_systems_resolver_finds_localhost(run: Run[None], serve: Serve) -> None:
    server = serve(echo)

    async def main() -> None:
        dialed = await dialer(f"http://localhost:{server.port}").dial()
        with dialed.sock:
            assert await say(dialed, b"x") == b"x"

    run(main())


def test_a_refused_connection_lists_every_address_with_its_reason(run: Run[None]) -> None:
    one, two = refusing_port("127.0.0.1"), refusing_port("127.0.0.2")

    async def main() -> None:
        before = open_files()
        made = dialer(
            "http://provider.test:81", resolver=knows(("127.0.0.1", one), ("127.0.0.2", two))
        )
        failed = await failure(made)
        assert failed.status == 502
        assert failed.message == (
            "Cannot reach provider.test:81: cannot connect to provider.test:81 "
            f"(127.0.0.1:{one}: Connection refused, 127.0.0.2:{two}: Connection refused)."
        )
        assert await settled(before) == set()

    run(main())


def test_a_provider_that_is_not_running_is_named_and_its_start_is_told_once(
    run: Run[None], serve: Serve
) -> None:
    server, closed = serve(echo), refusing_port("127.0.0.1")
    ports = [closed, closed, server.port, closed]

    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [(socket.AF_INET, ("127.0.0.1", ports.pop(0)))]

    async def main() -> None:
        made = Dialer(
            Origin.parse("http://provider.test:81"),
            asyncio.get_running_loop(),
            connect_s=5.0,
            resolver=resolve,
            provider="local",
            start_hint="Start it with `start-it`.",
        )
        said = (
            "Cannot reach provider.test:81 (provider local): cannot connect to provider.test:81 "
            f"(127.0.0.1:{closed}: Connection refused)."
        )
        assert (await failure(made)).message == f"{said} Start it with `start-it`."
        assert (await failure(made)).message == said
        (await made.dial()).sock.close()
        made._addresses._expires_at = 0.0  # as after half a minute
        assert (await failure(made)).message == f"{said} Start it with `start-it`."

    run(main())


# --- names ----------------------------------------------------------------------------------


def test_a_failed_lookup_is_not_cached(run: Run[None]) -> None:
    asked: list[tuple[str, int]] = []

    async def resolve(host: str, port: int) -> Sequence[Address]:
        asked.append((host, port))
        if len(asked) == 3:
            return []
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def main() -> None:
        made = dialer("https://provider.test", resolver=resolve)
        for reason in ["Name or service not known"] * 2 + ["no address"]:
            failed = await failure(made)
            assert failed.status == 502
            assert failed.message == (
                f"Cannot reach provider.test:443: cannot resolve provider.test ({reason})."
            )
        assert asked == [("provider.test", 443)] * 3

    run(main())


def test_concurrent_dials_share_one_lookup_and_its_answer_is_cached(
    run: Run[None], serve: Serve
) -> None:
    server = serve(echo)
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[Address]:
        asked.append(host)
        await asyncio.sleep(0.01)
        return [(socket.AF_INET, ("127.0.0.1", server.port))]

    async def main() -> None:
        made = dialer("http://provider.test", resolver=resolve)
        quitter = asyncio.ensure_future(made.dial())
        others = asyncio.gather(*(made.dial() for _ in range(3)))
        await asyncio.sleep(0)
        quitter.cancel()
        for dialed in [*await others, await made.dial()]:
            dialed.sock.close()
        assert quitter.cancelled()
        assert asked == ["provider.test"]

    run(main())


def test_addresses_are_resolved_again_after_all_failed(run: Run[None], serve: Serve) -> None:
    server = serve(echo)
    answers = [("127.0.0.1", refusing_port()), ("127.0.0.1", server.port)]

    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [(socket.AF_INET, answers.pop(0))]

    async def main() -> None:
        made = dialer("http://provider.test", resolver=resolve)
        await failure(made)
        (await made.dial()).sock.close()
        assert answers == []

    run(main())


# --- happy eyeballs -------------------------------------------------------------------------


@needs_ipv6
def test_after_a_refusal_the_next_address_is_tried_immediately(
    run: Run[None], serve: Serve
) -> None:
    server = serve(echo)
    addresses = [("::1", refusing_port("::1")), ("127.0.0.1", server.port)]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        dialed = await dialer("http://provider.test", resolver=knows(*addresses)).dial()
        took = loop.time() - started
        dialed.sock.close()
        assert dialed.peer == f"127.0.0.1:{server.port}"
        assert took < ATTEMPT_DELAY_S

    run(main())


def test_an_unresponsive_address_costs_one_delay_once(run: Run[None], serve: Serve) -> None:
    server = serve(echo)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = open_files()
        made = dialer(
            "http://provider.test", resolver=knows(("127.0.0.1", hole), ("127.0.0.1", server.port))
        )
        took = []
        for _ in range(2):
            started = loop.time()
            dialed = await made.dial()
            took.append(loop.time() - started)
            assert dialed.peer == f"127.0.0.1:{server.port}"
            dialed.sock.close()
        assert took[0] >= ATTEMPT_DELAY_S * 0.9
        assert took[1] < ATTEMPT_DELAY_S
        assert await settled(before) == set()

    with black_hole() as hole:
        run(main())


def test_the_first_attempt_continues_after_the_second_is_refused(run: Run[None]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        made = dialer(
            "http://provider.test",
            resolver=knows(("127.0.0.1", hole), ("127.0.0.1", closed)),
            connect_s=ATTEMPT_DELAY_S * 2,
        )
        failed = await failure(made)
        assert failed.status == 504
        assert loop.time() - started >= ATTEMPT_DELAY_S * 2 * 0.9

    closed = refusing_port()
    with black_hole() as hole:
        run(main())


# --- TLS ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("host", [NAME, "127.0.0.1", "localhost"])
def test_a_tls_connection_is_verified_and_carries_data(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext, host: str
) -> None:
    names: list[str] = []
    server_context.sni_callback = lambda _, name, __: names.append(name)
    server = serve(tls_echo(server_context))

    async def main() -> None:
        made = dialer(f"https://{host}:{server.port}", resolver=knows(("127.0.0.1", server.port)))
        dialed = await made.dial()
        with dialed.sock:
            assert dialed.tls is not None
            assert dialed.tls.obj.version() == "TLSv1.3"
            assert dialed.tls.obj.selected_alpn_protocol() == "http/1.1"
            assert dialed.tls.outgoing.pending == 0
            assert await say(dialed, b"x" * 100_000) == b"x" * 100_000

    run(main())
    assert names == [None if host == "127.0.0.1" else host]


@needs_ipv6
@pytest.mark.usefixtures("trusted")
def test_an_ipv6_literal_is_verified_too(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext
) -> None:
    server = serve(tls_echo(server_context), "::1")

    async def main() -> None:
        dialed = await dialer(f"https://[::1]:{server.port}").dial()
        with dialed.sock:
            assert await say(dialed, b"x") == b"x"

    run(main())


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_remembered_sessions_are_resumed(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    server_context.maximum_version = version
    server = serve(tls_echo(server_context))

    async def main() -> None:
        made = dialer(f"https://127.0.0.1:{server.port}")
        reused = []
        for _ in range(4):
            dialed = await made.dial()
            with dialed.sock:
                assert dialed.tls is not None
                assert await say(dialed, b"hello") == b"hello"
                reused.append(dialed.tls.obj.session_reused)
                made.remember(dialed.tls)
        assert reused == [False, True, True, True]

        # One session, many connections at a time.
        burst = await asyncio.gather(*(made.dial() for _ in range(4)))
        for dialed in burst:
            assert dialed.tls is not None
            assert dialed.tls.obj.session_reused
            dialed.sock.close()

    run(main())


@pytest.mark.usefixtures("trusted")
def test_a_connection_without_ticket_keeps_the_stored_session(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext
) -> None:
    server = serve(tls_echo(server_context))

    async def main() -> None:
        made = dialer(f"https://127.0.0.1:{server.port}")
        early = await made.dial()
        assert early.tls is not None
        made.remember(early.tls)  # nothing was read: no ticket yet
        early.sock.close()

        talked = await made.dial()
        assert talked.tls is not None
        assert not talked.tls.obj.session_reused
        await say(talked, b"hello")
        made.remember(talked.tls)
        made.remember(early.tls)
        talked.sock.close()

        resumed = await made.dial()
        assert resumed.tls is not None
        assert resumed.tls.obj.session_reused
        resumed.sock.close()

    run(main())


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_host_is_rejected(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext
) -> None:
    server = serve(tls_echo(server_context))

    async def main() -> None:
        before = open_files()
        made = dialer("https://other.test", resolver=knows(("127.0.0.1", server.port)))
        failed = await failure(made)
        assert failed.status == 502
        assert failed.message.startswith(
            "Cannot reach other.test:443: TLS with other.test:443: verification failed: "
            "Hostname mismatch"
        )
        assert await settled(before) == set()

    run(main())


def test_an_untrusted_ca_is_rejected_with_a_hint(
    run: Run[None],
    serve: Serve,
    server_context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    server = serve(tls_echo(server_context))

    async def main() -> None:
        failed = await failure(dialer(f"https://127.0.0.1:{server.port}"))
        assert failed.status == 502
        assert "unable to get local issuer certificate" in failed.message
        assert "SSL_CERT_FILE" in failed.message

    run(main())


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "wrong version number"),
        (b"", "the connection was closed during the handshake"),
    ],
)
def test_a_server_without_tls_gives_a_clear_error(
    run: Run[None], serve: Serve, answer: bytes, said: str
) -> None:
    def handle(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(answer)

    server = serve(handle)

    async def main() -> None:
        failed = await failure(dialer(f"https://127.0.0.1:{server.port}"))
        assert failed.status == 502
        assert said in failed.message

    run(main())


# --- proxies --------------------------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("proxy_scheme", ["http", "https"])
@pytest.mark.parametrize("origin_scheme", ["http", "https"])
def test_a_proxy_carries_http_and_https_origins(
    run: Run[None],
    serve: Serve,
    server_context: ssl.SSLContext,
    proxy_scheme: str,
    origin_scheme: str,
) -> None:
    heads: list[bytes] = []
    server = serve(tls_echo(server_context) if origin_scheme == "https" else echo)
    outer = server_context if proxy_scheme == "https" else None
    hop = serve(connect_proxy(heads, server, outer))
    payload = bytes(range(256)) * 2000

    async def main() -> None:
        before = open_files()
        made = dialer(
            f"{origin_scheme}://{NAME}:8443",
            resolver=knows(("127.0.0.1", hop.port)),
            proxy=Proxy.parse(f"{proxy_scheme}://user:{SECRET}@proxy.test:3128"),
        )
        dialed = await made.dial()
        assert (dialed.tls is None) == (origin_scheme == proxy_scheme == "http")
        assert dialed.peer == f"127.0.0.1:{hop.port}"
        assert not dialed.sock.getblocking()
        # Several turns: more than the buffers on the way hold would need a reader meanwhile.
        for _ in range(3):
            assert await say(dialed, payload[:100_000]) == payload[:100_000]
        dialed.sock.close()
        assert await settled(before) == set()
        await made.close()

    run(main())
    basic = base64.b64encode(f"user:{SECRET}".encode())
    assert heads == [
        b"CONNECT provider.test:8443 HTTP/1.1\r\nHost: provider.test:8443\r\n"
        b"Proxy-Authorization: Basic " + basic + b"\r\n\r\n"
    ]


@pytest.mark.usefixtures("trusted")
def test_tls_in_tls_does_not_deadlock_on_full_buffers(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext
) -> None:
    server = serve(tls_echo(server_context))
    hop = serve(connect_proxy([], server, server_context))
    payload = os.urandom(1 << 16) * 48  # 3 MB, beyond every buffer on the way

    async def main() -> None:
        made = dialer(
            f"https://{NAME}",
            resolver=knows(("127.0.0.1", hop.port)),
            proxy=Proxy.parse("https://proxy.test"),
        )
        dialed = await made.dial()
        assert dialed.tls is not None
        stream = tls.TlsStream(
            tls.SocketStream(asyncio.get_running_loop(), dialed.sock), dialed.tls
        )

        async def send() -> None:
            for at in range(0, len(payload), 65_536):
                await stream.send(payload[at : at + 65_536])

        sender = asyncio.ensure_future(send())
        back = bytearray()
        while len(back) < len(payload):
            data = await stream.receive()
            assert data
            back += data
        await sender
        assert back == payload
        dialed.sock.close()
        await made.close()

    run(main())


@pytest.mark.usefixtures("trusted")
def test_the_end_of_a_tls_in_tls_tunnel_reaches_the_socket(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext
) -> None:
    def one_turn(sock: socket.socket) -> None:
        with server_context.wrap_socket(sock, server_side=True) as inside:
            inside.sendall(inside.recv(65_536))

    server = serve(one_turn)
    hop = serve(connect_proxy([], server, server_context))

    async def main() -> None:
        made = dialer(
            f"https://{NAME}",
            resolver=knows(("127.0.0.1", hop.port)),
            proxy=Proxy.parse("https://proxy.test"),
        )
        dialed = await made.dial()
        assert dialed.tls is not None
        assert await say(dialed, b"x") == b"x"
        loop = asyncio.get_running_loop()
        assert await tls.TlsStream(tls.SocketStream(loop, dialed.sock), dialed.tls).receive() == b""
        dialed.sock.close()
        await made.close()

    run(main())


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "status 407: check the user and password",
        ),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "status 403"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "over 16384 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", "sent data after its CONNECT response"),
        (b"nonsense\r\n\r\n", "invalid HTTP/1 response"),
        (b"", "without a response"),
    ],
)
def test_a_refused_connect_fails_the_dial(
    run: Run[None], serve: Serve, scheme: str, answer: bytes, said: str
) -> None:
    hop = serve(scripted_proxy(answer))

    async def main() -> None:
        proxy = Proxy.parse(f"http://user:{SECRET}@127.0.0.1:{hop.port}")
        failed = await failure(dialer(f"{scheme}://{NAME}:8443", proxy=proxy))
        assert failed.status == 502
        assert failed.message.startswith(
            f"Cannot reach provider.test:8443: proxy 127.0.0.1:{hop.port} "
        )
        assert said in failed.message

    run(main())


@pytest.mark.usefixtures("trusted")
def test_a_socks_proxy_carries_tls_to_the_origin(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext
) -> None:
    server = serve(tls_echo(server_context))

    def socks(sock: socket.socket) -> None:
        with socket.create_connection((server.host, server.port)) as onward:
            assert sock.recv(3) == b"\x05\x01\x00"
            sock.sendall(b"\x05\x00")
            assert sock.recv(64) == b"\x05\x01\x00\x03\x0d" + NAME.encode() + b"\x20\xfb"
            sock.sendall(b"\x05\x00\x00\x01" + bytes(6))
            splice(sock, onward)

    hop = serve(socks)

    async def main() -> None:
        before = open_files()
        made = dialer(
            f"https://{NAME}:8443",
            resolver=knows(("127.0.0.1", hop.port)),
            proxy=Proxy.parse("socks5h://proxy.test:1080"),
        )
        dialed = await made.dial()
        assert dialed.tls is not None
        assert await say(dialed, b"x" * 50_000) == b"x" * 50_000
        dialed.sock.close()
        assert await settled(before) == set()
        await made.close()

    run(main())


def test_an_unreachable_proxy_is_named(run: Run[None]) -> None:
    async def main() -> None:
        proxy = Proxy.parse(f"http://user:{SECRET}@127.0.0.1:{refusing_port()}")
        failed = await failure(dialer(f"https://{NAME}", proxy=proxy))
        assert f"cannot connect to proxy {proxy.name} (" in failed.message
        assert "provider.test:443" in failed.message

        async def resolve(host: str, port: int) -> Sequence[Address]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        proxy = Proxy.parse(f"http://user:{SECRET}@proxy.test:3128")
        failed = await failure(dialer(f"https://{NAME}", proxy=proxy, resolver=resolve))
        assert "cannot resolve proxy proxy.test (" in failed.message

    run(main())


@pytest.mark.usefixtures("trusted")
def test_an_https_proxy_is_verified_by_its_own_name(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext
) -> None:
    hop = serve(connect_proxy([], serve(echo), server_context))

    async def main() -> None:
        proxy = Proxy.parse("https://wrong.test:3128")
        made = dialer(f"https://{NAME}", proxy=proxy, resolver=knows(("127.0.0.1", hop.port)))
        failed = await failure(made)
        assert "TLS with wrong.test:3128: verification failed: Hostname mismatch" in failed.message

    run(main())


# --- time limit and cancellation ------------------------------------------------------------


async def resolves_never(host: str, port: int) -> Sequence[Address]:
    await asyncio.sleep(60)
    return []


def stuck(phase: str, port: int) -> Dialer:
    """A dialer that hangs in `phase`; the peer on `port` is silent."""
    here = knows(("127.0.0.1", port))
    proxy = Proxy.parse(f"http://user:{SECRET}@proxy.test:3128")
    outer = Proxy.parse(f"https://user:{SECRET}@proxy.test:3128")
    options: dict[str, dict[str, Any]] = {
        "resolving provider.test": {"resolver": resolves_never},
        "connecting to provider.test:443": {"resolver": here},
        "in the TLS handshake with provider.test:443": {"resolver": here},
        "resolving proxy proxy.test": {"resolver": resolves_never, "proxy": proxy},
        "waiting for CONNECT through proxy proxy.test:3128": {"resolver": here, "proxy": proxy},
        "in the TLS handshake with proxy.test:3128": {"resolver": here, "proxy": outer},
    }
    return dialer(f"https://{NAME}", connect_s=0.2, **options[phase])


PHASES = [
    "resolving provider.test",
    "connecting to provider.test:443",
    "in the TLS handshake with provider.test:443",
    "resolving proxy proxy.test",
    "waiting for CONNECT through proxy proxy.test:3128",
    "in the TLS handshake with proxy.test:3128",
]


@pytest.fixture
def quiet_port(request: pytest.FixtureRequest, serve: Serve) -> Iterator[int]:
    if "connecting" in request.node.name:
        with black_hole() as port:
            yield port
    else:
        yield serve(silent).port


@pytest.mark.parametrize("phase", PHASES)
def test_the_time_limit_covers_every_phase_and_names_it(
    run: Run[None], phase: str, quiet_port: int
) -> None:
    async def main() -> None:
        before = open_files()
        made = stuck(phase, quiet_port)
        failed = await failure(made)
        assert failed.status == 504
        assert failed.message == (
            f"Cannot reach provider.test:443: timed out after 0.2 s while {phase}."
        )
        await made.close()
        assert await settled(before) == set()

    run(main())


@pytest.mark.parametrize("phase", PHASES)
def test_cancelling_in_any_phase_closes_everything(
    run: Run[None], phase: str, quiet_port: int
) -> None:
    async def main() -> None:
        before = open_files()
        made = stuck(phase, quiet_port)
        tasks = [asyncio.ensure_future(made.dial()) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError] * 3
        await made.close()
        assert await settled(before) == set()

    run(main())


@pytest.mark.usefixtures("trusted")
def test_cancelling_at_any_loop_step_closes_everything(
    run: Run[None], serve: Serve, server_context: ssl.SSLContext
) -> None:
    server = serve(tls_echo(server_context))
    hop = serve(connect_proxy([], server, server_context))

    async def main() -> None:
        before = open_files()
        made = dialer(
            f"https://{NAME}",
            resolver=knows(("127.0.0.1", hop.port)),
            proxy=Proxy.parse("https://proxy.test"),
        )
        loop = asyncio.get_running_loop()
        started = loop.time()
        (await made.dial()).sock.close()
        whole_s = loop.time() - started
        cancelled = 0
        for step in range(40):
            task = asyncio.ensure_future(made.dial())
            await asyncio.sleep(whole_s * step / 40)
            task.cancel()
            try:
                (await task).sock.close()
            except asyncio.CancelledError:
                cancelled += 1
        assert cancelled > 0
        await made.close()
        assert await settled(before) == set()

    run(main())


def test_a_cancelled_race_is_always_cancelled(
    run: Run[None], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(silent)
    monkeypatch.setattr(race, "ATTEMPT_DELAY_S", 0.001)

    async def main() -> None:
        before = open_files()
        made = dialer(
            "http://provider.test", resolver=knows(("127.0.0.1", hole), ("127.0.0.1", server.port))
        )
        swallowed = cancelled = 0
        for step in range(80):
            made._addresses._expires_at = 0.0  # the silent address comes first again
            task = asyncio.ensure_future(made.dial())
            await asyncio.sleep(0.0005 if step < 40 else 0.001)
            for _ in range(step % 40):
                await asyncio.sleep(0)
            accepted = task.cancel()
            try:
                (await task).sock.close()
                swallowed += accepted
            except asyncio.CancelledError:
                cancelled += 1
        assert cancelled > 0
        assert swallowed == 0
        assert await settled(before) == set()

    with black_hole() as hole:
        run(main())


def test_a_dialers_repr_shows_the_route_and_no_password(run: Run[None]) -> None:
    async def main() -> None:
        proxy = Proxy.parse(f"http://user:{SECRET}@proxy.test:3128")
        shown = repr(dialer(f"https://{NAME}", proxy=proxy))
        assert shown == (
            "<Dialer https://provider.test:443 via <Proxy http://proxy.test:3128 with credentials>>"
        )

    run(main())
