"""The doors themselves: start, end, the next server on the same sockets, TLS, grpc.aio clients."""

import asyncio
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from ccrelay.control.client import CallFailed, Client
from ccrelay.control.methods import Service
from ccrelay.control.server import ControlServer
from ccrelay.v1 import relay_pb2, relay_pb2_grpc
from tests.loopback.control.callers import RIGHT, Native, Web
from tests.loopback.control.harness import TOKEN, Raw, Served, serve, the_loop

GET = "/ccrelay.v1.Relay/GetStatus"
WATCH = "/ccrelay.v1.Relay/WatchStatus"


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Certificate for localhost, and key."""
    folder = tmp_path_factory.mktemp("tls")
    openssl = shutil.which("openssl")
    assert openssl is not None, "these tests need the openssl program"
    command = f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    names = ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "crt")]
    subprocess.run([*command.split(), *names, *files], check=True, capture_output=True)
    return str(folder / "crt"), str(folder / "key")


async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
    yield relay_pb2.WatchStatusResponse(whole=True)
    await asyncio.sleep(30)


# ---- life


def test_the_next_server_takes_over_the_same_sockets(tmp_path: Path) -> None:
    """Nobody who connects in between is refused."""
    first = Served(tmp_path)
    inode = first.path.stat().st_ino
    first.loop.run(first.server.close(0.1))
    waiting = [Raw(first, unix=True), Raw(first)]
    for raw in waiting:
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert first.path.stat().st_ino == inode

    def make() -> ControlServer:
        sockets = {"unix": first.unix, "tcp": first.tcp}
        return ControlServer(first.services, token=TOKEN, routes={}, log=first.log, **sockets)

    second = the_loop().call(make)
    the_loop().run(second.start())
    try:
        for raw in waiting:
            assert raw.all().startswith(b"HTTP/1.1 200")
            raw.sock.close()
        for unix in (True, False):
            with Native(first, unix=unix) as caller:
                assert caller.call(GET, b"", RIGHT).code == "OK"
    finally:
        the_loop().run(second.close(0))
    first.close()
    assert first.path.stat().st_ino == inode


@pytest.mark.parametrize("protocol", [Native, Web])
def test_calls_under_way_may_end_and_others_are_told(tmp_path: Path, protocol: Any) -> None:
    started = threading.Event()

    async def get(request: Any, context: Any) -> Any:
        started.set()
        await asyncio.sleep(0.4)
        return relay_pb2.GetStatusResponse()

    results: dict[str, str] = {}

    def call(path: str) -> None:
        with protocol(served, unix=True) as caller:
            results[path] = caller.call(path, b"", RIGHT, timeout_s=20).code

    served = Served(tmp_path, {"Relay/GetStatus": get, "Relay/WatchStatus": watch})
    threads = [threading.Thread(target=call, args=(path,)) for path in (GET, WATCH)]
    for thread in threads:
        thread.start()
    assert started.wait(5)
    time.sleep(0.1)
    began = time.monotonic()
    closing = threading.Thread(target=lambda: served.loop.run(served.server.close(1.0)))
    closing.start()
    time.sleep(0.2)
    with Raw(served, unix=True, timeout_s=0.4) as late:  # is for the next server
        late.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(TimeoutError):
            late.sock.recv(1)
    closing.join(5)
    served.close()
    assert time.monotonic() - began < 4
    for thread in threads:
        thread.join(5)
    assert results[GET] == "OK"
    assert results[WATCH] in ("UNAVAILABLE", "CANCELLED")
    if protocol is Web:
        assert results[WATCH] == "UNAVAILABLE"


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with serve(tmp_path) as served:
        with Native(served, unix=True) as caller:
            assert caller.call(GET, b"", RIGHT).code == "OK"
            (folder,) = tmp_path.glob("ccrelay-control-*")
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE((folder / "grpc").stat().st_mode) == 0o600
            assert len(list(folder.iterdir())) == 2  # grpc's socket, and our end
        ends_at = time.monotonic() + 5
        while len(list(folder.iterdir())) > 1:
            assert time.monotonic() < ends_at
            time.sleep(0.02)
    assert list(tmp_path.glob("ccrelay-control-*")) == []
    descriptors = len(os.listdir("/proc/self/fd"))
    (tmp_path / "again").mkdir()
    with serve(tmp_path / "again") as again, Native(again, unix=False) as caller:
        caller.call(GET, b"", RIGHT)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2


def test_the_inner_socket_is_no_way_around_the_doors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with serve(tmp_path):
        (folder,) = tmp_path.glob("ccrelay-control-*")
        channel = grpc.insecure_channel(f"unix:{folder}/grpc")
        with channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(GET)(b"", 5, RIGHT)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_each_door_may_be_missing(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.loop.run(served.server.close(0))
    for door in ("unix", "tcp"):
        sockets = {"unix": None, "tcp": None} | {door: getattr(served, door)}
        server = the_loop().call(
            lambda sockets=sockets: ControlServer(
                served.services, token=TOKEN, routes={}, log=served.log, **sockets
            )
        )
        the_loop().run(server.start())
        with Native(served, unix=door == "unix") as caller:
            assert caller.call(GET, b"", RIGHT).code == "OK"
        the_loop().run(server.close(0))
        the_loop().run(server.close(0))
    served.close()


def test_without_a_token_nobody_has_it(tmp_path: Path) -> None:
    served = Served(tmp_path)
    served.loop.run(served.server.close(0))
    sockets = {"unix": None, "tcp": served.tcp}
    server = the_loop().call(
        lambda: ControlServer(served.services, token="", routes={}, log=served.log, **sockets)
    )
    the_loop().run(server.start())
    with Native(served, unix=False) as caller:
        for value in ("Bearer ", "Bearer", "", "Bearer x"):
            result = caller.call(GET, b"", (("authorization", value),))
            assert result.code == "UNAUTHENTICATED"
    the_loop().run(server.close(0))
    served.close()


def test_a_servicer_of_another_service_is_a_mistake(tmp_path: Path) -> None:
    service = Service("ccrelay.v1.Usage", object(), relay_pb2_grpc.add_RelayServicer_to_server)
    with pytest.raises(AttributeError):
        ControlServer([service], unix=None, tcp=None, token="", routes={}, log=None)  # type: ignore[arg-type]
    service = service._replace(servicer=relay_pb2_grpc.RelayServicer())
    with pytest.raises(ValueError, match="belong"):
        ControlServer([service], unix=None, tcp=None, token="", routes={}, log=None)  # type: ignore[arg-type]


def test_out_of_descriptors_it_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(tmp_path) as served:
        loop = the_loop().loop
        accept = loop.sock_accept
        failures = [OSError(24, "Too many open files")] * 3

        async def failing(sock: socket.socket) -> Any:
            if failures:
                raise failures.pop()
            return await accept(sock)

        monkeypatch.setattr(loop, "sock_accept", failing)
        for _ in range(3):
            with Web(served, unix=True) as caller:
                assert caller.call(GET, b"", RIGHT).code == "OK"
        assert "management_accept_failed" in served.log.names()


# ---- clients


def test_a_client_of_grpc_aio(tmp_path: Path) -> None:
    async def run(served: Served) -> None:
        for target in (f"unix:{served.path}", served.address):
            async with grpc.aio.insecure_channel(target) as channel:
                stub = relay_pb2_grpc.RelayStub(channel)
                await stub.GetStatus(relay_pb2.GetStatusRequest(), metadata=RIGHT, timeout=5)
                call = stub.WatchStatus(relay_pb2.WatchStatusRequest(), metadata=RIGHT)
                async for answer in call:
                    assert answer.whole
                    call.cancel()
                    break

    with serve(tmp_path, {"Relay/WatchStatus": watch}) as served:
        served.loop.run(run(served))


def test_a_generated_stub(tmp_path: Path) -> None:
    with serve(tmp_path) as served, grpc.insecure_channel(f"unix:{served.path}") as channel:
        stub = relay_pb2_grpc.RelayStub(channel)
        assert stub.GetVersion(relay_pb2.GetVersionRequest(), timeout=5) is not None


# ---- TLS


def test_tls_serves_everything(tmp_path: Path, tls_files: tuple[str, str]) -> None:
    certificate, _ = tls_files
    with serve(tmp_path, {"Relay/WatchStatus": watch}, tls=tls_files) as served:
        data = Path(certificate).read_bytes()
        with Native(served, unix=False, tls=data) as caller:
            assert caller.call(GET, b"", RIGHT).code == "OK"
            assert caller.call(GET, b"").code == "UNAUTHENTICATED"
            assert len(caller.call(WATCH, b"", RIGHT, timeout_s=0.5).answers) == 1
        with Native(served, unix=True) as caller:  # the other door has none
            assert caller.call(GET, b"").code == "OK"
        context = ssl.create_default_context(cafile=certificate)
        client = Client.tcp("127.0.0.1", served.port, TOKEN, context)
        for _ in range(3):
            client.call(
                "Relay/GetStatus", relay_pb2.GetStatusRequest(), relay_pb2.GetStatusResponse
            )
        request = relay_pb2.WatchStatusRequest()
        with client.stream("Relay/WatchStatus", request, relay_pb2.WatchStatusResponse) as answers:
            assert next(answers).whole
        with pytest.raises(CallFailed) as caught:
            Client.tcp("127.0.0.1", served.port, "w" * 40, context).call(
                "Relay/GetStatus", relay_pb2.GetStatusRequest(), relay_pb2.GetStatusResponse
            )
        assert caught.value.code == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(["h2"], "h2"), (["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), ([], None)],
)
def test_who_offers_both_gets_http_1_1(
    tmp_path: Path, tls_files: tuple[str, str], offered: list[str], chosen: str | None
) -> None:
    """Browsers and scrapers offer both, and HTTP/2 is gRPC only here."""
    context = ssl.create_default_context(cafile=tls_files[0])
    if offered:
        context.set_alpn_protocols(offered)
    with serve(tmp_path, tls=tls_files) as served:
        plain = socket.create_connection(("127.0.0.1", served.port), timeout=5)
        with context.wrap_socket(plain, server_hostname="localhost") as sock:
            assert sock.selected_alpn_protocol() == chosen


def test_an_origin_of_tls_is_https(tmp_path: Path, tls_files: tuple[str, str]) -> None:
    import http.client

    context = ssl.create_default_context(cafile=tls_files[0])
    with serve(tmp_path, tls=tls_files) as served:
        for scheme, status in (("https", 200), ("http", 403)):
            caller = http.client.HTTPSConnection("localhost", served.port, context=context)
            origin = f"{scheme}://localhost:{served.port}"
            caller.request("GET", "/metrics", headers={"origin": origin, **dict(RIGHT)})
            assert caller.getresponse().status == status
            caller.close()


def test_a_handshake_that_never_comes(
    tmp_path: Path, tls_files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccrelay.control.streams.TLS_HANDSHAKE_S", 0.3)
    with serve(tmp_path, tls=tls_files) as served:
        silent = [Raw(served) for _ in range(3)]
        wrong = Raw(served)
        wrong.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wrong.all()
        for raw in silent:
            assert raw.all() == b""
            raw.sock.close()
        wrong.sock.close()
        ends_at = time.monotonic() + 5
        while served.connections():
            assert time.monotonic() < ends_at
            time.sleep(0.02)


def test_files_that_are_no_certificate_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no")
    with pytest.raises(OSError):  # noqa: PT011  # ssl.SSLError
        ControlServer(
            [],
            unix=None,
            tcp=None,
            token="",
            tls=(str(tmp_path / "x"), str(tmp_path / "x")),
            routes={},
            log=None,  # type: ignore[arg-type]
        )
