"""SOCKS over loopback, against a small proxy of our own, on uvloop and on asyncio's loop."""

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import pytest
import uvloop

from ccrelay.errors import UpstreamFailed
from ccrelay.upstream.dial import Address, Dialer
from ccrelay.upstream.origin import Origin
from ccrelay.upstream.proxy import Proxy
from ccrelay.upstream.tls import SocketStream

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]
SECRET = "test-key-1"
NAME = "provider.test"
USER_AND_PASSWORD, ANONYMOUS, NONE = 2, 0, 0xFF


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run[Any]]:
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        complaints: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))
        yield lambda coro: runner.run(asyncio.wait_for(coro, 20))
        assert complaints == []


class SocksServer:
    """A SOCKS server, versions 4, 4a and 5, that echoes instead of connecting onward.

    Args:
        login: the user and password to ask for; None: none.
        reply: the code of the reply; 0 grants.
        bound: kind of the address in a granted reply: 1 IPv4, 3 name, 4 IPv6.
        ends_after: number of messages after which it closes.
    """

    def __init__(
        self,
        *,
        login: tuple[str, str] | None = None,
        reply: int = 0,
        bound: int = 1,
        ends_after: int = 9,
    ) -> None:
        self.asked: list[tuple[str, int]] = []
        self.logins: list[tuple[str, str]] = []
        self._login = login
        self._reply = reply
        self._bound = bound
        self._ends_after = ends_after

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            version = (await reader.readexactly(1))[0]
            if await (self._version_5 if version == 5 else self._version_4)(reader, writer):
                while data := await reader.read(65_536):
                    writer.write(data)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _is_over(self) -> bool:
        self._ends_after -= 1
        return self._ends_after < 0

    async def _version_5(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        if self._is_over():
            return False
        wanted = ANONYMOUS if self._login is None else USER_AND_PASSWORD
        writer.write(bytes([5, wanted if wanted in methods else NONE]))
        if wanted == USER_AND_PASSWORD:
            await reader.readexactly(1)
            user, password = [await self._text(reader) for _ in range(2)]
            self.logins.append((user, password))
            if self._is_over():
                return False
            writer.write(bytes([1, (user, password) != self._login]))
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = await self._text(reader)
        else:
            family, length = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
            host = socket.inet_ntop(family, await reader.readexactly(length))
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        self.asked.append((host, port))
        if self._is_over():
            return False
        address = {1: bytes(4), 3: b"\x05b.exa", 4: bytes(16)}[self._bound]
        # In two pieces, as the network may deliver it.
        writer.write(bytes([5, self._reply, 0]))
        await writer.drain()
        writer.write(bytes([self._bound]) + address + bytes(2))
        return self._reply == 0

    async def _version_4(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        _, port = struct.unpack("!BH", await reader.readexactly(3))
        address = await reader.readexactly(4)
        self.logins.append(((await reader.readuntil(b"\0"))[:-1].decode(), ""))
        is_name = address[:3] == bytes(3)
        host = (
            (await reader.readuntil(b"\0"))[:-1].decode() if is_name else socket.inet_ntoa(address)
        )
        self.asked.append((host, port))
        writer.write(bytes([0, 0x5A + self._reply]) + bytes(6))
        return self._reply == 0

    @staticmethod
    async def _text(reader: asyncio.StreamReader) -> str:
        return (await reader.readexactly((await reader.readexactly(1))[0])).decode()


def resolver(*addresses: str) -> Callable[[str, int], Coroutine[Any, Any, Sequence[Address]]]:
    """Answers for the origin; the proxy is an address."""

    async def resolve(host: str, port: int) -> Sequence[Address]:
        assert host == NAME
        families = [socket.AF_INET6 if ":" in a else socket.AF_INET for a in addresses]
        return [(family, (a, port)) for family, a in zip(families, addresses, strict=True)]

    return resolve


async def never(host: str, port: int) -> Sequence[Address]:
    raise AssertionError(f"{host} was looked up here")


async def tunnel(url: str, server: SocksServer, proxy: str, **options: Any) -> bytes:
    """Dial through the proxy, and return what comes back of a few bytes."""
    port = await server.start()
    loop = asyncio.get_running_loop()
    made = Dialer(
        Origin.parse(url),
        loop,
        connect_s=10.0,
        proxy=Proxy.parse(proxy.replace("PORT", str(port))),
        **{"resolver": never, **options},
    )
    try:
        dialed = await made.dial()
        assert dialed.peer == f"127.0.0.1:{port}"
        assert not dialed.sock.getblocking()
        stream = SocketStream(loop, dialed.sock)
        await stream.send(b"hello")
        back = await stream.receive()
        dialed.sock.close()
        return back
    finally:
        await made.close()
        await server.close()


@pytest.mark.parametrize("bound", [1, 3, 4])
@pytest.mark.parametrize(
    ("scheme", "addresses", "asked"),
    [
        ("socks5h", None, NAME),
        ("socks5", ["192.0.2.7"], "192.0.2.7"),
        ("socks5", ["2001:db8::7", "192.0.2.7"], "192.0.2.7"),
        ("socks5", ["2001:db8::7"], "2001:db8::7"),
        ("socks4a", None, NAME),
        ("socks4", ["2001:db8::7", "192.0.2.7"], "192.0.2.7"),
    ],
)
def test_the_proxy_is_asked_for_the_name_or_for_its_address(
    run: Run[None], scheme: str, addresses: list[str] | None, asked: str, bound: int
) -> None:
    async def main() -> None:
        server = SocksServer(bound=bound)
        options = {} if addresses is None else {"resolver": resolver(*addresses)}
        url = f"{scheme}://127.0.0.1:PORT"
        assert await tunnel(f"http://{NAME}:8080", server, url, **options) == b"hello"
        assert server.asked == [(asked, 8080)]

    run(main())


@pytest.mark.parametrize("host", ["192.0.2.9", "[2001:db8::9]"])
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_an_address_is_sent_as_an_address(run: Run[None], scheme: str, host: str) -> None:
    async def main() -> None:
        server = SocksServer()
        assert await tunnel(f"http://{host}", server, f"{scheme}://127.0.0.1:PORT") == b"hello"
        assert server.asked == [(host.strip("[]"), 80)]

    run(main())


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (f"me:{SECRET}", ("me", SECRET)),
        ("me:p#/?@w", ("me", "p#/?@w")),
        ("m%40e:p%3Aw%2F", ("m@e", "p:w/")),
    ],
)
def test_user_and_password_are_sent_when_asked_for(
    run: Run[None], written: str, sent: tuple[str, str]
) -> None:
    async def main() -> None:
        server = SocksServer(login=sent)
        url = f"socks5h://{written}@127.0.0.1:PORT"
        assert await tunnel(f"http://{NAME}", server, url) == b"hello"
        assert server.logins == [sent]

    run(main())


