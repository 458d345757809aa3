"""Request bodies: sizes, framings, encodings, and what is found in them."""

import asyncio
import gzip
import os
import zlib

import pytest

from ccrelay.config.model import Key
from tests.loopback.relay.harness import Lab, Peer, eventually, provider, routing, server
from tests.loopback.relay.scripts import JSON, Stage, always, blind
from tests.loopback.relay.wires import (
    BODY,
    Request,
    chunked_post,
    chunks,
    padded,
    post,
    request,
    response,
)

GZIP = [(b"Content-Encoding", b"gzip")]
MB = 1_000_000


@pytest.mark.parametrize("size", [33_554_432, 5 * MB])
@pytest.mark.parametrize("model_last", [False, True])
async def test_large_bodies_arrive_whole(lab: Lab, size: int, model_last: bool) -> None:
    sizes: list[tuple[int, int]] = []
    body = padded(size, model_last)

    async def script(peer: Peer) -> None:
        head = await peer.until(b"\r\n\r\n")
        crc, left = zlib.crc32(head.partition(b"\r\n\r\n")[2]), len(head.partition(b"\r\n\r\n")[2])
        while left < size:
            peer.pending = b""
            assert await peer.more()
            crc = zlib.crc32(peer.pending, crc)
            left += len(peer.pending)
        sizes.append((left, crc))
        await peer.send(JSON)

    lab.start(lab.upstream(script))
    assert (await lab.ask(post(body))).status == 200
    assert sizes == [(size, zlib.crc32(body))]


