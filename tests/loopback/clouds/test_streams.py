"""Bedrock's frames on their way to a client that wants server-sent events."""

import asyncio
import json
import zlib

import pytest

from tests.loopback.clouds.clouds import KEYS, STREAM as ASKS, asked, cloud, is_signed, issue
from tests.loopback.clouds.frames import FRAMES, HEAD, STREAM, chunk_frame, exception, frames_of
from tests.loopback.relay.harness import Lab, provider, routing
from tests.loopback.relay.scripts import STREAM as SSE, Stage, Turns, then
from tests.loopback.relay.wires import (
    BLOCK,
    EVENTS,
    MESSAGE,
    START,
    Ended,
    chunks,
    delta,
    events_in,
    names_in,
    response,
)

THROTTLED = exception("throttlingException", "Too many requests, please wait before trying again.")


def read(events: bytes) -> list[tuple[str, object]]:
    return [(name, json.loads(data)) for name, data in events_in(events)]


async def test_frames_reach_the_client_as_events(lab: Lab) -> None:
    turns = Turns(STREAM)
    lab.start(cloud("bedrock", lab.upstream(turns)))
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert answer.status == 200
    assert read(answer.body) == read(EVENTS)
    assert (answer.get(b"content-type") or b"").startswith(b"text/event-stream")
    assert answer.get(b"request-id") == b"req-aws-1"
    (request,) = turns.got
    assert request.line.split(b" ")[1].endswith(b"/invoke-with-response-stream")
    assert is_signed(request, KEYS, "bedrock")
    assert "stream" not in json.loads(request.body)
    (record,) = lab.sink.records
    assert (record["status"], record["ending"]) == (200, "complete")
    assert (record["input"], record["output"], record["cache_read"]) == (11, 55, 22)


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_any_split_of_the_bytes_is_the_same(lab: Lab, size: int) -> None:
    whole = b"".join(FRAMES)
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    lab.start(cloud("bedrock", lab.upstream(Turns(HEAD + chunks(*pieces)))))
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert read(answer.body) == read(EVENTS)


async def test_a_whole_answer_comes_as_it_is(lab: Lab) -> None:
    turns = Turns(response(200, MESSAGE))
    lab.start(cloud("bedrock", lab.upstream(turns)))
    issue(lab, "bedrock")
    answer = await lab.ask(asked())
    assert answer.body == MESSAGE
    assert turns.got[0].line.split(b" ")[1].endswith(b"/invoke")


# ---- errors


async def test_throttling_in_the_first_frame_goes_to_the_next_provider(lab: Lab) -> None:
    second = Turns(SSE)
    lab.start(
        cloud("bedrock", lab.upstream(Turns(HEAD + chunks(THROTTLED)))),
        provider(lab.upstream(second), "second"),
        routing=routing(strategy="failover"),
    )
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert (answer.status, answer.body) == (200, EVENTS)
    assert len(second.got) == 1


async def test_alone_the_client_gets_it_as_an_error_of_anthropics(lab: Lab) -> None:
    lab.start(cloud("bedrock", lab.upstream(Turns(HEAD + chunks(THROTTLED)))), routing=routing())
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    told = answer.json() if answer.status != 200 else json.loads(events_in(answer.body)[0][1])
    assert told["error"]["type"] == "rate_limit_error"
    assert "Too many requests" in told["error"]["message"]


async def test_behind_content_an_exception_is_an_error_event(lab: Lab) -> None:
    begun = frames_of(START + BLOCK + delta("Hel"))
    lab.start(cloud("bedrock", lab.upstream(Turns(HEAD + chunks(*begun, THROTTLED)))))
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert names_in(answer.body)[-1] == "error"
    (record,) = lab.sink.records
    assert record["error"] == "error_event"


async def test_a_frame_that_is_damaged_cuts_the_stream(lab: Lab) -> None:
    begun = frames_of(START + BLOCK + delta("Hel"))
    broken = bytearray(chunk_frame('{"type":"content_block_delta","index":0}'))
    broken[-20] ^= 1
    assert zlib.crc32(bytes(broken[:-4])) != int.from_bytes(broken[-4:], "big")
    lab.start(cloud("bedrock", lab.upstream(Turns(HEAD + chunks(*begun, bytes(broken))))))
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert answer.cut
    assert names_in(answer.body)[-1] == "content_block_delta"
    (record,) = lab.sink.records
    assert record["ending"] == "upstream_cut"


async def test_damaged_before_content_the_next_provider_serves(lab: Lab) -> None:
    broken = bytearray(FRAMES[0])
    broken[40] ^= 1
    lab.start(
        cloud("bedrock", lab.upstream(Turns(HEAD + chunks(bytes(broken))))),
        provider(lab.upstream(Turns(SSE)), "second"),
        routing=routing(strategy="failover"),
    )
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert answer.body == EVENTS


async def test_an_end_in_the_middle_of_a_frame_is_a_cut(lab: Lab) -> None:
    begun = frames_of(START + BLOCK + delta("Hel"))
    data = HEAD + chunks(*begun, FRAMES[3][:30])  # and yet the chunks end as they should
    lab.start(cloud("bedrock", lab.upstream(Turns(data))))
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert answer.cut
    assert (await lab.records())[0]["ending"] == "upstream_cut"


