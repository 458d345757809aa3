"""TLS to a provider record by record, through libssl's functions and through Python's `ssl`."""

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccrelay._fast import libssl
from ccrelay.upstream import tls
from tests.loopback.relay.harness import WAIT_S, Lab, Peer, eventually, provider, server
from tests.loopback.relay.sealed import (
    WAYS,
    CommandingPeer,
    SealedPeer,
    https,
    make_certificate,
    server_context,
)
from tests.loopback.relay.wires import (
    BLOCK,
    CHUNKED_HEAD,
    CLOSE_HEAD,
    EVENTS,
    MESSAGE,
    START,
    STREAM_BODY,
    chunks,
    padded,
    post,
    response,
)

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
Script = Callable[[Any], Awaitable[None]]

both_versions = pytest.mark.parametrize("version", [TLS12, TLS13])
# The provider's part of it: only where the tests find the library's functions, too.
commanding = pytest.mark.skipif(
    not libssl.available(), reason=f"a provider here cannot do this: {libssl.reason()}"
)


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


def serve(
    lab: Lab,
    pem: Path,
    *scripts: Script,
    version: ssl.TLSVersion = TLS13,
    kind: type[SealedPeer] = SealedPeer,
    **sections: Any,
) -> list[SealedPeer]:
    """Start the relay before a scripted TLS provider; returns its ends, as they come."""
    context = server_context(pem, version)
    peers: list[SealedPeer] = []

    def sealed(script: Script) -> Callable[[Peer], Awaitable[None]]:
        async def run(peer: Peer) -> None:
            peers.append(kind(peer, context))
            await script(peers[-1])

        return run

    upstream = lab.upstream(*map(sealed, scripts))
    lab.start(provider(https(upstream)), **sections)
    return peers


@both_versions
async def test_records_may_come_byte_by_byte(lab: Lab, pem: Path, version: ssl.TLSVersion) -> None:
    async def script(peer: SealedPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        wire = b"".join(
            peer.seal(piece) for piece in (CHUNKED_HEAD, chunks(START + BLOCK, EVENTS[-90:]))
        )
        await peer.peer.send(*(wire[k : k + 1] for k in range(len(wire))))
        await peer.more()

    serve(lab, pem, script, version=version)
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.body, answer.cut) == (START + BLOCK + EVENTS[-90:], False)


async def test_a_record_may_be_cut_at_every_byte(lab: Lab, pem: Path) -> None:
    body = b'{"type":"message","x":"' + b"y" * 40 + b'"}'
    cuts = 0

    async def script(peer: SealedPeer) -> None:
        nonlocal cuts
        await peer.shake_hands()
        while True:
            await peer.request()
            # two records, so that a cut is at the end of one, too
            sealed = peer.seal(response(200, body)[:60]) + peer.seal(response(200, body)[60:])
            cuts += 1
            await peer.peer.send(sealed[:cuts], sealed[cuts:])

    serve(lab, pem, script)
    client = await lab.client()
    size = len(response(200, body)) + 2 * 22  # header, type and tag of each: RFC 8446 section 5.2
    for _ in range(size):
        answer = await client.ask(post())
        assert (answer.body, answer.cut) == (body, False)
    assert cuts == size


@both_versions
@pytest.mark.parametrize("cut", [None, 0, 1, 5, 6, 40])
async def test_what_comes_with_the_handshakes_last_flight_is_not_lost(
    lab: Lab, pem: Path, version: ssl.TLSVersion, cut: int | None
) -> None:
    # A provider that answers before it is asked is odd, but its bytes have their order.
    async def script(peer: SealedPeer) -> None:
        await peer.shake_hands(response(200, MESSAGE)[:50], cut)
        await peer.request()
        await peer.peer.send(peer.kept + peer.seal(response(200, MESSAGE)[50:]))
        await peer.more()

    serve(lab, pem, script, version=version)
    answer = await lab.ask(post())
    assert (answer.status, answer.body) == (200, MESSAGE)


@both_versions
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("fin", [False, True])
async def test_a_goodbye_ends_a_body_with_or_without_data_before_it(
    lab: Lab, pem: Path, version: ssl.TLSVersion, apart: bool, fin: bool
) -> None:
    async def script(peer: SealedPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        data, goodbye = peer.seal(CLOSE_HEAD + EVENTS), peer.goodbye()
        await peer.peer.send(*((data, goodbye) if apart else (data + goodbye,)), pause_s=0.02)
        if not fin:
            await peer.peer.rest()

    serve(lab, pem, script, version=version)
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.body, answer.cut) == (EVENTS, False)


@both_versions
async def test_what_follows_a_goodbye_is_not_read(
    lab: Lab, pem: Path, version: ssl.TLSVersion
) -> None:
    async def script(peer: SealedPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        late = peer.seal(CLOSE_HEAD + EVENTS)
        await peer.peer.send(late + peer.goodbye() + late + b"\x16\x03\x01\x00\x05hello")
        await peer.peer.rest()

    serve(lab, pem, script, version=version)
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.body, answer.cut) == (EVENTS, False)