async def test_one_byte_over_the_limit_is_413_even_for_a_client_that_reads_late(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    answer = await lab.ask(post(padded(33_554_433)))
    assert answer.status == 413
    assert answer.error["type"] == "request_too_large"
    assert answer.get(b"connection") == b"close"
    assert (await lab.ask(post())).status == 200


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    wire = request(b"POST", b"/v1/messages", [(b"Content-Length", b"33554433")])
    answer = await client.ask(wire)
    assert (answer.status, answer.get(b"connection")) == (413, b"close")


NAMES = ["model", "stream", "messages", "system", "tools", "max_tokens", "thinking", "metadata"]
IN_OTHER_LETTERS = [
    *(name.upper() for name in NAMES),
    *(name.capitalize() for name in NAMES),
    "modeL",
    "\\u004dodel",
    "ſtream",
    "\\u017fTREAM",
    "meſſages",
    "thin\u212aing",
    "max_to\\u212aens",
    "TH\u0131NKING",
    "th\u0130nking",
]


@pytest.mark.parametrize("name", IN_OTHER_LETTERS)
@pytest.mark.parametrize("body", ['{"model":"m-1","%s":0}', '{"%s":0,"model":"m-1"}', '{"%s":0}'])
@pytest.mark.parametrize("packed", [False, True])
async def test_a_member_in_other_letters_is_400(
    lab: Lab, name: str, body: str, packed: bool
) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    data = (body % name).encode()
    headers = [(b"Content-Encoding", b"gzip")] if packed else []
    wire = post(gzip.compress(data) if packed else data, headers=headers)
    for pieces in ([wire], [wire[:-5], wire[-5:]]):
        answer = await lab.ask(*pieces, pause_s=0.02)
        assert answer.status == 400
        assert "in other letters" in answer.error["message"]
    assert got == []


@pytest.mark.parametrize(
    "more",
    [
        '"Models":1',
        '"MODE":1',
        '"x":{"MODEL":1}',
        '"x":"\\"MODEL\\":1"',
        '"ＭODEL":1',
        '"mōdel":1',
        '"STREAMS":[]',
    ],
)
async def test_other_members_may_be_written_in_any_letters(lab: Lab, more: str) -> None:
    lab.start(lab.upstream(always(JSON)))
    assert (await lab.ask(post(b'{"model":"m-1",%s}' % more.encode()))).status == 200


@pytest.mark.parametrize("size", [1, 5, 40, 1000])
async def test_chunked_bodies_arrive_whole_with_a_framing_the_provider_can_trust(
    lab: Lab, size: int
) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    body = BODY + b" " * 50
    wire = chunked_post([body[i : i + size] for i in range(0, len(body), size)])
    client = await lab.client()
    for cut in [0, *range(60, len(wire), 37)]:
        answer = await client.ask(wire[:cut], wire[cut:])
        assert answer.status == 200, cut
    assert {r.body for r in got} == {body}


async def test_a_chunked_body_that_comes_slowly_arrives_whole_with_its_model_mapped(
    lab: Lab,
) -> None:
    got: list[Request] = []
    lab.start(provider(lab.upstream(always(JSON, into=got)), model_mapping={"*": "m-2"}))
    wire = chunked_post([b'{"model":"m-1",', b'"x":1', b"}"])
    assert (await lab.ask(wire[:90], wire[90:104], wire[104:], pause_s=0.02)).status == 200
    assert [r.body for r in got] == [b'{"model":"m-2","x":1}']


async def test_a_chunked_body_over_the_limit_is_413(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(body_bytes_max=2000))
    answer = await lab.ask(chunked_post([padded(1500), b" " * 501]))
    assert (answer.status, answer.get(b"connection")) == (413, b"close")
    assert (await lab.ask(chunked_post([padded(1500), b" " * 500]))).status == 200


@pytest.mark.parametrize("tail", [b"zz\r\n", b"5\r\nabcdefgh\r\n", b"-1\r\n", b"0x2\r\n{}\r\n"])
async def test_broken_chunks_are_400_and_the_end_of_the_connection(lab: Lab, tail: bytes) -> None:
    lab.start(lab.upstream(always(JSON)))
    wire = chunked_post([BODY])[:-5] + tail
    for pieces in ([wire], [wire[: -len(tail)], tail]):
        answer = await lab.ask(*pieces, pause_s=0.02)
        assert (answer.status, answer.get(b"connection")) == (400, b"close")


async def test_a_client_that_expects_100_gets_it_and_the_provider_never_sees_the_field(
    lab: Lab,
) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    client = await lab.client()
    wire = post(headers=[(b"Expect", b"100-continue")])
    await client.send(wire[: -len(BODY)])
    assert await client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(BODY)
    answer = await client.answer()
    assert (answer.status, answer.interim) == (200, [100])
    assert got[0].get(b"expect") is None
    assert got[0].body == BODY


async def test_a_refused_request_gets_no_100(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(body_bytes_max=1024))
    fields = [(b"Expect", b"100-continue"), (b"Content-Length", b"5000")]
    answer = await lab.ask(request(b"POST", b"/v1/messages", fields))
    assert (answer.status, answer.interim) == (413, [])


@pytest.mark.parametrize("size", [len(BODY), 200_000, 3 * MB])
async def test_gzip_bodies_go_on_unpacked(lab: Lab, size: int) -> None:
    got: list[Request] = []
    body = BODY if size == len(BODY) else padded(size)
    lab.start(provider(lab.upstream(always(JSON, into=got)), model_mapping={"*": "m-2"}))
    packed = gzip.compress(body)
    answer = await lab.ask(post(packed, headers=GZIP)[:-3], packed[-3:], pause_s=0.01)
    assert answer.status == 200
    assert got[0].body == body.replace(b"claude-test-1", b"m-2")
    assert got[0].get(b"content-encoding") is None
    assert got[0].get(b"content-length") == b"%d" % len(got[0].body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"this is no gzip", 400),
        (gzip.compress(BODY)[:-5], 400),
        (gzip.compress(BODY) + b"tail", 400),
        (gzip.compress(b"not json"), 400),
        (gzip.compress(b'{"no":"model"}'), 400),
        (gzip.compress(b" " * 3000), 413),
        (gzip.compress(b'{"x":"' + b" " * (100 * MB), 1), 413),
    ],
    ids=["no gzip", "cut short", "tail", "no json", "no model", "too long", "bomb"],
)
async def test_bad_gzip_bodies_are_refused(lab: Lab, body: bytes, status: int) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(body_bytes_max=2_000_000))
    if status == 413 and len(body) < 1000:
        body = gzip.compress(b" " * 2_000_001)
    answer = await lab.ask(post(body, headers=GZIP))
    assert answer.status == status
    assert "gzip" in answer.error["message"] or "body" in answer.error["message"]


