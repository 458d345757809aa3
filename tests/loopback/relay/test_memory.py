"""One account of memory: charged when held, given back when freed, a share per client."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable

import pytest

from ccrelay.config.model import Auth
from tests.loopback.relay.harness import Client, Lab, Peer, eventually, provider, server
from tests.loopback.relay.scripts import JSON, Stage, always
from tests.loopback.relay.wires import (
    BODY,
    CHUNKED_HEAD,
    chunked_post,
    chunks,
    padded,
    post,
    request,
    response,
)

MB = 1_000_000
TOKENS = ["test-token-1", "test-token-2"]


def held(lab: Lab) -> int:
    return lab.relay.reactor.account.held


def fields(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"X-Api-Key", token.encode())]


async def settled(lab: Lab) -> None:
    await eventually(lambda: held(lab) == 0, "memory was not given back")


# ---- what is announced costs nothing


async def test_bodies_that_are_announced_take_nobodys_memory(lab: Lab) -> None:
    """Eight connections announce 32 MB and send 20 bytes: another's body is kept and retried."""
    first = lab.upstream(always(response(500, b"{}")))
    second = lab.upstream(always(JSON))
    relay = lab.start(
        provider(first, "first", models=["claude-*"]), provider(second, "second", models=["*"])
    )
    for _ in range(8):
        client = await lab.client()
        wire = request(b"POST", b"/v1/messages", [(b"Content-Length", b"33554432")])
        await client.send(wire + b'{"model":"claude-x",')
    await eventually(lambda: len(relay.context.active) == 8)
    assert held(lab) < 8 * 8192
    for _ in range(6):
        assert (await lab.ask(post(padded(3 * MB)))).status == 200
    for client in lab.clients:
        client.close()
    await settled(lab)