@pytest.mark.parametrize("goodbye", [False, True])
async def test_an_end_in_the_middle_is_a_cut_with_and_without_a_goodbye(
    lab: Lab, pem: Path, goodbye: bool
) -> None:
    async def script(peer: SealedPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        await peer.send(CHUNKED_HEAD + chunks(START + BLOCK + EVENTS[-90:], last=False)[:-40])
        if goodbye:
            await peer.peer.send(peer.goodbye())

    serve(lab, pem, script)
    assert (await lab.ask(post(STREAM_BODY))).cut


@both_versions
async def test_a_forged_record_is_answered_with_an_alert_and_passes_nothing(
    lab: Lab, pem: Path, version: ssl.TLSVersion
) -> None:
    told: list[str] = []

    async def forge(peer: SealedPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        good, bad = peer.seal(CLOSE_HEAD + START), bytearray(peer.seal(BLOCK))
        bad[-1] ^= 1
        await peer.peer.send(good + bytes(bad) + peer.seal(EVENTS[-90:]) + peer.goodbye())
        try:
            await peer.more()
        except ssl.SSLError as error:
            told.append(str(error.reason))

    async def answer_well(peer: SealedPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        await peer.send(response(200, MESSAGE))
        await peer.more()

    serve(lab, pem, forge, answer_well, version=version)
    answer = await lab.ask(post(STREAM_BODY))
    assert b"content_block" not in answer.body
    assert answer.cut or answer.status != 200 or answer.body == MESSAGE
    await eventually(lambda: bool(told), "no alert came")
    assert "BAD_RECORD_MAC" in told[0]
    # The error is out of the thread's queue: the next handshake and answer are not disturbed.
    assert (await lab.ask(post())).body == MESSAGE


@both_versions
@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x17\x03\x03\xff\xff"])
async def test_what_is_no_record_is_no_answer(
    lab: Lab, pem: Path, version: ssl.TLSVersion, garbage: bytes
) -> None:
    async def script(peer: SealedPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        await peer.peer.send(garbage + bytes(64))
        await peer.peer.gone()

    serve(lab, pem, script, version=version)
    assert (await lab.ask(post())).status == 502


@commanding
async def test_keys_may_be_updated_at_any_time(lab: Lab, pem: Path) -> None:
    bodies: list[bytes] = []

    async def script(peer: CommandingPeer) -> None:
        await peer.shake_hands()
        for _ in range(3):
            bodies.append((await peer.request()).body)
            await peer.send(CHUNKED_HEAD)
            peer.update_keys()
            await peer.send(chunks(START, last=False))
            peer.update_keys()
            await peer.send(chunks(BLOCK, EVENTS[-90:]))
        await peer.more()

    peers = serve(lab, pem, script, kind=CommandingPeer)
    client = await lab.client()
    for _ in range(3):
        answer = await client.ask(post(STREAM_BODY))
        assert (answer.body, answer.cut) == (START + BLOCK + EVENTS[-90:], False)
    assert (len(peers), len(bodies), set(bodies)) == (1, 3, {STREAM_BODY})


@commanding
async def test_a_renegotiation_is_refused_and_harms_no_answer(lab: Lab, pem: Path) -> None:
    refused: list[str] = []

    async def script(peer: CommandingPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        await peer.send(CHUNKED_HEAD)
        await peer.peer.send(peer.renegotiate() + peer.seal(chunks(EVENTS)))
        try:
            await peer.more()
        except ssl.SSLError as error:
            refused.append(str(error.reason))

    serve(lab, pem, script, version=TLS12, kind=CommandingPeer)
    answer = await lab.ask(post(STREAM_BODY))
    assert (answer.body, answer.cut) == (EVENTS, False)
    await eventually(lambda: bool(refused), "the provider was not refused")
    assert "RENEGOTIATION" in refused[0]


@both_versions
async def test_the_next_connection_resumes_the_session(
    lab: Lab, pem: Path, version: ssl.TLSVersion
) -> None:
    async def script(peer: SealedPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        await peer.send(response(200, MESSAGE))
        await peer.peer.send(peer.goodbye())

    peers = serve(lab, pem, script, version=version)
    client = await lab.client()
    for _ in range(3):
        assert (await client.ask(post())).body == MESSAGE
        await eventually(lambda: lab.relay.stats()["idle_upstreams"] == 0)
    assert [peer.obj.session_reused for peer in peers] == [False, True, True]


async def test_a_kept_connection_is_closed_with_a_goodbye(lab: Lab, pem: Path) -> None:
    said: list[bool] = []

    async def script(peer: SealedPeer) -> None:
        await peer.shake_hands()
        await peer.request()
        await peer.send(response(200, MESSAGE))
        said.append(await peer.more())  # raises at an end without one
        said.append(peer.peer.end is None)

    serve(lab, pem, script)
    assert (await lab.ask(post())).status == 200
    await lab.stop(lab.relay)
    await eventually(lambda: len(said) == 2, "no goodbye")
    assert said == [False, True]


@both_versions
async def test_a_provider_that_stops_reading_stops_the_upload(
    lab: Lab, pem: Path, version: ssl.TLSVersion
) -> None:
    body = padded(12_000_000)
    connected, reads = asyncio.Event(), asyncio.Event()
    digests: list[bytes] = []

    async def script(peer: SealedPeer) -> None:
        await peer.shake_hands()
        connected.set()
        await reads.wait()
        digests.append(hashlib.sha256(await peer.body()).digest())
        await peer.send(response(200, MESSAGE))
        await peer.more()

    sizes = {"body_bytes_max": 16_000_000}
    serve(lab, pem, script, version=version, server=server(**sizes))
    client = await lab.client()
    sending = asyncio.get_running_loop().create_task(client.send(post(body)))
    await asyncio.wait_for(connected.wait(), WAIT_S)
    await asyncio.sleep(0.3)
    (upstream,) = lab.open_upstreams()
    assert upstream.queued < 1_000_000
    reads.set()
    await asyncio.wait_for(sending, WAIT_S)
    assert (await client.answer()).body == MESSAGE
    assert digests == [hashlib.sha256(body).digest()]
