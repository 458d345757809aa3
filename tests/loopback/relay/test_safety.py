"""HTTP that lies, dawdles or exaggerates is refused, and the next client is served."""

import asyncio

import pytest

from tests.corpus.http1.entries import ENTRIES, Entry
from tests.loopback.relay.harness import Client, Lab, Peer, provider, server
from tests.loopback.relay.scripts import JSON, STREAM, Stage, always
from tests.loopback.relay.wires import (
    BODY,
    CHUNKED_HEAD,
    EVENTS,
    MESSAGE,
    STREAM_BODY,
    Ended,
    Request,
    chunks,
    padded,
    post,
    request,
    response,
)

INVALID = [e for e in ENTRIES if e.kind == "request" and e.verdict not in ("OK", "SHORT")]
# Where even a lenient reader sees no end of the head, waiting for it is right.
ENDLESS = [entry for entry in INVALID if b"\n\r\n" not in entry.data]


async def attack(lab: Lab, entry: Entry, pieces: int) -> str:
    """What is wrong with the answer to a corpus entry sent in so many pieces; nothing: empty."""
    client = await lab.client()
    size = -(-len(entry.data) // pieces)
    await client.send(
        *[entry.data[i : i + size] for i in range(0, len(entry.data), size)], pause_s=0.005
    )
    answer = await client.answer()
    client.close()
    statuses = (400, 408, 431) if entry in ENDLESS else (400, 431)
    fine = answer.status in statuses and answer.get(b"connection") == b"close"
    return "" if fine and not client.pending else f"{entry.name}: {answer}"


@pytest.mark.parametrize(("endless", "pieces"), [(False, 1), (False, 3), (True, 2)])
async def test_every_smuggling_attempt_is_refused_and_the_connection_is_over(
    lab: Lab, endless: bool, pieces: int
) -> None:
    got: list[Request] = []
    lab.start(
        provider(lab.upstream(always(JSON, into=got)), type="anthropic"),
        server=server(allowed_hosts=["*"], head_s=0.3 if endless else 10.0),
    )
    entries = ENDLESS if endless else [entry for entry in INVALID if entry not in ENDLESS]
    verdicts = await asyncio.gather(*(attack(lab, entry, pieces) for entry in entries))
    assert [verdict for verdict in verdicts if verdict] == []
    assert got == []
    assert (await lab.ask(post())).status == 200


async def test_what_follows_a_refused_request_is_not_read_as_one(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    client = await lab.client()
    both = [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")]
    await client.send(request(b"POST", b"/v1/messages", both) + b"0\r\n\r\n" + post())
    assert (await client.answer()).status == 400
    assert await client.rest() == b""
    assert got == []


async def test_a_slow_head_is_408(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(head_s=0.2))
    client = await lab.client()
    await client.send(post()[:30])
    await asyncio.sleep(0.1)
    await client.send(post()[30:40])  # a drip does not buy time
    answer = await client.answer(wait_s=1)
    assert (answer.status, answer.get(b"connection")) == (408, b"close")
    assert answer.error["type"] == "timeout_error"


async def test_a_connection_without_a_byte_is_closed_without_a_word(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(head_s=0.2))
    client = await lab.client()
    assert await client.rest(1) == b""
    assert client.end is Ended.CLOSED


async def test_a_slow_body_is_408(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(body_idle_s=0.2))
    client = await lab.client()
    await client.send(post()[:-5])
    answer = await client.answer(wait_s=1)
    assert (answer.status, answer.get(b"connection")) == (408, b"close")


async def test_a_body_that_keeps_coming_is_not_slow(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(body_idle_s=0.2))
    wire = post()
    pieces = [wire[:-60], *[wire[i : i + 10] for i in range(len(wire) - 60, len(wire), 10)]]
    assert (await lab.ask(*pieces, pause_s=0.06)).status == 200


@pytest.mark.parametrize("whole", [True, False])
async def test_a_head_over_the_limit_is_431(lab: Lab, whole: bool) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(head_bytes_max=4096))
    wire = post(headers=[(b"X-Long", b"y" * 5000)])
    answer = await lab.ask(wire if whole else wire[:5000])
    assert (answer.status, answer.error["type"]) == (431, "request_too_large")
    assert answer.get(b"connection") == b"close"


async def test_a_head_of_just_the_limit_is_served(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(head_bytes_max=4096))
    bare = len(post(headers=[(b"X-Long", b"")])) - len(BODY)
    client = await lab.client()
    for more, status in ((0, 200), (1, 431)):
        wire = post(headers=[(b"X-Long", b"y" * (4096 - bare + more))])
        assert (await client.ask(wire[:2000], wire[2000:])).status == status


async def test_too_many_header_fields_are_431(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(header_count_max=20))
    fields = [(b"X-%d" % i, b"") for i in range(18)]
    assert (await lab.ask(post(headers=fields))).status == 200
    fields.append((b"X-One-More", b""))
    assert (await lab.ask(post(headers=fields))).status == 431


# ---- several requests on one connection


async def test_pipelined_requests_are_answered_in_order_however_they_are_cut(lab: Lab) -> None:
    async def echo(peer: Peer) -> None:
        while True:
            got = await peer.request()
            await peer.send(response(200, got.body))

    lab.start(lab.upstream(echo))
    bodies = [b'{"model":"m","type":"message","n":%d}' % n for n in range(3)]
    wire = b"".join(post(body) for body in bodies)
    client = await lab.client()
    for cut in [0, *range(1, len(wire), 7)]:
        await client.send(wire[:cut], wire[cut:])
        assert [(await client.answer()).body for _ in bodies] == bodies


async def test_pipelined_requests_of_every_kind_keep_their_order(lab: Lab) -> None:
    lab.start(lab.upstream(always(STREAM)))
    kinds = [
        (request(b"GET", b"/health"), "GET", 200),
        (post(STREAM_BODY), "POST", 200),
        (request(b"HEAD", b"/api/hello"), "HEAD", 200),
        (post(b'{"model":7}'), "POST", 400),
        (post(STREAM_BODY), "POST", 200),
    ]
    client = await lab.client()
    await client.send(b"".join(wire for wire, _, _ in kinds))
    for _, method, status in kinds:
        answer = await client.answer(method)
        assert answer.status == status
        if answer.get(b"connection") == b"close":
            break


async def test_more_pipelined_requests_than_are_kept_are_all_answered(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    client = await lab.client()
    wire = post(padded(30_000))
    sending = asyncio.ensure_future(client.send(wire * 12))
    for _ in range(12):
        assert (await client.answer()).status == 200
    await sending
    assert len(got) == 12


async def test_answers_to_a_client_that_pipelines_but_never_reads_stay_bounded(lab: Lab) -> None:
    relay = lab.start(lab.upstream(always(JSON)))
    client = await lab.client(rcvbuf=4096)
    sending = asyncio.ensure_future(client.send(request(b"GET", b"/v1/models") * 200_000))
    queued = 0
    for _ in range(25):
        await asyncio.sleep(0.02)
        queued = max([queued, *(down.queued for down in relay.dispatcher.connections)])
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert queued < 1_000_000


async def test_pipelined_answers_resume_when_the_client_reads_again(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client(rcvbuf=4096)
    count = 20_000
    sending = asyncio.ensure_future(client.send(request(b"GET", b"/health") * count))
    await asyncio.sleep(0.2)
    seen = tail = 0
    while seen < count:
        assert await client.more()
        text = client.pending
        seen += text.count(b'{"status":"ok"}')
        tail = max(text.rfind(b'{"status":"ok"}') + 1, len(text) - 14)
        client.pending = text[tail:]
    await sending


async def test_a_kept_connection_serves_many_requests_and_ends_when_idle(lab: Lab) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(upstream, server=server(keepalive_s=0.2))
    client = await lab.client()
    for _ in range(50):
        assert (await client.ask(post())).get(b"connection") is None
    assert upstream.connections == 1
    assert await client.rest(1) == b""
    assert client.end is Ended.CLOSED


async def test_connection_close_is_honoured(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    answer = await client.ask(post(headers=[(b"Connection", b"close")]))
    assert (answer.status, answer.get(b"connection")) == (200, b"close")
    assert await client.rest() == b""


async def test_a_slow_reader_of_a_whole_answer_is_not_idle(lab: Lab) -> None:
    big = b'{"type":"message","x":"' + b"y" * 250_000 + b'"}'
    lab.start(lab.upstream(always(response(200, big))), server=server(keepalive_s=0.2))
    client = await lab.client(rcvbuf=2048)
    await client.send(post())
    await asyncio.sleep(0.5)
    answer = await client.answer()
    assert (answer.cut, answer.body) == (False, big)


# ---- HTTP/1.0 and methods


async def test_an_old_client_gets_a_stream_that_ends_with_the_connection(lab: Lab) -> None:
    lab.start(lab.upstream(always(STREAM)))
    client = await lab.client()
    answer = await client.ask(post(STREAM_BODY, version=b"1.0"))
    assert answer.get(b"transfer-encoding") is None
    assert (answer.status, answer.body, answer.end) == (200, EVENTS, Ended.CLOSED)


async def test_an_old_client_gets_a_length_where_there_is_one(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    answer = await lab.ask(post(version=b"1.0"))
    assert (answer.body, answer.get(b"content-length")) == (MESSAGE, b"%d" % len(MESSAGE))


async def test_an_old_client_sees_that_a_cut_stream_is_no_whole_one(lab: Lab) -> None:
    stage = Stage()
    lab.start(lab.upstream(stage))
    client = await lab.client()
    await client.send(post(STREAM_BODY, version=b"1.0"))
    peer = await stage.peer()
    await peer.send(CHUNKED_HEAD + chunks(EVENTS[:-200], last=False))
    await client.until(EVENTS[-300:-200])
    peer.reset()
    await client.rest()
    assert client.end is Ended.RESET


async def test_a_head_request_gets_a_head(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    for path, status in ((b"/api/hello", 200), (b"/v1/models", 200), (b"/nowhere", 404)):
        answer = await client.ask(request(b"HEAD", path), method="HEAD")
        assert (answer.status, answer.body) == (status, b"")
        assert int(answer.get(b"content-length") or 0) > 0
    assert not client.pending


async def test_a_forwarded_head_request_waits_for_no_body(lab: Lab) -> None:
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    upstream = lab.upstream(always(reply))
    lab.start(provider(upstream, type="anthropic", passthrough=["files"]))
    client = await lab.client()
    for _ in range(2):
        answer = await client.ask(request(b"HEAD", b"/v1/files"), method="HEAD")
        assert (answer.status, answer.get(b"content-length")) == (200, b"500")
    assert upstream.connections == 1


async def refused(client: Client, wire: bytes) -> tuple[int, str]:
    answer = await client.ask(wire)
    assert answer.get(b"request-id")
    return answer.status, answer.error["type"]


async def test_wrong_doors_are_named(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    assert await refused(client, request(b"GET", b"/v1/messages")) == (405, "invalid_request_error")
    assert await refused(client, request(b"PUT", b"/v1/messages/count_tokens", body=b""))
    assert await refused(client, request(b"GET", b"/admin")) == (404, "not_found_error")
    assert (await client.ask(post())).status == 200


async def test_hosts_and_origins_that_are_not_ours_are_403(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    for wire in (
        post().replace(b"Host: localhost", b"Host: rebound.example"),
        post(headers=[(b"Origin", b"https://evil.example")]),
        request(b"GET", b"/health").replace(b"localhost", b"rebound.example"),
        request(b"GET", b"/", [(b"Origin", b"null")]),
    ):
        assert await refused(client, wire) == (403, "permission_error")
    assert (await client.ask(post())).status == 200
    for host in (b"127.0.0.1:8787", b"[::1]:8787", b"LOCALHOST"):
        assert (await client.ask(post().replace(b"localhost", host))).status == 200


@pytest.mark.parametrize("cut", [1, 30, 4000])
async def test_part_of_a_request_and_a_reset_that_come_together_leave_nothing(
    lab: Lab, cut: int
) -> None:
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    client.sock.send(post(padded(5000))[:cut])
    client.reset()  # before the relay could read: uvloop tells of both at once, and never again


async def test_a_request_torn_by_a_reset_leaves_nothing(lab: Lab) -> None:
    relay = lab.start(lab.upstream(always(JSON)))
    wire = post(padded(5000))
    for cut in (0, 1, 30, 200, 4000):
        client = await lab.client()
        await client.send(wire[:cut])
        client.reset()
    assert (await lab.ask(post())).status == 200
    assert len(relay.context.active) == 0
