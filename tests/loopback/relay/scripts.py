"""What scripted providers do with a connection."""

import asyncio

from tests.loopback.relay.harness import Peer, Script, Upstream
from tests.loopback.relay.wires import CHUNKED_HEAD, EVENTS, MESSAGE, chunks, response

STREAM = CHUNKED_HEAD + chunks(EVENTS)


def always(*pieces: bytes, pause_s: float = 0.0, into: list[object] | None = None) -> Script:
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


async def deaf(peer: Peer) -> None:
    """Read everything, answer nothing."""
    await peer.gone()


async def blind(peer: Peer) -> None:
    """Read nothing at all."""
    await asyncio.sleep(60)


def json_reply(body: bytes = MESSAGE, status: int = 200) -> bytes:
    """A JSON answer."""
    return response(status, body)


__all__ = ["STREAM", "Upstream", "always", "blind", "deaf", "json_reply", "once"]
