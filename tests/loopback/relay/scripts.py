"""What scripted providers do with a connection."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Iterator

from tests.loopback.relay.harness import WAIT_S, Peer, Script
from tests.loopback.relay.wires import CHUNKED_HEAD, EVENTS, MESSAGE, Request, chunks, response

STREAM = CHUNKED_HEAD + chunks(EVENTS)
JSON = response(200, MESSAGE)


def always(*pieces: bytes, pause_s: float = 0.0, into: list[Request] | None = None) -> Script:
    """Answer every request of the connection with these pieces."""

    async def script(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if into is not None:
                into.append(request)
            await peer.send(*pieces, pause_s=pause_s)

    return script


def once(*pieces: bytes, ends: str = "close", pause_s: float = 0.0, after_s: float = 0.0) -> Script:
    """Take one request, send these pieces, then `close`, `reset` or `stay` until the relay goes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*pieces, pause_s=pause_s)
        await asyncio.sleep(after_s)
        if ends == "reset":
            peer.reset()
        elif ends == "stay":
            await peer.gone()

    return script


Reply = bytes | Script


class Turns:
    """A provider whose n-th request, over all its connections, gets the n-th of these replies.

    The last one is for all further requests. A script ends the connection.
    """

    def __init__(self, *replies: Reply) -> None:
        self._replies = replies
        self.got: list[Request] = []

    async def __call__(self, peer: Peer) -> None:
        while True:
            self.got.append(await peer.request())
            reply = self._replies[min(len(self.got), len(self._replies)) - 1]
            if not isinstance(reply, bytes):
                await reply(peer)
                return
            await peer.send(reply)

    @property
    def keys(self) -> list[str]:
        """The keys that the requests came with."""
        return [(request.get(b"x-api-key") or b"").decode() for request in self.got]


async def hang_up(_: Peer) -> None:
    """Close."""


async def break_off(peer: Peer) -> None:
    """Reset."""
    peer.reset()


async def stall(peer: Peer) -> None:
    """Say nothing until the relay goes."""
    await peer.gone(20)


def then(wire: bytes, ends: Script = hang_up) -> Script:
    """Send this, and then that happens."""

    async def script(peer: Peer) -> None:
        await peer.send(wire)
        await asyncio.sleep(0.02)  # a reset would take it away
        await ends(peer)

    return script


class Stage:
    """A provider that takes one request per connection and then does what the test does with it."""

    def __init__(self, *, whole_request: bool = True) -> None:
        self._whole = whole_request
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def __call__(self, peer: Peer) -> None:
        if self._whole:
            peer.seen = await peer.request()
        else:
            await peer.until(b"\r\n\r\n")
        self._peers.put_nowait(peer)
        await asyncio.Event().wait()

    async def peer(self) -> Peer:
        """The next connection that has a request."""
        return await asyncio.wait_for(self._peers.get(), WAIT_S)


async def deaf(peer: Peer) -> None:
    """Read everything, answer nothing."""
    await peer.gone(30)


async def blind(_: Peer) -> None:
    """Read nothing at all."""
    await asyncio.Event().wait()


def _bound() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a test may listen there later
    sock.bind(("127.0.0.1", 0))
    return sock


# Bound for as long as the process lasts: a port that is free is soon another process's.
_REFUSING = itertools.cycle([_bound() for _ in range(8)])


def refused_url() -> str:
    """A base URL at which no process listens; one of eight in turn."""
    return f"http://127.0.0.1:{next(_REFUSING).getsockname()[1]}"


@contextlib.contextmanager
def full_url() -> Iterator[str]:
    """A base URL where connecting takes for ever: the queue of its listener is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