async def test_encodings_other_than_gzip_are_refused(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)))
    answer = await lab.ask(post(headers=[(b"Content-Encoding", b"br")]))
    assert answer.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"x"',
        b'{"model":"m"',
        b'{"model":"m"}}',
        b'{"model":"m",}',
        b"{'model':'m'}",
        b'{"messages":[]}',
        b'{"model":7}',
        b'{"model":""}',
        b'{"model":null}',
        b'{"model":"' + b"m" * 600 + b'"}',
        b'{"model":"a","model":"b"}',
        b'{"model":"a","mod\\u0065l":"a"}',
    ],
)
async def test_bodies_without_one_model_are_400(lab: Lab, body: bytes) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(upstream)
    answer = await lab.ask(post(body))
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert upstream.connections == 0
    records = await lab.records(1)
    assert [r["status"] for r in records] == [400]


@pytest.mark.parametrize("body", [b'{"model":"m",}', b'{"model":"a","model":"b"}', b'{"n":1}'])
@pytest.mark.parametrize("kind", ["at once", "in pieces", "chunked", "gzip"])
async def test_a_bad_body_that_is_whole_leaves_the_connection_usable_or_says_close(
    lab: Lab, body: bytes, kind: str
) -> None:
    lab.start(lab.upstream(always(JSON)))
    client = await lab.client()
    wire = chunked_post([body]) if kind == "chunked" else post(body)
    if kind == "gzip":
        wire = post(gzip.compress(body), headers=GZIP)
    for _ in range(3):
        pieces = [wire[:-9], wire[-9:]] if kind == "in pieces" else [wire]
        answer = await client.ask(*pieces, pause_s=0.01)
        assert answer.status == 400
        if answer.get(b"connection") == b"close":
            return
    assert (await client.ask(post())).status == 200


async def test_an_unknown_model_is_404_and_names_what_is_served(lab: Lab) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, models=["glm-5", "claude-*"], model_mapping={"fast": "glm-5"}))
    answer = await lab.ask(post(b'{"model":"gpt-9"}'))
    assert (answer.status, answer.error["type"]) == (404, "not_found_error")
    for name in ("gpt-9", "glm-5", "claude-*", "fast"):
        assert name in answer.error["message"]
    assert upstream.connections == 0


@pytest.mark.parametrize("answered", [False, True])
async def test_a_second_model_found_late_stops_the_provider(lab: Lab, answered: bool) -> None:
    stage = Stage(whole_request=False)
    lab.start(lab.upstream(stage))
    client = await lab.client()
    tail = b',"model":"other"}'
    wire = post(b'{"model":"claude-test-1","x":"' + b"y" * MB + b'"' + tail)
    await client.send(wire[: -len(tail)])
    peer = await stage.peer()
    if answered:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
        await peer.send(head + b'{"type":"message",')
        await client.until(b'{"type":"message",')
    await client.send(tail)
    answer = await client.answer()
    if answered:
        assert answer.cut
    else:
        assert answer.status == 400
        assert 'Duplicate "model"' in answer.error["message"]
    await peer.gone()


