"""The same exactness over TLS, both ways: records end where they like, a silent end is a cut."""

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from ccrelay._fast import libssl
from ccrelay.upstream import tls
from tests.loopback.relay.harness import Lab, provider
from tests.loopback.relay.sealed import WAYS, make_certificate
from tests.loopback.relay.wires import (
    BLOCK,
    CHUNKED_HEAD,
    CLOSE_HEAD,
    EVENTS,
    MESSAGE,
    START,
    STOP,
    STREAM_BODY,
    chunks,
    delta,
    padded,
    post,
    response,
)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True, params=WAYS)
def _way(
    request: pytest.FixtureRequest, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setenv("SSL_CERT_FILE", str(pem.with_name("cert.pem")))
    tls.context.cache_clear()
    libssl.use(request.param == "libssl")
    yield
    libssl.use(True)
    tls.context.cache_clear()


async def serve(lab: Lab, pem: Path, script: Serve) -> list[asyncio.StreamWriter]:
    """Start the relay before a TLS provider; returns the provider's ends, as they come."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    writers: list[asyncio.StreamWriter] = []

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=context)
    lab.closers.append(server.close)
    lab.start(provider(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    return writers


async def take(reader: asyncio.StreamReader) -> bytes:
    """The body of the next request."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return await reader.readexactly(int(length.split(b":")[1]))


def answers(*pieces: bytes) -> Serve:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await take(reader)
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0)

    return script


async def test_streams_are_identical_over_tls_whatever_the_records_hold(
    lab: Lab, pem: Path
) -> None:
    wire = CHUNKED_HEAD + chunks(EVENTS[:100], EVENTS[100:])
    pieces = [wire[i : i + 3] for i in range(0, len(wire), 3)]
    writers = await serve(lab, pem, answers(*pieces))
    client = await lab.client()
    for _ in range(5):
        answer = await client.ask(post(STREAM_BODY))
        assert (answer.body, answer.cut) == (EVENTS, False)
    assert len(writers) == 1


@pytest.mark.parametrize("size", [1000, 16_384, 100_000, 5_000_000])
async def test_large_bodies_pass_both_ways_over_tls(lab: Lab, pem: Path, size: int) -> None:
    digests = []
    big = b'{"type":"message","x":"' + b"z" * size + b'"}'

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            digests.append(hashlib.sha256(await take(reader)).digest())
            writer.write(response(200, big))
            await writer.drain()

    await serve(lab, pem, script)
    client = await lab.client()
    body = padded(size)
    for _ in range(2):
        assert (await client.ask(post(body))).body == big
    assert digests == [hashlib.sha256(body).digest()] * 2


async def test_a_slow_client_stops_a_tls_provider_and_gets_every_byte(lab: Lab, pem: Path) -> None:
    piece = chunks(delta("y" * 65_536), last=False)
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await take(reader)
        writer.write(CHUNKED_HEAD + chunks(START + BLOCK, last=False))
        for _ in range(400):
            writer.write(piece)
            await writer.drain()
            sent += 1
        writer.write(chunks(STOP))
        await reader.read()

    await serve(lab, pem, script)
    client = await lab.client(rcvbuf=65_536)
    await client.send(post(STREAM_BODY))
    await asyncio.sleep(0.4)
    assert sent < 300
    assert max(down.queued for down in lab.relay.dispatcher.connections) < 1_000_000
    answer = await client.answer()
    assert answer.body == START + BLOCK + delta("y" * 65_536) * 400 + STOP


@pytest.mark.parametrize(
    "wire", [CLOSE_HEAD, CHUNKED_HEAD + b"1\r\n:\r\n", response(200, b"", length=9)]
)
async def test_an_end_without_notice_is_never_a_whole_answer(
    lab: Lab, pem: Path, wire: bytes
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader)
        writer.write(wire + (START + BLOCK if wire is CLOSE_HEAD else b""))
        await asyncio.sleep(0.05)
        writer.transport.abort()  # TCP ends, TLS said nothing

    await serve(lab, pem, script)
    answer = await lab.ask(post(STREAM_BODY))
    assert answer.cut or answer.status == 502


async def test_a_body_that_ends_with_a_tls_goodbye_is_whole(lab: Lab, pem: Path) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader)
        writer.write(CLOSE_HEAD + EVENTS)

    await serve(lab, pem, script)
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.body, answer.cut) == (EVENTS, False)


async def test_a_client_that_leaves_ends_the_tls_connection(lab: Lab, pem: Path) -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take(reader)
        writer.write(CHUNKED_HEAD + chunks(START + BLOCK, last=False))
        try:
            await reader.read()
        finally:
            ended.set()

    await serve(lab, pem, script)
    client = await lab.client()
    await client.send(post(STREAM_BODY))
    await client.until(BLOCK)
    client.close()
    await asyncio.wait_for(ended.wait(), 1)
    assert (await lab.records())[0]["ending"] == "client_left"


async def test_a_stale_tls_connection_is_replaced(lab: Lab, pem: Path) -> None:
    seen = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        await take(reader)
        writer.write(response(200, MESSAGE))
        await take(reader)
        if seen > 1:
            writer.write(response(200, MESSAGE))

    await serve(lab, pem, script)
    client = await lab.client()
    for _ in range(2):
        assert (await client.ask(post())).status == 200
    assert (seen, lab.sink.records[1]["attempts"]) == (2, 1)
