"""Claude Code without a base URL, kept on this machine.

The client is told of no gateway, so that it behaves as before Anthropic's API itself: a proxy on
loopback takes its CONNECT for api.anthropic.com, ends TLS with a certificate that the client was
told to trust, and forwards what is inside to a tap. Any other host is refused.
"""

import asyncio
import shutil
import ssl
import subprocess
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

HOST = "api.anthropic.com"
PIECE = 65_536
ENDED_S = 20.0


def make_certificate(folder: Path) -> Path:
    """Make cert.pem, and a file with key and certificate, which is returned."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "this test needs the openssl program"
    command = (
        f"{openssl} req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        f" -keyout key.pem -out cert.pem -subj /CN={HOST} -addext subjectAltName=DNS:{HOST}"
        " -addext basicConstraints=critical,CA:TRUE"
    )
    subprocess.run(command.split(), check=True, capture_output=True, cwd=folder)
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


class Direct:
    """The proxy, on an event loop of its own; a context manager.

    Args:
        folder: for the certificate.
        to_port: of the tap.
    """

    def __init__(self, folder: Path, to_port: int) -> None:
        self._certificate = folder / "cert.pem"
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(make_certificate(folder))
        self._to_port = to_port
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="direct", daemon=True)
        self.refused: list[str] = []  # hosts that were asked for besides

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the client."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return {
            "HTTPS_PROXY": f"http://127.0.0.1:{port}",
            "HTTP_PROXY": f"http://127.0.0.1:{port}",
            "NODE_EXTRA_CA_CERTS": str(self._certificate),
        }

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ENDED_S)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(ENDED_S)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            try:
                await self._tunnel(reader, writer)
            finally:
                writer.close()

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        if (method, target) != ("CONNECT", f"{HOST}:443"):
            self.refused.append(target)
            writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            return
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        await writer.drain()
        await writer.start_tls(self._context)
        onward, back = await asyncio.open_connection("127.0.0.1", self._to_port)
        try:
            await asyncio.gather(_pump(reader, back), _pump(onward, writer))
        finally:
            back.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    writer.close()