@pytest.mark.parametrize("limit", [None, 10 * MB])
async def test_a_long_body_goes_on_while_it_arrives(lab: Lab, limit: int | None) -> None:
    stage = Stage(whole_request=False)
    key = Key(key="test-key-1", tpm_limit=limit)
    lab.start(provider(lab.upstream(stage), keys=[key]))
    client = await lab.client()
    wire = post(padded(MB))
    await client.send(wire[: MB // 2])
    peer = await stage.peer()
    await client.send(wire[MB // 2 :])
    while len(peer.pending) < MB:
        assert await peer.more()
    await peer.send(JSON)
    assert (await client.answer()).status == 200


async def test_count_tokens_is_forwarded_to_providers_that_count(lab: Lab) -> None:
    got: list[Request] = []
    reply = response(200, b'{"input_tokens":7}')
    lab.start(provider(lab.upstream(always(reply, into=got)), count_tokens="forward"))
    answer = await lab.ask(post(path=b"/v1/messages/count_tokens?beta=true"))
    assert answer.json() == {"input_tokens": 7}
    assert got[0].line == b"POST /v1/messages/count_tokens?beta=true HTTP/1.1"


async def test_count_tokens_is_estimated_for_providers_that_do_not_count(lab: Lab) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(provider(upstream, count_tokens="estimate"))
    client = await lab.client()
    wire = post(padded(4000), path=b"/v1/messages/count_tokens")
    for pieces in ([wire], [wire[:300], wire[300:]]):
        answer = await client.ask(*pieces)
        assert answer.status == 200
        assert 100 < answer.json()["input_tokens"] < 8000
    assert upstream.connections == 0


async def test_any_split_around_the_end_of_the_head_gives_the_same_request(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    client = await lab.client()
    body = b'{"model":"m","x":"' + b"y" * 12 + b'"}'
    wire = post(body)
    cuts = range(len(wire) - len(body) - 8, len(wire))
    for cut in cuts:
        assert (await client.ask(wire[:cut], wire[cut:])).status == 200
    assert [r.body for r in got] == [body] * len(cuts)


# ---- bodies that are not kept


async def test_a_body_without_room_for_a_copy_passes_through_a_window(lab: Lab) -> None:
    got: list[Request] = []
    upstream = lab.upstream(always(JSON, into=got))
    relay = lab.start(
        provider(upstream, model_mapping={"*": "a-longer-model-name"}),
        server=server(replay_bytes_max=0),
    )
    body = padded(5 * MB)
    client = await lab.client()
    await client.send(post(body))
    assert relay.reactor.arena.out <= 2 * MB
    assert (await client.answer()).status == 200
    assert got[0].body == body.replace(b"claude-test-1", b"a-longer-model-name")


async def test_without_room_a_model_that_comes_last_is_an_overload_not_a_hang(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(replay_bytes_max=0))
    answer = await lab.ask(post(padded(2 * MB, model_last=True)))
    assert (answer.status, answer.error["type"]) == (529, "overloaded_error")
    assert answer.get(b"retry-after") == b"1"


async def test_without_room_a_large_gzip_body_is_an_overload_not_a_hang(lab: Lab) -> None:
    lab.start(lab.upstream(always(JSON)), server=server(replay_bytes_max=0))
    noise = gzip.compress(b'{"model":"m","x":"' + os.urandom(MB).hex().encode() + b'"}', 1)
    answer = await lab.ask(post(noise, headers=GZIP))
    assert answer.status == 529


async def test_without_room_a_body_to_be_rewritten_is_an_overload_not_a_hang(lab: Lab) -> None:
    upstream = lab.upstream(always(JSON))
    lab.start(
        provider(upstream, type="ollama", auth="none", keys=()), server=server(replay_bytes_max=0)
    )
    assert (await lab.ask(post(padded(2 * MB)))).status == 529


async def test_a_provider_that_reads_nothing_stops_the_client_not_the_memory(lab: Lab) -> None:
    relay = lab.start(
        lab.upstream(blind),
        server=server(replay_bytes_max=0),
        routing=routing(first_byte_s=1.0, total_s=60),
    )
    client = await lab.client()
    sending = asyncio.ensure_future(client.send(post(padded(30 * MB))))
    await asyncio.sleep(0.4)
    assert not sending.done()
    assert relay.reactor.arena.out <= 2 * MB
    sending.cancel()
    client.reset()
    await asyncio.gather(sending, return_exceptions=True)


async def test_a_provider_that_reads_nothing_is_given_up_in_time(lab: Lab) -> None:
    lab.start(lab.upstream(blind), routing=routing(first_byte_s=0.4, idle_s=0.4, total_s=30))
    client = await lab.client()
    await client.send(post(padded(16 * MB)))
    answer = await client.answer(wait_s=3)
    assert answer.status == 504


async def test_memory_for_bodies_goes_back_once_they_are_sent(lab: Lab) -> None:
    stage = Stage()
    relay = lab.start(lab.upstream(stage))
    client = await lab.client()
    await client.send(post(padded(3 * MB)))
    peer = await stage.peer()
    assert relay.reactor.arena.out >= 3 * MB
    await peer.send(JSON)
    assert (await client.answer()).status == 200
    await eventually(lambda: relay.reactor.arena.out == 0)


async def test_chunked_requests_may_carry_trailers_and_extensions(lab: Lab) -> None:
    got: list[Request] = []
    lab.start(lab.upstream(always(JSON, into=got)))
    head = chunked_post([]).removesuffix(chunks())
    wire = head + b"%x;a=b\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(BODY), BODY)
    client = await lab.client()
    assert (await client.ask(wire)).status == 200
    assert (await client.ask(wire)).status == 200
    assert got[1].body == BODY
