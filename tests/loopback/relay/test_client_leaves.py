"""Whatever a connection waits for, it is gone within a second of the client leaving.

A reset that comes together with data is the hard case: libuv reports both at once and then polls
the descriptor no more. A connection that is not being read is the other one: nothing tells it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from ccrelay.config.model import Key
from tests.loopback.relay.harness import Client, Lab, eventually, provider, routing, server
from tests.loopback.relay.scripts import JSON, always, blind, stall, then
from tests.loopback.relay.wires import (
    BLOCK,
    BODY,
    CHUNKED_HEAD,
    START,
    chunked_post,
    chunks,
    padded,
    post,
    request,
    response,
)

# A second, and two for a busy machine; the shortest of the relay's own time limits here is five.
GONE_S = 3.0
PATIENT = routing(connect_s=30, first_byte_s=30, idle_s=30, total_s=60, queue_timeout_s=30)


def announced(*fields: tuple[bytes, bytes]) -> bytes:
    """A head that announces 500 bytes of body."""
    return request(b"POST", b"/v1/messages", [*fields, (b"Content-Length", b"500")])


SENT = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "one byte": b"P",
    "part of a head": post()[:30],
    "a head": announced(),
    "a head that expects 100": announced((b"Expect", b"100-continue")),
    "part of a body": post(padded(5000))[:4000],
    "part of a large body": post(padded(400_000))[:300_000],
    "part of a gzip body": announced((b"Content-Encoding", b"gzip")) + b"\x1f\x8b\x08",
    "a chunked head": chunked_post([]).removesuffix(chunks()),
    "part of a chunk": chunked_post([BODY]).partition(b"claude")[0],
    "all but the last chunk": chunked_post([BODY])[:-3],
    "an invalid head": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "an unknown path, part of its body": announced().replace(b"/v1/messages", b"/nowhere") + b"x",
    "a request answered locally": request(b"GET", b"/health"),
    "a request": post(),
    "a chunked request": chunked_post([BODY]),
    "a request and part of the next": post() + post()[:50],
    "a request of another path": request(b"GET", b"/v1/files"),
    "a request for models": request(b"GET", b"/v1/models"),
}


async def gone(lab: Lab) -> None:
    relay = lab.relay
    await eventually(
        lambda: not (relay.dispatcher.connections or relay.context.active),
        "the connection is still there",
        GONE_S,
    )


async def settled() -> None:
    """Time for the relay to read what was sent."""
    await asyncio.sleep(0.05)


def silent(lab: Lab) -> None:
    """A relay whose provider answers nothing, and whose own time limits are far away."""
    upstream = lab.upstream(stall)
    lab.start(provider(upstream, type="anthropic", discover_models=True), routing=PATIENT)


async def sent_by_a_client(lab: Lab, sent: bytes, when: str) -> Client:
    """A connection on which this was sent; `later`: the relay has read it."""
    client = await lab.client()
    if when != "before accept":
        await settled()
    client.sock.send(sent)  # the relay runs no earlier than at the next await
    if when == "later":
        await settled()
    return client


@pytest.mark.parametrize("when", ["before accept", "together", "later"])
@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
async def test_a_reset_ends_the_connection(lab: Lab, sent: bytes, when: str) -> None:
    silent(lab)
    client = await sent_by_a_client(lab, sent, when)
    client.reset()
    await settled()
    await gone(lab)


@pytest.mark.parametrize("when", ["before accept", "together", "later"])
@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
async def test_a_half_close_ends_the_connection(lab: Lab, sent: bytes, when: str) -> None:
    silent(lab)
    client = await sent_by_a_client(lab, sent, when)
    client.sock.shutdown(socket.SHUT_WR)
    await settled()
    await gone(lab)


# ---- states that more than the client's bytes lead to


async def streaming(lab: Lab) -> Client:
    """The response has begun."""
    lab.start(lab.upstream(then(CHUNKED_HEAD + chunks(START + BLOCK, last=False), stall)))
    client = await lab.client()
    await client.send(post(BODY[:-1] + b',"stream":true}'))
    await client.until(b"content_block_start")
    return client


async def collecting(lab: Lab) -> Client:
    """A provider's error is being read."""
    lab.start(lab.upstream(then(b"HTTP/1.1 400 Bad\r\nContent-Length: 99\r\n\r\n{", stall)))
    client = await lab.client()
    await client.send(post())
    return client


async def queued(lab: Lab) -> Client:
    """The only key is in use."""
    keys = [Key(key="test-key-1", max_concurrent=1)]
    lab.start(provider(lab.upstream(stall), keys=keys), routing=PATIENT)
    first = await lab.client()
    await first.send(post())
    await settled()
    client = await lab.client()
    await client.send(post())
    await eventually(lambda: len(lab.relay.context.queue) == 1)
    asyncio.get_running_loop().call_later(0.2, first.reset)
    return client


async def kept(lab: Lab) -> Client:
    """The connection is idle after an answer."""
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    assert (await client.ask(post())).status == 200
    return client


async def lingering(lab: Lab) -> Client:
    """Answered before the whole request was there."""
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    wire = announced().replace(b"/v1/messages", b"/nowhere")
    assert (await client.ask(wire)).status == 404
    return client


async def pipelined(lab: Lab) -> Client:
    """More requests are ahead of their turn than the relay reads."""
    silent(lab)
    client = await lab.client()
    await client.send(post() + post(padded(100_000)))
    return client


async def unread(lab: Lab) -> Client:
    """The client does not read its response."""
    wire = response(200, b'{"type":"message","x":"' + b"x" * 20_000_000)
    lab.start(lab.upstream(always(wire)), routing=PATIENT)
    client = await lab.client(rcvbuf=4096)
    await client.send(post())
    await eventually(lambda: any(conn.queued for conn in lab.relay.dispatcher.connections))
    return client


async def windowed(lab: Lab) -> Client:
    """The provider takes no more of a body that is not kept."""
    lab.start(lab.upstream(blind), server=server(replay_bytes_max=0), routing=PATIENT)
    client = await lab.client()
    sending = asyncio.ensure_future(client.send(post(padded(30_000_000))))
    await asyncio.sleep(0.4)
    assert not sending.done()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    return client


Reach = Callable[[Lab], Awaitable[Client]]
STATES: list[Reach] = [streaming, collecting, queued, kept, lingering, pipelined]
# A half-close comes behind bytes that the relay has no room for, or the client may yet read.
BLOCKED: list[Reach] = [windowed, unread]


@pytest.mark.parametrize("more", [b"", b"\r\n", b"x" * 10], ids=["bare", "line", "bytes"])
@pytest.mark.parametrize("reach", STATES + BLOCKED)
async def test_a_reset_in_any_state_ends_the_connection(
    lab: Lab, reach: Reach, more: bytes
) -> None:
    client = await reach(lab)
    await settled()
    if more and reach is not windowed:  # no room for more there
        client.sock.send(more)
    client.reset()
    await settled()
    await gone(lab)


@pytest.mark.parametrize("reach", STATES)
async def test_a_half_close_in_any_state_ends_the_connection(lab: Lab, reach: Reach) -> None:
    client = await reach(lab)
    await settled()
    client.sock.shutdown(socket.SHUT_WR)
    await settled()
    await gone(lab)