@pytest.mark.parametrize("sent", [100_000, 1 * MB, 5 * MB])
async def test_a_body_is_charged_by_what_arrived(lab: Lab, sent: int) -> None:
    lab.start(lab.upstream(Stage(whole_request=False)))
    client = await lab.client()
    await client.send(post(padded(20 * MB))[:sent])
    await eventually(lambda: held(lab) >= sent // 2)
    await asyncio.sleep(0.05)
    assert sent - 4096 <= held(lab) <= 2 * sent + 262_144
    client.reset()
    await settled(lab)


# ---- everything that is held is charged


async def head_in_pieces(lab: Lab, client: Client) -> None:
    await client.send(request(b"GET", b"/health", [(b"X-Long", b"y" * 40_000)])[:-2])


async def body_whole(lab: Lab, client: Client) -> None:
    await client.send(post(padded(100_000)))


async def body_unpacked(lab: Lab, client: Client) -> None:
    packed = gzip.compress(padded(1 * MB))
    await client.send(post(packed, headers=[(b"Content-Encoding", b"gzip")]))
    await eventually(lambda: held(lab) >= 1 * MB)


async def body_chunked(lab: Lab, client: Client) -> None:
    body = padded(100_000)
    await client.send(chunked_post([body[:50_000], body[50_000:]])[:-5])


async def pipelined(lab: Lab, client: Client) -> None:
    await client.send(post() + post(padded(50_000)))


HOLDERS: dict[str, Callable[[Lab, Client], Awaitable[None]]] = {
    "unfinished head": head_in_pieces,
    "body": body_whole,
    "unpacked body": body_unpacked,
    "chunked body": body_chunked,
    "pipelined": pipelined,
}


@pytest.mark.parametrize("kind", HOLDERS)
async def test_what_is_held_is_charged_and_given_back(lab: Lab, kind: str) -> None:
    lab.start(lab.upstream(Stage()))
    client = await lab.client()
    await HOLDERS[kind](lab, client)
    await eventually(lambda: held(lab) >= 40_000)
    shares = lab.relay.reactor.account.shares
    assert sum(share.held for share in shares.values()) == held(lab)
    client.reset()
    await settled(lab)
    await eventually(lambda: not shares, "a share of nobody was left")


async def test_a_rewritten_body_is_charged_while_it_is_sent(lab: Lab) -> None:
    stage = Stage()
    lab.start(provider(lab.upstream(stage), type="ollama", auth="none", keys=()))
    client = await lab.client()
    body = b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % (b"y" * MB)
    await client.send(post(body))
    peer = await stage.peer()
    assert held(lab) >= 2 * MB
    await peer.send(JSON)
    assert (await client.answer()).status == 200
    await settled(lab)


async def test_a_response_for_a_client_that_does_not_read_is_charged(lab: Lab) -> None:
    lab.start(lab.upstream(always(CHUNKED_HEAD + chunks(b"data: " + b"y" * 8 * MB, last=False))))
    client = await lab.client(rcvbuf=4096)
    await client.send(post(b'{"model":"m","stream":true}'))
    await eventually(lambda: held(lab) > 100_000)
    client.reset()
    await settled(lab)


async def test_a_response_that_is_collected_is_charged(lab: Lab) -> None:
    begun = b"HTTP/1.1 500 Bad\r\nContent-Length: 900000\r\n\r\n" + b"y" * 800_000
    lab.start(lab.upstream(always(begun)))
    client = await lab.client()
    await client.send(post())
    await eventually(lambda: held(lab) >= 800_000)
    client.reset()
    await settled(lab)


# ---- when it is used up


async def refused_body(lab: Lab, client: Client) -> None:
    answer = await client.ask(post(padded(3 * MB), headers=fields(TOKENS[0])))
    assert (answer.status, answer.error["type"]) == (529, "overloaded_error")


async def refused_chunks(lab: Lab, client: Client) -> None:
    body = padded(3 * MB)
    wire = chunked_post([body]).replace(b"\r\n\r\n", b"\r\nX-Api-Key: test-token-1\r\n\r\n", 1)
    answer = await client.ask(wire)
    assert answer.status == 529


async def refused_gzip(lab: Lab, client: Client) -> None:
    headers = [*fields(TOKENS[0]), (b"Content-Encoding", b"gzip")]
    answer = await client.ask(post(gzip.compress(padded(3 * MB)), headers=headers))
    assert answer.status == 529


async def refused_head(lab: Lab, client: Client) -> None:
    await client.send(b"GET /health HTTP/1.1\r\nX-Long: " + b"y" * 40_000)
    answer = await client.answer("GET")
    assert (answer.status, answer.get(b"connection")) == (529, b"close")


REFUSED: dict[str, Callable[[Lab, Client], Awaitable[None]]] = {
    "chunked body": refused_chunks,
    "gzip body": refused_gzip,
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_what_finds_no_room_is_529_and_the_next_one_is_served(lab: Lab, kind: str) -> None:
    lab.start(
        lab.upstream(always(JSON)),
        server=server(auth=Auth(tokens=TOKENS), replay_bytes_max=2 * MB, memory_bytes_max=2 * MB),
    )
    await REFUSED[kind](lab, await lab.client())
    assert (await lab.ask(post(headers=fields(TOKENS[0])))).status == 200
    await settled(lab)


async def test_a_head_that_finds_no_room_is_529(lab: Lab) -> None:
    relay = lab.start(lab.upstream(always(JSON)), server=server(memory_bytes_max=1 << 20))
    relay.reactor.account.bytes_max = 20_000
    await refused_head(lab, await lab.client())
    assert (await lab.ask(request(b"GET", b"/health"), method="GET")).status == 200
    await settled(lab)


async def test_a_response_that_finds_no_room_ends_the_client_and_blames_no_provider(
    lab: Lab,
) -> None:
    error = response(500, b"y" * 900_000)
    relay = lab.start(lab.upstream(always(error)))
    relay.reactor.account.bytes_max = 200_000
    for _ in range(12):
        answer = await lab.ask(post())
        assert (answer.status, answer.error["type"]) == (529, "overloaded_error")
    assert relay.providers[0].usable(relay.reactor.now)
    assert not lab.sink.named("breaker")
    await settled(lab)


# ---- shares


async def test_one_client_cannot_take_all_of_it(lab: Lab) -> None:
    """While one token's bodies fill its share, another's body is still kept for a retry."""
    first = lab.upstream(Stage())
    relay = lab.start(
        provider(first, "first"), server=server(auth=Auth(tokens=TOKENS), replay_bytes_max=16 * MB)
    )
    for _ in range(12):
        client = await lab.client()
        await client.send(post(padded(1_900_000), headers=fields(TOKENS[0]))[:-5])
    await asyncio.sleep(0.2)
    account = relay.reactor.account
    hog = next(share for name, share in account.shares.items() if share.held > MB)
    assert 6 * MB < hog.held <= 12 * MB + 12 * 524_288
    other = await lab.client()
    await other.send(post(padded(1_000_000), headers=fields(TOKENS[1]))[:-5])
    await eventually(lambda: len(relay.context.active) == 13)
    down = next(d for d in relay.dispatcher.connections if d.share.client != hog.client)
    await eventually(lambda: down.body_seen() > 900_000)
    assert down.can_replay()
    for client in lab.clients:
        client.close()
    await settled(lab)


async def test_a_connection_is_charged_to_its_token_then_to_the_next(lab: Lab) -> None:
    relay = lab.start(lab.upstream(always(JSON)), server=server(auth=Auth(tokens=TOKENS)))
    client = await lab.client()
    names = []
    for token in (TOKENS[0], TOKENS[1], TOKENS[0]):
        assert (await client.ask(post(headers=fields(token)))).status == 200
        names.append(next(iter(relay.dispatcher.connections)).share.client)
    assert names[0] == names[2] != names[1]
    client.close()
    await eventually(lambda: not relay.reactor.account.shares)


async def test_a_body_that_loses_its_room_while_it_arrives_passes_through_a_window(
    lab: Lab,
) -> None:
    """The room was there when it was announced; it goes on unkept, and arrives whole."""
    got: list[bytes] = []

    async def script(peer: Peer) -> None:
        got.append((await peer.request()).body)
        await peer.send(JSON)

    relay = lab.start(lab.upstream(script), server=server(replay_bytes_max=16 * MB))
    body = padded(8 * MB)
    wire = post(body)
    client = await lab.client()
    await client.send(wire[: 3 * MB])
    await eventually(lambda: held(lab) >= 3 * MB)
    down = next(iter(relay.dispatcher.connections))
    assert down.can_replay()
    others = relay.reactor.account.share(b"others")
    others.put(15 * MB)
    sending = asyncio.ensure_future(client.send(wire[3 * MB :]))
    assert (await client.answer()).status == 200
    await sending
    assert not others.fits(0, 0)
    others.give(15 * MB)
    assert got == [body]
    await settled(lab)


async def test_a_body_that_is_awaited_whole_and_loses_its_room_is_529(lab: Lab) -> None:
    relay = lab.start(
        provider(lab.upstream(always(JSON)), type="ollama", auth="none", keys=()),
        server=server(replay_bytes_max=16 * MB),
    )
    client = await lab.client()
    wire = post(padded(8 * MB))
    await client.send(wire[: 3 * MB])
    await eventually(lambda: held(lab) >= 3 * MB)
    others = relay.reactor.account.share(b"others")
    others.put(15 * MB)
    sending = asyncio.ensure_future(client.send(wire[3 * MB :]))
    assert (await client.answer()).status == 529
    await asyncio.gather(sending, return_exceptions=True)
    others.give(15 * MB)


async def test_small_bodies_need_no_memory_for_retries(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(replay_bytes_max=0))
    assert (await lab.ask(post(padded(200_000)))).status == 200
    assert (await lab.ask(chunked_post([BODY]))).status == 200