@pytest.mark.parametrize("junk", [b"junk" * 9, FRAMES[0][:30], FRAMES[0][:-1] + b"?"])
@pytest.mark.parametrize("in_one_read", [False, True])
async def test_what_is_damaged_behind_the_last_event_does_no_harm(
    lab: Lab, junk: bytes, in_one_read: bool
) -> None:
    stage = Stage()
    lab.start(cloud("bedrock", lab.upstream(stage)))
    issue(lab, "bedrock")
    client = await lab.client()
    await client.send(asked(ASKS))
    peer = await stage.peer()
    if in_one_read:
        await peer.send(HEAD + chunks(b"".join(FRAMES) + junk))
    else:
        await peer.send(HEAD + chunks(*FRAMES, last=False))
        await client.until(b"message_stop")
        await peer.send(chunks(junk))
    answer = await client.answer()
    assert not answer.cut
    assert read(answer.body) == read(EVENTS)
    assert (await lab.records())[0]["ending"] == "complete"


@pytest.mark.parametrize("coded", [HEAD, HEAD.replace(b"HTTP/1.1", b"HTTP/1.0")])
@pytest.mark.parametrize("cut", [0, 30])
async def test_frames_that_end_with_the_connection(lab: Lab, coded: bytes, cut: int) -> None:
    head = coded.replace(b"Transfer-Encoding: chunked\r\n", b"")
    data = b"".join(FRAMES if not cut else FRAMES[:3]) + FRAMES[3][:cut]
    lab.start(cloud("bedrock", lab.upstream(Turns(then(head + data)))))
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert (answer.status, answer.cut) == (200, cut > 0)
    assert read(answer.body) == read(EVENTS)[: 3 if cut else None]


async def test_a_connection_that_breaks_is_a_cut(lab: Lab) -> None:
    begun = frames_of(START + BLOCK + delta("Hel"))
    lab.start(cloud("bedrock", lab.upstream(then(HEAD + chunks(*begun, last=False)))))
    issue(lab, "bedrock")
    client = await lab.client()
    answer = await client.ask(asked(ASKS))
    assert answer.cut
    assert answer.end in (Ended.CLOSED, Ended.RESET)


async def test_json_where_frames_were_asked_for_is_no_answer(lab: Lab) -> None:
    told = b'{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"}}'
    lab.start(
        cloud("bedrock", lab.upstream(Turns(response(200, told)))),
        provider(lab.upstream(Turns(SSE)), "second"),
        routing=routing(strategy="failover"),
    )
    issue(lab, "bedrock")
    assert (await lab.ask(asked(ASKS))).body == EVENTS


@pytest.mark.parametrize("name", ["ThrottlingException", "ThrottlingException:http://x/"])
async def test_an_error_in_a_200_is_known_by_its_header(lab: Lab, name: str) -> None:
    fields = [(b"x-amzn-errortype", name.encode()), (b"content-type", b"application/json")]
    told = response(200, b'{"message":"slow down"}', fields)
    lab.start(cloud("bedrock", lab.upstream(Turns(told))))
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert (answer.status, answer.json()["error"]["type"]) == (429, "rate_limit_error")


async def test_a_page_with_an_error_keeps_its_label(lab: Lab) -> None:
    page = response(502, b"<html>down</html>", [(b"content-type", b"text/html")])
    lab.start(cloud("bedrock", lab.upstream(Turns(page))))
    issue(lab, "bedrock")
    answer = await lab.ask(asked(ASKS))
    assert (answer.status, answer.body) == (502, b"<html>down</html>")
    assert answer.get(b"content-type") == b"text/html"


# ---- silence


async def test_between_frames_the_relay_pings(lab: Lab) -> None:
    stage = Stage()
    lab.start(cloud("bedrock", lab.upstream(stage)), routing=routing(ping_s=0.2, early_head_s=0.2))
    issue(lab, "bedrock")
    client = await lab.client()
    await client.send(asked(ASKS))
    peer = await stage.peer()
    await peer.send(HEAD)
    # Before any frame: a head and pings.
    assert b"event: ping" in await client.until(b"event: ping")
    await peer.send(chunks(*FRAMES[:3], last=False))
    await client.until(b"Hello")
    client.pending = client.pending.partition(b"Hello")[2]
    await client.until(b"event: ping")
    await peer.send(chunks(*FRAMES[3:]))
    text = await client.until(b"message_stop")
    assert b"world" in text


async def test_no_ping_gets_between_the_halves_of_a_frame(lab: Lab) -> None:
    stage = Stage()
    lab.start(cloud("bedrock", lab.upstream(stage)), routing=routing(ping_s=0.2, early_head_s=0.2))
    issue(lab, "bedrock")
    client = await lab.client()
    await client.send(asked(ASKS))
    peer = await stage.peer()
    whole = b"".join(FRAMES)
    half = len(b"".join(FRAMES[:3])) + 40
    await peer.send(HEAD + chunks(whole[:half], last=False))
    await asyncio.sleep(0.5)
    await peer.send(chunks(whole[half:]))
    answer = await client.answer()
    assert [e for e in read(answer.body) if e[0] != "ping"] == read(EVENTS)
