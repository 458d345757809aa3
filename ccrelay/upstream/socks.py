"""The SOCKS conversation with a proxy, by python-socks (extra `socks`).

Imported for the first SOCKS proxy only: without the extra there is no such module to import, and
`ccrelay.upstream.environment` has said so before.
"""

import asyncio
import socket
from typing import Any, cast

from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy as Client

from ccrelay.upstream.proxy import Proxy

# The dial has the time limit; the library insists on one of its own.
_NO_TIMEOUT_S = 86_400.0


async def connect(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, host: str, port: int
) -> None:
    """Open a tunnel to `host` and `port` through the proxy that `sock` is connected to.

    On return the tunnel is open and no byte of it has been read.

    Args:
        loop: the running loop.
        sock: connected, non-blocking; the library closes it on failure.
        proxy: the proxy, for its version of SOCKS and its login.
        host: the address, or a name that the proxy resolves.
        port: the port there.

    Raises:
        ValueError: refused, closed, or an invalid response; the message is the reason.
        OSError: the connection to the proxy failed.
    """
    client = Client(
        ProxyType.SOCKS4 if proxy.scheme in ("socks4", "socks4a") else ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        username=proxy.user or None,
        password=proxy.password or None,
        rdns=True,
        forward=cast(Any, _Connected(sock)),
        loop=loop,
    )
    try:
        await client.connect(host, port, timeout=_NO_TIMEOUT_S)
    except ProxyError as error:
        raise ValueError(str(error)) from error
    except UnicodeError as error:  # of a name in the reply
        raise ValueError("invalid reply") from error


class _Connected:
    """Stands for a proxy in front of this one: the socket is connected already."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def connect(self, **_: object) -> socket.socket:
        return self._sock
