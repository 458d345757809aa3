"""The App with the doors that it makes itself: what it does when TCP cannot be opened."""

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ccrelay._fast.shared_memory import SharedMemory
from ccrelay.config.load import Found, load_found
from ccrelay.config.model import Management
from ccrelay.control.client import CallFailed, Client
from ccrelay.fleet.layout import Layout
from ccrelay.manager.app import App
from ccrelay.runtime.manager_link import ManagerStart
from ccrelay.v1 import relay_pb2 as v1
from tests.loopback.manager.rig import CONFIG, Log, NoBooks, Supervisor, run


@asynccontextmanager
async def served(folder: Path, management: Management) -> AsyncIterator[tuple[str, int, Log]]:
    """An App on both doors: the path of the one, the port of the other."""
    file = folder / "c.yaml"
    file.write_text(CONFIG)
    file.chmod(0o600)
    config = msgspec.structs.replace(load_found(Found(file)).config, management=management)
    layout = Layout.of(config)
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    SharedMemory.format(fd, workers=2, targets=64, endpoints=64, bindings=64)
    start = ManagerStart(
        config=config,
        layout=layout,
        listen=["127.0.0.1:8787"],
        config_file=str(file),
        pid=1234,
        started_at_ms=1_000,
        restarts=0,
        fingerprint_key=b"",
        socket="",
        http_listen="",
        workers=[],
        overrides=[],
    )
    path = f"/tmp/ccrelay-test-{os.getpid()}.sock"
    with socket.socket(socket.AF_UNIX) as unix, socket.create_server(("127.0.0.1", 0)) as tcp:
        unix.bind(path)
        unix.listen()
        log = Log()
        supervisor = Supervisor(file, config, layout)
        env = {"HOME": str(folder), "XDG_STATE_HOME": str(folder)}
        app = App(start, supervisor, log, fd, unix, tcp, books=NoBooks(), env=env)
        supervisor.app = app
        try:
            await app.start()
            yield path, tcp.getsockname()[1], log
        finally:
            await app.close()
            os.close(fd)
            os.unlink(path)


def names(log: Log) -> list[str]:
    return [name for _, name, _ in log.events]


def status(client: Client) -> v1.Status:
    request, answer = v1.GetStatusRequest(), v1.GetStatusResponse
    return client.call("Relay/GetStatus", request, answer, 10.0).status


def test_a_token_that_others_can_read_closes_tcp_only_until_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "ccrelay").mkdir(mode=0o700)
    file = tmp_path / "ccrelay" / "management-token"
    file.write_text("t" * 40)
    file.chmod(0o644)

    async def main() -> None:
        async with served(tmp_path, Management()) as (path, port, log):
            client = Client.tcp("127.0.0.1", port, "t" * 40)
            found = await asyncio.to_thread(status, Client(path))
            assert any("chmod 600" in notice.message for notice in found.notices)
            with pytest.raises(CallFailed, match="token"):
                await asyncio.to_thread(status, client)
            assert [event for event in names(log) if "token" in event] == [
                "management_token_unusable"
            ]
            file.chmod(0o600)
            for _ in range(100):
                await asyncio.sleep(0.05)
                found = await asyncio.to_thread(status, Client(path))
                if not any("chmod" in notice.message for notice in found.notices):
                    break
            assert (await asyncio.to_thread(status, client)).pid == 1234

    run(main())


def test_a_certificate_that_openssl_refuses_closes_tcp_only(tmp_path: Path) -> None:
    for name in ("one", "two"):
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
        files = ["-keyout", f"{tmp_path}/{name}.key", "-out", f"{tmp_path}/{name}.pem"]
        subprocess.run([*command, *files], check=True, capture_output=True)
    settings: dict[str, Any] = {
        "tls_cert": f"{tmp_path}/one.pem",
        "tls_key": f"{tmp_path}/two.key",
    }

    async def main() -> None:
        async with served(tmp_path, Management(**settings)) as (path, _, log):
            found = await asyncio.to_thread(status, Client(path))
            assert any("management.tls_cert" in notice.message for notice in found.notices)
            assert "management_tls_unusable" in names(log)

    run(main())


def test_a_certificate_may_be_named_from_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
    files = ["-keyout", f"{tmp_path}/one.key", "-out", f"{tmp_path}/one.pem"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    monkeypatch.setenv("HOME", str(tmp_path))
    settings: dict[str, Any] = {"tls_cert": "~/one.pem", "tls_key": "~/one.key"}

    async def main() -> None:
        async with served(tmp_path, Management(**settings)) as (path, _, log):
            found = await asyncio.to_thread(status, Client(path))
            assert not any("tls_cert" in notice.message for notice in found.notices)
            assert "management_tls_unusable" not in names(log)

    run(main())