def test_the_user_of_socks4_is_sent(run: Run[None]) -> None:
    async def main() -> None:
        server = SocksServer()
        assert await tunnel(f"http://{NAME}", server, "socks4a://me@127.0.0.1:PORT") == b"hello"
        assert server.logins == [("me", "")]

    run(main())


@pytest.mark.parametrize(
    ("how", "login", "reason"),
    [
        ({"reply": 5}, "", "Connection refused by destination host"),
        ({"reply": 1}, "", "General SOCKS server failure"),
        ({"reply": 99}, "", "Invalid reply code"),
        ({"login": ("me", "other")}, f"me:{SECRET}@", "authentication failure"),
        ({"login": ("me", "other")}, "", "No acceptable authentication methods"),
        ({"ends_after": 0}, "", "closed unexpectedly"),
        ({"ends_after": 1}, "", "closed unexpectedly"),
    ],
)
def test_a_refusal_names_the_proxy_and_the_reason(
    run: Run[None], how: dict[str, Any], login: str, reason: str
) -> None:
    async def main() -> None:
        url = f"socks5h://{login}127.0.0.1:PORT"
        with pytest.raises(UpstreamFailed) as caught:
            await tunnel(f"https://{NAME}", SocksServer(**how), url)
        message = caught.value.message
        assert caught.value.status == 502
        assert message.startswith(f"Cannot reach {NAME}:443: proxy 127.0.0.1:")
        assert reason in message
        assert SECRET not in message

    run(main())


def test_socks4_cannot_reach_ipv6(run: Run[None]) -> None:
    async def main() -> None:
        server, url = SocksServer(), "socks4://127.0.0.1:PORT"
        with pytest.raises(UpstreamFailed, match="reaches IPv4 addresses only: use socks5"):
            await tunnel(f"http://{NAME}", server, url, resolver=resolver("2001:db8::7"))

    run(main())


def test_a_silent_proxy_is_bounded_by_the_dial(run: Run[None]) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            proxy = Proxy.parse(f"socks5h://127.0.0.1:{silent.getsockname()[1]}")
            loop = asyncio.get_running_loop()
            made = Dialer(Origin.parse(f"http://{NAME}"), loop, connect_s=0.1, proxy=proxy)
            with pytest.raises(UpstreamFailed, match="while waiting for SOCKS") as caught:
                await made.dial()
            assert caught.value.status == 504
            await made.close()

    run(main())
