"""`ccrelay serve` behind a SOCKS proxy: the extra is found by the workers, names stay names."""

import asyncio
import struct
from pathlib import Path

import pytest

from ccrelay.demo.server import start_demo
from tests.process.serving import Serve, is_complete, message, run

pytestmark = pytest.mark.process


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def start_socks(onward: int, asked: list[tuple[str, int]]) -> asyncio.Server:
    """A SOCKS5 proxy that connects every name to the port `onward` of this machine."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x00")
        _, _, _, kind, length = await reader.readexactly(5)
        assert kind == 3, "the name was resolved before"
        host = (await reader.readexactly(length)).decode()
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        asked.append((host, port))
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", onward)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def test_a_provider_is_reached_through_a_socks_proxy(tmp_path: Path) -> None:
    async def scenario() -> None:
        asked: list[tuple[str, int]] = []
        demo = await start_demo()
        socks = await start_socks(demo.port, asked)
        provider = {"name": "far", "base_url": "http://provider.invalid:8080", "auth": "none"}
        relay = Serve(tmp_path, server={"listen": "127.0.0.1:0"}, providers=[provider])
        try:
            port = socks.sockets[0].getsockname()[1]
            await relay.start(ALL_PROXY=f"socks5h://127.0.0.1:{port}")
            assert is_complete(await relay.ask(message()))
            assert set(asked) == {("provider.invalid", 8080)}
        finally:
            await relay.clear()
            socks.close()
            await demo.close()

    run(scenario())
